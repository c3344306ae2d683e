"""The benchmarks run, and their tables hold against closed forms, orders and bounds; times are not tested."""

import importlib.util
import json
import math
import re
import sys

import pytest
from benchmark_checks import BENCHMARKS, CHECKS, PARTS, run, table


@pytest.mark.parametrize("command", CHECKS, ids=" ".join)
def test_quick_table(command, tmp_path):
    done = run(*command, "--quick", "--output", str(tmp_path / "table.md"))
    assert done.returncode == 0, done.stderr
    rows = table(done.stdout)
    assert table((tmp_path / "table.md").read_text()) == rows
    CHECKS[command](rows, done.stdout)


def test_every_benchmark_is_tested_and_described():
    # Peers are tested below: they need another code.
    scripts = {path.name for path in BENCHMARKS.glob("*.py")} - PARTS
    assert {script for script, *_ in CHECKS} == scripts - {"peers.py"}
    commands = re.findall(r"python runs/benchmarks/(\w+\.py)", (BENCHMARKS / "README.md").read_text())
    assert set(commands) == scripts


# What they share


@pytest.fixture(scope="module")
def common():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("common")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_error_is_the_distance_of_densities(common):
    flow = common.flow_on(common.unit_mesh(common.MPI.COMM_SELF, 2, 0.1), 2.0)
    distance = common.L1Error(flow, common.PEERS)
    empty = flow.state(lambda x: common.PEERS(x, common.START)) * 0.0
    mass = 8.0 * math.pi * 0.05**2
    assert distance(empty, common.END) == pytest.approx(mass, rel=1e-2)
    # Far above the density, the distance is the difference of the masses.
    assert distance(empty + 10.0, common.END) == pytest.approx(10.0 - mass, rel=1e-4)


def test_solutions_stay_inside_of_the_unit_cube(common):
    for dim, m in ((1, 2.0), (2, 3.0), (3, 2.0)):
        profile = common.source_solution(dim, m).profile(common.END)
        assert profile.radius == pytest.approx(0.42, rel=1e-12)
        assert profile.center == (0.5,) * dim


def test_slope_is_that_of_a_power(common):
    assert common.slope([1.0, 10.0, 100.0], [3.0, 3.0e2, 3.0e4]) == pytest.approx(2.0)


# Peers


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
    # Of the mass 8πC² a twentieth is in the wrong place on this coarse mesh.
    assert float(ours["L∞L¹ error"]) < 0.05 * 8.0 * math.pi * 0.05**2
    assert ours["LJKO's time / this"] == "–"  # it does not reach LJKO's error


@pytest.mark.skipif(importlib.util.find_spec("ngsolve") is None, reason="NGSolve is not installed")
def test_ngsolve_solves_the_same_problem():
    done = run("peers_ngsolve.py", "0.06", "10")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["error"] < 3e-3
