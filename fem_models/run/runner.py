"""A whole run: from a checked run file to a complete run directory, and the same for its variants."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI

from fem_models import __version__
from fem_models.config import io as config_io
from fem_models.config.run_file import RunConfig
from fem_models.config.schemes import SCHEMES
from fem_models.core.errors import InputError, SolveError
from fem_models.core.parallel import on_rank_zero
from fem_models.flow.gradient_flow import State
from fem_models.linalg.newton import NewtonSettings
from fem_models.linalg.options import refusals
from fem_models.results import layout
from fem_models.results.writer import RunOutput
from fem_models.run.build import Problem, build, build_mesh
from fem_models.run.cache import remove_abandoned
from fem_models.run.clock import Tick
from fem_models.run.convexity import convexity_table
from fem_models.run.diagnostics import Diagnostics
from fem_models.run.loop import Interruption, Stop, advance
from fem_models.run.movements import Movements
from fem_models.run.progress import ProgressReport, duration
from fem_models.run.studies import study_of
from fem_models.run.sweep import conclude
from fem_models.schemes.log_density_euler import LogDensity
from fem_models.schemes.resolvent import Step
from fem_models.steady.steady_state import steady_state

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
    stop: Stop


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


@dataclass(frozen=True)
class _Job:
    title: str
    directory: Path
    problem: Problem
    scheme: Any
    convexity: Sequence[dict[str, float]]
    seconds: float


def run(
    config: RunConfig,
    directory: Path,
    overwrite: bool = False,
    comm: MPI.Comm = MPI.COMM_WORLD,
    console: "Console | None" = None,
    draw: Draw | None = None,
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

    Returns:
        What came of it.

    Raises:
        InputError: Something about the input is wrong; nothing is left behind.
    """
    on_rank_zero(comm, lambda: layout.check_free(directory, overwrite))
    on_rank_zero(comm, remove_abandoned)
    jobs = _prepare(config, directory, comm)
    runs: list[Outcome] = []
    values = config.sweep.variants if config.sweep else ()
    swept = {layout.variant_directory(directory, variant.name) for variant in values}
    with Interruption(comm) as interruption:
        while jobs:
            # Taken from the list, so that its solvers are gone when the next one runs.
            runs.append(_run_one(jobs.pop(0), interruption, console if comm.rank == 0 else None))
            reason = runs[-1].stop.reason
            # A sweep goes on to where it fails, and beyond.
            if reason == "interrupted" or (reason == "failed" and runs[-1].directory not in swept):
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
        again = f"`fem-models plot {directory}` tries again"
        return [], f"The figures were not drawn ({type(error).__name__}: {error}); {again}."


def _prepare(config: RunConfig, directory: Path, comm: MPI.Comm) -> list[_Job]:
    """Build the run and all its variants, so that bad input is found before the first step."""
    todo = [("run", directory, config)]
    for index, variant in enumerate(config.variants):
        place = layout.variant_directory(directory, variant.name)
        if place in [taken for _, taken, _ in todo]:
            raise InputError(
                f'[[compare]] name = "{variant.name}" and another name give the same directory {place}; '
                "change one of them."
            )
        todo.append((variant.name, place, config_io.variant(config, index)))
    jobs: list[_Job] = []
    built: dict[Any, Any] = {}
    for title, place, chosen in todo:
        begin = time.perf_counter()
        try:
            if chosen.mesh not in built:
                built[chosen.mesh] = build_mesh(comm, chosen.mesh)
            problem = build(chosen, built[chosen.mesh])
            scheme = _scheme(problem)
            convexity = convexity_table(problem)
        except InputError as error:
            where = "" if chosen is config else f"[[compare]] {title}: "
            raise InputError(f"{where}{error}") from None
        jobs.append(_Job(title, place, problem, scheme, convexity, time.perf_counter() - begin))
    return jobs


def _scheme(problem: Problem) -> Any:
    """The scheme of a run, with its solvers set up.

    Raises:
        InputError: PETSc refuses an option, or the flux or the slabs do not go with the scheme.
    """
    table, time = problem.config.solver, problem.config.time
    settings = NewtonSettings(table.tolerance, table.max_iterations, table.linear, dict(table.petsc))
    with refusals():
        if time.discretization == "log-density":
            return LogDensity(problem.flow, settings)
        more = {"slabs": time.slabs} if time.minimises else {}
        return SCHEMES[time.scheme](problem.flow, time.flux, settings, **more)


def _steady(problem: Problem) -> tuple[State | None, list[str]]:
    """The steady state with the masses of the run, and a warning where it was not found."""
    if problem.config.time.discretization == "log-density":
        return None, [
            "No steady state, decay rate or study.csv comes with the log-density; the edge-averaged "
            "discretisation has them."
        ]
    if not problem.masses:
        return None, []
    try:
        return steady_state(problem.flow, problem.masses), []
    except SolveError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        return None, [f"The steady state was not found, so there is no decay rate: {reason}."]


def _run_one(job: _Job, interruption: Interruption, console: "Console | None") -> Outcome:
    begin = time.perf_counter() - job.seconds
    problem, scheme = job.problem, job.scheme
    steady, warnings = _steady(problem)
    diagnostics = Diagnostics(problem, steady)
    study = study_of(problem, steady)
    movements = _movements(job, diagnostics.row["energy"])
    set_up = time.perf_counter()
    output = RunOutput(problem, job.directory, steady)
    output.log(*_heading(job))
    seconds = {"output": 0.0}

    def timed(work: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            start = time.perf_counter()
            work(*arguments)
            seconds["output"] += time.perf_counter() - start

        return call

    for columns in job.convexity:
        output.row(layout.CONVEXITY, columns)
    progress = ProgressReport(console, output.log, job.title, problem.clock.count)

    def report(state: State, last: bool) -> None:
        output.row(layout.SERIES, diagnostics.row)
        time = diagnostics.row["time"]
        if columns := study.columns(time, state):
            output.row(layout.STUDY, {"time": time} | columns)
        progress.step(diagnostics.row, diagnostics.mass_drift, last)

    def after_step(tick: Tick, step: Step, last: bool) -> None:
        if movements is not None:
            output.row(layout.MOVEMENTS, movements.step(tick, step.movement, diagnostics.row["energy"]))
        report(step.state, last)

    try:
        timed(report)(problem.initial, False)
        stop = advance(problem, scheme, diagnostics, timed(output.fields), timed(after_step), interruption)
    finally:
        progress.close()
    warnings += diagnostics.warnings(problem.config.time) + study.warnings()
    summary = _summary(problem, diagnostics, stop)
    if movements is not None:
        summary["jko"] = movements.summary()
        warnings += movements.warnings()
    summary["warnings"] = warnings
    spent = {"total": time.perf_counter() - begin, "setup": set_up - begin, **scheme.seconds, **seconds}
    summary["wall_seconds"] = _largest(problem.flow.comm, spent)
    output.summary(summary)
    output.log(*_ending(stop, summary))
    output.close()
    return Outcome(job.directory, summary, stop)


def _movements(job: _Job, energy: float) -> Movements | None:
    """What follows the steps of minimising movements."""
    table = job.problem.config.time
    return Movements(job.scheme, table, energy) if table.minimises else None


def _summary(problem: Problem, diagnostics: Diagnostics, stop: Stop) -> Summary:
    """The entries of summary.json, but for the times and the warnings (collective)."""
    flow, config = problem.flow, problem.config
    cells, vertices = _cells(problem), flow.mesh.topology.index_map(0).size_global
    return {
        "version": __version__,
        "system": config.system.name,
        "scheme": config.time.scheme,
        "ranks": flow.comm.size,
        "cells": cells,
        "dofs": flow.space.dofmap.index_map.size_global * len(flow.names),
        "steps": diagnostics.steps,
        "rejected_steps": diagnostics.rejected,
        "time": stop.time,
        "stop_reason": stop.reason,
        "mesh": {
            "cells": cells,
            "vertices": vertices,
            "h_min": flow.geometry.h_min,
            "h_max": flow.geometry.h_max,
            "negative_edges": flow.geometry.negative_share,
        },
        "wall_seconds": {},
        **diagnostics.summary(stop.state),
    }


def _cells(problem: Problem) -> int:
    topology = problem.flow.mesh.topology
    return topology.index_map(topology.dim).size_global


def _largest(comm: MPI.Comm, seconds: dict[str, float]) -> dict[str, float]:
    """The times of the slowest rank."""
    keys = ("total", "setup", "assemble", "solve", "output")
    local, largest = np.array([seconds[key] for key in keys]), np.empty(len(keys))
    comm.Allreduce(local, largest, op=MPI.MAX)
    return dict(zip(keys, map(float, largest), strict=True))


def _heading(job: _Job) -> list[str]:
    problem = job.problem
    flow, config = problem.flow, problem.config
    geometry = flow.geometry
    slabs = f", {config.time.slabs} slabs" if config.time.minimises else ""
    return [
        f"fem-models {__version__}, {flow.comm.size} ranks",
        f"{job.title}: {config.system.name}, {config.time.scheme}, {config.time.flux} flux{slabs}, "
        f"{problem.clock.count} steps from t = {problem.clock.start:g} to t = {problem.clock.end:g}",
        f"mesh: {_cells(problem)} cells, edges from {geometry.h_min:.3g} to {geometry.h_max:.3g}, "
        f"{geometry.negative_share:.2%} with negative coefficient",
    ]


def _ending(stop: Stop, summary: Summary) -> list[str]:
    lines = [f"warning: {text}" for text in summary["warnings"]]
    lines += stop.report.splitlines()
    total = duration(summary["wall_seconds"]["total"])
    return [*lines, f"stopped at t = {stop.time:g} ({stop.reason}) after {summary['steps']} steps, {total}"]
