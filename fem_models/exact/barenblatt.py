"""The source solutions of the porous-medium equation ∂tρ = Δρ^m in time. Everything is dimensionless."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fem_models.exact.profiles import Barenblatt, positive

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SourceSolution:
    """Barenblatt's solution of ∂tρ = Δρ^m in R^d, which starts from a point mass at t = 0.

    With β = 1/(d(m-1) + 2) and k = β(m-1)/(2m) it is

        ρ(x, t) = t^{-dβ} (C - k |x - c|² t^{-2β})₊^{1/(m-1)}

    (Vázquez, The Porous Medium Equation, 2007). Its mass is constant; its support is the ball of radius
    (C/k)^½ t^β around c.

    Args:
        exponent: m > 1.
        dimension: d.
        constant: C > 0.
        center: c, shape (d,); the origin without it.

    Raises:
        InputError: An exponent of at most 1, a dimension below 1, a constant that is not positive, or a
            center of another dimension.
    """

    exponent: float
    dimension: int
    constant: float
    center: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        positive("Constants of source solutions", self.constant)
        # A profile refuses what is wrong with the other arguments, and knows the origin.
        unit = Barenblatt(self.exponent, self.dimension, 1.0, 1.0, self.center)
        object.__setattr__(self, "center", unit.center)

    @classmethod
    def of_radius(
        cls, exponent: float, dimension: int, radius: float, time: float, center: tuple[float, ...] = ()
    ) -> SourceSolution:
        """The solution whose support has a radius at a time.

        Args:
            exponent: m > 1.
            dimension: d.
            radius: The radius, positive.
            time: The time, positive.
            center: c, shape (d,); the origin without it.

        Returns:
            The solution.

        Raises:
            InputError: As for the class, and a radius or a time that is not positive.
        """
        positive("Radii and times", radius, time)
        unit = cls(exponent, dimension, 1.0, center)
        return cls(exponent, dimension, unit.k * radius**2 * time ** (-2.0 * unit.beta), center)

    @property
    def beta(self) -> float:
        """The exponent β = 1/(d(m-1) + 2) of the growing radius."""
        return 1.0 / (self.dimension * (self.exponent - 1.0) + 2.0)

    @property
    def k(self) -> float:
        """The coefficient k = β(m-1)/(2m)."""
        return self.beta * (self.exponent - 1.0) / (2.0 * self.exponent)

    def profile(self, time: float) -> Barenblatt:
        """The density at a time, with its mass, second moment and energy in closed form.

        Args:
            time: t > 0.

        Returns:
            The profile of height t^{-dβ} C^{1/(m-1)} and radius (C/k)^½ t^β.

        Raises:
            InputError: A time that is not positive.
        """
        positive("Times of source solutions", time)
        height = time ** (-self.dimension * self.beta) * self.constant ** (1.0 / (self.exponent - 1.0))
        radius = (self.constant / self.k) ** 0.5 * time**self.beta
        return Barenblatt(self.exponent, self.dimension, height, radius, self.center)

    def __call__(self, x: npt.ArrayLike, time: float) -> _Array:
        """The density at points and a time.

        Args:
            x: Points, shape (d, n), or (3, n) with unused rows at the end.
            time: t > 0.

        Returns:
            Its values, shape (n,).
        """
        offset = np.asarray(x, dtype=float)[: self.dimension] - np.array(self.center)[:, None]
        inside = self.constant - self.k * (offset**2).sum(axis=0) * time ** (-2.0 * self.beta)
        power = 1.0 / (self.exponent - 1.0)
        return time ** (-self.dimension * self.beta) * np.maximum(inside, 0.0) ** power
