"""The local coupling of two fields with a small factor ε, which the theory expands in (Matthes)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, override

from ufl.core.expr import Expr

from fem_models.energies import Density, Fields

COUPLING = "coupling"
"""The name of the coupling among the terms of an energy, local or not."""


@dataclass(frozen=True)
class Coupling(Density):
    """The energy ε ∫ H(ρ₁, ρ₂) dx, with H given as a function of the fields (by name) and of x.

    As in an `Interaction`, the factor ε is known apart from H: for ε = 0 there is still an H.
    """

    expression: Callable[[Fields, Expr], Any]
    of: str | tuple[str, ...] = ("rho1", "rho2")
    name: str = COUPLING
    coefficient: float = 1.0

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return self.coefficient * super().density(fields, x)
