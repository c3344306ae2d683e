"""Free energies as sums of named terms, each written once.

A term of E(ρ) is the sum of up to three parts: a density, ∫ e(ρ, x) dx with e in UFL; Dirichlet energies,
½∫ a|∇c|²; and an interaction, ∫∫ K(x-y) ρ₁(x) ρ₂(y). Potentials δE/δρ, their derivatives and the reports all
follow from it. Entropies c ρ log ρ are also known by their coefficient c, because the edge fluxes treat
θ log ρ exactly (see `fem_models.nodal.fluxes`). Everything is dimensionless.

Terms and energies are added and subtracted, also by `sum`, and multiplied by numbers; nothing is changed in
place. Functions of x in them are numbers, text, UFL expressions or functions with UFL functions.
"""

from fem_models.energies.local import (
    Boltzmann,
    Density,
    Logarithmic,
    Potential,
    PowerLaw,
    Quadratic,
    diffusion,
    fast_diffusion,
)
from fem_models.energies.nonlocal_terms import Dirichlet, Electrostatic, Interaction, Kernel
from fem_models.energies.terms import Energy, Fields, Term

__all__ = [
    "Boltzmann",
    "Density",
    "Dirichlet",
    "Electrostatic",
    "Energy",
    "Fields",
    "Interaction",
    "Kernel",
    "Logarithmic",
    "Potential",
    "PowerLaw",
    "Quadratic",
    "Term",
    "diffusion",
    "fast_diffusion",
]
