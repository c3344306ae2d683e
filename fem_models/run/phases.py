"""Where the time of a run goes, by phases that add up to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
from mpi4py import MPI

Phase = Literal[
    "setup", "assemble", "solve", "observables", "studies", "tables", "fields", "checkpoints", "steady"
]
"""What a run does: building the problem, assembling and solving in its steps, the numbers of series.csv and
those of studies, writing tables, fields and checkpoints, and the steady state in the end."""

_OTHER = "other"
# Keys of wall_seconds in summary.json that have several phases.
_SUMS = {
    "setup": ("setup",),
    "assemble": ("assemble",),
    "solve": ("solve",),
    "output": ("observables", "studies", "tables", "fields", "checkpoints", "steady", _OTHER),
}


class Phases:
    """The seconds of each phase on this rank.

    Args:
        begin: The time when the run began, of `time.perf_counter`.
    """

    def __init__(self, begin: float) -> None:
        self._begin = begin
        self._seconds: dict[str, float] = dict.fromkeys(get_args(Phase), 0.0)

    def add(self, phase: Phase, seconds: float) -> None:
        """Count some time.

        Args:
            phase: Where it went.
            seconds: How much.
        """
        self._seconds[phase] += seconds

    @contextmanager
    def measured(self, phase: Phase) -> Iterator[None]:
        """Count the time of a block.

        Args:
            phase: Where it goes.

        Yields:
            Nothing.
        """
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(phase, time.perf_counter() - begin)

    def of_steps[T](self, steps: Iterator[T]) -> Iterator[T]:
        """Count the time that steps take as solving, and not what is done between them.

        Args:
            steps: Gives the steps.

        Yields:
            The same.
        """
        while True:
            with self.measured("solve"):
                step = next(steps, None)
            if step is None:
                return
            yield step

    def move(self, seconds: float, source: Phase, target: Phase) -> None:
        """Count time in another phase.

        Args:
            seconds: How much.
            source: Where it was counted.
            target: Where it belongs.
        """
        self._seconds[source] -= seconds
        self._seconds[target] += seconds

    def summary(self, comm: MPI.Comm) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """The entries of summary.json. Collective.

        Args:
            comm: The ranks.

        Returns:
            `wall_seconds`: the total, and what setup, assembly, solving and output take of it in the mean
            over the ranks, which adds up to the total; and `phases`: of every phase the mean and the largest.
        """
        total = time.perf_counter() - self._begin
        local = {**self._seconds, _OTHER: total - sum(self._seconds.values())}
        values = np.array([*local.values(), total])
        sums, largest = np.empty_like(values), np.empty_like(values)
        comm.Allreduce(values, sums, op=MPI.SUM)
        comm.Allreduce(values, largest, op=MPI.MAX)
        means = dict(zip(local, map(float, sums / comm.size), strict=False))
        most = dict(zip(local, map(float, largest), strict=False))
        phases = {name: {"mean": means[name], "largest": most[name]} for name in local}
        wall = {key: sum(means[name] for name in names) for key, names in _SUMS.items()}
        return {"total": float(sums[-1] / comm.size), **wall}, phases
