"""Densities in equilibrium with given fields and multipliers: small convex problems, one at each node.

With the multipliers λ of the masses, the fields φ and non-local potentials q given, the densities of a node
minimise e(ρ, φ, x) + (q - λ)·ρ over ρ ≥ 0:

    μ_s = θ_s (log ρ_s + 1) + ψ_s + q_s = λ_s where ρ_s > 0,    μ_s ≥ λ_s where ρ_s = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.energies import Energy
from fem_models.flow.gradient_flow import GradientFlow, State

_Array = npt.NDArray[np.float64]

_ITERATIONS = 200
_SMALLEST, _LARGEST = 1e-300, 1e100

# A step of this relative size leaves an error of its square, which is round-off.
_LAST_STEP = 1e-9
_ROUND_OFF = 16.0 * np.finfo(float).eps

# A step is halved while the slope of the energy along it ends reversed and beyond this share of its size.
_REVERSED = 0.5

# Where the unknown is log ρ, a density grows at most by this factor in a step beyond ten times the largest.
_GROWTH = math.log(1e2)

# The share of the largest density from which a node without slope leaves vacuum.
_LIFT = 1e-3

# Where the slope of the potential is infinite in vacuum, slopes are those at this share of the largest.
_FLOOR = 1e-12

# Pivots that are negative by this share of the matrix are zero.
_SEMIDEFINITE = 1e-12

# For the multipliers: iterations, and the relative error of the masses that is as good as none.
_MASS_ITERATIONS = 100
_MASS_ERROR = 1e-13


@dataclass(frozen=True)
class Response:
    """Densities ρ and how they answer to the multipliers, at the nodes of this rank with its ghosts.

    Attributes:
        densities: Shape (nodes, densities), exactly zero in vacuum.
        rates: ∂ρ_s/∂λ_t, shape (nodes, densities, densities): zero for densities in vacuum.
    """

    densities: _Array
    rates: _Array


class LocalDensities:
    """Newton's method for the densities of all nodes at once. Collective.

    The unknown is log ρ where the potential or its slope is infinite in vacuum, otherwise ρ. Steps are
    halved, node by node, that go beyond the minimum.

    Args:
        flow: The gradient flow.
        state: A state with typical fields.
        region: Nodes outside of which there is no density, shape (nodes,); all that the flow has by default.

    Attributes:
        columns: The columns of the densities in a state.
    """

    def __init__(self, flow: GradientFlow, state: State, region: npt.NDArray[np.bool_] | None = None) -> None:
        self._flow = flow
        # The energy without its interactions, whose potentials are given here.
        local = Energy([term for term in flow.terms if term.interaction is None])
        self.local = GradientFlow(flow.mesh, flow.species, local) if flow.couplings.interacts else flow
        self.columns = np.flatnonzero(flow.transported)
        self._theta = flow.theta[self.columns]
        self._outside = ~(flow.inside if region is None else flow.inside & region)[:, None]
        empty = np.where(flow.transported, 0.0, state)
        singular = self._somewhere(~np.isfinite(self.local.smooth_potentials(empty)[:, self.columns]))
        slopes = self._block(self.local.hessian(empty))
        steep = self._somewhere(~np.isfinite(np.einsum("nss->ns", slopes)))
        self._logarithmic = singular | steep | (self._theta > 0.0)
        # These may be in vacuum although the unknown is log ρ.
        self._vanishing = np.flatnonzero(steep & ~singular & (self._theta == 0.0))
        self._positive = singular | (self._theta > 0.0)

    def _somewhere(self, found: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Whether something is found at some node of some rank, for each density."""
        inside = (found & ~self._outside).any(axis=0)
        return self._flow.reduce(inside.astype(float), MPI.MAX) > 0.0

    def _block(self, hessian: _Array) -> _Array:
        return hessian[:, self.columns[:, None], self.columns]

    def first_multipliers(self, state: State, nonlocal_: _Array, masses: _Array) -> _Array:
        """Multipliers λ from which `with_masses` finds others, from the potentials of even densities.

        Where the unknown is log ρ they are the least potentials, at which masses are too small but not zero;
        otherwise the largest, at which masses are too large.

        Args:
            state: The fields; the columns of densities are not read.
            nonlocal_: The potentials q, shape (nodes, densities).
            masses: Wanted, shape (densities,).

        Returns:
            λ, shape (densities,).
        """
        even = np.where(self._outside, 0.0, masses / self._flow.volume)
        return np.where(self._positive, *self._extreme_multipliers(state, nonlocal_, even))

    def _extreme_multipliers(self, state: State, nonlocal_: _Array, rho: _Array) -> tuple[_Array, _Array]:
        """The least and the largest potential of each density, where densities live."""
        state = state.copy()
        state[:, self.columns] = rho
        with np.errstate(all="ignore"):
            entropy = np.where(self._theta > 0.0, self._theta * (np.log(rho) + 1.0), 0.0)
        mu = self.local.smooth_potentials(state)[:, self.columns] + entropy + nonlocal_
        low = np.where(self._outside, math.inf, mu).min(axis=0, initial=math.inf)
        high = np.where(self._outside, -math.inf, mu).max(axis=0, initial=-math.inf)
        return self._flow.reduce(low, MPI.MIN), self._flow.reduce(high, MPI.MAX)

    def solve(self, state: State, offset: _Array, guess: _Array) -> Response | None:
        """The densities, or None where none are found: the energy does not hold them, or is not convex.

        Args:
            state: The fields; the columns of densities are not read.
            offset: q - λ, shape (nodes, densities).
            guess: First iterate, shape (nodes, densities).

        Returns:
            The densities and their rates, or None.
        """
        comm, log = self._flow.comm, self._logarithmic
        largest = max(comm.allreduce(float(guess.max(initial=0.0)), op=MPI.MAX), _SMALLEST)
        start = np.where(guess > 0.0, guess, np.where(log, _LIFT * largest, 0.0))
        z = np.where(log, np.log(np.maximum(start, _SMALLEST)), start)
        base, base_rho, base_residual = z, np.zeros_like(z), np.full(z.shape, -math.inf)
        state = state.copy()
        with np.errstate(all="ignore"):
            for _ in range(_ITERATIONS):
                rho, residual, matrix, weight, noise = self._equations(state, offset, z, largest)
                change = rho - base_rho
                beyond = (residual * change).sum(axis=1) > -_REVERSED * (base_residual * change).sum(axis=1)
                far = beyond & (np.abs(z - base) > noise).any(axis=1) | ~np.isfinite(residual).all(axis=1)
                far = far[:, None]
                base, base_rho, base_residual = (
                    np.where(far, old, new)
                    for old, new in ((base, z), (base_rho, rho), (base_residual, residual))
                )
                newton = self._newton(z, residual, matrix, weight)
                following = np.where(far, 0.5 * (base + z), self._admissible(z, newton, largest))
                settled = np.abs(following - z) <= noise
                z = following
                if comm.allreduce(bool(settled.all()), op=MPI.LAND):
                    break
            else:
                return None
            rho, _, matrix, weight, noise = self._equations(state, offset, z, largest)
        vacuum = np.isinf(noise)
        inverse = np.where(vacuum[:, :, None] | vacuum[:, None, :], 0.0, _inverse(matrix)[0])
        rates = weight[:, :, None] * inverse * weight[:, None, :]
        fine = np.isfinite(rho).all() and np.isfinite(rates).all() and rho.max(initial=0.0) < _LARGEST
        if not comm.allreduce(bool(fine), op=MPI.LAND):
            return None
        return Response(rho, rates)

    def convex(self, state: State) -> bool:
        """Whether ∂²e/∂ρ² is positive definite for densities that are there, and for no others negative.

        Args:
            state: Shape (nodes, species).

        Returns:
            Whether it is.
        """
        rho = state[:, self.columns]
        state = state.copy()
        largest = self._flow.scale(state)[self.columns]
        lifted = rho.copy()
        lifted[:, self._vanishing] = np.maximum(rho, _FLOOR * largest)[:, self._vanishing]
        state[:, self.columns] = lifted
        weight = np.where(self._logarithmic, np.sqrt(lifted), 1.0)
        matrix = weight[:, :, None] * self._block(self.local.hessian(state)) * weight[:, None, :]
        species = np.arange(len(self.columns))
        matrix[:, species, species] += self._theta
        pivots = _inverse(matrix)[1]
        size = np.abs(matrix[:, species, species]).max(axis=1, keepdims=True)
        bad = (pivots < -_SEMIDEFINITE * size) | ((rho > 0.0) & ~(pivots > 0.0))
        return not self._flow.comm.allreduce(bool(bad[(rho > 0.0).any(axis=1)].any()), op=MPI.LOR)

    def _equations(self, state: State, offset: _Array, z: _Array, largest: float) -> tuple[_Array, ...]:
        """Densities, residual, matrix, weights, and the size of steps that do not count, infinite in vacuum.

        With the weights w = ∂ρ/∂z, the matrix is w^½ (∂²e/∂ρ²) w^½ without rows and columns of densities in
        vacuum, whose residual is zero.
        """
        columns, log = self.columns, self._logarithmic
        rho = np.where(self._outside, 0.0, np.where(log, np.exp(np.minimum(z, math.log(_LARGEST))), z))
        state[:, columns] = rho
        vacuum = np.zeros(z.shape, dtype=bool)
        for s in self._vanishing:
            state[:, columns[s]] = 0.0
            vacuum[:, s] = self.local.smooth_potentials(state)[:, columns[s]] + offset[:, s] >= 0.0
            rho[vacuum[:, s], s] = 0.0
            state[:, columns[s]] = rho[:, s]
        psi = self.local.smooth_potentials(state)[:, columns]
        entropy = np.where(self._theta > 0.0, self._theta * (z + 1.0), 0.0)
        residual = entropy + psi + offset
        vacuum |= self._outside | (~log & (rho == 0.0) & (residual >= 0.0))
        residual[vacuum] = 0.0

        weight = np.where(log, np.sqrt(rho), 1.0)
        weight[vacuum] = 1.0
        for s in self._vanishing:
            state[:, columns[s]] = np.maximum(rho[:, s], _FLOOR * largest)
        hessian = self._block(self.local.hessian(state))
        matrix = weight[:, :, None] * hessian * weight[:, None, :]
        species = np.arange(len(columns))
        matrix[:, species, species] += self._theta
        free = ~vacuum
        matrix = np.where(free[:, :, None] & free[:, None, :], matrix, 0.0)
        # Out of vacuum without a slope, a density starts from ten times the largest.
        steps = np.where(~log & (rho == 0.0), np.abs(residual) / (10.0 * largest), 0.0)
        diagonal = np.maximum(matrix[:, species, species], steps)
        matrix[:, species, species] = np.where(vacuum, 1.0, diagonal)
        inverse = _inverse(matrix)[0]
        terms = np.abs(entropy) + np.abs(psi) + np.abs(offset)
        size = np.where(log, 1.0, np.abs(rho))
        lost = _ROUND_OFF * terms * np.abs(inverse[:, species, species])
        noise = np.where(vacuum, math.inf, np.maximum(_LAST_STEP * size, lost))
        return rho, residual, matrix, weight, noise

    def _newton(self, z: _Array, residual: _Array, matrix: _Array, weight: _Array) -> _Array:
        """Newton's step; on the way, densities that would be negative are zero for the others."""
        step = -np.einsum("nst,nt->ns", _inverse(matrix)[0], weight * residual)
        gone = np.zeros(z.shape, dtype=bool)
        for _ in range(len(self.columns) - 1):
            gone |= ~self._logarithmic & (z + step < 0.0)
            nodes = gone.any(axis=1)
            if not nodes.any():
                break
            given = gone[nodes]
            loss = np.where(given, -z[nodes], 0.0)
            forces = -(weight * residual)[nodes] - np.einsum("nst,nt->ns", matrix[nodes], loss)
            rest = np.where(given[:, :, None] | given[:, None, :], np.eye(z.shape[1]), matrix[nodes])
            step[nodes] = np.einsum("nst,nt->ns", _inverse(rest)[0], np.where(given, loss, forces))
        step = step / weight
        step[~np.isfinite(step)] = 0.0
        return step

    def _admissible(self, z: _Array, step: _Array, largest: float) -> _Array:
        """The next iterate: not negative, and without overflow where the unknown is log ρ."""
        most = np.maximum(z + _GROWTH, math.log(10.0 * largest))
        return np.where(
            self._logarithmic,
            np.clip(z + step, math.log(_SMALLEST), most),
            np.maximum(z + step, 0.0),
        )

    def with_masses(
        self, state: State, nonlocal_: _Array, masses: _Array, multipliers: _Array, guess: _Array
    ) -> tuple[Response, _Array] | None:
        """The densities with given masses and the multipliers λ, by Newton's method for log masses of λ.

        The masses are the derivative of a convex function of λ: steps are halved that go beyond its minimum.

        Args:
            state: The fields; the columns of densities are not read.
            nonlocal_: The potentials q, shape (nodes, densities).
            masses: Wanted, shape (densities,).
            multipliers: First λ, shape (densities,).
            guess: Densities, shape (nodes, densities).

        Returns:
            The densities and λ, or None where none are found.
        """
        owned = slice(0, self._flow.owned)
        volumes = self._flow.geometry.volumes[owned]
        # What fields far apart make of multipliers is no use where all densities would be tiny.
        even = np.where(self._outside, 0.0, masses / self._flow.volume)
        least = self._extreme_multipliers(state, nonlocal_, even)[0]
        multipliers = np.where(self._positive, np.maximum(multipliers, least), multipliers)
        base, step, before = multipliers, np.zeros_like(multipliers), math.inf
        for _ in range(_MASS_ITERATIONS):
            response = self.solve(state, nonlocal_ - (base + step), guess)
            gap = np.full(len(masses), math.inf)
            if response is not None:
                found = self._flow.comm.allreduce(volumes @ response.densities[owned])
                with np.errstate(divide="ignore"):
                    gap = masses * np.log(found / masses)
                if np.abs(found / masses - 1.0).max() <= _MASS_ERROR:
                    return response, base + step
            rounded = np.abs(step) <= _ROUND_OFF * np.abs(base)
            if response is None or not np.isfinite(gap).all() or gap @ step > _REVERSED * before:
                if rounded.all():
                    return None
                step = 0.5 * step
                continue
            guess, base = response.densities, base + step
            if before < math.inf and rounded.all():
                return response, base
            slopes = self._flow.comm.allreduce(np.einsum("n,nst->st", volumes, response.rates[owned]))
            step = -np.linalg.lstsq(slopes * (masses / found)[:, None], gap)[0]
            before = abs(float(gap @ step))
        return None


def _inverse(matrix: _Array) -> tuple[_Array, _Array]:
    """Inverses of symmetric matrices of shape (n, k, k), and the pivots of elimination, shape (n, k).

    All pivots are positive if and only if the matrix is positive definite; of others the absolute values are
    taken.
    """
    a = matrix.copy()
    count = a.shape[1]
    pivots = np.empty(a.shape[:2])
    for k in range(count):
        pivots[:, k] = a[:, k, k]
        pivot = np.maximum(np.abs(a[:, k, k]), _SMALLEST)
        row, column = a[:, k, :] / pivot[:, None], a[:, :, k].copy()
        others = np.arange(count) != k
        a[:, others] -= column[:, others, None] * row[:, None, :]
        a[:, k] = row
        a[:, others, k] = -column[:, others] / pivot[:, None]
        a[:, k, k] = 1.0 / pivot
    return a, pivots
