"""The run files of the Poisson–Nernst–Planck system: their promises, their bounds, and what they refuse."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from fem_models.config.io import from_dict, load
from fem_models.core.errors import InputError
from fem_models.exact.poisson_boltzmann import poisson_boltzmann
from fem_models.run.build import build_mesh
from fem_models.run.runner import run

RUNS = Path(__file__).parents[2] / "runs"
COARSE = {
    "pnp": {"mesh.h": 0.15, "time.end": 0.08, "time.step": 0.01},
    "pnp_nonlinear": {"mesh.h": 0.15, "time.end": 0.08, "time.step": 0.01},
    "pnp_electrodes": {"mesh.cells": "[200]", "time.step": 5e-3},
    "pnp_space": {"mesh.h": 0.7, "time.end": 0.2, "time.step": 0.05},
    "pnp_three_ions": {"mesh.cells": "[20,10]", "time.end": 0.08, "time.step": 0.01},
}


@pytest.fixture
def outcome(request, tmp_path):
    """Run a file with coarse settings, and return its summary and the rows of its study."""
    changes = COARSE[request.param] | {"output.figures": "false"}
    times = [0.0, float(changes.get("time.end", 0.5))]
    overrides = [f"{key}={value}" for key, value in changes.items()] + [f"output.field_times={times}"]
    run(load(RUNS / f"{request.param}.toml", overrides), tmp_path / "out")
    with (tmp_path / "out" / "study.csv").open(encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8")), rows


@pytest.mark.parametrize("outcome", COARSE, indirect=True)
def test_run_files_reach_their_end_with_all_promises(outcome):
    summary, rows = outcome
    assert summary["stop_reason"] == "end"
    # A few negative edges of an unstructured mesh are no fault of the system.
    assert [text for text in summary["warnings"] if not text.startswith("The mesh has")] == []
    densities = [entry for entry in summary["species"].values() if entry["mass_drift"] is not None]
    assert len(densities) == len(summary["species"]) - 1
    for entry in densities:
        assert entry["mass_drift"] <= 1e-12
        assert entry["min"] >= 0.0
    energy = summary["energy"]
    assert energy["max_increase"] <= 1e-11 * max(1.0, abs(energy["initial"]))
    assert energy["final"] < energy["initial"]
    for row in rows:
        for p in ("2", "4", "inf"):
            assert 0.0 < row[f"norm_{p}"] <= row.get(f"bound_{p}", math.inf) * (1.0 + 1e-9)
        assert row["energy_drop"] >= row["dissipated"] * (1.0 - 1e-9)
    assert rows[-1]["dissipated"] > 0.5 * rows[-1]["energy_drop"]
    assert rows[-1]["energy_drop"] == pytest.approx(energy["initial"] - energy["final"], rel=1e-9)


@pytest.mark.parametrize("outcome", ["pnp_electrodes"], indirect=True)
def test_electrodes_charge_two_double_layers(outcome):
    # u = c e^{-ψ} and v = c e^ψ with ψ = ±1.5 at the ends.
    summary, rows = outcome
    a, voltage = 0.005, 1.5
    exact = poisson_boltzmann((1.0, -1.0), (1.0, 1.0), a, (voltage, -voltage))
    c = exact.constants[0]
    u = summary["species"]["u"]
    assert u["max"] == pytest.approx(c * math.exp(voltage), rel=2e-3)
    assert u["min"] == pytest.approx(c * math.exp(-voltage), rel=2e-3)
    assert rows[-1]["field_energy"] == pytest.approx(exact.field_energy, rel=5e-3)
    assert rows[0]["debye_length"] == pytest.approx(0.05, rel=1e-12)


def problem(tables):
    """Build the problem of a small run, with some tables changed."""
    data = {
        "mesh": {"domain": "rectangle", "cells": [4, 4]},
        "system": {"name": "poisson-nernst-planck"},
        "initial": {"u": "1 + x", "v": "2 - x"},
        "time": {"end": 1.0, "step": 0.1},
    } | tables
    config = from_dict(data)
    return config.system.problem(config, build_mesh(MPI.COMM_WORLD, config.mesh))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"initial": {"u": "1", "v": "1", "mass": {"u": 1.0, "v": 1.25}}},
            r"add up to -0\.25 \(positive 1, negative 1\.25\)",
        ),
        (
            {
                "system": {
                    "name": "poisson-nernst-planck",
                    "electrodes": [{"boundary": "rihgt", "potential": "1"}],
                }
            },
            r'electrodes\.0\.boundary = "rihgt" is not a boundary of the mesh; did you mean right\?',
        ),
        (
            {
                "mesh": {"domain": "space", "h": 0.5},
                "system": {"name": "fokker-planck"},
                "initial": {"rho": "1"},
            },
            r'region "shell", which stands for the rest of space',
        ),
        (
            {"system": {"name": "poisson-nernst-planck", "m": 0.5}},
            r"m.*greater than or equal to 1|at least 1",
        ),
        ({"system": {"name": "poisson-nernst-planck", "ions": []}}, r"ions"),
    ],
    ids=["net charge", "unknown boundary", "space elsewhere", "exponent", "no ions"],
)
def test_what_makes_no_sense_is_refused(tables, message):
    with pytest.raises(InputError, match=message):
        problem(tables)


def test_a_net_charge_is_welcome_in_space():
    found = problem(
        {
            "mesh": {"domain": "space", "h": 0.5},
            "initial": {"u": "1", "v": "1", "mass": {"u": 1.0, "v": 0.5}},
        }
    )
    # ψ is that of the net charge far away: flux 1/2 through every sphere, 1/(8π r), here at r = 1.
    r = np.linalg.norm(found.model.points, axis=1)
    on_sphere = found.initial[np.abs(r - 1.0) < 1e-6, -1]
    assert on_sphere.mean() == pytest.approx(1.0 / (8.0 * np.pi), rel=0.05)


@pytest.mark.parallel
@pytest.mark.parametrize("prefix", ["static_", "steady_"])
def test_options_of_inner_solvers_reach_them_from_the_run_file(prefix, shared_tmp_path):
    changes = {"mesh.cells": "[4,2]", "time.end": 0.01, "time.step": 0.01, "output.field_times": "[]"}
    overrides = [*(f"{key}={value}" for key, value in changes.items()), f'solver.{prefix}ksp_type="magic"']
    config = load(RUNS / "pnp_three_ions.toml", overrides)
    assert config.solver.petsc == {f"{prefix}ksp_type": "magic"}
    with pytest.raises(InputError, match=f"PETSc refuses an option with the prefix {prefix}: .*magic"):
        run(config, shared_tmp_path / "out")
    assert not (shared_tmp_path / "out").exists()
