"""Densities whose distances and minimising movements are known in closed form.

Everything is dimensionless; x lies in R^d and masses need not be 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.special import beta, gamma

from fem_models.core.errors import InputError

_Array = npt.NDArray[np.float64]

# Covariances may miss symmetry and signs by so much of their size.
_ROUNDING = 1e-12


def positive(name: str, *values: float) -> None:
    """Refuse values that are not positive and finite.

    Args:
        name: What they are, in the plural, for the message.
        values: The values.

    Raises:
        InputError: One of them is zero, negative or not finite.
    """
    for value in values:
        if not 0.0 < value < math.inf:
            raise InputError(f"{name} must be positive and finite, not {value:g}.")


@dataclass(frozen=True, eq=False, init=False)
class Gaussian:
    """The density M (2π)^{-d/2} det(Σ)^{-½} exp(-½ (x - a)·Σ⁻¹(x - a)).

    Args:
        mean: a, shape (d,).
        covariance: Σ, symmetric and without negative eigenvalues, shape (d, d).
        mass: M.

    Raises:
        InputError: Shapes that do not fit, a covariance that is none, or a mass that is not positive.
    """

    mean: _Array
    covariance: _Array
    mass: float

    def __init__(self, mean: npt.ArrayLike, covariance: npt.ArrayLike, mass: float = 1.0) -> None:
        mean, covariance = np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float)
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise InputError("A Gaussian needs a mean of shape (d,) and a covariance of shape (d, d).")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise InputError("The mean and the covariance of a Gaussian must be finite.")
        slack = _ROUNDING * np.abs(covariance).max()
        asymmetry = np.abs(covariance - covariance.T).max()
        if asymmetry > slack or np.linalg.eigvalsh(covariance)[0] < -slack:
            raise InputError("A covariance must be symmetric and have no negative eigenvalue.")
        positive("Masses", mass)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", covariance)
        object.__setattr__(self, "mass", mass)

    @classmethod
    def isotropic(cls, mean: npt.ArrayLike, width: float, mass: float = 1.0) -> Gaussian:
        """The Gaussian N(a, σ²I) times a mass.

        Args:
            mean: a, shape (d,).
            width: σ ≥ 0.
            mass: M.

        Returns:
            The Gaussian.

        Raises:
            InputError: A mean that is not finite, or a mass that is not positive.
        """
        return cls(mean, width**2 * np.eye(len(np.asarray(mean))), mass)

    def __call__(self, x: _Array) -> _Array:
        """The density at points.

        Args:
            x: Points, shape (d, n), or (3, n) with unused rows at the end.

        Returns:
            Its values, shape (n,).
        """
        offset = x[: len(self.mean)] - self.mean[:, None]
        exponent = -0.5 * np.einsum("in,in->n", offset, np.linalg.solve(self.covariance, offset))
        return self.mass * np.exp(exponent) / math.sqrt(np.linalg.det(2.0 * math.pi * self.covariance))

    @property
    def second_moment(self) -> float:
        """∫|x - a|²ρ = M tr Σ."""
        return self.mass * float(np.trace(self.covariance))

    @property
    def entropy(self) -> float:
        """∫ρ log ρ = M log M - ½M log det(2πe Σ)."""
        logarithm = np.linalg.slogdet(2.0 * math.pi * math.e * self.covariance).logabsdet
        return self.mass * (math.log(self.mass) - 0.5 * float(logarithm))


@dataclass(frozen=True)
class Barenblatt:
    """The profile ρ = H (1 - |x - c|²/R²)₊^p with p = 1/(m-1) of the porous-medium equation ∂tρ = Δρ^m.

    With the area ω_d = 2π^{d/2}/Γ(d/2) of the unit sphere and the Beta function in
    b(k, p) = ∫₀¹ r^{k-1} (1-r²)^p dr = ½B(k/2, p+1) its moments are

        M = ω_d H R^d b(d, p),   M₂ = ω_d H R^{d+2} b(d+2, p),   ∫ρ^m = ω_d H^m R^d b(d, p+1).

    Args:
        exponent: m > 1.
        dimension: d.
        height: H.
        radius: R.
        center: c, shape (d,); the origin without it.

    Raises:
        InputError: An exponent of at most 1, a dimension below 1, or a height or radius that is not positive.
    """

    exponent: float
    dimension: int
    height: float
    radius: float
    center: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        if not 1.0 < self.exponent < math.inf:
            raise InputError(f"A Barenblatt profile needs an exponent m > 1, not {self.exponent:g}.")
        if self.dimension < 1:
            raise InputError(f"A Barenblatt profile needs a dimension of 1 or more, not {self.dimension}.")
        positive("Heights and radii", self.height, self.radius)
        center = self.center or (0.0,) * self.dimension
        if len(center) != self.dimension:
            raise InputError(
                f"A profile in dimension {self.dimension} has no center with {len(center)} numbers."
            )
        object.__setattr__(self, "center", tuple(center))

    def __call__(self, x: _Array) -> _Array:
        """The density at points.

        Args:
            x: Points, shape (d, n), or (3, n) with unused rows at the end.

        Returns:
            Its values, shape (n,).
        """
        squares = ((x[: self.dimension] - np.array(self.center)[:, None]) ** 2).sum(axis=0)
        return self.height * np.maximum(1.0 - squares / self.radius**2, 0.0) ** (1.0 / (self.exponent - 1.0))

    @property
    def mass(self) -> float:
        """∫ρ."""
        return self.height * self._integral(0, 0)

    @property
    def second_moment(self) -> float:
        """M₂ = ∫|x - c|²ρ."""
        return self.height * self.radius**2 * self._integral(2, 0)

    @property
    def energy(self) -> float:
        """E₁ = ∫ρ^m/(m-1)."""
        return self.height**self.exponent * self._integral(0, 1) / (self.exponent - 1.0)

    def _integral(self, moment: int, power: int) -> float:
        """∫ |y|^moment (1 - |y|²)₊^{p + power} dx with y = (x - c)/R."""
        d, p = self.dimension, 1.0 / (self.exponent - 1.0)
        sphere = 2.0 * math.pi ** (0.5 * d) / gamma(0.5 * d)
        return float(sphere * self.radius**d * 0.5 * beta(0.5 * (d + moment), p + power + 1.0))

    def dilated(self, factor: float) -> Barenblatt:
        """The profile pushed forward by x ↦ c + s (x - c), with the same mass.

        Args:
            factor: s > 0.

        Returns:
            The profile with the radius sR and the height s^{-d}H.

        Raises:
            InputError: A factor that is not positive.
        """
        positive("Factors of dilations", factor)
        return replace(self, height=self.height * factor**-self.dimension, radius=self.radius * factor)
