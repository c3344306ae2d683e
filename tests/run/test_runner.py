"""Runs: the run directory of the contract, steps, fields, errors, steady states, variants, overwriting."""

import math
import re
import resource

import numpy as np
import pytest
import pyvista
from mpi4py import MPI
from scipy.optimize import brentq

from fem_models.config.flow_system import FlowSystem
from fem_models.config.io import dump, from_dict, load
from fem_models.config.schemes import SCHEMES
from fem_models.core.errors import InputError, SolveError
from fem_models.results.fields import WrittenFields
from fem_models.run import runner
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2

COLUMNS = "step,time,dt,energy,boltzmann,potential,dissipation,mass_rho,min_rho,max_rho,newton,linear"


@pytest.mark.parallel
def test_files_and_keys_are_those_of_the_contract(tables, run_tables):
    found = run_tables(tables)
    pieces = {path.name for path in found.path.iterdir() if path.suffix in (".vtu", ".pvtu")}
    files = {path.name for path in found.path.iterdir()} - pieces
    assert files == {
        "run.toml",
        "summary.json",
        "series.csv",
        "fields.pvd",
        "steady.pvd",
        "log.txt",
        "checkpoint",
    }
    assert len(pieces) == 7 * (1 + MPI.COMM_WORLD.size)
    summary = found.summary
    assert set(summary) == {
        *("version", "system", "scheme", "ranks", "cells", "dofs", "steps", "rejected_steps", "time"),
        *("stop_reason", "mesh", "newton_iterations", "linear_iterations", "wall_seconds", "energy"),
        *("species", "laws", "warnings", "phases", "memory_megabytes", "versions"),
    }
    assert set(summary["mesh"]) == {"cells", "vertices", "h_min", "h_max", "negative_edges"}
    assert set(summary["wall_seconds"]) == {"total", "setup", "assemble", "solve", "output"}
    assert set(summary["energy"]) == {"initial", "final", "max_increase", "steady", "rate"}
    assert set(summary["species"]) == {"rho"}
    assert set(summary["species"]["rho"]) == {
        *("mass_initial", "mass_final", "mass_drift", "min", "max", "second_moment")
    }


@pytest.mark.parallel
def test_summary_agrees_with_series_and_mesh(tables, run_tables):
    found = run_tables(tables)
    summary, rows = found.summary, found.rows
    assert (found.path / "series.csv").read_text().splitlines()[0] == COLUMNS
    assert summary["cells"] == summary["mesh"]["cells"] == 20
    assert summary["dofs"] == summary["mesh"]["vertices"] == 21
    assert summary["ranks"] == MPI.COMM_WORLD.size
    assert (summary["system"], summary["scheme"]) == ("fokker-planck", "backward-euler")
    assert summary["mesh"]["h_min"] == pytest.approx(0.1)
    assert summary["mesh"]["negative_edges"] == 0.0
    assert [row["step"] for row in rows] == list(range(6))
    assert found.column("time") == pytest.approx([0.0, 0.02, 0.04, 0.06, 0.08, 0.1], abs=1e-15)
    assert summary["steps"] == 5
    assert re.search(r" info: step 5/5: t = 0.1, dt = 0.02, .*Newton = \d+$", found.log, re.MULTILINE)
    assert (summary["time"], summary["stop_reason"], summary["rejected_steps"]) == (0.1, "end", 0)
    assert summary["newton_iterations"] == sum(found.column("newton")) > 0
    assert summary["linear_iterations"] == sum(found.column("linear")) > 0
    energies = found.column("energy")
    assert summary["energy"]["initial"] == energies[0]
    assert summary["energy"]["final"] == energies[-1]
    assert summary["energy"]["max_increase"] == 0.0
    assert all(row["energy"] == pytest.approx(row["boltzmann"] + row["potential"]) for row in rows)
    rho = summary["species"]["rho"]
    assert rho["min"] == min(found.column("min_rho"))
    assert rho["max"] == max(found.column("max_rho"))
    assert rho["mass_initial"] == pytest.approx(2.0, rel=1e-14)
    assert rho["mass_drift"] == pytest.approx(
        max(abs(m - rho["mass_initial"]) / rho["mass_initial"] for m in found.column("mass_rho")), abs=1e-15
    )
    wall = summary["wall_seconds"]
    assert 0 < wall["setup"] < wall["total"]
    parts = [wall[key] for key in ("setup", "assemble", "solve", "output")]
    assert sum(parts) == pytest.approx(wall["total"], rel=1e-9)
    assert min(parts) > 0
    means = [phase["mean"] for phase in summary["phases"].values()]
    assert sum(means) == pytest.approx(wall["total"], rel=1e-9)
    # What no phase accounts for.
    assert -1e-9 <= summary["phases"]["other"]["mean"] < 0.05 * wall["total"] + 0.2
    memory = summary["memory_megabytes"]
    assert 50 < memory["smallest"] <= memory["largest"] <= memory["sum"] < 1e5
    assert {"python", "petsc", "mpi", "dolfinx", "numpy"} <= set(summary["versions"])


def test_initial_row_has_the_energy_of_the_initial_density(tables, run_tables):
    # Entropy and potential energy of ρ = (1 + x)/2 on (0, 2), by hand; trapezoidal sums err by O(h²).
    row = run_tables(tables).rows[0]
    antiderivative = [s**2 / 4 * (math.log(s / 2) - 0.5) for s in (1.0, 3.0)]
    assert row["boltzmann"] == pytest.approx(antiderivative[1] - antiderivative[0], abs=1e-3)
    assert row["potential"] == pytest.approx((4 / 2 + 8 / 3) / 2, rel=2e-3)
    assert row["mass_rho"] == pytest.approx(2.0, rel=1e-14)
    assert (row["min_rho"], row["max_rho"]) == pytest.approx((0.5, 1.5))


def test_a_written_run_file_gives_the_same_numbers(tables, run_tables):
    tables["mesh"] = {"domain": "disk", "h": 0.4}
    tables["time"]["scheme"] = "bdf2"
    tables["system"]["m"] = 2
    first = run_tables(tables, "first")
    config = load(first.path / "run.toml")
    assert dump(config) == (first.path / "run.toml").read_text()
    second = first.path.with_name("second")
    runner.run(config, second)
    assert (second / "series.csv").read_text() == (first.path / "series.csv").read_text()
    assert (second / "run.toml").read_text() == (first.path / "run.toml").read_text()


@pytest.mark.parallel
@pytest.mark.parametrize("mesh", [{"domain": "interval", "cells": [30]}, {"domain": "disk", "h": 0.25}])
@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_energies_do_not_depend_on_the_number_of_ranks(tables, run_tables, mesh, scheme):
    tables["mesh"] = mesh
    tables["initial"]["rho"] = "2 + x"
    tables["system"] = {"name": "excluded-volume", "coefficient": 0.4, "potential": "3*x**2"}
    tables["time"] |= {"scheme": scheme, "flux": "average"}
    tables["solver"] = {"tolerance": 1e-13}
    together = run_tables(tables, "together")
    alone = run_tables(tables, f"alone{MPI.COMM_WORLD.rank}", comm=MPI.COMM_SELF)
    assert together.column("energy") == pytest.approx(alone.column("energy"), rel=1e-9)
    assert together.column("dissipation") == pytest.approx(alone.column("dissipation"), rel=1e-6)
    assert together.summary["energy"]["steady"] == pytest.approx(alone.summary["energy"]["steady"], rel=1e-9)


@pytest.mark.parametrize(
    ("output", "times"),
    [
        ({}, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        ({"fields_every": 4}, [0.0, 0.2, 0.4, 0.5]),
        ({"field_times": [0.5, 0.0, 0.123]}, [0.0, 0.123, 0.5]),
        ({"field_times": [0.07]}, [0.07]),
    ],
)
def test_fields_are_written_when_asked_for(tables, run_tables, output, times):
    tables["time"] = {"end": 0.5, "step": 0.05}
    tables["output"] |= output
    found = run_tables(tables)
    assert found.field_times == pytest.approx(times, abs=1e-14)
    assert set(times) <= {round(time, 12) for time in found.column("time")}


@pytest.mark.parallel
def test_fields_are_the_density_the_potential_and_the_steady_state(tables, run_tables):
    tables["system"]["potential"] = "3*x"
    found = run_tables(tables)
    if MPI.COMM_WORLD.rank == 0:
        reader = pyvista.get_reader(found.path / "fields.pvd")
        reader.set_active_time_value(reader.time_values[-1])
        grid = reader.read()[0]
        x = grid.points[:, 0]
        assert {"rho", "V"} <= set(grid.point_data)
        assert grid["V"] == pytest.approx(3 * x, abs=1e-12)
        # The equilibrium of linear diffusion is exp(-V), scaled to the mass.
        steady = pyvista.get_reader(found.path / "steady.pvd").read()[0]["rho_steady"]
        assert steady * np.exp(3 * x) == pytest.approx(steady[np.argmin(x)] * np.ones_like(x), rel=1e-6)
        last = found.rows[-1]
        assert (grid["rho"].min(), grid["rho"].max()) == pytest.approx((last["min_rho"], last["max_rho"]))


@pytest.mark.parallel
def test_masses_are_sums_over_the_nodes_that_fields_have(tables, run_tables):
    tables["mesh"] = {"domain": "ball", "h": 0.4}
    found = run_tables(tables)
    last = WrittenFields(found.path / "fields.pvd").last
    volumes = last["nodal_volume"]
    assert (volumes * last["rho"]).sum() == pytest.approx(found.column("mass_rho")[-1], rel=1e-13)
    # Of a polyhedron inside the unit ball; the interpolant has another integral than the density.
    assert volumes.sum() == pytest.approx(last.grid().volume, rel=1e-12)
    integral = last.grid().integrate_data()["rho"][0]
    assert abs(integral - found.column("mass_rho")[-1]) > 1e-3
    assert "nodal_volume times the density" in (found.path / "fields.pvd").read_text()


@pytest.mark.parallel
def test_errors_are_nodal_norms_at_the_end_and_the_largest_l1_of_all_steps(tables, run_tables):
    # ρ = 1 stays; the difference is known: 3 at the first two steps, t after them.
    tables["initial"] = {"rho": 1, "mass": 2}
    tables["system"]["potential"] = 0
    tables["exact"] = {"rho": "where(t < 0.05, 4, 1 + t)"}
    error = run_tables(tables).summary["error"]
    assert set(error) == {"l1", "l2", "linf", "linf_l1"}
    assert error["l1"] == pytest.approx(0.2)
    assert error["l2"] == pytest.approx(0.1 * math.sqrt(2))
    assert error["linf"] == pytest.approx(0.1)
    assert error["linf_l1"] == pytest.approx(6.0)


def test_the_decay_rate_is_that_of_the_slowest_mode(tables, run_tables):
    # ∂tρ = ρ'' on (0, 1): the relative entropy decays with 2π².
    tables["mesh"] = {"domain": "interval", "cells": [60]}
    tables["system"] = {"name": "fokker-planck"}
    tables["initial"] = {"rho": "1 + 0.3*cos(pi*x)"}
    tables["time"] = {"end": 0.6, "step": 0.002, "scheme": "bdf2"}
    energy = run_tables(tables).summary["energy"]
    assert energy["steady"] == pytest.approx(0.0, abs=1e-9)
    assert energy["rate"] == pytest.approx(2 * math.pi**2, rel=0.01)


def test_a_constant_potential_is_not_written_and_a_flat_decay_has_no_rate(tables, run_tables):
    tables["system"]["potential"] = 2
    tables["initial"]["rho"] = 1
    found = run_tables(tables)
    assert found.summary["energy"]["rate"] is None
    assert '"V"' not in (found.path / "fields000000.pvtu").read_text()


@pytest.mark.parallel
def test_a_run_stops_when_steady(tables, run_tables):
    tables["time"] = {"end": 1000.0, "step": 1.0, "stop_when_steady": True}
    tables["output"]["field_times"] = [900.0]
    found = run_tables(tables)
    summary = found.summary
    assert summary["stop_reason"] == "steady"
    assert summary["time"] == found.column("time")[-1] < 100.0
    assert found.field_times == [summary["time"]]
    assert summary["energy"]["final"] == pytest.approx(summary["energy"]["steady"], abs=1e-8)


def test_without_being_asked_a_run_does_not_stop_when_steady(tables, run_tables):
    tables["time"] = {"end": 100.0, "step": 1.0}
    assert run_tables(tables).summary["steps"] == 100


class Failing:
    """A scheme whose third step fails."""

    def __init__(self, *arguments):
        self.seconds = {"assemble": 0.0, "solve": 0.0}
        self.taken = 0
        self.title, self.promises = Bdf2.title, Bdf2.promises
        self.scheme = BackwardEuler(*arguments)

    def step(self, old, tau):
        self.taken += 1
        if self.taken == 3:
            raise SolveError("the first line of the report\nand the second")
        return self.scheme.step(old, tau)

    def memory(self):
        return self.scheme.memory()


@pytest.mark.parallel
def test_a_failed_solve_keeps_everything_and_reports(tables, run_tables, replace_scheme):
    replace_scheme("bdf2", Failing)
    tables["time"]["scheme"] = "bdf2"
    tables["output"]["field_times"] = [0.1]
    tables["compare"] = [{"name": "other", "set": {"system.m": 2}}]
    found = run_tables(tables)
    [outcome] = found.outcomes.runs
    assert outcome.stop.reason == found.summary["stop_reason"] == "failed"
    assert "from t = 0.04 to t = 0.06" in outcome.stop.report
    assert outcome.stop.report.endswith("the first line of the report\nand the second")
    assert re.search(r"warning: the first line of the report\n.* warning: and the second\n", found.log)
    assert found.column("time") == [0.0, 0.02, 0.04]
    assert found.field_times == [0.04]
    assert found.summary["steps"] == 2
    assert not (found.path / "compare").exists()


@pytest.fixture
def no_room():
    """Return what lets files grow to some bytes only, as a full disk does."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parallel
def test_a_full_disk_ends_the_run_with_its_reason_and_a_summary(tables, run_tables, no_room):
    tables["mesh"]["cells"] = [4000]
    tables["output"]["field_times"] = [0.06]
    no_room(30_000)  # log, series and summary fit, a piece of the fields does not
    found = run_tables(tables)
    [outcome] = found.outcomes.runs
    assert outcome.stop.reason == found.summary["stop_reason"] == "failed"
    assert re.fullmatch(r"The fields could not be written to .*: there is no room .*\.", outcome.stop.report)
    assert found.summary["steps"] == 3 and found.column("time") == [0.0, 0.02, 0.04]
    assert outcome.stop.report in found.log
    assert not list(found.path.glob("fields_p*"))


@pytest.mark.parallel
def test_a_series_without_room_ends_the_run(tables, run_tables, no_room):
    tables["time"]["step"] = 0.0001
    tables["output"] |= {"field_times": [0.1], "steady": False}
    no_room(20_000)
    found = run_tables(tables)
    [outcome] = found.outcomes.runs
    assert outcome.stop.reason == found.summary["stop_reason"] == "failed"
    assert "series.csv cannot be written: File too large." in outcome.stop.report
    assert 10 < found.summary["steps"] < 1000


@pytest.mark.parallel
def test_variants_are_run_directories_of_their_own(tables, run_tables):
    tables["compare"] = [
        {"name": "m = 2", "set": {"system.m": 2}},
        {"name": "a/b", "set": {"mesh.cells": [10], "system.potential": "y"}},
    ]
    with pytest.raises(InputError, match=r"\[\[compare\]\] a/b: .*'y' cannot be used"):
        run_tables(tables, "wrong")
    tables["compare"][1]["set"]["system.potential"] = 0
    found = run_tables(tables)
    assert not found.path.with_name("wrong").exists()
    summaries = {path.name: type(found)(path).summary for path in (found.path / "compare").iterdir()}
    assert set(summaries) == {"m = 2", "a-b"}
    assert [outcome.directory.name for outcome in found.outcomes.runs] == ["run", "m = 2", "a-b"]
    assert summaries["a-b"]["cells"] == 10
    assert summaries["m = 2"]["energy"]["initial"] != found.summary["energy"]["initial"]
    assert load(found.path / "compare" / "m = 2" / "run.toml").system.m == 2


def test_variants_with_the_same_directory_are_refused(tables, run_tables):
    tables["compare"] = [{"name": name, "set": {"system.m": 2}} for name in ("a/b", "a:b")]
    with pytest.raises(InputError, match="the same directory"):
        run_tables(tables)


def test_several_species_have_columns_entries_and_errors_of_their_own(tables, run_tables):
    tables["system"] = {"name": "gradient-flow"}
    tables["species"] = [{"name": "u", "mass": 2}, {"name": "c", "metric": "l2", "initial": 0.5}]
    tables["energy"] = [
        {"term": "boltzmann", "of": "u"},
        {"term": "quadratic", "of": ["u", "c"], "coefficient": 2},
        {"term": "potential", "of": "u", "V": "x"},
        {"term": "potential", "of": "u", "V": "-x"},
        {"term": "density", "of": ["u", "c"], "expression": "0.1*u*c", "label": "coupling"},
    ]
    tables["initial"] = {"u": 1}
    tables["exact"] = {"c": "0.5*exp(-2*t)"}
    found = run_tables(tables)
    terms = ["boltzmann", "quadratic-u", "quadratic-c", "potential", "potential-2", "coupling"]
    species = [f"{what}_{name}" for name in "uc" for what in ("mass", "min", "max")]
    expected = ["step", "time", "dt", "energy", *terms, "dissipation", *species, "newton", "linear"]
    assert list(found.rows[0]) == expected
    first = found.rows[0]
    assert first["quadratic-c"] == pytest.approx(2 / 2 * 0.25 * 2)
    assert first["coupling"] == pytest.approx(0.1 * 0.5 * 2)
    # A field of the L² metric keeps its initial values: the mass of [initial] is not for it.
    assert first["mass_c"] == pytest.approx(1.0)
    summary = found.summary
    assert summary["dofs"] == 42
    assert set(summary["species"]) == {"u", "c"}
    assert set(summary["error"]) == {"c"}
    assert 0 < summary["error"]["c"]["linf"] < 0.1
    # u = 1 and 2c + 0.1u = 0 on an interval of length 2.
    assert summary["energy"]["steady"] == pytest.approx(2 * (1 + 0.05**2 - 0.1 * 0.05))


def test_a_warning_is_in_the_summary_and_in_the_log(tables, run_tables, replace_scheme):
    class Sloppy(Failing):
        def step(self, old, tau):
            step = self.scheme.step(old, tau)
            return type(step)(-1.001 * step.state, step.newton, step.linear, 0.25)

    replace_scheme("bdf2", Sloppy)
    tables["system"]["m"] = 2
    tables["time"] = {"end": 0.02, "step": 0.02, "scheme": "bdf2"}
    found = run_tables(tables)
    warnings = found.summary["warnings"]
    for part in ("became negative: its least value", "mass of rho drifted by 2.00e+00", "mass 2.50e-01"):
        assert sum(part in warning for warning in warnings) == 1
    assert all(f"warning: {warning}\n" in found.log for warning in warnings)


def test_overwriting_replaces_the_files_of_a_run_and_nothing_else(tables, run_tables):
    tables["compare"] = [{"name": "old", "set": {"system.m": 2}}]
    first = run_tables(tables)
    (first.path / "notes.txt").write_text("mine")
    (first.path / "figures").mkdir()
    (first.path / "figures" / "density.png").write_bytes(b"old")
    before = sorted(path.name for path in first.path.iterdir())
    with pytest.raises(InputError, match="exists already"):
        run_tables(tables)
    assert sorted(path.name for path in first.path.iterdir()) == before
    del tables["compare"]
    tables["output"]["field_times"] = [0.1]
    second = run_tables(tables, overwrite=True)
    assert (second.path / "notes.txt").read_text() == "mine"
    assert second.field_times == [0.1]
    assert len(list(second.path.glob("fields*.pvtu"))) == 1
    assert not (second.path / "compare").exists()
    assert not (second.path / "figures").exists()


def test_bad_input_leaves_an_earlier_run_as_it_was(tables, run_tables):
    first = run_tables(tables)
    before = {path: path.read_bytes() for path in first.path.rglob("*") if path.is_file()}
    tables["initial"]["rho"] = "x - 1"
    with pytest.raises(InputError, match="negative"):
        run_tables(tables, overwrite=True)
    assert {path: path.read_bytes() for path in first.path.rglob("*") if path.is_file()} == before


def test_only_run_directories_are_overwritten(tables, run_tables, tmp_path):
    config = from_dict(tables)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("words")
    with pytest.raises(InputError, match="not a run directory"):
        runner.run(config, tmp_path / "thesis", overwrite=True)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    (tmp_path / "empty").mkdir()
    runner.run(config, tmp_path / "empty", overwrite=True)
    assert (tmp_path / "empty" / "summary.json").is_file()


@pytest.mark.parallel
def test_figures_that_cannot_be_drawn_lose_no_number(tables, run_tables, monkeypatch):
    def fail(directory):
        raise RuntimeError(f"no display for {directory.name}")

    monkeypatch.setattr("fem_models.plotting.draw", fail)
    tables["output"]["figures"] = ["energy"]
    found = run_tables(tables, draw=fail)
    assert found.outcomes.figures == []
    assert "RuntimeError: no display for run" in found.outcomes.note
    assert found.summary["stop_reason"] == "end"


def test_a_parameter_that_is_used_nowhere_is_told(tables, run_tables):
    tables["parameters"] = {"q": 3.0, "a": 2.0}
    tables["initial"]["rho"] = "1 + a*x"
    assert run_tables(tables).summary["warnings"] == ["[parameters] q is used by no expression."]


# Masses, and the steady state after the run


@pytest.mark.parallel
def test_densities_without_a_mass_are_as_written(tables, run_tables):
    tables["initial"] = {"rho": "1 + x"}
    found = run_tables(tables)
    # ∫(1+x) over (0, 2); trapezoidal sums are exact.
    assert found.summary["species"]["rho"]["mass_initial"] == pytest.approx(4.0, rel=1e-14)
    assert "densities are as written, with the masses: rho 4\n" in found.log
    assert "mass" not in (found.path / "run.toml").read_text().split("[time]")[0].split("[initial]")[1]


def test_a_run_may_do_without_its_steady_state(tables, run_tables, monkeypatch):
    monkeypatch.setattr(FlowSystem, "steady", None)
    tables["output"]["steady"] = False
    found = run_tables(tables)
    assert found.summary["energy"]["steady"] is None
    assert found.summary["warnings"] == []
    assert not (found.path / "steady.pvd").exists()


def test_variants_share_their_steady_state(tables, run_tables, monkeypatch):
    calls, compute = [], FlowSystem.steady

    def counted(self, *arguments):
        calls.append(arguments[1])
        return compute(self, *arguments)

    monkeypatch.setattr(FlowSystem, "steady", counted)
    tables["compare"] = [
        {"name": "bdf2", "set": {"time.scheme": "bdf2"}},
        {"name": "other", "set": {"system.potential": "2*x"}},
    ]
    found = run_tables(tables)
    assert len(calls) == 2
    assert [run.summary["energy"]["steady"] is not None for run in found.outcomes.runs] == [True] * 3
    first, same, other = (run.summary["energy"]["steady"] for run in found.outcomes.runs)
    assert first == same != other


@pytest.mark.parallel
def test_the_steady_state_of_two_wells_is_that_of_each(tables, run_tables):
    # Two wells with a barrier between them, which a density of finite support does not pass.
    tables["mesh"] = {"domain": "interval", "lower": [-1.0], "cells": [100]}
    tables["system"] |= {"m": 2, "diffusion": 0.01, "potential": "10*(x**2-0.25)**2"}
    tables["initial"] = {"rho": "3*max(0.01 - (x+0.5)**2, 0) + max(0.01 - (x-0.5)**2, 0)", "mass": 1.0}
    tables["time"] = {"end": 20.0, "step": 0.5, "flux": "average"}
    found = run_tables(tables)
    energy = found.summary["energy"]
    # Each well by itself: 2 · 0.01 ρ + V = λ where there is mass.
    x = np.linspace(0.0, 1.0, 20_001)
    V = 10.0 * (x**2 - 0.25) ** 2

    def filled(level):
        return np.maximum(level - V, 0.0) / 0.02

    levels = [brentq(lambda a, M=M: np.trapezoid(filled(a), x) - M, 0.0, 0.6) for M in (0.75, 0.25)]
    resting = sum(np.trapezoid(0.01 * filled(a) ** 2 + V * filled(a), x) for a in levels)
    assert energy["final"] == pytest.approx(resting, rel=2e-3)
    assert energy["steady"] == pytest.approx(energy["final"], rel=1e-9)
    (warning,) = found.summary["warnings"]
    assert "that of each by itself, with the masses 0.75, 0.25. If mass could pass" in warning
    # One multiplier for both wells would mean less energy.
    level = brentq(lambda a: 2.0 * np.trapezoid(filled(a), x) - 1.0, 0.0, 0.6)
    together = 2.0 * np.trapezoid(0.01 * filled(level) ** 2 + V * filled(level), x)
    assert float(warning.rpartition(" ")[2].rstrip(".")) == pytest.approx(together, rel=2e-3)


@pytest.mark.parallel
def test_a_steady_state_that_is_a_saddle_is_told(tables, run_tables, monkeypatch):
    # Half of the mass in each of two places: with less in the one, the other attracts the more.
    def two_places(self, flow, masses, seconds):
        return flow.state(lambda x: np.exp(-60 * (np.abs(x[0] - 1.0) - 0.5) ** 2), masses)

    monkeypatch.setattr(FlowSystem, "steady", two_places)
    tables["system"] = {"name": "gradient-flow"}
    tables["species"] = [{"name": "rho", "initial": "1", "mass": 1.0}]
    tables["energy"] = [
        {"term": "boltzmann", "coefficient": 0.05},
        {"term": "interaction", "kernel": "-exp(-8*r**2)"},
    ]
    tables["initial"] = {}
    found = run_tables(tables)
    [sentence] = [text for text in found.summary["warnings"] if "no minimum" in text]
    assert "the least curvature of the energy there is -" in sentence and sentence in found.log
    assert found.summary["energy"]["least_curvature"] < -1.0
    assert found.summary["energy"]["rate"] is None


@pytest.mark.parallel
def test_a_pole_between_the_nodes_is_refused(tables, run_tables):
    tables["system"]["potential"] = "1/(x - 0.533)"
    with pytest.raises(
        InputError, match=r"potential = .* has a pole between the nodes of the mesh, near \(0.533\)"
    ):
        run_tables(tables)


def test_the_log_has_as_much_as_is_asked_for(tables, run_tables):
    lines = {}
    for level in ("debug", "info", "warning"):
        tables["output"] = {"figures": False, "log": level}
        found = run_tables(tables, level)
        lines[level] = [line.split(maxsplit=2)[2] for line in found.log.splitlines()]
    steps = [line for line in lines["debug"] if re.match(r"(debug|info): step \d+/5: ", line)]
    assert len(steps) == 6
    # Short runs tell of their first and last step.
    assert sum("step " in line and line.startswith("info: step") for line in lines["info"]) == 2
    assert not any(line.startswith("debug") for line in lines["info"])
    assert all(line.startswith("warning") for line in lines["warning"])
