"""Diffusion with a power of the density, the diffusive limit of BGK (Evans, Morris and Yoldaş)."""

from __future__ import annotations

from dolfinx.mesh import Mesh

from fem_models.energies import fast_diffusion as fast_diffusion_energy
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes.marks import MarkedMesh


def fast_diffusion(mesh: MarkedMesh | Mesh, alpha: float) -> GradientFlow:
    """The flow ∂tρ = div(ρ^{-α}∇ρ) of E = ∫ ρ^{1-α}/(α(α-1)), Evans, Morris and Yoldaş, (1.3).

    For α = 0 it is that of ∫ρ log ρ, and for α = 1 that of -∫log ρ. For α ≥ 1 the energy is infinite in
    vacuum, and densities must begin positive everywhere.

    Args:
        mesh: The mesh, with or without named parts.
        alpha: α, dimensionless: diffusion is fast for α > 0 and slow for α < 0.

    Returns:
        The flow; its species are the density "rho".

    Raises:
        InputError: An exponent that is not finite.
    """
    return GradientFlow(mesh, Species("rho"), fast_diffusion_energy(alpha))
