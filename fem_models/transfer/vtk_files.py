"""Fields of VTK's XML files (.vtu, .pvtu, .pvd), on one process: those of DOLFINx, ParaView and meshio."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError
from fem_models.core.extras import require
from fem_models.core.suggestions import choices
from fem_models.transfer.pieces import LARGEST, Piece

_VERSION = re.compile(rb'(<VTKFile\b[^>]*?\bversion=")([^"]*)(")')
_KNOWN_VERSIONS = (b"0.1", b"1.0")
_COUNTS = re.compile(rb'\bNumberOf(?:Points|Cells)="([^"]*)"')
# The head of a file, where its version is.
_HEAD = 4096
_DIMENSION = {"line": 1, "triangle": 2, "tetra": 3}
# Cells of any degree begin with their corners.
_DIMENSION |= {"VTK_LAGRANGE_CURVE": 1, "VTK_LAGRANGE_TRIANGLE": 2, "VTK_LAGRANGE_TETRAHEDRON": 3}


def files_of_ranks(path: Path) -> list[Path]:
    """The files with the pieces of a .pvtu file.

    Args:
        path: That file, or another one, which is its only piece.

    Returns:
        The files.

    Raises:
        InputError: It is damaged.
    """
    if path.suffix.lower() != ".pvtu":
        return [path]
    try:
        found = [path.parent / entry.attrib["Source"] for entry in ElementTree.parse(path).iter("Piece")]
    except (OSError, ElementTree.ParseError, KeyError, ValueError, LookupError):
        found = []
    if not found:
        raise InputError(f"{path} is missing or damaged: it names no pieces.")
    return found


def read_vtu(path: Path, names: Sequence[str]) -> Piece:
    """The cells of a .vtu file with some of its fields.

    Args:
        path: The file.
        names: The fields, which have a number at every point.

    Returns:
        The cells that are no other rank's.

    Raises:
        InputError: The file is missing or damaged, its cells are no simplices, or it has no such field.
    """
    read = _read(path)
    try:
        dims = [_DIMENSION.get(block.type.partition("(")[0], 0) for block in read.cells]
        dim = max(dims, default=0)
        chosen = [block for block, its in zip(read.cells, dims, strict=True) if its == dim]
        if (
            dim == 0
            or len(chosen) > 1
            or any(block.dim == dim for block in read.cells if block not in chosen)
        ):
            raise InputError(f"{path} needs cells of one kind, which are lines, triangles or tetrahedra.")
        cells = np.asarray(chosen[0].data, dtype=np.int64)
        ghosts = (read.cell_data or {}).get("vtkGhostType")
        if ghosts is not None:
            cells = cells[np.asarray(ghosts[dims.index(dim)]).ravel() == 0]
        points = np.asarray(read.points, dtype=float)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise damaged(path) from None
    return Piece(points, cells, dim, columns(path, read.point_data or {}, names, len(points)))


def columns(path: Path, fields: dict[str, Any], names: Sequence[str], points: int) -> npt.NDArray[np.float64]:
    """Some fields of a file as columns.

    Args:
        path: The file.
        fields: What it has at its points, by name.
        names: The fields that are wanted.
        points: The number of points.

    Returns:
        Shape (points, names).

    Raises:
        InputError: A field is not there, or has not one number at each point.
    """
    found = np.empty((points, len(names)))
    for column, name in enumerate(names):
        if name not in fields:
            known = [known for known in fields if not known.startswith("vtk")]
            raise InputError(
                f'{path} has no field "{name}" at its points; {choices(name, known)}.'
                if known
                else f"{path} has no fields at its points."
            )
        values = np.asarray(fields[name])
        if values.size != points or values.dtype.kind not in "fiu":
            raise InputError(f'The field "{name}" of {path} has not one number at each point.')
        found[:, column] = values.ravel()
    return found


def damaged(path: Path, reason: str = "") -> InputError:
    """The error for a file that is missing or damaged.

    Args:
        path: The file.
        reason: Why, without a full stop.

    Returns:
        The error.
    """
    return InputError(f"{path} is missing or damaged{f' ({reason})' if reason else ''}.")


def _read(path: Path) -> Any:
    """The file as meshio has it."""
    vtu: Any = require("meshio.vtu", extra="mesh", what="Fields in VTK's files")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise damaged(path, error.strerror or "") from None
    if text.count(b"<Piece") > 1:
        raise InputError(f"{path} has several pieces: write it as one, or give the .pvtu file.")
    if any(
        not count.isdigit() or int(count) > min(LARGEST, 1100 * len(text)) for count in _COUNTS.findall(text)
    ):
        raise damaged(path)
    version = _VERSION.search(text[:_HEAD])
    try:
        with warnings.catch_warnings(action="ignore"):
            if version is None or version[2] in _KNOWN_VERSIONS:
                return vtu.read(path)
            # meshio refuses the numbers of later versions, which differ in nothing that is read here.
            with tempfile.NamedTemporaryFile(suffix=".vtu") as copy:
                copy.write(text[: version.start(2)] + _KNOWN_VERSIONS[-1] + text[version.end(2) :])
                copy.flush()
                return vtu.read(copy.name)
    # It raises what it comes upon, and ends the process where a file is not what it should be.
    except (Exception, SystemExit):
        raise damaged(path) from None
