"""The time loop: steps until the end, a steady state, an interruption or a failure."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from types import FrameType, TracebackType
from typing import Any, Literal, Protocol, Self

from mpi4py import MPI

from fem_models.config.problem import Problem
from fem_models.config.tables import Output
from fem_models.core.errors import SENTENCES, SolveError
from fem_models.core.protocols import Step
from fem_models.linalg.options import petsc_message
from fem_models.run.checkpoints import Begun
from fem_models.run.clock import PICTURES, AdaptiveClock, Clock, Tick
from fem_models.run.diagnostics import Diagnostics
from fem_models.run.phases import Phases
from fem_models.run.stepping import StepFailure, Stepping, agree

StopReason = Literal["end", "steady", "walltime", "interrupted", "failed"]

# Relative change per unit of time below which a state counts as steady, and the same of its energy.
_STEADY = 1e-8
_AT_REST = 1e-14
# A step, and what is written after it, may take as much longer than the longest so far.
_MARGIN = 2.0
# Seconds after a signal in which another one is its echo.
_ECHO = 1.0


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

    @property
    def phases(self) -> Phases:
        """Counts the time."""

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

    def keep(self, number: int, at: float, state: S, last: bool) -> None:
        """Keep a checkpoint where one is due.

        Args:
            number: Of the last step.
            at: Its end (dimensionless).
            state: The state there.
            last: Whether the run ends here: then one is due.
        """


class Interruption:
    """Notes SIGINT (Ctrl-C), SIGTERM, SIGUSR1 and the end of the time there is: a run ends after its step.

    A second signal acts as usual: it ends the process at once. One that comes within a second of the first is
    the same one: schedulers send it to the ranks, and so does `mpiexec`, which they send it to as well.
    SIGUSR1 is how schedulers say that the time is nearly over.

    Args:
        comm: The ranks of the run.
        walltime: Seconds from now after which to stop, if there is a limit; a step is not begun where one
            like the longest so far would not end in time.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self, comm: MPI.Comm, walltime: float | None = None) -> None:
        self._comm = comm
        self._walltime, self._begin = walltime, monotonic()
        self._last, self._longest = self._begin, 0.0
        self._noted, self._since = 0, 0.0
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
        if not self._noted:
            self._noted, self._since = number, monotonic()
        elif monotonic() - self._since > _ECHO:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)

    def signal(self) -> int:
        """Return the number of a signal that any rank has noted, 0 if none has. Collective.

        The end of the time counts as SIGUSR1.
        """
        now = monotonic()
        self._longest, self._last = max(self._longest, now - self._last), now
        over = self._walltime is not None and now + _MARGIN * self._longest > self._begin + self._walltime
        return self._comm.allreduce(self._noted or (signal.SIGUSR1 if over else 0), op=MPI.MAX)


def advance[S](
    problem: Problem[S],
    clock: Clock | AdaptiveClock,
    stepping: Stepping[S],
    diagnostics: Diagnostics[S],
    watch: Watch[S],
    table: Output,
    stop_when_steady: bool,
    interruption: Interruption,
    begun: Begun[S] | None = None,
) -> Stop[S]:
    """Take the steps of a run. Collective.

    Args:
        problem: What the run works on.
        clock: The times of the steps.
        stepping: Takes the steps; where the run goes on, from there.
        diagnostics: Looks at every state.
        watch: Is told when fields are due or the run stops before its end, and of every step.
        table: The table [output].
        stop_when_steady: Whether to stop where next to nothing dissipates, or changes in a step.
        interruption: Says whether to stop.
        begun: Where a run goes on that was stopped before; the diagnostics are there already.

    Returns:
        Where and why the run stopped; a failed solve, a full disk, or a directory that is gone, is a reason
        to stop, not an exception.
    """
    number, state, time = 0, problem.initial, clock.start
    if begun is not None:
        number, state, time = begun.number, begun.state, begun.time
    due = fields_due(table, clock)
    try:
        if begun is None and due(Tick(0, time, 0.0, clock.marked_start)):
            watch.fields(time, state)
        for tick, step in watch.phases.of_steps(stepping.steps(number, time, state)):
            with watch.phases.measured("observables"):
                diagnostics.step(tick, step)
            steady = stop_when_steady and (
                diagnostics.unrest <= _AT_REST
                or problem.model.change(state, step.state) <= _STEADY * tick.step
            )
            number, state, time, last = tick.number, step.state, tick.time, tick.last
            noted = 0 if last or steady else interruption.signal()
            if due(tick) or noted or (steady and not last):
                watch.fields(time, state)
            watch.step(step, last or steady or noted > 0)
            watch.keep(number, time, state, last or steady or noted > 0)
            if noted == signal.SIGUSR1:
                return Stop("walltime", time, state)
            if noted:
                return Stop("interrupted", time, state, signal=noted)
            if steady:
                return Stop("steady", time, state)
    except SENTENCES as error:
        agree(problem.model.comm, error)
        return Stop("failed", time, state, report=str(error))
    except StepFailure as failure:
        return _failed(watch, number, time, state, failure)
    return Stop("end", time, state)


def _failed[S](watch: Watch[S], number: int, time: float, state: S, failure: StepFailure) -> Stop[S]:
    """Keep what there is when a step could not be taken."""
    report = _report(failure.tick, time, failure.cause)
    try:
        watch.fields(time, state)
        watch.keep(number, time, state, True)
    except SENTENCES as error:
        report = f"{report}\n{error}"
    return Stop("failed", time, state, report=report)


def fields_due(table: Output, clock: Clock | AdaptiveClock) -> Callable[[Tick], bool]:
    """Return what tells whether fields are written after a step (step 0 is the initial state).

    Args:
        table: The table [output]. With `field_times`, fields are written at these times and no others; with
            `fields_every` = n at the beginning, after every n steps and at the end; with neither at the
            beginning and at five times evenly spread over the steps, the last of which is the end; over the
            time, where steps are not known before.
        clock: The times of the steps.

    Returns:
        A function of the step.
    """
    if table.field_times is not None:
        return lambda tick: tick.marked
    every = table.fields_every
    if every is not None:
        return lambda tick: tick.number % every == 0 or tick.last
    if clock.count is None:
        return lambda tick: tick.marked
    chosen = {round(picture * clock.count / PICTURES) for picture in range(PICTURES + 1)}
    return lambda tick: tick.number in chosen


def _report(tick: Tick, time: float, error: Exception) -> str:
    where = f"Step {tick.number} from t = {time:g} to t = {tick.time:g} failed."
    what = str(error) if isinstance(error, SolveError) else f"PETSc stopped it: {petsc_message(error)}"
    return f"{where}\n{what}"
