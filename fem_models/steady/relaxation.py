"""How the energy of a run decays to that of the steady state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fem_models.core.protocols import Row, Step
from fem_models.core.remembering import Remembering
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.species import State
from fem_models.steady.decay import fit_decay

# What an energy may be below that of the steady state by rounding and by Newton's tolerance.
_BELOW = 1e-9

# A run is at rest where a step changes the energy by less than this share; its last energy may then be as
# much larger as the second share.
_AT_REST, _ABOVE = 1e-9, 1e-6

# A curvature that is as little below zero is zero up to the accuracy of eigenvalues.
_FLAT = 1e-3


class Relaxation(Remembering):
    """Follows E(t) - E∞. Collective.

    Args:
        flow: The flow.
    """

    table = ""
    remembered = ("_times", "_energies")

    def __init__(self, flow: NodalFields) -> None:
        self._flow = flow
        self._steady: float | None = None
        self._curvature: float | None = None
        self._times: list[float] = []
        self._energies: list[float] = []

    def compare(self, steady: State, curvature: float | None = None) -> None:
        """Take the steady state, to which the energies are compared. Collective.

        Args:
            steady: Shape (nodes, species).
            curvature: The least curvature of the energy there, see `fem_models.steady.curvature`, if known.
        """
        self._curvature = curvature
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
        """`energy.steady`, and `energy.rate` where the decay is exponential over a factor of ten.

        With interactions also `energy.least_curvature`.
        """
        known = {} if self._curvature is None else {"least_curvature": self._curvature}
        return {"energy": {"steady": self._steady, "rate": self._rate(), **known}}

    def _rate(self) -> float | None:
        """The fitted rate at which the energy decays to that of the steady state."""
        if self._steady is None or self._below or self._is_saddle:
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
    def _is_saddle(self) -> bool:
        """Whether the energy falls in some direction from the steady state."""
        return self._curvature is not None and self._curvature < -_FLAT

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
                "support or of the mesh, each of which is in equilibrium by itself, or the energy is not "
                "convex and has several steady states."
            ]
        if self._steady is not None and self._is_saddle and not self._below:
            return [
                f"The steady state that was found, with the energy {self._steady:.10g}, is stationary and no "
                f"minimum: the least curvature of the energy there is {self._curvature:.3g} of its local "
                "part. A run may stay above it for long and then go below it; what is measured relative to "
                "it means nothing."
            ]
        if not self._below:
            return []
        return [
            f"The steady state that was found has the energy {self._steady:.10g}, but the run went down "
            f"to {min(self._energies):.10g}: it is stationary and no minimum, and what is measured "
            "relative to it means nothing; the energy is not convex, and a smaller coupling helps."
        ]
