"""The slabs of a time interval (0, Δt), and what is given on them.

Data in time are functions (x, s) → UFL of the coordinates and the time, or functions of one space, a list
with one for each time. Both become one UFL expression whose values are loaded for a time, so that forms are
compiled once for all slabs. Everything is dimensionless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ufl
from dolfinx import fem
from dolfinx.mesh import Mesh
from ufl.core.expr import Expr

from fem_models.core.checks import named, positive, whole
from fem_models.core.errors import InputError
from fem_models.linearised_jko.data_checks import require_shape

InTime = Callable[[Expr, Expr], Any]
"""A function of the coordinates, a UFL vector, and of the time, a UFL scalar, that gives UFL or a number."""


@dataclass(frozen=True)
class Slabs:
    """S slabs of length δ = Δt/S, numbered from 0.

    Attributes:
        duration: Δt.
        count: S.

    Raises:
        InputError: A duration that is not positive and finite, or fewer than one slab.
    """

    duration: float
    count: int

    def __post_init__(self) -> None:
        positive(self.duration, "The duration")
        whole(self.count, "The number of slabs", least=1)

    @property
    def delta(self) -> float:
        """The length δ of a slab."""
        return self.duration / self.count

    @property
    def weight(self) -> float:
        """The weight a of the density (1-a) h_{k-1} + a h_k in a slab: 1 for one slab, else ½."""
        return 1.0 if self.count == 1 else 0.5

    def time(self, k: int) -> float:
        """The time at which data of slab k are taken.

        Args:
            k: The number of the slab, from 0; S for the end.

        Returns:
            The middle of the slab, or Δt.
        """
        return self.duration if k == self.count else (k + 0.5) * self.delta


class _Loaded(Protocol):
    """An expression with values for one time at a time."""

    @property
    def expression(self) -> Expr:
        """The expression."""

    def load(self, k: int) -> None:
        """Give it the values for the middle of slab k, or for the end if k = S."""


class _Formula:
    """A function of x and s; the time of all of them is the same constant, loaded by `SlabData`."""

    def __init__(self, data: SlabData, given: InTime, name: str) -> None:
        self.expression = data.evaluated(given, name)

    def load(self, k: int) -> None:
        """Nothing to do: the time is loaded."""


class _Listed:
    """Functions of one space."""

    def __init__(self, given: Sequence[fem.Function], count: int, name: str) -> None:
        if not all(isinstance(function, fem.Function) for function in given):
            raise InputError(f"As a list, {name} needs functions of DOLFINx, not {given[0]!r}.")
        # On one mesh, spaces of one element number their nodes alike.
        spaces = len({(id(f.function_space.mesh), f.function_space.ufl_element()) for f in given})
        if len(given) != count or spaces > 1:
            raise InputError(
                f"As a list, {name} needs {count} functions of one space, one for each time: there are "
                f"{len(given)}, of {spaces} spaces."
            )
        self._given = given
        self.expression: Any = fem.Function(given[0].function_space, name=name)

    def load(self, k: int) -> None:
        """Copy the values of the function for this time."""
        if k < len(self._given):
            self.expression.x.array[:] = self._given[k].x.array


class SlabData:
    """Data at the middles of slabs and at the end.

    Args:
        mesh: The mesh.
        slabs: The slabs.

    Attributes:
        mesh: The mesh.
        slabs: The slabs.
        x: The coordinates, a UFL vector.
        time: The time that is loaded.
        zero: A constant 0.
    """

    def __init__(self, mesh: Mesh, slabs: Slabs) -> None:
        self.mesh = mesh
        self.slabs = slabs
        self.x = ufl.SpatialCoordinate(mesh)
        self.time: Any = fem.Constant(mesh, 0.0)
        self.zero = fem.Constant(mesh, 0.0)
        self._data: list[_Loaded] = []

    def of(self, given: InTime | Sequence[fem.Function], count: int, name: str) -> Expr:
        """Data as one UFL expression that follows `load`.

        Args:
            given: A function of x and s, or a list of functions of one space: the values at the middles of
                the slabs and, where the end counts, there.
            count: The number of times that count: S without the end, S + 1 with it.
            name: For messages.

        Returns:
            A UFL scalar with the values of the time that is loaded.

        Raises:
            InputError: Neither, a function that fails, a list of another length or of several spaces, values
                that are no scalars, or functions of another mesh.
        """
        if isinstance(given, Sequence):
            data: _Loaded = _Listed(given, count, name)
        elif callable(given) and not isinstance(given, Expr):
            data = _Formula(self, given, name)
        else:
            raise InputError(
                f"{name} must be a function of x and s that gives UFL, as in lambda x, s: 1 + x[0], or a "
                f"list of {count} functions of one space, not {named(given)}."
            )
        require_shape(data.expression, self.mesh, name)
        self._data.append(data)
        return data.expression

    def evaluated(self, given: InTime, name: str, shape: tuple[int, ...] = ()) -> Expr:
        """A function of x and s as UFL.

        Args:
            given: The function.
            name: For messages.
            shape: Of its values: () for a scalar.

        Returns:
            An expression of that shape, with the time that is loaded for s.

        Raises:
            InputError: The function fails, its values have another shape, or functions of another mesh.
        """
        # With constants of the mesh, numbers have a mesh and a gradient too.
        zero = self.zero * self.x[0]
        try:
            found = ufl.as_ufl(given(self.x, self.time))
        except (TypeError, ValueError, AttributeError) as error:
            what = "a vector" if shape else "a scalar"
            raise InputError(
                f"{name} must be a function of the coordinates x and the time s, (x, s), that gives {what} "
                f"of UFL, with ufl.exp where NumPy has numpy.exp: {error}."
            ) from error
        require_shape(found, self.mesh, name, shape)
        return found + (zero * ufl.as_vector([1.0] * shape[0]) if shape else zero)

    def load(self, k: int) -> None:
        """Give all expressions their values at the middle of a slab, or at the end.

        Args:
            k: The number of the slab, from 0; S for the end.
        """
        self.time.value = self.slabs.time(k)
        for data in self._data:
            data.load(k)
