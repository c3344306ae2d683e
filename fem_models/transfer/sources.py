"""What a density may come from, and how it is found: run directories, files, and what Python has."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from dolfinx.fem import Function

from fem_models.core.errors import InputError
from fem_models.core.run_names import FIELDS, SERIES, checkpoint_files, checkpoints
from fem_models.transfer.grids import Box, Grid, read_grid
from fem_models.transfer.pieces import Piece
from fem_models.transfer.times import XDMF, times_of_pvd, times_of_xdmf
from fem_models.transfer.vtk_files import files_of_ranks, read_vtu
from fem_models.transfer.xdmf_fields import read_xdmf_fields

# Times are written with all digits, and asked for with fewer.
_SAME_TIME = 1e-9
# So many times are named where the one that is asked for is not there.
_NEAREST = 4

GRIDS = (".npy", ".npz", ".png")
MESHES = (".pvd", ".vtu", ".pvtu", *XDMF)


@dataclass(frozen=True)
class FileSource:
    """A density in a run directory or a file.

    Attributes:
        path: The directory or the file.
        field: Name of the field or array there; that of the density by default.
        time: One of the times there; the last by default, dimensionless.
        invert: Whether white is zero in an image, and not black.
    """

    path: Path
    field: str | None = None
    time: float | None = None
    invert: bool = False


@dataclass(frozen=True)
class MeshSource:
    """A density on a mesh that every process has.

    Attributes:
        points: Shape (points, 3).
        cells: Corners of the simplices, shape (cells, dim + 1).
        values: At the points, shape (points,), dimensionless.
        mass: As it was measured; None for the integral of the linear interpolant.
    """

    points: npt.NDArray[np.float64]
    cells: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    mass: float | None = None


Source = FileSource | MeshSource | Function
"""Where a density comes from: a file, a mesh with values, or a DOLFINx function on another mesh."""


@dataclass(frozen=True)
class Opened:
    """Fields of a file on simplices, ready to be read.

    Attributes:
        origin: What it is, for messages.
        files: The files of its pieces.
        fields: Names of the fields.
        time: Their time; None where the file has none.
        masses: Of the fields, as a run has measured them.
        checkpoints: Files that may have the same fields with all digits.
    """

    origin: str
    files: Sequence[Path]
    fields: Sequence[str]
    time: float | None = None
    masses: Mapping[str, float] = field(default_factory=dict)
    checkpoints: Sequence[Path] = ()

    def pieces(self) -> Iterator[Piece]:
        """The pieces, one after the other. On one process.

        Raises:
            InputError: A file is missing or damaged, or has no such field.
        """
        for path in self.files:
            if path.suffix.lower() in XDMF:
                yield read_xdmf_fields(path, self.fields, self.time)
            else:
                yield read_vtu(path, self.fields)


def opened(source: FileSource, fields: Sequence[str]) -> Opened:
    """Find fields on simplices. On one process.

    Args:
        source: A run directory, or a file on simplices.
        fields: Names of the fields.

    Returns:
        The fields, with the time that is meant.

    Raises:
        InputError: There is no such file, or it has no such time.
    """
    path = source.path
    if path.is_dir():
        return _of_run(path, source.time, fields)
    suffix = path.suffix.lower()
    if suffix == ".pvd":
        times = times_of_pvd(path)
        time = _time(source, list(times))
        return Opened(f"{path} at t = {time:g}", _pieces(times[time]), fields, time)
    if suffix in XDMF and (known := times_of_xdmf(path)):
        time = _time(source, known)
        return Opened(f"{path} at t = {time:g}", [path], fields, time)
    if source.time is not None:
        raise InputError(f"{path} has no times: leave out time = {source.time:g}.")
    return Opened(str(path), _pieces([path]), fields)


def opened_grid(source: FileSource, names: Sequence[str], box: Box) -> Grid:
    """Read a density on a grid. On one process.

    Args:
        source: A file of NumPy, or an image.
        names: What its array may be called.
        box: The box around the mesh.

    Returns:
        The grid.

    Raises:
        InputError: The file is missing or damaged, or does not go with the mesh or with what is asked of it.
    """
    path, suffix = source.path, source.path.suffix.lower()
    if source.time is not None:
        raise InputError(f"{path} has no times: leave out time = {source.time:g}.")
    if source.field is not None and suffix != ".npz":
        raise InputError(f'{path} has no names: leave out field = "{source.field}".')
    if source.invert and suffix != ".png":
        raise InputError(f"{path} is no image: leave out invert.")
    return read_grid(path, source.field, names, box, source.invert)


def is_grid(source: FileSource) -> bool:
    """Whether a file has a grid; call it with what `check` has let pass.

    Args:
        source: The file.

    Returns:
        Whether it has, by its name.
    """
    return source.path.suffix.lower() in GRIDS and not source.path.is_dir()


def check(source: FileSource) -> None:
    """Refuse what no density can be read from. On one process.

    Args:
        source: The source.

    Raises:
        InputError: It is not there, or is of another kind.
    """
    path = source.path
    try:
        directory, file = path.is_dir(), path.is_file()
    except (OSError, ValueError):
        directory = file = False
    if not directory and not file:
        raise InputError(f"{path} does not exist: give a run directory or a file to start from.")
    if not directory and path.suffix.lower() not in (*MESHES, *GRIDS):
        raise InputError(
            f"{path} is no run directory and no file of a kind that can be read: "
            f"{', '.join((*MESHES, *GRIDS))}."
        )
    if not is_grid(source) and source.invert:
        raise InputError(f"{path} is no image: leave out invert.")


def _of_run(directory: Path, wanted: float | None, fields: Sequence[str]) -> Opened:
    file = directory / FIELDS
    if not file.is_file():
        raise InputError(f"{directory} is no run directory with fields to start from: it has no {FIELDS}.")
    times = times_of_pvd(file)
    time = _time(FileSource(directory, time=wanted), list(times))
    files, masses = _pieces(times[time]), _masses(directory / SERIES, time, fields)
    kept = checkpoint_files(checkpoints(directory))
    return Opened(f"{directory} at t = {time:g}", files, fields, time, masses, kept)


def _pieces(files: Sequence[Path]) -> list[Path]:
    return [piece for file in files for piece in files_of_ranks(file)]


def _time(source: FileSource, known: Sequence[float]) -> float:
    """The time that is meant, of those that there are in increasing order."""
    wanted = source.time
    if wanted is None:
        return known[-1]
    near = sorted(known, key=lambda time: abs(time - wanted))[:_NEAREST]
    if not abs(near[0] - wanted) <= _SAME_TIME * max(map(abs, known)):
        listing = ", ".join(repr(time) for time in sorted(near))
        raise InputError(
            f"{source.path} has no fields of the time {wanted:g}: the nearest that it has are {listing}."
        )
    return near[0]


def _masses(series: Path, time: float, fields: Sequence[str]) -> dict[str, float]:
    """The masses of the fields as series.csv has them at a time; of others there are none."""
    try:
        with series.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = [row for row in csv.DictReader(file) if float(row["time"]) == time]
        row = rows[0] if rows else {}
        masses = {name: float(row[f"mass_{name}"]) for name in fields if f"mass_{name}" in row}
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        return {}
    return {name: mass for name, mass in masses.items() if np.isfinite(mass)}
