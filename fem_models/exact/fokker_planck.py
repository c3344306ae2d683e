"""A solution of a Fokker–Planck equation on the unit interval. Everything is dimensionless."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

DECAY = np.pi**2 + 0.25
"""The rate a = π² + ¼ at which `drift_diffusion` tends to its steady state."""


def drift_diffusion(x: npt.ArrayLike, time: float) -> npt.NDArray[np.float64]:
    """A positive solution of ∂tρ = div(∇ρ + ρ∇V), V = -x₀, on 0 < x₀ < 1 without flux through the boundary.

    With a = π² + ¼ it is

        ρ(x, t) = e^{-at + x₀/2} (π cos πx₀ + ½ sin πx₀) + π e^{x₀ - ½},

    as Cancès, Gallouët and Todeschini (Numer. Math. 2020) use it; its second part is the steady state.

    Args:
        x: Points, of which only the first coordinate counts, shape (d, n).
        time: t ≥ 0.

    Returns:
        The density there, shape (n,); it is zero only for t = 0 at x₀ = 1.
    """
    first = np.asarray(x, dtype=float)[0]
    wave = np.pi * np.cos(np.pi * first) + 0.5 * np.sin(np.pi * first)
    return np.exp(-DECAY * time + first / 2) * wave + np.pi * np.exp(first - 0.5)
