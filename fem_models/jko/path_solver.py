"""The two methods for paths of least action."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fem_models.flow.gradient_flow import State
from fem_models.jko.interior_point import interior_point
from fem_models.jko.path_newton import newton
from fem_models.jko.path_problem import PathOutcome, PathProblems
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
        self._problems = PathProblems(equations, settings)

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far on this rank: "assemble" and "solve"."""
        return self._problems.seconds

    @property
    def notes(self) -> list[str]:
        """Sentences about what the linear solver had to do."""
        return self._problems.linear.notes

    def newton(self, guess: _Array, old: State, tau: float, limit: int) -> PathOutcome:
        """Solve by Newton's method with complementarity (`fem_models.jko.path_newton`). Collective.

        Args:
            guess: First iterate, shape (nodes, size).
            old: The state at the beginning, shape (nodes, fields).
            tau: Time step.
            limit: Iterations after which to give up.

        Returns:
            The last iterate, and whether it is a solution.
        """
        return newton(self._problems.begun(guess, old, tau), guess, limit)

    def interior_point(self, guess: _Array, old: State, tau: float) -> PathOutcome:
        """Solve along a barrier (`fem_models.jko.interior_point`). Collective.

        Args:
            guess: First iterate, shape (nodes, size).
            old: The state at the beginning, shape (nodes, fields).
            tau: Time step.

        Returns:
            The last iterate, and whether it is a solution.
        """
        return interior_point(self._problems.begun(guess, old, tau), guess)

    def optimality(self, unknowns: _Array, old: State, tau: float) -> tuple[float, float]:
        """How well a path satisfies the conditions of optimality. Collective.

        Args:
            unknowns: A path, shape (nodes, size).
            old: The state at the beginning, shape (nodes, fields).
            tau: Time step.

        Returns:
            The residuals of the Hamilton–Jacobi equation (2.9b), and of its end (2.9e), φ(Δt) = δE/δρ.
        """
        return self._problems.begun(unknowns, old, tau).optimality(unknowns)
