"""Ranks of a run under mpiexec that are killed or fail alone; as a script, one of these ranks.

mpiexec -n 3 python runs/benchmarks/faults_ranks.py WHAT NOTES run FILE --out DIR
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import common
import numpy as np
from faults_files import Finding
from faults_runs import EVERY, Case, command, latest
from mpi4py import MPI

from fem_models.cli import main
from fem_models.core.errors import InputError, SolveError
from fem_models.results import layout
from fem_models.schemes.backward_euler import BackwardEuler

# The step in which something happens, and on which rank.
_STEP, _RANK = 5 * EVERY + 1, 1
# Seconds within which the job must be over, and after which it is given up.
_SOON, _NEVER = 15.0, 60.0
# Of the numbers on other ranks.
_CLOSE = 1e-10

WHAT = {
    "killed": "a rank is killed",
    "raises": "a rank raises an exception",
    "input": "a rank alone finds the input bad",
    "solve": "a step fails on one rank alone",
}
"""What happens to a rank."""


def fail(what: str) -> None:
    """Let something happen to this rank."""
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    kinds: dict[str, type[Exception]] = {"raises": ValueError, "input": InputError, "solve": SolveError}
    raise kinds[what](f"This rank was made to fail ({what}).")


def work(what: str, notes: Path, arguments: list[str]) -> int:
    """Run fem-models on a rank to which something happens. The ranks leave their process numbers as notes.

    Args:
        what: In WHAT.
        notes: A directory for the notes.
        arguments: Of fem-models.

    Returns:
        The exit code.
    """
    (notes / f"{os.getpid()}").touch()
    usual, numbers = BackwardEuler.step, iter(range(1, 10**9))

    def step(scheme: Any, *rest: Any) -> Any:
        if next(numbers) == _STEP and MPI.COMM_WORLD.rank == _RANK:
            (notes / "now").touch()
            fail(what)
        return usual(scheme, *rest)

    with patch.object(BackwardEuler, "step", step):
        return main(arguments)


def ranks_fault(what: str, case: Case, place: Path, ranks: int) -> Finding:
    """Let something happen to one of several ranks, and go on with the run on two.

    Args:
        what: In WHAT.
        case: A model that takes steps of backward Euler.
        place: A directory that is not there.
        ranks: How many.

    Returns:
        What came of it.
    """
    place.mkdir()
    notes, out = place / "notes", place / "run"
    notes.mkdir()
    words = [sys.executable, __file__, what, str(notes), "run", str(case.file), "--out", str(out)]
    code, errors = _ended([common.mpiexec(), "-n", f"{ranks}", *words])
    seconds = time.time() - (notes / "now").stat().st_mtime
    time.sleep(0.5)
    alive = [pid for pid in notes.iterdir() if pid.name.isdigit() and Path("/proc", pid.name, "exe").exists()]
    kept = latest(out)
    again, _ = _ended([common.mpiexec(), "-n", "2", *command("resume", out)])
    wrong = _gap(out, case.whole) if again == 0 else float("inf")
    good = code not in (0, None) and seconds < _SOON and not alive and kept == _STEP - 1 and wrong < _CLOSE
    found = f"exit {code} after {seconds:.1f} s, {len(alive)} ranks left; checkpoint {kept}; {wrong:.0e} off"
    told = {"killed": True}.get(what, "was made to fail" in errors)
    expected = f"the job ends with an error within {_SOON:g} s; goes on on 2 ranks, up to {_CLOSE:g}"
    return Finding(f"{WHAT[what]}, of {ranks}", expected, found, good and told)


def _ended(words: list[str]) -> tuple[int | None, str]:
    """The exit code of a command and what it says; None where it does not end."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_NEVER, check=False)
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stderr


def _gap(directory: Path, expected: Path) -> float:
    """The largest difference in series.csv, relative to the largest number of its column."""
    one, two = (
        np.genfromtxt(path / layout.SERIES, delimiter=",", names=True) for path in (directory, expected)
    )
    if len(one) != len(two):
        return float("inf")
    # The counts of iterations depend on the ranks.
    names = [name for name in one.dtype.names if name not in ("newton", "linear")]
    return max(
        float(np.abs(one[name] - two[name]).max() / (np.abs(two[name]).max() + 1e-300)) for name in names
    )


if __name__ == "__main__":
    sys.exit(work(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
