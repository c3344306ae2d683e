"""Products with the matrix of the even modes, from one sparse matrix for each pair of directions.

Σ_{ab,n'} (B_a B_bᵀ)_{nn'} (q ∂_b h_{n'}, ∂_a w) needs the scalar matrices S_ab = (q ∂_b φ_j, ∂_a φ_i) alone,
which all modes share: with one q for all odd modes there are d² of them, else d² for each degree of odd
modes. Each rank has the shares of its own cells; the sums over ranks are those of the products.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from fem_models.kinetic.bgk.kernels import fill_gradients
from fem_models.kinetic.bgk.space import KineticSpace

_Array = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int32]


class _Stack:
    """Some sparse matrices with one pattern, whose rows alternate: the product with a table is one product.

    Args:
        cells: Nodes of each cell, shape (cells, nodes of a cell).
        nodes: Number of nodes.
        count: Number of matrices.

    Attributes:
        places: The place of each pair of nodes of each cell in the values of the first matrix.
        steps: The distance to the places of the next matrix, of each cell and its first node of the pair.
        values: Of all matrices.
    """

    def __init__(self, cells: _Ints, nodes: int, count: int) -> None:
        pairs = (cells[:, :, None].astype(np.int64) * nodes + cells[:, None, :]).ravel()
        unique, places = np.unique(pairs, return_inverse=True)
        rows, columns = np.divmod(unique, nodes)
        lengths = np.bincount(rows, minlength=nodes)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(len(unique)) - starts[rows]
        first = count * starts[rows] + within
        indices = np.empty(count * len(unique), dtype=np.int32)
        for k in range(count):
            indices[first + k * lengths[rows]] = columns
        self.places = first[places].astype(np.int32).reshape(len(cells), cells.shape[1], cells.shape[1])
        self.steps = lengths[cells].astype(np.int32)
        self.values = np.zeros(len(indices))
        pointers = np.concatenate([[0], np.cumsum(np.repeat(lengths, count))]).astype(np.int32)
        self._matrix = csr_array((self.values, indices, pointers), shape=(count * nodes, nodes))
        # SciPy may keep a copy.
        self.values = self._matrix.data

    def product(self, table: _Array, factors: _Array) -> _Array:
        """Σ_k S_k h F_k.

        Args:
            table: h, shape (nodes, columns).
            factors: F, shape (count, columns, columns).

        Returns:
            Shape (nodes, columns).
        """
        columns = table.shape[1]
        return (self._matrix @ table).reshape(len(table), -1) @ factors.reshape(-1, columns)


class EvenOperator:
    """The scalar matrices S_ab and the masses, on the cells of this rank.

    Args:
        space: The discrete modes.
        by_degree: Whether q depends on the degree of odd modes.
    """

    def __init__(self, space: KineticSpace, by_degree: bool) -> None:
        self._space = space
        degrees = space.modes.odd.sum(axis=1)
        self._groups = [degrees == k for k in np.unique(degrees)] if by_degree else [degrees > 0]
        self._factors = np.ascontiguousarray(self._couplings())
        self._transport = _Stack(space.cells, space.node_count, len(self._factors))
        # Lumped masses are diagonal.
        self._masses = _Stack(space.cells, space.node_count, 2) if space.degree == 2 else None
        self._lumped = np.zeros((space.node_count, 2))

    def _couplings(self) -> _Array:
        """(B_b B_aᵀ)_{n'n} over the odd modes of each group, shape (groups · d², even modes, even modes)."""
        b, count = self._space.modes.matrices, len(self._space.modes.even)
        found = [np.einsum("anm,bkm->abkn", b[:, :, group], b[:, :, group]) for group in self._groups]
        return np.array(found).reshape(-1, count, count)

    def fill(self, q: _Array, masses: _Array, rates: _Array) -> None:
        """Take the coefficients of a step.

        Args:
            q: Shape (cells, points, odd modes).
            masses: Weights of the rule for masses for all modes, shape (cells, points).
            rates: Those that the damping of each mode multiplies.
        """
        space, stack = self._space, self._transport
        weights = space.volumes[:, None] * space.weights
        every = np.array([weights * q[:, :, np.flatnonzero(group)[0]] for group in self._groups])
        stack.values[:] = 0.0
        _fill_transport(stack.places, stack.steps, space.inverse, space.reference_slopes, every, stack.values)
        if self._masses is None:
            shares = (space.mass_values[None, :, :] * weight[:, :, None] for weight in (masses, rates))
            for column, share in enumerate(shares):
                self._lumped[:, column] = np.bincount(
                    space.cells.ravel(), share.sum(axis=1).ravel(), minlength=space.node_count
                )
            return
        self._masses.values[:] = 0.0
        _fill_masses(
            self._masses.places, self._masses.steps, space.mass_values, masses, rates, self._masses.values
        )

    def product(self, damping: _Array, even: _Array) -> _Array:
        """The product with a table at nodes. Collective.

        Args:
            damping: Of the even modes, shape (even modes,).
            even: Shape (nodes, even modes), ghosts included.

        Returns:
            At owned nodes; a view that the next sum changes.
        """
        found = self._transport.product(even, self._factors)
        if self._masses is None:
            found += (self._lumped[:, :1] + self._lumped[:, 1:] * damping) * even
        else:
            found += self._masses.product(even, np.array([np.eye(len(damping)), np.diag(damping)]))
        return self._space.summed_table(found)


@numba.njit(cache=True, error_model="numpy")
def _fill_transport(
    places: _Ints, steps: _Ints, inverse: _Array, slopes: _Array, weights: _Array, out: _Array
) -> None:
    points, nodes, dim = slopes.shape
    gradients = np.empty((nodes, dim))
    for c in range(len(places)):
        for q in range(points):
            fill_gradients(inverse[c], slopes[q], gradients)
            for i in range(nodes):
                for j in range(nodes):
                    entry = places[c, i, j]
                    for group in range(len(weights)):
                        for a in range(dim):
                            factor = weights[group, c, q] * gradients[i, a]
                            for b in range(dim):
                                out[entry] += factor * gradients[j, b]
                                entry += steps[c, i]


@numba.njit(cache=True, error_model="numpy")
def _fill_masses(
    places: _Ints, steps: _Ints, basis: _Array, masses: _Array, rates: _Array, out: _Array
) -> None:
    for c in range(len(places)):
        for q in range(basis.shape[0]):
            for i in range(basis.shape[1]):
                for j in range(basis.shape[1]):
                    value, entry = basis[q, i] * basis[q, j], places[c, i, j]
                    out[entry] += masses[c, q] * value
                    out[entry + steps[c, i]] += rates[c, q] * value
