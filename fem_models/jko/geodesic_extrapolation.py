"""Densities beyond the end of a geodesic of the Wasserstein distance.

Between densities ρ⁰ and ρ¹, a time τ apart, the potential φ in the middle of the way solves

    m (ρ¹ - ρ⁰) + τ fluxes(½(ρ⁰ + ρ¹), φ) = 0,

the condition ∂sρ = div(ρ∇φ), (2.9a) of Bruna, Burger and Carrillo, for one slab with weight ½, up to O(τ²).
From there the geodesic goes on as the solution of the conditions of a path of least action,

    m ∂tρ = -fluxes(ρ, φ),    m ∂tφ = ½ squares(φ)       (∂tρ = div(ρ∇φ), ∂tφ = ½|∇φ|²),

in which particles keep their velocities -∇φ; so do they beyond ρ¹, as long as none overtakes another.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc

from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.flow.vacuum import GEODESIC
from fem_models.linalg import mumps
from fem_models.linalg.coordinates import coordinate_matrix, global_numbers
from fem_models.linalg.exchange import Exchange
from fem_models.linalg.garbage import collect
from fem_models.linalg.krylov import KrylovSolver, factorises
from fem_models.linalg.newton import NewtonSettings
from fem_models.linalg.options import Option
from fem_models.meshes.torus import differences
from fem_models.nodal.edges import EdgeGeometry
from fem_models.nodal.mobilities import CellMobility

_Array = npt.NDArray[np.float64]

# The share of an edge that particles may cross in a substep, and the number of substeps after which a
# potential is too rough to be that of a geodesic.
_COURANT = 0.5
_MOST_SUBSTEPS = 2000

_KRYLOV: dict[str, Option] = {"ksp_type": "cg", "ksp_rtol": 1e-10, "ksp_max_it": 500, "pc_type": "gamg"}


class GeodesicExtrapolation:
    """Potentials of geodesics between densities, and densities beyond their ends. Collective; build it once.

    The action is that of the mobility "average", whatever flux a scheme has: what it changes is of second
    order in τ. Masses are exact.

    Args:
        flow: The gradient flow, for its mesh and for which fields are densities.
        settings: Which linear solver: "direct", "krylov" or "auto".

    Attributes:
        linear: Iterations of the linear solver, in all.
    """

    def __init__(self, flow: GradientFlow, settings: NewtonSettings) -> None:
        self._flow = flow
        self._mobility = CellMobility(flow.space, flow.cells)
        self._species = int(flow.transported.sum())
        self._exchange = Exchange(flow.space.dofmap.index_map, 2 * self._species)
        owned = slice(0, flow.owned)
        self._volumes = np.where(flow.inside, flow.geometry.volumes, math.inf)[owned, None]
        # Squares of gradients are means over shares of cells, which nodal volumes need not be in 3D.
        shares = EdgeGeometry(flow.space, flow.cells, "cells").volumes[owned, None]
        self._shares = np.where(flow.inside[owned, None], shares, math.inf)
        apart = differences(flow.mesh, flow.points, self._mobility.pairs)
        self._squared_lengths = (apart**2).sum(axis=1)[:, None]
        self.linear = 0
        self._build_solver(settings)

    def _build_solver(self, settings: NewtonSettings) -> None:
        flow = self._flow
        collect(flow.mesh)
        index_map = flow.space.dofmap.index_map
        numbers = global_numbers(index_map)
        self._anchor = numbers == 0
        self._anchor[flow.owned :] = False
        i, j = numbers[self._mobility.pairs.T]
        rows, columns = np.concatenate([numbers, i, j]), np.concatenate([numbers, j, i])
        self._matrix = coordinate_matrix(flow.comm, index_map, index_map, rows, columns)
        self._right, self._solution = self._matrix.createVecs()
        dimension = flow.mesh.topology.dim
        self._direct = factorises("geodesic", self._right.size, dimension, settings.linear)
        defaults = mumps.SYMMETRIC if self._direct else _KRYLOV
        self._solver = KrylovSolver(flow.comm, "geodesic_", defaults, settings.petsc)

    # The potential

    def potentials(self, older: State, old: State, tau: float) -> _Array | None:
        """The potentials at the end of geodesics. Collective.

        Args:
            older: The densities ρ⁰, shape (nodes, fields).
            old: The densities ρ¹, of the same masses.
            tau: The time between them.

        Returns:
            φ at ρ¹, shape (nodes, densities), up to constants; None where it was not found.
        """
        flow = self._flow
        before, after = older[:, flow.transported], old[:, flow.transported]
        means = np.array(list(flow.masses(old).values()))[flow.transported] / flow.volume
        carrying = 0.5 * (before + after) + GEODESIC * means
        slopes = self._mobility.slopes(carrying, np.zeros_like(carrying))
        nodal, between = tau * slopes.stiffness, tau * slopes.stiffness_between
        right = flow.geometry.volumes[: flow.owned, None] * (before - after)[: flow.owned]
        middle = np.empty_like(right)
        for s in range(self._species):
            if not self._solve(nodal[:, s], between[:, s], right[:, s]):
                return None
            middle[:, s] = self._solution.array_r
        none = np.zeros_like(middle)
        end = self._carried(self._with_ghosts(np.concatenate([none, middle], axis=1)), 0.5 * tau)
        return None if end is None else end[:, self._species :]

    def _solve(self, nodal: _Array, between: _Array, right: _Array) -> bool:
        """Solve for the potential of a species, and say whether that was possible."""
        flow = self._flow
        nodal = nodal.copy()
        nodal[: flow.owned][~flow.inside[: flow.owned]] = 1.0
        # It is determined up to a constant.
        nodal[self._anchor] *= 2.0
        self._matrix.setValuesCOO(np.concatenate([nodal, between, between]), PETSc.InsertMode.INSERT_VALUES)
        if not self._direct:
            # Fronts move: aggregates of another density are of no use.
            self._solver.ksp.pc.reset()
        self._solver.set_operators(self._matrix)
        self._right.array_w[:] = right
        self._solver.solve(self._right, self._solution)
        self.linear += self._solver.iterations
        finite = bool(np.isfinite(self._solution.array_r).all())
        return self._solver.converged and flow.comm.allreduce(finite, op=MPI.LAND)

    # Beyond the end

    def beyond(self, old: State, potentials: _Array, time: float) -> _Array | None:
        """The densities after some more time along the geodesics. Collective.

        Args:
            old: The densities ρ¹, shape (nodes, fields).
            potentials: φ there, shape (nodes, densities).
            time: The time, > 0.

        Returns:
            Shape (nodes, densities), with the masses of ρ¹; negative where ∇φ is not resolved by the mesh.
            None where φ turns too rough.
        """
        start = np.concatenate([old[:, self._flow.transported], potentials], axis=1)
        end = self._carried(start, time)
        return None if end is None else end[:, : self._species]

    @np.errstate(over="ignore", invalid="ignore")
    def _carried(self, values: _Array, time: float) -> _Array | None:
        """Densities and potentials after a time, by Shu and Osher's method of third order."""
        left, last = time, False
        for _ in range(_MOST_SUBSTEPS):
            rate = self._rate(values)
            if last or rate == math.inf:
                break
            last = rate * left <= _COURANT
            step = left if last else _COURANT / rate
            first = self._moved(values, values, step, 0.0)
            second = self._moved(values, first, step, 0.75)
            values = self._moved(values, second, step, 1.0 / 3.0)
            left -= step
        return values if last and rate < math.inf else None

    def _moved(self, start: _Array, at: _Array, step: float, share: float) -> _Array:
        """A share of the start, and for the rest an Euler step from some values."""
        n, owned = self._species, slice(0, self._flow.owned)
        fluxes, squares = self._sums(at[:, :n], at[:, n:])
        rates = np.concatenate([-fluxes / self._volumes, 0.5 * squares / self._shares], axis=1)
        return self._with_ghosts(share * start[owned] + (1.0 - share) * (at[owned] + step * rates))

    def _rate(self, values: _Array) -> float:
        """The largest number of edges that a particle crosses in a unit of time."""
        phi, (i, j) = values[:, self._species :], self._mobility.pairs.T
        local = float((np.abs(phi[i] - phi[j]) / self._squared_lengths).max(initial=0.0))
        return self._flow.comm.allreduce(local if math.isfinite(local) else math.inf, op=MPI.MAX)

    def _sums(self, densities: _Array, potentials: _Array) -> tuple[_Array, _Array]:
        """Fluxes and squares at the nodes of this rank, with the shares of other ranks."""
        n = self._species
        sums = self._mobility.sums(np.ascontiguousarray(densities), np.ascontiguousarray(potentials))
        self._exchange.values[:] = np.concatenate(sums, axis=1)
        found = self._exchange.summed().copy()
        return found[:, :n], found[:, n:]

    def _with_ghosts(self, owned: _Array) -> _Array:
        return self._exchange.with_ghosts(owned).copy()
