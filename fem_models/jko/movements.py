"""What a run by minimising movements says about itself, beside what every run does.

A movement costs W₂²/(2τ), or ∫(c - c^old)²/(2τ) for a field of the L² metric: its action. What is followed

- the law of energy of each movement, E(ρ) + actions ≤ E(ρ^old), by what it exceeds it (`excess`);
- the residuals of the conditions of optimality (2.9b) and (2.9e) of Bruna, Burger and Carrillo;
- the total squared distance Σ_n d²/(2τ) with its bound E(0) - E(T), (4.1) of Kinderlehrer, Monsaingeon and
  Xu, and their estimate (4.2), d(z(t₁), z(t₂)) ≤ C |t₂ - t₁ + h|^½ with C² = 2 (E(0) - E(T)), for the length
  Σ_n d_n of the path between the two times, which their distance does not exceed.

A movement of "jko" begins at the state before the step. One of "jko-bdf2" begins at an extrapolation, and the
last two are not for it.

Everything is dimensionless.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np

from fem_models.core.protocols import Row, Step
from fem_models.flow.observed import State
from fem_models.jko.movement import Movement, MovingStep
from fem_models.jko.total_distance import total_distance_bound

# What an energy law may be exceeded by, as a share of the energies in it: rounding, and what Newton's
# tolerance leaves of the conditions of optimality.
_ROUNDING = 1e-9
# Residuals of the conditions of optimality from which a step is hardly a minimiser.
_POOR = 1e-4


class _WithNotes(Protocol):
    @property
    def notes(self) -> Sequence[str]:
        """Sentences about what the linear solver had to do."""


class Movements:
    """Follows the steps of a run by minimising movements; nothing here is collective.

    Args:
        scheme: The scheme, whose notes are told in the end.
        slabs: Slabs of the paths.
        joined: Whether each movement begins at the state before it.
    """

    table = "jko.csv"

    def __init__(self, scheme: _WithNotes, slabs: int, joined: bool) -> None:
        self._scheme, self._slabs, self._joined = scheme, slabs, joined
        self._energies: list[float] = []
        self._steps: list[float] = []
        self._movements: list[Movement] = []

    def look(self, row: Row, state: State, step: Step[State] | None) -> Row:
        """Take note of a step.

        Args:
            row: Its row of series.csv.
            state: Not used.
            step: With what it cost.

        Returns:
            The row of jko.csv; none for the first state.
        """
        self._energies.append(row["energy"])
        if not isinstance(step, MovingStep):
            return {}
        movement = step.movement
        self._steps.append(row["dt"])
        self._movements.append(movement)
        found: Row = {"step": row["step"], "time": row["time"]}
        found |= {f"action_{name}": value for name, value in movement.actions.items()}
        found |= {f"distance_{name}": value for name, value in movement.distances.items()}
        return found | {
            "excess": movement.excess,
            "hamilton_jacobi": movement.hamilton_jacobi,
            "terminal": movement.terminal,
        }

    def memory(self) -> dict[str, Any]:
        """The energies, steps and movements so far."""
        movements = [asdict(movement) for movement in self._movements]
        return {"energies": self._energies, "steps": self._steps, "movements": movements}

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: Of the same run.
        """
        self._energies, self._steps = list(memory["energies"]), list(memory["steps"])
        self._movements = [Movement(**entry) for entry in memory["movements"]]

    def summary(self) -> dict[str, Any]:
        """The entry `jko` of summary.json; residuals and excess are the largest of all steps."""
        return {"jko": self._entry()}

    def _entry(self) -> dict[str, Any]:
        return {
            "slabs": self._slabs,
            "max_excess": self._largest("excess"),
            "hamilton_jacobi": self._largest("hamilton_jacobi"),
            "terminal": self._largest("terminal"),
            "total_distance": self._total_distance() if self._joined else None,
            "hoelder": self._hoelder() if self._joined else None,
            "notes": list(self._scheme.notes),
        }

    def _largest(self, name: str) -> float | None:
        return max((getattr(movement, name) for movement in self._movements), default=None)

    def _total_distance(self) -> dict[str, Any]:
        """Σ_n d²/(2τ) by field and in all, with E(0) - E(T)."""
        fields: dict[str, float] = {}
        for movement in self._movements:
            for name, value in movement.actions.items():
                fields[name] = fields.get(name, 0.0) + value
        steps = np.array(self._steps)
        squares = 2.0 * steps * [sum(movement.actions.values()) for movement in self._movements]
        bound = total_distance_bound(np.maximum(squares, 0.0), steps, self._energies)
        return {
            "fields": fields,
            "sum": float(bound.left),
            "bound": float(bound.right),
            "holds": bound.holds,
        }

    def _hoelder(self) -> float | None:
        """The largest length of path between two times, over the right-hand side of (4.2)."""
        drop = self._energies[0] - self._energies[-1]
        if not self._movements or drop <= 0.0:
            return None
        lengths = [math.hypot(*movement.distances.values()) for movement in self._movements]
        length = np.concatenate([[0.0], np.cumsum(lengths)])
        steps = np.array(self._steps)
        time = np.concatenate([[0.0], np.cumsum(steps)])
        most = 0.0
        for first in range(len(lengths)):
            spans = time[first + 1 :] - time[first] + steps.max()
            most = max(
                most, float(np.max((length[first + 1 :] - length[first]) / np.sqrt(2.0 * drop * spans)))
            )
        return most

    def warnings(self) -> list[str]:
        """Sentences about what went against expectation."""
        found = list(self._scheme.notes)
        if not self._movements:
            return found
        excess, sizes = np.array([movement.excess for movement in self._movements]), self._sizes()
        if (above := excess > _ROUNDING * sizes).any():
            found.append(
                f"The law of energy E(new) + W²/(2 tau) <= E(old) was broken in {above.sum()} of "
                f"{len(above)} steps, at most by {excess.max():.2e}; a smaller tolerance helps if the "
                "energy is convex, smaller steps if it is not."
            )
        for name, equation in (("hamilton_jacobi", "(2.9b)"), ("terminal", "(2.9e)")):
            largest = max(getattr(movement, name) for movement in self._movements)
            if largest > _POOR:
                found.append(
                    f"The condition of optimality {equation} holds up to {largest:.2e} (relative) only; a "
                    "smaller [solver] tolerance helps."
                )
        return found

    def _sizes(self) -> np.ndarray:
        """The sizes of the energies in the law of each step."""
        energies = np.abs(self._energies)
        return np.maximum(1.0, np.maximum(energies[1:], energies[:-1]))
