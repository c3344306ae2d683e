"""The quadratic Wasserstein distance between two computed densities, and the geodesic between them.

After Benamou and Brenier W₂²(ρ, η) = min ∫|x - T(x)|² ρ(x) dx over the maps T that push ρ to η is the least
action

    min ∫₀¹ ∫ ρ_s |v_s|² dx ds,    ∂_s ρ + div(ρ v) = 0,  ρ_0 = ρ,  ρ_1 = η,

over paths of densities, without a factor ½. Its velocity is v = -∇φ, and the conditions of least action are

    ∂sρ - div(ρ∇φ) = 0      (2.9a)
    ∂sφ - ½|∇φ|² = 0        (2.9b)

of Bruna, Burger and Carrillo, with φ for their -Φ, between given ends. Here a path has S slabs of equal
length between nodal densities on P1, and moves by the mobility "average" (see `fem_models.jko.paths`): W₂ is
of second order in h and in 1/S. A slab should move mass by less than the size of the lumps that it is in. The
minimisation is the same, read backwards, with the two densities exchanged, so that the distance is symmetric
up to round-off. Next to vacuum, where the barrier costs something, distances below 1e-7 of the extent of the
domain are not resolved. Everything is dimensionless.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import basix.ufl
import numpy as np
import numpy.typing as npt
from dolfinx import fem
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.core.checks import named, whole
from fem_models.core.errors import InputError, SolveError
from fem_models.exact.distances import same_mass
from fem_models.jko.path_ends import FixedEnd
from fem_models.jko.path_problem import longest
from fem_models.jko.path_solver import PathSolver
from fem_models.jko.paths import PathEquations
from fem_models.linalg.newton import NewtonSettings
from fem_models.meshes.pvd import write_pvd
from fem_models.meshes.torus import node_points
from fem_models.nodal.edges import EdgeGeometry
from fem_models.nodal.mobilities import CellMobility
from fem_models.nodal.unfolded import shown_part

_Array = npt.NDArray[np.float64]

Density = npt.ArrayLike | fem.Function | Callable[[_Array], npt.ArrayLike]
"""A density on P1: values at the nodes of this rank and its ghosts, shape (nodes,); a DOLFINx function of the
space; or a function of points of shape (3, n) that gives n values."""

SLABS = 8

_SETTINGS = NewtonSettings(linear="direct")

# Densities that differ by less than this share of their maximum are one and the same.
_EQUAL = 1e-14


@dataclass(frozen=True, eq=False)
class Geodesic:
    """The distance between two densities and the path between them. All numbers are dimensionless.

    The path is parametrised by s from 0 to 1, in S slabs.

    Attributes:
        distance: W₂.
        square: W₂² = min ∫|x - T(x)|² ρ(x) dx, in proportion to the mass.
        mass: The mass of the densities.
        densities: At the times s = k/S, k = 0, …, S, ghosts included, shape (nodes, S + 1). Where there is
            vacuum in between, the barrier leaves tiny positive values.
        potentials: φ of each slab, up to a constant, with the velocity -∇φ, shape (nodes, S).
        iterations: Of Newton's method.
        seconds: Time it took.
        notes: Sentences about what the linear solver had to do.
        space: The scalar P1 space of densities and potentials.
        cells: Local cells, ghosts included, of the part of the mesh where densities live; None for all.
    """

    distance: float
    square: float
    mass: float
    densities: _Array
    potentials: _Array
    iterations: int
    seconds: float
    notes: tuple[str, ...]
    space: fem.FunctionSpace
    cells: npt.NDArray[np.int32] | None = None

    @property
    def times(self) -> tuple[float, ...]:
        """The times s = k/S of the densities, k = 0, …, S."""
        slabs = self.potentials.shape[1]
        return tuple(k / slabs for k in range(slabs + 1))

    def functions(self, name: str = "rho") -> dict[float, fem.Function]:
        """The densities along the geodesic as functions.

        Args:
            name: Of the functions.

        Returns:
            By time s, in the order of time, functions of `space` with arrays of their own.
        """
        found = {}
        for s, values in zip(self.times, self.densities.T, strict=True):
            found[s] = fem.Function(self.space, name=name)
            found[s].x.array[:] = values
        return found

    def write(self, path: Path | str, name: str = "rho") -> None:
        """Write the densities over s, on the part of the mesh where they live. Collective.

        Args:
            path: Of the .pvd file; its pieces are written next to it.
            name: Of the density in the file.

        Raises:
            InputError: A path that does not end in .pvd, or one in a directory that does not exist.
        """
        write_pvd(self.space.mesh.comm, path, self.frames(name))

    def frames(self, name: str = "rho") -> list[tuple[float, list[fem.Function]]]:
        """The densities where they are looked at: on the brick of a torus, or without the shell. Collective.

        Args:
            name: Of the functions.

        Returns:
            Times s, each with its density.
        """
        part = shown_part(self.space, self.cells)
        functions = self.functions(name).items()
        return [(s, [density] if part is None else part.restricted([density])) for s, density in functions]


def geodesic_between(
    first: fem.Function, second: fem.Function, slabs: int = SLABS, settings: NewtonSettings | None = None
) -> Geodesic:
    """W₂ between two DOLFINx functions, and the geodesic; see `wasserstein`. Collective.

    Args:
        first: A density ≥ 0, of a scalar P1 space.
        second: Likewise, on the same mesh and with the same mass.
        slabs: S ≥ 2.
        settings: For Newton's method and the linear systems; MUMPS by default.

    Returns:
        The distance and the path.

    Raises:
        InputError: A density that is no such function; else as for `wasserstein`.
        SolveError: Newton's method failed; the message is its report.
    """
    if not isinstance(first, fem.Function):
        raise InputError(f"The first density must be a function of DOLFINx, not {named(first)}.")
    if not isinstance(second, fem.Function):
        raise InputError(f"The second density must be a function of DOLFINx, not {named(second)}.")
    return wasserstein(first.function_space.mesh, first, second, slabs, settings)


def wasserstein(
    space: fem.FunctionSpace | Mesh,
    first: Density,
    second: Density,
    slabs: int = SLABS,
    settings: NewtonSettings | None = None,
    *,
    cells: npt.NDArray[np.int32] | None = None,
    masses: tuple[float, float] | None = None,
    watch: Callable[[int], None] | None = None,
) -> Geodesic:
    """W₂ between two densities on one mesh. Collective.

    Args:
        space: The mesh, or the scalar P1 space on it.
        first: A density ≥ 0.
        second: Likewise, with the same mass up to 1e-9 of it, which is scaled away.
        slabs: S ≥ 2.
        settings: For Newton's method and the linear systems; MUMPS by default.
        cells: Local cells, ghosts included, of the part of the mesh where densities live; all by default.
        masses: The masses of the densities where they are not the sums over the shares of cells, as with
            Voronoi volumes: the densities are scaled to them.
        watch: Called on every rank with the number of each Newton iteration before its linear systems.

    Returns:
        The distance and the path.

    Raises:
        InputError: A first argument that is neither mesh nor space, slabs that are no whole number of at
            least 2, densities that are negative, not finite, of another shape or space, or masses that are
            zero or differ.
        SolveError: Newton's method failed; the message is its report.
    """
    start = time.perf_counter()
    space = _p1(space)
    whole(slabs, "The number of slabs", least=2)
    first, second = _nodal(space, first, "first"), _nodal(space, second, "second")
    volumes = EdgeGeometry(space, cells, lumping="cells").volumes
    owned = space.dofmap.index_map.size_local
    inside = volumes > 0.0
    sums = space.mesh.comm.allreduce(volumes[:owned] @ np.stack([first, second], axis=1)[:owned])
    for which, found in zip(("first", "second"), sums, strict=True):
        if not found > 0.0:
            raise InputError(f"The {which} density is zero at all nodes: masses must be positive and finite.")
    mass = same_mass(*map(float, sums if masses is None else masses))
    first, second = (np.where(inside, mass / s * d, 0.0) for s, d in zip(sums, (first, second), strict=True))
    if _equal(space.mesh.comm, first, second):
        path = np.repeat(first[:, None], slabs + 1, axis=1)
        at_rest = np.zeros((len(first), slabs))
        seconds = time.perf_counter() - start
        return Geodesic(0.0, 0.0, mass, path, at_rest, 0, seconds, (), space, cells)

    outcome = _path(space, cells, (first, second), volumes, mass, slabs, settings or _SETTINGS, watch)
    seconds = time.perf_counter() - start
    distance, count, notes = math.sqrt(outcome.square), outcome.iterations, outcome.notes
    return Geodesic(
        *(distance, outcome.square, mass, outcome.densities, outcome.potentials, count, seconds),
        *(notes, space, cells),
    )


@dataclass(frozen=True)
class _Path:
    square: float
    densities: _Array
    potentials: _Array
    iterations: int
    notes: tuple[str, ...]


def _path(
    space: fem.FunctionSpace,
    cells: npt.NDArray[np.int32] | None,
    ends: tuple[_Array, _Array],
    volumes: _Array,
    mass: float,
    slabs: int,
    settings: NewtonSettings,
    watch: Callable[[int], None] | None,
) -> _Path:
    """The path of least action between two densities with one mass that are not the same."""
    owned = space.dofmap.index_map.size_local
    first, second = ends
    # The solver's tolerances are those of densities of the size 1.
    size = mass / float(space.mesh.comm.allreduce(volumes[:owned].sum()))
    first, second = first / size, second / size
    end = FixedEnd(second[:, None], volumes, owned)
    equations = _Watched(space, volumes, CellMobility(space, cells), slabs, 0.5, end)
    equations.watch = watch
    solver = PathSolver(equations, settings)
    old = first[:, None]
    # The straight line between the densities, which the solver lifts off the barrier.
    times = np.arange(1, slabs + 1) / slabs
    guess = equations.constant(old, np.zeros_like(old))
    equations.densities(guess)[:, 0] = (1.0 - times) * old + times * second[:, None]
    # In a time like the square of the domain's length potentials are of the size 1 whatever the units.
    duration = longest(space) ** 2
    outcome = solver.interior_point(guess, old, duration)
    if not outcome.converged:
        raise SolveError(outcome.report)
    action = float(equations.action(outcome.unknowns, old, duration)[0])
    square = size * max(2.0 * duration * action, 0.0)
    # The solver has the density at the end up to round-off.
    between = equations.densities(outcome.unknowns)[:, 0, :-1]
    path = size * np.column_stack([first, between, second])
    potentials = duration * equations.potentials(outcome.unknowns)[:, 0]
    return _Path(square, path, potentials, outcome.newton, tuple(solver.notes))


class _Watched(PathEquations):
    """Equations that tell when Newton's method begins another iteration."""

    watch: Callable[[int], None] | None = None
    _iterations = 0

    def linearise(self, *arguments: Any, **named: Any) -> _Array:
        """See `PathEquations`."""
        self._iterations += 1
        if self.watch is not None:
            self.watch(self._iterations)
        return super().linearise(*arguments, **named)


def _p1(given: fem.FunctionSpace | Mesh) -> fem.FunctionSpace:
    """The scalar P1 space, which may be given by its mesh."""
    if isinstance(given, Mesh):
        return fem.functionspace(given, ("Lagrange", 1))
    if not isinstance(given, fem.FunctionSpace):
        raise InputError(
            "The first argument must be the mesh of the densities or its scalar P1 space, as flow.mesh and "
            f"flow.space are, not {named(given)}."
        )
    if not _is_p1(given):
        raise InputError(f"The space of the densities must be scalar P1, not {given.ufl_element()}.")
    return given


def _is_p1(space: fem.FunctionSpace) -> bool:
    return space.ufl_element() == basix.ufl.element("Lagrange", space.mesh.basix_cell(), 1)


def _nodal(space: fem.FunctionSpace, density: Density, which: str) -> _Array:
    """The values of a density at the nodes of this rank and its ghosts."""
    if isinstance(density, fem.Function):
        other = density.function_space
        if other.mesh != space.mesh or not _is_p1(other):
            raise InputError(f"The {which} density must be a function of the scalar P1 space of the mesh.")
        given: Any = density.x.array
    elif callable(density):
        given = density(node_points(space).T)
    else:
        given = density
    index_map = space.dofmap.index_map
    shape = (index_map.size_local + index_map.num_ghosts,)
    refused, values = "", np.zeros(shape)
    try:
        values = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        refused = f"values at the nodes, not {named(given)}"
    if values.shape != shape:
        what = "a value for each node of its mesh, ghosts included"
        refused = f"{what}: an array of shape {shape}, not {values.shape}"
    # All ranks say what the first one with a reason says.
    if reasons := [reason for reason in space.mesh.comm.allgather(refused) if reason]:
        raise InputError(f"The {which} density needs {reasons[0]}.")
    good = bool(np.isfinite(values).all() and (values >= 0.0).all())
    if not space.mesh.comm.allreduce(good, op=MPI.LAND):
        raise InputError(f"The {which} density must be finite and 0 or more at all nodes.")
    return values


def _equal(comm: MPI.Comm, first: _Array, second: _Array) -> bool:
    difference = comm.allreduce(float(np.abs(first - second).max(initial=0.0)), op=MPI.MAX)
    return difference <= _EQUAL * comm.allreduce(float(first.max(initial=0.0)), op=MPI.MAX)
