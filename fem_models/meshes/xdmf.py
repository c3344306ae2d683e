"""Meshes from XDMF files, read on rank 0: what DOLFINx, meshio and gmsh's users write.

The data may be text (XML), raw bytes (Binary) or in an HDF5 file, compressed or not. Whole numbers that
belong to cells or facets name parts of the mesh.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError
from fem_models.core.extras import require
from fem_models.meshes.simplices import Simplices, check_simplex, checked

_Indices = npt.NDArray[np.int64]

# The simplices of the first order by their names in XDMF, in lower case, with their dimensions.
_SIMPLICES = {"polyvertex": 0, "polyline": 1, "interval": 1, "triangle": 2, "tetrahedron": 3}
# The same by their numbers in a topology of mixed kinds; the first two are followed by a count of nodes.
_MIXED = {1: 0, 2: 1, 4: 2, 6: 3}
_COUNTED = (1, 2)


class _Block(NamedTuple):
    """Simplices of one dimension and whole numbers that belong to them, by name."""

    corners: _Indices
    numbers: dict[str, _Indices]

    @property
    def dimension(self) -> int:
        return self.corners.shape[1] - 1


def read_xdmf(path: Path) -> Simplices:
    """Read the grids of an XDMF file: cells, and marked cells and facets where it has some.

    Args:
        path: The file.

    Returns:
        The whole mesh. Its parts go by the numbers that the file gives to cells and facets, but for zero.

    Raises:
        InputError: The file is damaged, or has no mesh of straight-sided simplices.
    """
    origin = f"The mesh file {path}"
    padded, blocks = _points_and_blocks(path, origin)
    dimension = max(block.dimension for block in blocks)
    cells, regions = _joined([block for block in blocks if block.dimension == dimension])
    facets, sides = _joined([block for block in blocks if block.dimension == dimension - 1])
    boundaries = {name: facets[rows] for name, rows in sides.items()}
    return checked(Simplices(padded, cells, boundaries, regions), origin)


def read_xdmf_grid(path: Path) -> tuple[npt.NDArray[np.float64], _Indices]:
    """The points and cells of the first grid of an XDMF file, in the order of the file.

    Args:
        path: The file.

    Returns:
        Points of shape (n, 3) and the corners of the cells, shape (m, dim + 1).

    Raises:
        InputError: The file is damaged, or has no mesh of straight-sided simplices.
    """
    points, blocks = _points_and_blocks(path, str(path), first=True)
    return points, max(blocks, key=lambda block: block.dimension).corners


def _points_and_blocks(
    path: Path, origin: str, first: bool = False
) -> tuple[npt.NDArray[np.float64], list[_Block]]:
    """The points, shape (n, 3), and the simplices of all grids, or of the first one."""
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise InputError(f"{origin} is damaged: it is not valid XML ({error}).") from error
    grids = [grid for grid in root.iter("Grid") if grid.find("Topology") is not None]
    if not grids:
        raise InputError(f"{origin} has no cells: it needs a uniform grid with a topology.")
    blocks: list[_Block] = []
    try:
        points = _points(grids, path)
        for grid in grids[:1] if first else grids:
            blocks += _blocks(grid, path, origin)
    except InputError:
        raise
    except Exception as error:
        reason = str(error).rstrip(".")
        raise InputError(f"{origin} or its HDF5 file is damaged or missing: {reason}.") from error
    blocks = [block for block in blocks if len(block.corners)]
    dimension = max((block.dimension for block in blocks), default=0)
    if dimension == 0:
        raise InputError(f"{origin} has no cells: it needs intervals, triangles or tetrahedra.")
    if any(block.corners.min() < 0 or block.corners.max() >= len(points) for block in blocks):
        raise InputError(f"{origin} is damaged: cells refer to points that do not exist.")
    padded = np.zeros((len(points), 3))
    padded[:, : points.shape[1]] = points
    return padded, blocks


def _points(grids: list[Any], path: Path) -> npt.NDArray[np.float64]:
    """The points, which the first grid with a geometry has; those after it share them."""
    geometry = next(found for grid in grids if (found := grid.find("Geometry")) is not None)
    items = geometry.findall("DataItem")
    kind = geometry.get("GeometryType", geometry.get("Type", "XYZ")).upper()
    columns = [data_item(item, path).astype(float) for item in items]
    if kind in ("X_Y_Z", "X_Y"):
        return np.column_stack([column.ravel() for column in columns])
    points = columns[0]
    return points.reshape(-1, points.shape[-1] if points.ndim > 1 else {"X": 1, "XY": 2}.get(kind, 3))


def _blocks(grid: Any, path: Path, origin: str) -> Iterator[_Block]:
    """The simplices of a grid by dimension, with the numbers that they have."""
    topology = grid.find("Topology")
    kind = topology.get("TopologyType", topology.get("Type", ""))
    data = data_item(topology.find("DataItem"), path).astype(np.int64)
    found = _whole_numbers(grid, path)
    if kind.lower() == "mixed":
        start = 0
        for corners in _runs(data.ravel(), origin):
            rows = slice(start, start + len(corners))
            start += len(corners)
            yield _Block(corners, {name: numbers[rows] for name, numbers in found.items()})
        return
    # "Triangle_6" is a triangle with six nodes, the second of its order.
    name, _, nodes = kind.lower().partition("_")
    dimension = _SIMPLICES.get(name)
    check_simplex(origin, kind.lower(), 2 if nodes else 1, dimension is not None)
    corners = data.reshape(-1, cast("int", dimension) + 1)
    yield _Block(corners, {key: numbers for key, numbers in found.items() if len(numbers) == len(corners)})


def _runs(stream: _Indices, origin: str) -> Iterator[_Indices]:
    """The corners of a topology of mixed kinds: runs of cells of one kind, each shape (cells, corners)."""
    place = 0
    while place < len(stream):
        code = int(stream[place])
        check_simplex(origin, f"number {code} of XDMF", 1, code in _MIXED)
        before = 2 if code in _COUNTED else 1
        width = before + _MIXED[code] + 1
        same = stream[place::width] == code
        count = len(same) if same.all() else int(np.argmin(same))
        yield stream[place : place + count * width].reshape(count, width)[:, before:]
        place += count * width


def _whole_numbers(grid: Any, path: Path) -> dict[str, _Indices]:
    """The whole numbers that a grid has for each of its cells, by name."""
    found = {}
    for attribute in grid.findall("Attribute"):
        item = attribute.find("DataItem")
        if attribute.get("Center") != "Cell" or item is None:
            continue
        values = data_item(item, path).ravel()
        if np.issubdtype(values.dtype, np.integer):
            found[attribute.get("Name", "")] = values.astype(np.int64)
    # gmsh's groups by way of meshio; its numbers of surfaces and curves are no groups.
    if "gmsh:physical" in found:
        return {"gmsh:physical": found["gmsh:physical"]}
    return found


def _joined(blocks: list[_Block]) -> tuple[_Indices, dict[str, _Indices]]:
    """The simplices of some blocks, each once, and the rows of those with each number but zero."""
    if not blocks:
        return np.empty((0, 1), np.int64), {}
    corners = np.concatenate([block.corners for block in blocks])
    # Marks come as grids of their own, whose cells are those of the mesh once more.
    _, first, place = np.unique(np.sort(corners, axis=1), axis=0, return_index=True, return_inverse=True)
    kept, row = np.unique(first, return_inverse=True)
    rows: dict[str, list[_Indices]] = {}
    start = 0
    for block in blocks:
        here = row[place.ravel()[start : start + len(block.corners)]]
        start += len(block.corners)
        for numbers in block.numbers.values():
            for number in np.unique(numbers[numbers != 0]):
                rows.setdefault(str(number), []).append(here[numbers == number])
    return corners[kept], {name: np.unique(np.concatenate(found)) for name, found in rows.items()}


def data_item(item: Any, path: Path) -> npt.NDArray[Any]:
    """The numbers of a data item, in the shape that it says.

    Args:
        item: The element of XML.
        path: The XDMF file, beside which others with data are.

    Returns:
        The numbers. What is wrong with them raises what the libraries raise.
    """
    shape = tuple(int(size) for size in item.get("Dimensions", "").split())
    text = (item.text or "").strip()
    kind = item.get("NumberType", item.get("DataType", "Float")).lower()
    precision = item.get("Precision", "8" if kind == "float" else "4")
    letter = {"float": "f", "uint": "u", "uchar": "u", "char": "i"}.get(kind, "i")
    size = "1" if kind in ("char", "uchar") else precision
    form = item.get("Format", "XML").upper()
    if form == "HDF":
        name, _, inside = text.partition(":")
        # h5py's library is mixed up with that of DOLFINx where both are loaded, and that of DOLFINx's wheel
        # cannot decompress.
        pyfive: Any = require("pyfive", extra="mesh", what="XDMF files with data in HDF5")
        with pyfive.File(path.parent / name) as file:
            return np.asarray(file[inside][...])
    if form == "BINARY":
        order = ">" if item.get("Endian", "Native").lower() == "big" else "<"
        offset = int(item.get("Seek", "0"))
        numbers = np.fromfile(path.parent / text, f"{order}{letter}{size}", prod(shape), offset=offset)
        return numbers.reshape(shape)
    numbers = np.array(text.split(), dtype=f"{letter}8")
    return numbers.reshape(shape) if shape else numbers
