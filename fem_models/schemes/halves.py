"""Steps that fail as a whole are taken in halves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fem_models.core.errors import SolveError
from fem_models.core.protocols import Step

_MOST_HALVINGS = 6


class UnsolvedError(SolveError):
    """A step whose equations could not be solved.

    Args:
        report: What was tried.
        newton: Newton iterations that were spent.
        linear: Iterations of the linear solver.
    """

    def __init__(self, report: str, newton: int, linear: int) -> None:
        super().__init__(report)
        self.newton, self.linear = newton, linear


def in_halves[S, T: Step](take: Callable[[S, float], T], old: S, tau: float) -> T:
    """Take a step, in halves where it fails, and these likewise.

    Args:
        take: Takes a step from a state, or raises `UnsolvedError`.
        old: The state to begin with.
        tau: The size of the step.

    Returns:
        The step; `rejected` counts the parts that failed.

    Raises:
        SolveError: A part of the smallest size failed; the message is its report.
    """
    try:
        return _part(take, old, tau, _MOST_HALVINGS)
    except UnsolvedError as error:
        least = tau / 2.0**_MOST_HALVINGS
        raise SolveError(
            f"The step of size {tau:g} could not be taken, nor could its parts, down to the size {least:g}. "
            "Where the energy is not convex in the densities, steps must be small: try a smaller one.\n"
            f"{error}"
        ) from None


def _part[S, T: Step](take: Callable[[S, float], T], old: S, tau: float, halvings: int) -> T:
    try:
        return take(old, tau)
    except UnsolvedError as error:
        if halvings == 0:
            raise
        newton, linear = error.newton, error.linear
    first = _part(take, old, 0.5 * tau, halvings - 1)
    both = first.followed_by(_part(take, first.state, 0.5 * tau, halvings - 1))
    return replace(both, newton=both.newton + newton, linear=both.linear + linear, rejected=both.rejected + 1)
