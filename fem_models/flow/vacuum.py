"""Densities near vacuum: where Newton's method starts from, and what is left there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fem_models.flow.gradient_flow import GradientFlow, State

# Where the potential is singular in vacuum, Newton starts from densities of at least this share of the mean.
_FLOOR = 1e-8


def lifted(flow: GradientFlow, state: State, fields: npt.NDArray[np.bool_]) -> State:
    """The state with densities that are positive where they must be. Collective.

    Args:
        flow: The gradient flow.
        state: Shape (nodes, fields).
        fields: Those whose potential is singular in vacuum, shape (fields,).
    """
    if not fields.any():
        return state
    means = np.array(list(flow.masses(state).values())) / flow.volume
    return np.where(fields, np.maximum(state, _FLOOR * means), state)


def without_dust(flow: GradientFlow, state: State, fields: npt.NDArray[np.bool_], share: float) -> State:
    """The state with zero where densities are below a share of their largest value. Collective.

    Args:
        flow: The gradient flow.
        state: Shape (nodes, fields).
        fields: Those that vanish in vacuum, shape (fields,).
        share: Of the largest value.
    """
    return np.where(fields & (state < share * flow.scale(state)), 0.0, state)
