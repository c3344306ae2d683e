"""The slabs of a time interval (0, Δt), and what is given on them.

Data in time are functions (x, s) → UFL of the coordinates and the time, or functions of one space, a list
with one for each moment. Both become one UFL expression whose values are loaded for a moment, so that forms
are compiled once for all slabs. Everything is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

import ufl
from dolfinx import fem
from dolfinx.mesh import Mesh
from ufl.core.expr import Expr

from fem_models.core.errors import InputError

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
        if not 0.0 < self.duration < math.inf:
            raise InputError(f"The duration must be positive and finite, not {self.duration!r}.")
        if not isinstance(self.count, Integral) or self.count < 1:
            raise InputError(f"The number of slabs must be a whole number, 1 or more, not {self.count!r}.")

    @property
    def delta(self) -> float:
        """The length δ of a slab."""
        return self.duration / self.count

    @property
    def weight(self) -> float:
        """The weight a of the density (1-a) h_{k-1} + a h_k in a slab: 1 for one slab, else ½."""
        return 1.0 if self.count == 1 else 0.5

    def moment(self, k: int) -> float:
        """The middle of slab k; Δt for k = S."""
        return self.duration if k == self.count else (k + 0.5) * self.delta


class _Loaded(Protocol):
    """An expression with values for one moment at a time."""

    expression: Expr

    def load(self, k: int) -> None:
        """Give it the values for the middle of slab k, or for the end if k = S."""


class _Formula:
    """A function of x and s; the time of all of them is the same constant, loaded by `Moments`."""

    def __init__(self, moments: Moments, given: InTime, name: str) -> None:
        try:
            # With constants of the mesh, numbers have a mesh and a gradient too.
            self.expression = given(moments.x, moments.time) + moments.zero * moments.x[0]
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{name} must be a function of the coordinates x and the time s, (x, s), that gives a scalar "
                f"of UFL, with ufl.exp where NumPy has numpy.exp: {error}."
            ) from error

    def load(self, k: int) -> None:
        """Nothing to do: the time is loaded."""


class _Listed:
    """Functions of one space."""

    def __init__(self, given: Sequence[fem.Function], moments: int, name: str) -> None:
        if not all(isinstance(function, fem.Function) for function in given):
            raise InputError(f"As a list, {name} needs functions of DOLFINx, not {given[0]!r}.")
        if len(given) != moments or len({id(function.function_space) for function in given}) > 1:
            raise InputError(
                f"As a list, {name} needs {moments} functions of one space, one for each moment: there are "
                f"{len(given)}, of {len({id(f.function_space) for f in given})} spaces."
            )
        self._given = given
        self.expression = fem.Function(given[0].function_space, name=name)

    def load(self, k: int) -> None:
        """Copy the values of the function for this moment."""
        if k < len(self._given):
            self.expression.x.array[:] = self._given[k].x.array


class Moments:
    """Data at the middles of slabs and at the end.

    Args:
        mesh: The mesh.
        slabs: The slabs.

    Attributes:
        slabs: The slabs.
        x: The coordinates, a UFL vector.
        time: The time of the moment that is loaded.
    """

    def __init__(self, mesh: Mesh, slabs: Slabs) -> None:
        self.slabs = slabs
        self.x = ufl.SpatialCoordinate(mesh)
        self.time = fem.Constant(mesh, 0.0)
        self.zero = fem.Constant(mesh, 0.0)
        self._data: list[_Loaded] = []

    def of(self, given: InTime | Sequence[fem.Function], moments: int, name: str) -> Expr:
        """Data as one UFL expression that follows `load`.

        Args:
            given: A function of x and s, or a list of functions of one space: the values at the middles of
                the slabs and, where the end counts, there.
            moments: How many moments count: S without the end, S + 1 with it.
            name: For messages.

        Raises:
            InputError: Neither, a function that fails, or a list of another length or of several spaces.
        """
        if isinstance(given, Sequence):
            data: _Loaded = _Listed(given, moments, name)
        elif callable(given) and not isinstance(given, Expr):
            data = _Formula(self, given, name)
        else:
            raise InputError(
                f"{name} must be a function of x and s that gives UFL, as in lambda x, s: 1 + x[0], or a "
                f"list of {moments} functions of one space, not {type(given).__name__}."
            )
        self._data.append(data)
        return data.expression

    def load(self, k: int) -> None:
        """Give all expressions their values at the middle of slab k, or at the end if k = S."""
        self.time.value = self.slabs.moment(k)
        for data in self._data:
            data.load(k)
