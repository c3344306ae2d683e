"""Spans of time, and what schedulers say of them."""

import pytest

from fem_models.core.durations import clock_text, duration, left_of_job, walltime_seconds
from fem_models.core.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1:30", 90), ("2:00:00", 7200), ("1-01:00:00", 90000), ("48:00:00", 172800)],
)
def test_time_limits_are_read_as_schedulers_write_them(text, seconds):
    assert walltime_seconds(text) == seconds
    assert walltime_seconds(clock_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "0", "soon", "1:2:3:4", "-5", "1.5"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(InputError, match=r"^--walltime .* is no time: write seconds"):
        walltime_seconds(text)


def test_times_are_written_for_people():
    assert [duration(s) for s in (3, 61, 7260)] == ["3 s", "1 min 01 s", "2 h 01 min"]


def test_what_is_left_of_a_job():
    now = 1_000_000.0
    assert left_of_job({}, now) is None
    assert left_of_job({"SLURM_JOB_END_TIME": "soon"}, now) is None
    # A minute is kept, or a quarter where that is less.
    assert left_of_job({"SLURM_JOB_END_TIME": "1003600"}, now) == (3540.0, "SLURM_JOB_END_TIME")
    assert left_of_job({"SLURM_JOB_END_TIME": "1000100"}, now) == (75.0, "SLURM_JOB_END_TIME")
    assert left_of_job({"SLURM_JOB_END_TIME": "999000"}, now) == (1.0, "SLURM_JOB_END_TIME")
    assert left_of_job({"PBS_WALLTIME": "7200"}, now) == (7140.0, "PBS_WALLTIME")
