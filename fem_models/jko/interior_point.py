"""The interior point method, for paths of least action.

Densities are ≥ 0, with slacks s: ρs = ε m is followed with ε to zero by the predictor-corrector method of
Mehrotra (SIAM J. Optim. 1992), which converges from any guess, in 10 to 40 iterations.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.flow.vacuum import ACTION
from fem_models.jko.path_problem import DUAL_TOLERANCE, HOPELESS, PathOutcome, PathProblem

_Array = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]

# Between given densities linear systems along the barrier leave more than `DUAL_TOLERANCE`; actions err by
# the square.
_FIXED_TOLERANCE = 1e-6

# The barrier ends where it costs this share of the action, or of the energy's own scale.
_GAP = 1e-9
_LEAST_GAP = 1e-13

# Steps stop short of the boundary by the remaining share.
_TO_THE_BOUNDARY = 0.995

# The least density of a first iterate, as a share of the mean.
_INTERIOR = 1.0


def interior_point(problem: PathProblem, guess: _Array) -> PathOutcome:
    """Solve along the barrier. Collective.

    Args:
        problem: The problem.
        guess: First iterate; its densities are lifted into the interior, and its potentials, if the
            densities at the end are unknown, taken for their means: in long steps they mean nothing.

    Returns:
        The last iterate, and whether it is a solution.
    """
    equations = problem.equations
    owned, c = equations.owned, equations.columns
    bound = problem.free & problem.equations.inside[:, None]
    unknowns = guess.copy()
    lifted = np.maximum(unknowns[:, :c], _INTERIOR * problem.means)
    unknowns[:, :c] = np.where(bound, lifted, unknowns[:, :c])
    if equations.end.free:
        equations.potentials(unknowns)[:] = problem.mean_potentials(guess)[:, None]
    bound, floor = bound[:owned], ACTION * problem.means
    slack = np.where(
        bound, min(problem.potential_scale, problem.longest()) * problem.volumes * problem.means, 0.0
    )
    slack /= np.where(bound, unknowns[:owned, :c], 1.0)
    held = np.zeros((equations.nodes, c), dtype=bool)
    tolerance = DUAL_TOLERANCE if equations.end.free else _FIXED_TOLERANCE
    converged, iteration, first, rounding, change = False, 0, math.inf, 1e-12, math.inf
    while True:
        residual = problem.residual(unknowns, floor)
        densities = np.where(bound, unknowns[:owned, :c], 1.0)
        dual = np.where(bound, residual[:, c : 2 * c] + slack, 0.0)
        primal, dual_error = problem.errors(residual, dual, unknowns[:owned, :c])
        gap, count, action = _gap(problem, densities * slack, bound, unknowns)
        problem.note(f"{iteration}: {problem.named(primal, dual_error)}, barrier {gap:.3e}")
        enough = max(_GAP * action, _LEAST_GAP * problem.potential_scale * problem.masses.sum())
        exact = primal <= max(problem.settings.tolerance, rounding) or change <= problem.settings.tolerance
        small = exact and dual_error <= tolerance
        if iteration > 0 and small and gap <= enough:
            converged = True
            break
        first = min(first, primal) if iteration else primal
        if problem.spent or not primal <= HOPELESS * max(first, 1.0):
            break
        rounding = problem.linearise(unknowns, slack / densities, held, floor)
        corrected = _predicted_and_corrected(problem, residual, densities, slack, bound, gap, count)
        if corrected is None:
            break
        step, changes = corrected
        change = problem.change(step)
        length, other = _lengths(problem, densities, step[:, :c], slack, changes, bound, _TO_THE_BOUNDARY)
        unknowns = equations.with_ghosts(unknowns[:owned] - length * step)
        slack = slack + other * np.where(bound, changes, 0.0)
        iteration += 1
    return problem.outcome(unknowns, converged, iteration)


def _predicted_and_corrected(
    problem: PathProblem,
    residual: _Array,
    densities: _Array,
    slack: _Array,
    bound: npt.NDArray[np.bool_],
    gap: float,
    count: float,
) -> tuple[_Array, _Array] | None:
    """Mehrotra's step, towards a barrier that a first step to none has chosen; None where a solve failed."""
    c = problem.equations.columns
    predictor = _direction(problem, residual, densities, slack, bound, 0.0)
    if predictor is None:
        return None
    step, changes = predictor
    length, other = _lengths(problem, densities, step[:, :c], slack, changes, bound, 1.0)
    ahead = (densities - length * step[:, :c]) * (slack + other * changes)
    (ahead_gap,) = problem.sums(np.where(bound, ahead, 0.0).sum(axis=1, keepdims=True))
    centring = (float(ahead_gap[0]) / gap) ** 3 if gap > 0.0 else 0.0
    correction = -length * other * step[:, :c] * changes
    average = gap / max(count, 1.0)
    target = centring * average * problem.volumes - correction
    return _direction(problem, residual, densities, slack, bound, target)


def _gap(
    problem: PathProblem, products: _Array, bound: _Mask, unknowns: _Array
) -> tuple[float, float, float]:
    """Σ ρs, Σ m over the densities with a barrier, and the action."""
    gap, weight = problem.sums(
        np.where(bound, products, 0.0).sum(axis=1, keepdims=True),
        np.where(bound, problem.volumes, 0.0).sum(axis=1, keepdims=True),
    )
    return float(gap[0]), float(weight[0]), problem.action(unknowns)


def _direction(
    problem: PathProblem,
    residual: _Array,
    densities: _Array,
    slack: _Array,
    bound: _Mask,
    target: _Array | float,
) -> tuple[_Array, _Array] | None:
    """The step to subtract from the unknowns and the change of s on the way to ρs = target."""
    c = problem.equations.columns
    right = residual.copy()
    right[:, c : 2 * c] += np.where(bound, target / densities, 0.0)
    step = problem.linear.solve(right, hard=True)
    if step is None:
        return None
    changes = (target + slack * step[:, :c]) / densities - slack
    return step, np.where(bound, changes, 0.0)


def _lengths(
    problem: PathProblem,
    densities: _Array,
    step: _Array,
    slack: _Array,
    changes: _Array,
    bound: _Mask,
    share: float,
) -> tuple[float, float]:
    """The longest steps, up to 1, that go no further than this share of the way to ρ = 0 and to s = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [step / densities, np.where(slack > 0.0, -changes / slack, 0.0)]
    local = np.array([np.where(bound, ratio, 0.0).max(initial=0.0) for ratio in ratios])
    worst = np.empty(2)
    problem.equations.comm.Allreduce(local, worst, op=MPI.MAX)
    density, other = (min(1.0, share / value) if value > 0.0 else 1.0 for value in worst)
    return density, other
