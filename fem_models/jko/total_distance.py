"""The total squared distance of minimising movements, and distances in time.

(4.1) of Kinderlehrer, Monsaingeon and Xu bounds Σ_n d²(zⁿ, zⁿ⁺¹)/(2h) by E(z⁰) - inf E, and (4.2) bounds the
distance of two states by the square root of the time between them. Everything is dimensionless.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError

# Inequalities hold up to rounding.
_ROUNDING = 1e-9


def total_distance(squares: npt.ArrayLike, steps: npt.ArrayLike) -> float:
    """The total squared distance Σ_n d²(zⁿ, zⁿ⁺¹)/(2h), which minimising movements keep below E(z⁰) - inf E.

    Equation (4.1).

    Args:
        squares: The squared distances d² of the steps, summed over the species; shape (steps,).
        steps: Their sizes h, a number or shape (steps,).

    Returns:
        The sum.

    Raises:
        InputError: A squared distance that is negative, or a step that is not positive.
    """
    squares, steps = np.asarray(squares, dtype=float), np.asarray(steps, dtype=float)
    if not np.all(squares >= 0.0):
        raise InputError("Squared distances must be 0 or more: give the squares, one for each step.")
    if not np.all((steps > 0.0) & (steps < math.inf)):
        raise InputError("The steps of a total distance must be positive.")
    return float(np.sum(squares / (2.0 * steps)))


@dataclass(frozen=True, eq=False)
class Bound:
    """Both sides of inequalities left ≤ right.

    Attributes:
        left, right: Of the same shape, () for a single inequality.
        slack: What rounding may add to the right-hand side.
    """

    left: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]
    slack: npt.NDArray[np.float64]

    @property
    def holds(self) -> bool:
        """Whether all of the inequalities hold up to rounding."""
        return bool(np.all(self.left <= self.right + self.slack))


def total_distance_bound(
    squares: npt.ArrayLike, steps: npt.ArrayLike, energies: npt.ArrayLike, infimum: float | None = None
) -> Bound:
    """The bound (4.1) of the total squared distance: Σ_n d²(zⁿ, zⁿ⁺¹)/(2h) ≤ E(z⁰) - inf E.

    Args:
        squares: The squared distances of the steps, summed over the species; shape (steps,).
        steps: Their sizes h, a number or shape (steps,).
        energies: E(zⁿ) of all states from the first one on, shape (steps + 1,).
        infimum: inf E; without it, the last energy stands in, which a finite number of minimising movements
            obeys as well, and which is sharper.

    Returns:
        Both sides.

    Raises:
        InputError: As `total_distance` does; energies that do not fit the steps; an infimum above an energy.
    """
    squares, energies = np.asarray(squares, dtype=float), np.asarray(energies, dtype=float)
    if squares.ndim != 1 or energies.shape != (len(squares) + 1,):
        raise InputError(
            "The bound of the total distance needs the energies of all states, one more than there are steps."
        )
    slack = _ROUNDING * np.abs(energies).max()
    lowest = energies[-1] if infimum is None else infimum
    if infimum is not None and infimum > energies.min() + slack:
        raise InputError(f"The infimum {infimum:g} is above the energy {energies.min():g} of a state.")
    return Bound(np.array(total_distance(squares, steps)), np.array(energies[0] - lowest), slack)


def hoelder_bound(times: npt.ArrayLike, squares: npt.ArrayLike, step: float, total: Bound) -> Bound:
    """The bound (4.2) of distances in time: d(z(t₁), z(t₂)) ≤ C |t₂ - t₁ + h|^½ with C² = 2 (E(z⁰) - inf E).

    z(t) is the last state at or before t. The steps between two take at most |t₂ - t₁| + h in all, and
    by Cauchy and Schwarz (Σ d_n)² ≤ Σ h · Σ d_n²/h, where (4.1) bounds the second sum.

    Args:
        times: Pairs t₁, t₂ in any order, shape (pairs, 2).
        squares: The squared distances d²(z(t₁), z(t₂)), summed over the species; shape (pairs,).
        step: The (largest) step size h.
        total: The bound (4.1) of the steps between all of the times; its right-hand side gives C.

    Returns:
        Both sides for each pair, shape (pairs,).

    Raises:
        InputError: Times and distances that do not fit, a squared distance that is negative, or a step that
            is not positive.
    """
    times, squares = np.asarray(times, dtype=float), np.asarray(squares, dtype=float)
    if squares.ndim != 1 or times.shape != (len(squares), 2):
        raise InputError("The Hölder bound needs two times for each squared distance.")
    if not np.all(squares >= 0.0):
        raise InputError("Squared distances must be 0 or more: give the squares, one for each pair of times.")
    if not 0.0 < step < math.inf:
        raise InputError(f"The step of the Hölder bound must be positive, not {step:g}.")
    # An energy that grew has broken (4.1) before, and leaves nothing to move with.
    drop = max(float(total.right + total.slack), 0.0)
    right = np.sqrt(2.0 * drop * (np.abs(times[:, 1] - times[:, 0]) + step))
    return Bound(np.sqrt(squares), right, _ROUNDING * right)
