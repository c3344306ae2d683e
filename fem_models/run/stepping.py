"""The steps of a run, one after the other: of sizes that are given, or found from the errors of the steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, override

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc

from fem_models.core.errors import SolveError
from fem_models.core.parallel import together
from fem_models.core.protocols import ExplicitTime, Model, Remembers, Scheme, Step
from fem_models.run.clock import Clock, Tick

FAILURES = (SolveError, PETSc.Error)
"""What a step raises that could not be taken."""


class StepFailure(Exception):
    """A step of a run could not be taken.

    Args:
        tick: The step.
        cause: Why.

    Attributes:
        tick: The step.
        cause: Why.
    """

    def __init__(self, tick: Tick, cause: Exception) -> None:
        super().__init__(str(cause))
        self.tick, self.cause = tick, cause


@dataclass(frozen=True)
class Control:
    """What step control needs to go on, beside the state, the scheme and the model.

    Attributes:
        facts: Numbers, as JSON has them.
        states: Earlier states, packed by the model, the latest first.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    states: tuple[Mapping[str, npt.NDArray[np.float64]], ...] = ()


def kept(*parts: Any) -> Callable[[], None]:
    """Keep where a model, or a model and its scheme, are.

    Args:
        parts: The model and the scheme; those without a memory are the same at any time.

    Returns:
        What puts them back there.
    """
    memories = [(part, part.memory()) for part in parts if isinstance(part, Remembers)]

    def put_back() -> None:
        for part, memory in memories:
            part.restore(memory)

    return put_back


def agree(comm: MPI.Comm, error: Exception) -> None:
    """Make sure that all ranks have failed. Collective.

    Args:
        comm: The ranks.
        error: Why this one has.

    Raises:
        RuntimeError: This rank alone has, which must end the others.
    """
    if not together(comm):
        raise RuntimeError(f"Rank {comm.rank} has failed alone: {error}") from error


class Stepping[S](ABC):
    """Takes the steps of a run. Collective."""

    @abstractmethod
    def steps(self, number: int, time: float, state: S) -> Iterator[tuple[Tick, Step[S]]]:
        """Go through the steps until the end.

        Args:
            number: Of the last step that was taken.
            time: Its end (dimensionless).
            state: The state there.

        Yields:
            A step, and what came of it.

        Raises:
            StepFailure: A step could not be taken.
        """

    @abstractmethod
    def memory(self) -> Control:
        """What it needs to go on."""

    @abstractmethod
    def restore(self, memory: Control) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: Of the same run.
        """


class PlannedSteps[S](Stepping[S]):
    """Takes the steps that a clock has planned.

    Args:
        model: What the run works on.
        scheme: Takes the steps.
        clock: The steps.
    """

    def __init__(self, model: Model[S], scheme: Scheme[S], clock: Clock) -> None:
        self._model, self._scheme, self._clock = model, scheme, clock

    @override
    def steps(self, number: int, time: float, state: S) -> Iterator[tuple[Tick, Step[S]]]:
        for tick in self._clock.after(number):
            put_back = kept(self._model)
            try:
                if isinstance(self._model, ExplicitTime):
                    self._model.move_to(tick.time, state)
                step = self._scheme.step(state, tick.step)
            except FAILURES as error:
                agree(self._model.comm, error)
                put_back()
                raise StepFailure(tick, error) from error
            yield tick, step
            state = step.state

    @override
    def memory(self) -> Control:
        """What the clock needs to plan the same steps."""
        clock = self._clock
        return Control({"start": clock.start, "taken": clock.taken, "step": clock.step})

    @override
    def restore(self, memory: Control) -> None:
        """Go on from what `memory` returned: the clock has it already."""
