"""Second variations of the energy of two densities along translations and lines (Matthes, the lemma).

With τ_sρ = (ρ₁(· - s e), ρ₂), a geodesic of the compound Wasserstein metric, with e the first axis, and the
energy density f(ρ₁, ρ₂, x), integration by parts gives

    d²/ds² E(τ_sρ) = -∫ ∂_eρ₁ (∂₁∂₂f ∂_eρ₂ + ∂_e∂₁f) dx    at s = 0

for densities that vanish at the boundary: the internal energy of ρ₁ is invariant, the coupling gives
-ε∫ ∂₁∂₂H ∂_eρ₁ ∂_eρ₂, and a potential ∫ ∂_e²V₁ ρ₁. With oscillations of frequency k the coupling's part grows
like -k²: the energy is not μ-convex along geodesics for any μ. Along lines ρ + sη its second derivative
∫ Σ_st ∂_s∂_tf η_s η_t stays positive for small ε. Everything is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import ufl
from dolfinx import fem
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.energies import Energy
from fem_models.expressions.functions import FunctionOfX, as_ufl
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.nodal.evaluation import NodalCover, NodalExpression
from fem_models.nodal.variables import variables
from fem_models.systems.studies.flat_convexity import flat_convexity

Row = dict[str, float]

# The quadrature resolves the densities on a cell, and this many times their oscillation.
_SMOOTH_DEGREE = 10
_HARMONICS = 4.0
_LARGEST_PHASE = 0.5 * math.pi


def second_variations(
    flow: GradientFlow,
    densities: Mapping[str, FunctionOfX],
    frequencies: Sequence[float],
    amplitude: float,
) -> list[Row]:
    """The second variations of the energy at densities that oscillate in phase. Collective.

    The densities are ρ_j = ρ⁰_j (1 + a sin kx), the direction of the flat variation is η_j = a ρ⁰_j sin kx.
    Local parts of the energy are integrated with a quadrature that resolves the oscillation.

    Args:
        flow: A flow of two Wasserstein species, with potentials that are functions of x; its mesh has at
            least four cells a wavelength.
        densities: ρ⁰ by species, that vanish at the boundary: text, UFL scalars, or functions of the
            coordinates with UFL functions.
        frequencies: k > 0.
        amplitude: a, between 0 and 1.

    Returns:
        For each k a row with k, the second derivative "displacement" along the translation, the same over k²,
        the second derivative "flat" along the line, and "flat_least", the least eigenvalue of
        `fem_models.systems.studies.flat_convexity` over the range of the densities.

    Raises:
        InputError: Other species, or a mesh that is too coarse for a frequency.
    """
    if list(flow.transported) != [True, True]:
        raise InputError(
            "Second variations along a translation are for two densities with the Wasserstein metric; this "
            f"flow has {', '.join(f'{s.name} ({s.metric})' for s in flow.species)}."
        )
    phase, largest = flow.geometry.h_max * max(frequencies), _LARGEST_PHASE / flow.geometry.h_max
    if min(frequencies) <= 0.0 or phase > _LARGEST_PHASE:
        raise InputError(
            f"The frequencies must be positive and at most {largest:.4g}, which edges of "
            f"{flow.geometry.h_max:.3g} resolve; they go from {min(frequencies):g} to {max(frequencies):g}."
        )
    problem = _Oscillation(flow, densities, amplitude, _SMOOTH_DEGREE + math.ceil(_HARMONICS * phase))
    return [problem.row(float(k)) for k in frequencies]


class _Oscillation:
    """The two second variations, compiled once for all frequencies."""

    def __init__(
        self, flow: GradientFlow, densities: Mapping[str, FunctionOfX], amplitude: float, degree: int
    ) -> None:
        self._flow = flow
        x = flow.x
        self._k = fem.Constant(flow.mesh, 0.0)
        wave = amplitude * ufl.sin(self._k * x[0])
        base = [as_ufl(densities[name], x, f"The density {name}") for name in flow.names]
        rho = [r * (1.0 + wave) for r in base]
        slopes = [ufl.grad(r)[0] for r in rho]
        directions = [r * wave for r in base]
        translated, flat = _integrands(flow.terms, flow.names, x, rho, slopes, directions)
        dx = ufl.dx(domain=flow.mesh, metadata={"quadrature_degree": degree})
        comm = flow.comm
        self._translated, self._flat = (
            fem.form(integrand * dx, jit_comm=comm)  # type: ignore[arg-type]
            for integrand in (translated, flat)
        )
        self._nodal = NodalExpression(NodalCover(flow.space), [*rho, *slopes, *directions])

    def row(self, k: float) -> Row:
        """The row of a frequency."""
        flow = self._flow
        self._k.value = k  # type: ignore[assignment]
        rho, slopes, directions = np.split(self._nodal(), 3, axis=1)
        # Interactions are bilinear: their second derivatives are their values at slopes and at directions.
        # The energy of a species with itself does not change when it is moved.
        between = [term.interaction is None or len({*term.interaction[:2]}) > 1 for term in flow.terms]
        across = flow.comm.allreduce(float(flow.couplings.energies(slopes) @ np.array(between)))
        along = flow.comm.allreduce(float(flow.couplings.energies(directions).sum()))
        displacement = flow.comm.allreduce(fem.assemble_scalar(self._translated)) - across
        flat = flow.comm.allreduce(fem.assemble_scalar(self._flat)) + 2.0 * along
        return {
            "k": k,
            "displacement": displacement,
            "displacement_over_k2": displacement / k**2,
            "flat": flat,
            "flat_least": flat_convexity(flow, dict.fromkeys(flow.names, 0.0), flow.maxima(rho)),
        }


def _integrands(
    energy: Energy,
    names: Sequence[str],
    x: Expr,
    rho: Sequence[Expr],
    slopes: Sequence[Expr],
    directions: Sequence[Expr],
) -> tuple[Expr, Expr]:
    """What is integrated for the two second derivatives."""
    point, *by = variables([x, *rho])
    fields = dict(zip(names, by, strict=True))
    density = sum((term.density(fields, point) for term in energy), ufl.as_ufl(0.0))
    potentials = [ufl.diff(density, variable) for variable in fields.values()]
    mixed, explicit = ufl.diff(potentials[0], fields[names[1]]), ufl.diff(potentials[0], point)[0]
    translated = -slopes[0] * (mixed * slopes[1] + explicit)
    flat = sum(
        ufl.diff(potential, variable) * a * b
        for potential, a in zip(potentials, directions, strict=True)
        for variable, b in zip(fields.values(), directions, strict=True)
    )
    return translated, flat
