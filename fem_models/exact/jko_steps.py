"""Steps of minimising movements in closed form: the minimiser ρ' of E(ρ') + W₂²(ρ, ρ')/(2τ).

In all of them the optimal map T from ρ to ρ' is known up to a few numbers, and ρ' solves the Euler–Lagrange
equation (y - T⁻¹(y))/τ = -∇(δE/δρ)(ρ')(y) on its support. The energies are convex along geodesics for λ ≥ 0,
so that there is no other minimiser. Everything is dimensionless.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from fem_models.core.errors import InputError
from fem_models.exact.distances import translation_square
from fem_models.exact.profiles import Barenblatt, Gaussian, positive


@dataclass(frozen=True, eq=False)
class ExactStep[State]:
    """What a step does.

    Attributes:
        state: The minimiser ρ', or what is known of it.
        energy_before: E(ρ).
        energy: E(ρ').
        square: W₂²(ρ, ρ').
        tau: τ.
    """

    state: State
    energy_before: float
    energy: float
    square: float
    tau: float

    @property
    def value(self) -> float:
        """E(ρ') + W₂²(ρ, ρ')/(2τ), at most E(ρ)."""
        return self.energy + self.square / (2.0 * self.tau)


def fokker_planck_step(density: Gaussian, convexity: float, tau: float) -> ExactStep[Gaussian]:
    """A step of E = ∫ρ log ρ + (λ/2)|x|²ρ from a Gaussian, which stays one.

    T is affine. In the directions of the principal axes, with widths σ, T⁻¹(y) = a + (σ/σ')(y - a'), and the
    Euler–Lagrange equation (y - T⁻¹(y))/τ = (y - a')/σ'² - λy gives

        a' = a/(1 + λτ),   (1 + λτ)σ'² - σσ' - τ = 0,   W₂² = M (|a - a'|² + Σ_k (σ_k - σ_k')²).

    Args:
        density: ρ.
        convexity: λ; it may be negative while 1 + λτ > 0.
        tau: τ.

    Returns:
        The step; its state is the Gaussian ρ'.

    Raises:
        InputError: A step that is not positive, or 1 + λτ ≤ 0: then no minimiser exists.
    """
    positive("Time steps", tau)
    stiffness = 1.0 + convexity * tau
    if not stiffness > 0.0:
        raise InputError(
            f"With convexity {convexity:g} there is a minimum only for steps below {-1.0 / convexity:g}: "
            f"{tau:g} is too long."
        )
    mean = density.mean / stiffness
    variances, axes = np.linalg.eigh(density.covariance)
    widths = np.sqrt(np.maximum(variances, 0.0))
    after = (widths + np.sqrt(widths**2 + 4.0 * stiffness * tau)) / (2.0 * stiffness)
    minimiser = Gaussian(mean, (axes * after**2) @ axes.T, density.mass)
    square = density.mass * (((density.mean - mean) ** 2).sum() + ((widths - after) ** 2).sum())
    before, energy = (
        rho.entropy + 0.5 * convexity * (rho.mass * (rho.mean**2).sum() + rho.second_moment)
        for rho in (density, minimiser)
    )
    return ExactStep(minimiser, float(before), float(energy), float(square), tau)


def porous_medium_step(density: Barenblatt, tau: float) -> ExactStep[Barenblatt]:
    """A step of E = ∫ρ^m/(m-1) from a Barenblatt profile, which is dilated about its center by a factor s'.

    With M₂ and E₁ of ρ (s = 1), E = E₁ s'^{-d(m-1)} and W₂² = (s' - 1)² M₂, so that

        M₂ (s' - 1)/τ = d(m-1) E₁ s'^{-d(m-1)-1};

    since ∇ρ'^{m-1} is linear in x, this solves the Euler–Lagrange equation in every point of the support.

    Args:
        density: ρ.
        tau: τ.

    Returns:
        The step; its state is the profile ρ'.

    Raises:
        InputError: A step that is not positive.
    """
    positive("Time steps", tau)
    power = density.dimension * (density.exponent - 1.0)
    drive = tau * power * density.energy / density.second_moment
    # e = s' - 1 solves e (1 + e)^(power + 1) = drive and lies between 0 and drive. Its logarithm is monotone,
    # and so the root is accurate however small it is.
    growth = brentq(
        lambda e: math.log(e / drive) + (power + 1.0) * math.log1p(e),
        drive * (1.0 + drive) ** -(power + 1.0) * 0.5,
        drive,
        xtol=1e-300,
        rtol=1e-15,
    )
    minimiser = density.dilated(1.0 + growth)
    square = growth**2 * density.second_moment
    return ExactStep(minimiser, density.energy, minimiser.energy, square, tau)


def linear_potential_step(
    mean: npt.ArrayLike, slope: npt.ArrayLike, tau: float, mass: float = 1.0
) -> ExactStep[npt.NDArray[np.float64]]:
    """A step of E = ∫(b·x)ρ in the whole space, which moves any density by -τb.

    δE/δρ = b·x has the same gradient everywhere: T(x) = x - τb, W₂² = M τ²|b|², and E falls by M τ|b|². In a
    domain this holds as long as the moved density stays inside.

    Args:
        mean: The center of mass of ρ, shape (d,).
        slope: b, shape (d,).
        tau: τ.
        mass: M.

    Returns:
        The step; its state is the new center of mass, shape (d,).

    Raises:
        InputError: A step or a mass that is not positive.
    """
    positive("Time steps", tau)
    mean, slope = np.asarray(mean, dtype=float), np.asarray(slope, dtype=float)
    moved = mean - tau * slope
    square = translation_square(tau * slope, mass)
    return ExactStep(moved, mass * float(slope @ mean), mass * float(slope @ moved), square, tau)
