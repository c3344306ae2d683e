"""Faults of disks, of directories and of Newton's method, each in the middle of a run of this process."""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from faults_runs import EVERY, Case, after_checkpoint, checkpoints, here, latest

from fem_models.core.errors import SolveError
from fem_models.results import layout
from fem_models.run.step_control import AdaptiveSteps
from fem_models.schemes.backward_euler import BackwardEuler

# The step after whose checkpoint something happens.
_INSTANT = 5 * EVERY


@dataclass(frozen=True)
class Finding:
    """What came of a fault.

    Attributes:
        fault: What was done, and by which means.
        expected: What must come of it.
        found: What came of it.
        good: Whether that is what must.
    """

    fault: str
    expected: str
    found: str
    good: bool


Fault = Callable[[Case, Path], Finding]

_STOPS = "exit 3, a sentence; goes on to the same numbers"


def _stopped(fault: str, case: Case, out: Path, code: int, errors: str) -> Finding:
    """Judge a run that must have stopped with a sentence, and goes on with what stopped it gone."""
    kept = latest(out)
    sentence = errors.splitlines()[0] if errors else "no message"
    wrong = case.ended(out) if kept is not None else "no checkpoint"
    told = code == 3 and "Traceback" not in errors and sentence.endswith(".")
    found = (
        f"exit {code}: “{sentence.replace(str(out), 'DIR')}”; checkpoint {kept}, {wrong or 'same numbers'}"
    )
    return Finding(fault, _STOPS, found, told and not wrong)


def full_disk(case: Case, place: Path) -> Finding:
    """The disk is full: a small file system in memory, or a limit of the size of files."""
    place.mkdir()
    size = sum(path.stat().st_size for path in case.whole.rglob("*") if path.is_file())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size // 2}", "tmpfs", str(place)]
    if _does(*mount):
        try:
            code, errors = here("run", case.file, "--out", place / "run")
            _does("mount", "-o", f"remount,size={4 * size}", str(place))
            return _stopped(f"full disk (tmpfs of {size // 2048} kB)", case, place / "run", code, errors)
        finally:
            _does("umount", str(place))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit() -> None:
        # A checkpoint does not fit any more.
        size = checkpoints(place / "run")[-1].stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 4, usual[1]))

    try:
        with after_checkpoint(_INSTANT, limit):
            code, errors = here("run", case.file, "--out", place / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    return _stopped("full disk (a limit of the size of files)", case, place / "run", code, errors)


def unwritable(case: Case, place: Path) -> Finding:
    """Nothing can be written any more to the directory of the checkpoints."""
    folder = layout.checkpoints(place)
    means = [
        ("chmod", lambda: os.geteuid() != 0 and folder.chmod(0o500) is None, lambda: folder.chmod(0o700)),
        ("chattr +i", lambda: _does("chattr", "+i", str(folder)), lambda: _does("chattr", "-i", str(folder))),
        ("read-only mount", lambda: _read_only(folder), lambda: _does("umount", str(folder))),
    ]
    done: list[tuple[str, Callable[[], Any]]] = []

    def take_away() -> None:
        done.extend(islice(((name, undo) for name, do, undo in means if do()), 1))

    try:
        with after_checkpoint(_INSTANT, take_away):
            code, errors = here("run", case.file, "--out", place)
    finally:
        for _, undo in done:
            undo()
    if not done:
        fault = "unwritable checkpoints: left out, there are no means"
        return Finding(fault, "–", "root may write anywhere, and neither chattr nor mount work", True)
    return _stopped(f"unwritable checkpoints ({done[0][0]})", case, place, code, errors)


def vanished(case: Case, place: Path) -> Finding:
    """The run directory is removed."""
    with after_checkpoint(_INSTANT, lambda: shutil.rmtree(place)):
        code, errors = here("run", case.file, "--out", place)
    sentence = errors.splitlines()[0] if errors else "no message"
    left = "it is back" if place.exists() else "nothing is left"
    found = f"exit {code}: “{sentence.replace(str(place), 'DIR')}”; {left}"
    good = code == 3 and "gone" in sentence and not place.exists()
    return Finding("run directory removed", "exit 3, a sentence; nothing is left", found, good)


def few_iterations(case: Case, place: Path) -> Finding:
    """Newton's method may take fewer iterations than it needs."""
    code, errors = here("run", case.file, "--out", place, "--set", "solver.max_iterations=1")
    run_file = place / layout.RUN_FILE
    run_file.write_text(run_file.read_text().replace("max_iterations = 1\n", "max_iterations = 50\n"))
    return _stopped("Newton: one iteration at most", case, place, code, errors)


def failing_step(case: Case, place: Path) -> Finding:
    """A step of equal size fails."""
    with _failing(BackwardEuler, "step", lambda number: number == _INSTANT + 1):
        code, errors = here("run", case.file, "--out", place)
    return _stopped(f"Newton: step {_INSTANT + 1} fails", case, place, code, errors)


def failing_trials(case: Case, place: Path) -> Finding:
    """Of the steps that step control tries, every fifth fails."""
    with _failing(AdaptiveSteps, "_whole", lambda number: number % 5 == 0) as failed:
        code, _ = here("run", case.file, "--out", place)
    rows = {
        path: np.genfromtxt(path / layout.SERIES, delimiter=",", names=True) for path in (place, case.whole)
    }
    gap = abs(rows[place]["energy"][-1] / rows[case.whole]["energy"][-1] - 1.0)
    table = np.genfromtxt(place / layout.STEPS, delimiter=",", names=True)
    rejected = int(table["rejected_failed"].sum())
    found = (
        f"exit {code}: {rejected} of {len(failed)} rejected, {len(table)} steps, energy differs by {gap:.0e}"
    )
    good = code == 0 and rejected == len(failed) > 0 and gap < 1e-3
    expected = "exit 0: rejected and counted; the end as before, up to the tolerance"
    return Finding("Newton: every fifth trial of step control fails", expected, found, good)


@contextmanager
def _failing(kind: type, name: str, fails: Callable[[int], bool]) -> Iterator[list[int]]:
    """Let calls of a method fail, by their number; yields the numbers of those that did."""
    usual, calls, failed = getattr(kind, name), iter(range(1, 10**9)), []

    def step(scheme: Any, *rest: Any) -> Any:
        number = next(calls)
        if fails(number):
            failed.append(number)
            raise SolveError("Newton's method was made to fail.")
        return usual(scheme, *rest)

    with patch.object(kind, name, step):
        yield failed


def _read_only(folder: Path) -> bool:
    bound = _does("mount", "--bind", str(folder), str(folder))
    return bound and _does("mount", "-o", "remount,bind,ro", str(folder))


def _does(*words: str) -> bool:
    """Whether a command of the system works."""
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


FAULTS: tuple[tuple[Fault, str], ...] = (
    (few_iterations, "backward Euler"),
    (failing_step, "backward Euler"),
    (failing_trials, "BDF2, adaptive"),
    (full_disk, "backward Euler"),
    (unwritable, "backward Euler"),
    (vanished, "backward Euler"),
)
"""The faults, with the model of the run."""
