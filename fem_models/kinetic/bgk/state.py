"""States of kinetic equations: the modes of h = f/M."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KineticState:
    """The modes of h = f/M at a time.

    Attributes:
        even: h_n with even |n|, the density first, at nodes, ghosts included: shape (nodes, even modes).
        odd: h_m with odd |m|, the flux first, at the points of this rank's cells: shape (cells, points, odd
        modes).
        residual: Of the discrete identity for ‖f‖² in the step that led to it, relative to ‖f‖².
        loss: What the projection to the bounds took of ‖f‖² in that step, relative to it.
    """

    even: _Array
    odd: _Array
    residual: float = 0.0
    loss: float = 0.0

    def combined(self, own: float, factor: float, other: KineticState) -> tuple[_Array, _Array]:
        """The modes of `own` times this state and `factor` times another.

        Args:
            own: The first factor.
            factor: The second.
            other: The other state.

        Returns:
            Tables of even and of odd modes.
        """
        return own * self.even + factor * other.even, own * self.odd + factor * other.odd

    def less(self, density: _Array | float) -> KineticState:
        """The modes of f - ρM.

        Args:
            density: ρ at nodes, ghosts included, shape (nodes,); or one number for all.

        Returns:
            A state with the difference, and what is said of steps left out.
        """
        even = self.even.copy()
        even[:, 0] -= density
        return KineticState(even, self.odd)
