"""A whole run: from a checked run file to a complete run directory, and the same for its variants."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpi4py import MPI

from fem_models._version import __version__
from fem_models.config.run_file import RunConfig
from fem_models.core.durations import duration
from fem_models.core.errors import SENTENCES
from fem_models.core.parallel import on_rank_zero
from fem_models.results import layout
from fem_models.run.cache import remove_abandoned
from fem_models.run.environment import memory, versions
from fem_models.run.jobs import Job, prepare
from fem_models.run.loop import Interruption, Stop, advance
from fem_models.run.phases import Phases
from fem_models.run.sweep import conclude
from fem_models.run.watcher import Watcher

if TYPE_CHECKING:
    from rich.console import Console

Summary = dict[str, Any]
Draw = Callable[[Path], Sequence[Path]]
"""Draws the figures of a run directory and returns their files."""


@dataclass(frozen=True)
class Outcome:
    """A run that has ended, for better or worse.

    Attributes:
        directory: Its run directory.
        summary: What summary.json has.
        stop: Where and why it stopped.
    """

    directory: Path
    summary: Summary
    stop: Stop[Any]


@dataclass(frozen=True)
class Outcomes:
    """A run and its variants.

    Attributes:
        runs: The run, and the variants that were run.
        figures: The pictures of all of them.
        note: Why there are no pictures, where they could not be drawn.
        failure: The run that failed, if one did; those of a sweep may fail.
    """

    runs: tuple[Outcome, ...]
    figures: Sequence[Path]
    note: str | None
    failure: Outcome | None


def run(
    config: RunConfig,
    directory: Path,
    overwrite: bool = False,
    comm: MPI.Comm = MPI.COMM_WORLD,
    console: "Console | None" = None,
    draw: Draw | None = None,
    walltime: float | None = None,
) -> Outcomes:
    """Run a run file and its variants. Collective.

    Nothing is written before everything about the input has been checked. A run that fails or is interrupted
    keeps what it has written, and the variants after it are not run.

    Args:
        config: The run file.
        directory: The run directory; that of a variant is `compare/NAME` inside.
        overwrite: Whether a run directory that exists is replaced.
        comm: The ranks that run it.
        console: Where rank 0 reports the progress; nowhere if None.
        draw: Draws the figures, on rank 0; there are none without it.
        walltime: Seconds after which to stop, if there is a limit.

    Returns:
        What came of it.

    Raises:
        InputError: Something about the input is wrong; nothing is left behind.
    """
    on_rank_zero(comm, lambda: layout.check_free(directory, overwrite))
    on_rank_zero(comm, remove_abandoned)
    begin = time.monotonic()
    jobs = prepare(config, directory, comm)
    return run_all(jobs, config, directory, comm, console, draw, walltime, begin)


def run_all(
    jobs: list[Job],
    config: RunConfig,
    directory: Path,
    comm: MPI.Comm,
    console: "Console | None",
    draw: Draw | None,
    walltime: float | None,
    begin: float,
) -> Outcomes:
    """Run what has been prepared, one after the other, and draw the figures. Collective.

    Args:
        jobs: The runs; the list is emptied.
        config: The run file.
        directory: The run directory.
        comm: As for `run`.
        console: As for `run`.
        draw: As for `run`.
        walltime: As for `run`.
        begin: When that began, by the monotonic clock.

    Returns:
        What came of them.
    """
    runs: list[Outcome] = []
    values = config.sweep.variants if config.sweep else ()
    swept = {layout.variant_directory(directory, variant.name) for variant in values}
    limit = None if walltime is None else walltime - (time.monotonic() - begin)
    with Interruption(comm, limit) as interruption:
        while jobs:
            # Taken from the list, so that its solvers are gone when the next one runs.
            runs.append(_run_one(jobs.pop(0), interruption, console if comm.rank == 0 else None))
            # A sweep goes on to where it fails, and beyond.
            failed = runs[-1].stop.reason == "failed" and runs[-1].directory not in swept
            if failed or runs[-1].stop.reason in ("interrupted", "walltime"):
                break
    on_rank_zero(comm, lambda: conclude(directory, config))
    failures = [run for run in runs if run.stop.reason == "failed" and run.directory not in swept]
    failure = failures[0] if failures else None
    if failure or not config.output.figures or draw is None:
        return Outcomes(tuple(runs), (), None, failure)
    return Outcomes(tuple(runs), *on_rank_zero(comm, lambda: drawn(directory, draw)), failure)


def drawn(directory: Path, draw: Draw) -> tuple[Sequence[Path], str | None]:
    """Draw the figures, where that can be done; where it cannot, no number is lost. On one process.

    Args:
        directory: The run directory.
        draw: Draws them.

    Returns:
        The figures, and a sentence where they could not be drawn.
    """
    try:
        return draw(directory), None
    except Exception as error:
        # Some errors are sentences; of others the message alone may say nothing.
        reason = str(error) if isinstance(error, SENTENCES) else f"{type(error).__name__}: {error}"
        again = f"`fem-models plot {directory}` tries again"
        return [], f"The figures were not drawn: {reason.removesuffix('.')}; {again}."


def _run_one(job: Job, interruption: Interruption, console: "Console | None") -> Outcome:
    problem, begin = job.problem, time.perf_counter() - job.seconds
    comm = problem.model.comm
    phases = Phases(begin)
    phases.add("setup", job.seconds)
    watcher: Watcher[Any] = Watcher(job, console, phases)
    table = job.config.time
    try:
        stop = advance(
            problem,
            job.clock,
            watcher.stepping,
            watcher.diagnostics,
            watcher,
            job.config.output,
            table.stop_when_steady,
            interruption,
            job.begun,
        )
    finally:
        watcher.progress.close()
    try:
        watcher.close(stop, time.perf_counter() - begin)
    except SENTENCES as error:
        stop = _failed(stop, error)
    summary = _summary(job, watcher, stop)
    # Steps assemble, and all else in them counts as solving.
    phases.move(problem.scheme.seconds["assemble"], "solve", "assemble")
    summary["wall_seconds"], summary["phases"] = phases.summary(comm)
    watcher.output.log(*summary["warnings"], *stop.report.splitlines(), level="warning")
    watcher.output.log(_ending(stop, summary))
    try:
        watcher.output.summary(summary)
    except SENTENCES as error:
        stop = _failed(stop, error)
    watcher.output.close()
    return Outcome(job.directory, summary, stop)


def _failed(stop: Stop[Any], error: Exception) -> Stop[Any]:
    """A run that could not be finished; what went wrong first is told."""
    return replace(stop, reason="failed", report=stop.report or str(error))


def _summary(job: Job, watcher: Watcher[Any], stop: Stop[Any]) -> Summary:
    """The entries of summary.json, but for the times (collective)."""
    problem, diagnostics = job.problem, watcher.diagnostics
    return {
        "version": __version__,
        "system": job.config.system.name,
        "scheme": job.config.time.scheme,
        "ranks": problem.model.comm.size,
        "steps": diagnostics.steps,
        "rejected_steps": diagnostics.rejected + diagnostics.retried,
        "time": stop.time,
        "stop_reason": stop.reason,
        **problem.model.facts(),
        "wall_seconds": {},
        "phases": {},
        "memory_megabytes": memory(problem.model.comm),
        **watcher.summary(stop.state),
        "warnings": watcher.warnings(),
        "versions": versions(),
    }


def _ending(stop: Stop[Any], summary: Summary) -> str:
    total = duration(summary["wall_seconds"]["total"])
    return f"stopped at t = {stop.time:g} ({stop.reason}) after {summary['steps']} steps, {total}"
