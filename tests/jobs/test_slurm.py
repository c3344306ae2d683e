"""Runs under a real SLURM: the wall time, the queue, a run that is cancelled, an array over a sweep.

Starting it takes a second. A job that goes back to the queue waits there for six seconds, and a process of
ours takes two to begin: that is most of the time of these tests.
"""

import re

import pytest
from job_runs import RUN_FILE, SLOW_FILE, rows, same_run, summary, turns, until
from mpi4py import MPI
from slurm_cluster import NoSlurm, Slurm

from fem_models.cli import main
from fem_models.config.io import load
from fem_models.run.runner import run

SWEEP = """
[sweep]
key = "system.m"
values = [2, 3]
"""


@pytest.fixture(scope="module")
def slurm():
    """Return a cluster of one node, which is stopped in the end."""
    try:
        cluster = Slurm()
    except NoSlurm as reason:
        pytest.skip(str(reason))
    yield cluster
    cluster.stop()


@pytest.fixture
def submit(slurm, folder, monkeypatch, capfd):
    """Return what submits the run to the cluster and returns the number of the job."""
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])

    def do(*options):
        # Of an option that is given twice, the latter counts.
        assert main(["submit", "long.toml", "--out", "out", "--cluster", "slurm", *options]) == 0
        return re.match(r"job (\d+) runs long in out", capfd.readouterr().out)[1]

    return do


@pytest.fixture
def state(capfd):
    """Return what tells the words of `fem-models status`."""

    def tell(directory="out"):
        assert main(["status", directory]) == 0
        return capfd.readouterr().out.splitlines()[1].split()

    return tell


def printed(folder):
    return "\n".join(path.read_text() for path in sorted((folder / "out" / "job").glob("output-*.txt")))


def test_a_run_goes_on_beyond_its_wall_time_to_the_same_numbers(slurm, folder, whole, submit, state):
    (folder / "long.toml").write_text(SLOW_FILE)
    number = submit("--ranks", "1", "--walltime", "1")
    seen = {}

    def done():
        words = state()
        seen[words[1]] = words
        return words[1] == "ended"

    until(done)
    assert same_run(folder / "out", whole), printed(folder)
    assert {"waiting", "running", "ended"} <= set(seen) <= {"waiting", "running", "ended", "walltime"}
    assert seen["running"][-1] == number
    assert slurm.restarts(number) == turns(folder / "out") - 1 > 0


def test_a_run_that_is_cancelled_leaves_a_checkpoint(slurm, folder, submit, state):
    (folder / "long.toml").write_text(RUN_FILE.replace("6\n", "5000\n").replace("[6]", "[5000]"))
    # Its ranks get the signal twice, from SLURM and from mpiexec, which gets it as well.
    profile = 'scheduler = "slurm"\nlauncher = "mpiexec -n {ranks}"\n'
    (folder / "mine.toml").write_text(profile)
    number = submit("--ranks", "2", "--walltime", "10:00", "--cluster", "mine.toml")
    out = folder / "out"
    until(lambda: len(rows(out)) > 5)
    words = state()
    assert words[:2] == ["out", "running"] and words[-1] == number
    assert "time left" in (out / "log.txt").read_text() or words[7] != "-"
    slurm.call("scancel", number)
    until(lambda: summary(out).get("stop_reason"))
    found = summary(out)
    assert (found["stop_reason"], found["ranks"]) == ("interrupted", 2)
    [*_, last] = sorted((out / "checkpoint").iterdir())
    assert int(last.stem.removeprefix("step_")) == found["steps"] == len(rows(out)) - 2
    until(lambda: slurm.call("squeue", "--noheader") == "")
    assert state()[1] == "interrupted"


def test_the_points_of_a_sweep_are_tasks_of_an_array(slurm, folder, submit, state):
    (folder / "long.toml").write_text(RUN_FILE.replace("6\n", "0.1\n").replace("[6]", "[0.1]") + SWEEP)
    number = submit("--ranks", "1", "--walltime", "60", "--array")
    assert state()[:4] == ["out/compare/m", "=", "2", "waiting"]
    points = [folder / "out" / "compare" / f"m = {m}" for m in (2, 3)]
    until(lambda: state()[3] == "ended")
    until(lambda: all(summary(point).get("stop_reason") == "end" for point in points))
    assert [summary(point)["steps"] for point in points] == [20, 20], printed(folder)
    assert len(list((folder / "out" / "job").glob(f"output-{number}_?.txt"))) == 2
    # The points have the numbers of runs by themselves.
    for point, m in zip(points, (2, 3), strict=True):
        (folder / "one.toml").write_text(RUN_FILE.replace("6\n", "0.1\n").replace("[6]", "[0.1]"))
        run(load("one.toml", [f"system.m={m}"]), folder / f"m{m}", comm=MPI.COMM_SELF)
        assert rows(point) == rows(folder / f"m{m}")
    until(lambda: slurm.call("squeue", "--noheader") == "")
