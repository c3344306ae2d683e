"""The least and the largest value of f/M over cells and velocities.

In x, the even part is taken at the vertices of each cell (degree 1), or at the points for odd modes (degree
2), and the odd part in the cell. In v, at the Gauss–Hermite nodes, or at the midpoints between them in each
direction.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.kinetic.bgk.space import KineticSpace
from fem_models.kinetic.bgk.state import KineticState

_Array = npt.NDArray[np.float64]

# So many velocities at a time: the values of all at once may not fit into memory.
_SOME = 32


class Extremes:
    """Finds extrema of f/M.

    Args:
        space: The discrete modes.
    """

    def __init__(self, space: KineticSpace) -> None:
        self._space = space
        nodes, _ = space.modes.nodes
        line = np.unique(nodes[:, 0])
        between = 0.5 * (line[1:] + line[:-1])
        self._nodes = _halved(nodes)
        self._grid = _halved(np.array(list(product(between, repeat=space.modes.dimension))))

    def at_nodes(self, state: KineticState) -> tuple[float, float]:
        """The extrema at Gauss–Hermite nodes. Collective.

        Args:
            state: The state.

        Returns:
            The least and the largest value.
        """
        return self._extrema(state, self._nodes)

    def on_grid(self, state: KineticState) -> tuple[float, float]:
        """The extrema on the grid of midpoints between these nodes. Collective.

        Args:
            state: The state.

        Returns:
            The least and the largest value.
        """
        return self._extrema(state, self._grid)

    def of_density(self, state: KineticState) -> tuple[float, float]:
        """The extrema of ρ at the nodes in x. Collective.

        Args:
            state: The state.

        Returns:
            The least and the largest value.
        """
        density = state.even[: self._space.owned, 0]
        return self._reduced(float(density.min(initial=np.inf)), float(density.max(initial=-np.inf)))

    def _extrema(self, state: KineticState, velocities: _Array) -> tuple[float, float]:
        space = self._space
        least, most = np.inf, -np.inf
        for begin in range(0, len(velocities), _SOME):
            even, odd = space.modes.values(velocities[begin : begin + _SOME])
            e, o = state.even @ even.T, np.abs(state.odd @ odd.T)
            at = e[space.cells]
            if space.degree == 2:
                at = np.einsum("qi,civ->cqv", space.point_values, at, optimize=True)
            least = min(least, float((at - o).min(initial=np.inf)))
            most = max(most, float((at + o).max(initial=-np.inf)))
        return self._reduced(least, most)

    def _reduced(self, least: float, most: float) -> tuple[float, float]:
        comm = self._space.comm
        return comm.allreduce(least, op=MPI.MIN), comm.allreduce(most, op=MPI.MAX)


def _halved(velocities: _Array) -> _Array:
    """One of each pair of opposite velocities."""
    signs = np.sign(np.where(np.abs(velocities) < 1e-12, 0.0, velocities))
    first = (signs * 3.0 ** np.arange(signs.shape[1])[::-1]).sum(axis=1)
    return velocities[first >= 0.0]
