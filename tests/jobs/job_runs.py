"""A small run of many steps, what jobs leave of it, and programs that stand in for others."""

import csv
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

RUN_FILE = """
[mesh]
domain = "interval"
cells = [60]
[system]
name = "fokker-planck"
potential = "2*x**2"
m = 2
[initial]
rho = "1 + x"
mass = 1
[time]
scheme = "bdf2"
end = 6
step = 0.005
[output]
figures = false
steady = false
field_times = [6]
"""


def same_run(directory, whole):
    """Whether a run that went on has the numbers of one that was not interrupted, bit for bit."""
    for name in ("series.csv", "run.toml"):
        assert (directory / name).read_bytes() == (whole / name).read_bytes()
    found, expected = summary(directory), summary(whole)
    assert found["stop_reason"] == expected["stop_reason"] == "end"
    assert found["steps"] == expected["steps"] == 1200
    return True


def walltime(whole, share):
    """A time limit of which the run may use a share of the seconds that it took without interruption."""
    seconds = max(1, round(share * summary(whole)["wall_seconds"]["total"]))
    # A quarter is kept for what follows the last step.
    return str(next(limit for limit in range(1, 10**6) if limit - limit // 4 >= seconds))


def summary(directory):
    """What summary.json says, if it is there."""
    try:
        return json.loads((directory / "summary.json").read_text())
    except (OSError, ValueError):
        return {}


def rows(directory):
    """What series.csv of a run has."""
    try:
        with (directory / "series.csv").open(newline="") as file:
            return list(csv.reader(file))
    except OSError:
        return []


def until(condition, seconds=200.0):
    """Wait for something; returns what came of it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)
    return found


def stand_in(folder, name, program):
    """A command of a scheduler that is not here."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{program}")
    path.chmod(0o755)
    return path
