"""Nonlinear Fokker–Planck with excluded volume (Bruna, Burger and Carrillo)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dolfinx.mesh import Mesh
from ufl.core.expr import Expr

from fem_models.energies import Boltzmann, Potential, Quadratic
from fem_models.flow.gradient_flow import GradientFlow, Species


def excluded_volume(
    mesh: Mesh,
    potential: float | Expr | Callable[[Expr], Any] = 0.0,
    coefficient: float = 0.0,
) -> GradientFlow:
    """The flow ∂tρ = div((1 + cρ)∇ρ + ρ∇V) of E = ∫ρ log ρ + ½cρ² + Vρ, equation (4.1) with (1.6).

    Args:
        mesh: The mesh.
        potential: V, in units of the temperature: a number, a UFL scalar, or a function of x.
        coefficient: c = α_u (N-1) ε^d, see `fem_models.particles.excluded_volume`, in units of length^d; 0
            for independent particles.

    Raises:
        InputError: A coefficient that is not finite.
    """
    energy = Boltzmann() + Quadratic(coefficient, name="excluded-volume") + Potential(potential)
    return GradientFlow(mesh, Species("rho"), energy)
