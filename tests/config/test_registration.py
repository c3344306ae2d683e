"""A system, an energy term, a scheme and a figure of one's own, in one file beside the project."""

import math

import numpy as np
import pytest
import toy_system

import fem_models as fm
from fem_models.config.catalogue import catalogue
from fem_models.config.description import describe
from fem_models.config.io import from_dict, load
from fem_models.config.system import SYSTEMS
from fem_models.core.errors import InputError


@pytest.fixture
def toy():
    toy_system.register()
    yield
    toy_system.unregister()


TABLES = {
    "mesh": {"domain": "interval", "lower": -6, "upper": 6, "cells": 240},
    "system": {"name": "toy"},
    "initial": {"rho": "exp(-(x - 1)**2/(2*0.5))", "mass": 1.0},
    "time": {"end": 0.5, "step": 0.005},
    "output": {"figures": ["density", "median"]},
}


def test_a_system_of_ones_own_runs_with_its_scheme_study_figure_and_steady_state(toy, tmp_path):
    run = fm.run_file(TABLES, tmp_path / "out")
    # ∂tρ = ρ'' + (xρ)' keeps Gaussians: the mean is e^{-t} up to τ/2 and the mesh.
    median = run.table("study.csv")["median"]
    assert median[-1] == pytest.approx(math.exp(-0.5), rel=5e-3)
    assert run.summary["scheme"] == "halves"
    assert run.summary["toy"] == {"points": 241}
    # log ρ + x²/2 of the Gaussian of mass 1.
    assert run.summary["energy"]["steady"] == pytest.approx(-0.5 * math.log(2 * math.pi), abs=1e-6)
    assert {path.name for path in (run.directory / "figures").iterdir()} == {"density.png", "median.png"}
    assert load(run.directory / "run.toml").system.potential == "r**2/2"


def test_two_halves_are_two_steps(toy, tmp_path):
    halves = fm.run_file(TABLES | {"output": {}}, tmp_path / "halves", figures=False)
    whole = TABLES | {"time": {"end": 0.5, "step": 0.0025, "scheme": "backward-euler"}, "output": {}}
    series = fm.run_file(whole, tmp_path / "whole", figures=False).series["energy"]
    assert halves.series["energy"] == pytest.approx(series[::2], rel=1e-9)


def test_a_term_of_ones_own_is_one_of_an_energy(toy, tmp_path):
    tables = TABLES | {
        "system": {"name": "gradient-flow"},
        "species": [{"name": "rho"}],
        "energy": [{"term": "squares", "k": 3.0}],
        "output": {},
    }
    run = fm.run_file(tables, tmp_path / "out", figures=False)
    # ∫3ρ² of the Gaussian with the variance ½.
    assert run.series["squares"][0] == pytest.approx(3 / math.sqrt(2 * math.pi), rel=1e-4)
    assert np.all(np.diff(run.series["squares"]) < 0)


def test_what_is_registered_is_listed_and_described_and_checked(toy):
    listed = dict(catalogue())
    for title, name in {
        "systems": "toy",
        "energy terms": "squares",
        "schemes": "halves",
        "figures": "median",
    }.items():
        assert name in listed[title]
    assert any(entry.key == "system.potential" and "toy" in entry.meaning for entry in describe())
    with pytest.raises(InputError, match=r"\[system\] potental is not a key .* did you mean potential"):
        from_dict(TABLES | {"system": {"name": "toy", "potental": 1}})
    with pytest.raises(InputError, match="is registered already"):
        SYSTEMS.add("toy", toy_system.Toy)


def test_what_is_not_registered_any_more_is_unknown():
    with pytest.raises(InputError, match=r'\[system\] name = "toy" must be one of'):
        from_dict(TABLES)
