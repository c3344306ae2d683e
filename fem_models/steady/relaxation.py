"""How the energy of a run decays to that of the steady state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fem_models.core.protocols import Row, Step
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.species import State
from fem_models.steady.decay import fit_decay

# What an energy may be below that of the steady state by rounding and by Newton's tolerance.
_BELOW = 1e-9

# A run is at rest where a step changes the energy by less than this share; its last energy may then be as
# much larger as the second share.
_AT_REST, _ABOVE = 1e-9, 1e-6


class Relaxation:
    """Follows E(t) - E∞. Collective.

    Args:
        flow: The flow.
    """

    table = ""

    def __init__(self, flow: NodalFields) -> None:
        self._flow = flow
        self._steady: float | None = None
        self._times: list[float] = []
        self._energies: list[float] = []

    def compare(self, steady: State) -> None:
        """Take the steady state, to which the energies are compared. Collective.

        Args:
            steady: Shape (nodes, species).
        """
        self._steady = math.fsum(self._flow.energy_terms(steady).values())

    def look(self, row: Row, state: State, step: Step[State] | None) -> Row:
        """Take note of the energy; there are no columns.

        Args:
            row: With the time and the energy.
            state: Not used.
            step: Not used.

        Returns:
            No row.
        """
        self._times.append(row["time"])
        self._energies.append(row["energy"])
        return {}

    def summary(self) -> Mapping[str, Any]:
        """`energy.steady`, and `energy.rate` where the decay is exponential over a factor of ten."""
        return {"energy": {"steady": self._steady, "rate": self._rate()}}

    def _rate(self) -> float | None:
        """The fitted rate at which the energy decays to that of the steady state."""
        if self._steady is None or self._below:
            return None
        decay = fit_decay(np.array(self._times), np.array(self._energies) - self._steady)
        return None if decay is None else decay.rate

    @property
    def _below(self) -> bool:
        """Whether the run went below the energy of the steady state, which then is no minimum."""
        if self._steady is None:
            return False
        largest = max(map(abs, self._energies))
        return min(self._energies) < self._steady - _BELOW * max(largest, abs(self._steady))

    @property
    def _rests_above(self) -> bool:
        """Whether the run came to rest with more energy than the steady state."""
        if self._steady is None or len(self._energies) < 2:
            return False
        before, last = self._energies[-2:]
        size = max(abs(last), abs(self._steady))
        return abs(before - last) <= _AT_REST * size and last - self._steady > _ABOVE * size

    def warnings(self) -> Sequence[str]:
        """A sentence where the run went below the energy of the steady state, or rests above it."""
        if self._steady is not None and self._rests_above:
            return [
                f"The run came to rest with the energy {self._energies[-1]:.10g}, above that of the steady "
                f"state, {self._steady:.10g}, which it cannot reach: no mass passes between parts of the "
                "support or of the mesh, each of which is in equilibrium by itself."
            ]
        if not self._below:
            return []
        return [
            f"The steady state that was found has the energy {self._steady:.10g}, but the run went down "
            f"to {min(self._energies):.10g}: it is stationary and no minimum, and what is measured "
            "relative to it means nothing; the energy is not convex, and a smaller coupling helps."
        ]
