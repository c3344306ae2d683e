"""Meshes in formats that meshio reads, on rank 0: Abaqus' input files, and VTK files of any version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError
from fem_models.core.extras import require
from fem_models.meshes.simplices import CELL_NAME, Simplices, check_simplex, checked

_FORMATS = {".inp": "abaqus", ".vtk": "vtk"}
_DIMENSION = {"vertex": 0, "line": 1} | {name: dim for dim, name in CELL_NAME.items() if dim > 1}


def read_by_meshio(path: Path) -> Simplices:
    """Read the points, cells and sets of cells of a file.

    Args:
        path: The file, which ends in .inp or .vtk.

    Returns:
        The whole mesh, with its sets of cells as named parts.

    Raises:
        InputError: meshio is missing, the file is damaged, or it has no mesh of straight-sided simplices.
    """
    origin = f"The mesh file {path}"
    meshio: Any = require("meshio", extra="mesh", what="Meshes from Abaqus' and VTK files")
    try:
        read = meshio.read(path, file_format=_FORMATS[path.suffix.lower()])
    # It ends the process where a file is not what it should be.
    except (Exception, SystemExit) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise InputError(f"{origin} is damaged or in another format: {reason}.") from error
    for block in read.cells:
        name = block.type.rstrip("0123456789")
        check_simplex(origin, block.type, 1 if block.type in _DIMENSION else 2, name in _DIMENSION)
    dimension = max((_DIMENSION[block.type] for block in read.cells), default=0)
    if dimension == 0:
        raise InputError(f"{origin} has no cells: it needs intervals, triangles or tetrahedra.")
    cells, regions = _part(read, dimension)
    facets, sides = _part(read, dimension - 1)
    points = np.zeros((len(read.points), 3))
    points[:, : read.points.shape[1]] = read.points
    return checked(
        Simplices(points, cells, {name: facets[rows] for name, rows in sides.items()}, regions), origin
    )


def _part(read: Any, dimension: int) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.int64]]]:
    """The elements of a dimension, and the rows of those in each element set that has some."""
    corners: list[npt.NDArray[np.int64]] = [np.empty((0, dimension + 1), np.int64)]
    rows: dict[str, list[npt.NDArray[np.int64]]] = {}
    start = 0
    for number, block in enumerate(read.cells):
        if _DIMENSION[block.type] != dimension:
            continue
        corners.append(np.asarray(block.data, dtype=np.int64))
        for name, members in read.cell_sets.items():
            if members[number] is not None and len(members[number]):
                rows.setdefault(name, []).append(start + np.asarray(members[number], dtype=np.int64))
        start += len(block.data)
    return np.concatenate(corners), {name: np.unique(np.concatenate(found)) for name, found in rows.items()}
