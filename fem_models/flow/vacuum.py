"""Densities near vacuum: the shares below which there is none, and what stands in for it.

Vacuum is a true zero in this package, and nothing is regularised. But derivatives may be infinite there,
Newton's method may not start from there, and rounding leaves traces of mass there. Each of the shares below
says what of the largest or of the mean density counts as vacuum for one purpose. They are dimensionless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fem_models.flow.species import State

if TYPE_CHECKING:
    from fem_models.flow.gradient_flow import GradientFlow

DERIVATIVES = 1e-12
"""Where derivatives of the energy are infinite in vacuum, as for ψ ~ ρ^β with 0 < β < 1, they are taken at
this share of the largest density."""

START = 1e-8
"""Where the potential is infinite in vacuum, Newton's method starts from at least this share of the mean: its
unknown there is log ρ."""

TAILS = 1e-30
"""Below this share of the largest density an implicit step leaves vacuum: it carries geometrically small
amounts all the way down a potential. Not for energies with an entropy, whose tails are real."""

AFTER_ENTROPY = 1e-10
"""Below this share of the largest density, what an added entropy has left in vacuum is taken away on the way
to the solution without it."""

AFTER_MOVEMENT = 1e-12
"""Below this share of the largest density a minimising movement leaves vacuum, for energies that allow for
it."""

ACTION = 1e-12
"""A density of this share of the mean stands in where the action of a path does not fix the potential, as in
vacuum."""

FRONT = 1e-2
"""At nodes in vacuum whose fluxes are less than those of this share of the mean, the potential of a path is
that of the present densities: they say little about those of the next iterate, and Newton's potential would
be huge."""

GEODESIC = 1e-6
"""A density of this share of the mean stands in where vacuum does not determine the potential of a geodesic.
With less, what rounding leaves in vacuum is taken for mass that moves far."""

CONVEXITY = 1e-6
"""Where the convexity of an energy is looked at, this share of the largest density stands for vacuum, where
entropies and their like are singular."""


def for_derivatives(flow: GradientFlow, state: State, fields: npt.NDArray[np.bool_]) -> State:
    """The state to take derivatives at, away from where they are infinite. Collective.

    Args:
        flow: The gradient flow.
        state: Shape (nodes, fields).
        fields: Those whose derivatives are infinite in vacuum, shape (fields,).

    Returns:
        The state with at least the share `DERIVATIVES` of the largest value of such fields; the same shape.
    """
    return np.where(fields, np.maximum(state, DERIVATIVES * flow.scale(state)), state)


def for_start(flow: GradientFlow, state: State, fields: npt.NDArray[np.bool_]) -> State:
    """The state to start Newton's method from, positive where it must be. Collective.

    Args:
        flow: The gradient flow.
        state: Shape (nodes, fields).
        fields: Those whose potential is infinite in vacuum, shape (fields,).

    Returns:
        The state with at least the share `START` of the mean of such fields; the same shape.
    """
    if not fields.any():
        return state
    means = np.array(list(flow.masses(state).values())) / flow.volume
    return np.where(fields, np.maximum(state, START * means), state)


def with_true_vacuum(flow: GradientFlow, state: State, fields: npt.NDArray[np.bool_], share: float) -> State:
    """The state with zero where densities are below a share of their largest value. Collective.

    Args:
        flow: The gradient flow.
        state: Shape (nodes, fields).
        fields: Those that vanish in vacuum, shape (fields,).
        share: Of the largest value: `TAILS`, `AFTER_ENTROPY` or `AFTER_MOVEMENT`.

    Returns:
        The state, of the same shape.
    """
    return np.where(fields & (state < share * flow.scale(state)), 0.0, state)
