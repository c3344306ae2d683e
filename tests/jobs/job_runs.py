"""Runs of many small or few large steps, what jobs leave of them, and programs that stand in for others."""

import csv
import json
import re
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

# Each of its three steps, and its mesh, takes a good part of a second: a time limit of one ends it before its
# end, on any machine, and after three turns at the latest it is done.
SLOW_FILE = """
mesh = { domain = "disk", h = 0.02 }
system = { name = "fokker-planck", potential = "2*r**2", m = 2 }
initial = { rho = "where(x > 0.3, 1, 0)", mass = 1 }
time = { scheme = "bdf2", end = 0.15, step = 0.05 }
solver = { linear = "direct" }
output = { figures = false, steady = false, field_times = [0.15] }
"""


def same_run(directory, whole):
    """Whether the run of large steps that went on has the numbers of the one that did not, bit for bit."""
    for name in ("series.csv", "run.toml"):
        assert (directory / name).read_bytes() == (whole / name).read_bytes()
    found, expected = summary(directory), summary(whole)
    assert found["stop_reason"] == expected["stop_reason"] == "end"
    assert found["steps"] == expected["steps"] == 3
    return True


def turns(directory):
    """How often a run was begun until it came to its end: each time but the last its time was over."""
    stopped = re.findall(r"stopped at t = .* \((\w+)\)", (directory / "log.txt").read_text())
    assert stopped == [*["walltime"] * (len(stopped) - 1), "end"]
    return len(stopped)


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


def until(condition, seconds=240.0):
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
