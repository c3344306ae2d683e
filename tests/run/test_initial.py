"""Run files that start from something: runs, files, images; and runs that go on with another step."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from dolfinx.io import XDMFFile
from mpi4py import MPI
from PIL import Image

import fem_models as fm
from fem_models.cli import main
from fem_models.config.description import describe
from fem_models.config.io import dump, from_dict, load
from fem_models.core.errors import InputError
from fem_models.meshes.xdmf import read_xdmf_grid
from fem_models.run.resume import resume
from fem_models.run.runner import run

COMM = MPI.COMM_WORLD
IONS = {
    "mesh": {"domain": "rectangle", "cells": [6, 6]},
    "system": {"name": "poisson-nernst-planck", "m": 2},
    "initial": {"u": "1 + x", "v": "1 + y", "mass": 1},
    "time": {"end": 0.04, "step": 0.01},
    "output": {"figures": False, "steady": False, "field_times": [0.0, 0.02, 0.03, 0.04]},
}
NEXT = {**IONS, "initial": {"from": "first"}, "output": {"figures": False, "steady": False}}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run of ions on one process."""
    folder = COMM.bcast(tmp_path_factory.mktemp("runs") if COMM.rank == 0 else None)
    if COMM.rank == 0:
        run(from_dict(IONS), folder / "first", comm=MPI.COMM_SELF)
    COMM.Barrier()
    return folder / "first"


def message(tables, folder, comm=MPI.COMM_SELF):
    """The sentence that tables are refused with; nothing is written."""
    with pytest.raises(InputError) as caught:
        run(from_dict(tables, folder), folder / "refused", comm=comm)
    assert not (folder / "refused").exists()
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text
    return text


def series(directory):
    return np.genfromtxt(directory / "series.csv", delimiter=",", names=True)


@pytest.mark.parallel
def test_species_come_by_name_and_the_run_goes_on_as_if_it_had_not_stopped(first, shared_tmp_path):
    run(
        from_dict(NEXT | {"time": {"end": 0.02, "step": 0.01}}, first.parent),
        shared_tmp_path / "next",
        comm=COMM,
    )
    if COMM.rank == 0:
        longer = shared_tmp_path / "longer"
        shutil.copytree(first, longer)
        resume(longer, end=0.06, comm=MPI.COMM_SELF)
        expected, found = series(longer)[-3:], series(shared_tmp_path / "next")
        for column in ("energy", "mass_u", "mass_v", "min_u", "max_v"):
            np.testing.assert_allclose(found[column], expected[column], rtol=1e-9)
        log = (shared_tmp_path / "next" / "log.txt").read_text()
        assert f"u is from {first} at t = 0.04, on the same nodes" in log
        # The clock of the new run is its own.
        assert found["time"][0] == 0.0
    COMM.Barrier()


def test_one_of_the_species_at_another_time_under_another_name(first, tmp_path):
    initial = {"from": str(first), "time": 0.02, "u": {"from": str(first), "field": "v", "time": 0.03}}
    state = run(from_dict(NEXT | {"initial": initial}), tmp_path / "next", comm=MPI.COMM_SELF)
    begin = fm.open_run(tmp_path / "next").fields(0.0)
    before = fm.open_run(first)
    np.testing.assert_array_equal(begin["u"], before.fields(0.03)["v"])
    np.testing.assert_array_equal(begin["v"], before.fields(0.02)["v"])
    assert state.runs[0].summary["species"]["u"]["mass_initial"] == pytest.approx(1.0, rel=1e-14, abs=0.0)


def test_paths_are_found_beside_the_run_file_and_kept_absolute(first, tmp_path):
    tables = NEXT | {"initial": {"u": {"from": "first"}, "v": "1 + x", "mass": {"v": 1.0}}}
    tables["compare"] = [{"name": "other", "set": {"initial.u.from": "first", "time.step": 0.02}}]
    config = from_dict(tables, first.parent)
    assert config.initial.given["u"].from_ == str(first)
    assert config.compare[0].set["initial.u.from"] == str(first)
    # The last time is that of now.
    assert config.compare[0].set["initial.u.time"] == 0.04
    (tmp_path / "elsewhere.toml").write_text(dump(config))
    assert load(tmp_path / "elsewhere.toml") == config
    entries = {entry.key: entry.value for entry in describe(config)}
    assert entries["initial.u"] == f'{{ from = "{first}", time = 0.04, invert = false }}'
    both = NEXT | {"compare": [{"name": "other", "set": {"initial": {"from": "first", "time": 0.02}}}]}
    assert from_dict(both, first.parent).compare[0].set["initial"]["from"] == str(first)


MISTAKES = [
    ({"from": "nowhere"}, '[initial] from = "nowhere" does not exist'),
    ({"u": {"from": "nowhere"}, "v": "1"}, '[initial] u.from = "nowhere" does not exist'),
    ({"from": "first", "time": 0.01}, "the nearest that it has are 0.0, 0.02, 0.03, 0.04."),
    ({"time": 1.0, "u": "1", "v": "1"}, "time goes with from only"),
    ({"from": "first", "u": "1", "v": "1"}, "[initial] from is not needed"),
    ({"from": "first", "u": {"from": "first", "field": "w"}}, 'has no field "w" at its points; allowed: '),
    ({"from": "first", "w": {"from": "first"}}, "[initial] w does not name a density"),
    ({"from": "first", "psi": {"from": "first"}}, "[initial] psi is not needed"),
    (
        {"from": "first", "u": {"form": "first"}},
        "[initial] u.form is not a key of [initial] u; did you mean from?",
    ),
    ({"from": "first", "u": {"from": 1}}, "[initial] u.from = 1 must be a text"),
    ({"from": "first", "u": {"from": "first", "time": "now"}}, '[initial] u.time = "now" must be a number'),
    ({"from": "first", "u": {"from": "first", "invert": True}}, "is no image: leave out invert"),
    ({"u": {"from": "first"}}, "[initial] v is missing; every density needs an initial expression or"),
    ({"from": "first", "mass": {"u": 1.0, "v": 2.0}}, "charge"),
]


@pytest.mark.parametrize(("initial", "words"), MISTAKES, ids=[words[:40] for _, words in MISTAKES])
def test_mistakes_are_one_sentence_and_nothing_is_written(initial, words, first):
    assert words in message(NEXT | {"initial": initial}, first.parent)


def test_a_run_does_not_replace_what_it_starts_from(first):
    tables = NEXT | {"initial": {"from": str(first / "fields.pvd")}}
    with pytest.raises(InputError, match=r"is in the directory .* that the run writes to"):
        run(from_dict(tables), first, overwrite=True, comm=MPI.COMM_SELF)
    assert (first / "fields.pvd").is_file()


MESHIO = """
import meshio, numpy
given = numpy.load("mesh.npz")
mesh = meshio.Mesh(given["points"], [("triangle", given["cells"])], point_data={"rho": given["values"]})
mesh.write("meshio.xdmf")
mesh.write("compressed.vtu", compression="zlib")
mesh.write("text.vtu", binary=False)
"""


@pytest.mark.parallel
def test_xdmf_files_of_dolfinx_and_meshio(shared_tmp_path):
    flow = fm.Flow(fm.mesh("disk", h=0.3), fm.PowerLaw(2), "rho")
    there = flow.state("2 + x*y")
    with XDMFFile(COMM, shared_tmp_path / "dolfinx.xdmf", "w") as file:
        file.write_mesh(flow.mesh)
        for time in (0.0, 0.5):
            function = there["rho"]
            function.x.array[:] *= 1.0 + time
            file.write_function(function, time)
    for time, factor in ((0.0, 1.0), (None, 1.5)):
        here = flow.state(fm.from_file(shared_tmp_path / "dolfinx.xdmf", time=time))
        np.testing.assert_array_equal(here.array, factor * there.array)
    with pytest.raises(InputError, match=r"nearest that it has are 0\.0, 0\.5"):
        flow.state(fm.from_file(shared_tmp_path / "dolfinx.xdmf", time=0.25))
    if COMM.rank == 0:
        points, cells = read_xdmf_grid(shared_tmp_path / "dolfinx.xdmf")
        np.savez(
            shared_tmp_path / "mesh.npz", points=points, cells=cells, values=2.0 + points[:, 0] * points[:, 1]
        )
        # In a process of its own: its library of HDF5 is not that of DOLFINx.
        subprocess.run([sys.executable, "-c", MESHIO], cwd=shared_tmp_path, check=True)
    COMM.Barrier()
    for name, digits in (("meshio.xdmf", 14), ("compressed.vtu", 14), ("text.vtu", 10)):
        here = flow.state(fm.from_file(shared_tmp_path / name))
        np.testing.assert_allclose(here.array, there.array, rtol=10.0**-digits)
    COMM.Barrier()


def test_an_image_by_the_command_line(tmp_path):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(tmp_path / "blob.png")
    (tmp_path / "run.toml").write_text(
        """
        mesh = { domain = "rectangle", cells = [8, 8] }
        system = { name = "fokker-planck", m = 2 }
        initial = { rho = { from = "blob.png", invert = true }, mass = 1 }
        time = { end = 0.02, step = 0.01 }
        output = { figures = false, steady = false }
        """
    )
    assert main(["run", str(tmp_path / "run.toml"), "--out", str(tmp_path / "out")]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["species"]["rho"]["mass_initial"] == pytest.approx(1.0, rel=1e-14, abs=0.0)


# Another step in mid-run

BDF2 = {
    "mesh": {"domain": "interval", "cells": 30},
    "system": {"name": "fokker-planck", "m": 2, "potential": "x"},
    "initial": {"rho": "1 + x", "mass": 1},
    "time": {"end": 0.1, "step": 0.02, "scheme": "bdf2"},
    "output": {"figures": False, "steady": False},
    "checkpoint": {"every_steps": 1, "keep": 99},
}


def test_another_step_is_taken_as_by_the_scheme_itself(tmp_path, capsys):
    run(from_dict(BDF2), tmp_path / "run", comm=MPI.COMM_SELF)
    arguments = ["--set", "time.step=0.005", "--set", "time.end=0.12", "--set", "output.dpi=99"]
    assert main(["resume", str(tmp_path / "run"), *arguments]) == 0
    found = series(tmp_path / "run")
    np.testing.assert_allclose(found["dt"][1:], [0.02] * 5 + [0.005] * 4, rtol=1e-12)
    assert found["time"][-1] == 0.12
    flow = fm.fokker_planck(fm.mesh("interval", cells=30, comm=MPI.COMM_SELF), m=2, potential="x")
    state, scheme = flow.state("1 + x", mass=1), fm.Bdf2(flow)
    for dt in found["dt"][1:]:
        state = scheme.step(state, dt).state
    assert found["energy"][-1] == pytest.approx(state.energy(), rel=1e-13)
    # Stopped and taken up again, it goes on in the steps that it had.
    again = tmp_path / "again"
    shutil.copytree(tmp_path / "run", again)
    (again / "summary.json").unlink()
    for path in (again / "checkpoint").iterdir():
        if int(path.stem.removeprefix("step_")) > 7:
            path.unlink()
    assert main(["resume", str(again)]) == 0
    assert (again / "series.csv").read_bytes() == (tmp_path / "run" / "series.csv").read_bytes()
    assert load(again / "run.toml").time.step == 0.005
    assert load(again / "run.toml").output.dpi == 99
    capsys.readouterr()


@pytest.mark.parametrize(
    "change", ["system.m=3", "mesh.cells=[40]", "initial.mass=2", "time.scheme=jko", "time", "x"]
)
def test_the_equations_do_not_change_in_mid_run(change, tmp_path, capsys):
    run(from_dict(BDF2), tmp_path / "run", comm=MPI.COMM_SELF)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert main(["resume", str(tmp_path / "run"), "--set", change, "--end", "0.2"]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and ("cannot be changed while a run goes on" in text or "key=value" in text)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
