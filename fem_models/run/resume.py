"""Going on with a run that was stopped, from its latest checkpoint."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpi4py import MPI

from fem_models.config import io as config_io
from fem_models.config.run_file import RunConfig
from fem_models.config.tables import CONTROL
from fem_models.core.errors import InputError
from fem_models.core.parallel import on_rank_zero
from fem_models.results import layout
from fem_models.run.cache import remove_abandoned
from fem_models.run.checkpoints import Begun, latest
from fem_models.run.clock import AdaptiveClock, Clock, planned
from fem_models.run.jobs import Job, prepare
from fem_models.run.runner import Draw, Outcomes, run_all

# What may change while a run goes on: it changes no equation.
_TABLES = ("output", "solver", "checkpoint")
_KEYS = ("time.step", "time.end", "time.stop_when_steady", *(f"time.{key}" for key in CONTROL))

if TYPE_CHECKING:
    from rich.console import Console


def resume(
    directory: Path,
    end: float | None = None,
    comm: MPI.Comm = MPI.COMM_WORLD,
    console: "Console | None" = None,
    draw: Draw | None = None,
    walltime: float | None = None,
    changes: Sequence[str] = (),
) -> Outcomes:
    """Go on with a run and its variants from their latest checkpoints, on any number of ranks. Collective.

    Those that have come to their end stay as they are; those that were not begun are run.

    Args:
        directory: The run directory.
        end: A later time to go on to, if not that of the run file (dimensionless).
        comm: The ranks.
        console: As for `run`.
        draw: As for `run`.
        walltime: As for `run`.
        changes: Keys with values, as in "time.step=0.01", that change no equation: the step, the end, the
            solver, output and checkpoints.

    Returns:
        What came of the runs that went on.

    Raises:
        InputError: It is no run directory, has no checkpoint that can be read, has come to its end, or was
            changed; or a change is one of the equations.
    """
    start = time.monotonic()
    overrides = [*changes, *([] if end is None else [f"time.end={end!r}"])]
    config = on_rank_zero(comm, lambda: _run_file(directory, overrides))
    on_rank_zero(comm, remove_abandoned)
    jobs = prepare(config, directory, comm)
    begun: list[Job] = []
    for job in jobs:
        if on_rank_zero(comm, partial(_has_ended, job)):
            continue
        found = latest(job.problem, job.directory)
        begun.append(job if found is None else replace(job, begun=found, clock=_clock(job.config, found)))
    if not begun:
        raise InputError(
            f"{directory} has come to its end, t = {config.time.end:g}: give a later one, as in "
            f"`fem-models resume {directory} --end {2 * config.time.end:g}`."
        )
    if begun[0].directory == directory and begun[0].begun is None:
        raise InputError(f"{directory} has no checkpoint to go on from: run its run file again.")
    return run_all(begun, config, directory, comm, console, draw, walltime, start)


def _run_file(directory: Path, overrides: Sequence[str]) -> RunConfig:
    if not (directory / layout.RUN_FILE).is_file():
        raise InputError(f"{directory} is not a run directory: it has no {layout.RUN_FILE}.")
    for text in overrides:
        key = config_io.overridden(text)
        if key[0] not in _TABLES and ".".join(key) not in _KEYS:
            known = [*_KEYS, *(f"{table}.KEY" for table in _TABLES)]
            raise InputError(
                f"{'.'.join(key)} cannot be changed while a run goes on, only {', '.join(known)}: run the "
                "run file with it, and with this run in [initial] from."
            )
    config = config_io.load(directory / layout.RUN_FILE, overrides)
    if config.sweep is not None and not (directory / layout.SERIES).is_file():
        run_file = directory / layout.RUN_FILE
        raise InputError(
            f"{directory} has no run but points of a sweep: `fem-models sweep {run_file} --out {directory}` "
            "goes on with them."
        )
    return config


def _has_ended(job: Job) -> bool:
    """Whether a run has come to its end, or to rest. On rank 0."""
    try:
        summary = json.loads((job.directory / layout.SUMMARY).read_text(encoding="utf-8"))
        ended = summary["stop_reason"] in ("end", "steady")
        return bool(ended and (summary["time"] >= job.config.time.end or summary["stop_reason"] == "steady"))
    except (OSError, ValueError, KeyError):
        return False


def _clock(config: RunConfig, begun: Begun[Any]) -> Clock | AdaptiveClock:
    """The steps of a run that goes on: the same as before, or to another end or of another size."""
    table, times, plan = config.time, config.output.field_times or (), begun.control.facts
    adaptive = table.control == "adaptive"
    unchanged = begun.end == table.end and (adaptive or plan["step"] == table.step)
    if not unchanged and not table.end > begun.time:
        raise InputError(f"end = {table.end:g} is before the time {begun.time:g} that the run has reached.")
    if adaptive:
        return planned(table, config.output)
    start, taken = (plan["start"], plan["taken"]) if unchanged else (begun.time, begun.number)
    later = [at for at in times if at > start]
    return Clock(start, table.end, table.step, later, taken)
