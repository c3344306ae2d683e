"""Whether the cells of a whole mesh hang together: copies of cells, nodes at one place, separate parts.

Pure array handling on one process.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

_Indices = npt.NDArray[np.int64]
_Points = npt.NDArray[np.float64]

# Nodes closer than this share of the extent of a mesh are at one place.
_ONE_PLACE = 1e-9


def without_copies(cells: _Indices) -> tuple[_Indices, _Indices]:
    """The cells without those that come again, and where each of the given ones is among them.

    Older formats list a cell of two groups twice.

    Args:
        cells: Indices of corners, shape (cells, dim + 1).

    Returns:
        The cells in their order, and numbers of cells, shape (cells,).
    """
    _, first, inverse = np.unique(np.sort(cells, axis=1), axis=0, return_index=True, return_inverse=True)
    kept = np.sort(first)
    return cells[kept], np.searchsorted(kept, first)[inverse.ravel()]


def places(points: _Points) -> _Indices:
    """Numbers of the places of nodes: one for nodes that lie at the same place.

    Args:
        points: Shape (nodes, 3).

    Returns:
        For each node the first node at its place, shape (nodes,).
    """
    extent = float(np.ptp(points, axis=0).max())
    pairs = cKDTree(points).query_pairs(_ONE_PLACE * extent, output_type="ndarray")
    return _first_of(connected(len(points), pairs[:, 0], pairs[:, 1]))


def parts(count: int, cells: _Indices) -> int:
    """The number of parts of a mesh that share no nodes.

    Args:
        count: Of nodes, each of which belongs to a cell.
        cells: Indices of corners, shape (cells, dim + 1).

    Returns:
        The number, 1 for a mesh that hangs together.
    """
    heads = np.repeat(cells[:, 0], cells.shape[1] - 1)
    return int(connected(count, heads, cells[:, 1:].ravel()).max()) + 1


def connected(count: int, i: _Indices, j: _Indices) -> _Indices:
    """The connected part of each of some nodes.

    Args:
        count: Of nodes.
        i: The first node of each link, shape (links,).
        j: The second one.

    Returns:
        Numbers of parts from 0, shape (nodes,).
    """
    graph = coo_array((np.ones(len(i), dtype=bool), (i, j)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _first_of(labels: _Indices) -> _Indices:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse]
