"""The run files of Bruna, Burger and Carrillo's examples 4.1 to 4.4, against independent rates and limits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fem_models.cli.app import app
from fem_models.exact.rates import slowest_rate

RUNS = Path(__file__).parents[2] / "runs"
POINT = "compare/point particles"


def run(name, out, **changes):
    """Run a file, and return the summaries of the run and its variants by folder."""
    options = [f"--set={key}={value}" for key, value in changes.items()]
    result = CliRunner().invoke(app, ["run", str(RUNS / name), "--out", str(out), *options])
    assert result.exit_code == 0, result.output
    return {str(f.parent.relative_to(out)): json.loads(f.read_text()) for f in out.rglob("summary.json")}


def test_rates_of_example_1(tmp_path):
    found = run("excluded_volume_1_rates.toml", tmp_path / "out", **{"mesh.cells": 200, "time.step": "1e-3"})
    effective = 1.0 + 2.0 * 99 * 0.0015
    assert effective == pytest.approx(1.297, abs=1e-12)
    for folder, rate in {".": effective, POINT: 1.0, "compare/linearised": effective}.items():
        assert found[folder]["energy"]["rate"] == pytest.approx(rate * 2 * math.pi**2, rel=1e-3)
    assert (tmp_path / "out" / "figures" / "overview.png").is_file()


def late_rate(folder, start, end):
    """The decay rate of the relative energy between two times."""
    energy = json.loads((folder / "summary.json").read_text())["energy"]
    series = np.genfromtxt(folder / "series.csv", delimiter=",", names=True)
    first, last = (np.argmin(np.abs(series["time"] - time)) for time in (start, end))
    relative = series["energy"] - energy["steady"]
    return math.log(relative[first] / relative[last]) / (series["time"][last] - series["time"][first])


# In example 4.3 the slowest mode is hardly there at first, and of point particles it is not seen at all.
@pytest.mark.parametrize(
    ("name", "potential", "coefficients"),
    [
        ("2_hard_disks", lambda x: 5 * x**2, {".": 0.31385, POINT: 0.0}),
        ("3_yukawa", lambda x: -1.5 * np.exp(-100 * x**2) - np.exp(-50 * x**2), {".": 0.39223}),
    ],
)
def test_rates_of_examples_2_and_3(name, potential, coefficients, tmp_path):
    changes = {"mesh.h": 0.03, "time.end": 0.5, "output.figures": "[]", "output.field_times": "[0.5]"}
    found = run(f"excluded_volume_{name}.toml", tmp_path / "out", **changes)
    for folder, coefficient in coefficients.items():
        expected = slowest_rate(potential, coefficient, points=1001)
        assert late_rate(tmp_path / "out" / folder, 0.37, 0.42) == pytest.approx(expected, rel=0.01)
    for summary in found.values():
        energy = summary["energy"]
        assert abs(energy["final"] - energy["steady"]) < 1e-6
        assert energy["max_increase"] <= 1e-14


def test_long_time_limit_of_example_4(tmp_path):
    changes = {"mesh.h": 0.05, "time.step": "2e-3", "time.end": 2, "output.figures": "[]"}
    changes["output.field_times"] = "[2]"
    found = run("excluded_volume_4_power_law.toml", tmp_path / "out", **changes)
    for summary in found.values():
        energy = summary["energy"]
        assert abs(energy["final"] - energy["steady"]) < 1e-11
        assert energy["max_increase"] <= 1e-14
        assert summary["species"]["rho"]["mass_drift"] < 1e-12
