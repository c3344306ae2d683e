"""Values at the entries of an index map, such as nodes, and their exchange between owners and ghosts.

Each rank knows the entries that it owns, which come first, and ghosts, which others own. Assembly gives each
rank its share at both; the sum is made at the owners, and ghosts are told.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from dolfinx import la
from dolfinx.common import IndexMap

_Array = npt.NDArray[np.float64]


class Exchange:
    """A table of values at owned entries and ghosts, kept for repeated use. Collective to build and to call.

    Arrays that are returned are views of the table: they change with the next call.

    Args:
        index_map: The entries.
        columns: The number of values at each.

    Attributes:
        owned: Number of entries of this rank.
        values: The table, shape (owned entries and ghosts, columns).
    """

    def __init__(self, index_map: IndexMap, columns: int = 1) -> None:
        self._vector = la.vector(index_map, bs=columns)
        self.owned: int = index_map.size_local
        self.values: _Array = self._vector.array.reshape(-1, columns)
        self.values[:] = 0.0

    def cleared(self) -> _Array:
        """The table with zeros, to add shares to."""
        self.values[:] = 0.0
        return self.values

    def summed(self) -> _Array:
        """The sums of the shares of all ranks in the table, at owned entries: shape (owned, columns)."""
        self._vector.scatter_reverse(la.InsertMode.add)
        return self.values[: self.owned]

    def summed_everywhere(self) -> _Array:
        """The sums of the shares of all ranks in the table, ghosts included."""
        self._vector.scatter_reverse(la.InsertMode.add)
        self._vector.scatter_forward()
        return self.values

    def with_ghosts(self, owned: _Array) -> _Array:
        """The table with values of the owners, which ghosts are told.

        Args:
            owned: Values at owned entries, shape (owned, columns), or the same entries one after the other.

        Returns:
            Shape (owned entries and ghosts, columns).
        """
        self.values[: self.owned] = np.reshape(owned, (self.owned, -1))
        self._vector.scatter_forward()
        return self.values


def sums(index_map: IndexMap, entries: npt.NDArray[Any], shares: npt.ArrayLike) -> _Array:
    """Sums of shares over all ranks. Collective.

    Args:
        index_map: The entries.
        entries: The local entry of each share, ghosts among them, of any shape; an entry may come repeatedly.
        shares: The shares, of a shape that goes with it.

    Returns:
        The sum at each entry, ghosts included, shape (owned entries and ghosts,).
    """
    exchange = Exchange(index_map)
    # NumPy's `add.at` reads beyond the shares where it has to spread them over entries of another shape.
    every = np.broadcast_to(np.asarray(shares, dtype=float), entries.shape)
    np.add.at(exchange.values[:, 0], entries.ravel(), every.ravel())
    return exchange.summed_everywhere()[:, 0].copy()


def with_ghosts(index_map: IndexMap, owned: _Array) -> _Array:
    """Values of owners, and those of ghosts. Collective.

    Args:
        index_map: The entries.
        owned: Values at owned entries, shape (owned,).

    Returns:
        Shape (owned entries and ghosts,).
    """
    return Exchange(index_map).with_ghosts(owned)[:, 0].copy()
