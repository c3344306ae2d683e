"""Folders to submit from, and a run without interruption."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from job_runs import ROOT, RUN_FILE, SLOW_FILE
from mpi4py import MPI

from fem_models.config.io import load
from fem_models.run.runner import run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the current folder: it has a run file, the profiles of this project, and a space in its name."""
    place = tmp_path / "my runs"
    place.mkdir()
    monkeypatch.chdir(place)
    (place / "long.toml").write_text(RUN_FILE)
    (place / "runs").mkdir()
    (place / "runs" / "cluster").symlink_to(ROOT / "runs" / "cluster")
    # Ranks that wait let the others work, where there are more of them than cores.
    monkeypatch.setenv("MPIR_CVAR_CH4_PROGRESS_THROTTLE", "1")
    yield place
    # A loop that a test has left.
    for path in place.rglob("job/numbers"):
        for number in path.read_text().split():
            with suppress(OSError, ValueError):
                if b"job.sh" in Path(f"/proc/{number}/cmdline").read_bytes():
                    os.kill(int(number), signal.SIGTERM)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Return the directory of the run of large steps without interruption."""
    place = tmp_path_factory.mktemp("whole")
    (place / "long.toml").write_text(SLOW_FILE)
    run(load(place / "long.toml"), place / "out", comm=MPI.COMM_SELF)
    return place / "out"
