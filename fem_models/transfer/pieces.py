"""Fields on simplices, piece by piece: what a file has, and the blocks that are handed to all ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError

_Array = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int64]

# Of so many cells is a block, a few megabytes.
_CELLS = 1 << 15

LARGEST = 1 << 29
"""Files with more numbers than this in an array are refused: 4 GB on one process."""


class Piece(NamedTuple):
    """A part of a mesh with fields on it.

    Attributes:
        points: Shape (points, 3).
        cells: Indices into `points`: the dim + 1 corners of each simplex, and behind them its other nodes.
        dim: The dimension of the simplices.
        values: Of the fields at the points, shape (points, fields), dimensionless.
    """

    points: _Array
    cells: _Indices
    dim: int
    values: _Array


class Block(NamedTuple):
    """A part of a piece of moderate size.

    Attributes:
        points: Shape (points, dim).
        cells: Corners, indices into `points`, shape (cells, dim + 1).
        values: At the points, shape (points, fields).
        integrals: Of the linear interpolants over the block, shape (fields,).
    """

    points: _Array
    cells: _Indices
    values: _Array
    integrals: _Array


def blocks(pieces: Iterable[Piece], dim: int, origin: str) -> Iterator[Block]:
    """Pieces in blocks of moderate size.

    Args:
        pieces: The pieces.
        dim: The dimension of the space that they must fill.
        origin: What they are of, for messages.

    Yields:
        The blocks.

    Raises:
        InputError: Cells of another dimension, or that refer to points that do not exist; points or values
            that are not finite.
    """
    for piece in pieces:
        check_piece(piece, dim, origin)
        for begin in range(0, len(piece.cells), _CELLS):
            used, local = np.unique(piece.cells[begin : begin + _CELLS], return_inverse=True)
            points, values = piece.points[used, :dim], piece.values[used]
            corners = local.reshape(-1, piece.cells.shape[1])[:, : dim + 1].astype(np.int64)
            yield Block(points, corners, values, _integrals(points[corners], values[corners]))


def check_piece(piece: Piece, dim: int, origin: str) -> None:
    """Refuse cells that do not go with a mesh, or are damaged.

    Args:
        piece: The cells, their points and values.
        dim: The dimension of the mesh.
        origin: What they are of, for messages.

    Raises:
        InputError: As for `blocks`.
    """
    if piece.dim != dim:
        raise InputError(f"{origin} has cells of dimension {piece.dim}, and the mesh has dimension {dim}.")
    if len(piece.cells) and (piece.cells.min() < 0 or piece.cells.max() >= len(piece.points)):
        raise InputError(f"{origin} is damaged: its cells refer to points that do not exist.")
    for array, what in ((piece.points, "points"), (piece.values, "values")):
        if not np.isfinite(array).all():
            raise InputError(f"{origin} has {what} that are not finite numbers.")


def _integrals(corners: _Array, values: _Array) -> _Array:
    """The integrals of linear functions: corners of shape (cells, dim + 1, dim), values (.., dim + 1, n)."""
    edges = corners[:, 1:] - corners[:, :1]
    volumes = np.abs(np.linalg.det(edges)) / (1, 1, 2, 6)[edges.shape[1]]
    return np.asarray(volumes @ values.mean(axis=1))
