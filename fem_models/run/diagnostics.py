"""What a run says about itself: a row per step, and whether the laws of the model held."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fem_models.core.protocols import Expectation, Law, Model, Row, Scheme, Step
from fem_models.results.verdicts import DRIFT, ROUNDING
from fem_models.run.clock import Tick


class Extremes:
    """What became of the observables of a run, see `fem_models.core.protocols.Record`.

    Args:
        observables: Of the first state.
    """

    def __init__(self, observables: Row) -> None:
        self.first, self.last = observables, observables
        self._least, self._most = dict(observables), dict(observables)
        self._drift = dict.fromkeys(observables, 0.0)
        self._increase = dict.fromkeys(observables, 0.0)

    def add(self, observables: Row) -> None:
        """Take note of the observables of the next state.

        Args:
            observables: With the same names.
        """
        for name, value in observables.items():
            self._least[name] = min(self._least[name], value)
            self._most[name] = max(self._most[name], value)
            self._increase[name] = max(self._increase[name], value - self.last[name])
            # What begins with zero has no relative change.
            scale = abs(self.first[name]) or 1.0
            self._drift[name] = max(self._drift[name], abs(value - self.first[name]) / scale)
        self.last = observables

    def memory(self) -> list[Row]:
        """All of it, as JSON has it."""
        return [self.first, self.last, self._least, self._most, self._drift, self._increase]

    def restore(self, memory: Sequence[Row]) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: Of the same observables.
        """
        self.first, self.last, self._least, self._most, self._drift, self._increase = map(dict, memory)

    def least(self, name: str) -> float:
        """The least value of an observable so far.

        Args:
            name: Of the observable.

        Returns:
            The value.
        """
        return self._least[name]

    def most(self, name: str) -> float:
        """The largest value of an observable so far.

        Args:
            name: Of the observable.

        Returns:
            The value.
        """
        return self._most[name]

    def drift(self, name: str) -> float:
        """The largest change of an observable from its first value, relative to that unless it is zero.

        Args:
            name: Of the observable.

        Returns:
            The change, 0 or more.
        """
        return self._drift[name]

    def increase(self, name: str) -> float:
        """The largest increase of an observable in a step.

        Args:
            name: Of the observable.

        Returns:
            The increase, 0 where there is none.
        """
        return self._increase[name]


class Diagnostics[S]:
    """Follows a run step by step. All methods are collective and agree on all ranks.

    Args:
        model: What the run works on.
        scheme: What takes its steps.
        initial: The initial state.
        start: Its time (dimensionless).

    Attributes:
        row: The latest row of series.csv, by column.
        steps: Number of steps taken.
        rejected: Number of parts of steps that failed and were taken in halves.
        retried: Number of steps that step control rejected.
    """

    def __init__(self, model: Model[S], scheme: Scheme[S], initial: S, start: float) -> None:
        self._model, self._scheme = model, scheme
        self.steps = self.rejected = self.retried = self._newton = self._linear = 0
        self._clipped = 0.0
        self._latest: tuple[S, Row] | None = None
        observables = model.observables(initial)
        self._expected = {name: law for name, law in model.expectations.items() if name in observables}
        self._increases = dict.fromkeys(self._of("falling"), 0)
        self.record = Extremes(observables)
        self.row = _row(Tick(0, start, 0.0, False), observables, 0, 0)

    def _of(self, law: str) -> dict[str, Expectation]:
        return {name: expected for name, expected in self._expected.items() if expected.law == law}

    def step(self, tick: Tick, step: Step[S]) -> Row:
        """Look at the state after a step.

        Args:
            tick: The step.
            step: Where it led to, and what it took.

        Returns:
            The row of series.csv.
        """
        self.steps += 1
        self._newton += step.newton
        self._linear += step.linear
        self._clipped += step.clipped
        self.rejected += step.rejected
        self.retried += step.retried
        observables = self._observed(step.state)
        for name in self._rising(observables):
            self._increases[name] += 1
        self.record.add(observables)
        self.row = _row(tick, observables, step.newton, step.linear)
        return self.row

    def broken(self, state: S) -> Law | None:
        """Which law of the model a state would break as the next one.

        Args:
            state: The state.

        Returns:
            "non-negative" or "falling", or None.
        """
        observables = self._observed(state)
        for name, expected in self._of("non-negative").items():
            size = max((observables[other] for other in expected.scale), default=1.0)
            if observables[name] < -ROUNDING * size:
                return "non-negative"
        return "falling" if self._rising(observables) else None

    def _observed(self, state: S) -> Row:
        """The observables of a state, which step control and the row of the step both ask for."""
        if self._latest is None or self._latest[0] is not state:
            self._latest = (state, self._model.observables(state))
        return self._latest[1]

    def _rising(self, observables: Row) -> list[str]:
        """What has grown since the last state, though it falls in the exact flow."""
        found = []
        for name in self._of("falling"):
            size = max(1.0, self._size(name, observables))
            if observables[name] - self.record.last[name] > ROUNDING * size:
                found.append(name)
        return found

    def memory(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON has it."""
        counts = (self.steps, self.rejected, self.retried, self._newton, self._linear, self._clipped)
        return {
            "counts": counts,
            "increases": self._increases,
            "record": self.record.memory(),
            "row": self.row,
        }

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: Of the same run.
        """
        self.steps, self.rejected, self.retried, self._newton, self._linear, self._clipped = memory["counts"]
        self._increases, self.row = dict(memory["increases"]), dict(memory["row"])
        self.record.restore(memory["record"])

    @property
    def drift(self) -> float:
        """The largest relative change of a conserved quantity so far."""
        return max((self.record.drift(name) for name in self._of("conserved")), default=0.0)

    @property
    def unrest(self) -> float:
        """How fast what falls does, relative to its size, per unit of time; NaN where that is unknown."""
        rates = [
            self.record.last[expected.rate] / self._size(name, self.record.last)
            for name, expected in self._of("falling").items()
            if expected.rate
        ]
        return max(rates, default=math.nan)

    def _size(self, name: str, observables: Row) -> float:
        """The size by which an observable is judged."""
        return math.fsum(abs(observables[term]) for term in self._expected[name].scale or (name,)) or 1.0

    @property
    def headline(self) -> Row:
        """The latest values of what falls, or of the first observable where nothing does."""
        names = list(self._of("falling")) or list(self.record.last)[:1]
        return {name: self.record.last[name] for name in names}

    def summary(self, state: S) -> dict[str, Any]:
        """The part of summary.json that follows from the steps.

        Args:
            state: The last state.

        Returns:
            The entries `newton_iterations` and `linear_iterations`, what the model has found, and `laws`.
        """
        return {
            "newton_iterations": self._newton,
            "linear_iterations": self._linear,
            **self._model.findings(self.record, state),
            "laws": [self._judged(name, expected) for name, expected in self._expected.items()],
        }

    def _judged(self, name: str, expected: Expectation) -> dict[str, Any]:
        """Whether a law held: what was measured, and up to which relative size it is taken for rounding."""
        tolerance = DRIFT if expected.law == "conserved" else ROUNDING
        if expected.law == "falling":
            measured, kept = self.record.increase(name), not self._increases[name]
        elif expected.law == "conserved":
            measured = self.record.drift(name)
            kept = measured <= tolerance
        else:
            measured, kept = self.record.least(name), not self._is_negative(name, expected)
        return {
            "observable": name,
            "law": expected.law,
            "subject": expected.subject,
            "promised": expected.law in self._scheme.promises,
            "kept": kept,
            "measured": measured,
            "tolerance": tolerance,
            "broken_steps": self._increases.get(name),
        }

    def warnings(self) -> list[str]:
        """Sentences about laws that did not hold, one each; empty if all is well."""
        found = []
        if self.rejected:
            found.append(
                f"Newton's method failed in {self.rejected} parts of steps, which were taken in halves; "
                "smaller steps help."
            )
        found += self._rises()
        conserved = self._of("conserved")
        total = math.fsum(abs(self.record.first[name]) for name in conserved)
        if self._clipped > ROUNDING * total:
            found.append(
                f"The extrapolation of the scheme became negative somewhere; mass {self._clipped:.2e} in all "
                "was cut off there and given back elsewhere, so that the total is exact."
            )
        return [*found, *self._signs(), *self._drifts(conserved)]

    def _rises(self) -> Sequence[str]:
        promised = "falling" in self._scheme.promises
        hint = "" if promised else f" ({self._scheme.title} does not exclude it; smaller steps help)"
        return [
            f"{self._expected[name].subject} increased in {count} of {self.steps} steps, at most by "
            f"{self.record.increase(name):.2e}{hint}."
            for name, count in self._increases.items()
            if count
        ]

    def _signs(self) -> Sequence[str]:
        return [
            f"{expected.subject} became negative: its least value is {self.record.least(name):.2e}."
            for name, expected in self._of("non-negative").items()
            if self._is_negative(name, expected)
        ]

    def _is_negative(self, name: str, expected: Expectation) -> bool:
        size = max((self.record.most(other) for other in expected.scale), default=1.0)
        return self.record.least(name) < -ROUNDING * size

    def _drifts(self, conserved: dict[str, Expectation]) -> Sequence[str]:
        return [
            f"{expected.subject} drifted by {self.record.drift(name):.2e} (relative); a smaller [solver] "
            "tolerance helps."
            for name, expected in conserved.items()
            if self.record.drift(name) > DRIFT
        ]


def _row(tick: Tick, observables: Row, newton: int, linear: int) -> Row:
    head: Row = {"step": tick.number, "time": tick.time, "dt": tick.step}
    return head | observables | {"newton": newton, "linear": linear}
