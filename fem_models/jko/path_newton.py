"""Newton's method with complementarity, for paths of least action.

Densities are ≥ 0. The condition ρ ≥ 0, s ≥ 0, ρs = 0 is taken as it is: where ρ is smaller than s, in their
units, ρ = 0 is held, elsewhere s = 0. It needs two or three iterations from a good guess.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.flow.vacuum import ACTION, FRONT
from fem_models.jko.path_problem import DUAL_TOLERANCE, HOPELESS, PathOutcome, PathProblem

_Array = npt.NDArray[np.float64]

# Steps are halved where the residual has not fallen by this factor, after the first iterations.
_FALLING = 0.95
_PATIENCE = 3
_LEAST_DAMPING = 0.5

# A residual that was smaller by this factor is not on its way to zero.
_REBOUND = 1e3


def newton(problem: PathProblem, guess: _Array, limit: int) -> PathOutcome:
    """Solve from a guess. Collective.

    Args:
        problem: The problem.
        guess: First iterate, shape (nodes, size).
        limit: Iterations after which to give up.

    Returns:
        The last iterate, and whether it is a solution.
    """
    equations = problem.equations
    owned, c = equations.owned, equations.columns
    floor, front = (share * problem.means for share in (ACTION, FRONT))
    unknowns, converged, first, least = guess.copy(), False, math.inf, math.inf
    iteration, rounding, damping, change = 0, 0.0, 1.0, math.inf
    may_vanish = ~problem.logarithmic & equations.inside[:owned, None]
    # Where a step would have made a density negative, it is held at zero next.
    wanted = unknowns[:owned, :c]
    while True:
        residual = problem.residual(unknowns, floor)
        densities = unknowns[:owned, :c]
        slack = -residual[:, c : 2 * c] / (problem.volumes * problem.potential_scale)
        held = (wanted / problem.means < slack) & may_vanish
        dual = np.where(held, 0.0, residual[:, c : 2 * c])
        primal, dual_error = problem.errors(residual, dual, densities)
        problem.note(f"{iteration}: {problem.named(primal, dual_error)}")
        # In long steps the fluxes say less than the change that they still ask for.
        exact = primal <= max(problem.settings.tolerance, rounding) or change <= problem.settings.tolerance
        if iteration > 0 and exact and dual_error <= DUAL_TOLERANCE:
            converged = True
            break
        first = min(first, primal) if iteration else primal
        hopeless = min(HOPELESS * max(first, 1.0), _REBOUND * max(least, 1e-6))
        if iteration == limit or problem.spent or not primal <= hopeless:
            break
        residual[:, c : 2 * c] = np.where(held, -problem.volumes * densities, residual[:, c : 2 * c])
        every = equations.with_ghosts(np.concatenate([held, held], axis=1, dtype=float), 2 * c)
        rounding = problem.linearise(unknowns, np.zeros_like(dual), every[:, :c] > 0.5, floor, front)
        step = problem.linear.solve(residual)
        if step is None:
            break
        change = problem.change(step)
        stagnates = iteration > _PATIENCE and primal > _FALLING * least
        damping = max(0.5 * damping, _LEAST_DAMPING) if stagnates else min(2.0 * damping, 1.0)
        least = min(least, primal) if iteration else least
        step *= damping
        wanted = (unknowns[:owned] - step)[:, :c]
        unknowns = equations.with_ghosts(_limited(problem, unknowns[:owned], step, held))
        wanted = np.where(wanted < 0.0, wanted, unknowns[:owned, :c])
        iteration += 1
    return problem.outcome(unknowns, converged, iteration)


def _limited(problem: PathProblem, unknowns: _Array, step: _Array, held: npt.NDArray[np.bool_]) -> _Array:
    """The next iterate, with densities kept to what they can do."""
    equations = problem.equations
    new = unknowns - step
    # Densities within the step have no energy of their own: they stay ≥ 0 and below twice the largest.
    c, largest = equations.columns, np.empty(equations.columns)
    equations.comm.Allreduce(unknowns[:, :c].max(axis=0, initial=0.0), largest, op=MPI.MAX)
    linear = np.clip(new[:, :c], 0.0, 2.0 * np.maximum(largest, problem.means))
    new[:, :c] = linear
    state, change = equations.final(unknowns), equations.final(step)
    kept = state - equations.end.limited(state, change)
    equations.set_final(new, kept)
    # Densities that are to vanish do, whatever their potentials are like.
    new[:, :c] = np.where(held, linear, new[:, :c])
    return new
