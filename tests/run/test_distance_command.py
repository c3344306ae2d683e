"""`fem-models distance` on small runs: what it reads, on any number of ranks, what it writes and refuses."""

import json

import numpy as np
import pytest
from mpi4py import MPI

from fem_models.cli import main
from fem_models.config.io import from_dict
from fem_models.exact.distances import interval_square
from fem_models.plotting.geodesic import draw_geodesic
from fem_models.results.densities import DensityRequest, find
from fem_models.run.distance import compute, default_directory
from fem_models.run.runner import run

COMM = MPI.COMM_WORLD
TABLES = {
    "mesh": {"domain": "interval", "upper": [2.0], "cells": [40]},
    "system": {"name": "fokker-planck", "potential": "x"},
    "initial": {"rho": "1 + x", "mass": 2.0},
    "time": {"end": 0.1, "step": 0.05},
    "output": {"figures": False, "field_times": [0.0, 0.1]},
}


def make(directory, comm=COMM, **changes):
    """Run the small run with other tables; returns its directory."""
    run(from_dict({**TABLES, **changes}), directory, False, comm, None)
    COMM.Barrier()
    return directory


def on_interval(density, other, cells=40):
    """W₂² of two densities of mass 2 on (0, 2), linear between nodes."""
    x = np.linspace(0.0, 2.0, cells + 1)
    values = [d(x) for d in (density, other)]
    return 2.0 * interval_square(*((x, v / np.trapezoid(v, x)) for v in values))


def uniform(x):
    return np.ones_like(x)


def linear(x):
    return 1.0 + x


@pytest.mark.parallel
def test_two_runs_on_one_mesh(shared_tmp_path):
    # The runs are those of one rank each, or of all: what reads them has any number.
    first = make(shared_tmp_path / "a")
    second = shared_tmp_path / "b"
    if COMM.rank == 0:
        make_alone(second, initial={"rho": "1", "mass": 2.0})
    COMM.Barrier()
    out = shared_tmp_path / "out"
    ends = (DensityRequest(first, 0.0), DensityRequest(second, 0.0))
    found = compute(*ends, COMM, slabs=8, out=out, draw=draw_geodesic)
    assert found.geodesic.square == pytest.approx(on_interval(linear, uniform), rel=2e-3)
    assert found.notes == []
    result = json.loads((out / "distance.json").read_text())
    assert list(result) == [
        *("distance", "square", "mass", "slabs", "newton_iterations", "seconds", "from", "to", "notes")
    ]
    assert result["distance"] == pytest.approx(np.sqrt(result["square"]))
    assert (result["mass"], result["slabs"]) == (pytest.approx(2.0, rel=1e-12), 8)
    assert result["from"] == {"directory": str(first), "species": "rho", "time": 0.0}
    assert result["to"] == {"directory": str(second), "species": "rho", "time": 0.0}
    assert (out / "geodesic.png").read_bytes().startswith(b"\x89PNG")


def make_alone(directory, **changes):
    run(from_dict({**TABLES, **changes}), directory, False, MPI.COMM_SELF, None)


@pytest.mark.parallel
def test_the_written_geodesic(shared_tmp_path):
    from fem_models.results.fields import WrittenFields

    path = make(shared_tmp_path / "a")
    out = shared_tmp_path / "out"
    found = compute(DensityRequest(path, 0.0), DensityRequest(path), COMM, slabs=4, out=out)
    assert found.ends[1].time == 0.1
    fields = WrittenFields(out / "geodesic.pvd", ["rho"])
    assert fields.times == (0.0, 0.25, 0.5, 0.75, 1.0)
    runs = WrittenFields(path / "fields.pvd", ["rho"])
    for s, time in ((0.0, 0.0), (1.0, 0.1)):
        (x, values), (y, others) = (ordered(source.at(t)) for source, t in ((fields, s), (runs, time)))
        assert np.array_equal(x, y)
        assert values == pytest.approx(others, rel=1e-7)
    for s in fields.times:
        x, values = ordered(fields.at(s))
        assert np.trapezoid(values, x) == pytest.approx(2.0, rel=1e-9)


def test_the_mass_is_that_of_the_time(tmp_path):
    path = make(tmp_path / "a")
    lines = (path / "series.csv").read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index("mass_rho")
    for number, mass in ((1, "1.0"), (-1, "3.0")):
        entries = lines[number].split(",")
        entries[column] = mass
        lines[number] = ",".join(entries)
    (path / "series.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert find(DensityRequest(path, 0.0)).mass == 1.0
    assert find(DensityRequest(path)).mass == 3.0


def ordered(snapshot):
    x, index = np.unique(np.round(snapshot.points[:, 0], 12), return_index=True)
    return x, snapshot.values["rho"][index]


@pytest.mark.parallel
def test_other_meshes(shared_tmp_path):
    first = make(shared_tmp_path / "a")
    second = make(
        shared_tmp_path / "b",
        mesh={"domain": "interval", "upper": [2.0], "cells": [64]},
        initial={"rho": "1 + exp(-40*(x - 1)**2)", "mass": 2.0},
    )
    found = compute(
        DensityRequest(first, 0.0), DensityRequest(second, 0.0), COMM, out=shared_tmp_path / "out"
    )
    exact = on_interval(linear, lambda x: 1.0 + np.exp(-40.0 * (x - 1.0) ** 2), 4000)
    # The run on 40 cells has interpolated its own density, too.
    assert found.geodesic.square == pytest.approx(exact, rel=5e-3)
    assert found.geodesic.mass == pytest.approx(2.0, rel=1e-12)
    (note,) = found.notes
    assert note.startswith("The runs have different meshes: the second density was interpolated")


@pytest.mark.parallel
def test_refused(shared_tmp_path):
    first = make(shared_tmp_path / "a")
    heavier = make(shared_tmp_path / "b", initial={"rho": "1", "mass": 2.5})
    wider = make(
        shared_tmp_path / "c",
        mesh={"domain": "interval", "upper": [3.0], "cells": [40]},
        initial={"rho": "1", "mass": 2.0},
    )
    plane = make(shared_tmp_path / "d", mesh={"domain": "rectangle", "cells": [3, 3]})
    out = shared_tmp_path / "out"

    def refused(match, one, other, **options):
        with pytest.raises(ValueError, match=match) as caught:
            compute(one, other, COMM, out=out, **options)
        messages = COMM.allgather(str(caught.value))
        assert set(messages) == {messages[0]}
        assert not out.exists()

    there = DensityRequest(first)
    refused("masses 2 and 2.5,", there, DensityRequest(heavier))
    refused("has no density u: its densities are rho", there, DensityRequest(first, species="u"))
    refused("no fields of the time 0.07: the nearest that it has is 0.1", there, DensityRequest(first, 0.07))
    refused("is not a run directory", there, DensityRequest(shared_tmp_path))
    refused("in place of 2: use runs on the same domain", there, DensityRequest(wider, 0.0))
    refused("live in dimensions 1 and 2", there, DensityRequest(plane))
    refused("at least 2, not 1", DensityRequest(first, 0.0), there, slabs=1)


@pytest.mark.parallel
def test_fields_of_another_mesh_are_noticed(shared_tmp_path):
    path = make(shared_tmp_path / "a")
    if COMM.rank == 0:
        text = (path / "run.toml").read_text()
        (path / "run.toml").write_text(text.replace("40", "48"))
    COMM.Barrier()
    with pytest.raises(ValueError, match=r"are not on the mesh of its run\.toml"):
        compute(DensityRequest(path, 0.0), DensityRequest(path), COMM, out=shared_tmp_path / "out")


@pytest.mark.parallel
def test_several_densities(shared_tmp_path):
    pair = {"name": "two-component", "potentials": ["x**2", "(x - 1)**2"]}
    path = make(
        shared_tmp_path / "a",
        system=pair,
        initial={"rho1": "1 + x", "rho2": "1", "mass": 2.0},
    )
    with pytest.raises(ValueError, match="several densities, rho1, rho2: choose one by --species"):
        compute(DensityRequest(path), DensityRequest(path), COMM, out=shared_tmp_path / "out")
    ends = (DensityRequest(path, 0.0, "rho1"), DensityRequest(path, 0.0, "rho2"))
    found = compute(*ends, COMM, out=shared_tmp_path / "out")
    assert found.geodesic.square == pytest.approx(on_interval(linear, uniform), rel=2e-3)


def test_the_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = tmp_path / "one.5", tmp_path / "two"
    assert str(default_directory(first, second)) == "output/distance_one.5_two"
    assert str(default_directory(first, first)) == "output/distance_one.5"
    (tmp_path / "runs").mkdir()
    assert str(default_directory(first, second)) == "runs/output/distance_one.5_two"


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_alone(tmp_path / "a")
    command = ["distance", "a", "a", "--time-a", "0", "--slabs", "4"]
    assert main(command) == 0
    result = json.loads((tmp_path / "output/distance_a/distance.json").read_text())
    text = capsys.readouterr().out
    assert f"distance   {result['distance']:.10g}" in text
    assert "4 slabs" in text
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err
    # Fewer slabs leave no more pieces than there are times.
    assert main([*command, "--slabs", "2", "--overwrite"]) == 0
    assert len(list((tmp_path / "output/distance_a").glob("*.pvtu"))) == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    assert main([*command, "--out", "mine", "--overwrite"]) == 2
    assert "has files and no distance.json" in capsys.readouterr().err
    assert main(["distance", "a", "nowhere"]) == 2


def test_a_failed_solve_keeps_its_exit_code(tmp_path, monkeypatch, capsys):
    from fem_models.jko.path_problem import PathOutcome
    from fem_models.jko.path_solver import PathSolver

    def fail(_solver, guess, _old, _tau):
        return PathOutcome(guess, False, 7, 0, "the report")

    make_alone(tmp_path / "a")
    monkeypatch.setattr(PathSolver, "interior_point", fail)
    assert (
        main(
            [
                "distance",
                str(tmp_path / "a"),
                str(tmp_path / "a"),
                "--time-a",
                "0",
                "--out",
                str(tmp_path / "o"),
            ]
        )
        == 3
    )
    assert "the report" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
