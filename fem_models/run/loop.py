"""The time loop: steps until the end, a steady state, an interruption or a failure."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Literal, Protocol, Self

from mpi4py import MPI
from petsc4py import PETSc

from fem_models.config.problem import Problem
from fem_models.config.tables import Output
from fem_models.core.errors import OutputError, SolveError
from fem_models.core.protocols import ExplicitTime, Step
from fem_models.linalg.options import petsc_message
from fem_models.run.clock import Clock, Tick
from fem_models.run.diagnostics import Diagnostics

StopReason = Literal["end", "steady", "interrupted", "failed"]

# Relative change per unit of time below which a state counts as steady.
_STEADY = 1e-8
# Pictures of a run that does not say when to write fields, besides the initial one.
_PICTURES = 5


@dataclass(frozen=True)
class Stop[S]:
    """Where and why a run stopped.

    Attributes:
        reason: Its name in summary.json.
        time: The time reached (dimensionless).
        state: The last good state.
        report: Of a failed solve, several lines; else empty.
        signal: The number of the signal that interrupted the run, else 0.
    """

    reason: StopReason
    time: float
    state: S
    report: str = ""
    signal: int = 0


class Watch[S](Protocol):
    """What happens beside the steps of a run."""

    def fields(self, time: float, state: S) -> None:
        """Write the fields of a state.

        Args:
            time: Of the state (dimensionless).
            state: The state.
        """

    def step(self, step: Step[S], last: bool) -> None:
        """Take note of a step that the diagnostics have seen.

        Args:
            step: What came of it.
            last: Whether the run ends here.
        """


class Interruption:
    """Notes SIGINT (Ctrl-C) and SIGTERM, so that a run ends after the step it is in.

    A second signal acts as usual: it ends the process at once.

    Args:
        comm: The ranks of the run.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, comm: MPI.Comm) -> None:
        self._comm = comm
        self._noted = 0
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._usual = {number: signal.signal(number, self._note) for number in self._SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the usual handlers back."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)

    def signal(self) -> int:
        """Return the number of a signal that any rank has noted, 0 if none has. Collective."""
        return self._comm.allreduce(self._noted, op=MPI.MAX)


def advance[S](
    problem: Problem[S],
    clock: Clock,
    diagnostics: Diagnostics[S],
    watch: Watch[S],
    table: Output,
    stop_when_steady: bool,
    interruption: Interruption,
) -> Stop[S]:
    """Take the steps of a run. Collective.

    Args:
        problem: What the run works on.
        clock: The steps.
        diagnostics: Looks at every state.
        watch: Is told when fields are due or the run stops before its end, and of every step.
        table: The table [output].
        stop_when_steady: Whether to stop where a step changes next to nothing.
        interruption: Says whether to stop.

    Returns:
        Where and why the run stopped; a failed solve, or a full disk, is a reason to stop, not an
        exception.
    """
    state, time = problem.initial, clock.start
    due = fields_due(table, clock)
    try:
        if due(Tick(0, time, 0.0, clock.marked_start)):
            watch.fields(time, state)
        for tick in clock:
            try:
                if isinstance(problem.model, ExplicitTime):
                    problem.model.move_to(tick.time, state)
                step = problem.scheme.step(state, tick.step)
            except (SolveError, PETSc.Error) as error:
                watch.fields(time, state)
                return Stop("failed", time, state, report=_report(tick, time, error))
            diagnostics.step(tick, step)
            steady = stop_when_steady and problem.model.change(state, step.state) <= _STEADY * tick.step
            state, time = step.state, tick.time
            last = tick.number == clock.count
            noted = 0 if last or steady else interruption.signal()
            if due(tick) or noted or (steady and not last):
                watch.fields(time, state)
            watch.step(step, last or steady or noted > 0)
            if noted:
                return Stop("interrupted", time, state, signal=noted)
            if steady:
                return Stop("steady", time, state)
    except OutputError as error:
        return Stop("failed", time, state, report=str(error))
    return Stop("end", time, state)


def fields_due(table: Output, clock: Clock) -> Callable[[Tick], bool]:
    """Return what tells whether fields are written after a step (step 0 is the initial state).

    Args:
        table: The table [output]. With `field_times`, fields are written at these times and no others; with
            `fields_every` = n at the beginning, after every n steps and at the end; with neither at the
            beginning and at five times evenly spread over the steps, the last of which is the end.
        clock: The steps.

    Returns:
        A function of the step.
    """
    if table.field_times is not None:
        return lambda tick: tick.marked
    every = table.fields_every
    if every is not None:
        return lambda tick: tick.number % every == 0 or tick.number == clock.count
    chosen = {round(picture * clock.count / _PICTURES) for picture in range(_PICTURES + 1)}
    return lambda tick: tick.number in chosen


def _report(tick: Tick, time: float, error: Exception) -> str:
    where = f"Step {tick.number} from t = {time:g} to t = {tick.time:g} failed."
    what = str(error) if isinstance(error, SolveError) else f"PETSc stopped it: {petsc_message(error)}"
    return f"{where}\n{what}"
