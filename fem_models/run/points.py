"""The points of a sweep: where each stands, and the run of one of them.

Each point is a run in a directory of its own, which one call holds at a time: different points may run at
once, on one machine or on many.
"""

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mpi4py import MPI

from fem_models.config import io as config_io
from fem_models.config.run_file import RunConfig
from fem_models.core.errors import InputError
from fem_models.core.files import write_text
from fem_models.core.parallel import on_rank_zero
from fem_models.results import layout
from fem_models.results.sweeps import ENDED, Point, points_of, summary_of
from fem_models.run.cache import wait_for_others
from fem_models.run.resume import resume
from fem_models.run.runner import Outcomes, run

if TYPE_CHECKING:
    from rich.console import Console

State = Literal["new", "stopped", "ended", "other"]

# Keys of [output] that change pictures, and no number.
_DRAWING = ("figures", "format", "dpi", "size", "colour_scale", "profile")


def points(config: RunConfig, directory: Path) -> list[Point]:
    """The points of a run file.

    Args:
        config: The run file.
        directory: The directory of its sweep.

    Returns:
        The points.

    Raises:
        InputError: It has none.
    """
    if config.sweep is None:
        raise InputError(
            "The run file has no [sweep]: add one with key and values, or with keys, or use `fem-models run`."
        )
    return points_of(config.sweep, directory)


def run_file_of(config: RunConfig, point: Point) -> RunConfig:
    """The run file of a point.

    Args:
        config: The run file with the [sweep].
        point: The point.

    Returns:
        The same with the values of the point.

    Raises:
        InputError: They are wrong.
    """
    return config_io.variant(config, len(config.compare) + point.number - 1)


def state_of(point: Point, config: RunConfig) -> State:
    """Where a point stands. On one process.

    Args:
        point: The point.
        config: Its run file.

    Returns:
        "ended" at its end or at rest, "stopped" where a checkpoint is there to go on from, "other" where the
        directory is of another run file, else "new".

    Raises:
        InputError: The directory is no run directory, or cannot be used.
    """
    directory = point.directory
    if not directory.is_dir() or not any(directory.iterdir()):
        return "new"
    layout.check_free(directory, overwrite=True)
    if not same_numbers(config, directory / layout.RUN_FILE):
        return "other"
    if summary_of(directory).get("stop_reason") in ENDED:
        return "ended"
    return "stopped" if layout.checkpoint_files(layout.checkpoints(directory)) else "new"


def same_numbers(config: RunConfig, path: Path, apart_from: Sequence[str] = ()) -> bool:
    """Whether a run file gives the same numbers as another: they may differ in pictures and checkpoints.

    Args:
        config: The one.
        path: The file of the other.
        apart_from: Further tables in which they may differ.

    Returns:
        Whether it does; not where the file cannot be read.
    """
    try:
        if path.read_text(encoding="utf-8") == config_io.dump(config):
            return True
        other = config_io.load(path, check_variants=False)
    except (OSError, ValueError, InputError):
        return False
    return _numbers(config, apart_from) == _numbers(other, apart_from)


def _numbers(config: RunConfig, apart_from: Sequence[str]) -> dict[str, Any]:
    tables = config_io.to_dict(config)
    for name in ("checkpoint", *apart_from):
        tables.pop(name, None)
    tables["output"] = {key: value for key, value in tables["output"].items() if key not in _DRAWING}
    return tables


def check_directory(directory: Path, config: RunConfig) -> None:
    """Check that a directory may be that of a sweep, without touching it.

    Args:
        directory: The directory.
        config: The run file.

    Raises:
        InputError: It has other files, or cannot be used.
    """
    if directory.is_dir() and (found := {path.name for path in directory.iterdir()}):
        if found <= {layout.COMPARE, layout.JOB}:  # another point may just have begun
            return
        run_file = directory / layout.RUN_FILE
        is_of_runs = bool(found & {layout.COMPARE, layout.SERIES})
        # A folder of run files may have one of that name.
        if not is_of_runs and run_file.is_file() and run_file.read_text("utf-8") != config_io.dump(config):
            raise InputError(f"{directory} has files and no points of a sweep; choose another --out.")
    layout.check_free(directory, overwrite=True)


def hold(directory: Path) -> int | None:
    """Keep other processes from a directory until `os.close`, or the end of this process.

    Args:
        directory: The directory.

    Returns:
        What to close; None where the file system cannot do that.

    Raises:
        InputError: Another process holds it.
    """
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(
            f"Another process runs in {directory}; call again when it has ended, or end it."
        ) from None
    except OSError:
        os.close(handle)
        return None
    return handle


def run_point(
    config: RunConfig,
    directory: Path,
    number: int,
    overwrite: bool = False,
    comm: MPI.Comm = MPI.COMM_WORLD,
    console: "Console | None" = None,
    walltime: float | None = None,
) -> Outcomes | None:
    """Run one point of a sweep, or go on with it. Collective.

    Args:
        config: The run file; other variants than the point need not have been checked.
        directory: The directory of the sweep.
        number: Of the point, counted from 1.
        overwrite: Whether what is there of the point is replaced.
        comm: The ranks.
        console: As for `run`.
        walltime: As for `run`.

    Returns:
        What came of it; None where it has come to its end before.

    Raises:
        InputError: Something about the input is wrong, or another process runs the point.
    """
    point = on_rank_zero(comm, lambda: _chosen(config, directory, number))
    chosen = on_rank_zero(comm, lambda: run_file_of(config, point))
    wait_for_others()
    handle, is_first = on_rank_zero(comm, lambda: _begin(config, directory, point))
    try:
        state = "new" if overwrite else on_rank_zero(comm, lambda: state_of(point, chosen))
        if state == "other":
            raise other_run_file(point.directory)
        if state == "ended":
            return None
        if state == "stopped":
            return resume(point.directory, None, comm, console, None, walltime)
        return run(chosen, point.directory, True, comm, console, None, walltime)
    except InputError:
        on_rank_zero(comm, lambda: _tidy(directory, point, is_first))
        raise
    finally:
        if comm.rank == 0 and handle is not None:
            os.close(handle)


def other_run_file(directory: Path) -> InputError:
    """The error for a directory that is of another run file.

    Args:
        directory: The directory.

    Returns:
        The error, to be raised.
    """
    return InputError(f"{directory} is of another run file; choose another --out, or add --overwrite.")


def _chosen(config: RunConfig, directory: Path, number: int) -> Point:
    found = points(config, directory)
    if not 1 <= number <= len(found):
        raise InputError(f"--point {number} is no point of the sweep, which has 1 to {len(found)}.")
    return found[number - 1]


def _begin(config: RunConfig, directory: Path, point: Point) -> tuple[int | None, bool]:
    """Hold the directory of a point, and see to it that the sweep has its run file; whether it had none."""
    check_directory(directory, config)
    try:
        point.directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The output directory {point.directory} cannot be made: {error.strerror}."
        ) from None
    handle = hold(point.directory)
    is_first = not (directory / layout.RUN_FILE).is_file()
    if is_first:
        # Written where no other point writes, so that they may begin at once.
        part = point.directory / f".{layout.RUN_FILE}"
        write_text(part, config_io.dump(config))
        part.replace(directory / layout.RUN_FILE)
    return handle, is_first


def _tidy(directory: Path, point: Point, is_first: bool) -> None:
    """Leave nothing of a point whose input is wrong."""
    with suppress(OSError):
        point.directory.rmdir()
        (directory / layout.COMPARE).rmdir()
        if is_first:
            (directory / layout.RUN_FILE).unlink()
            directory.rmdir()
