"""Decay to equilibrium: Theorem 2.2 and Remark 2.7 of Evans, Morris and Yoldaş, and the linear rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fem_models.core.protocols import Row, Step
from fem_models.exact.bgk import LARGEST, bgk_eigenvalue
from fem_models.kinetic.bgk.model import KineticModel
from fem_models.kinetic.bgk.state import KineticState
from fem_models.meshes.torus import lengths_of

# The measured rate is that of the last part of the time.
_PART = 0.25
# Distances below, relative to the first, are rounding.
_ROUNDING = 1e-24


class Decay:
    """Follows ‖f - ρ̄M‖² and the flux's distance from its limit. Collective.

    Rows have `distance2`, the square of the norm of f - ρ̄M; `theorem`, what (2.1) allows for it, with
    γ = 1/(4CΛ(1 + Λ²)), C = 3 and Λ the largest of λ and 1/λ for densities from A⁻¹ to A; and
    `flux_residual`, the norm of ∇ρ + λ(ρ) j/ε, which tends to zero.

    Args:
        model: The kinetic equation.
        initial: The initial state.
    """

    table = "study.csv"

    def __init__(self, model: KineticModel, initial: KineticState) -> None:
        self._model = model
        space = model.space
        mean = model.mass(initial) / space.volume
        self._equilibrium2 = mean**2 * space.volume
        self._gamma = 1.0 / (4.0 * model.perturbation())
        self._rate = float(model.rate(np.array([mean]))[0])
        lengths = lengths_of(space.mesh)
        self._wave = 2.0 * math.pi / max(lengths) if lengths else math.nan
        self._seen: list[tuple[float, float]] = []

    def look(self, row: Row, state: KineticState, step: Step[KineticState] | None) -> Row:
        """Measure a state.

        Args:
            row: Its row of series.csv.
            state: The state.
            step: The step that led to it.

        Returns:
            The row.
        """
        model, space = self._model, self._model.space
        # Of nearly equal numbers, from their difference.
        other = state.less(row["mass"] / space.volume)
        distance2 = model.product(other, other)
        self._seen.append((row["time"], distance2))
        start, first = self._seen[0]
        flux = slice(0, space.modes.dimension)
        rates = model.averaged(tuple(model.rate(density) for density in model.densities(state)))[1]
        slopes = np.zeros_like(state.even)
        slopes[:, 0] = other.even[:, 0]
        residual = (
            space.slopes(slopes)[:, :, flux] + rates[:, :, None] * state.odd[:, :, flux] / model.epsilon
        )
        weights = space.volumes[:, None] * space.weights
        return {
            "time": row["time"],
            "distance2": distance2,
            "theorem": 3.0 * math.exp(-self._gamma * (row["time"] - start)) * first,
            "flux_residual": math.sqrt(space.sum(float(np.einsum("cq,cqm->", weights, residual**2)))),
        }

    def memory(self) -> Mapping[str, Any]:
        """The distances so far."""
        return {"seen": self._seen}

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: Of the same run.
        """
        self._seen = [(time, distance2) for time, distance2 in memory["seen"]]

    def summary(self) -> Mapping[str, Any]:
        """The measured rate of ‖f - ρ̄M‖², and those of the theorem and of the linear equation."""
        return {
            "decay": {
                "rate": self._measured(),
                "linear_rate": self._linear(),
                "theorem_rate": self._gamma,
                "wave_number": self._wave,
            }
        }

    def warnings(self) -> Sequence[str]:
        """A sentence where the slowest wave has no eigenvalue."""
        model = self._model
        size = self._wave * model.epsilon / self._rate
        if model.collisions == "fokker-planck" or not size >= LARGEST:
            return []
        return [
            f"The slowest wave has no eigenvalue: k·epsilon/rate = {size:.3g} is not below {LARGEST:.4f}, so "
            "that no rate of decay is known, and Hermite modes converge slowly; take more modes."
        ]

    def _linear(self) -> float | None:
        """Twice the slowest rate of the equation around the mean density."""
        if not self._wave > 0.0:
            return None
        if self._model.collisions == "fokker-planck":
            return 2.0 * self._wave**2 / self._rate
        found = bgk_eigenvalue(self._wave, self._model.epsilon, self._rate)
        return None if found is None else -2.0 * found

    def _measured(self) -> float | None:
        """The slope of the logarithm over the last part of the time."""
        times, distances = np.array(self._seen).T
        good = distances > _ROUNDING * distances[0]
        times, distances = times[good], distances[good]
        late = times >= times[-1] - _PART * (times[-1] - times[0]) if len(times) else good[:0]
        if np.count_nonzero(late) < 3:
            return None
        return -float(np.polyfit(times[late], np.log(distances[late]), 1)[0])
