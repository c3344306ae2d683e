"""Steady states: the minimiser of the energy with given masses, without time stepping.

The Euler–Lagrange conditions of a density are δE/δρ = λ where ρ > 0, and δE/δρ ≥ λ where ρ = 0, with the
multiplier λ of the mass (Bruna, Burger and Carrillo, section 4; Matthes, for the supports where m > 1). They
are the conditions for a steady state of every scheme here, node by node, and are solved in
`fem_models.steady.equilibrium`; for a single density without interactions they are local.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fem_models.core.checks import positive
from fem_models.core.errors import InputError
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.steady.equilibrium import Equilibrium


def steady_state(
    flow: GradientFlow,
    masses: Mapping[str, float] | float,
    guess: State | None = None,
    seconds: float = math.inf,
) -> State:
    """The stationary point of the energy in which every density ρ has its mass Σ_i m_i ρ_i. Collective.

    δE/δρ = λ on the support of each density and δE/δρ ≥ λ outside, and δE/δφ = 0 for fields of the L² metric
    and static ones. Where the energy is convex that is its minimiser. Where it is not, a state that is found
    may be a saddle: it is refused where that shows in second derivatives at a node or in the feedback of a
    field of the L² metric, but not with interactions, nor where the energy is not convex in the fields alone.

    Args:
        flow: A flow with densities whose energy is convex in them.
        masses: By density, positive; a number where there is only one. Dimensionless.
        guess: A state to start from, shape (nodes, species); even densities and fields that are zero by
            default.
        seconds: After which to give up.

    Returns:
        Nodal values, shape (nodes, species); densities are exactly zero outside of their supports.

    Raises:
        InputError: A mass that is missing, unknown or not positive, or charges that do not balance where the
            potential needs it.
        SolveError: The energy is not convex, or has no minimiser with these masses, or time is up.
    """
    wanted = _masses_of(flow, masses)
    return Equilibrium(flow, wanted, guess, seconds).solve()


def _masses_of(flow: GradientFlow, masses: Mapping[str, float] | float) -> npt.NDArray[np.float64]:
    """The masses by the order of the densities, checked."""
    densities = [name for name, moves in zip(flow.names, flow.transported, strict=True) if moves]
    if not isinstance(masses, Mapping):
        if len(densities) != 1:
            raise InputError(
                "A number as the mass of a steady state is for one density with the Wasserstein metric only: "
                f"give masses by name for {', '.join(densities) or 'densities'}."
            )
        masses = {densities[0]: masses}
    if not densities or set(masses) != set(densities):
        raise InputError(
            f"A steady state needs the masses of its densities ({', '.join(densities) or 'there are none'}), "
            f"but it was given those of {', '.join(masses) or 'none'}."
        )
    for name in densities:
        positive(masses[name], f"The mass of {name} in a steady state")
    return np.array([float(masses[name]) for name in densities])
