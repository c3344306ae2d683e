"""Plain lines of progress: the first, the last, and not too many between."""

import io

import pytest
from rich.console import Console

from fem_models.core.durations import duration
from fem_models.run import progress
from fem_models.run.clock import Clock
from fem_models.run.progress import LateProgress, ProgressReport


def _lines(monkeypatch, steps, seconds_per_step):
    """Return the step numbers of the lines of a run that takes so long."""
    now = [0.0]
    monkeypatch.setattr(progress.clock, "perf_counter", lambda: now[0])
    logged, text = [], io.StringIO()

    def log(line, level="info"):
        if level == "info":
            logged.append(line)

    report = ProgressReport(Console(file=text), log, "run", Clock(0.0, 0.1 * steps, 0.1))
    for step in range(steps + 1):
        now[0] = step * seconds_per_step
        row = {"step": step, "time": 0.1 * step, "dt": 0.1, "energy": 2.5, "newton": 3}
        report.step(row, {"energy": row["energy"]}, 1.5e-13, step == steps)
    report.close()
    assert text.getvalue().splitlines() == logged
    return logged


def _numbers(lines):
    return [int(line.split("/")[0].removeprefix("step ")) for line in lines]


def test_a_fast_run_has_two_lines(monkeypatch):
    assert _numbers(_lines(monkeypatch, 1000, 1e-3)) == [0, 1000]


def test_a_run_of_a_minute_has_a_line_each_five_per_cent(monkeypatch):
    assert _numbers(_lines(monkeypatch, 100, 0.6)) == list(range(0, 101, 5))


def test_there_are_two_seconds_between_lines(monkeypatch):
    assert _numbers(_lines(monkeypatch, 40, 0.25)) == [0, 8, 16, 24, 32, 40]


def test_a_slow_run_has_a_line_each_minute(monkeypatch):
    assert _numbers(_lines(monkeypatch, 1000, 10.0))[:4] == [0, 6, 12, 18]


def test_a_line_says_how_far_and_how_long(monkeypatch):
    lines = _lines(monkeypatch, 100, 0.6)
    assert lines[1] == (
        "step 5/100: t = 0.5, dt = 0.1, energy = 2.5, mass drift = 1.5e-13, Newton = 3, time left = 57 s"
    )
    assert "time left" not in lines[0]
    assert "time left" not in lines[-1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3600 * 5 + 125, "5 h 02 min")]
)
def test_durations_are_written_as_people_read_them(seconds, text):
    assert duration(seconds) == text


def _late(monkeypatch, times, total=None, **console):
    now, text = [0.0], io.StringIO()
    monkeypatch.setattr(progress.clock, "perf_counter", lambda: now[0])
    with LateProgress(Console(file=text, **console), total) as report:
        for number, seconds in enumerate(times, 1):
            now[0] = seconds
            report.update(number, "some work", f"step {number}")
    return text.getvalue()


def test_what_is_over_soon_shows_nothing(monkeypatch):
    assert not _late(monkeypatch, [0.5, 1.0, 1.9])
    assert not _late(monkeypatch, [0.5, 1.0, 1.9], force_terminal=True)


def test_what_takes_a_while_has_a_line_each_ten_seconds(monkeypatch):
    lines = _late(monkeypatch, [1.0, 2.5, 5.0, 12.0, 13.0, 70.0]).splitlines()
    assert lines == ["step 2 after 2 s", "step 5 after 13 s", "step 6 after 1 min 10 s"]


def test_on_a_terminal_it_has_a_bar(monkeypatch):
    shown = _late(monkeypatch, [1.0, 2.5, 3.0], total=4, force_terminal=True, width=80)
    assert "some work" in shown and "/4" in shown and "step" not in shown
