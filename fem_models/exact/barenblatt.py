"""Source solutions of ∂tρ = Δρ^m in time: porous media and fast diffusion. Everything is dimensionless."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError
from fem_models.exact.profiles import Barenblatt, positive

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SourceSolution:
    """Barenblatt's solution of ∂tρ = Δρ^m in R^d, which starts from a point mass at t = 0.

    With β = 1/(d(m-1) + 2) and k = β(m-1)/(2m) it is

        ρ(x, t) = t^{-dβ} (C - k |x - c|² t^{-2β})₊^{1/(m-1)}

    (Vázquez, The Porous Medium Equation, 2007). Its mass is constant. For m > 1 its support is the ball of
    radius (C/k)^½ t^β around c. For m < 1, fast diffusion, k is negative, and the density is positive
    everywhere, with tails like |x|^{-2/(1-m)}.

    Args:
        exponent: m > (d-2)/d, positive and not 1.
        dimension: d.
        constant: C > 0.
        center: c, shape (d,); the origin without it.

    Raises:
        InputError: An exponent out of range, a dimension below 1, a constant that is not positive, or a
            center of another dimension.
    """

    exponent: float
    dimension: int
    constant: float
    center: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        positive("Constants of source solutions", self.constant)
        fast = 0.0 < self.exponent < 1.0
        if fast and self.exponent * self.dimension <= self.dimension - 2:
            raise InputError(
                f"Source solutions in {self.dimension} dimensions need an exponent of more than "
                f"{(self.dimension - 2) / self.dimension:g}, not {self.exponent:g}."
            )
        # A profile refuses what is wrong with the other arguments, and knows the origin.
        unit = Barenblatt(2.0 if fast else self.exponent, self.dimension, 1.0, 1.0, self.center)
        object.__setattr__(self, "center", unit.center)

    @classmethod
    def of_radius(
        cls, exponent: float, dimension: int, radius: float, time: float, center: tuple[float, ...] = ()
    ) -> SourceSolution:
        """The solution whose support has a radius at a time.

        For m < 1 it is the radius where C and -k|x - c|² t^{-2β} are equal.

        Args:
            exponent: As for the class.
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
        return cls(exponent, dimension, abs(unit.k) * radius**2 * time ** (-2.0 * unit.beta), center)

    @property
    def beta(self) -> float:
        """The exponent β = 1/(d(m-1) + 2) of the growing radius."""
        return 1.0 / (self.dimension * (self.exponent - 1.0) + 2.0)

    @property
    def k(self) -> float:
        """The coefficient k = β(m-1)/(2m)."""
        return self.beta * (self.exponent - 1.0) / (2.0 * self.exponent)

    def profile(self, time: float) -> Barenblatt:
        """The density at a time for m > 1, with its mass, second moment and energy in closed form.

        Args:
            time: t > 0.

        Returns:
            The profile of height t^{-dβ} C^{1/(m-1)} and radius (C/k)^½ t^β.

        Raises:
            InputError: A time that is not positive, or an exponent of less than 1.
        """
        positive("Times of source solutions", time)
        height = time ** (-self.dimension * self.beta) * self.constant ** (1.0 / (self.exponent - 1.0))
        # With m < 1 there is none: the exponent is refused by the profile.
        radius = abs(self.constant / self.k) ** 0.5 * time**self.beta
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
