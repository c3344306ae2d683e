"""In which simplices points lie, and the values of linear functions there."""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int64]

# Points that lie outside of all cells by this share of the longest edge of the next one take values from it:
# the facets of round domains lie inside of the circle by no more.
_OVERHANG = 0.125


class Bins:
    """Points in boxes of equal size, to find those in a region.

    Args:
        points: Shape (points, dim).
    """

    def __init__(self, points: _Array) -> None:
        count, dim = points.shape
        self.points = np.zeros((count, 3))
        self.points[:, :dim] = points
        lower, upper = self.points.min(axis=0, initial=math.inf), self.points.max(axis=0, initial=-math.inf)
        along = max(1, math.ceil(count ** (1.0 / dim)))
        self.shape = np.array([along if axis < dim and count else 1 for axis in range(3)])
        self.lower = lower if count else np.zeros(3)
        extent = upper - lower if count else np.ones(3)
        self.width = np.where(extent > 0.0, extent, 1.0) / self.shape
        place = np.clip(((self.points - self.lower) / self.width).astype(np.int64), 0, self.shape - 1)
        number = (place[:, 0] * self.shape[1] + place[:, 1]) * self.shape[2] + place[:, 2]
        self.order = np.argsort(number, kind="stable")
        self.starts = np.searchsorted(number[self.order], np.arange(self.shape.prod() + 1))


class Located:
    """Values at points, from cells that come block by block.

    Args:
        points: Shape (points, dim).
        fields: Number of the fields.

    Attributes:
        values: Shape (points, fields).
        distance: How far each point is from the cell that its values are of; 0 inside, infinite where there
            is none, and negative for what is known from elsewhere. Shape (points,).
    """

    def __init__(self, points: _Array, fields: int) -> None:
        self._bins, self._dim = Bins(points), points.shape[1]
        self.values = np.zeros((len(points), fields))
        self.distance = np.full(len(points), math.inf)

    def add(self, points: _Array, cells: _Indices, values: _Array) -> None:
        """Take values from cells where they are nearer than those before.

        Args:
            points: Shape (n, dim).
            cells: Corners, shape (cells, dim + 1).
            values: At the points, shape (n, fields).
        """
        corners = np.zeros((len(points), 3))
        corners[:, : self._dim] = points
        bins = self._bins
        _locate(
            self._dim,
            corners,
            cells,
            np.ascontiguousarray(values),
            bins.points,
            bins.order,
            bins.starts,
            bins.lower,
            bins.width,
            bins.shape,
            self.distance,
            self.values,
        )


# Explicit loops below: arrays that are made for each cell or point would take most of the time.


@numba.njit(cache=True)
def _cross(a: _Array, b: _Array, found: _Array) -> None:
    found[0] = a[1] * b[2] - a[2] * b[1]
    found[1] = a[2] * b[0] - a[0] * b[2]
    found[2] = a[0] * b[1] - a[1] * b[0]


@numba.njit(cache=True)
def _gradients(dim: int, corners: _Array, edges: _Array, found: _Array) -> bool:
    """The gradients of the barycentric coordinates but the first, shape (3, 3); whether there are some.

    In fewer dimensions unit vectors stand for the missing edges, shape (3, 3).
    """
    for i in range(3):
        for k in range(3):
            edges[i, k] = corners[i + 1, k] - corners[0, k] if i < dim else 1.0 * (i == k)
    _cross(edges[1], edges[2], found[0])
    _cross(edges[2], edges[0], found[1])
    _cross(edges[0], edges[1], found[2])
    volume = 0.0
    for k in range(3):
        volume += edges[0, k] * found[0, k]
    if volume == 0.0:
        return False
    found /= volume
    return True


@numba.njit(cache=True)
def _locate(
    dim: int,
    corners: _Array,
    cells: _Indices,
    given: _Array,
    points: _Array,
    order: _Indices,
    starts: _Indices,
    lower: _Array,
    width: _Array,
    shape: _Indices,
    distance: _Array,
    values: _Array,
) -> None:
    x, edges, gradients, weights = np.zeros((4, 3)), np.zeros((3, 3)), np.zeros((3, 3)), np.zeros(4)
    first, last = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for cell in range(len(cells)):
        for i in range(dim + 1):
            for k in range(3):
                x[i, k] = corners[cells[cell, i], k]
        reach = _OVERHANG * _longest(dim, x)
        if _bins_near(dim, x, reach, lower, width, shape, first, last):
            continue
        if not _gradients(dim, x, edges, gradients):
            continue
        for i in range(first[0], last[0] + 1):
            for j in range(first[1], last[1] + 1):
                row = (i * shape[1] + j) * shape[2]
                for place in range(starts[row + first[2]], starts[row + last[2] + 1]):
                    point = order[place]
                    if distance[point] <= 0.0:
                        continue
                    away = _weights(dim, x, gradients, points[point], weights)
                    if away <= reach and away < distance[point]:
                        distance[point] = away
                        for field in range(values.shape[1]):
                            total = 0.0
                            for k in range(dim + 1):
                                total += weights[k] * given[cells[cell, k], field]
                            values[point, field] = total


@numba.njit(cache=True)
def _longest(dim: int, x: _Array) -> float:
    """The longest edge of a simplex."""
    square = 0.0
    for i in range(dim + 1):
        for j in range(i):
            length = 0.0
            for k in range(3):
                length += (x[i, k] - x[j, k]) ** 2
            square = max(square, length)
    return math.sqrt(square)


@numba.njit(cache=True)
def _bins_near(
    dim: int,
    x: _Array,
    reach: float,
    lower: _Array,
    width: _Array,
    shape: _Indices,
    first: _Indices,
    last: _Indices,
) -> bool:
    """The first and the last bins, along each axis, that are near a simplex; whether there are none."""
    for k in range(3):
        low = high = x[0, k]
        for i in range(1, dim + 1):
            low, high = min(low, x[i, k]), max(high, x[i, k])
        low, high = (low - reach - lower[k]) / width[k], (high + reach - lower[k]) / width[k]
        if high < 0.0 or low > shape[k]:
            return True
        first[k] = int(min(max(low, 0.0), shape[k] - 1.0))
        last[k] = int(min(max(high, 0.0), shape[k] - 1.0))
    return False


@numba.njit(cache=True)
def _weights(dim: int, corners: _Array, gradients: _Array, point: _Array, weights: _Array) -> float:
    """Barycentric coordinates of the point, or of one near it in the cell; returns how far that one is.

    None is negative, so that interpolation makes no value that is less than all that are given.
    """
    weights[0] = 1.0
    for k in range(dim):
        weights[k + 1] = 0.0
        for axis in range(3):
            weights[k + 1] += gradients[k, axis] * (point[axis] - corners[0, axis])
        weights[0] -= weights[k + 1]
    total, inside = 0.0, True
    for k in range(dim + 1):
        if weights[k] < 0.0:
            weights[k] = 0.0
            inside = False
        total += weights[k]
    for k in range(dim + 1):
        weights[k] /= total
    if inside:
        return 0.0
    square = 0.0
    for axis in range(3):
        gap = point[axis]
        for k in range(dim + 1):
            gap -= weights[k] * corners[k, axis]
        square += gap**2
    return math.sqrt(square)
