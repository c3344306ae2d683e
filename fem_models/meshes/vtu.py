"""Fields on the cells of a rank as a file of VTK: a description in XML, and numbers as memory has them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt
from dolfinx import fem, plot
from dolfinx.mesh import Mesh

from fem_models.core.files import draft, write_text

_Array = npt.NDArray[Any]

# Its types know one of its two overloads only.
_vtk_mesh: Any = plot.vtk_mesh

# VTK's numbers of lines, triangles and tetrahedra with values at their corners.
_LINEAR = {1: 3, 2: 5, 3: 10}
_TYPES = {"f8": "Float64", "i8": "Int64", "i4": "Int32", "u1": "UInt8"}
_HEAD = (
    '<?xml version="1.0"?>\n<VTKFile type="{kind}" version="1.0" '
    f'byte_order="{sys.byteorder.capitalize()}Endian" header_type="UInt64">\n'
)
_END = "</VTKFile>\n"
# Readers join the pieces of all ranks by it; VTK knows the name.
_NUMBERS = "vtkOriginalPointIds"


@dataclass(frozen=True)
class Piece:
    """What a rank writes of a time.

    Attributes:
        points: Positions, shape (points, 3), in the units of the mesh.
        cells: Numbers of the points of each cell in the order of VTK, shape (cells, points of a cell).
        kind: VTK's number of the kind of cells.
        at_points: Values by name, shape (points,) or (points, components).
        on_cells: Values by name, shape (cells,) or (cells, components).
    """

    points: _Array
    cells: _Array
    kind: int
    at_points: Mapping[str, _Array]
    on_cells: Mapping[str, _Array]


class Pieces:
    """The pieces of one rank: the cells that it owns, with the points of the space of the fields.

    Fields constant on cells have their values on cells. All others are Lagrange of one degree, continuous or
    not, and the points are those of their unknowns; where there are none, the points are those of the mesh.
    """

    def __init__(self) -> None:
        self._spaces: list[tuple[fem.FunctionSpace | None, _Points]] = []

    def __call__(self, functions: Sequence[fem.Function]) -> Piece:
        """The piece of some functions.

        Args:
            functions: One or more functions on one mesh; their names name the fields.

        Returns:
            The piece.

        Raises:
            ValueError: Fields that are not constant on cells are not of one element.
        """
        constant = [function for function in functions if _degree(function.function_space) == 0]
        others = [function for function in functions if _degree(function.function_space) > 0]
        mesh = functions[0].function_space.mesh
        where = self._points(mesh, others[0].function_space if others else None)
        owned = len(where.cells)
        at_points = {function.name: _columns(function, where.unknowns(function)) for function in others}
        on_cells = {
            function.name: _columns(function, function.function_space.dofmap.list[:owned, 0])
            for function in constant
        }
        at_points[_NUMBERS] = where.numbers
        return Piece(where.points, where.cells, where.kind, at_points, on_cells)

    def _points(self, mesh: Mesh, space: fem.FunctionSpace | None) -> _Points:
        for known, points in self._spaces:
            if known is space and points.mesh is mesh:
                return points
        points = _Points(mesh, space)
        self._spaces.append((space, points))
        return points


class _Points:
    """The points of the cells that this rank owns, and the unknowns of spaces there."""

    def __init__(self, mesh: Mesh, space: fem.FunctionSpace | None) -> None:
        topology = mesh.topology
        owned = topology.index_map(topology.dim).size_local
        entities = np.arange(owned, dtype=np.int32)
        if space is None:
            found, kinds, points = _vtk_mesh(mesh, topology.dim, entities)
            everywhere = mesh.geometry.index_map()
        else:
            found, kinds, points = _vtk_mesh(space, entities)
            everywhere = space.dofmap.index_map
        per_cell = len(found) // owned if owned else topology.dim + 2
        self._order = found.reshape(owned, per_cell)[:, 1:]
        used = np.zeros(len(points), dtype=bool)
        used[self._order] = True
        (self._first,) = used.nonzero()
        places = np.empty(len(points), dtype=np.int32)
        places[self._first] = np.arange(len(self._first), dtype=np.int32)
        self.mesh, self.space = mesh, space
        self.cells = places[self._order]
        self.points = points[self._first]
        self.numbers = everywhere.local_to_global(self._first.astype(np.int32))
        linear = self.cells.shape[1] == topology.dim + 1
        self.kind = _LINEAR[topology.dim] if linear or not owned else int(kinds[0])
        self._unknowns: list[tuple[fem.FunctionSpace, _Array]] = []

    def unknowns(self, function: fem.Function) -> _Array:
        """The number of the unknown of a function at each point, shape (points,)."""
        space = function.function_space
        if space is self.space:
            return self._first
        for known, unknowns in self._unknowns:
            if known is space:
                return unknowns
        if _element(space) != _element(self.space):
            raise ValueError(f"The field {function.name!r} is of another element than the others.")
        # Spaces of one element may number their unknowns differently.
        order = _vtk_mesh(space, np.arange(len(self.cells), dtype=np.int32))[0]
        unknowns = np.empty(len(self._first), dtype=np.int32)
        unknowns[self.cells] = order.reshape(len(self.cells), -1)[:, 1:]
        self._unknowns.append((space, unknowns))
        return unknowns


def _degree(space: fem.FunctionSpace) -> int:
    return int(space.ufl_element().embedded_superdegree)


def _element(space: fem.FunctionSpace | None) -> tuple[Any, ...]:
    assert space is not None
    element = space.ufl_element()
    return element.family_name, element.degree, element.basix_element.discontinuous


def _columns(function: fem.Function, unknowns: _Array) -> _Array:
    """Values as VTK has them: numbers, vectors of three and tensors of nine components."""
    found = function.x.array.reshape(-1, function.function_space.dofmap.bs)[unknowns]
    shape = function.ufl_shape
    if not shape:
        return found[:, 0]
    padded = np.zeros((len(found), *(3,) * len(shape)))
    padded[(slice(None), *map(slice, shape))] = found.reshape(-1, *shape)
    return padded.reshape(len(found), -1)


def write_piece(path: Path, piece: Piece) -> None:
    """Write a .vtu file, whole or not at all.

    Args:
        path: The file; its directory exists.
        piece: What to write.

    Raises:
        InputError: The file system refuses the path.
        OutputError: There is no room for the file.
    """
    per_cell = piece.cells.shape[1]
    ends = np.arange(per_cell, piece.cells.size + 1, per_cell, dtype=piece.cells.dtype)
    blocks = {
        "Points": {"Points": piece.points},
        "Cells": {
            "connectivity": piece.cells.ravel(),
            "offsets": ends,
            "types": np.full(len(piece.cells), piece.kind, dtype=np.uint8),
        },
        "PointData": piece.at_points,
        "CellData": piece.on_cells,
    }
    lines, arrays, offset = [], [], 0
    for block, values in blocks.items():
        lines.append(f"<{block}>")
        for name, array in values.items():
            lines.append(f'<DataArray {_described(name, array)} format="appended" offset="{offset}"/>')
            arrays.append(np.ascontiguousarray(array))
            offset += 8 + array.nbytes
        lines.append(f"</{block}>")
    sizes = f'NumberOfPoints="{len(piece.points)}" NumberOfCells="{len(piece.cells)}"'
    text = "\n".join(
        [
            f"<UnstructuredGrid>\n<Piece {sizes}>",
            *lines,
            '</Piece>\n</UnstructuredGrid>\n<AppendedData encoding="raw">\n_',
        ]
    )
    with draft(path) as part, part.open("wb") as file:
        file.write((_HEAD.format(kind="UnstructuredGrid") + text).encode())
        for array in arrays:
            file.write(np.uint64(array.nbytes).tobytes())
            file.write(array.data)
        file.write(f"\n</AppendedData>\n{_END}".encode())


def write_list(path: Path, piece: Piece, files: Sequence[str]) -> None:
    """Write the .pvtu file that names the files of all ranks, whole or not at all; on one rank.

    Args:
        path: The file; its directory exists.
        piece: The piece of one of the ranks, whose fields all others have.
        files: The names of the files, relative to the directory.

    Raises:
        InputError: The file system refuses the path.
        OutputError: There is no room for the file.
    """
    blocks = {
        "PPoints": {"Points": piece.points},
        "PPointData": piece.at_points,
        "PCellData": piece.on_cells,
    }
    lines = ['<PUnstructuredGrid GhostLevel="0">']
    for block, values in blocks.items():
        lines.append(f"<{block}>")
        lines += [f"<PDataArray {_described(name, array)}/>" for name, array in values.items()]
        lines.append(f"</{block}>")
    lines += [f"<Piece Source={quoteattr(name)}/>" for name in files]
    text = "\n".join([*lines, "</PUnstructuredGrid>", _END])
    write_text(path, _HEAD.format(kind="PUnstructuredGrid") + text)


def _described(name: str, array: _Array) -> str:
    kind = f'type="{_TYPES[array.dtype.str[1:]]}" Name={quoteattr(name)}'
    return f'{kind} NumberOfComponents="{array.shape[1]}"' if array.ndim > 1 else kind
