"""Steady states of coupled systems: the stationary point of the energy with given masses, without time steps.

The Euler–Lagrange conditions at the nodes are those of a steady state of every scheme here,

    μ_s = λ_s where ρ_s > 0,   μ_s ≥ λ_s where ρ_s = 0,   K φ + m ∂e/∂φ = 0,   Σ_i m_i ρ_s,i = M_s,

for densities ρ with multipliers λ and fields φ of the L² metric or static ones (Matthes, on steady states:
m/(m-1) ρ_i^(m-1) + ε∂_iH = (λ_i - V_i)₊, where the slides absorb the factor; Kinderlehrer, Monsaingeon and
Xu, (1.2): Poisson–Boltzmann for m = 1). Densities and multipliers are eliminated: what is left is a function
of φ alone, convex in fields of the L² metric and concave in static ones for small couplings, and Newton's
method for its derivative. Interactions add their potentials q = ∫K(x-y)ρ(y) to the unknowns. Everything is
dimensionless.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc

from fem_models.core.errors import SolveError
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.flow.neutrality import check_neutral
from fem_models.linalg.callbacks import product_matrix, weak
from fem_models.linalg.krylov import KrylovSolver
from fem_models.linalg.options import Option
from fem_models.steady.field_equations import FieldEquations, FieldLinearisation
from fem_models.steady.local_densities import LocalDensities, Response

_Array = npt.NDArray[np.float64]

_ITERATIONS = 60
_HALVINGS = 20

# A step is halved while the slope of the energy along it ends reversed and beyond this share of its size.
_REVERSED = 0.5

# Relative residuals: below the first one Newton's steps are taken as they are and go on while they help; the
# second is round-off.
_CLOSE, _ROUND_OFF = 1e-11, 1e-15

# The share of a mass at one node from which a density is no function any more.
_CONCENTRATED = 0.5

# Of the linear systems of interactions.
_NONLOCAL: dict[str, Option] = {
    "ksp_type": "gmres",
    "ksp_rtol": 1e-10,
    "ksp_atol": 0.0,
    "ksp_max_it": 200,
    "pc_type": "none",
}

_NOT_FOUND = (
    "No steady state was found: the energy may not be convex, or have no minimiser with these masses"
    " (smaller couplings or masses, or a guess, may help)."
)
_NOT_CONVEX = (
    "The energy is not convex in the densities where there is mass: its steady states need not be unique."
)


@dataclass(frozen=True)
class _Point:
    """Fields, non-local potentials and multipliers with their densities and residuals.

    Attributes:
        state: All columns, ghosts included.
        nonlocal_: q, shape (nodes, densities).
        multipliers: λ.
        response: The densities.
        residual: Of the fields, signed as the derivative of a convex function, shape (owned nodes, fields).
        mismatch: q less the potentials of the densities, shape (nodes, densities).
        error: The largest of the relative residuals.
    """

    state: State
    nonlocal_: _Array
    multipliers: _Array
    response: Response
    residual: _Array
    mismatch: _Array
    error: float


class Equilibrium:
    """Newton's method for the steady state of a flow. Collective.

    Args:
        flow: The gradient flow, with at least one density.
        masses: By the order of the densities, positive, shape (densities,).
        guess: A state to start from; even densities and fields that are zero by default.
        seconds: After which to give up.

    Raises:
        InputError: Charges that do not balance where the potential needs it.
    """

    def __init__(
        self, flow: GradientFlow, masses: _Array, guess: State | None = None, seconds: float = math.inf
    ) -> None:
        self._flow = flow
        self._seconds, self._deadline = seconds, time.perf_counter() + seconds
        self._masses = masses
        state = np.zeros((flow.nodes, len(flow.names))) if guess is None else guess.copy()
        for column, (nodes, values) in flow.fixed.items():
            state[nodes, column] = values
        self._densities = LocalDensities(flow, state)
        self._columns = self._densities.columns
        self._start = state
        if guess is None:
            self._start = self._even()
        self._owned = slice(0, flow.owned)
        self._volumes = flow.geometry.volumes
        check_neutral(flow, self._even())
        self._equations = FieldEquations(flow, self._densities)

    def solve(self) -> State:
        """The steady state.

        Raises:
            SolveError: The energy is not convex, or Newton's method does not converge.
        """
        point = first = self._first()
        for _ in range(_ITERATIONS):
            if point.error <= _ROUND_OFF:
                break
            following = self._improved(point)
            if following.error >= 0.5 * point.error and point.error <= _CLOSE:
                break
            point = following
        else:
            raise SolveError(_NOT_FOUND)
        self._check_minimum(point, first)
        found = self._flow.comm.allreduce(self._volumes[self._owned] @ point.state[self._owned])
        state = point.state.copy()
        state[:, self._columns] *= self._masses / found[self._columns]
        return self._flow.gauged(state)

    def _even(self) -> State:
        """The start with even densities."""
        state = self._start.copy()
        state[:, self._columns] = np.where(self._flow.inside[:, None], self._masses / self._flow.volume, 0.0)
        return state

    def _check_minimum(self, point: _Point, first: _Point) -> None:
        flow = self._flow
        if not self._densities.convex(point.state):
            raise SolveError(_NOT_CONVEX)
        if not flow.relaxed.any():
            return
        if not self._equations.balanced(point.state):
            raise SolveError(
                "No steady state was found: the sources of a field do not balance, and it grows for ever; "
                "let it decay."
            )
        if self._share(point) > _CONCENTRATED >= self._share(first):
            raise SolveError(
                "No steady state was found: the mass concentrates at one node, as it does on every mesh "
                "where aggregation is stronger than diffusion; a smaller mass or coupling has a steady state."
            )
        # With static fields among them the second derivatives by the fields have both signs at a minimum.
        if not flow.static.any() and self._equations.feedback(point.state, point.response.rates) > 1.0:
            raise SolveError(
                "The state that was found is stationary, but it is no minimum of the energy, which is not "
                "convex: start from a guess on the side of the steady state that is wanted."
            )

    def _share(self, point: _Point) -> float:
        """The largest share of a mass at one node."""
        shares = (self._volumes[:, None] * point.response.densities)[self._owned] / self._masses
        return self._flow.comm.allreduce(float(shares.max(initial=0.0)), op=MPI.MAX)

    # Residuals

    def _first(self) -> _Point:
        """The point of the start, with multipliers from even densities."""
        state = self._start
        q = self._interactions(state[:, self._columns])
        multipliers = self._densities.first_multipliers(state, q, self._masses)
        point = self._point(state, q, multipliers, state[:, self._columns])
        if point is None:
            raise SolveError(_NOT_FOUND)
        return point

    def _point(self, state: State, q: _Array, multipliers: _Array, guess: _Array) -> _Point | None:
        """The densities with the given masses at fields and non-local potentials, and the residuals there."""
        flow, owned = self._flow, self._owned
        if flow.comm.allreduce(time.perf_counter() > self._deadline, op=MPI.LOR):
            raise SolveError(f"The search was ended after {self._seconds:.3g} seconds.")
        found = self._densities.with_masses(state, q, self._masses, multipliers, guess)
        if found is None:
            return None
        response, multipliers = found
        state = state.copy()
        state[:, self._columns] = response.densities
        residual, scale = self._equations.residual(state)
        mismatch = q - self._interactions(response.densities)
        weights = self._volumes[owned, None]
        squares = [
            (residual**2).sum(),
            (scale**2).sum(),
            (weights * mismatch[owned] ** 2).sum(),
            (weights * q[owned] ** 2).sum(),
        ]
        sums = np.sqrt(flow.comm.allreduce(np.array(squares)))
        ratios = np.divide(sums[::2], sums[1::2], out=np.zeros(2), where=sums[1::2] > 0.0)
        return _Point(state, q, multipliers, response, residual, mismatch, float(ratios.max()))

    def _interactions(self, densities: _Array) -> _Array:
        """The non-local potentials of densities, shape (nodes, densities)."""
        if not self._flow.couplings.interacts:
            return np.zeros_like(densities)
        state = np.zeros((self._flow.nodes, len(self._flow.names)))
        state[:, self._columns] = densities
        return self._flow.couplings.interactions(state)[:, self._columns]

    # Newton's method

    def _improved(self, point: _Point) -> _Point:
        """The point after a step of Newton's method, halved while it goes too far."""
        linear = self._equations.linearise(point.state, point.response.rates)
        q = self._nonlocal_step(point, linear)
        found = self._searched(point, q, linear)
        if found is None and not self._flow.couplings.interacts:
            # With densities that do not answer, the step is downhill even where the energy is not convex.
            linear = self._equations.linearise(point.state, np.zeros_like(point.response.rates))
            found = self._searched(point, q, linear)
        if found is None:
            raise SolveError(_NOT_FOUND)
        return found

    def _searched(self, point: _Point, q: _Array, linear: FieldLinearisation) -> _Point | None:
        """The point after the linear equations' step, halved while it goes too far, or None."""
        fields, multipliers, _ = linear.solve(point.residual, q)
        slope = self._dot(point.residual, fields)
        if slope > 0.0 and point.error > _CLOSE and not self._flow.couplings.interacts:
            return None
        share = 1.0
        for _ in range(_HALVINGS):
            state = point.state.copy()
            state[:, self._equations.columns] += share * fields
            trial = self._point(
                state,
                point.nonlocal_ + share * q,
                point.multipliers + share * multipliers,
                point.response.densities,
            )
            if trial is not None and self._acceptable(point, trial, fields, slope, share):
                return trial
            share *= 0.5
        return None

    def _nonlocal_step(self, point: _Point, linear: FieldLinearisation) -> _Array:
        """The change δq of the non-local potentials: δq - K δρ(δq) = -(q - K ρ), by GMRES."""
        if not self._flow.couplings.interacts:
            return np.zeros_like(point.nonlocal_)
        solve, owned = linear.solve, self._owned
        _, _, densities = solve(point.residual, np.zeros_like(point.mismatch))
        right = self._interactions(densities) - point.mismatch
        none, shape = np.zeros_like(point.residual), point.mismatch[owned].shape

        def answer(values: _Array) -> _Array:
            """K δρ for δq at the nodes of this rank; those of its ghosts do not count."""
            shift = np.zeros_like(point.mismatch)
            shift[owned] = values.reshape(shape)
            return self._interactions(solve(none, shift)[2])

        def multiply(_: PETSc.Mat, x: PETSc.Vec, y: PETSc.Vec) -> None:
            y.array_w[:] = x.array_r - answer(x.array_r)[owned].ravel()

        sizes = (right[owned].size, PETSc.DETERMINE)
        operator = product_matrix((sizes, sizes), weak(multiply), self._flow.comm)
        b, x = operator.createVecs()
        b.array_w[:] = right[owned].ravel()
        KrylovSolver(self._flow.comm, "nonlocal_", _NONLOCAL, operator=operator).solve(b, x)
        return right + answer(x.array_r)

    def _acceptable(self, point: _Point, trial: _Point, fields: _Array, slope: float, share: float) -> bool:
        if point.error <= _CLOSE:
            return True
        mismatches = [self._norm(p.mismatch) for p in (point, trial)]
        if mismatches[1] > max((1.0 - 0.1 * share) * mismatches[0], _CLOSE * self._norm(trial.nonlocal_)):
            return False
        return self._dot(trial.residual, fields) <= _REVERSED * abs(slope)

    def _dot(self, residual: _Array, fields: _Array) -> float:
        return float(self._flow.comm.allreduce(float((residual * fields[self._owned]).sum())))

    def _norm(self, values: _Array) -> float:
        squares = self._volumes[self._owned, None] * values[self._owned] ** 2
        return math.sqrt(self._flow.comm.allreduce(float(squares.sum())))
