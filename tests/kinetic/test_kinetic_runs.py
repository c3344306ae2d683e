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
    """The tables with other entries; None leaves one out."""
    found = {name: TABLES.get(name, {}) | tables.get(name, {}) for name in dict.fromkeys([*TABLES, *tables])}
    return {name: {k: v for k, v in table.items() if v is not None} for name, table in found.items()}


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
    done = fm.run_file(tables, tmp_path / "bgk")
    assert done.summary["warnings"] == [] and done.series["max_f_over_M"].max() < 1.5
    tables = changed(system={"name": "kinetic-fokker-planck"})
    assert fm.run_file(tables, tmp_path / "fp").summary["decay"]["linear_rate"] == pytest.approx(2.0)


def test_a_wave_without_an_eigenvalue_is_told(tmp_path):
    done = fm.run_file(changed(system={"epsilon": 1.5}, time={"end": 0.08}), tmp_path / "out")
    assert done.summary["decay"]["linear_rate"] is None
    (warning,) = done.summary["warnings"]
    assert "has no eigenvalue: k·epsilon/rate = 1.5 is not below 1.2533" in warning
    assert "Hermite modes converge slowly" in warning


# √(π/2) = 1.2533 times the rate of the mean density.
@pytest.mark.parametrize(
    ("mean", "alpha", "limit"), [(1.0, 1.0, 1.2533), (2.0, 1.0, 2.5066), (2.0, -1.0, 0.6267)]
)
def test_the_warning_follows_the_rate_of_the_mean_density(mean, alpha, limit, tmp_path):
    for number, factor in enumerate((0.99, 1.01)):
        tables = changed(
            system={"epsilon": factor * limit, "alpha": alpha},
            initial={"rho": f"{mean} + 0.1*cos(x)"},
            time={"end": 0.04},
        )
        done = fm.run_file(tables, tmp_path / f"{number}")
        assert len(done.summary["warnings"]) == number
        assert (done.summary["decay"]["linear_rate"] is None) == (number == 1)


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
    (
        {"system": {"alpha": -1.0}, "initial": {"rho": "1 + cos(x)"}},
        r"density is 0 somewhere.*ρ\^-1 needs a pos",
    ),
    ({"system": {"epsilon": -0.1}}, r"\[system\] epsilon = -0.1 must be greater than 0"),
    ({"system": {"modes": 257}}, "must be at most 255, not 257"),
    ({"system": {"bounds": 1.0}}, "bounds = 1.0 must be greater than 1"),
    (
        {"initial": {"odd_x": "5"}, "system": {"bounds": 3.0}},
        "gives f/M from -.* outside of 1/A to A for bounds",
    ),
    ({"mesh": {"cells": [2]}}, r"\[mesh\] cells must be at least 3 around a torus, not \[2\]"),
    ({"mesh": {"lengths": [1.0, 1.0], "h": 0.5, "cells": None}}, "too large for a torus: take at most 0.333"),
    ({"mesh": {"domain": "interval", "lengths": None}}, "needs a torus, and this mesh has a boundary"),
]
# Rates in place of alpha, with initial densities from 0.8 to 1.2.
RATES = [
    ("rho + x", r"\[system\] rate: unknown name 'x'; allowed are .* the variables rho,"),
    ("1 - rho", r"\[initial\] the collision rate 1 - rho is (0|-\S+) for rho = 1"),
    ("log(rho)", r"\[initial\] the collision rate log\(rho\) is -0.223 for rho = 0.8"),
    ("-2", "The collision rate -2 is -2, and must be positive and finite"),
    ("a - 2", "The collision rate a - 2 is 0, and must be positive and finite"),
]
# A square with opposite sides that are one, and two edges around.
COARSE = """SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 1, 1};
Periodic Curve {2} = {4} Translate {1, 0, 0};
Periodic Curve {3} = {1} Translate {0, 1, 0};
Mesh.MeshSizeMin = 0.5;
Mesh.MeshSizeMax = 0.5;
"""


@pytest.mark.parametrize(("tables", "sentence"), REFUSED)
def test_bad_input_is_told_in_a_sentence(tables, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        fm.run_file(changed(**tables), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("rate", "sentence"), RATES)
def test_a_rate_that_is_none_is_told_in_a_sentence(rate, sentence, tmp_path):
    tables = changed(system={"alpha": None, "rate": rate}) | {"parameters": {"a": 2.0}}
    with pytest.raises(InputError, match=sentence):
        fm.run_file(tables, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_periodic_mesh_file_with_too_few_cells_around_is_refused(tmp_path):
    (tmp_path / "coarse.geo").write_text(COARSE)
    tables = {**TABLES, "mesh": {"file": str(tmp_path / "coarse.geo")}}
    with pytest.raises(InputError, match="facets with more than two cells where its opposite sides are one"):
        fm.run_file(tables, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_density_is_needed_unless_f_is_there():
    with pytest.raises(InputError, match="rho is missing"):
        from_dict({**TABLES, "initial": {"odd_x": "1"}})
    from_dict({**TABLES, "initial": {"f_over_M": "1 + 0.1*v"}})
