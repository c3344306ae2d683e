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


class Relaxation:
    """Follows E(t) - E∞. Collective.

    Args:
        flow: The flow.
        steady: The steady state, shape (nodes, species); None where it is not known.
    """

    table = ""

    def __init__(self, flow: NodalFields, steady: State | None) -> None:
        self._steady = None if steady is None else math.fsum(flow.energy_terms(steady).values())
        self._times: list[float] = []
        self._energies: list[float] = []

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

    def warnings(self) -> Sequence[str]:
        """A sentence where the run went below the energy of the steady state."""
        if not self._below:
            return []
        return [
            f"The steady state that was found has the energy {self._steady:.10g}, but the run went down "
            f"to {min(self._energies):.10g}: it is stationary and no minimum, and what is measured "
            "relative to it means nothing; the energy is not convex, and a smaller coupling helps."
        ]
