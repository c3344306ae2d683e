"""Runs that are stopped and go on: to the same numbers, on any number of ranks, whatever the stop was."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from mpi4py import MPI

from fem_models.cli import main
from fem_models.config.io import from_dict
from fem_models.core.errors import InputError
from fem_models.results.fields import WrittenFields
from fem_models.run import loop
from fem_models.run.resume import resume
from fem_models.run.runner import run

COMM = MPI.COMM_WORLD
# What series.csv has of the solver, which depends on the ranks.
COUNTS = ("newton", "linear")
FLOW = {
    "mesh": {"domain": "disk", "h": 0.3},
    "system": {"name": "fokker-planck", "m": 2, "potential": "2*r**2"},
    "initial": {"rho": "where(x > 0.3, 1, 0)", "mass": 1},
    "output": {"figures": False, "field_times": [0.0, 0.06, 0.1, 0.2]},
}
MODELS = {
    "backward-euler": {},
    "bdf2": {"time": {"scheme": "bdf2"}},
    "jko": {"time": {"scheme": "jko", "slabs": 1}},
    "jko-bdf2": {"time": {"scheme": "jko-bdf2", "slabs": 1}},
    "log-density": {
        "system": {"name": "fokker-planck", "potential": "r**2"},
        "initial": {"rho": "1 + x", "mass": 1},
        "time": {"discretization": "log-density"},
    },
    "ions": {
        "mesh": {"domain": "rectangle", "cells": [5, 5]},
        "system": {"name": "poisson-nernst-planck", "m": 2},
        "initial": {"u": "1 + x", "v": "1 + y", "mass": 1},
        "time": {"scheme": "bdf2"},
    },
    "adaptive bdf2": {"time": {"scheme": "bdf2", "control": "adaptive", "step": 1e-3, "tolerance": 0.01}},
    "adaptive jko in halves": {"time": {"scheme": "jko", "control": "adaptive", "tolerance": 0.02}},
    "adaptive moving trap": {
        "system": {"name": "fokker-planck", "potential": "(x - t)**2"},
        "initial": {"rho": "1", "mass": 1},
        "time": {"control": "adaptive", "step": 1e-3, "tolerance": 1e-3},
    },
    "torus": {
        "mesh": {"domain": "torus", "cells": [5, 4]},
        "system": {"name": "fokker-planck", "m": 2, "potential": "0.2*cos(2*pi*x)"},
        "initial": {"rho": "1 + sin(2*pi*x)", "mass": 1},
        "time": {"scheme": "bdf2"},
    },
    "moving trap": {
        "system": {"name": "fokker-planck", "potential": "(x - t)**2"},
        "initial": {"rho": "1", "mass": 1},
    },
}


def tables_of(model):
    changes = MODELS[model]
    table = {"end": 0.2, "step": 0.02} | changes.get("time", {})
    return FLOW | changes | {"time": table, "checkpoint": {"every_steps": 3}}


def stopped_after(directory, number, place):
    """A copy of a run as if it had been killed after a checkpoint."""
    shutil.copytree(directory, place)
    (place / "summary.json").unlink()
    for path in (place / "checkpoint").iterdir():
        if int(path.stem.removeprefix("step_")) > number:
            path.unlink()
    return place


def series(directory):
    return np.genfromtxt(directory / "series.csv", delimiter=",", names=True)


def on_one(comm, work):
    """Do something on rank 0 while the others wait."""
    if comm.rank == 0:
        work()
    comm.Barrier()


@pytest.mark.parametrize("model", MODELS)
def test_a_run_that_was_killed_goes_on_bit_for_bit(model, tmp_path):
    whole = tmp_path / "whole"
    run(
        from_dict(tables_of(model) | {"checkpoint": {"every_steps": 3, "keep": 9}}), whole, comm=MPI.COMM_SELF
    )
    place = stopped_after(whole, 6, tmp_path / "killed")
    # What was being written when it was killed.
    with (place / "series.csv").open("a") as file:
        file.write("11,0.22,0.0")
    resume(place, comm=MPI.COMM_SELF)
    assert (place / "series.csv").read_bytes() == (whole / "series.csv").read_bytes()
    first, second = (json.loads((path / "summary.json").read_text()) for path in (whole, place))
    for summary in (first, second):
        for key in ("wall_seconds", "phases", "memory_megabytes"):
            del summary[key]
    assert first == second
    for directory in (whole, place):
        fields = WrittenFields(directory / "fields.pvd")
        assert fields.times == (0.0, 0.06, 0.1, 0.2)
    a, b = (WrittenFields(path / "fields.pvd").last for path in (whole, place))
    for name, values in a.values.items():
        np.testing.assert_array_equal(values, b.values[name])


@pytest.mark.parallel
@pytest.mark.parametrize("model", MODELS)
def test_another_number_of_ranks_goes_on_with_it(model, shared_tmp_path):
    tables = tables_of(model) | {"checkpoint": {"every_steps": 3, "keep": 9}}
    whole = shared_tmp_path / "whole"
    on_one(COMM, lambda: run(from_dict(tables), whole, comm=MPI.COMM_SELF))
    on_one(COMM, lambda: stopped_after(whole, 6, shared_tmp_path / "more"))
    resume(shared_tmp_path / "more", comm=COMM)
    on_one(COMM, lambda: stopped_after(shared_tmp_path / "more", 9, shared_tmp_path / "one"))
    on_one(COMM, lambda: resume(shared_tmp_path / "one", comm=MPI.COMM_SELF))
    expected = series(whole)
    for name in ("more", "one"):
        found = series(shared_tmp_path / name)
        assert len(found) == len(expected)
        for column in expected.dtype.names:
            if column not in COUNTS:
                size = np.abs(expected[column]).max()
                np.testing.assert_allclose(
                    found[column], expected[column], rtol=0.0, atol=1e-10 * size + 1e-13
                )
    COMM.Barrier()


def test_a_run_goes_on_to_a_later_end(tmp_path):
    tables = tables_of("bdf2")
    run(from_dict(tables), tmp_path / "short", comm=MPI.COMM_SELF)
    with pytest.raises(
        InputError, match=r"has come to its end, t = 0.2: give a later one, as in `fem-models"
    ):
        resume(tmp_path / "short", comm=MPI.COMM_SELF)
    resume(tmp_path / "short", end=0.3, comm=MPI.COMM_SELF)
    tables["time"]["end"] = 0.3
    run(from_dict(tables), tmp_path / "long", comm=MPI.COMM_SELF)
    found, expected = series(tmp_path / "short"), series(tmp_path / "long")
    np.testing.assert_allclose(found["energy"], expected["energy"], rtol=1e-12)
    assert found["step"].tolist() == list(range(16))


def test_what_cannot_go_on_is_told_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"is not a run directory: it has no run\.toml"):
        resume(tmp_path, comm=MPI.COMM_SELF)
    directory = tmp_path / "run"
    run(from_dict(tables_of("backward-euler")), directory, comm=MPI.COMM_SELF)
    (directory / "summary.json").unlink()
    latest, _ = sorted((directory / "checkpoint").iterdir(), reverse=True)
    latest.write_bytes(latest.read_bytes()[:-1])
    assert resume(directory, comm=MPI.COMM_SELF).runs[0].summary["steps"] == 10  # from the earlier one
    text = (directory / "run.toml").read_text()
    (directory / "run.toml").write_text(text.replace("h = 0.3", "h = 0.4"))
    (directory / "summary.json").unlink()
    with pytest.raises(InputError, match="is of another mesh"):
        resume(directory, comm=MPI.COMM_SELF)
    (directory / "run.toml").write_text(text)
    for path in (directory / "checkpoint").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="is no checkpoint of fem-models"):
        resume(directory, comm=MPI.COMM_SELF)
    shutil.rmtree(directory / "checkpoint")
    with pytest.raises(InputError, match="has no checkpoint to go on from"):
        resume(directory, comm=MPI.COMM_SELF)


def test_checkpoints_are_kept_as_asked_for_and_at_the_end(tmp_path):
    names = {}
    for what, table in (("none", {}), ("two", {"every_steps": 2}), ("four", {"every_steps": 2, "keep": 4})):
        run(from_dict(tables_of("bdf2") | {"checkpoint": table}), tmp_path / what, comm=MPI.COMM_SELF)
        found = sorted(path.name for path in (tmp_path / what / "checkpoint").iterdir())
        names[what] = [int(name.removeprefix("step_").removesuffix(".ckpt")) for name in found]
    assert names == {"none": [10], "two": [8, 10], "four": [4, 6, 8, 10]}


def test_a_time_limit_ends_a_run_with_code_0_and_it_goes_on(tmp_path, capsys, monkeypatch):
    tables = tables_of("bdf2")
    tables["time"] |= {"end": 400.0, "step": 0.02}
    tables["output"] = {"figures": False, "field_times": [400.0], "steady": False}
    from fem_models.config.io import dump

    (tmp_path / "long.toml").write_text(dump(from_dict(tables)))
    out = tmp_path / "out"
    begin = time.monotonic()
    assert main(["run", str(tmp_path / "long.toml"), "--out", str(out), "--walltime", "0:03"]) == 0
    assert time.monotonic() - begin < 10.0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["stop_reason"] == "walltime" and 0 < summary["steps"] < 20_000
    assert f"`fem-models resume {out}` goes on" in capsys.readouterr().out
    # A scheduler says the same: a quarter of what it leaves is kept.
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(round(time.time()) + 3))
    assert main(["resume", str(out)]) == 0
    assert "by SLURM_JOB_END_TIME of the job; --walltime sets another" in capsys.readouterr().out
    later = json.loads((out / "summary.json").read_text())
    assert later["steps"] > summary["steps"]
    assert len(series(out)) == later["steps"] + 1
    assert main(["resume", str(out), "--walltime", "soon"]) == 2
    assert "--walltime soon is no time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        (signal.SIGTERM, 143, "interrupted"),
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGUSR1, 0, "walltime"),
    ],
)
def test_signals_end_a_run_after_its_step(tmp_path, number, code, reason):
    process = begun(tmp_path)
    process.send_signal(number)
    assert process.wait(30) == code
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["stop_reason"] == reason
    [*_, last] = sorted((tmp_path / "out" / "checkpoint").iterdir())
    assert int(last.stem.removeprefix("step_")) == summary["steps"]


def test_signals_that_come_twice_within_a_second_are_one(monkeypatch):
    clock = {"now": 100.0}
    monkeypatch.setattr(loop, "monotonic", lambda: clock["now"])
    with loop.Interruption(MPI.COMM_SELF) as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        clock["now"] += 0.9
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.signal() == signal.SIGINT
        clock["now"] += 0.2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_that_is_killed_goes_on(tmp_path):
    process = begun(tmp_path)
    time.sleep(0.3)
    process.kill()
    process.wait()
    out = tmp_path / "out"
    outcomes = resume(out, comm=MPI.COMM_SELF, walltime=1.0)
    summary = outcomes.runs[0].summary
    assert summary["stop_reason"] in ("walltime", "end")
    rows = series(out)
    assert rows["step"].tolist() == list(range(summary["steps"] + 1))


def begun(tmp_path):
    """A long run in a process of its own that has kept its first checkpoint."""
    from fem_models.config.io import dump

    tables = tables_of("bdf2")
    tables["time"] |= {"end": 400.0}
    tables["output"] = {"figures": False, "field_times": [400.0], "steady": False}
    (tmp_path / "long.toml").write_text(dump(from_dict(tables)))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "fem_models", "run", str(tmp_path / "long.toml"), "--out", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    for _ in range(600):
        if list((out / "checkpoint").glob("*.ckpt")):
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError("no checkpoint came")
