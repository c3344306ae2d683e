"""Where runs stand, by their files alone: without DOLFINx and without MPI."""

import json
import os
import re
import resource
import subprocess
import sys
import time

import pytest
from job_runs import RUN_FILE, until

from fem_models.cli import main
from fem_models.config.io import dump, load
from fem_models.core.errors import InputError
from fem_models.jobs.record import JobRecord, add_number, write_record
from fem_models.jobs.status import look

NOWHERE = """
import sys
for name in ("dolfinx", "mpi4py", "petsc4py", "dolfinx_solver", "numpy"):
    sys.modules[name] = None
from fem_models.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


def made(folder, name="out", reached=4.0, reason=None, age=0.0, went_on=None, checkpoint=True):
    """A run directory as a run of ten minutes leaves it: written `age` seconds ago."""
    out = folder / name
    (out / "checkpoint").mkdir(parents=True)
    (out / "run.toml").write_text(dump(load(folder / "long.toml")))
    rows = [f"{k},{0.005 * k},0.005,1.0" for k in range(round(reached / 0.005) + 1)]
    # The last row is being written.
    (out / "series.csv").write_text("\n".join(["step,time,dt,energy", *rows]) + "\n801,4.0")
    (out / "log.txt").write_text(
        "" if went_on is None else f"2026-01-01 00:00:00 INFO going on from t = {went_on}, step 400\n"
    )
    if checkpoint:
        (out / "checkpoint" / "step_000000800.ckpt").touch()
    if reason is not None:
        (out / "summary.json").write_text(json.dumps({"stop_reason": reason}))
    now = time.time()
    for path in out.rglob("*"):
        os.utime(path, (now - age, now - age))
    os.utime(out / "run.toml", (now - age - 600, now - age - 600))
    return out


def with_job(out, number):
    """The same, submitted as a process of this machine."""
    (out / "job").mkdir()
    write_record(out, JobRecord("local", "none", os.uname().nodename, 1, 60.0))
    add_number(out, number)
    return out


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("end", "ended"),
        ("steady", "steady"),
        ("failed", "failed"),
        ("walltime", "walltime"),
        ("interrupted", "interrupted"),
    ],
)
def test_a_run_that_has_stopped(folder, reason, state):
    [found] = look([made(folder, reason=reason, age=9999.0)])
    assert (found.state, found.time, found.end, found.steps) == (state, 4.0, 6.0, 800)
    assert ("`fem-models resume" in found.note) == (reason in ("walltime", "interrupted"))
    assert ("log.txt says why" in found.note) == (reason == "failed")
    assert found.left is None


def test_a_run_that_is_running_says_how_long_it_will_take(folder):
    [found] = look([made(folder)])
    assert found.state == "running"
    # Ten minutes for t = 4, of 6.
    assert found.left == pytest.approx(300.0, rel=1e-3)
    assert found.last_write == pytest.approx(time.time(), abs=5.0)
    [found] = look([made(folder, "again", went_on=2.0)])
    assert found.left == pytest.approx(600.0, rel=1e-3)


def test_a_run_whose_files_are_silent_is_dead(folder):
    assert look([made(folder, "a", age=500.0)])[0].state == "running"
    [dead] = look([made(folder, "b", age=700.0)])
    assert dead.state == "dead"
    assert dead.note == (
        "It stopped without summary (no file has changed for 11 min 40 s): `fem-models resume "
        f"{folder / 'b'}` goes on."
    )
    # Where its job is gone, that is known sooner.
    [dead] = look([with_job(made(folder, "c", age=100.0), "999999999")])
    assert (dead.state, dead.job) == ("dead", "999999999")
    assert "its job is gone" in dead.note
    assert look([with_job(made(folder, "d", age=50.0), "999999999")])[0].state == "running"
    [dead] = look([made(folder, "e", age=700.0, checkpoint=False)])
    assert dead.note.endswith("and without checkpoint: run it again.")


def test_a_job_says_more_than_files(folder):
    # A process of this machine that has the script among its words.
    out = made(folder, age=9999.0, reason="walltime")
    script = out / "job" / "job.sh"
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", script])
    try:
        with_job(out, str(process.pid))
        until(lambda: look([out])[0].state == "running", 10)
        assert look([out])[0].job == str(process.pid)
    finally:
        process.kill()
        process.wait()
    assert look([out])[0].state == "walltime"


def test_variants_follow_their_run_and_folders_are_looked_into(folder):
    out = made(folder, reason="end")
    (out / "long.toml").write_text(RUN_FILE)
    made(out, "compare/m = 3")
    names = [entry.directory.name for entry in look([folder])]
    assert names == ["out", "m = 3"]
    with pytest.raises(InputError, match=r"runs is not a run directory, and there is none in it\.$"):
        look([folder / "runs"])
    with pytest.raises(InputError, match=r"nowhere is not a directory; give a run directory"):
        look([folder / "nowhere"])


def test_a_login_node_has_the_table_within_a_second(folder):
    made(folder, reason="walltime", age=120.0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", NOWHERE, "status", "out"], capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    head, row, note = done.stdout.splitlines()
    assert head.split() == ["run", "state", "time", "steps", "last", "write", "time", "left", "job"]
    assert re.fullmatch(r"out +walltime +4 of 6 +800 +2 min \d\d s ago +- +-", row)
    assert note == "out: `fem-models resume out` goes on."
    # Of the processor's time: others may be at work here.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
    refused = subprocess.run(
        [sys.executable, "-c", NOWHERE, "status", "nowhere"], capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "nowhere is not a directory; give a run directory, or a folder of them.\n"


def test_scripts_have_it_as_json(folder, capfd):
    made(folder)
    assert main(["status", "out", "--json"]) == 0
    [entry] = json.loads(capfd.readouterr().out)
    assert (entry["directory"], entry["state"], entry["steps"], entry["end"]) == ("out", "running", 800, 6.0)
    assert entry["left"] == pytest.approx(300.0, rel=1e-3) and entry["job"] is None
