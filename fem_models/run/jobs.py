"""The runs of a run file: itself and its variants, checked and built before any of them begins."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpi4py import MPI

from fem_models.config import io as config_io
from fem_models.config.problem import Problem
from fem_models.config.run_file import RunConfig
from fem_models.core.errors import InputError
from fem_models.core.parallel import on_rank_zero
from fem_models.meshes.vtx import check_vtx
from fem_models.results import layout
from fem_models.run.build import build_mesh
from fem_models.run.checkpoints import Begun
from fem_models.run.clock import AdaptiveClock, Clock, planned


@dataclass(frozen=True)
class Job:
    """A run that is ready to begin.

    Attributes:
        title: What it is called.
        directory: Its run directory.
        config: Its run file.
        clock: Its steps.
        problem: What it works on.
        seconds: That it took to build that.
        notes: Sentences about its mesh.
        begun: Where it goes on, if it was stopped before.
    """

    title: str
    directory: Path
    config: RunConfig
    clock: Clock | AdaptiveClock
    problem: Problem[Any]
    seconds: float
    notes: Sequence[str]
    begun: Begun[Any] | None = None


def prepare(config: RunConfig, directory: Path, comm: MPI.Comm) -> list[Job]:
    """Build the run and all its variants, so that bad input is found before the first step. Collective.

    Args:
        config: The run file.
        directory: The run directory.
        comm: The ranks.

    Returns:
        The run, and its variants after it.

    Raises:
        InputError: Something about the input is wrong.
    """
    on_rank_zero(comm, lambda: _check_sources(config, directory))
    todo = [("run", directory, config)]
    for index, variant in enumerate(config.variants):
        place = layout.variant_directory(directory, variant.name)
        if place in [taken for _, taken, _ in todo]:
            raise InputError(
                f'[[compare]] name = "{variant.name}" and another name give the same directory {place}; '
                "change one of them."
            )
        todo.append((variant.name, place, config_io.variant(config, index)))
    jobs: list[Job] = []
    built: dict[Any, Any] = {}
    shared: dict[Any, Any] = {}
    for title, place, chosen in todo:
        begin = time.perf_counter()
        try:
            if chosen.output.vtx:
                check_vtx()
            clock = planned(chosen.time, chosen.output)
            if chosen.mesh not in built:
                built[chosen.mesh] = build_mesh(comm, chosen.mesh)
            problem = chosen.system.problem(chosen, built[chosen.mesh])
            problem.shared = shared
        except InputError as error:
            where = "" if chosen is config else f"[[compare]] {title}: "
            raise InputError(f"{where}{error}") from None
        seconds, notes = time.perf_counter() - begin, built[chosen.mesh].notes
        jobs.append(Job(title, place, chosen, clock, problem, seconds, notes))
    return jobs


def _check_sources(config: RunConfig, directory: Path) -> None:
    """Refuse a run that would replace what it starts from."""
    here = directory.resolve()
    for chosen in (config, *(config_io.variant(config, index) for index in range(len(config.variants)))):
        for given in chosen.initial_sources.values():
            if Path(given.from_).resolve().is_relative_to(here):
                raise InputError(
                    f"[initial] from = {given.from_} is in the directory {directory} that the run writes to; "
                    "choose another --out."
                )
