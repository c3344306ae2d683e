"""The distance of a run to its diffusive limit: Theorem 2.3 of Evans, Morris and Yoldaş."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fem_models.core.protocols import Row, Scheme, Step
from fem_models.kinetic.bgk.model import DiffusiveLimit, KineticModel
from fem_models.kinetic.bgk.state import KineticState


class LimitComparison:
    """Takes the steps of a run in the limit ε → 0, too, from the same density. Collective.

    Rows have `distance_to_limit`, the norm of ρ - ρ_limit in L², and `distance_to_limit_f`, that of
    f - ρ_limit M in L²(M⁻¹). Where a run goes on, the limit takes the steps so far once more: it has one
    mode, and its state depends on them alone.

    Args:
        model: The kinetic equation.
        initial: The initial state.
        limit: The limit on the same mesh, with the same rate and degree.
        scheme: Takes steps of the limit, of the same kind as those of the run.
    """

    table = "study.csv"

    def __init__(
        self,
        model: KineticModel,
        initial: KineticState,
        limit: DiffusiveLimit,
        scheme: Scheme[KineticState],
    ) -> None:
        self._model, self._limit, self._scheme = model, limit, scheme
        cells, inside = model.space.cells, limit.space
        self._state = limit.unpack(
            {
                "even": initial.even[cells, 0],
                "odd": np.zeros((len(cells), len(inside.weights) * len(inside.modes.odd))),
            }
        )
        self._steps: list[float] = []
        self._largest, self._last = (0.0, 0.0), (0.0, 0.0)

    def look(self, row: Row, state: KineticState, step: Step[KineticState] | None) -> Row:
        """Take the step in the limit, and measure a state.

        Args:
            row: Its row of series.csv.
            state: The state.
            step: The step that led to it.

        Returns:
            The row.

        Raises:
            SolveError: The step of the limit could not be solved.
        """
        if step is not None:
            self._advance(row["dt"])
        space, change = self._model.space, state.even.copy()
        change[space.cells, 0] -= self._state.even[self._limit.space.cells, 0]
        even = space.even_product(change, change)
        total = float(even.sum() + space.odd_product(state.odd, state.odd).sum())
        self._last = math.sqrt(float(even[0])), math.sqrt(total)
        self._largest = max(self._largest[0], self._last[0]), max(self._largest[1], self._last[1])
        return {
            "time": row["time"],
            "distance_to_limit": self._last[0],
            "distance_to_limit_f": self._last[1],
        }

    def _advance(self, tau: float) -> None:
        self._state = self._scheme.step(self._state, tau).state
        self._steps.append(tau)

    def memory(self) -> Mapping[str, Any]:
        """The steps so far, and the distances."""
        return {"steps": self._steps, "largest": self._largest, "last": self._last}

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` returned. Collective.

        Args:
            memory: Of the same run.
        """
        for tau in memory["steps"]:
            self._advance(tau)
        self._largest, self._last = tuple(memory["largest"]), tuple(memory["last"])

    def summary(self) -> Mapping[str, Any]:
        """The largest distances, and the last ones."""
        names = ("distance", "distance_f")
        return {
            "limit": {
                **{f"largest_{name}": value for name, value in zip(names, self._largest, strict=True)},
                **{f"final_{name}": value for name, value in zip(names, self._last, strict=True)},
            }
        }

    def warnings(self) -> Sequence[str]:
        """None."""
        return ()
