"""Poles of functions between the nodes of a mesh, where their values at the nodes are finite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]

# Steps towards a pole, the first of which find a peak; and how much a function grows after those.
_HALVINGS, _BEGINNING = 60, 15
_LARGE = 1e8

# Where a function is looked at on each edge, as shares of its length.
_PLACES = tuple(np.linspace(0.1, 0.9, 9))


def pole(
    function: Callable[[_Array], _Array], points: _Array, edges: npt.NDArray[np.integer]
) -> _Array | None:
    """A pole of a function on an edge, if it has one.

    Poles with a change of sign are found on every edge; of the others those are found that are not
    within a twentieth of an edge from its ends.

    Args:
        function: Takes points of shape (dim, n), and gives values of shape (n,).
        points: The nodes, shape (nodes, dim).
        edges: The numbers of the two nodes of each edge, shape (edges, 2).

    Returns:
        The point next to the first pole that is found, shape (dim,); None where there is none.
    """
    start, end = points[edges[:, 0]], points[edges[:, 1]]

    def at(shares: _Array | float, which: npt.NDArray[np.integer]) -> _Array:
        share = np.broadcast_to(shares, len(which))[:, None]
        return function((start[which] + share * (end[which] - start[which])).T)

    every = np.arange(len(edges))
    first, last = at(0.0, every), at(1.0, every)
    size = np.maximum(np.abs(first), np.abs(last))
    samples = np.stack([at(place, every) for place in _PLACES])
    if (bad := ~np.isfinite(samples)).any():
        place, edge = np.argwhere(bad)[0]
        return start[edge] + _PLACES[place] * (end[edge] - start[edge])
    # Either the sign changes, and the pole is where it does, or |f| is larger inside, and grows towards it.
    changes = every[np.sign(first) * np.sign(last) < 0.0]
    low, high = np.zeros(len(changes)), np.ones(len(changes))
    sizes = size[changes]
    for step in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if step == _BEGINNING:
            sizes = np.maximum(sizes, np.abs(at(middle, changes)))
        left = np.sign(at(middle, changes)) == np.sign(first[changes])
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    peaks = every[np.abs(samples).max(axis=0) > 1.5 * size]
    shares = np.array(_PLACES)[np.abs(samples[:, peaks]).argmax(axis=0)]
    width, peak_sizes = 0.1, size[peaks]
    for step in range(_HALVINGS):
        width *= 0.6
        around = np.stack([np.clip(shares + side * width, 0.0, 1.0) for side in (-0.5, 0.0, 0.5)])
        values = np.stack([np.abs(at(share, peaks)) for share in around])
        values = np.where(np.isnan(values), np.inf, values)
        shares = np.take_along_axis(around, values.argmax(axis=0)[None], axis=0)[0]
        if step == _BEGINNING:
            peak_sizes = np.maximum(peak_sizes, values.max(axis=0, initial=0.0))
    for which, found, before in ((changes, 0.5 * (low + high), sizes), (peaks, shares, peak_sizes)):
        values = np.abs(at(found, which))
        grown = ~np.isfinite(values) | (values > _LARGE * before)
        if grown.any():
            edge, share = which[grown][0], found[grown][0]
            return start[edge] + share * (end[edge] - start[edge])
    return None
