"""Fokker–Planck and porous-medium equations with drift (Matthes)."""

from __future__ import annotations

import math

from dolfinx.mesh import Mesh

from fem_models.core.errors import InputError
from fem_models.energies import Energy, Potential
from fem_models.energies import diffusion as diffusion_energy
from fem_models.expressions.functions import FunctionOfX
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes.marks import MarkedMesh


def fokker_planck(
    mesh: MarkedMesh | Mesh,
    m: float = 1.0,
    diffusion: float = 1.0,
    potential: FunctionOfX = 0.0,
) -> GradientFlow:
    """The flow ∂tρ = D Δρ^m + div(ρ∇V) of E = D ∫ρ^m/(m-1) + ∫Vρ, with ρ log ρ for m = 1.

    Args:
        mesh: The mesh, with or without named parts.
        m: Exponent, positive and dimensionless: 1 is linear diffusion, m > 1 porous media, m < 1 fast
            diffusion.
        diffusion: D ≥ 0, dimensionless; 0 for transport alone.
        potential: V, dimensionless: a number, text such as "x**2", a UFL scalar, or a function of x with UFL
            functions.

    Returns:
        The flow; its species are the density "rho".

    Raises:
        InputError: An exponent or a diffusion out of range.
    """
    if not 0.0 <= diffusion < math.inf:
        raise InputError(f"The diffusion must be zero or more and finite, not {diffusion!r}.")
    energy = Energy((Potential(potential),))
    if diffusion > 0.0:
        name = "boltzmann" if m == 1.0 else "power-law"
        energy = diffusion_energy(m, name=name, coefficient=diffusion) + energy
    return GradientFlow(mesh, Species("rho"), energy)
