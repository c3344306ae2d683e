"""Potentials and energies of Gaussian charges in the whole space R³, -Δψ = w. Everything is dimensionless."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import erf

# Distances are at least this share of the width: erf(z)/z has its limit at zero there to all digits.
_NEAREST = 1e-8


def gaussian_potential(
    x: npt.ArrayLike, center: npt.ArrayLike, width: float, charge: float = 1.0
) -> npt.NDArray[np.float64]:
    """The potential ψ = Q erf(r/(√2 σ))/(4πr) of the charge density Q N(c, σ²I), with r = |x - c|.

    Args:
        x: Points, shape (3, n).
        center: c, shape (3,).
        width: σ > 0.
        charge: Q.

    Returns:
        ψ, shape (n,).
    """
    offset = np.asarray(x, dtype=float) - np.asarray(center, dtype=float)[:, None]
    r = np.maximum(np.linalg.norm(offset, axis=0), _NEAREST * width)
    return charge * erf(r / (math.sqrt(2.0) * width)) / (4.0 * math.pi * r)


def gaussian_interaction(distance: float, first: float, second: float) -> float:
    """∫∫ w(x) v(y)/(4π|x - y|) dx dy of two Gaussians of charge 1 at a distance D.

    Their widths σ and τ count as one: with s² = σ² + τ² it is erf(D/(√2 s))/(4πD), and for D = 0 it is
    1/((2π)^{3/2} s).

    Args:
        distance: D ≥ 0.
        first: σ > 0.
        second: τ > 0.

    Returns:
        The integral; the energy ½∫wψ of one Gaussian is half of that with itself.
    """
    width = math.hypot(first, second)
    if distance == 0.0:
        return 1.0 / ((2.0 * math.pi) ** 1.5 * width)
    return float(erf(distance / (math.sqrt(2.0) * width)) / (4.0 * math.pi * distance))
