"""A whole sweep: every point as a process of its own, several at a time, then the table and the pictures."""

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from fem_models.config import io as config_io
from fem_models.config.run_file import RunConfig
from fem_models.core.errors import InputError
from fem_models.core.files import write_text
from fem_models.results import layout
from fem_models.results.sweeps import ENDED, Point, summary_of
from fem_models.run.points import (
    check_directory,
    hold,
    other_run_file,
    points,
    run_file_of,
    same_numbers,
    state_of,
)
from fem_models.run.progress import duration
from fem_models.run.runner import Draw, drawn
from fem_models.run.sweep import conclude
from fem_models.run.sweep_progress import SweepProgress

if TYPE_CHECKING:
    from rich.console import Console

# Seconds between looks at the processes.
_PAUSE = 0.1
# Of the end of series.csv, in bytes: more than its last row.
_TAIL = 8192
# The exit code of a point whose input is wrong.
_BAD_INPUT = 2
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@dataclass(frozen=True)
class Ended:
    """What became of a point.

    Attributes:
        point: The point.
        how: "ended" at its end or at rest; "stopped" before, or not begun; "failed".
        report: Why it failed; else empty.
        is_refused: Whether it failed because its input is wrong, so that it left nothing behind.
    """

    point: Point
    how: Literal["ended", "stopped", "failed"]
    report: str = ""
    is_refused: bool = False


@dataclass(frozen=True)
class Swept:
    """What came of a sweep.

    Attributes:
        points: All points.
        figures: The pictures.
        note: Why there are no pictures, where they could not be drawn.
        signal: The number of the signal that stopped it, else 0.
    """

    points: Sequence[Ended]
    figures: Sequence[Path]
    note: str | None
    signal: int

    def those(self, how: str) -> list[Ended]:
        """The points of which one thing became.

        Args:
            how: As in `Ended`.

        Returns:
            The points.
        """
        return [found for found in self.points if found.how == how]


@dataclass
class _Child:
    """A point that runs."""

    point: Point
    config: RunConfig
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    begin: float = field(default_factory=time.monotonic)

    @property
    def has_stepped(self) -> bool:
        """Whether its forms are compiled, which the first step needs."""
        return self.share > 0.0

    @property
    def share(self) -> float:
        """Of the time of the run that is behind it."""
        table = self.config.time
        reached = _reached(self.point.directory / layout.SERIES)
        return 0.0 if reached is None else (reached - table.start) / (table.end - table.start)

    def ended(self, was_stopped: bool) -> Ended | None:
        """What became of it, once it has ended, by itself or because it was told to."""
        code = self.process.poll()
        if code is None:
            return None
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip()
        self.errors.close()
        reason = summary_of(self.point.directory).get("stop_reason")
        if code == 0 and reason in ENDED:
            return Ended(self.point, "ended")
        if code == 0 or (was_stopped and reason != "failed"):
            return Ended(self.point, "stopped")
        return Ended(self.point, "failed", said or f"It ended with code {code}.", code == _BAD_INPUT)


class _Noted:
    """Notes the first signal; a second one ends the processes at once."""

    def __init__(self, running: list[_Child]) -> None:
        self.number = 0
        self._running = running
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._usual = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)
        for child in self._running:
            _kill(child)

    def _note(self, number: int, frame: FrameType | None) -> None:
        for child in self._running:
            if self.number:
                _kill(child)
            else:
                child.process.send_signal(number)
        self.number = self.number or number


def _kill(child: _Child) -> None:
    if child.process.poll() is None:
        os.killpg(child.process.pid, signal.SIGKILL)


def launcher(ranks: int) -> list[str]:
    """What starts a program on several ranks.

    Args:
        ranks: How many.

    Returns:
        The words before the program; none for one rank.

    Raises:
        InputError: There is no mpiexec.
    """
    if ranks == 1:
        return []
    beside = Path(sys.executable).parent / "mpiexec"
    program = str(beside) if beside.is_file() else shutil.which("mpiexec")
    if program is None:
        raise InputError(
            f"--ranks {ranks} needs mpiexec, which is neither in {beside.parent} nor on the PATH."
        )
    return [program, "-n", str(ranks)]


def run_sweep(
    config: RunConfig,
    directory: Path,
    jobs: int = 1,
    ranks: int = 1,
    overwrite: bool = False,
    console: "Console | None" = None,
    draw: Draw | None = None,
    walltime: float | None = None,
) -> Swept:
    """Run the points of a sweep that have not ended, and write the table and the pictures. On one process.

    A point that was stopped goes on from its checkpoint; one that fails does not stop the others. A signal is
    handed on to the processes, which keep checkpoints.

    Args:
        config: The run file.
        directory: The directory of the sweep; that of a point is `compare/NAME` inside.
        jobs: How many points run at a time.
        ranks: MPI ranks of each.
        overwrite: Whether points that are there are run again.
        console: Where to report the progress; nowhere if None.
        draw: Draws the figures; there are none without it.
        walltime: Seconds after which to stop, if there is a limit.

    Returns:
        What came of it.

    Raises:
        InputError: Something about the input is wrong, or another process works in the directory.
    """
    deadline = None if walltime is None else time.monotonic() + walltime
    run_file = directory / layout.RUN_FILE
    command = [*launcher(ranks), sys.executable, "-m", "fem_models", "sweep", str(run_file)]
    todo, done = _todo(config, directory, overwrite)
    _make(directory)
    with _holding(directory):
        if overwrite:
            layout.make(directory)
        is_new = not run_file.is_file()
        write_text(run_file, config_io.dump(config))
        with SweepProgress(console, len(todo) + len(done), len(done)) as report:
            jobs_of = _Jobs([*command, "--out", str(directory)], _environment(jobs * ranks), jobs, deadline)
            found, noted = jobs_of.run(todo, report)
        if is_new and not done and all(item.is_refused for item in found):
            _remove(run_file)
            raise InputError(found[0].report)
        conclude(directory, config)
        ended = [*(Ended(point, "ended") for point in done), *found]
        has_any = bool(config.output.figures) and any(item.how == "ended" for item in ended)
        figures, note = drawn(directory, draw) if draw is not None and has_any else ((), None)
    return Swept(sorted(ended, key=lambda item: item.point.number), figures, note, noted)


def _remove(run_file: Path) -> None:
    """Leave nothing of a sweep of which no point could begin."""
    run_file.unlink()
    with suppress(OSError):
        run_file.parent.rmdir()


def _environment(processes: int) -> dict[str, str]:
    """Of the processes: as of this one, before MPI has added to it, and so that they share the machine."""
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    if processes > len(os.sched_getaffinity(0)):
        # MPICH's ranks that wait must not keep the others from working.
        environment.setdefault("MPIR_CVAR_CH4_PROGRESS_THROTTLE", "1")
    return environment


@contextmanager
def _holding(directory: Path) -> Iterator[None]:
    """Keep other sweeps from a directory."""
    handle = hold(directory)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _todo(
    config: RunConfig, directory: Path, overwrite: bool
) -> tuple[list[tuple[Point, RunConfig]], list[Point]]:
    """The points to run, with their run files, and those that have ended; nothing is touched."""
    check_directory(directory, config)
    base = directory / layout.RUN_FILE
    has_run = (directory / layout.SERIES).is_file()  # of the base file, beside the points
    if has_run and not overwrite and not same_numbers(config, base, ("sweep", "compare")):
        raise other_run_file(directory)
    todo, done = [], []
    for point in points(config, directory):
        chosen = run_file_of(config, point)
        if point.directory.is_dir():
            if (handle := hold(point.directory)) is not None:
                os.close(handle)
            state = state_of(point, chosen)
            if state == "other" and not overwrite:
                raise other_run_file(point.directory)
            if state == "ended" and not overwrite:
                done.append(point)
                continue
        todo.append((point, chosen))
    return todo, done


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The output directory {directory} cannot be made: {error.strerror}.") from None


@dataclass(frozen=True)
class _Jobs:
    """How the points are run: the command without its point, and how many at a time."""

    command: Sequence[str]
    environment: Mapping[str, str]
    at_a_time: int
    deadline: float | None

    def run(self, todo: Sequence[tuple[Point, RunConfig]], report: SweepProgress) -> tuple[list[Ended], int]:
        """Run points, and tell what became of them, and the number of the signal that stopped it."""
        waiting, running, found = list(todo), list[_Child](), list[Ended]()
        # The first point compiles the forms for all, as a rule.
        limit = 1
        with ExitStack() as files, _Noted(running) as noted:
            while running or (waiting and not noted.number):
                while waiting and len(running) < limit and not noted.number:
                    if self._left < 1.0:
                        found += [Ended(point, "stopped") for point, _ in waiting]
                        waiting.clear()
                        break
                    errors = files.enter_context(tempfile.TemporaryFile())
                    running.append(self._begun(*waiting.pop(0), errors))
                for child in list(running):
                    ended = child.ended(noted.number > 0)
                    if ended is not None or child.has_stepped:
                        limit = self.at_a_time
                    if ended is None:
                        report.reached(child.point, child.share)
                        continue
                    running.remove(child)
                    found.append(ended)
                    report.ended(child.point, _line(child, ended))
                time.sleep(_PAUSE)
        return [*found, *(Ended(point, "stopped") for point, _ in waiting)], noted.number

    @property
    def _left(self) -> float:
        """The seconds that are left."""
        return math.inf if self.deadline is None else self.deadline - time.monotonic()

    def _begun(self, point: Point, config: RunConfig, errors: IO[bytes]) -> _Child:
        limit = [] if self.deadline is None else ["--walltime", str(max(1, int(self._left)))]
        process = subprocess.Popen(
            [*self.command, "--point", str(point.number), *limit],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=self.environment,
            # Signals come from here alone, whoever else is told of Ctrl-C.
            start_new_session=True,
        )
        return _Child(point, config, process, errors)


def _reached(series: Path) -> float | None:
    """The last time in a table of steps, which may just be written."""
    try:
        with series.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            rows = file.read().decode(errors="replace").splitlines()[:-1]
        return float(rows[-1].split(",")[1])
    except (OSError, ValueError, IndexError):
        return None


def _line(child: _Child, ended: Ended) -> str:
    """What became of a point, in words."""
    if ended.how == "failed":
        lines = ended.report.splitlines()
        return f"failed: {lines[0]}"
    summary = summary_of(child.point.directory)
    seconds = duration(time.monotonic() - child.begin)
    if not summary:
        return f"stopped after {seconds}"
    steps = f"{summary.get('steps')} steps to t = {summary.get('time', float('nan')):g}"
    return f"{steps} ({summary.get('stop_reason')}), {seconds}"
