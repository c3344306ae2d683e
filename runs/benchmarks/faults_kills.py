"""Runs that are killed at random instants, again and again, until they have come to their end."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from faults_runs import EVERY, Case, begin, checkpoints, command, differences, latest

from fem_models.core.errors import InputError
from fem_models.results import layout
from fem_models.results.fields import written

PHASES = ("start", "step", "fields", "rows", "checkpoint", "end")
# Of the kills, those that fall in the start of a process; and the most that one run takes.
_STARTS, _MOST = 0.15, 4
_LOOK = 2e-3

_Files = dict[Path, int]


class Kills:
    """Kills of the runs of one model.

    Args:
        case: The model.
        place: A directory that is not there.
        rng: Draws the instants.

    Attributes:
        phases: How many fell where.
        anew: Runs that had no checkpoint yet and were begun again.
        ends: Runs that came to their end.
        lost: Sentences about checkpoints that were not there, or from which a run did not go on.
        different: Runs that came to another end than the run that nothing happened to.
    """

    def __init__(self, case: Case, place: Path, rng: random.Random) -> None:
        self._case, self._place, self._rng = case, place, rng
        self._start = 1.0
        self.phases: Counter[str] = Counter()
        self.anew = self.ends = 0
        self.lost: list[str] = []
        self.different: list[str] = []

    def campaign(self, kills: int) -> None:
        """Kill runs, and let each of them come to its end.

        Args:
            kills: How many, at least.
        """
        while self.phases.total() < kills:
            shutil.rmtree(self._place, ignore_errors=True)
            for _ in range(self._rng.randint(1, _MOST)):
                if self.phases.total() < kills and not self._killed():
                    break
            self._end()

    def _words(self) -> list[str]:
        if checkpoints(self._place):
            return command("resume", self._place)
        again = ["--overwrite"] if self._place.exists() else []
        return command("run", self._case.file, "--out", self._place, *again)

    def _killed(self) -> bool:
        """Start the run, or go on with it, and kill it; whether it had not ended before."""
        before, known = _files(self._place), latest(self._place)
        self.anew += self._place.exists() and known is None
        process = begin(self._words())
        self._wait(process, before, known or 0)
        running = process.poll() is None
        if running:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if running:
            self.phases[_phase(self._place, before)] += 1
            self._check(known)
        return running

    def _wait(self, process: subprocess.Popen[bytes], before: _Files, known: int) -> None:
        """Wait for an instant in the start of a process, or in a step that is to come."""
        begun = time.monotonic()
        if self._rng.random() < _STARTS:
            time.sleep(self._rng.uniform(0.0, self._start))
            return
        while process.poll() is None and not _is_open(self._place, before):
            time.sleep(_LOOK)
        self._start = time.monotonic() - begun
        step = self._rng.randint(known, self._case.steps)
        while process.poll() is None and _last_step(self._place) < step:
            time.sleep(_LOOK)
        time.sleep(self._rng.uniform(0.0, self._case.seconds / self._case.steps))

    def _check(self, known: int | None) -> None:
        """Check that no checkpoint is lost that had been kept: the rows of a later step tell that."""
        promised = max(_last_step(self._place) - 1, 0) // EVERY * EVERY
        found = latest(self._place)
        if max(promised, known or 0) > (found or 0):
            self.lost.append(f"{self._case.name}: the checkpoint of step {promised} is gone.")

    def _end(self) -> None:
        """Let the run come to its end, and compare."""
        if latest(self._place) is None:
            self.anew += 1
            shutil.rmtree(self._place, ignore_errors=True)
            wrong = self._case.run(self._place)
        elif (self._place / layout.SUMMARY).exists():
            wrong = differences(self._place, self._case.whole)
        else:
            wrong = self._case.ended(self._place)
        self.ends += 1
        if wrong:
            self.different.append(f"{self._case.name}: {wrong}")


def _files(place: Path) -> _Files:
    """The files of a run directory, with the times of their last change."""
    found = {}
    for folder, _, names in os.walk(place):
        for name in names:
            path = Path(folder, name)
            with suppress(FileNotFoundError):
                found[path] = path.stat().st_mtime_ns
    return found


def _last_step(place: Path) -> int:
    """The step of the last whole row of series.csv."""
    with suppress(FileNotFoundError):
        lines = (place / layout.SERIES).read_text(encoding="utf-8").splitlines(keepends=True)[1:]
        whole = [line for line in lines if line.endswith("\n")]
        return int(whole[-1].split(",")[0]) if whole else 0
    return 0


def _is_open(place: Path, before: _Files) -> bool:
    """Whether a process has begun to write rows."""
    series = place / layout.SERIES
    return before.get(series) != _files(place).get(series)


def _phase(place: Path, before: _Files) -> str:
    """What a process that was killed was doing, from the files that it has changed."""
    changed = {path for path, at in _files(place).items() if before.get(path) != at}
    if not _is_open(place, before):
        return "start"
    if place / layout.SUMMARY in changed or place / f".{layout.SUMMARY}.draft" in changed:
        return "end"
    if any(path.parent == layout.checkpoints(place) and path.name.startswith(".") for path in changed):
        return "checkpoint"
    listed: set[str] = set()
    with suppress(InputError):  # there is no list yet
        listed = {name.removesuffix(".pvtu") for _, name in written(place / layout.FIELDS)}
    pieces = {path for path in changed if path.suffix == ".vtu"}
    if (
        any(path.stem.replace("_p0_", "") not in listed for path in pieces)
        or place / f".{layout.FIELDS}.draft" in changed
    ):
        return "fields"
    step = _last_step(place)
    return "rows" if step % EVERY == 0 and step > (latest(place) or 0) else "step"
