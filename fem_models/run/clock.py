"""When the steps of a run end: equal ones or of sizes that are asked for, exact at the times of the fields.

No step is a sliver: what is left before a time to be reached exactly is one step or two equal ones.
"""

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fem_models.config.tables import Output, Time
from fem_models.core.errors import InputError

# A step may be longer than asked for by this fraction; what is shorter than it is no step at all.
_SLIVER = 1e-6
# Steps that differ from the one asked for by rounding only are that step: schemes see one step size.
_ROUNDING = 1e-10


PICTURES = 5
"""Times at which a run writes fields that does not say when, besides the initial one."""


class Tick(NamedTuple):
    """One step.

    Attributes:
        number: Its number, from 1.
        time: The time it reaches (dimensionless).
        step: Its size (dimensionless).
        marked: Whether it reaches one of the field times.
        last: Whether it reaches the end.
    """

    number: int
    time: float
    step: float
    marked: bool
    last: bool = False


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
        step: Largest size of a step (dimensionless).
        count: Number of the last step.
        taken: Number of steps before the start.
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
        _require(start, end, step, "step")
        self.start, self.end, self.step = start, end, step
        stops, self.marked_start = _stops(start, end, field_times, _SLIVER * min(step, end - start))
        ends = sorted(stops)
        self._segments = [
            _segment(begin, stop, step, stops[stop]) for begin, stop in itertools.pairwise([start, *ends])
        ]
        self.taken = taken
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
        number = self.taken
        for begin, end, count, step, marked in self._segments:
            for k in range(1, count + 1):
                number += 1
                whole = k == count
                time = end if whole else begin + k * step
                yield Tick(number, time, step, marked and whole, number == self.count)


class AdaptiveClock:
    """The steps of a run from `start` to `end` whose sizes are found on the way.

    Attributes:
        start: First time (dimensionless).
        end: Last time (dimensionless).
        count: None: the number of steps is not known before.
        marked_start: Whether a field time is the first time.
    """

    count: None = None

    def __init__(self, start: float, end: float, least: float, field_times: Sequence[float] = ()) -> None:
        """Plan the times to reach exactly.

        Args:
            start: First time (dimensionless).
            end: Last time, greater than `start`.
            least: The smallest step; times that are closer to each other than a part of it are one.
            field_times: Times between `start` and `end` that a step has to reach exactly.

        Raises:
            InputError: The smallest step is lost in the rounding of the times.
        """
        _require(start, end, least, "min_step")
        self.start, self.end = start, end
        stops, self.marked_start = _stops(start, end, field_times, _SLIVER * min(least, end - start))
        self._stops = sorted(stops.items())

    def tick(self, number: int, time: float, wanted: float) -> Tick:
        """The next step.

        Args:
            number: Its number.
            time: Where it begins, before the end.
            wanted: Its size, if no time to be reached exactly is near (dimensionless).

        Returns:
            The step: not larger than that, up to one part in a million.
        """
        stop, marked = next(entry for entry in self._stops if entry[0] > time)
        left = stop - time
        if left <= wanted * (1.0 + _SLIVER):
            return Tick(number, stop, left, marked, stop == self.end)
        step = 0.5 * left if left < 2.0 * wanted else wanted
        return Tick(number, time + step, step, False)


def planned(table: Time, output: Output) -> Clock | AdaptiveClock:
    """The steps of a run file.

    Args:
        table: The table [time].
        output: The table [output]; a run with adaptive control that says nothing of fields reaches five times
            exactly that are evenly spread.

    Returns:
        The steps.

    Raises:
        InputError: They are lost in the rounding of the times.
    """
    times: Sequence[float] = output.field_times or ()
    if table.control == "fixed":
        return Clock(table.start, table.end, table.step, times)
    if output.field_times is None and output.fields_every is None:
        length = table.end - table.start
        times = [table.start + picture * length / PICTURES for picture in range(PICTURES + 1)]
    return AdaptiveClock(table.start, table.end, table.min_step or table.step, times)


def _require(start: float, end: float, step: float, key: str) -> None:
    if not step > 4 * sys.float_info.epsilon * max(abs(start), abs(end), end - start):
        raise InputError(
            f"[time] {key} = {step:g} is lost in the rounding of the times from {start:g} to {end:g}; "
            "take larger steps."
        )


def _stops(
    start: float, end: float, field_times: Sequence[float], shortest: float
) -> tuple[dict[float, bool], bool]:
    """The times to reach exactly, and whether each is a field time; and whether the start is one."""
    stops, marked_start = {end: False}, False
    for time in sorted(field_times):
        if time - start <= shortest:
            marked_start = True
        elif end - time <= shortest:
            stops[end] = True
        elif all(abs(time - other) > shortest for other in stops):
            stops[time] = True
    return stops, marked_start


def _segment(begin: float, end: float, step: float, marked: bool) -> _Segment:
    length = end - begin
    count = max(1, math.ceil(length / step - _SLIVER))
    exact = length / count
    return _Segment(begin, end, count, step if abs(exact - step) <= _ROUNDING * step else exact, marked)
