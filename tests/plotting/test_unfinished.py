"""Figures of runs that go on, or were stopped by force: what is there is drawn, and what is not is said."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_directories import write_run

import fem_models as fm
from fem_models.cli import main
from fem_models.plotting import drawn

SCRIPT = Path(sys.executable).with_name("fem-models")
RUN_FILE = """
mesh = { domain = "interval", cells = 400 }
system = { name = "fokker-planck", potential = "x" }
initial = { rho = "1 + x" }
time = { end = 1000, step = 0.01 }
checkpoint = { every_steps = 50 }
output = { fields_every = 20, steady = false, figures = ["density", "energy"] }
"""


def unfinished(directory, rows, fields=True):
    """A run without a summary, whose series ends where a text is cut off."""
    run = write_run(directory, 1, times=(0.0, 0.05))
    (run / "summary.json").unlink()
    lines = (run / "series.csv").read_text().splitlines(keepends=True)
    (run / "series.csv").write_text("".join(lines[: rows + 1]) + lines[rows + 1][:20])
    if not fields:
        (run / "fields.pvd").unlink()
    return run


def test_a_row_that_is_being_written_is_left_out(tmp_path, capsys):
    run = unfinished(tmp_path / "run", 4)
    assert list(fm.open_run(run).series["time"]) == [0.0, 0.005, 0.01, 0.015]
    assert main(["plot", str(run)]) == 0
    *figures, standing = capsys.readouterr().out.splitlines()
    assert figures == [str(run / "figures" / f"{name}.png") for name in ("density", "energy", "terms")]
    assert standing == "The run goes on, or was stopped by force: it has reached t = 0.015 of 1."


def test_what_is_not_there_yet_is_said(tmp_path, capsys):
    run = unfinished(tmp_path / "run", 1, fields=False)
    found = drawn(run)
    assert [path.stem for path in found.paths] == ["energy", "terms"]
    assert found.left_out == [f"{run / 'fields.pvd'} does not exist: the run has written no fields."]
    assert main(["plot", str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == found.left_out[0]
    assert len(fm.open_run(run).plot()) == 2


@pytest.mark.parametrize("series", [None, "", "step,time,dt", "step,time,dt,energy\n", "step,time\n0,0"])
def test_a_run_that_has_just_begun_has_nothing_to_draw(tmp_path, series, capsys):
    run = unfinished(tmp_path / "run", 1, fields=False)
    (run / "series.csv").unlink() if series is None else (run / "series.csv").write_text(series)
    assert main(["plot", str(run)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "written no fields" in said
    assert "begun" in fm.open_run(run)._data.standing


def test_a_run_is_looked_at_while_it_goes_on_and_after_it_was_killed(tmp_path, capsys):
    (tmp_path / "run.toml").write_text(RUN_FILE)
    run = tmp_path / "out"
    process = subprocess.Popen(
        [str(SCRIPT), "run", str(tmp_path / "run.toml"), "--out", str(run)], stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not (run / "fields.pvd").exists() or len((run / "fields.pvd").read_text().splitlines()) < 7:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        assert main(["plot", str(run)]) == 0
        assert main(["report", str(run)]) == 0
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    out = capsys.readouterr().out
    assert "The run goes on, or was stopped by force" in out
    assert "The run goes on, or was stopped by force" in (run / "report.html").read_text()
    assert main(["plot", str(run)]) == 0
    series = fm.open_run(run).series
    assert f"it has reached t = {series['time'][-1]:.6g} of 1000." in capsys.readouterr().out
