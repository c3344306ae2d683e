"""Steps that are too large for Newton's method, solved over smaller ones with the same anchor."""

from __future__ import annotations

import math

from fem_models.linalg.newton import Newton, Outcome
from fem_models.linalg.step_equations import State

# The ratio of a size to the one before: at first, later, and where solves are easiest; the iterations that
# each may take, those after which the ratio may grow, and those of the easiest; the most solves.
_RATIO, _LATER_RATIO, _LARGEST_RATIO = 8.0, 4.0, 1e3
_ITERATIONS, _EASY, _EASIEST = 25, 10, 4
_MOST_SOLVES = 120
_LEAST_RATIO = 1.02


def over_smaller_steps(
    newton: Newton, guess: State, anchor: State, tau: float, bold: bool = False
) -> tuple[list[Outcome], str]:
    """Solve R(u; h, τ') = 0 for growing τ', each from the solution with the one before, up to τ. Collective.

    The solutions depend continuously on τ', and for a small one h itself is close to the solution.

    Args:
        newton: Newton's method for the equations.
        guess: First iterate for the smallest of the steps.
        anchor: h.
        tau: τ.
        bold: Whether sizes may grow fast where that is easy: not where there may be several solutions.

    Returns:
        What all solves did, and the report of the last failure where the last of them is not the solution.
    """
    outcomes: list[Outcome] = []
    ratio, done, trial, report = _RATIO, 0.0, tau / _RATIO, ""
    while len(outcomes) < _MOST_SOLVES and ratio > _LEAST_RATIO:
        outcomes.append(newton.solve(guess, anchor, trial, limit=_ITERATIONS))
        if outcomes[-1].converged:
            if trial == tau:
                return outcomes, ""
            guess, done = outcomes[-1].state, trial
            if outcomes[-1].newton <= _EASY:
                easiest = outcomes[-1].newton <= _EASIEST and bold
                ratio = min(ratio**1.5, _LARGEST_RATIO if easiest else _LATER_RATIO)
        else:
            report = outcomes[-1].report
            ratio = math.sqrt(ratio) if done > 0.0 else ratio
        trial = min(tau, ratio * done) if done > 0.0 else trial / _RATIO
    return outcomes, report
