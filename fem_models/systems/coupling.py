"""The local coupling of two fields with a small factor ε, which the theory expands in (Matthes)."""

from __future__ import annotations

from dataclasses import dataclass

from fem_models.energies import Density

COUPLING = "coupling"
"""The name of the coupling among the terms of an energy, local or not."""


@dataclass(frozen=True)
class Coupling(Density):
    """The energy ε ∫ H(ρ₁, ρ₂) dx, with H given as a function of the fields (by name) and of x.

    As in an `Interaction`, the factor ε is known apart from H: for ε = 0 there is still an H.

    Args:
        expression: H.
        of: The two fields.
        name: The name of the term.
        coefficient: ε.
    """

    of: str | tuple[str, ...] = ("rho1", "rho2")
    name: str = COUPLING
