"""The quadratic Wasserstein distance between two computed densities, and the geodesic between them.

After Benamou and Brenier W₂²(ρ, η) = min ∫|x - T(x)|² ρ(x) dx over the maps T that push ρ to η is the least
action

    min ∫₀¹ ∫ ρ_s |v_s|² dx ds,    ∂_s ρ + div(ρ v) = 0,  ρ_0 = ρ,  ρ_1 = η,

over paths of densities, without a factor ½. Here a path has S slabs of equal length between nodal densities
on P1, and moves by the mobility "average" (see `fem_models.jko.paths`, (2.9a) and (2.9b) of Bruna,
Burger and Carrillo with given ends): W₂ is of second order in h and in 1/S. A slab should move mass by less
than the size of the lumps that it is in. The minimisation is the same, read backwards, with the two densities
exchanged, so that the distance is symmetric up to round-off. Next to vacuum, where the barrier costs
something, distances below 1e-7 of the extent of the domain are not resolved. Everything is dimensionless.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from mpi4py import MPI

from fem_models.core.errors import InputError, SolveError
from fem_models.exact.distances import same_mass
from fem_models.jko.path_ends import FixedEnd
from fem_models.jko.path_solver import PathSolver
from fem_models.jko.paths import PathEquations
from fem_models.linalg.newton import NewtonSettings
from fem_models.nodal.edges import EdgeGeometry
from fem_models.nodal.mobilities import CellMobility

_Array = npt.NDArray[np.float64]

SLABS = 8

_SETTINGS = NewtonSettings(linear="direct")

# Densities that differ by less than this share of their maximum are one and the same.
_EQUAL = 1e-14


@dataclass(frozen=True, eq=False)
class Geodesic:
    """The distance between two densities and the path between them. All numbers are dimensionless.

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
    """

    distance: float
    square: float
    mass: float
    densities: _Array
    potentials: _Array
    iterations: int
    seconds: float
    notes: tuple[str, ...]


def wasserstein(
    space: fem.FunctionSpace,
    first: _Array,
    second: _Array,
    slabs: int = SLABS,
    settings: NewtonSettings | None = None,
    *,
    cells: npt.NDArray[np.int32] | None = None,
    masses: tuple[float, float] | None = None,
    watch: Callable[[int], None] | None = None,
) -> Geodesic:
    """W₂ between two densities on one mesh. Collective.

    Args:
        space: The scalar P1 space.
        first: Nodal densities ≥ 0, ghosts included, shape (nodes,).
        second: Likewise, with the same mass up to 1e-9 of it, which is scaled away.
        slabs: S ≥ 2.
        settings: For Newton's method and the linear systems; MUMPS by default.
        cells: Local cells, ghosts included, of the part of the mesh where densities live; all by default.
        masses: The masses of the densities where they are not the sums over the shares of cells, as with
            Voronoi volumes: the densities are scaled to them.
        watch: Called on every rank with the number of each Newton iteration before its linear systems.

    Raises:
        InputError: Slabs that are no whole number of at least 2, densities that are negative, not finite or
            of another shape, or masses that are zero or differ.
        SolveError: Newton's method failed; the message is its report.
    """
    start = time.perf_counter()
    _check(space, first, second, slabs)
    volumes = EdgeGeometry(space, cells, lumping="cells").volumes
    owned = space.dofmap.index_map.size_local
    inside = volumes > 0.0
    sums = space.mesh.comm.allreduce(volumes[:owned] @ np.stack([first, second], axis=1)[:owned])
    mass = same_mass(*map(float, sums if masses is None else masses))
    if not sums.min() > 0.0:
        raise InputError("A density is zero at all nodes of the mesh, and has no Wasserstein distance.")
    first, second = (np.where(inside, mass / s * d, 0.0) for s, d in zip(sums, (first, second), strict=True))
    if _equal(space.mesh.comm, first, second):
        path = np.repeat(first[:, None], slabs + 1, axis=1)
        at_rest = np.zeros((len(first), slabs))
        return Geodesic(0.0, 0.0, mass, path, at_rest, 0, time.perf_counter() - start, ())

    # The solver's tolerances are those of densities of the size 1.
    size = mass / float(space.mesh.comm.allreduce(volumes[:owned].sum()))
    first, second = first / size, second / size
    end = FixedEnd(second[:, None], volumes, owned)
    equations = _Watched(space, volumes, CellMobility(space, cells), slabs, 0.5, end)
    equations.watch = watch
    solver = PathSolver(equations, settings or _SETTINGS)
    old = first[:, None]
    # The straight line between the densities, which the solver lifts off the barrier.
    times = np.arange(1, slabs + 1) / slabs
    guess = equations.constant(old, np.zeros_like(old))
    equations.densities(guess)[:, 0] = (1.0 - times) * old + times * second[:, None]
    outcome = solver.interior_point(guess, old, 1.0)
    if not outcome.converged:
        raise SolveError(outcome.report)
    square = size * max(2.0 * float(equations.action(outcome.unknowns, old, 1.0)[0]), 0.0)
    # The solver has the density at the end up to round-off.
    between = equations.densities(outcome.unknowns)[:, 0, :-1]
    path = size * np.column_stack([first, between, second])
    potentials = equations.potentials(outcome.unknowns)[:, 0].copy()
    seconds = time.perf_counter() - start
    notes = tuple(solver.notes)
    return Geodesic(math.sqrt(square), square, mass, path, potentials, outcome.newton, seconds, notes)


class _Watched(PathEquations):
    """Equations that tell when Newton's method begins another iteration."""

    watch: Callable[[int], None] | None = None
    _iterations = 0

    def linearise(self, *arguments: Any, **named: Any) -> None:
        self._iterations += 1
        if self.watch is not None:
            self.watch(self._iterations)
        super().linearise(*arguments, **named)


def _check(space: fem.FunctionSpace, first: _Array, second: _Array, slabs: int) -> None:
    if not isinstance(slabs, int) or slabs < 2:
        raise InputError(f"The number of slabs must be a whole number of at least 2, not {slabs!r}.")
    index_map = space.dofmap.index_map
    shape = (index_map.size_local + index_map.num_ghosts,)
    densities = (first, second)
    fit = all(d.shape == shape for d in densities)
    if not space.mesh.comm.allreduce(fit, op=MPI.LAND):
        raise InputError("A density needs a value for each node of its mesh, ghosts included.")
    good = all(bool(np.isfinite(d).all() and (d >= 0.0).all()) for d in densities)
    if not space.mesh.comm.allreduce(good, op=MPI.LAND):
        raise InputError("Densities must be finite and 0 or more at all nodes.")


def _equal(comm: MPI.Comm, first: _Array, second: _Array) -> bool:
    difference = comm.allreduce(float(np.abs(first - second).max(initial=0.0)), op=MPI.MAX)
    return difference <= _EQUAL * comm.allreduce(float(first.max(initial=0.0)), op=MPI.MAX)
