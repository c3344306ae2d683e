"""Decay of waves exp(ikx) by linear kinetic equations on a torus. Everything is dimensionless."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import erfcx

LARGEST = math.sqrt(0.5 * math.pi)
"""Waves with a larger kε/λ have no eigenvalue of the linear BGK equation."""


def bgk_eigenvalue(wave_number: float, epsilon: float, rate: float = 1.0) -> float | None:
    """The eigenvalue of ∂t f + ε⁻¹ v ∂x f = ε⁻² λ (ρM - f) for the wave number k.

    With s = λ/ε² it is a k/ε - s, where (s ε/k) √(π/2) erfcx(a/√2) = 1: the condition that a mode
    f = s ρ M/(μ + s + ikv/ε) has the density ρ.

    Args:
        wave_number: k > 0.
        epsilon: ε.
        rate: λ at the mean density.

    Returns:
        The eigenvalue, negative; None where there is none.
    """
    damping = rate / epsilon**2
    share = damping * epsilon / wave_number * LARGEST
    if share <= 1.0:
        return None
    # erfcx(a/√2) lies below √(2/π)/a.
    found = brentq(
        lambda a: share * float(erfcx(a / math.sqrt(2.0))) - 1.0, 0.0, share, xtol=1e-15, rtol=1e-15
    )
    return float(found) * wave_number / epsilon - damping


def fokker_planck_density(wave_number: float, epsilon: float, time: float) -> float:
    """The density of the kinetic Fokker–Planck equation (1.5) of Evans, Morris and Yoldaş, scaled, for λ = 1.

    Args:
        wave_number: k of the wave, whose distribution is ρM at the beginning.
        epsilon: ε.
        time: t.

    Returns:
        exp(-k²(t - ε²(1 - exp(-t/ε²)))), relative to the beginning.
    """
    layer = epsilon**2 * -math.expm1(-time / epsilon**2)
    return math.exp(-(wave_number**2) * (time - layer))
