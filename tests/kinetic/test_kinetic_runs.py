"""Kinetic equations from run files: output, figures, checkpoints, sweeps, and what is refused."""

import math

import numpy as np
import pytest
from mpi4py import MPI

import fem_models as fm
from fem_models.config.io import from_dict
from fem_models.core.errors import InputError
from fem_models.run.resume import resume
from fem_models.run.runner import run

COMM = MPI.COMM_WORLD

TABLES = {
    "mesh": {"domain": "torus", "lengths": [2 * math.pi], "cells": [16]},
    "system": {"name": "bgk", "alpha": 1.0, "epsilon": 0.2, "modes": 3},
    "initial": {"rho": "1 + 0.2*cos(x)", "odd_x": "0.1*sin(x)"},
    "time": {"end": 0.4, "step": 0.04},
    "output": {"figures": [], "fields_every": 5},
}
COLUMNS = [
    *("step", "time", "dt", "mass", "norm2_f", "norm2_deviation", "identity_residual", "perturbed_norm"),
    *("min_f_over_M", "max_f_over_M", "min_f_over_M_grid", "max_f_over_M_grid", "loss_by_projection"),
    *("newton", "linear"),
]


def changed(**tables):
    return {
        name: {**TABLES.get(name, {}), **tables.get(name, {})} for name in dict.fromkeys([*TABLES, *tables])
    }


@pytest.mark.parallel
def test_a_run_has_the_columns_fields_and_study_of_the_contract(shared_tmp_path):
    done = fm.run_file(TABLES, shared_tmp_path / "out")
    assert list(done.series) == COLUMNS and len(done.series["time"]) == 11
    assert done.series["mass"] == pytest.approx(np.full(11, 2 * math.pi), rel=1e-13)
    assert done.series["identity_residual"].max() < 1e-14
    assert np.all(np.diff(done.series["perturbed_norm"]) < 0.0)
    summary = done.summary
    assert (summary["system"], summary["scheme"], summary["stop_reason"]) == ("bgk", "bdf2", "end")
    assert summary["cells"] == 16 and summary["modes"] == 4 and summary["dofs"] == 64
    fields = done.fields(0.0)
    assert fields["rho"] == pytest.approx(1 + 0.2 * np.cos(fields.points[:, 0]), abs=1e-12)
    # j is constant on cells, and its own at both sides of each point.
    middles = np.repeat(2 * math.pi / 16 * (np.arange(16) + 0.5), 2)
    assert np.sort(fields["j"]) == pytest.approx(np.sort(0.1 * np.sin(middles)), abs=1e-12)
    table = done.table("study.csv")
    assert np.all(table["distance2"] <= table["theorem"]) and np.all(np.diff(table["distance2"]) < 0.0)
    assert summary["decay"]["linear_rate"] == pytest.approx(2 * 0.9651154, rel=1e-6)


def test_the_rate_of_a_long_run_is_the_linear_one_and_its_figures_are_drawn(tmp_path):
    tables = changed(
        system={"modes": 5, "degree": 2}, time={"end": 4.0}, output={"figures": True, "fields_every": 100}
    )
    done = fm.run_file(tables, tmp_path / "out")
    decay = done.summary["decay"]
    assert decay["rate"] == pytest.approx(decay["linear_rate"], rel=3e-3)
    # The constant of the theorem is far from sharp.
    assert 0.0 < decay["theorem_rate"] < 0.1 * decay["rate"]
    assert sorted(path.name for path in done.plot()) == ["decay.png", "density.png", "phase_space.png"]


@pytest.mark.parallel
def test_a_run_goes_on_from_its_checkpoint_on_other_ranks(shared_tmp_path):
    # Of another preconditioner, the solver's 1e-12 are others.
    tables = changed(solver={"tolerance": 1e-12}, initial={"rho": "1 + 0.2*cos(x)"})
    part = tables | {"time": tables["time"] | {"end": 0.2}}
    directory = shared_tmp_path / "part"
    if COMM.rank == 0:
        run(from_dict(tables), shared_tmp_path / "whole", comm=MPI.COMM_SELF)
        run(from_dict(part), directory, comm=MPI.COMM_SELF)
    COMM.Barrier()
    resume(directory, end=0.4, comm=COMM)
    whole, parts = (fm.open_run(shared_tmp_path / name) for name in ("whole", "part"))
    for name in set(COLUMNS) - {"identity_residual", "linear"}:
        assert parts.series[name] == pytest.approx(whole.series[name], rel=1e-10, abs=1e-12)
    assert parts.summary["decay"]["rate"] == pytest.approx(whole.summary["decay"]["rate"], rel=1e-8)


def test_steps_of_adaptive_control_follow_the_error(tmp_path):
    tables = changed(time={"control": "adaptive", "step": 1e-3, "tolerance": 1e-3, "end": 1.0})
    done = fm.run_file(tables, tmp_path / "out")
    steps = done.series["dt"][1:]
    # The layer of the width ε² = .04 needs short steps, and what comes after it does not.
    assert steps[0] <= 1e-3 and steps.max() > 20 * steps[0]
    assert done.series["identity_residual"].max() < 1e-14


def test_f_over_m_rates_bounds_and_the_other_system(tmp_path):
    tables = {
        **changed(system={"alpha": None, "rate": "a + rho**2", "bounds": 4.0}),
        "initial": {"f_over_M": "1 + 0.5*tanh(v)*sin(x)"},
        "parameters": {"a": 0.5},
        "time": {"end": 0.08, "step": 0.04, "scheme": "backward-euler"},
    }
    del tables["system"]["alpha"]
    done = fm.run_file(tables, tmp_path / "bgk")
    assert done.summary["warnings"] == [] and done.series["max_f_over_M"].max() < 1.5
    tables = changed(system={"name": "kinetic-fokker-planck"})
    assert fm.run_file(tables, tmp_path / "fp").summary["decay"]["linear_rate"] == pytest.approx(2.0)


def test_a_wave_without_an_eigenvalue_is_told(tmp_path):
    done = fm.run_file(changed(system={"epsilon": 1.5}, time={"end": 0.08}), tmp_path / "out")
    assert done.summary["decay"]["linear_rate"] is None
    assert "has no eigenvalue: k·epsilon/rate = 1.5 is not below 1.2533" in done.summary["warnings"][0]


REFUSED = [
    ({"system": {"epsilon": 0.0}}, "epsilon = 0"),
    ({"system": {"modes": 4}}, "modes = 4 must be odd"),
    ({"system": {"rate": "rho"}}, "needs exactly one of alpha and rate"),
    ({"system": {"bounds": 2.0, "degree": 2}}, "bounds go with degree = 1 only"),
    ({"initial": {"odd": 1}}, r"\[initial\] odd does not name .*odd_x"),
    ({"time": {"scheme": "jko"}}, r'"jko" does not go with \[system\] name = "bgk"; .*bdf2'),
    ({"initial": {"f_over_M": "1"}}, r"f_over_M and (rho|odd_x) exclude each other"),
    ({"initial": {"odd_y": "1"}}, "odd_y does not go with a torus of dimension 1"),
    ({"initial": {"rho": "cos(x)"}}, r"the density is -1 somewhere, and the collision rate ρ\^1 needs"),
    ({"initial": {"mass": 1.0}}, r"\[initial\] mass does not go with"),
    ({"system": {"bounds": 1.1}}, "outside of 1/A to A for bounds = A = 1.1"),
    ({"exact": {"rho": "1"}}, r"\[exact\] does not go with"),
]


@pytest.mark.parametrize(("tables", "sentence"), REFUSED)
def test_bad_input_is_told_in_a_sentence(tables, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        fm.run_file(changed(**tables), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mesh_with_a_boundary_is_refused(tmp_path):
    tables = {**TABLES, "mesh": {"domain": "interval", "cells": [16]}}
    with pytest.raises(InputError, match="needs a torus, and this mesh has a boundary"):
        fm.run_file(tables, tmp_path / "out")


def test_the_density_is_needed_unless_f_is_there():
    with pytest.raises(InputError, match="rho is missing"):
        from_dict({**TABLES, "initial": {"odd_x": "1"}})
    from_dict({**TABLES, "initial": {"f_over_M": "1 + 0.1*v"}})
