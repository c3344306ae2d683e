"""Collision rates λ(ρ) > 0."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError
from fem_models.expressions import Expression

_Array = npt.NDArray[np.float64]

DENSITY = "rho"
"""The name of the density in expressions of rates."""


class CollisionRate:
    """λ(ρ), a power ρ^α or an expression.

    Args:
        given: α, or an expression in rho or its text; it must be positive for the densities that occur.

    Raises:
        InputError: An expression that names something else, or a constant that is not positive.

    Attributes:
        alpha: α; None for an expression.
    """

    def __init__(self, given: float | str | Expression) -> None:
        self.alpha = float(given) if isinstance(given, int | float) else None
        self._expression: Expression | None = None
        if not isinstance(given, int | float):
            self._expression = (
                given if isinstance(given, Expression) else Expression(given, (DENSITY,), where="rate")
            )
        self.is_constant = self.alpha == 0.0 or (self._expression is not None and not self._expression.names)
        if self.is_constant and not 0.0 < (value := float(self(np.ones(1))[0])) < np.inf:
            raise InputError(f"The collision rate {self} is {value:.3g}, and must be positive and finite.")

    def __str__(self) -> str:
        """As a formula."""
        return f"ρ^{self.alpha:g}" if self._expression is None else self._expression.text

    def __call__(self, density: _Array) -> _Array:
        """The rate at densities; not a number where it is none.

        Args:
            density: Of any shape, dimensionless.

        Returns:
            Of the same shape.
        """
        if self._expression is not None:
            flat = density.reshape(1, -1)
            return self._expression.numpy(flat, fields={DENSITY: flat[0]}).reshape(density.shape)
        with np.errstate(all="ignore"):
            return (
                np.where(density > 0.0, density**self.alpha, np.nan) if self.alpha else np.ones_like(density)
            )

    def problem(self, density: _Array) -> str:
        """What is wrong with densities, as a part of a sentence; empty where nothing is.

        Args:
            density: Of any shape.

        Returns:
            The words.
        """
        if not np.isfinite(density).all():
            return "the density is not finite somewhere"
        if self.is_constant:
            return ""
        least = float(density.min(initial=np.inf))
        if least <= 0.0:
            return f"the density is {least:.3g} somewhere, and the collision rate {self} needs a positive one"
        rates = self(density)
        bad = ~(np.isfinite(rates) & (rates > 0.0))
        if bad.any():
            where = float(density[bad].min())
            return (
                f"the collision rate {self} is {float(self(np.array([where]))[0]):.3g} for rho = {where:.6g}"
            )
        return ""
