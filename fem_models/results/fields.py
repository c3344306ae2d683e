"""Written fields of a run: plain simplices with values at their corners, at a few of the written times.

Files of any number of ranks are read on one process. Everything is dimensionless.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, override
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from fem_models.config.problem import NODAL_VOLUME
from fem_models.core.errors import InputError
from fem_models.core.extras import require
from fem_models.core.suggestions import choices

if TYPE_CHECKING:
    import pyvista as pv

POTENTIAL = "V"
STEADY = "_steady"

_Array = npt.NDArray[np.float64]
# VTK's numbers of simplices by dimension: linear ones, and Lagrange's of any degree.
_LINEAR = {1: 3, 2: 5, 3: 10}
_SIMPLICES = {*_LINEAR.values(), 68, 69, 71}


@dataclass(frozen=True)
class Snapshot:
    """The fields at a time.

    Attributes:
        points: positions, shape (points, 3).
        cells: corners of the simplices, shape (cells, dimension + 1).
        values: values at the points by name, each of shape (points,) (dimensionless). The length of a vector
            field g is there as "|g|".
        cell_values: likewise for fields that are constant on cells, each of shape (cells,).
        numbers: a number of each point that it has in all pieces of a domain, shape (points,), where known.
    """

    points: _Array
    cells: npt.NDArray[np.int64]
    values: dict[str, _Array]
    cell_values: dict[str, _Array] = field(default_factory=dict)
    numbers: npt.NDArray[np.int64] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all fields."""
        return (*self.values, *self.cell_values)

    def __getitem__(self, name: str) -> _Array:
        """The values of a field at the points, shape (points,), or on the cells, shape (cells,).

        Raises:
            InputError: There is no such field.
        """
        if name in self.values:
            return self.values[name]
        if name not in self.cell_values:
            raise InputError(f'No field "{name}" was written; {choices(name, self.names)}.')
        return self.cell_values[name]

    @property
    def dimension(self) -> int:
        """Dimension of the simplices."""
        return self.cells.shape[1] - 1

    @property
    def bounds(self) -> tuple[_Array, _Array]:
        """Lower and upper corner of the box around the domain, each of shape (3,)."""
        return self.points.min(axis=0), self.points.max(axis=0)

    @property
    def centre(self) -> _Array:
        """Middle of that box, shape (3,), with a clean zero where it is zero but for rounding."""
        low, high = self.bounds
        middle = (low + high) / 2.0
        return np.where(np.abs(middle) < 1e-9 * np.ptp([low, high], axis=0).max(), 0.0, middle)

    def grid(self) -> "pv.UnstructuredGrid":
        """The fields as a PyVista grid of linear cells."""
        pv = _pyvista()
        grid = pv.UnstructuredGrid({_LINEAR[self.dimension]: self.cells}, self.points)
        for name, values in self.values.items():
            grid.point_data[name] = values
        for name, values in self.cell_values.items():
            grid.cell_data[name] = values
        return grid


class FieldSeries(ABC):
    """Fields at some times.

    Args:
        times: The times, in any order; one or more.
        species: The names of the fields that are looked at.

    Attributes:
        times: The times, in increasing order.
        species: The names.
    """

    def __init__(self, times: Iterable[float], species: Sequence[str]) -> None:
        self.times = tuple(sorted(times))
        self.species = tuple(species)

    @abstractmethod
    def at(self, time: float) -> Snapshot:
        """The fields at one of the times.

        Args:
            time: One of `times`.

        Returns:
            The fields of the whole domain.

        Raises:
            InputError: If they cannot be read.
        """

    @property
    def first(self) -> Snapshot:
        """The fields at the first time."""
        return self.at(self.times[0])

    @property
    def last(self) -> Snapshot:
        """The fields at the last time."""
        return self.at(self.times[-1])

    def some_times(self, count: int) -> tuple[float, ...]:
        """Some of the times, the first and the last among them.

        Args:
            count: How many there may be, at least 1.

        Returns:
            The times, in increasing order.
        """
        chosen = np.linspace(0, len(self.times) - 1, min(count, len(self.times))).round().astype(int)
        return tuple(self.times[index] for index in chosen)


class WrittenFields(FieldSeries):
    """The fields of a run, in the file that `PvdFile` writes.

    Args:
        path: The .pvd file.
        species: Names of the fields that it must hold; without them all scalar fields that are there, but for
            potentials and steady states.
        beside: A file of the same kind with fields that do not change, where it exists: they are among the
            last ones.

    Raises:
        InputError: If the file cannot be read or names no time.

    Attributes:
        path: The file.
        species: The names of the fields that are looked at.
        times: The written times, in increasing order.
    """

    def __init__(self, path: Path, species: Sequence[str] = (), beside: Path | None = None) -> None:
        self._beside = beside
        self._pieces: dict[float, list[str]] = {}
        for time, piece in written(path):
            self._pieces.setdefault(time, []).append(piece)
        if not self._pieces:
            raise InputError(f"{path} names no time: the run has written no fields.")
        super().__init__(self._pieces, species)
        self.path = path
        self._mesh: tuple[_Array, npt.NDArray[np.int64]] | None = None
        # The pieces of one time take a while to read, and several figures show the same few times.
        self._snapshot = lru_cache(maxsize=16)(self._read)
        if not self.species:
            self.species = tuple(name for name in self.first.values if not _is_static(name))

    def at(self, time: float) -> Snapshot:
        """The fields at one of the written times.

        Args:
            time: One of `times`.

        Returns:
            The fields of the whole domain.

        Raises:
            InputError: If a piece is missing or damaged, or a species is not in it.
        """
        return self._snapshot(time)

    @property
    @override
    def last(self) -> Snapshot:
        last = super().last
        if self._beside is None or not self._beside.is_file():
            return last
        other = WrittenFields(self._beside).first
        if not np.array_equal(other.points, last.points):
            raise InputError(f"{self._beside} is of another mesh than {self.path}; run the run file again.")
        return replace(last, values=last.values | other.values)

    def parts(self, time: float) -> Iterator[Snapshot]:
        """The fields at one of the written times in the pieces that the ranks wrote.

        Args:
            time: One of `times`.

        Yields:
            The pieces, one after the other.

        Raises:
            InputError: As for `at`.
        """
        for name in self._pieces[time]:
            yield from map(self._read_part, _files_of_ranks(self.path.parent / name))

    def _read(self, time: float) -> Snapshot:
        whole = joined(list(self.parts(time)))
        # One copy of a mesh that stays the same, however many times are kept.
        mesh = whole.points, whole.cells
        if self._mesh is None or not all(map(np.array_equal, self._mesh, mesh)):
            self._mesh = mesh
        return replace(whole, points=self._mesh[0], cells=self._mesh[1])

    def _read_part(self, path: Path) -> Snapshot:
        pv = _pyvista()
        try:
            # VTK's own complaints would come before the sentence below.
            with pv.vtk_verbosity("off"), warnings.catch_warnings(action="ignore"):
                grid = pv.read(path)
        except (OSError, ValueError, RuntimeError):
            raise _damaged(path) from None
        if not isinstance(grid, pv.UnstructuredGrid) or grid.n_cells == 0:
            raise _damaged(path)
        part = _simplices(grid)
        if part is None:
            raise InputError(f"{path} has cells that are not simplices of one kind and cannot be drawn.")
        for name in self.species:
            if name not in part.names:
                known = ", ".join(part.names) or "none"
                raise InputError(f"{path} has no field {name}: its fields are {known}.")
        return part


def joined(parts: Sequence[Snapshot]) -> Snapshot:
    """Pieces of a domain as one, without seams: a point that they have with one number is one point of it.

    Args:
        parts: The pieces, with the same fields; one or more.

    Returns:
        The whole.
    """
    offsets = np.cumsum([0, *(len(part.points) for part in parts[:-1])])
    points = np.concatenate([part.points for part in parts])
    cells = np.concatenate([part.cells + offset for part, offset in zip(parts, offsets, strict=True)])
    at_points, on_cells = (
        {name: np.concatenate([values[name] for values in found]) for name in found[0]}
        for found in ([part.values for part in parts], [part.cell_values for part in parts])
    )
    known = [part.numbers for part in parts if part.numbers is not None]
    if len(known) < len(parts):
        return Snapshot(points, cells, at_points, on_cells)
    _, first, places = np.unique(np.concatenate(known), return_index=True, return_inverse=True)
    merged = {name: values[first] for name, values in at_points.items()}
    return Snapshot(points[first], places[cells].astype(np.int64), merged, on_cells)


def _is_static(name: str) -> bool:
    """Whether a field is one that a run writes beside its state: a potential, a volume or a steady state."""
    return name in (POTENTIAL, NODAL_VOLUME) or name.startswith(f"{POTENTIAL}_") or name.endswith(STEADY)


def written(path: Path) -> list[tuple[float, str]]:
    """The times in a .pvd file, with the names of their files.

    Args:
        path: The file.

    Returns:
        The times and names, in the order of the file.

    Raises:
        InputError: It does not exist, or is damaged.
    """
    try:
        entries = list(ElementTree.parse(path).iter("DataSet"))
        return [(float(entry.attrib["timestep"]), entry.attrib["file"]) for entry in entries]
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: the run has written no fields.") from None
    except (OSError, ElementTree.ParseError, KeyError, ValueError):
        raise InputError(f"{path} is damaged; run the run file again to write the fields.") from None


def _files_of_ranks(path: Path) -> list[Path]:
    """The files that the ranks have written for one time.

    VTK would pass over one that is missing and show the rest of the domain.
    """
    if path.suffix != ".pvtu":
        return [path]
    try:
        files = [path.parent / entry.attrib["Source"] for entry in ElementTree.parse(path).iter("Piece")]
    except (OSError, ElementTree.ParseError, KeyError):
        raise _damaged(path) from None
    if not files:
        raise _damaged(path)
    return files


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is missing or damaged; run the run file again to write the fields.")


def _pyvista() -> Any:
    return require("pyvista", extra="plot", what="Fields of a run directory")


def _simplices(grid: "pv.UnstructuredGrid") -> Snapshot | None:
    """The owned cells of a grid, by their corners; None if they are not simplices of one kind."""
    corners = np.diff(grid.cell_offsets)
    kind = grid.celltypes[0]
    dimension = grid.get_cell(0).dimension
    # There may be Lagrange cells of any degree: the corners come first.
    if np.any(grid.celltypes != kind) or kind not in _SIMPLICES or np.ptp(corners):
        return None
    connected = grid.cell_connectivity.reshape(-1, corners[0])[:, : dimension + 1]
    owned = np.ones(len(connected), dtype=bool)
    if "vtkGhostType" in grid.cell_data:  # cells that another rank owns and writes, too
        owned = grid.cell_data["vtkGhostType"] == 0
    connected = connected[owned]
    used, numbers = np.unique(connected, return_inverse=True)
    cells = numbers.reshape(-1, dimension + 1).astype(np.int64)
    values = {name: found[used] for name, found in _numbers(grid.point_data)}
    on_cells = {name: found[owned] for name, found in _numbers(grid.cell_data)}
    points = np.asarray(grid.points, dtype=float)[used]
    known = grid.point_data.get("vtkOriginalPointIds", None)
    return Snapshot(points, cells, values, on_cells, None if known is None else np.asarray(known)[used])


def _numbers(data: "pv.DataSetAttributes") -> Iterator[tuple[str, _Array]]:
    """Scalar fields by name, and vector fields by their length."""
    for name in data:
        values = np.asarray(data[name])
        if name.startswith("vtk"):
            continue
        if values.ndim == 1:
            yield name, values
        elif values.ndim == 2 and values.shape[1] <= 3:
            yield f"|{name}|", np.linalg.norm(values, axis=1)
