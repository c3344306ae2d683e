"""A model that is no gradient flow goes through the run loop, output, figures and readers as it is.

The heat equation ∂tu = k Δu by P1 and backward Euler, with a table, observables, laws, a study and a figure
of its own, all of them below.
"""

import math
from typing import ClassVar, Literal

import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from mpi4py import MPI
from petsc4py import PETSc
from pydantic import Field

import fem_models as fm
from fem_models.cli import main
from fem_models.config.figures import FIGURES, FigureEntry
from fem_models.config.io import from_dict
from fem_models.config.problem import Companions, Problem
from fem_models.config.schemes import SCHEMES, SchemeEntry
from fem_models.config.system import SYSTEMS, System
from fem_models.config.types import Positive
from fem_models.core.errors import InputError
from fem_models.core.protocols import Expectation, Memory, Step
from fem_models.nodal.numbering import original_numbers
from fem_models.run.points import run_point
from fem_models.run.sweep import conclude


class HeatModel:
    expectations: ClassVar = {
        "heat": Expectation("conserved", "The heat"),
        "square": Expectation("falling", "The square of the norm"),
    }

    def __init__(self, mesh, k):
        self.comm, self.k, self.space = mesh.comm, k, fem.functionspace(mesh, ("Lagrange", 1))
        self.keys = original_numbers(self.space)
        self._u = fem.Function(self.space)
        self._forms = {"heat": fem.form(self._u * ufl.dx), "square": fem.form(self._u**2 * ufl.dx)}

    def observables(self, state):
        self._u.x.array[:] = state.x.array
        return {name: self.comm.allreduce(fem.assemble_scalar(form)) for name, form in self._forms.items()}

    def functions(self, state):
        return {"u": state}

    def change(self, old, new):
        return self.comm.allreduce(np.abs(new.x.array - old.x.array).max(initial=0.0), op=MPI.MAX)

    def description(self):
        return "heat on P1"

    def facts(self):
        return {"dofs": self.space.dofmap.index_map.size_global}

    def findings(self, record, state):
        return {"heat": {"drift": record.drift("heat"), "final": record.last["heat"]}}

    def pack(self, state):
        return {"u": state.x.array[: len(self.keys)].copy()}

    def unpack(self, packed):
        state = fem.Function(self.space, name="u")
        state.x.array[: len(self.keys)] = packed["u"]
        state.x.scatter_forward()
        return state


class HeatEuler:
    title, promises = "backward Euler", frozenset({"conserved", "falling"})

    def __init__(self, model, table, settings):
        self.model, self.tau, self.seconds = (
            model,
            fem.Constant(model.space.mesh, 0.0),
            {"assemble": 0.0, "solve": 0.0},
        )
        self.old = fem.Function(model.space)
        u, w = ufl.TrialFunction(model.space), ufl.TestFunction(model.space)
        self.left = fem.form((u * w + self.tau * model.k * ufl.inner(ufl.grad(u), ufl.grad(w))) * ufl.dx)
        self.right = fem.form(self.old * w * ufl.dx)
        self.ksp = PETSc.KSP().create(model.comm)
        self.ksp.setTolerances(rtol=1e-14)

    def step(self, old, tau):
        self.tau.value, self.old.x.array[:] = tau, old.x.array
        matrix = fem_petsc.assemble_matrix(self.left)
        matrix.assemble()
        right = fem_petsc.assemble_vector(self.right)
        right.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        new = fem.Function(self.model.space, name="u")
        self.ksp.setOperators(matrix)
        self.ksp.solve(right, new.x.petsc_vec)
        new.x.scatter_forward()
        return Step(new, linear=self.ksp.getIterationNumber())

    def memory(self):
        return Memory()

    def restore(self, memory):
        assert not memory.states


class HeatProblem(Problem):
    title = "heat, backward Euler"

    def companions(self):
        return Companions(studies=[Peak()])


class Peak:
    table = "study.csv"

    def look(self, row, state, step):
        peak = state.function_space.mesh.comm.allreduce(state.x.array.max(initial=-math.inf), op=MPI.MAX)
        return {"time": row["time"], "peak": peak}

    def summary(self):
        return {"heat": {"unit": "dimensionless"}}

    def warnings(self):
        return ["This is heat."]


class Heat(System):
    """[system] name = "heat"."""

    model: ClassVar[str] = "heat"
    scheme: ClassVar[str] = "heat-euler"
    name: Literal["heat"] = Field(description="the system")
    k: Positive = Field(1.0, description="conductivity, dimensionless")

    @property
    def fields(self):
        return (("u", "l2"),)

    def problem(self, config, mesh):
        model = HeatModel(mesh.mesh, self.k)
        state = fem.Function(model.space, name="u")
        state.interpolate(lambda x: 1 + np.cos(np.pi * x[0]))
        return HeatProblem(model, HeatEuler(model, config.time, None), state)


def square_figure(run):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().semilogy(run.series["time"], run.series["square"])
    return figure


@pytest.fixture
def heat():
    SYSTEMS.add("heat", Heat)
    SCHEMES.add("heat-euler", SchemeEntry(HeatEuler, model="heat"))
    FIGURES.add("square", FigureEntry(square_figure))
    yield
    SYSTEMS.remove("heat")
    SCHEMES.remove("heat-euler")
    FIGURES.remove("square")


TABLES = {
    "mesh": {"domain": "rectangle", "cells": [24, 4]},
    "system": {"name": "heat", "k": 0.5},
    "initial": {"u": 0},
    "time": {"end": 0.2, "step": 0.02},
    "output": {"figures": ["density", "square"], "fields_every": 5},
}


@pytest.mark.parallel
def test_the_heat_equation_runs_with_output_figures_and_readers(heat, shared_tmp_path):
    run = fm.run_file(TABLES, shared_tmp_path / "out")
    # A step divides the mode cos πx by 1 + τkλ with λ = π² up to π⁴h²/12: 0.14 % of π².
    times, steps = run.series["time"], np.arange(11)
    assert times == pytest.approx(0.02 * steps)
    decay = (1 + 0.02 * 0.5 * math.pi**2) ** (-2.0 * steps)
    assert run.series["square"] == pytest.approx(1 + 0.5 * decay, rel=3e-3)
    assert run.series["heat"] == pytest.approx(np.ones(11), rel=1e-11)
    assert list(run.series) == ["step", "time", "dt", "heat", "square", "newton", "linear"]
    assert run.table("study.csv")["peak"][0] == 2.0
    summary = run.summary
    assert (summary["system"], summary["scheme"], summary["stop_reason"]) == ("heat", "heat-euler", "end")
    assert summary["heat"]["drift"] < 1e-11
    assert summary["heat"]["unit"] == "dimensionless"
    assert summary["warnings"] == ["This is heat."]
    assert run.times == pytest.approx([0.0, 0.1, 0.2])
    fields = run.fields(0.0)
    assert fields["u"] == pytest.approx(1 + np.cos(np.pi * fields.points[:, 0]), abs=1e-12)
    assert sorted(path.name for path in (run.directory / "figures").iterdir()) == [
        "density.png",
        "square.png",
    ]


@pytest.mark.parallel
def test_the_heat_equation_evolves_and_stops_when_steady(heat, shared_tmp_path):
    mesh = fm.mesh("interval", cells=20)
    model = HeatModel(mesh.mesh, 1.0)
    start = Heat(name="heat").problem(from_dict(TABLES), mesh).initial
    scheme = HeatEuler(model, None, None)
    moments = list(fm.evolve(model, model.unpack(model.pack(start)), scheme, step=0.1, until=0.3, at=[0.15]))
    assert [moment.time for moment in moments] == pytest.approx([0.075, 0.15, 0.225, 0.3])
    assert [moment.marked for moment in moments] == [False, True, False, False]
    with pytest.raises(InputError, match="has no energy; its observables are heat, square"):
        _ = moments[0].energy
    tables = TABLES | {
        "time": {"end": 100.0, "step": 1.0, "stop_when_steady": True},
        "output": {"figures": []},
    }
    assert fm.run_file(tables, shared_tmp_path / "long").summary["stop_reason"] == "steady"


def test_points_of_a_sweep_of_it_have_their_table_and_their_figure(heat, tmp_path):
    tables = TABLES | {"mesh": {"domain": "interval", "cells": 10}, "output": {"figures": ["square"]}}
    config = from_dict(tables | {"sweep": {"keys": {"system.k": [0.5, 1.0], "time.step": [0.1, 0.05]}}})
    for number in (4, 1, 2, 3):
        run_point(config, tmp_path / "out", number)
    conclude(tmp_path / "out", config)
    run = fm.open_run(tmp_path / "out")
    table = run.table("sweep.csv")
    assert list(table)[:5] == ["k", "step", "completed", "heat_drift", "heat_final"]
    assert table["k"].tolist() == [0.5, 0.5, 1.0, 1.0] and table["steps"].tolist() == [2, 4, 2, 4]
    assert table["heat_final"] == pytest.approx(np.ones(4))
    assert run.plot() == [tmp_path / "out" / "figures" / "sweep.png"]


def test_the_command_line_takes_it_too(heat, tmp_path, capsys):
    file = tmp_path / "heat.toml"
    file.write_text(
        'mesh = { domain = "interval", cells = 20 }\nsystem = { name = "heat" }\ninitial = { u = 0 }\n'
        "time = { end = 0.1, step = 0.05 }\noutput = { figures = [] }\n",
        encoding="utf-8",
    )
    assert main(["run", str(file), "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "warning: This is heat." in out
    assert "2 to t = 0.1 (end)" in out


def test_a_scheme_of_another_kind_of_model_is_refused(heat):
    with pytest.raises(
        InputError, match=r'scheme = "bdf2" does not go with \[system\] name = "heat"; .*heat-euler'
    ):
        from_dict(TABLES | {"time": {"end": 1.0, "step": 0.1, "scheme": "bdf2"}})
    with pytest.raises(InputError, match=r'"heat-euler" does not go with .* name = "fokker-planck"'):
        from_dict(
            TABLES
            | {
                "system": {"name": "fokker-planck"},
                "initial": {"rho": 1},
                "time": TABLES["time"] | {"scheme": "heat-euler"},
                "output": {},
            }
        )


def test_a_report_and_a_film_of_it(heat, tmp_path):
    run = fm.run_file(TABLES | {"output": {"figures": [], "fields_every": 5}}, tmp_path / "out")
    laws = {law["observable"]: law for law in run.summary["laws"]}
    assert laws["heat"]["law"] == "conserved" and laws["heat"]["measured"] == run.summary["heat"]["drift"]
    assert laws["square"]["law"] == "falling" and laws["square"]["broken_steps"] == 0
    page = run.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The heat is conserved: its largest relative drift is" in page
    assert (
        "The square of the norm did not increase in any step. The scheme promises this for any step." in page
    )
    assert "<td>heat-euler</td>" in page and "This is heat." in page
    assert run.movie(tmp_path / "u.gif").stat().st_size > 1000
