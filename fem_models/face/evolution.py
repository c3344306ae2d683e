"""The time loop in Python: states one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fem_models.config.tables import SMALLEST
from fem_models.core.checks import finite, named, positive
from fem_models.core.errors import InputError, SolveError
from fem_models.core.protocols import ExplicitTime, Model, Row, Scheme, Step
from fem_models.face.schemes import FlowScheme
from fem_models.run.clock import AdaptiveClock, Clock
from fem_models.run.diagnostics import Diagnostics
from fem_models.run.step_control import AdaptiveSteps, Limits
from fem_models.run.stepping import PlannedSteps, StepFailure, Stepping


@dataclass(frozen=True)
class Moment[S]:
    """A moment of an evolution, after a step. Everything is dimensionless.

    Attributes:
        time: The time.
        state: The state.
        step: What the step to it took.
        observables: Its numbers by name, as series.csv has them.
        marked: Whether its time is one that was asked for.
    """

    time: float
    state: S
    step: Step[S]
    observables: Row
    marked: bool

    @property
    def energy(self) -> float:
        """The energy of a flow.

        Raises:
            InputError: The model has none.
        """
        if "energy" not in self.observables:
            raise InputError(f"The model has no energy; its observables are {', '.join(self.observables)}.")
        return self.observables["energy"]

    @property
    def masses(self) -> dict[str, float]:
        """The masses of a flow, by the names of its fields."""
        return self._of("mass_")

    @property
    def minima(self) -> dict[str, float]:
        """The least values of a flow, by the names of its fields."""
        return self._of("min_")

    @property
    def maxima(self) -> dict[str, float]:
        """The largest values of a flow, by the names of its fields."""
        return self._of("max_")

    def _of(self, prefix: str) -> dict[str, float]:
        found = {name: value for name, value in self.observables.items() if name.startswith(prefix)}
        return {name.removeprefix(prefix): value for name, value in found.items()}


def evolve[S](
    model: Model[S],
    initial: S,
    scheme: FlowScheme | Scheme[S],
    *,
    step: float,
    until: float,
    start: float = 0.0,
    at: Sequence[float] = (),
    tolerance: float | None = None,
    min_step: float | None = None,
    max_step: float | None = None,
    growth: float = 2.0,
) -> Iterator[Moment[S]]:
    """Take steps until a time. Collective: every rank goes through all of them.

    Args:
        model: What evolves: a `Flow`, or any other model.
        initial: Its state at the beginning.
        scheme: What takes the steps.
        step: The largest size of a step (dimensionless); steps are equal, and a little shorter where that
            makes them end at `until` and at the times `at`. With a tolerance, the size of the first step.
        until: The last time.
        start: The first time.
        at: Times after the start to reach exactly, where `Moment.marked` is true.
        tolerance: The largest error that a step may add, relative to the state: the steps follow from it.
        min_step: With a tolerance, the smallest step; a millionth of `step` by default.
        max_step: With a tolerance, the largest step; `until` - `start` by default.
        growth: With a tolerance, the largest quotient of a step and the one before it.

    Yields:
        The moments after the steps.

    Raises:
        InputError: A step that is not positive, a time before the start, or a state of another model.
        SolveError: A step could not be solved; the message says which one, and has the report.
    """
    _check_times(step, start, until, at)
    followed, stepper, state = _bound(model, scheme, initial)
    if isinstance(followed, ExplicitTime):
        followed.move_to(start)
    diagnostics: Diagnostics[S] = Diagnostics(followed, stepper, state, start)
    stepping: Stepping[S]
    if tolerance is None:
        stepping = PlannedSteps(followed, stepper, Clock(start, until, step, at))
    else:
        limits = _limits(tolerance, step, until - start, min_step, max_step, growth)
        clock = AdaptiveClock(start, until, limits.least, at)
        stepping = AdaptiveSteps(followed, stepper, clock, limits, step, diagnostics.broken)
    try:
        for tick, taken in stepping.steps(0, start, state):
            diagnostics.step(tick, taken)
            yield Moment(tick.time, taken.state, taken, diagnostics.record.last, tick.marked)
    except StepFailure as failure:
        if not isinstance(failure.cause, SolveError):
            raise failure.cause from None
        where = f"Step {failure.tick.number} to t = {failure.tick.time:g} failed."
        raise SolveError(f"{where}\n{failure.cause}") from None


def _bound(model: Any, scheme: Any, initial: Any) -> tuple[Any, Any, Any]:
    """The model, scheme and first state to work with; a flow has the nodal volumes of its scheme."""
    if isinstance(scheme, FlowScheme):
        stepper = scheme.on(model)  # which sees to it that the model is a flow
        return stepper.flow, stepper, stepper.adopted(initial)
    if isinstance(scheme, type) or not hasattr(scheme, "step"):
        hint = f": write {scheme.__name__}()" if isinstance(scheme, type) else ", as fm.Bdf2()"
        raise InputError(f"scheme must be what takes steps{hint}, not {named(scheme)}.")
    return model, scheme, initial


def _limits(
    tolerance: float, step: float, length: float, least: float | None, largest: float | None, growth: float
) -> Limits:
    """What adaptive steps may be like, checked."""
    positive(tolerance, "tolerance")
    least = positive(SMALLEST * step if least is None else least, "min_step")
    largest = positive(length if largest is None else largest, "max_step")
    if least > step:
        raise InputError(f"min_step = {least:g} must not be greater than step = {step:g}.")
    if largest < min(step, length):
        raise InputError(f"max_step = {largest:g} must not be smaller than step = {step:g}.")
    if not positive(growth, "growth") > 1.0:
        raise InputError(f"growth = {growth:g} must be greater than 1.")
    return Limits(tolerance, least, largest, growth)


def _check_times(step: float, start: float, until: float, at: Sequence[float]) -> None:
    positive(step, "step")
    for time, what in ((start, "start"), (until, "until"), *((time, "A time in at") for time in at)):
        finite(time, what)
    if not until > start:
        raise InputError(f"until = {until!r} must be after start = {start!r}.")
    if wrong := [time for time in at if not start < time <= until]:
        raise InputError(f"at has the time {wrong[0]!r}, which is not after {start!r} and at most {until!r}.")
