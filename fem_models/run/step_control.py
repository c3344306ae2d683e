"""Steps whose sizes follow from the error that each of them adds, and from the laws of the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, override

from fem_models.config.problem import Problem
from fem_models.config.tables import CONTROL, Time
from fem_models.core.protocols import Attempts, ExplicitTime, Law, Model, Row, Scheme, Step
from fem_models.results.layout import STEPS
from fem_models.run.clock import AdaptiveClock, Clock, Tick
from fem_models.run.diagnostics import Diagnostics
from fem_models.run.local_error import History
from fem_models.run.stepping import FAILURES, Control, PlannedSteps, StepFailure, Stepping, agree, kept
from fem_models.schemes.halves import UnsolvedError

Reason = Literal["failed", "inaccurate", "energy", "sign"]
"""Why a step was rejected: its equations could not be solved, its local error was above the tolerance, what
falls in the exact flow grew, or what is non-negative there became negative."""

# What belongs to a law that a step broke.
_BROKEN: Mapping[Law, Reason] = {"falling": "energy", "non-negative": "sign"}
# A step that breaks a law is tried again at half its size as often; what is broken then is so for any size,
# and no reason to reject any more.
_PATIENCE = 5
# The error that the next step aims at, as a share of the tolerance, and how short it may be against the last.
_AIM = 0.8
_LEAST_SHARE = 0.2
# Errors far below the tolerance say no more about the next step than this share of it.
_NO_LESS = 1e-4
# Weights of the last error and of the one before it (Hairer and Wanner, Solving ODEs II, IV.2).
_PRESENT, _PAST = 0.7, 0.4
# Sizes that differ by less are one.
_SAME = 1.0 + 1e-6


@dataclass(frozen=True)
class Limits:
    """What steps may be like. All are dimensionless.

    Attributes:
        tolerance: The largest error that a step may add, relative to the state.
        least: The smallest step.
        largest: The largest step.
        growth: The largest quotient of a step and the one before it.
    """

    tolerance: float
    least: float
    largest: float
    growth: float


@dataclass(frozen=True)
class _Trial[S]:
    """What came of a step or why it could not be taken, its error, the state in its middle, what it took."""

    step: Step[S] | None
    error: float
    middle: S | None
    newton: int
    linear: int
    failure: Exception | None = None


class AdaptiveSteps[S](Stepping[S]):
    """Steps of sizes that keep the local error at a tolerance.

    The error that a step adds is known from the differences of the last states for schemes that say how
    (`KnownError`); else, and at the beginning, every step is taken as a whole and in two halves, whose
    difference is the error of the whole up to the factor 2^p - 1, and whose state is what counts. A step is
    rejected, and a shorter one is taken from the same state, where its equations cannot be solved, its error
    is above the tolerance, something grows that falls in the exact flow, or something becomes negative that
    cannot. The next size is τ (η/error)^{0.7/(p+1)} (previous error/η)^{0.4/(p+1)} with η = 0.8 tolerance.

    A step of the smallest size is taken even where it is not accurate; `summary` counts these. A law that is
    still broken after five halvings is left alone from then on, and `warnings` says so.

    It is a study too (`fem_models.core.protocols.Study`), with a row of steps.csv for every step.

    Args:
        model: What the run works on.
        scheme: Takes the steps.
        clock: The times to reach exactly.
        limits: What steps may be like.
        first: The size of the first step (dimensionless).
        broken: Says which law of the model a state breaks as the next one, if any.
    """

    table = STEPS

    def __init__(
        self,
        model: Model[S],
        scheme: Scheme[S],
        clock: AdaptiveClock,
        limits: Limits,
        first: float,
        broken: Callable[[S], Law | None],
    ) -> None:
        self._model, self._scheme, self._clock = model, scheme, clock
        self._limits, self._broken = limits, broken
        self._order: int = getattr(scheme, "order", 1)
        self._history = History(model, scheme)
        self._wanted, self._previous = self._limited(first), limits.tolerance
        self._rejected: dict[Reason, int] = dict.fromkeys(get_args(Reason), 0)
        self._inexact = self._doubled = 0
        self._hopeless: list[Reason] = []
        self._smallest, self._largest = math.inf, 0.0
        self._row: Row = {}

    @override
    def steps(self, number: int, time: float, state: S) -> Iterator[tuple[Tick, Step[S]]]:
        if number == 0:
            self._history.add(state, 0.0)
        while time < self._clock.end:
            tick, step = self._next(number + 1, time, state)
            yield tick, step
            number, time, state = tick.number, tick.time, step.state

    def _next(self, number: int, time: float, state: S) -> tuple[Tick, Step[S]]:
        wanted, newton, linear = self._wanted, 0, 0
        reasons: list[Reason] = []
        while True:
            tick = self._clock.tick(number, time, wanted)
            smallest = tick.step <= self._limits.least * _SAME
            put_back = kept(self._model, self._scheme)
            trial = self._try(tick, time, state)
            newton, linear = newton + trial.newton, linear + trial.linear
            reason = self._objection(trial, reasons)
            if reason is None or (smallest and trial.step is not None):
                break
            put_back()
            if trial.failure is not None and smallest:
                raise StepFailure(tick, trial.failure) from trial.failure
            reasons.append(reason)
            wanted = max(self._shrunk(trial.error, reason) * tick.step, self._limits.least)
        assert trial.step is not None
        self._accept(tick, trial.step, trial, reasons, wanted)
        return tick, replace(trial.step, newton=newton, linear=linear, retried=len(reasons))

    def _try(self, tick: Tick, time: float, state: S) -> _Trial[S]:
        try:
            if not self._history.suffices:
                return self._in_halves(tick, time, state)
            step = self._whole(state, tick.time, tick.step)
            error = self._history.error(step.state, tick.step)
            return _Trial(step, error, None, step.newton, step.linear)
        except FAILURES as error:
            agree(self._model.comm, error)
            cost = (error.newton, error.linear) if isinstance(error, UnsolvedError) else (0, 0)
            return _Trial(None, math.inf, None, *cost, error)

    def _in_halves(self, tick: Tick, time: float, state: S) -> _Trial[S]:
        self._doubled += 1
        put_back = kept(self._model, self._scheme)
        whole = self._whole(state, tick.time, tick.step)
        put_back()
        half = 0.5 * tick.step
        first = self._whole(state, time + half, half)
        both = first.followed_by(self._whole(first.state, tick.time, half))
        error = self._model.change(whole.state, both.state) / (2.0**self._order - 1.0)
        cost = (both.newton + whole.newton, both.linear + whole.linear)
        return _Trial(both, error, first.state, *cost)

    def _whole(self, old: S, end: float, tau: float) -> Step[S]:
        if isinstance(self._model, ExplicitTime):
            self._model.move_to(end, old)
        if isinstance(self._scheme, Attempts):
            taken: Step[S] = self._scheme.attempt(old, tau)
            return taken
        return self._scheme.step(old, tau)

    def _objection(self, trial: _Trial[S], reasons: Sequence[Reason]) -> Reason | None:
        if trial.step is None:
            return "failed"
        if not trial.error <= self._limits.tolerance:
            return "inaccurate"
        law = self._broken(trial.step.state)
        reason = None if law is None else _BROKEN[law]
        if reason in self._hopeless:
            return None
        if reason is not None and reasons.count(reason) >= _PATIENCE:
            self._hopeless.append(reason)
            return None
        return reason

    def _shrunk(self, error: float, reason: Reason | None) -> float:
        """The quotient of the size to try after a rejection and the size that was rejected."""
        if reason != "inaccurate":
            return 0.5
        return max(_LEAST_SHARE, (_AIM * self._limits.tolerance / error) ** (1.0 / (self._order + 1)))

    def _accept(
        self, tick: Tick, step: Step[S], trial: _Trial[S], reasons: Sequence[Reason], wanted: float
    ) -> None:
        if trial.middle is None:
            self._history.add(step.state, tick.step)
        else:
            self._history.add(trial.middle, 0.5 * tick.step)
            self._history.add(step.state, 0.5 * tick.step)
        counts = {name: reasons.count(name) for name in get_args(Reason)}
        for name, count in counts.items():
            self._rejected[name] += count
        self._inexact += not trial.error <= self._limits.tolerance
        self._smallest, self._largest = min(self._smallest, tick.step), max(self._largest, tick.step)
        self._row = {"step": tick.number, "time": tick.time, "dt": tick.step, "error": trial.error}
        self._row |= {f"rejected_{name}": count for name, count in counts.items()}
        share = min(self._share(trial.error), 1.0 if reasons else self._limits.growth)
        # A step that was cut at a time to be reached says nothing against the size that was wanted.
        uncut = wanted if tick.step < wanted and share >= 1.0 else 0.0
        size = min(max(share * tick.step, uncut), self._limits.growth * tick.step)
        self._wanted = self._limited(size)
        self._previous = max(trial.error, _NO_LESS * self._limits.tolerance)

    def _share(self, error: float) -> float:
        """The quotient of the next step and the last."""
        if error <= 0.0:
            return self._limits.growth
        aim = _AIM * self._limits.tolerance
        present, past = (aim / error) ** _PRESENT, (self._previous / aim) ** _PAST
        return max((present * past) ** (1.0 / (self._order + 1)), _LEAST_SHARE)

    def _limited(self, size: float) -> float:
        return min(max(size, self._limits.least), self._limits.largest)

    @override
    def memory(self) -> Control:
        """The next size, the last error, what was counted, and the last states."""
        history = self._history.memory()
        facts = {
            "wanted": self._wanted,
            "previous": self._previous,
            "rejected": dict(self._rejected),
            "inexact": self._inexact,
            "doubled": self._doubled,
            "hopeless": self._hopeless,
            "sizes": (self._smallest, self._largest),
            "history": dict(history.facts),
        }
        return Control(facts, history.states)

    @override
    def restore(self, memory: Control) -> None:
        facts: Mapping[str, Any] = memory.facts
        self._wanted, self._previous = self._limited(facts["wanted"]), facts["previous"]
        self._rejected = dict(facts["rejected"])
        self._inexact, self._doubled = facts["inexact"], facts["doubled"]
        self._smallest, self._largest = facts["sizes"]
        self._hopeless = list(facts["hopeless"])
        self._history.restore(Control(facts["history"], memory.states))

    # As a study

    def look(self, row: Row, state: S, step: Step[S] | None) -> Row:
        """The row of steps.csv of the last step.

        Args:
            row: Its row of series.csv.
            state: The state.
            step: The step that led to it; None for the first state, which has no row.

        Returns:
            The row.
        """
        return self._row if step is not None else {}

    def summary(self) -> Mapping[str, Any]:
        """The entry "step_control" of summary.json."""
        entry = {
            "tolerance": self._limits.tolerance,
            "smallest_step": self._smallest,
            "largest_step": self._largest,
            "rejected": dict(self._rejected),
            "inexact_steps": self._inexact,
            "doubled_steps": self._doubled,
        }
        return {"step_control": entry}

    def warnings(self) -> Sequence[str]:
        """Whether the tolerance was kept, and which laws were left alone."""
        found = [
            f"Step control no longer rejects steps that break the law of the {reason}: steps that were "
            f"{2**_PATIENCE} times shorter broke it, too."
            for reason in self._hopeless
        ]
        if not self._inexact:
            return found
        return [
            *found,
            f"The local error was above the tolerance {self._limits.tolerance:g} in {self._inexact} steps of "
            f"the smallest size {self._limits.least:g}; a smaller [time] min_step helps.",
        ]


def stepping[S](
    problem: Problem[S], table: Time, clock: Clock | AdaptiveClock, diagnostics: Diagnostics[S]
) -> Stepping[S]:
    """What takes the steps of a run.

    Args:
        problem: What the run works on.
        table: The table [time] of its run file.
        clock: Its times.
        diagnostics: Look at its states.

    Returns:
        Planned steps, or those of step control.
    """
    if isinstance(clock, Clock):
        return PlannedSteps(problem.model, problem.scheme, clock)
    limits = Limits(*(getattr(table, key) for key in CONTROL))
    return AdaptiveSteps(problem.model, problem.scheme, clock, limits, table.step, diagnostics.broken)
