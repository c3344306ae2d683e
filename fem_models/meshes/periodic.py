"""Whole meshes whose opposite sides are one: identified nodes, and checks that they make a torus.

Pure array handling on one process.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError
from fem_models.meshes.joints import connected
from fem_models.meshes.simplices import Simplices

_Array = npt.NDArray[np.float64]

# How far nodes may be from their partners or sides, relative to the length; files may have few digits.
_OFF = 1e-6


class Folded(NamedTuple):
    """A whole mesh with identified nodes.

    Args:
        whole: The mesh whose cells and groups have the numbers of identified nodes.
        vertices: How many of these there are.
        corners: Coordinates of the corners of each cell, shape (cells, dim + 1, dim); those at lower sides
            are the same for all cells, and those at upper sides one length away from them.
        corner: Lower corner of the brick, shape (dim,).
        lengths: Its side lengths, shape (dim,).
    """

    whole: Simplices
    vertices: int
    corners: _Array
    corner: _Array
    lengths: _Array


def fold(whole: Simplices, origin: str) -> Folded:
    """Identify the nodes of a mesh that are one.

    Args:
        whole: The mesh of a brick, with pairs of nodes that are one.
        origin: What the mesh is, to begin messages with.

    Returns:
        The mesh with identified nodes.

    Raises:
        InputError: The pairs do not make a torus of the brick, or its cells are too large.
    """
    dim = whole.cells.shape[1] - 1
    points = whole.points[:, :dim]
    corner, lengths = points.min(axis=0), np.ptp(points, axis=0)
    turns = (points[whole.pairs[:, 0]] - points[whole.pairs[:, 1]]) / lengths
    if np.abs(turns - np.round(turns)).max() > _OFF:
        raise InputError(
            f"{origin} has periodic sides that are not opposite sides of a rectangle or box along the axes: "
            "only such meshes become tori."
        )
    labels = connected(len(points), whole.pairs[:, 0], whole.pairs[:, 1])
    shares = (points - corner) / lengths
    upper = shares > 1.0 - _OFF
    lower = np.where(upper | (shares < _OFF), corner, points)
    # One of those that are one speaks for all, so that they agree in all digits.
    once = np.zeros((labels.max() + 1, dim))
    once[labels] = lower
    facets = {name: labels[corners] for name, corners in whole.boundaries.items()}
    found = whole._replace(cells=labels[whole.cells], boundaries=facets)
    _check(found.cells, origin)
    corners = once[found.cells] + upper[whole.cells] * lengths
    return Folded(found, len(once), corners, corner, lengths)


def _check(cells: npt.NDArray[np.int64], origin: str) -> None:
    """Refuse cells that meet themselves or each other twice, and facets without two cells."""
    ordered = np.sort(cells, axis=1)
    twice = bool((ordered[:, 1:] == ordered[:, :-1]).any())
    if twice or len(np.unique(ordered, axis=0)) < len(cells):
        what = "cells with one vertex twice" if twice else "two cells with the same vertices"
        raise InputError(
            f"{origin} has {what} where its opposite sides are one: a torus needs at least 3 cells around in "
            "each direction, so take smaller ones."
        )
    sides = np.concatenate([np.delete(ordered, k, axis=1) for k in range(cells.shape[1])])
    count = np.unique(sides, axis=0, return_counts=True)[1]
    if np.any(count == 1):
        raise InputError(
            f"{origin} is periodic in some directions only, {(count == 1).sum()} facets have one cell: make "
            "all opposite sides periodic, or none."
        )
    if np.any(count > 2):
        raise InputError(
            f"{origin} has facets with more than two cells where its opposite sides are one: take smaller "
            "cells."
        )
