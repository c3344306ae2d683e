"""The benchmarks run, print their tables, and compare like with like; their times are not tested."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "runs" / "benchmarks"


def run(script, *arguments):
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def table(text):
    """Rows of the table in Markdown, by column."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = lines
    assert all(len(row) == len(head) for row in rows)
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def common():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("common")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize(("dim", "m", "t"), [(1, 2.0, 0.01), (2, 2.0, 0.03), (2, 3.0, 0.02), (3, 2.0, 0.03)])
def test_exact_solution_satisfies_its_equation(common, dim, m, t):
    exact = common.Barenblatt.of_radius(dim, m, 0.42)
    point = 0.5 + 0.1 * np.arange(1, dim + 1)[:, None] / dim
    d, s = 1e-4, 1e-7

    def power(x):
        return exact(x, t) ** m

    shifts = d * np.eye(dim)[:, :, None]
    laplacian = sum(power(point + e) - 2.0 * power(point) + power(point - e) for e in shifts) / d**2
    rate = (exact(point, t + s) - exact(point, t - s)) / (2.0 * s)
    assert exact(point, t) > 0.0
    assert rate == pytest.approx(laplacian, rel=1e-4)


def test_exact_solution_of_the_peers_has_its_mass_and_radius(common):
    n = 1000
    axis = (np.arange(n) + 0.5) / n
    x = np.stack(np.meshgrid(axis, axis)).reshape(2, -1)
    for t in (common.START, common.END):
        assert common.PEERS(x, t).mean() == pytest.approx(8.0 * math.pi * 0.05**2, rel=1e-5)
    edge = common.Barenblatt.of_radius(2, 3.0, 0.42)
    near = np.array([[0.5 + 0.4199], [0.5]])
    far = np.array([[0.5 + 0.4201], [0.5]])
    assert edge(near, common.END) > 0.0
    assert edge(far, common.END) == 0.0


def test_error_is_the_distance_of_densities(common):
    flow = common.flow_on(common.unit_mesh(common.MPI.COMM_SELF, 2, 0.1), 2.0)
    distance = common.L1Error(flow, common.PEERS)
    empty = flow.state(lambda x: common.PEERS(x, common.START)) * 0.0
    mass = 8.0 * math.pi * 0.05**2
    assert distance(empty, common.END) == pytest.approx(mass, rel=1e-2)
    # Far above the density, the distance is the difference of the masses.
    assert distance(empty + 10.0, common.END) == pytest.approx(10.0 - mass, rel=1e-4)


def test_slope_is_that_of_a_power(common):
    assert common.slope([1.0, 10.0, 100.0], [3.0, 3.0e2, 3.0e4]) == pytest.approx(2.0)


def test_phases_agree_with_the_plain_loop_and_add_up(tmp_path):
    done = run("phases.py", "--quick", "--output", str(tmp_path / "table.md"))
    assert done.returncode == 0, done.stderr  # it ends with 2 where the two differ by more than 1e-8
    rows = table(done.stdout)
    assert table((tmp_path / "table.md").read_text()) == rows
    assert len(rows) == 2
    for row in rows:
        parts = [float(row[name]) for name in ("assembly", "solve", "rest")]
        assert min(parts) > 0.0
        assert sum(parts) == pytest.approx(float(row["step [ms]"]), abs=0.03)
        assert float(row["this / plain"]) > 0.0


@pytest.mark.parametrize("dim", [2, 3])
def test_scaling_prints_time_and_memory_by_size(dim):
    done = run("scaling.py", "--quick", "--dimension", str(dim))
    assert done.returncode == 0, done.stderr
    small, large = table(done.stdout)
    assert int(large[f"unknowns, {dim}D"]) > int(small[f"unknowns, {dim}D"])
    assert all(float(row["time per step [s]"]) > 0.0 for row in (small, large))
    assert all(float(row["peak memory [MB]"]) > 50.0 for row in (small, large))
    assert "Slope of the time per step on log axes:" in done.stdout


def test_fieldsplit_compares_iterations_time_and_memory_by_size():
    done = run("fieldsplit.py", "--quick", "--system", "pnp-electrodes")
    assert done.returncode == 0, done.stderr
    small, large = table(done.stdout)
    assert int(large["unknowns"]) > int(small["unknowns"])
    for row in (small, large):
        assert 1.0 <= float(row["to 1e-3"]) <= float(row["to 1e-8"])
        assert float(row["× (1e-8)"]) < 1.5
        assert min(float(row[f"{solver} [s]"]) for solver in ("splits", "MUMPS")) > 0.0
        assert min(float(row[f"{solver} [MB]"]) for solver in ("splits", "MUMPS")) > 50.0


def test_ranks_agree_on_the_energy():
    done = run("ranks.py", "--quick")
    assert done.returncode == 0, done.stderr
    one, two = table(done.stdout)
    assert (one["ranks"], two["ranks"]) == ("1", "2")
    assert one["unknowns"] == two["unknowns"]
    assert one["speed-up"] == "1.00"
    gap = float(done.stdout.strip().splitlines()[-1].split()[-1].rstrip("."))
    assert gap < 1e-9


def test_convergence_prints_the_orders():
    done = run("convergence.py", "--quick")
    assert done.returncode == 0, done.stderr
    rows = table(done.stdout)
    assert len(rows) == 8
    for row in rows:
        expected = {"backward-euler": 1.0, "bdf2": 2.0}[row["scheme"]]
        assert float(row["order in τ"]) == pytest.approx(expected, abs=0.3)
        assert float(row["order in h"]) > {"upwind": 0.7, "average": 1.2}[row["flux"]]


def test_peers_without_ngsolve_say_how_to_get_it(tmp_path):
    done = run("peers.py", "--quick", "--ngsolve-python", str(tmp_path / "python"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "pip install ngsolve" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_peers_compare_with_what_another_python_prints(tmp_path):
    result = {"version": "0", "cells": 600, "steps": 10, "error": 1.0, "minimum": -1.0, "newton": 3.0}
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\necho '{json.dumps({**result, 'seconds': 1e6})}'\n")
    fake.chmod(0o755)
    done = run("peers.py", "--quick", "--ngsolve-python", str(fake))
    assert done.returncode == 0, done.stderr
    ljko, ngsolve, ours = table(done.stdout)
    assert (ljko["cells"], ljko["seconds"]) == ("14336", "13.7")
    assert ngsolve["cells"] == "600"
    ratio = float(ours["NGSolve's time / this"])
    assert ratio == pytest.approx(1e6 / float(ours["seconds"]), rel=0.01)
    assert float(ours["minimum"]) == 0.0
    assert ours["LJKO's time / this"] == "–"  # it does not reach LJKO's error


@pytest.mark.skipif(importlib.util.find_spec("ngsolve") is None, reason="NGSolve is not installed")
def test_ngsolve_solves_the_same_problem():
    done = run("peers_ngsolve.py", "0.06", "10")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["error"] < 3e-3
