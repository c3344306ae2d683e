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


def hanging(points: _Points, cells: _Indices) -> int:
    """The number of nodes that lie on the side of a cell of which they are no corner.

    Args:
        points: Shape (nodes, 3).
        cells: Indices of corners, shape (cells, dim + 1), dim 2 or 3.

    Returns:
        The number, 0 for a mesh whose cells meet in whole sides.
    """
    corners = cells.shape[1]
    sides = np.sort(np.concatenate([np.delete(cells, k, axis=1) for k in range(corners)]), axis=1)
    sides, count = np.unique(sides, axis=0, return_counts=True)
    sides = sides[count == 1]
    nodes = np.unique(sides)
    middle = points[sides].mean(axis=1)
    radius = np.linalg.norm(points[sides] - middle[:, None], axis=2).max(axis=1)
    found = cKDTree(points[nodes]).query_ball_point(middle, radius * (1.0 - _ONE_PLACE))
    near = np.repeat(np.arange(len(sides)), [len(numbers) for numbers in found])
    others = nodes[np.concatenate([*found, []]).astype(np.int64)]
    # The shares of the corners in a node, which are positive inside of the side, and its distance from there.
    legs = points[sides[near]]
    legs = legs[:, 1:] - legs[:, :1]
    place = points[others] - points[sides[near, 0]]
    shares = np.einsum("nij,nj->ni", np.linalg.pinv(legs.transpose(0, 2, 1)), place)
    distance = np.linalg.norm(place - np.einsum("ni,nij->nj", shares, legs), axis=1)
    shares = np.column_stack([1.0 - shares.sum(axis=1), shares])
    inside = (shares.min(axis=1) > -_ONE_PLACE) & (shares.max(axis=1) < 1.0 - _ONE_PLACE)
    return len(np.unique(others[inside & (distance < _ONE_PLACE * radius[near])]))


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
