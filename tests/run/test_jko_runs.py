"""Runs by minimising movements: their table and summary, exact steps, bounds of distances, bad input."""

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvista
from mpi4py import MPI

from fem_models.cli import main
from fem_models.config.io import dump, from_dict, load, variant
from fem_models.config.messages import toml
from fem_models.exact.distances import interval_square
from fem_models.exact.jko_steps import fokker_planck_step
from fem_models.exact.profiles import Gaussian
from fem_models.jko.jko_step import Jko
from fem_models.jko.movement import Movement, MovingStep
from fem_models.jko.movements import Movements
from fem_models.jko.total_distance import hoelder_bound, total_distance_bound
from fem_models.run import runner
from fem_models.run.build import build_mesh

RUNS = Path(__file__).parents[2] / "runs"
IONS = {
    "mesh": {"domain": "interval", "upper": [2.0], "cells": [60]},
    "system": {"name": "poisson-nernst-planck", "permittivity": 0.1},
    "initial": {"u": "exp(-20*(x - 0.6)**2)", "v": "exp(-20*(x - 1.3)**2)", "mass": 1.0},
    "time": {"scheme": "jko", "slabs": 3, "end": 0.12, "step": 0.02},
    "output": {"figures": False, "fields_every": 1},
}


def jko_rows(path):
    with (path / "jko.csv").open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def column(rows, name):
    return np.array([row[name] for row in rows])


@pytest.mark.parallel
def test_summary_and_table_agree(tables, run_tables):
    tables["system"]["m"] = 2
    tables["initial"]["rho"] = "max(0.1 - (x - 0.6)**2, 0)"
    tables["time"] |= {"scheme": "jko", "slabs": 2}
    found = run_tables(tables)
    summary, rows = found.summary, jko_rows(found.path)
    header = "step,time,action_rho,distance_rho,excess,hamilton_jacobi,terminal"
    assert (found.path / "jko.csv").read_text().splitlines()[0] == header
    assert list(column(rows, "step")) == [1, 2, 3, 4, 5]
    assert list(column(rows, "time")) == found.column("time")[1:]
    energy, actions = np.array(found.column("energy")), column(rows, "action_rho")
    assert column(rows, "excess") == pytest.approx(actions + np.diff(energy), abs=1e-13)
    assert column(rows, "excess").max() < 0.0
    assert column(rows, "distance_rho") == pytest.approx(np.sqrt(2 * 0.02 * actions))
    entry = summary["jko"]
    assert set(entry) == {
        *("slabs", "max_excess", "hamilton_jacobi", "terminal", "total_distance", "hoelder", "notes")
    }
    assert entry["slabs"] == 2
    for key, name in (("max_excess", "excess"), ("hamilton_jacobi",) * 2, ("terminal",) * 2):
        assert entry[key] == column(rows, name).max()
    total = entry["total_distance"]
    assert total["fields"] == {"rho": pytest.approx(actions.sum())}
    assert total["sum"] == pytest.approx(actions.sum())
    assert total["bound"] == pytest.approx(energy[0] - energy[-1])
    assert total["holds"] is True
    assert summary["scheme"] == "jko"
    assert summary["species"]["rho"]["mass_drift"] <= 1e-12
    # Vacuum is a true zero: the support does not reach the right end.
    assert summary["species"]["rho"]["min"] == 0.0
    assert (summary["rejected_steps"], summary["warnings"], entry["notes"]) == (0, [], [])
    assert "average flux, 2 slabs, 5 steps" in found.log


@pytest.mark.parallel
def test_a_step_of_a_gaussian_is_the_exact_one(tables, run_tables):
    tables["mesh"] = {"domain": "interval", "lower": [-6.0], "upper": [6.0], "cells": [120]}
    tables["system"]["potential"] = "2*x**2"
    tables["initial"] = {"rho": "exp(-(x - 0.5)**2/2)", "mass": 1.0}
    tables["time"] = {"scheme": "jko", "slabs": 4, "end": 0.5, "step": 0.5}
    found = run_tables(tables)
    exact = fokker_planck_step(Gaussian([0.5], [[1.0]]), 4.0, 0.5)
    [row] = jko_rows(found.path)
    moment = found.summary["species"]["rho"]["second_moment"]
    # Second order in h and in 1/S: errors of order (h/σ)² and (1/4)² of the action.
    expected = exact.state.covariance[0, 0] + exact.state.mean[0] ** 2
    assert moment == pytest.approx(expected, rel=0.01)
    assert row["distance_rho"] == pytest.approx(math.sqrt(exact.square), rel=0.01)
    assert row["action_rho"] == pytest.approx(exact.square, rel=0.02)
    assert row["excess"] == pytest.approx(exact.value - exact.energy_before, rel=0.01)
    tables["time"] |= {"scheme": "backward-euler", "slabs": 1}
    implicit = run_tables(tables, "implicit").summary["species"]["rho"]["second_moment"]
    # Backward Euler has the variance 0.4 in place of 0.3692, and the same mean.
    assert implicit - expected > 0.02


def written_states(path, names):
    """The written densities of an interval, by name: nodes and values, shapes (nodes,) and (times, nodes)."""
    reader = pyvista.get_reader(path / "fields.pvd")
    values = {name: [] for name in names}
    for time in reader.time_values:
        reader.set_active_time_value(time)
        grid = reader.read()[0]
        x, index = np.unique(grid.points[:, 0], return_index=True)
        for name in names:
            values[name].append(grid[name][index])
    return x, {name: np.array(states) for name, states in values.items()}


def test_distances_of_a_run_of_ions_obey_both_bounds(run_tables):
    # W₂ on an interval by quantiles is independent of the paths that the run computes.
    found = run_tables(IONS)
    rows, (x, states) = jko_rows(found.path), written_states(found.path, "uv")
    steps = len(rows)
    squares = np.zeros((steps + 1, steps + 1))
    for name in "uv":
        for first in range(steps + 1):
            for second in range(first):
                moved = ((x, states[name][first]), (x, states[name][second]))
                own = interval_square(*moved)
                squares[first, second] += own
                if first == second + 1:
                    # Error of W by 3 slabs at moves of a fraction of the width: below 2 %.
                    assert rows[second][f"distance_{name}"] == pytest.approx(math.sqrt(own), rel=0.02)
    energies, tau = found.column("energy"), 0.02
    consecutive = squares[np.arange(1, steps + 1), np.arange(steps)]
    total = total_distance_bound(consecutive, tau, energies)
    assert total.holds
    entry = found.summary["jko"]
    assert entry["total_distance"]["sum"] == pytest.approx(float(total.left), rel=0.02)
    later, earlier = np.tril_indices(steps + 1, -1)
    times = np.array(found.column("time"))
    pairs = np.column_stack([times[later], times[earlier]])
    bound = hoelder_bound(pairs, squares[later, earlier], tau, total)
    assert bound.holds
    # The length of the path is at least the distance, and obeys the bound as well.
    assert float(np.max(bound.left / bound.right)) * 0.98 <= entry["hoelder"] <= 1.0
    lengths = np.cumsum(np.hypot(column(rows, "distance_u"), column(rows, "distance_v")))
    allowed = np.sqrt(2.0 * float(total.right) * (times[1:] + tau))
    assert entry["hoelder"] >= np.max(lengths / allowed) * (1.0 - 1e-12)


@pytest.mark.parallel
def test_a_signal_moves_in_the_metric_of_l2(run_tables):
    # Without coupling an even signal decays by c' = c/(1 + κτ), an implicit step.
    tables = {
        "mesh": {"domain": "rectangle", "upper": [2.0, 1.0], "cells": [6, 4]},
        "system": {"name": "chemotaxis", "epsilon": 0.0, "kappa": 2.0},
        "initial": {"rho": "1 + x", "c": 3.0},
        "time": {"scheme": "jko", "end": 0.5, "step": 0.25},
        "output": {"figures": False},
    }
    found = run_tables(tables)
    rows = jko_rows(found.path)
    values = 3.0 / 1.5 ** np.arange(3)
    moved = np.sqrt(2.0) * -np.diff(values)
    assert column(rows, "distance_c") == pytest.approx(moved)
    assert column(rows, "action_c") == pytest.approx(moved**2 / 0.5)
    assert found.summary["jko"]["total_distance"]["fields"]["c"] == pytest.approx((moved**2 / 0.5).sum())


@pytest.mark.parallel
@pytest.mark.parametrize("flux", ["average", "upwind"])
def test_nodal_volumes_suit_the_flux_and_the_steady_state(run_tables, flux):
    tables = {
        "mesh": {"domain": "ball", "h": 0.6},
        "system": {"name": "fokker-planck", "m": 2, "potential": "r**2"},
        "initial": {"rho": "1 + x", "mass": 1.0},
        "time": {"scheme": "jko", "flux": flux, "end": 60.0, "step": 20.0},
        "output": {"figures": False, "field_times": [60.0]},
    }
    config = from_dict(tables)
    mesh = build_mesh(MPI.COMM_WORLD, config.mesh)
    assert config.system.problem(config, mesh).model.geometry.voronoi_volumes is (flux == "upwind")
    summary = run_tables(tables).summary
    energy = summary["energy"]
    # Both are of the same discrete energy: after three long steps they agree far below the error in h.
    assert energy["final"] == pytest.approx(energy["steady"], abs=1e-6)
    assert summary["jko"]["max_excess"] <= 1e-12
    assert not any("coefficient" in text for text in summary["warnings"])


@pytest.mark.parallel
def test_energies_with_slabs_do_not_depend_on_the_number_of_ranks(run_tables):
    tables = {
        "mesh": {"domain": "disk", "h": 0.3},
        "system": {"name": "chemotaxis", "phi": "-tanh(c)"},
        "initial": {"rho": "max(0.3 - (x - 0.2)**2 - y**2, 0)", "c": 0, "mass": {"rho": 1.0}},
        "time": {"scheme": "jko", "slabs": 2, "end": 0.1, "step": 0.05},
        "solver": {"tolerance": 1e-12},
        "output": {"figures": False},
    }
    together = run_tables(tables, "together")
    alone = run_tables(tables, f"alone{MPI.COMM_WORLD.rank}", comm=MPI.COMM_SELF)
    assert together.column("energy") == pytest.approx(alone.column("energy"), rel=1e-9)
    for name in ("action_rho", "action_c"):
        found, expected = (column(jko_rows(run.path), name) for run in (together, alone))
        assert found == pytest.approx(expected, rel=1e-6)


def test_both_bounds_by_hand():
    movements = Movements(Poor, slabs=3, joined=True)
    assert movements.look({"energy": 3.0}, None, None) == {}
    energies, steps = (1.0, 0.0), (0.5, 0.25)
    for number, (energy, step) in enumerate(zip(energies, steps, strict=True), start=1):
        actions = {"u": 0.5 * step, "v": 0.25 * step}
        distances = {"u": 3.0 * number, "v": 4.0 * number}
        movement = Movement(actions, distances, -0.1 * number, 0.0, 0.0)
        row = {"step": number, "time": sum(steps[:number]), "dt": step, "energy": energy}
        assert movements.look(row, None, MovingStep(None, movement=movement))["distance_u"] == 3.0 * number
    summary = movements.summary()["jko"]
    total = summary["total_distance"]
    assert total["fields"] == {"u": pytest.approx(0.375), "v": pytest.approx(0.1875)}
    assert (total["sum"], total["bound"], total["holds"]) == (pytest.approx(0.5625), 3.0, True)
    # The path is 5 and 10 long; C² = 6 and h = 1/2: the path of both steps comes closest to its bound.
    lengths, spans = np.array([5.0, 10.0, 15.0]), np.array([0.5, 0.25, 0.75])
    assert summary["hoelder"] == pytest.approx(np.max(lengths / np.sqrt(6.0 * (spans + 0.5))))
    assert summary["max_excess"] == -0.1


class Poor:
    """A scheme whose movements are no minimisers, and that says so."""

    notes = ("The linear solver had to work.",)

    def __init__(self, *arguments, **options):
        self.scheme = Jko(*arguments, **options)
        self.title, self.promises = Jko.title, Jko.promises
        self.seconds = {"assemble": 0.0, "solve": 0.0}

    def step(self, old, tau):
        step = self.scheme.step(old, tau)
        movement = replace(step.movement, excess=0.25, hamilton_jacobi=0.5, terminal=0.125)
        return replace(step, rejected=2, movement=movement)

    def memory(self):
        return self.scheme.memory()


@pytest.mark.parallel
def test_what_goes_wrong_is_said(tables, run_tables, replace_scheme):
    replace_scheme("jko", Poor)
    tables["time"] = {"scheme": "jko", "end": 0.06, "step": 0.02}
    found = run_tables(tables)
    summary = found.summary
    assert summary["rejected_steps"] == 6
    assert summary["jko"]["notes"] == ["The linear solver had to work."]
    for part in (
        "failed in 6 parts of steps, which were taken in halves",
        "broken in 3 of 3 steps, at most by 2.50e-01",
        "optimality (2.9b) holds up to 5.00e-01",
        "optimality (2.9e) holds up to 1.25e-01",
        "The linear solver had to work.",
    ):
        assert sum(part in text for text in summary["warnings"]) == 1
    assert all(f"warning: {text}\n" in found.log for text in summary["warnings"])


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("scheme", "flux", "words"),
    [
        ("backward-euler", "average", "they take the weights of Cancès"),
        ("jko", "upwind", "the law of energy is no promise"),
        ("jko", "average", None),
    ],
)
def test_edges_with_negative_coefficients_matter_where_fluxes_use_them(tables, scheme, flux, words):
    tables["time"] |= {"scheme": scheme, "flux": flux}
    config = from_dict(tables)
    problem = config.system.problem(config, build_mesh(MPI.COMM_WORLD, config.mesh))
    problem.model.geometry.negative_share = 0.25
    studies = problem.companions().studies
    for study in studies:
        study.look(problem.model.observables(problem.initial) | {"time": 0.0}, problem.initial, None)
    said = [text for study in studies for text in study.warnings() if "The mesh has 25 %" in text]
    assert len(said) == (words is not None)
    assert all(words in text for text in said)


@pytest.mark.parallel
def test_movements_from_extrapolations_have_a_law_of_their_own(tables, run_tables):
    # A linear potential moves any density by 2τ; after the first step, a third of that is the extrapolation,
    # and the movement is the rest, with two thirds of τ.
    tables["mesh"] = {"domain": "interval", "lower": [-2.0], "upper": [2.0], "cells": [160]}
    tables["system"] = {"name": "fokker-planck", "diffusion": 0.0, "potential": "2*x"}
    tables["initial"] = {"rho": "exp(-8*x**2)", "mass": 1.0}
    tables["time"] = {"scheme": "jko-bdf2", "end": 0.15, "step": 0.05}
    found = run_tables(tables)
    rows, entry = jko_rows(found.path), found.summary["jko"]
    distances = np.array([0.1, 0.2 / 3, 0.2 / 3])
    assert column(rows, "distance_rho") == pytest.approx(distances, rel=0.01)
    assert column(rows, "action_rho") == pytest.approx(distances, rel=0.02)
    # E falls by 2 d, of which the action is one half.
    assert column(rows, "excess") == pytest.approx(-distances, rel=0.02)
    assert entry["max_excess"] == column(rows, "excess").max()
    assert (entry["total_distance"], entry["hoelder"]) == (None, None)
    assert np.diff(found.column("energy")) == pytest.approx(-0.2, rel=0.02)


def test_the_flux_of_minimising_movements_is_average_unless_given(tables):
    tables["time"] = {"scheme": "jko", "end": 1.0, "step": 0.1}
    config = from_dict(tables)
    assert (config.time.flux, config.time.slabs) == ("average", 1)
    tables["time"]["flux"] = "upwind"
    assert from_dict(tables).time.flux == "upwind"
    tables["time"] = {"end": 1.0, "step": 0.1}
    assert from_dict(tables).time.flux == "upwind"


def test_a_written_run_file_and_its_variants_keep_the_flux(tables, tmp_path):
    tables["time"] = {"scheme": "jko", "slabs": 2, "end": 1.0, "step": 0.1}
    tables["output"]["figures"] = ["energy", "jko"]
    tables["compare"] = [
        {"name": "one slab", "set": {"time.slabs": 1, "time.flux": "upwind"}},
        {"name": "implicit", "set": {"time.scheme": "backward-euler", "time.slabs": 1}},
    ]
    config = from_dict(tables)
    (tmp_path / "run.toml").write_text(dump(config))
    assert load(tmp_path / "run.toml") == config
    one, implicit = (variant(config, index) for index in range(2))
    assert (one.time.flux, one.time.slabs, implicit.time.flux) == ("upwind", 1, "average")
    assert one.output.figures == implicit.output.figures == ("energy",)


REFUSED = {
    "slabs below 1": ({"time": {"slabs": 0}}, "[time] slabs = 0 must be at least 1."),
    "half a slab": ({"time": {"slabs": 1.5}}, "[time] slabs = 1.5 must be a whole number."),
    "slabs of another scheme": (
        {"time": {"scheme": "bdf2", "slabs": 2}},
        'slabs = 2 goes with scheme = "jko" or "jko-bdf2" only; remove it.',
    ),
    "upwind in slabs": ({"time": {"slabs": 2, "flux": "upwind"}}, 'The flux "upwind" goes with one slab'),
    "log-density": (
        {"time": {"discretization": "log-density"}},
        'scheme = "jko" does not go with discretization = "log-density".',
    ),
    "figure of another scheme": (
        {"time": {"scheme": "bdf2"}, "output": {"figures": ["jko"]}},
        'which needs [time] scheme = "jko" or "jko-bdf2"',
    ),
    "no lower bound": (
        {
            "system": {"name": "gradient-flow"},
            "species": [{"name": "rho"}],
            "energy": [{"term": "density", "expression": "-rho**2"}],
        },
        "The energy has no lower bound, which minimising movements need: it falls without end as rho grows",
    ),
    "no lower bound for a signal": (
        {"system": {"name": "chemotaxis", "kappa": 0.0}, "initial": {"rho": "1", "c": 0}},
        "it falls without end as c grows",
    ),
    "a flow without densities": (
        {
            "system": {"name": "gradient-flow"},
            "species": [{"name": "rho", "metric": "l2"}],
            "energy": [{"term": "quadratic"}],
        },
        "JKO steps need a density",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_sentence_and_leaves_nothing(tables, tmp_path, capfd, case):
    changes, sentence = REFUSED[case]
    tables["time"] |= {"scheme": "jko"}
    for name, table in changes.items():
        tables[name] = tables.get(name, {}) | table if name in ("time", "output") else table
    text = "".join(_toml(name, table) for name, table in tables.items())
    (tmp_path / "run.toml").write_text(text)
    assert main(["run", str(tmp_path / "run.toml"), "--out", str(tmp_path / "out")]) == 2
    said = capfd.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def _toml(name, table):
    heading, tables = (f"[[{name}]]", table) if isinstance(table, list) else (f"[{name}]", [table])
    return "".join(f"{heading}\n" + "".join(f"{k} = {toml(v)}\n" for k, v in t.items()) for t in tables)


# Coarse settings of the run files.
COARSE = {
    "jko_fokker_planck": {"mesh.cells": [80]},
    "jko_barenblatt": {"mesh.cells": [16, 16], "time.step": 2e-3},
    "jko_chemotaxis": {"mesh.h": 0.4, "time.end": 1.0, "output.field_times": [0.0, 1.0]},
    "jko_pnp": {"mesh.h": 0.3, "time.end": 0.1, "output.field_times": [0.0, 0.1]},
}


@pytest.mark.parametrize("name", COARSE)
def test_run_files_keep_all_promises(name, shared_tmp_path):
    overrides = [f"{key}={value}" for key, value in COARSE[name].items()]
    runner.run(load(RUNS / f"{name}.toml", [*overrides, "output.figures=false"]), shared_tmp_path / "out")
    MPI.COMM_WORLD.Barrier()
    summary = json.loads((shared_tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["stop_reason"], summary["rejected_steps"], summary["warnings"]) == ("end", 0, [])
    for entry in summary["species"].values():
        if entry["mass_drift"] is not None:
            assert entry["mass_drift"] <= 1e-12
            assert entry["min"] >= 0.0
    jko = summary["jko"]
    assert jko["max_excess"] < 0.0
    assert max(jko["hamilton_jacobi"], jko["terminal"]) <= 1e-5
    assert jko["total_distance"]["holds"]
    # A minimising movement loses about twice its action where steps are short, and more where they are long.
    assert 0.0 < jko["total_distance"]["sum"] <= 0.5 * jko["total_distance"]["bound"]
    assert 0.0 < jko["hoelder"] <= 1.0
    if name == "jko_fokker_planck":
        other = shared_tmp_path / "out" / "compare" / "backward Euler" / "summary.json"
        implicit = json.loads(other.read_text(encoding="utf-8"))
        assert summary["error"]["linf_l1"] < 0.1 * implicit["error"]["linf_l1"]
    if name == "jko_barenblatt":
        assert summary["species"]["rho"]["min"] == 0.0


@pytest.mark.parallel
def test_the_monitor_prints_the_residuals_with_their_names(tables, run_tables, capsys):
    tables["time"] |= {"scheme": "jko", "end": 0.02}
    tables["solver"] = {"snes_monitor": True}
    found = run_tables(tables)
    printed = capsys.readouterr().out
    count = int(found.rows[-1]["newton"])
    lines = re.findall(
        r"^  \d+: continuity \(2\.9a\) \S+, Hamilton–Jacobi \(2\.9b,e\) \S+$", printed, re.MULTILINE
    )
    assert len(lines) == (count + 1 if MPI.COMM_WORLD.rank == 0 else 0)


@pytest.mark.parallel
def test_the_largest_number_of_iterations_bounds_all_methods(tables, run_tables):
    tables["time"] |= {"scheme": "jko", "end": 0.02}
    tables["solver"] = {"max_iterations": 1}
    found = run_tables(tables)
    assert found.summary["stop_reason"] == "failed" and "1 iterations" in found.log
