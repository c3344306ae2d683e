"""`fem-models sweep`: points as processes, several at a time, that fail, are stopped, killed, and go on."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

import fem_models as fm
from fem_models.cli import main
from fem_models.config.io import dump, from_dict
from fem_models.core.errors import InputError
from fem_models.plotting.sweeps import sweep_figure
from fem_models.results.run_data import RunData
from fem_models.run.points import hold, run_point
from fem_models.run.sweep_jobs import run_sweep

RUNS = Path(__file__).parents[2] / "runs"
COMM = MPI.COMM_WORLD
# The mode cos πx of the heat equation, by BDF2.
HEAT = {
    "mesh": {"domain": "interval", "cells": 8},
    "system": {"name": "fokker-planck"},
    "initial": {"rho": "1 + cos(pi*x)/2"},
    "exact": {"rho": "1 + exp(-pi**2*t)*cos(pi*x)/2"},
    "time": {"scheme": "bdf2", "flux": "average", "end": 0.02, "step": 0.002},
    "output": {"field_times": [0.02], "steady": False},
}
# Long enough to be stopped.
LONG = HEAT | {
    "time": {"end": 0.06, "step": 1e-4},
    "output": {"field_times": [0.06], "steady": False, "figures": False},
    "checkpoint": {"every_steps": 100},
    "sweep": {"keys": {"mesh.cells": [8, 16]}},
}


def rows_of(directory):
    with (directory / "sweep.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(rows, name):
    return np.array([float(row[name]) for row in rows])


def written(folder, tables):
    path = folder / "run.toml"
    path.write_text(dump(from_dict(tables)), encoding="utf-8")
    return path


def begun(*arguments):
    command = [sys.executable, "-m", "fem_models", "sweep", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True, env=dict(os.environ))


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def test_a_convergence_study_two_points_at_a_time(tmp_path, capsys):
    tables = HEAT | {"sweep": {"keys": {"mesh.cells": [8, 16], "time.step": [0.002, 0.0005]}}}
    file, out = written(tmp_path, tables), tmp_path / "out"
    assert main(["sweep", str(file), "--out", str(out), "--jobs", "2"]) == 0
    told = capsys.readouterr().out
    assert "points     4 ended" in told and "cells = 8, step = 0.002: 10 steps to t = 0.02 (end)" in told
    rows = rows_of(out)
    assert [(row["cells"], row["step"]) for row in rows] == [
        *(("8", "0.002"), ("8", "0.0005"), ("16", "0.002"), ("16", "0.0005")),
    ]
    # The discrete Laplacian has the mode with λ = π²(1 - (πh)²/12) up to h⁴, and so the error is half of
    # |exp(-λt) - exp(-π²t)| times the mean 2/π of |cos|, up to 2 % of it that the small steps add.
    lam = np.pi**2 * (1 - (np.pi / np.array([8, 16])) ** 2 / 12)
    expected = np.abs(np.exp(-0.02 * lam) - np.exp(-0.02 * np.pi**2)) / np.pi
    fine = column(rows, "error_l1")[1::2]
    assert column(rows, "completed").tolist() == [1] * 4
    assert fine == pytest.approx(expected, rel=0.03)
    order = np.log2(expected[0] / expected[1])
    assert column(rows, "order_l1_cells")[3] == pytest.approx(order, abs=0.06)
    assert np.isnan(column(rows, "order_l1_cells")[:2]).all()
    # Steps matter least on the coarse mesh.
    in_time = column(rows, "order_l1_step")
    assert 0.0 < in_time[1] < in_time[3] < 2.0 and np.isnan(in_time[::2]).all()
    # Read and drawn as a run is; the heat map has the numbers of the table.
    assert (out / "figures" / "sweep.png").is_file()
    heat, _curves, _bar = sweep_figure(RunData(out)).axes
    image = np.array(heat.get_images()[0].get_array())
    np.testing.assert_allclose(image[::-1].T.ravel(), column(rows, "error_l1"))
    run = fm.open_run(out)
    assert list(run.variants) == [f"cells = {row['cells']}, step = {row['step']}" for row in rows]
    assert run.variants["cells = 8, step = 0.002"].summary["steps"] == 10
    assert run.summary["sweep"]["completed"] == 4
    # Nothing is run again, and another run file is refused.
    before = {path: path.stat().st_mtime_ns for path in (out / "compare").rglob("*")}
    (out / "sweep.csv").unlink()
    assert main(["sweep", str(out / "run.toml"), "--out", str(out), "--set", "output.dpi=60"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (out / "compare").rglob("*")}
    assert rows_of(out) == rows
    assert main(["sweep", str(file), "--out", str(out), "--set", "time.end=0.03"]) == 2
    assert "is of another run file; choose another --out, or add --overwrite" in capsys.readouterr().err
    assert main(["resume", str(out)]) == 2
    assert "has no run but points of a sweep: `fem-models sweep" in capsys.readouterr().err


def test_a_sweep_that_is_stopped_and_killed_goes_on_to_the_same_numbers(tmp_path):
    file, out = written(tmp_path, LONG), tmp_path / "out"
    first, second = (out / "compare" / f"cells = {cells}" for cells in (8, 16))
    process = begun(file, "--out", out, "--jobs", "2")
    wait_for(lambda: list((first / "checkpoint").glob("*.ckpt")))
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "2 stopped" in told and f"`fem-models sweep {out}/run.toml --out {out}` goes on" in told
    assert json.loads((first / "summary.json").read_text())["stop_reason"] == "interrupted"
    assert not (second / "summary.json").exists()
    # As if it had been killed: no summary, and a checkpoint before its last rows.
    [*_, last] = sorted((first / "checkpoint").glob("*.ckpt"))
    last.unlink()
    (first / "summary.json").unlink()
    handle = hold(first)
    with pytest.raises(InputError, match=r"Another process runs in .*out/compare/cells = 8; call again"):
        run_sweep(from_dict(LONG), out)
    os.close(handle)
    process = begun(file, "--out", out, "--jobs", "2")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "going on from" in (first / "log.txt").read_text()
    assert column(rows_of(out), "completed").tolist() == [1, 1]
    for number, place in enumerate((first, second), start=1):
        run_point(from_dict(LONG), tmp_path / "whole", number, comm=MPI.COMM_SELF)
        whole = tmp_path / "whole" / place.relative_to(out) / "series.csv"
        assert (place / "series.csv").read_bytes() == whole.read_bytes()


def test_a_point_that_fails_does_not_stop_the_others(tmp_path, capsys):
    keys = {"solver.snes_rtol": [1e-40, 1e-9], "mesh.cells": [8]}
    tables = HEAT | {"solver": {"snes_stol": 0.0, "snes_max_it": 6}, "sweep": {"keys": keys}}
    file, out = written(tmp_path, tables), tmp_path / "out"
    assert main(["sweep", str(file), "--out", str(out)]) == 3
    told, errors = capsys.readouterr()
    assert "1 ended, 1 failed" in told
    assert f"{out}/compare/snes_rtol = 1e-40, cells = 8: Step 1 from t = 0 to t = 0.002 failed." in errors
    rows = rows_of(out)
    assert column(rows, "completed").tolist() == [0, 1]
    assert np.isnan(column(rows, "error_l1")[0])


def test_two_points_at_once_share_a_directory(tmp_path, capsys):
    tables = HEAT | {"sweep": {"key": "time.step", "values": [0.004, 0.002]}}
    file, out = written(tmp_path, tables), tmp_path / "out"
    processes = [
        begun(file, "--out", out, "--point", "1", "--ranks", "2"),
        begun(file, "--out", out, "--point", "2"),
    ]
    for process in processes:
        told, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert "steps      " in told
    assert not (out / "sweep.csv").exists()
    ranks = [json.loads(path.read_text())["ranks"] for path in sorted(out.rglob("summary.json"))]
    assert sorted(ranks) == [1, 2]
    assert main(["sweep", str(file), "--out", str(out), "--point", "2"]) == 0
    assert "point 2 has come to its end before" in capsys.readouterr().out
    assert main(["sweep", str(file), "--out", str(out)]) == 0
    assert "2 of 2 points have ended before" in capsys.readouterr().out
    rows = rows_of(out)
    assert list(rows[0])[:5] == ["value", "rate", "steady_energy", "minimal_quotient", "completed"]
    assert column(rows, "value").tolist() == [0.004, 0.002]
    assert column(rows, "completed").tolist() == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--point", "3"], "--point 3 is no point of the sweep, which has 1 to 2"),
        (["--point", "1", "--jobs", "2"], "--jobs does not go with --point"),
        (["--jobs", "0"], "--jobs"),
        (["--set", "time.step=-1"], r"\[time\] step = -1 must be greater than 0"),
        (["--set", "sweep.values=[]"], r"\[sweep\] values = \[\] must not be empty"),
        (["--walltime", "soon"], "--walltime soon is no time"),
        (["--point", "1", "--set", "initial.rho=-1"], "The initial rho is negative"),
        (["--set", "initial.rho=-1", "--set", "sweep.values=[0.004]"], "The initial rho is negative"),
    ],
)
def test_bad_input_leaves_nothing(tmp_path, capsys, arguments, sentence):
    file = written(tmp_path, HEAT | {"sweep": {"key": "time.step", "values": [0.004, 0.002]}})
    code = main(["sweep", str(file), "--out", str(tmp_path / "out"), *arguments])
    assert code == 2
    assert re.search(sentence, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_directories_of_other_files_are_left_alone(tmp_path, capsys):
    tables = HEAT | {"sweep": {"key": "time.step", "values": [0.004, 0.002]}}
    file = written(tmp_path, tables)
    text = "# my run file\n" + file.read_text()
    file.write_text(text)
    assert main(["sweep", str(file), "--out", str(tmp_path), "--overwrite"]) == 2
    assert "has files and no points of a sweep; choose another --out" in capsys.readouterr().err
    assert file.read_text() == text and list(tmp_path.iterdir()) == [file]
    file.rename(tmp_path / "other.toml")
    assert main(["sweep", str(tmp_path / "other.toml"), "--out", str(tmp_path)]) == 2
    assert "it has files and no run.toml" in capsys.readouterr().err
    (tmp_path / "plain.toml").write_text(dump(from_dict(HEAT)))
    assert main(["sweep", str(tmp_path / "plain.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "The run file has no [sweep]" in capsys.readouterr().err


@pytest.mark.parallel
def test_a_point_on_these_ranks(shared_tmp_path):
    config = from_dict(HEAT | {"sweep": {"keys": {"mesh.cells": [8, 12], "time.step": [0.002, 0.01]}}})
    out = shared_tmp_path / "out"
    outcomes = run_point(config, out, 4, comm=COMM)
    summary = outcomes.runs[0].summary
    assert (summary["steps"], summary["cells"], summary["ranks"]) == (2, 12, COMM.size)
    assert outcomes.runs[0].directory == out / "compare" / "cells = 12, step = 0.01"
    assert run_point(config, out, 4, comm=COMM) is None
    assert run_point(config, out, 4, overwrite=True, comm=COMM).runs[0].summary["steps"] == 2
    with pytest.raises(InputError, match="--point 5 is no point of the sweep, which has 1 to 4"):
        run_point(config, out, 5, comm=COMM)
    # A place that another process holds is refused on all ranks.
    handle = hold(outcomes.runs[0].directory) if COMM.rank == 0 else None
    COMM.Barrier()
    with pytest.raises(
        InputError, match=r"Another process runs in .*step = 0\.01; call again when it has ended"
    ):
        run_point(config, out, 4, overwrite=True, comm=COMM)
    if handle is not None:
        os.close(handle)
    COMM.Barrier()
