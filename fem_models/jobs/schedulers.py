"""Schedulers, asked through their own commands: submitting a script, and where jobs stand."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from fem_models.core.errors import InputError
from fem_models.jobs.record import SchedulerName

type JobState = Literal["waiting", "running", "gone"]

_SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "none": "bash"}
# Seconds after which a scheduler that does not answer is not asked further.
_PATIENCE = 10.0
_WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_GONE = {
    *("CANCELLED", "COMPLETED", "FAILED", "TIMEOUT", "DEADLINE", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL"),
    *("PREEMPTED", "REVOKED"),
}
_PBS_STATES: Mapping[str, JobState] = {"Q": "waiting", "H": "waiting", "W": "waiting", "T": "waiting"}


def check_there(scheduler: SchedulerName, cluster: str) -> None:
    """Check that jobs can be submitted from here.

    Args:
        scheduler: Who starts them.
        cluster: The profile, for the message.

    Raises:
        InputError: Its command is not here.
    """
    command = _SUBMIT[scheduler]
    if shutil.which(command) is None:
        raise InputError(
            f"{command}, which the profile {cluster} submits with, is not on this machine: submit from a "
            "login node of the cluster, or take another --cluster; --dry-run prints the script anywhere."
        )


def submit(
    scheduler: SchedulerName, script: Path, output: Path, points: int | None = None, after: str | None = None
) -> str:
    """Submit a script.

    Args:
        scheduler: Who starts it.
        script: The script.
        output: Where its output goes, if it is started here and now.
        points: Number of tasks of a job array, which a script for PBS cannot say itself.
        after: The number of a job that must end well before this one begins.

    Returns:
        The number of the job; without a scheduler, that of the process.

    Raises:
        InputError: The scheduler refuses.
    """
    if scheduler == "none":
        with output.open("ab") as file:
            # A session of its own: it goes on when the terminal is closed.
            process = subprocess.Popen(
                ["bash", str(script)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return str(process.pid)
    options: list[str] = []
    if scheduler == "slurm":
        options += ["--parsable"]
        options += [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"] if after else []
    else:
        options += ["-J", f"1-{points}"] if points else []
        options += ["-W", f"depend=afterok:{after}"] if after else []
    command = [_SUBMIT[scheduler], *options, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # SLURM adds the name of the cluster where there are several.
    number = done.stdout.strip().partition(";")[0]
    if done.returncode != 0 or not number:
        told = " ".join((done.stderr or done.stdout).split()).rstrip(".") or "it says nothing"
        raise InputError(f"{_SUBMIT[scheduler]} refuses the job: {told}.")
    return number


def states(scheduler: SchedulerName, numbers: Sequence[str], host: str, script: Path) -> dict[str, JobState]:
    """Where jobs stand.

    Args:
        scheduler: Who started them.
        numbers: What it calls them.
        host: Where they were submitted.
        script: What they run.

    Returns:
        The states by number; of an array, running if one of its tasks is. Jobs of which nothing can be known
        from here are not in it.
    """
    if not numbers:
        return {}
    if scheduler == "none":
        return _processes(numbers, script) if host == socket.gethostname() else {}
    return _slurm(numbers) if scheduler == "slurm" else _pbs(numbers)


def _processes(numbers: Sequence[str], script: Path) -> dict[str, JobState]:
    """Processes; a number that has been given to another one is gone."""

    def runs(number: str) -> bool:
        try:
            words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
            return os.fsencode(script) in words
        except OSError:
            return False

    return {number: "running" if runs(number) else "gone" for number in numbers}


def _ask(*command: str) -> tuple[int, str] | None:
    """The code and the output of a command; None where it cannot be had."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.returncode, done.stdout + done.stderr


def _slurm(numbers: Sequence[str]) -> dict[str, JobState]:
    answer = _ask("squeue", "--noheader", f"--jobs={','.join(numbers)}", "--states=all", "--format=%F %T")
    # It refuses a single number that it has forgotten, and leaves out such numbers beside others.
    if answer is None or (answer[0] != 0 and "Invalid job id" not in answer[1]):
        return {}
    found: dict[str, JobState] = dict.fromkeys(numbers, "gone")
    for line in answer[1].splitlines() if answer[0] == 0 else ():
        number, state = line.split()[:2]
        if state in _GONE or found.get(number) in (None, "running"):
            continue
        found[number] = "waiting" if state in _WAITING else "running"
    return found


def _pbs(numbers: Sequence[str]) -> dict[str, JobState]:
    found: dict[str, JobState] = {}
    for number in numbers:
        answer = _ask("qstat", number)
        if answer is None:
            continue
        code, text = answer
        row = re.search(rf"^{re.escape(number.partition('.')[0])}\b.*$", text, re.MULTILINE)
        if code != 0 or row is None:
            # It forgets jobs that have ended; any other refusal says nothing of the job.
            if re.search(r"Unknown Job|has finished|Unknown job", text):
                found[number] = "gone"
            continue
        # Job id, name, user, time used, state, queue.
        letter = row[0].split()[4]
        found[number] = "gone" if letter in "CFX" else _PBS_STATES.get(letter, "running")
    return found
