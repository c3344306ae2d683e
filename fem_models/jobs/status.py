"""Where runs stand, from their files and the scheduler: without DOLFINx, without MPI, also while they run."""

import json
import os
import re
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fem_models.core.durations import duration
from fem_models.core.errors import InputError
from fem_models.jobs import record, schedulers
from fem_models.jobs.schedulers import JobState
from fem_models.results import layout

type State = Literal["waiting", "running", "ended", "steady", "walltime", "interrupted", "failed", "dead"]

# Seconds without a change of any file after which a run whose job is gone, or of which no job is known, is
# taken for dead; the log has a line a minute where steps are shorter than that.
_SILENCE_OF_A_JOB, _SILENCE = 90.0, 600.0
# A run may be silent for so many times the mean of its steps.
_LONG_STEPS = 5.0
# The end of a table or a log that is read: some rows.
_TAIL = 65536

_GOING_ON = re.compile(r"going on from t = (\S+), step (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands.

    Attributes:
        directory: Its run directory.
        state: In a word.
        time: Reached, dimensionless; None before the first row.
        end: To be reached, dimensionless; None before it began.
        steps: Taken.
        last_write: When a file was written last, in seconds since 1970; None where there is none.
        left: Estimated seconds to the end, of a run that is running.
        job: The number of its job, where one is known.
        note: A sentence on what to do, or nothing.
    """

    directory: Path
    state: State
    time: float | None
    end: float | None
    steps: int
    last_write: float | None
    left: float | None
    job: str | None
    note: str


class _Pace(NamedTuple):
    """Seconds that a unit of the time of the run takes, and a step."""

    unit: float
    step: float


def look(directories: Sequence[Path]) -> list[RunStatus]:
    """Look where runs stand.

    Args:
        directories: Run directories, or folders of run directories. The variants of a run, and the points of
            a sweep, follow it.

    Returns:
        One entry for each run.

    Raises:
        InputError: A directory is none of these.
    """
    found: list[RunStatus] = []
    for directory in directories:
        if not directory.is_dir():
            raise InputError(f"{directory} is not a directory; give a run directory, or a folder of them.")
        places = [directory] if _is_run(directory) else sorted(filter(_is_run, directory.iterdir()))
        if not places:
            raise InputError(f"{directory} is not a run directory, and there is none in it.")
        for place in places:
            found += _look(place)
    return found


def _is_run(directory: Path) -> bool:
    return (directory / layout.RUN_FILE).is_file() or layout.job(directory).is_dir()


def _look(directory: Path) -> list[RunStatus]:
    """A run, with its variants after it; of a sweep that runs no run of its own, the points alone."""
    known = record.read_record(directory)
    job, state = None, None
    if known is not None and (numbers := record.numbers(directory)):
        job = numbers[-1]
        asked = schedulers.states(
            known.scheduler, numbers, known.host, layout.job(directory).absolute() / record.SCRIPT
        )
        state = _joint(asked)
    compared = directory / layout.COMPARE
    inside = sorted(compared.iterdir()) if compared.is_dir() else []
    variants = [place for place in inside if (place / layout.RUN_FILE).is_file()]
    tasks = _text(layout.job(directory) / record.PLACES).splitlines() if known is not None else []
    if tasks:
        variants = [directory / layout.COMPARE / Path(task).name for task in tasks]
    own = (directory / layout.SERIES).is_file() or not variants
    return [_status(place, job, state, bool(tasks)) for place in ([directory] if own else []) + variants]


def _joint(states: Mapping[str, JobState]) -> JobState | None:
    """The state of the jobs of a run, most of which are over."""
    for state in ("running", "waiting", "gone"):
        if state in states.values():
            return state
    return None


def _status(directory: Path, job: str | None, state: JobState | None, is_task: bool) -> RunStatus:
    summary = _json(directory / layout.SUMMARY)
    steps, reached = _last_row(directory / layout.SERIES)
    begin, end = _times(directory / layout.RUN_FILE)
    written = _last_write(directory)
    pace = _pace(directory, begin, steps, reached)
    longest = 0.0 if pace is None else _LONG_STEPS * pace.step
    name, note = _state(directory, summary.get("stop_reason"), state, written, longest, is_task)
    left = None
    if name == "running" and pace and reached is not None and end is not None:
        left = pace.unit * max(0.0, end - reached)
    return RunStatus(directory, name, reached, end, steps, written, left, job, note)


def _state(
    directory: Path,
    reason: str | None,
    job: JobState | None,
    written: float | None,
    longest: float,
    is_task: bool,
) -> tuple[State, str]:
    """What the files and the job of a run say together, and what to do about it."""
    finished: Mapping[str | None, State] = {"end": "ended", "steady": "steady", "failed": "failed"}
    if reason in finished:
        return finished[reason], f"{directory / layout.LOG} says why." if reason == "failed" else ""
    # A task of an array that has not begun, while others may have.
    if job == "waiting" or (job == "running" and is_task and written is None):
        return "waiting", ""
    if job == "running":
        return "running", ""
    resume = f"`fem-models resume {directory}` goes on."
    stopped: Mapping[str | None, State] = {"walltime": "walltime", "interrupted": "interrupted"}
    if reason in stopped:
        return stopped[reason], resume
    if written is None:
        output = layout.job(directory)
        return "dead", f"Its job is gone and nothing was written; the output in {output} says why."
    silent = max(0.0, time.time() - written)
    allowed = _SILENCE_OF_A_JOB if job == "gone" else _SILENCE
    if silent <= max(allowed, longest):
        return "running", ""
    what = "its job is gone" if job == "gone" else f"no file has changed for {duration(silent)}"
    if not layout.checkpoint_files(layout.checkpoints(directory)):
        return "dead", f"It stopped without summary ({what}) and without checkpoint: run it again."
    return "dead", f"It stopped without summary ({what}): {resume}"


def _pace(directory: Path, begin: float | None, steps: int, reached: float | None) -> _Pace | None:
    """How fast a run is, since it began or went on."""
    if begin is None or reached is None:
        return None
    try:
        # It is written when a run begins, and when it goes on.
        started = (directory / layout.RUN_FILE).stat().st_mtime
        last = (directory / layout.SERIES).stat().st_mtime
    except OSError:
        return None
    first = 0
    if went_on := _GOING_ON.findall(_text(directory / layout.LOG)):
        begin, first = float(went_on[-1][0]), int(went_on[-1][1])
    if not (reached > begin and steps > first and last > started):
        return None
    return _Pace((last - started) / (reached - begin), (last - started) / (steps - first))


def _times(run_file: Path) -> tuple[float | None, float | None]:
    """The first and the last time of a run file."""
    try:
        table: dict[str, Any] = tomllib.loads(run_file.read_text(encoding="utf-8"))["time"]
        return float(table["start"]), float(table["end"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_row(series: Path) -> tuple[int, float | None]:
    """Step and time of the last row that is whole."""
    rows = _text(series, _TAIL).split("\n")[:-1]
    for row in reversed(rows):
        try:
            step, reached = row.split(",")[:2]
            return int(step), float(reached)
        except ValueError:
            continue
    return 0, None


def _text(path: Path, most: int | None = None) -> str:
    """The text of a file, or the last bytes of it; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            if most is not None:
                file.seek(max(0, os.fstat(file.fileno()).st_size - most))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _last_write(directory: Path) -> float | None:
    """When a file of a run was written last."""
    names = (layout.RUN_FILE, layout.SUMMARY, layout.SERIES, layout.LOG, layout.FIELDS)
    files = [directory / name for name in names] + layout.checkpoint_files(layout.checkpoints(directory))
    times = []
    for file in files:
        try:
            times.append(file.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)
