"""Job scripts that run: the loop without a scheduler, and when a script goes on by itself."""

import os
import re
import subprocess

import pytest
from job_runs import RUN_FILE, SLOW_FILE, rows, same_run, stand_in, summary, turns, until

from fem_models.cli import main

SUBMIT = ["submit", "long.toml", "--ranks", "1", "--out", "out", "--cluster"]

# Plays fem-models: takes what happens from a plan, an entry for each call that runs: how the run stops, the
# code, and whether a step was taken.
PLAYED = """
import json, sys
from pathlib import Path
with open("calls", "a") as file:
    file.write(" ".join(sys.argv[1:3]) + "\\n")
if sys.argv[1] == "compile":
    raise SystemExit(int(Path("compiles").read_text()) if Path("compiles").exists() else 0)
first, *rest = Path("plan").read_text().split()
Path("plan").write_text(" ".join(rest))
reason, code, steps = first.split(":")
checkpoints = Path("out/checkpoint")
checkpoints.mkdir(parents=True, exist_ok=True)
if int(steps):
    (checkpoints / f"step_00000000{len(rest)}.ckpt").touch()
Path("out/summary.json").write_text(json.dumps({"stop_reason": reason}, indent=2))
raise SystemExit(int(code))
"""
PROFILES = {
    "none": 'scheduler = "none"',
    "slurm": 'scheduler = "slurm"\nagain = "submit"',
    "requeue": 'scheduler = "slurm"',
    "pbs": 'scheduler = "pbs"',
}
# Plays a scheduler that starts a job when it is submitted.
QUEUE = """
import subprocess, sys
from pathlib import Path
number = Path("count").stat().st_size + 1 if Path("count").exists() else 1
with open("count", "a") as file:
    file.write("x")
print(number, flush=True)
subprocess.Popen(["bash", sys.argv[-1]], stdout=open("printed", "a"), stderr=subprocess.STDOUT)
"""
# Plays `scontrol requeue`: the job ends, and begins anew.
REQUEUE = """
import os
os.execvp("bash", ["bash", "out/job/job.sh"])
"""


def calls(folder, plan, scheduler, done):
    """What fem-models is called for by a script, where a plan says how each call ends."""
    stand_in(folder, "fem-models", PLAYED)
    for name in ("sbatch", "qsub"):
        stand_in(folder, name, QUEUE)
    stand_in(folder, "scontrol", REQUEUE)
    (folder / "plan").write_text(plan)
    activate = f"""activate = ['export PATH="{folder}:$PATH"']"""
    (folder / "mine.toml").write_text(f'{PROFILES[scheduler]}\nlauncher = "env"\n{activate}\n')
    assert main([*SUBMIT, "mine.toml", "--walltime", "60"]) == 0
    script, log = folder / "out" / "job" / "job.sh", folder / "calls"

    def over():
        found = log.read_text().splitlines() if log.exists() else []
        busy = subprocess.run(["pgrep", "-f", f"bash.*{script}"], capture_output=True, check=False)
        return found if len(found) >= done and busy.returncode else None

    return [line.split()[0] for line in until(over, 20)]


@pytest.mark.parametrize("scheduler", PROFILES)
def test_a_run_goes_on_until_it_is_done(scheduler, folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    plan = "walltime:0:1 walltime:0:1 end:0:1"
    assert calls(folder, plan, scheduler, 4) == ["compile", "run", "resume", "resume"]
    numbers = (folder / "out" / "job" / "numbers").read_text().split()
    assert len(numbers) == {"none": 1, "requeue": 1, "slurm": 3, "pbs": 3}[scheduler]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        # It fails, is interrupted, or takes no step any more.
        ("failed:3:1 end:0:1", ["run"]),
        ("walltime:0:1 interrupted:143:1 end:0:1", ["run", "resume"]),
        ("walltime:0:1 walltime:0:0 end:0:1", ["run", "resume"]),
    ],
)
def test_a_run_that_fails_is_interrupted_or_is_stuck_does_not_go_on(plan, expected, folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    assert calls(folder, plan, "none", 1 + len(expected)) == ["compile", *expected]
    told = (folder / "out" / "job" / "output.txt").read_text()
    assert ("No step ended within 45 s, so the run does not go on" in told) == (":0:0" in plan)


def test_bad_input_found_while_compiling_ends_the_job(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    (folder / "compiles").write_text("2")
    assert calls(folder, "end:0:1", "none", 1) == ["compile"]


def test_the_loop_ends_with_the_numbers_of_a_run_without_interruption(folder, whole, capfd):
    (folder / "long.toml").write_text(SLOW_FILE)
    assert main([*SUBMIT, "local", "--walltime", "1"]) == 0
    number = re.match(r"process (\d+) runs long in out", capfd.readouterr().out)[1]
    out = folder / "out"
    until(lambda: len(rows(out)) > 1)
    assert main(["status", "out"]) == 0
    words = capfd.readouterr().out.splitlines()[1].split()
    assert words[:2] == ["out", "running"] and words[-1] == number
    until(lambda: summary(out).get("stop_reason") == "end")
    assert same_run(out, whole)
    assert turns(out) > 1
    until(lambda: main(["status", "out"]) == 0 and " ended " in capfd.readouterr().out)


def test_a_loop_that_is_ended_by_a_signal_leaves_a_checkpoint(folder, capfd):
    (folder / "long.toml").write_text(RUN_FILE.replace("6\n", "5000\n").replace("[6]", "[5000]"))
    assert main([*SUBMIT, "local", "--walltime", "60", "--ranks", "2"]) == 0
    number = int(capfd.readouterr().out.split()[1])
    out = folder / "out"
    until(lambda: len(rows(out)) > 5)
    os.kill(number, 15)
    until(lambda: summary(out).get("stop_reason"))
    assert summary(out)["stop_reason"] == "interrupted"
    [*_, last] = sorted((out / "checkpoint").iterdir())
    assert int(last.stem.removeprefix("step_")) == summary(out)["steps"]
    until(lambda: main(["status", "out"]) == 0 and "interrupted" in capfd.readouterr().out)
