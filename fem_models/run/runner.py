"""A whole run: from a checked run file to a complete run directory, and the same for its variants."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI

from fem_models._version import __version__
from fem_models.config import io as config_io
from fem_models.config.problem import Companions
from fem_models.config.run_file import RunConfig
from fem_models.config.tables import CONTROL
from fem_models.core.errors import InputError, OutputError
from fem_models.core.parallel import on_rank_zero
from fem_models.core.protocols import ExplicitTime, Remembers, Row, Step, Study
from fem_models.results import layout
from fem_models.results.writer import RunOutput
from fem_models.run.cache import remove_abandoned
from fem_models.run.checkpoints import Begun, Keeper
from fem_models.run.clock import Clock
from fem_models.run.diagnostics import Diagnostics
from fem_models.run.jobs import Job, prepare
from fem_models.run.loop import Interruption, Stop, advance
from fem_models.run.progress import ProgressReport, duration
from fem_models.run.step_control import AdaptiveSteps, Limits
from fem_models.run.stepping import PlannedSteps, Stepping
from fem_models.run.sweep import conclude

if TYPE_CHECKING:
    from rich.console import Console

# Seconds of a run after which what follows it is announced.
_LONG = 2.0

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
    jobs = prepare(config, directory, comm)
    return run_all(jobs, config, directory, comm, console, draw, walltime)


def run_all(
    jobs: list[Job],
    config: RunConfig,
    directory: Path,
    comm: MPI.Comm,
    console: "Console | None",
    draw: Draw | None,
    walltime: float | None,
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

    Returns:
        What came of them.
    """
    runs: list[Outcome] = []
    values = config.sweep.variants if config.sweep else ()
    swept = {layout.variant_directory(directory, variant.name) for variant in values}
    with Interruption(comm, walltime) as interruption:
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
    return Outcomes(tuple(runs), *on_rank_zero(comm, lambda: _drawn(directory, draw)), failure)


def _drawn(directory: Path, draw: Draw) -> tuple[Sequence[Path], str | None]:
    """The figures, and a sentence where they could not be drawn: that loses no number."""
    try:
        return draw(directory), None
    except Exception as error:
        # Some errors are sentences; of others the message alone may say nothing.
        reason = (
            str(error) if isinstance(error, InputError | OutputError) else f"{type(error).__name__}: {error}"
        )
        again = f"`fem-models plot {directory}` tries again"
        return [], f"The figures were not drawn: {reason.removesuffix('.')}; {again}."


class _Watcher[S]:
    """Writes what there is to write of a run, and measures the time that takes. Collective."""

    def __init__(self, job: Job, console: "Console | None") -> None:
        self._job = job
        problem = job.problem
        if console is not None and problem.prepares:
            console.print(f"{job.title}: computing {problem.prepares}", markup=False, highlight=False)
        self._companions: Companions[S] = problem.companions()
        begun = job.begun
        # Another run on the mesh may have left its time there.
        if begun is None and isinstance(problem.model, ExplicitTime):
            problem.model.move_to(job.clock.start)
        self.diagnostics = Diagnostics(problem.model, problem.scheme, problem.initial, job.clock.start)
        self.stepping = _stepping(job, self.diagnostics)
        first: dict[str, Row] = {}
        if begun is None:
            first = self._studied(problem.initial, None)
        else:
            self._remember(begun)
        self.set_up = time.perf_counter()
        run_file, remark = config_io.dump(job.config), self._companions.remark
        until = None if begun is None else begun.time
        self.output = RunOutput(problem.model.comm, job.directory, run_file, remark, until)
        self._keeper = Keeper(problem, job.config, job.directory)
        self.output.log(*_heading(job))
        for name, rows in problem.tables.items() if begun is None else ():
            for row in rows:
                self.output.row(name, row)
        self.progress = ProgressReport(console, self.output.log, job.title, job.clock)
        self.seconds = 0.0
        self._console = console
        self._closing_warnings: Sequence[str] = ()
        if begun is None:
            self._report(first, False)

    def _remember(self, begun: Begun[S]) -> None:
        """Put step control, diagnostics and studies to where they were."""
        self.stepping.restore(begun.control)
        self.diagnostics.restore(begun.facts["diagnostics"])
        for study, memory in zip(self._companions.studies, begun.facts["studies"], strict=True):
            if isinstance(study, Remembers):
                study.restore(memory)

    @property
    def _studies(self) -> Sequence[Study[S]]:
        """Those of the problem, and that of step control."""
        controls = [self.stepping] if isinstance(self.stepping, AdaptiveSteps) else []
        return [*self._companions.studies, *controls]

    def keep(self, number: int, at: float, state: S, last: bool) -> None:
        """Keep a checkpoint where one is due."""
        begin = time.perf_counter()
        if last or self._keeper.due(number):
            control = self.stepping.memory()
            self._keeper.keep(number, at, state, control, self.diagnostics, self._companions.studies)
        self.seconds += time.perf_counter() - begin

    def _studied(self, state: S, step: Step[S] | None) -> dict[str, Row]:
        """The rows of the studies by table; studies with one table share its rows."""
        rows: dict[str, Row] = {}
        for study in self._studies:
            if found := study.look(self.diagnostics.row, state, step):
                rows[study.table] = rows.get(study.table, {}) | found
        return rows

    def _report(self, rows: Mapping[str, Row], last: bool) -> None:
        begin = time.perf_counter()
        self.output.row(layout.SERIES, self.diagnostics.row)
        for name, row in rows.items():
            self.output.row(name, row)
        diagnostics = self.diagnostics
        self.progress.step(diagnostics.row, diagnostics.headline, diagnostics.drift, last)
        self.output.check()
        self.seconds += time.perf_counter() - begin

    def fields(self, at: float, state: S) -> None:
        """Write the fields of a state."""
        begin, model = time.perf_counter(), self._job.problem.model
        self.output.fields(
            at, lambda: [*model.functions(state).values(), *self._companions.beside().values()]
        )
        self.seconds += time.perf_counter() - begin

    def step(self, step: Step[S], last: bool) -> None:
        """Write the rows of a step."""
        begin = time.perf_counter()
        rows = self._studied(step.state, step)
        self.seconds += time.perf_counter() - begin
        self._report(rows, last)

    def close(self, stop: Stop[S], seconds: float) -> None:
        """Compute and write what follows a run: the steady state, where it is wanted."""
        if self._companions.closing is None:
            return
        if self._console is not None and seconds > _LONG:
            self._console.print(
                f"{self._job.title}: computing the steady state; [output] steady = false leaves it out",
                markup=False,
                highlight=False,
            )
        closing = self._companions.closing(stop.state, stop.reason, seconds)
        self._closing_warnings = closing.warnings
        begin = time.perf_counter()
        if closing.functions:
            self.output.steady(list(closing.functions.values()))
        self.seconds += time.perf_counter() - begin

    def warnings(self) -> list[str]:
        """What the run has to say in the end."""
        studies = [text for study in self._studies for text in study.warnings()]
        known = [*self._job.notes, *self._companions.warnings, *self._closing_warnings]
        return [*known, *self.diagnostics.warnings(), *studies]

    def summary(self, state: S) -> Summary:
        """What the diagnostics and the studies have found."""
        summary = self.diagnostics.summary(state)
        for study in self._studies:
            for key, entry in study.summary().items():
                merged = isinstance(entry, dict) and isinstance(summary.get(key), dict)
                summary[key] = summary[key] | entry if merged else entry
        return summary


def _stepping[S](job: Job, diagnostics: Diagnostics[S]) -> Stepping[S]:
    """What takes the steps of a run."""
    problem, table = job.problem, job.config.time
    if isinstance(job.clock, Clock):
        return PlannedSteps(problem.model, problem.scheme, job.clock)
    limits = Limits(*(getattr(table, key) for key in CONTROL))
    return AdaptiveSteps(problem.model, problem.scheme, job.clock, limits, table.step, diagnostics.broken)


def _run_one(job: Job, interruption: Interruption, console: "Console | None") -> Outcome:
    begin = time.perf_counter() - job.seconds
    problem, table = job.problem, job.config.time
    watcher: _Watcher[Any] = _Watcher(job, console)
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
    except OutputError as error:
        stop = replace(stop, reason="failed", report=str(error))
    summary = _summary(job, watcher, stop)
    spent = {"total": time.perf_counter() - begin, "setup": watcher.set_up - begin}
    spent |= {**problem.scheme.seconds, "output": watcher.seconds}
    summary["wall_seconds"] = _largest(problem.model.comm, spent)
    watcher.output.log(*_ending(stop, summary))
    try:
        watcher.output.summary(summary)
    except OutputError as error:
        stop = replace(stop, reason="failed", report=f"{stop.report}\n{error}".strip())
    watcher.output.close()
    return Outcome(job.directory, summary, stop)


def _summary(job: Job, watcher: _Watcher[Any], stop: Stop[Any]) -> Summary:
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
        **watcher.summary(stop.state),
        "warnings": watcher.warnings(),
    }


def _largest(comm: MPI.Comm, seconds: Mapping[str, float]) -> dict[str, float]:
    """The times of the slowest rank."""
    keys = ("total", "setup", "assemble", "solve", "output")
    local, largest = np.array([seconds[key] for key in keys]), np.empty(len(keys))
    comm.Allreduce(local, largest, op=MPI.MAX)
    return dict(zip(keys, map(float, largest), strict=True))


def _heading(job: Job) -> list[str]:
    problem, clock = job.problem, job.clock
    steps = "steps by their errors" if clock.count is None else f"{clock.count} steps"
    went_on = [] if job.begun is None else [f"going on from t = {job.begun.time:g}, step {job.begun.number}"]
    return [
        f"fem-models {__version__}, {problem.model.comm.size} ranks",
        *went_on,
        f"{job.title}: {problem.title}, {steps} from t = {clock.start:g} to t = {clock.end:g}",
        problem.model.description(),
        *problem.notes,
    ]


def _ending(stop: Stop[Any], summary: Summary) -> list[str]:
    lines = [f"warning: {text}" for text in summary["warnings"]]
    lines += stop.report.splitlines()
    total = duration(summary["wall_seconds"]["total"])
    return [*lines, f"stopped at t = {stop.time:g} ({stop.reason}) after {summary['steps']} steps, {total}"]
