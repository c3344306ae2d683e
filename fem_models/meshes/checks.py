"""Checks that the cells of a mesh cover their domain once: no cell is flat, none is turned over.

Formulas on cells take the absolute value of a determinant, so that the order of the vertices in a file does
not matter. A cell that is turned over, because a vertex was moved across the opposite side, goes unnoticed by
them, though it lies on its neighbours: it is found by its facets, which have both of their cells on one side.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fem_models.core.errors import InputError

_Array = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int64]

_ZERO_VOLUME = 1e-14


def flatness(points: _Array, cells: _Indices) -> _Array:
    """Volumes of parallelepipeds on the first vertices of cells, relative to powers of their longest sides.

    Args:
        points: Shape (points, 3).
        cells: Indices into the points, shape (cells, dim + 1).

    Returns:
        Between 0 (no volume) and 1, shape (cells,), dimensionless.
    """
    dim = cells.shape[1] - 1
    edges = points[cells[:, 1:], :dim] - points[cells[:, :1], :dim]
    longest = np.sqrt((edges**2).sum(axis=2)).max(axis=1, initial=0.0)
    return np.abs(np.linalg.det(edges)) / np.where(longest > 0.0, longest, 1.0) ** dim


def check_volumes(points: _Array, cells: _Indices, origin: str) -> None:
    """Refuse cells of zero volume.

    Args:
        points: Shape (points, 3).
        cells: Indices into the points, shape (cells, dim + 1).
        origin: What the mesh is, for the message.

    Raises:
        InputError: There are some; the message has their number and the place of the first.
    """
    flat = np.flatnonzero(flatness(points, cells) <= _ZERO_VOLUME)
    if len(flat):
        raise InputError(
            f"{origin} has {_count(flat)} of zero volume, {_place(points, cells, flat)}: repair it, or mesh "
            "it with another cell size."
        )


def check_overlaps(points: _Array, cells: _Indices, origin: str) -> None:
    """Refuse cells that are turned over, and others that lie on a neighbour.

    Args:
        points: Shape (points, 3).
        cells: Indices into the points, shape (cells, dim + 1), none of zero volume.
        origin: What the mesh is, for the message.

    Raises:
        InputError: There are some; the message has their number and the place of the first.
    """
    count, vertices = cells.shape
    # Facet k of a cell is that opposite to its vertex k; its corners in an order that both cells share.
    facets = np.stack([np.sort(np.delete(cells, k, axis=1), axis=1) for k in range(vertices)], axis=1)
    sides = _sides(points, facets, cells).ravel()
    owner = np.repeat(np.arange(count), vertices)
    flat = facets.reshape(-1, vertices - 1)
    order = np.lexsort(flat.T)
    pairs = []
    # Of three cells at a facet two are on the same side, perhaps not one after the other.
    for gap in (1, 2):
        pair = np.stack([order[:-gap], order[gap:]])
        pairs.append(pair[:, np.all(flat[pair[0]] == flat[pair[1]], axis=1)])
    first, second = np.concatenate(pairs, axis=1)
    bad = sides[first] == sides[second]
    if not bad.any():
        return
    turned = _turned(count, owner[first], owner[second], bad)
    raise InputError(
        f"{origin} has {_count(turned)} turned over or lying on a neighbour, "
        f"{_place(points, cells, turned)}: repair it, or mesh it again."
    )


def _turned(count: int, first: _Indices, second: _Indices, bad: npt.NDArray[np.bool_]) -> _Indices:
    """The cells that are turned over, of neighbours of which one is where `bad` says so.

    In every connected part it is the smaller number of cells. Where the neighbours contradict each other, as
    where three cells share a facet, they are all those with a bad neighbour.
    """
    # Two copies of each cell, upright and turned over; neighbours hold in the same or in the other copy.
    other = np.where(bad, count, 0)
    rows = np.concatenate([first, first + count])
    columns = np.concatenate([second + other, second + count - other])
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(2 * count, 2 * count))
    _, labels = connected_components(graph, directed=False)
    upright, over = labels[:count], labels[count:]
    if np.any(upright == over):
        return np.unique(np.concatenate([first[bad], second[bad]]))
    sizes = np.bincount(upright, minlength=labels.max() + 1)
    fewer = np.where(sizes[upright] == sizes[over], upright < over, sizes[upright] < sizes[over])
    return np.flatnonzero(fewer)


def _sides(points: _Array, facets: _Indices, cells: _Indices) -> npt.NDArray[np.bool_]:
    """On which side of each facet the cell lies, shape (cells, facets of a cell)."""
    dim = cells.shape[1] - 1
    corners = points[facets][..., :dim]
    base = corners[:, :, :1]
    legs = np.concatenate([corners[:, :, 1:] - base, points[cells][:, :, None, :dim] - base], axis=2)
    return np.linalg.det(legs) > 0.0


def _count(cells: _Indices) -> str:
    return "1 cell" if len(cells) == 1 else f"{len(cells)} cells"


def _place(points: _Array, cells: _Indices, found: _Indices) -> str:
    middle = points[cells[found[0]]].mean(axis=0)[: cells.shape[1] - 1]
    place = ", ".join(f"{x + 0.0:.6g}" for x in middle)
    return f"at ({place})" if len(found) == 1 else f"the first at ({place})"
