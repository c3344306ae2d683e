"""What negative edge coefficients of a mesh mean for a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fem_models.core.protocols import Row, Step
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.species import State


class EdgeQuality:
    """Says once how many edges have a negative coefficient.

    Args:
        flow: The flow.
        movements: Whether its steps are minimising movements.
    """

    table = ""

    def __init__(self, flow: NodalFields, movements: bool) -> None:
        self._share, self._movements = flow.geometry.negative_share, movements

    def look(self, row: Row, state: State, step: Step[State] | None) -> Row:
        """Nothing: the mesh stays.

        Args:
            row: Not used.
            state: Not used.
            step: Not used.

        Returns:
            No row.
        """
        return {}

    def summary(self) -> Mapping[str, Any]:
        """Nothing: the share is in the entry `mesh`."""
        return {}

    def warnings(self) -> Sequence[str]:
        """A sentence where there are such edges."""
        if not self._share:
            return []
        effect = (
            "they take the weights of Cancès, Nabet and Vohralík, which keep densities non-negative but "
            "lose accuracy"
        )
        if self._movements:
            effect = 'on them the law of energy is no promise, as it is with flux = "average"'
        return [f"The mesh has {100.0 * self._share:.2g} % edges with a negative coefficient; {effect}."]
