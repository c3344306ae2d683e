"""The steps of a run: equal, exact at field times, no slivers."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fem_models.core.errors import InputError
from fem_models.run.clock import Clock


def test_steps_are_the_step_asked_for_and_end_exactly():
    ticks = list(Clock(0.0, 1.0, 0.1))
    assert [tick.number for tick in ticks] == list(range(1, 11))
    assert {tick.step for tick in ticks} == {0.1}
    assert ticks[-1].time == 1.0
    assert not any(tick.marked for tick in ticks)


@pytest.mark.parametrize("end", [1.0 + 1e-9, 1.0 - 1e-9, 1.0 + 5e-8])
def test_rounding_leaves_no_sliver_at_the_end(end):
    ticks = list(Clock(0.0, end, 0.1))
    assert len(ticks) == 10
    assert ticks[-1].time == end
    assert min(tick.step for tick in ticks) == pytest.approx(0.1, rel=1e-6)


def test_a_step_that_does_not_divide_the_run_is_shortened_evenly():
    ticks = list(Clock(0.0, 1.0, 0.3))
    assert [tick.time for tick in ticks] == [0.25, 0.5, 0.75, 1.0]
    assert {tick.step for tick in ticks} == {0.25}


def test_a_step_longer_than_the_run_is_one_step():
    assert [(tick.time, tick.step) for tick in Clock(1.0, 1.5, 10.0)] == [(1.5, 0.5)]


def test_field_times_are_reached_exactly():
    clock = Clock(0.0, 1.0, 0.1, [0.0, 0.25, 0.7, 1.0])
    ticks = list(clock)
    assert clock.marked_start
    assert [tick.time for tick in ticks if tick.marked] == [0.25, 0.7, 1.0]
    assert clock.count == len(ticks) == 3 + 5 + 3
    assert max(tick.step for tick in ticks) <= 0.1


def test_field_times_that_nearly_coincide_are_one_step():
    ticks = list(Clock(0.0, 1.0, 0.5, [0.5, 0.5 + 1e-9, 1.0 - 1e-9]))
    assert [(tick.time, tick.marked) for tick in ticks] == [(0.5, True), (1.0, True)]


@given(
    start=st.floats(-1e3, 1e3),
    length=st.floats(1e-3, 1e3),
    steps=st.floats(0.3, 300.0),
    fractions=st.lists(st.floats(0.0, 1.0), max_size=4),
)
def test_any_plan_adds_up(start, length, steps, fractions):
    end, step = start + length, length / steps
    marks = [min(end, start + f * length) for f in fractions]
    ticks = list(Clock(start, end, step, marks))
    times = [start, *(tick.time for tick in ticks)]
    assert times[-1] == end
    assert all(a < b for a, b in itertools.pairwise(times))
    assert math.fsum(tick.step for tick in ticks) == pytest.approx(length, rel=1e-8)
    assert all(0 < tick.step <= step * (1 + 2e-6) for tick in ticks)
    assert all(min(abs(mark - time) for time in times) <= 1e-6 * step for mark in marks)


@pytest.mark.parametrize(
    ("start", "end", "step"), [(0.0, 1.0, 1e-18), (1e6, 1e6 + 1, 1e-11), (-1e308, 1e308, 1.0)]
)
def test_a_step_lost_in_rounding_is_refused(start, end, step):
    with pytest.raises(InputError, match="take larger steps"):
        Clock(start, end, step)
