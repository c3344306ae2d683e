"""Run files and run directories from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.config.io import from_dict, load
from fem_models.config.run_file import RunConfig
from fem_models.core.checks import finite, named, positive
from fem_models.core.errors import InputError, SolveError
from fem_models.core.parallel import on_rank_zero
from fem_models.results import layout
from fem_models.results.run_data import RunData, opened

if TYPE_CHECKING:
    from fem_models.results.fields import Snapshot


class Run:
    """A run directory, read piece by piece as it is needed, by every process that asks for it.

    Args:
        directory: The directory.
        name: What the run is called in figures.
    """

    def __init__(self, directory: Path, name: str = "this run") -> None:
        self.directory = directory
        self._data = RunData(directory, name)

    def __repr__(self) -> str:
        reached = self.summary.get("time")
        state = "no summary yet" if reached is None else f"{self.summary['stop_reason']} at t = {reached:g}"
        return f"Run({self.directory}; {self.config.system.name}, {state})"

    @property
    def config(self) -> RunConfig:
        """The run file."""
        return self._data.config

    @property
    def summary(self) -> Mapping[str, Any]:
        """What summary.json has; empty for a run that still goes on."""
        return self._data.summary

    @property
    def series(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """The columns of series.csv by name, each of shape (steps + 1,)."""
        return self._data.series

    def table(self, name: str) -> Mapping[str, npt.NDArray[np.float64]]:
        """The columns of another table, such as study.csv, jko.csv or sweep.csv.

        Args:
            name: The file.

        Returns:
            Columns by name, each of shape (rows,).

        Raises:
            InputError: There is no such table.
        """
        there = sorted(path.name for path in self.directory.glob("*.csv"))
        return self._data.table(name, (), f"the tables of the run are {', '.join(there)}")

    @property
    def times(self) -> tuple[float, ...]:
        """The times at which fields were written."""
        return self._data.fields.times

    def fields(self, time: float | None = None) -> Snapshot:
        """The fields at the written time that is nearest to a time.

        Args:
            time: The time; the last one by default.

        Returns:
            The mesh with its fields: `fields["rho"]` are values at its points.

        Raises:
            InputError: No fields were written, or they are damaged.
        """
        times = np.array(self.times)
        index = -1 if time is None else int(np.argmin(np.abs(times - finite(time, "time"))))
        return self._data.fields.at(self.times[index])

    @property
    def variants(self) -> Mapping[str, Run]:
        """The variants of [[compare]] and [sweep] that were run, by name."""
        return {data.name: Run(data.directory, data.name) for data in self._data.variants}

    def plot(self) -> Sequence[Path]:
        """Draw the figures that the run file asks for. Call it on one process.

        Returns:
            The pictures.

        Raises:
            InputError: What a figure needs is missing or damaged.
        """
        from fem_models.plotting import draw  # here: it takes a while to import

        return draw(self.directory)

    def movie(self, path: Path | str, *, fields: Sequence[str] = (), fps: float | None = None) -> Path:
        """Make a film of the fields over the written times. Call it on one process.

        Args:
            path: The film, a file that ends in .mp4 or .gif, in a directory that exists.
            fields: Names of the fields; those of the run file by default.
            fps: Pictures per second of the film; by default so that it lasts four seconds or more.

        Returns:
            The film.

        Raises:
            InputError: Fields are missing or are there at one time only, or the file cannot be written.
        """
        from fem_models.plotting.movie import movie  # here: it takes a while to import

        speed = None if fps is None else positive(fps, "fps")
        return movie([self._data], Path(path), fields, speed)

    def report(self, path: Path | str, *others: Run) -> Path:
        """Write one HTML page on the run, which works offline. Call it on one process.

        Args:
            path: The page, a file that ends in .html, in a directory that exists.
            others: Runs that stand beside it.

        Returns:
            The page.

        Raises:
            InputError: A run file or a summary is damaged, or the page cannot be written.
        """
        from fem_models.report import write_report  # here: it takes a while to import

        return write_report(opened([run.directory for run in (self, *others)]), Path(path))


def open_run(directory: Path | str) -> Run:
    """Open a run directory.

    Args:
        directory: What `fem-models run` has left, finished or not.

    Returns:
        The run.

    Raises:
        InputError: It is no run directory.
    """
    if not isinstance(directory, Path | str):
        raise InputError(f"A run is opened by the path of its directory, not by {named(directory)}.")
    return Run(Path(directory))


def run_file(
    file: Path | str | Mapping[str, Any],
    out: Path | str | None = None,
    *,
    overwrite: bool = False,
    set: Mapping[str, Any] | None = None,
    figures: bool = True,
    comm: MPI.Comm = MPI.COMM_WORLD,
) -> Run:
    """Run a run file, as `fem-models run` does. Collective.

    Args:
        file: The run file, or its tables.
        out: The run directory; by default as for the command, and needed with tables.
        overwrite: Whether an earlier run there is replaced.
        set: Keys to change, as in {"time.step": 0.1}.
        figures: Whether the figures are drawn.
        comm: The ranks that run it.

    Returns:
        The run directory.

    Raises:
        InputError: Something is wrong with the input; nothing is left behind.
        SolveError: A step could not be solved; the message is the report, and the directory has what was
            computed before.
    """
    from fem_models.config.messages import toml
    from fem_models.run.runner import run as run_all

    overrides = [f"{key}={toml(value)}" for key, value in (set or {}).items()]
    if isinstance(file, Mapping):
        if out is None:
            raise InputError("out is missing: tables have no name that a run directory could be called by.")
        if overrides:
            raise InputError("set is for run files: change the tables themselves.")
        config, directory = from_dict(file), Path(out)
    else:
        config = on_rank_zero(comm, lambda: load(file, overrides))
        directory = layout.default_directory(Path(file)) if out is None else Path(out)
    outcomes = run_all(config, directory, overwrite, comm, None, _draw if figures else None)
    if outcomes.failure is not None:
        raise SolveError(outcomes.failure.stop.report)
    return Run(directory)


def _draw(directory: Path) -> Sequence[Path]:
    from fem_models.plotting import draw  # here: it takes a while to import

    return draw(directory)
