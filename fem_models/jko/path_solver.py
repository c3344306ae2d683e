"""The two methods for paths of least action."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fem_models.flow.gradient_flow import State
from fem_models.jko.interior_point import interior_point
from fem_models.jko.path_newton import newton
from fem_models.jko.path_problem import PathOutcome, PathProblem
from fem_models.jko.paths import PathEquations
from fem_models.linalg.newton import NewtonSettings

_Array = npt.NDArray[np.float64]


class PathSolver:
    """Newton's methods for `PathEquations`. Collective; build it once.

    Args:
        equations: The equations.
        settings: Tolerances and options.
    """

    def __init__(self, equations: PathEquations, settings: NewtonSettings) -> None:
        self._problem = PathProblem(equations, settings)

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far on this rank: "assemble" and "solve"."""
        return self._problem.seconds

    @property
    def notes(self) -> list[str]:
        """Sentences about what the linear solver had to do."""
        return self._problem.linear.notes

    def newton(self, guess: _Array, old: State, tau: float, limit: int) -> PathOutcome:
        """See `fem_models.jko.path_newton.newton`."""
        return newton(self._problem, guess, old, tau, limit)

    def interior_point(self, guess: _Array, old: State, tau: float) -> PathOutcome:
        """See `fem_models.jko.interior_point.interior_point`."""
        return interior_point(self._problem, guess, old, tau)

    def optimality(self, unknowns: _Array, old: State, tau: float) -> tuple[float, float]:
        """The residuals of (2.9b) and of (2.9e), see `PathProblem.optimality`."""
        return self._problem.optimality(unknowns, old, tau)
