"""Chemotaxis: a density in the Wasserstein metric and a signal in L² (Matthes; Zinsl and Matthes)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dolfinx.mesh import Mesh
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.energies import Density, Dirichlet, Energy, Potential, diffusion
from fem_models.expressions.functions import FunctionOfX
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes.marks import MarkedMesh
from fem_models.systems.coupling import Coupling

DENSITY, SIGNAL = "rho", "c"


def chemotaxis(
    mesh: MarkedMesh | Mesh,
    potential: FunctionOfX = 0.0,
    m: float = 2.0,
    epsilon: float = 1.0,
    kappa: float = 1.0,
    phi: Callable[[Expr], Any] = lambda c: -c,
) -> GradientFlow:
    """The flow of a density ρ and of a signal c that it follows.

        ∂tρ = Δρ^m + div(ρ∇[V + ε φ(c)]),    ∂tc = Δc - κc - ε φ'(c) ρ
        E^ε = ∫ ρ^m/(m-1) + Vρ + ½|∇c|² + (κ/2)c² + ε φ(c)ρ

    in the metric W₂² + L² (Matthes, "A chemotaxis model", with ρ² for m = 2). For m = 1 (ρ log ρ) and
    φ(c) = -c it is Keller and Segel's model, in which mass above 8π/ε² aggregates in the plane.

    The signal may have either sign. The scheme's energy law holds for any step where E^ε is convex in (ρ, c):
    for small ε (m = 2), not for aggregation.

    Args:
        mesh: The mesh, with or without named parts; no flux through its boundary, neither of ρ nor of c.
        potential: V, dimensionless: a number, text such as "x**2", a UFL scalar, or a function of x with UFL
            functions.
        m: Exponent, m ≥ 1, dimensionless.
        epsilon: ε ≥ 0, dimensionless.
        kappa: κ ≥ 0, the rate at which the signal decays, dimensionless.
        phi: φ as a function of c (UFL).

    Returns:
        The flow; its species are the density "rho" and the signal "c".

    Raises:
        InputError: An exponent, ε or κ out of range.
    """
    if not 1.0 <= m < math.inf:
        raise InputError(f"The exponent m of the density must be 1 or more, not {m!r}.")
    for name, value in (("ε", epsilon), ("κ", kappa)):
        if not 0.0 <= value < math.inf:
            raise InputError(
                f"The number {name} of chemotaxis must be zero or more and finite, not {value!r}."
            )
    terms = [
        diffusion(m, DENSITY, "diffusion"),
        Potential(potential, DENSITY),
        Dirichlet(SIGNAL),
        Density(lambda fields, x: 0.5 * kappa * fields[SIGNAL] ** 2, SIGNAL, "decay"),
        Coupling(
            lambda fields, x: phi(fields[SIGNAL]) * fields[DENSITY], (DENSITY, SIGNAL), coefficient=epsilon
        ),
    ]
    return GradientFlow(mesh, [Species(DENSITY), Species(SIGNAL, "l2")], Energy(terms))
