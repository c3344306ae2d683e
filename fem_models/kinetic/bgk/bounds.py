"""A⁻¹ ≤ f/M ≤ A at Gauss–Hermite nodes, as Theorem 2.1 of Evans, Morris and Yoldaş has it for the exact flow.

With a tensor product of modes up to the odd degree p and the p + 1 nodes of each direction, modes and values
at the nodes are the same thing. The even part e is at vertices and the odd part o in cells, and f/M is e ± o
at opposite nodes. First e becomes clip(e + μ, A⁻¹, A), with one number μ for which the mass is what it was.
Then o in each cell is cut to what the bounds leave it at each of its vertices. Neither raises ‖f‖.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.kinetic.bgk.space import KineticSpace
from fem_models.kinetic.bgk.state import KineticState

_Array = npt.NDArray[np.float64]

# Shifts at a time, and rounds after which the interval of μ is a rounding error.
_SHIFTS, _ROUNDS = 17, 14


class Bounds:
    """Projects states to the bounds.

    Args:
        space: The discrete modes, a tensor product, with degree 1.
        level: A > 1.

    Raises:
        InputError: A is not greater than 1.
    """

    def __init__(self, space: KineticSpace, level: float) -> None:
        if not 1.0 < level < math.inf:
            raise InputError(f"bounds = {level!r} must be greater than 1: they are A⁻¹ ≤ f/M ≤ A.")
        self._space, self.level = space, level
        nodes, weights = space.modes.nodes
        even, odd = space.modes.values(nodes)
        self._even, self._odd = even.T, odd.T
        self._even_back, self._odd_back = weights[:, None] * even, weights[:, None] * odd
        self._weights = weights

    def projected(self, state: KineticState) -> tuple[_Array, _Array]:
        """The modes of a state within the bounds. Collective.

        Args:
            state: The state; its mean density lies between A⁻¹ and A.

        Returns:
            Tables of even and of odd modes.
        """
        space = self._space
        nodal = state.even[: space.owned] @ self._even
        clipped = self._clipped(nodal)
        even = state.even[: space.owned] + (clipped - nodal) @ self._even_back
        at = space.with_ghosts(even) @ self._even
        least, most = (reduce(at[space.cells], axis=1) for reduce in (np.min, np.max))
        room = np.maximum(np.minimum(self.level - most, least - 1.0 / self.level), 0.0)
        values = state.odd[:, 0] @ self._odd
        cut = np.clip(values, -room, room)
        odd = state.odd + ((cut - values) @ self._odd_back)[:, None]
        return space.with_ghosts(even), odd

    def _clipped(self, nodal: _Array) -> _Array:
        """clip(e + μ) with the mass of e, at owned nodes. Collective."""
        space, low, high = self._space, 1.0 / self.level, self.level
        masses = space.node_masses[: space.owned]

        def excess(shifts: _Array) -> _Array:
            shares = [masses @ ((np.clip(nodal + s, low, high) - nodal) @ self._weights) for s in shifts]
            return np.asarray(space.comm.allreduce(np.array(shares)))

        if space.comm.allreduce(bool(np.all((nodal >= low) & (nodal <= high))), op=MPI.LAND):
            return nodal
        begin, end = low - high, high - low
        for _ in range(_ROUNDS):
            # The excess grows with the shift; many shifts at a time, as every sum over ranks takes a while.
            shifts = np.linspace(begin, end, _SHIFTS)
            last = max(int(np.count_nonzero(excess(shifts) <= 0.0)) - 1, 0)
            begin, end = shifts[last], shifts[min(last + 1, _SHIFTS - 1)]
        found = np.clip(nodal + begin, low, high)
        # What that leaves of the mass goes where there is room for it.
        inside = np.where((found > low) & (found < high), 1.0, 0.0)
        room = space.sum(float(masses @ (inside @ self._weights)))
        return found if room == 0.0 else found - inside * (excess(np.array([begin]))[0] / room)
