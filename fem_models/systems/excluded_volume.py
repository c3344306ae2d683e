"""Nonlinear Fokker–Planck with excluded volume (Bruna, Burger and Carrillo)."""

from __future__ import annotations

from dolfinx.mesh import Mesh

from fem_models.energies import Boltzmann, Potential, Quadratic
from fem_models.expressions.functions import FunctionOfX
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes.marks import MarkedMesh


def excluded_volume(
    mesh: MarkedMesh | Mesh,
    potential: FunctionOfX = 0.0,
    coefficient: float = 0.0,
) -> GradientFlow:
    """The flow ∂tρ = div((1 + cρ)∇ρ + ρ∇V) of E = ∫ρ log ρ + ½cρ² + Vρ.

    This is equation (4.1) of the paper with the coefficient c = α_u (N-1) ε^d of (1.6).

    Args:
        mesh: The mesh, with or without named parts.
        potential: V, in units of the temperature: a number, text such as "x**2", a UFL scalar, or a function
            of x with UFL functions.
        coefficient: c = α_u (N-1) ε^d, see `fem_models.particles.excluded_volume`, in units of length^d; 0
            for independent particles.

    Returns:
        The flow; its species are the density "rho".

    Raises:
        InputError: A coefficient that is not finite.
    """
    energy = Boltzmann() + Quadratic(coefficient, name="excluded-volume") + Potential(potential)
    return GradientFlow(mesh, Species("rho"), energy)
