"""Two densities coupled by a small local or non-local energy (Matthes)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt
from dolfinx.mesh import Mesh
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.energies import (
    Energy,
    Fields,
    Interaction,
    Kernel,
    Potential,
    diffusion,
)
from fem_models.expressions.functions import FunctionOfX
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes.marks import MarkedMesh
from fem_models.systems.coupling import COUPLING, Coupling

NAMES = ("rho1", "rho2")


def quadratic_potentials(
    convexity: float, centers: Sequence[npt.ArrayLike]
) -> tuple[Callable[[Expr], Any], Callable[[Expr], Any]]:
    """The potentials V_j = (λ/2)|x - x_j|², as functions of the coordinates.

    Args:
        convexity: λ, dimensionless.
        centers: x_1 and x_2, each of shape (dim,).

    Returns:
        V_1 and V_2.
    """

    def around(center: Any) -> Callable[[Expr], Any]:
        return lambda x: 0.5 * convexity * sum((x[i] - float(a)) ** 2 for i, a in enumerate(center))

    first, second = centers
    return around(first), around(second)


def relatively_bounded(m: float) -> Callable[[Fields], Any]:
    """The coupling H = (ρ₁ρ₂/(1+ρ₁+ρ₂))^m of the slides, as a function of the densities.

    Args:
        m: The exponent, dimensionless.

    Returns:
        H, which takes the densities "rho1" and "rho2" by name and gives UFL.
    """

    def H(fields: Fields) -> Any:
        first, second = (fields[name] for name in NAMES)
        return (first * second / (1.0 + first + second)) ** (int(m) if float(m).is_integer() else m)

    return H


def two_component(
    mesh: MarkedMesh | Mesh,
    potentials: Sequence[FunctionOfX],
    m: float = 2.0,
    epsilon: float = 0.0,
    coupling: Callable[[Fields], Any] | None = None,
    kernel: Kernel | None = None,
) -> GradientFlow:
    """The flow of two densities in potentials of their own, coupled by a function H of both.

        ∂tρ_i = Δρ_i^m + div(ρ_i ∇[V_i + ε ∂_iH(ρ₁, ρ₂)])
        E^ε = ∫ (ρ₁^m + ρ₂^m)/(m-1) + V₁ρ₁ + V₂ρ₂ + ε H(ρ₁, ρ₂)

    with ρ log ρ in place of ρ^m/(m-1) for m = 1 (Matthes, "Our contribution"). With a kernel the coupling is
    ε∫∫ K(x-y) ρ₁(x) ρ₂(y) instead ("The road ahead").

    The scheme's energy law holds for any step where E^ε is convex in (ρ₁, ρ₂), that is for small ε.

    Args:
        mesh: The mesh, with or without named parts.
        potentials: V₁ and V₂, dimensionless: numbers, text such as "x**2", UFL scalars, or functions of x
            with UFL functions.
        m: Exponent, m ≥ 1, dimensionless; the theory has m ≥ 2.
        epsilon: ε ≥ 0, dimensionless.
        coupling: H as a function of the densities rho1 and rho2 (UFL); `relatively_bounded` by default.
        kernel: K, in place of H: a function of differences of shape (dim, n) with NumPy functions, or text
            such as "exp(-r**2)".

    Returns:
        The flow; its species are the densities "rho1" and "rho2".

    Raises:
        InputError: A coupling and a kernel at once, not two potentials, or an exponent or ε out of range.
    """
    if not 1.0 <= m < math.inf:
        raise InputError(f"The exponent m of the two densities must be 1 or more, not {m!r}.")
    if not 0.0 <= epsilon < math.inf:
        raise InputError(f"The coupling ε must be zero or more and finite, not {epsilon!r}.")
    if coupling is not None and kernel is not None:
        raise InputError("Two densities are coupled by H or by a kernel, not by both; give one of them.")
    if isinstance(potentials, str) or len(potentials) != 2:
        raise InputError("Two densities need two potentials: give a list of them.")
    terms = [diffusion(m, name, f"diffusion-{name}") for name in NAMES]
    terms += [Potential(V, name, f"potential-{name}") for V, name in zip(potentials, NAMES, strict=True)]
    if kernel is not None:
        terms.append(Interaction(kernel, NAMES, epsilon, COUPLING))
    else:
        H = coupling or relatively_bounded(m)
        terms.append(Coupling(lambda fields, x: H(fields), NAMES, coefficient=epsilon))
    return GradientFlow(mesh, [Species(name) for name in NAMES], Energy(terms))
