"""Solutions of ∂tρ = div(ρ^{-α}∇ρ): waves in closed form, and references of spectral accuracy.

For α = 1, v = 1/ρ follows ∂tv = vΔv - |∇v|², which keeps sums v = a + b cos s of a constant and a wave, with
a² - b² constant. For α = 2 in one dimension, v as a function of the mass to the left of a point follows the
heat equation (Bluman and Kumei, J. Math. Phys. 21, 1980). Everything is dimensionless.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError
from fem_models.exact.profiles import positive
from fem_models.exact.spectral import LegendreElement, Profile, SpectralFields, evolve

_Array = npt.NDArray[np.float64]

# Halvings that find a phase in an interval of length 2 to all digits.
_HALVINGS = 54


@dataclass(frozen=True)
class DiffusionWave:
    """A periodic solution that depends on one direction k alone.

    With s = k·x, the mean r and the contrast of the largest and the least initial density, it is

        ρ = r/(cosh θ + sinh θ cos s),  tanh(θ/2) = tanh(θ₀/2) exp(-|k|²t/r)    (α = 1)
        ρ = r/(1 + a cos p),  s = p + a sin p,  a = a₀ exp(-|k|²t/r²)            (α = 2)

    Args:
        alpha: α, 1 or 2.
        wave: The vector k, shape (d,).
        mean: r > 0.
        contrast: More than 1.

    Raises:
        InputError: Another α, a mean that is not positive, or a contrast of at most 1.
    """

    alpha: float
    wave: tuple[float, ...]
    mean: float = 1.0
    contrast: float = 10.0

    def __post_init__(self) -> None:
        if self.alpha not in (1.0, 2.0):
            raise InputError(f"Waves are known in closed form for alpha = 1 and 2, not for {self.alpha:g}.")
        positive("Means of waves", self.mean)
        positive("Contrasts less 1 of waves", self.contrast - 1.0)

    def __call__(self, x: npt.ArrayLike, time: float) -> _Array:
        """The density at points and a time.

        Args:
            x: Points, shape (d, n), or (3, n) with unused rows at the end.
            time: t ≥ 0.

        Returns:
            Its values, shape (n,).
        """
        s = np.array(self.wave) @ np.asarray(x, dtype=float)[: len(self.wave)]
        decay = math.exp(-math.fsum(k * k for k in self.wave) * time / self.mean**self.alpha)
        if self.alpha == 1.0:
            theta = 2.0 * math.atanh(math.tanh(0.25 * math.log(self.contrast)) * decay)
            return self.mean / (math.cosh(theta) + math.sinh(theta) * np.cos(s))
        a = decay * (self.contrast - 1.0) / (self.contrast + 1.0)
        return self.mean / (1.0 + a * np.cos(_phase(s, a)))


def _phase(s: _Array, a: float) -> _Array:
    """The solution p of s = p + a sin p, with 0 ≤ a < 1."""
    low, high = s - a, s + a
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        below = middle + a * np.sin(middle) < s
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def on_interval(alpha: float, initial: Profile, end: float, degree: int = 40) -> SpectralFields:
    """The solution on [0, 1] without flux at its ends, half a period of an even one of the period 2.

    Args:
        alpha: α.
        initial: The positive density at time 0, with no slope at the ends.
        end: The time.
        degree: Of the polynomials.

    Returns:
        The density at the end.

    Raises:
        SolveError: The steps in time failed.
    """
    line = LegendreElement(degree)
    return evolve(line, [initial], lambda u: [line.divergence(u[0] ** -alpha * (line.D @ u[0]))], end)


def on_disk(alpha: float, initial: Profile, end: float, degree: int = 40) -> SpectralFields:
    """The radial solution on the disk of radius 1 without flux at its boundary.

    As a function of q = |x|² it is smooth, with ∂tρ = 4 ∂_q(q ρ^{-α} ∂_qρ).

    Args:
        alpha: α.
        initial: The positive density at time 0, as a function of q.
        end: The time.
        degree: Of the polynomials in q.

    Returns:
        The density at the end, as a function of q.

    Raises:
        SolveError: The steps in time failed.
    """
    line = LegendreElement(degree)

    def rate(u: _Array) -> list[_Array]:
        return [line.divergence(4.0 * line.x * u[0] ** -alpha * (line.D @ u[0]))]

    return evolve(line, [initial], rate, end)
