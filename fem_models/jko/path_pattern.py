"""Where the entries of the Jacobian of a path are, and those between nodes.

Columns are the densities of all slabs, species after species, and after them the potentials likewise; rows
are the continuity equations (2.9a) and the Hamilton–Jacobi equations (2.9b) with the end (2.9e), in this
order (see `fem_models.jko.paths`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.bool_]


class PathPattern:
    """The entries of each node and of each pair of nodes.

    Args:
        columns: Number of densities, slabs times species.
        slabs: S.
        final_rows: Rows of the end.
        final: Columns of the state at the end.

    Attributes:
        later: The densities that are not of the first slab, shape (columns,).
        earlier: Those that are not of the last one.
    """

    def __init__(self, columns: int, slabs: int, final_rows: Iterable[int], final: Iterable[int]) -> None:
        self._columns, self._slabs = columns, slabs
        self._final_rows, self._final = list(final_rows), list(final)
        self.later: _Flags = np.arange(columns) % slabs > 0
        self.earlier: _Flags = np.arange(columns) % slabs < slabs - 1

    def at_nodes(self) -> list[tuple[int, int]]:
        """Row and column, within a node, of each of its entries."""
        c, last = self._columns, self._slabs - 1
        every = range(c)
        return [
            *((j, j) for j in every),
            *((j, c + j) for j in every),
            *((c + j, c + j) for j in every),
            *((c + j, j) for j in every),
            *((j, j - 1) for j in every if j % self._slabs > 0),
            *((c + j, c + j + 1) for j in every if j % self._slabs < last),
            *((row, column) for row in self._final_rows for column in self._final),
        ]

    def between_nodes(self) -> list[tuple[int, int]]:
        """The same for entries between nodes."""
        c, last = self._columns, self._slabs - 1
        every = range(c)
        return [
            *((j, j) for j in every),
            *((j, c + j) for j in every),
            *((c + j, c + j) for j in every),
            *((j, j - 1) for j in every if j % self._slabs > 0),
            *((c + j, c + j + 1) for j in every if j % self._slabs < last),
        ]

    def values_between(
        self,
        transport: _Array,
        stiffness: _Array,
        free: _Flags,
        moves: _Flags,
        pairs: npt.NDArray[np.int32],
        a: float,
    ) -> list[_Array]:
        """The values of the entries between nodes.

        Args:
            transport: Those of the transports of (2.9a), shape (pairs, 2, columns); used up.
            stiffness: Those of the fluxes, of the same shape.
            free: Densities, ghosts included, that are not held, shape (nodes, columns).
            moves: Those whose changes are seen by (2.9a).
            pairs: Local nodes of each pair, shape (pairs, 2).
            a: The weight α of the later density in the mean.

        Returns:
            The values in the order of `between_nodes`, both directions of a pair one after the other.
        """
        i, j = pairs.T
        # Rows of (2.9b) and (2.9e) have the transposed of the transports of (2.9a).
        turned = transport[:, ::-1] * free[np.stack([i, j], axis=1)]
        following = np.roll(transport, -1, axis=2)[:, ::-1] * free[np.stack([i, j], axis=1)]
        transport *= moves[np.stack([i, j], axis=1)]
        parts = [
            a * transport,
            stiffness,
            a * turned,
            ((1.0 - a) * transport)[:, :, self.later],
            ((1.0 - a) * following)[:, :, self.earlier],
        ]
        return [part.transpose(2, 1, 0).ravel() for part in parts]
