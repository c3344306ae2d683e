"""When the steps of a run end: equal steps, exact at the times of the fields, and never a sliver."""

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fem_models.core.errors import InputError

# A step may be longer than asked for by this fraction; what is shorter than it is no step at all.
_SLIVER = 1e-6
# Steps that differ from the one asked for by rounding only are that step: schemes see one step size.
_ROUNDING = 1e-10


class Tick(NamedTuple):
    """One step.

    Attributes:
        number: Its number, from 1.
        time: The time it reaches (dimensionless).
        step: Its size (dimensionless).
        marked: Whether it reaches one of the field times.
    """

    number: int
    time: float
    step: float
    marked: bool


class _Segment(NamedTuple):
    begin: float
    end: float
    steps: int
    step: float
    marked: bool


class Clock:
    """The steps of a run from `start` to `end`.

    The field times cut the run into segments, and each segment into equal steps that are not longer than
    the step asked for (up to one part in a million, so that rounding never leaves a tiny last step). Without
    field times all steps are equal.

    Attributes:
        start: First time (dimensionless).
        end: Last time (dimensionless).
        count: Number of the last step.
        marked_start: Whether a field time is the first time.
    """

    def __init__(
        self, start: float, end: float, step: float, field_times: Sequence[float] = (), taken: int = 0
    ) -> None:
        """Plan the steps.

        Args:
            start: First time (dimensionless).
            end: Last time, greater than `start`.
            step: Largest size of a step, greater than 0.
            field_times: Times between `start` and `end` that a step has to reach exactly.
            taken: Number of steps before the start.

        Raises:
            InputError: The step is lost in the rounding of the times.
        """
        if not step > 4 * sys.float_info.epsilon * max(abs(start), abs(end), end - start):
            raise InputError(
                f"[time] step = {step:g} is lost in the rounding of the times from {start:g} to {end:g}; "
                "take larger steps."
            )
        self.start, self.end = start, end
        shortest = _SLIVER * min(step, end - start)
        stops = {end: False}
        self.marked_start = False
        for time in sorted(field_times):
            if time - start <= shortest:
                self.marked_start = True
            elif end - time <= shortest:
                stops[end] = True
            elif all(abs(time - other) > shortest for other in stops):
                stops[time] = True
        ends = sorted(stops)
        self._segments = [
            _segment(begin, stop, step, stops[stop]) for begin, stop in itertools.pairwise([start, *ends])
        ]
        self._taken = taken
        self.count = taken + sum(segment.steps for segment in self._segments)

    def after(self, number: int) -> Iterator[Tick]:
        """Go through the steps after one of them.

        Args:
            number: Of that step; 0 for all.

        Returns:
            The others, in order.
        """
        return (tick for tick in self if tick.number > number)

    def __iter__(self) -> Iterator[Tick]:
        """Go through the steps in order."""
        number = self._taken
        for begin, end, count, step, marked in self._segments:
            for k in range(1, count + 1):
                number += 1
                last = k == count
                yield Tick(number, end if last else begin + k * step, step, marked and last)


def _segment(begin: float, end: float, step: float, marked: bool) -> _Segment:
    length = end - begin
    count = max(1, math.ceil(length / step - _SLIVER))
    exact = length / count
    return _Segment(begin, end, count, step if abs(exact - step) <= _ROUNDING * step else exact, marked)
