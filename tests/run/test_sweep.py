"""Sweeps: a run for each value of a key, the table of their rates, and the fitted slope."""

import csv
import json
import math

import numpy as np
import pytest

from fem_models.config.io import from_dict
from fem_models.run.runner import run
from fem_models.run.sweep import fitted_slope

TABLES = {
    "mesh": {"domain": "interval", "lower": -3.0, "upper": 3.0, "cells": 120},
    "system": {"name": "two-component", "m": 2.0, "centers": [[-0.2], [0.2]], "lambda": 1.5},
    "initial": {"rho1": "exp(-4*(x - 0.6)**2)", "rho2": "exp(-4*(x + 0.4)**2)"},
    "time": {"end": 3.0, "step": 0.05, "flux": "average"},
    "output": {"figures": False},
    "sweep": {"key": "system.epsilon", "values": [0.0, 1.0, 4.0]},
}


def test_slope_of_exact_rates():
    epsilon = np.array([0.0, 0.1, 0.2, 0.4])
    assert fitted_slope(epsilon, 3.0 * (1.0 - 0.7 * epsilon), 3.0) == pytest.approx(0.7)
    # An unknown rate, and one that is too slow for ε to be small.
    assert fitted_slope([0.0, 0.5, 1.0, 2.0], [3.0, math.nan, 2.4, 0.3], 3.0) == pytest.approx(0.2)
    assert fitted_slope([0.0], [3.0], 3.0) is None
    assert fitted_slope([0.5], [3.0], None) is None


@pytest.mark.parallel
def test_a_sweep_has_a_row_for_each_value(shared_tmp_path):
    directory = shared_tmp_path / "run"
    outcomes = run(from_dict(TABLES), directory)
    assert outcomes.failure is None
    assert len(outcomes.runs) == 4
    with (directory / "sweep.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == [0.0, 1.0, 4.0]
    assert all(row["completed"] == "1" for row in rows)
    quotients = [float(row["minimal_quotient"]) for row in rows]
    # |∂E|² ≥ 2λE without coupling (upwind dissipation, h = .1, first order), and less with it.
    assert quotients[0] == pytest.approx(1.5, rel=0.05)
    assert quotients[2] < quotients[1] < quotients[0]
    entry = json.loads((directory / "summary.json").read_text(encoding="utf-8"))["sweep"]
    assert entry["reference_rate"] == 3.0
    assert entry["K"] > 0.0


@pytest.mark.parallel
def test_a_value_that_fails_does_not_end_a_sweep(shared_tmp_path):
    tolerance = {"key": "solver.snes_rtol", "values": [1e-40, 1e-9]}
    tables = TABLES | {"sweep": tolerance, "solver": {"snes_stol": 0.0, "snes_max_it": 6}}
    tables |= {"mesh": TABLES["mesh"] | {"cells": 30}, "time": TABLES["time"] | {"end": 0.1}}
    outcomes = run(from_dict(tables), shared_tmp_path / "run")
    reasons = [outcome.stop.reason for outcome in outcomes.runs]
    assert reasons == ["end", "failed", "end"]
    assert outcomes.failure is None
