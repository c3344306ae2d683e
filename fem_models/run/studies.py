"""What a run measures beside the contract of every run: the questions of the papers, by system.

A study looks at the states of a run. Its columns go to study.csv, a row for each row of series.csv.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from fem_models.flow.gradient_flow import State
from fem_models.run.build import Problem
from fem_models.systems.studies.concentration import Concentration
from fem_models.systems.studies.convex_expansion import ConvexExpansion
from fem_models.systems.studies.pnp_estimates import Estimates

Columns = dict[str, float]


class Study(Protocol):
    """Follows a run. All methods are collective."""

    def columns(self, time: float, state: State) -> Columns:
        """Numbers of a state, the same names at every call.

        Args:
            time: Of the state (dimensionless).
            state: Shape (nodes, species).
        """

    def warnings(self) -> list[str]:
        """Sentences about what went against expectation, after the last state."""


class NoStudy:
    """Nothing beside the contract."""

    def columns(self, time: float, state: State) -> Columns:
        """No columns."""
        return {}

    def warnings(self) -> list[str]:
        """None."""
        return []


def study_of(problem: Problem, steady: State | None) -> Study:
    """The study of a run. Collective.

    Args:
        problem: The run.
        steady: The steady state, where it is known.
    """
    # The studies are of edge-averaged densities.
    if problem.config.time.discretization == "log-density":
        return NoStudy()
    begin = _STUDIES.get(problem.config.system.name)
    return NoStudy() if begin is None else begin(problem, steady)


def _expansion(problem: Problem, steady: State | None) -> Study:
    return NoStudy() if steady is None else ConvexExpansion(problem.flow, steady)


class _Several:
    """Several studies of one run."""

    def __init__(self, *studies: Study) -> None:
        self._studies = studies

    def columns(self, time: float, state: State) -> Columns:
        """The columns of all of them."""
        found: Columns = {}
        for study in self._studies:
            found |= study.columns(time, state)
        return found

    def warnings(self) -> list[str]:
        """The warnings of all of them."""
        return [text for study in self._studies for text in study.warnings()]


def _signal(problem: Problem, steady: State | None) -> Study:
    return _Several(Concentration(problem.flow), _expansion(problem, steady))


def _estimates(problem: Problem, steady: State | None) -> Study:
    return Estimates(problem.flow, problem.initial, problem.clock.start)


_STUDIES: Mapping[str, Callable[[Problem, State | None], Study]] = {
    "two-component": _expansion,
    "chemotaxis": _signal,
    "poisson-nernst-planck": _estimates,
}
