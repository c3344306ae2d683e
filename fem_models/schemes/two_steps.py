"""How schemes of second order extrapolate from the last two states."""

from __future__ import annotations

import numpy as np

from fem_models.flow.gradient_flow import GradientFlow, State


def beyond(old: State, older: State, share: float) -> State:
    """The linear extrapolation ρⁿ + share (ρⁿ - ρⁿ⁻¹).

    Args:
        old: ρⁿ, shape (nodes, fields).
        older: ρⁿ⁻¹.
        share: Of the last step, dimensionless.

    Returns:
        The extrapolation, of the same shape; densities may be negative.
    """
    return old + share * (old - older)


def non_negative(flow: GradientFlow, extrapolated: State, old: State) -> tuple[State, float]:
    """An extrapolation with densities cut at zero and scaled back to the masses of a state. Collective.

    Args:
        flow: The gradient flow.
        extrapolated: Shape (nodes, fields).
        old: The state with the masses.

    Returns:
        The extrapolation, and the mass that was cut, in all.
    """
    cut = np.where(flow.transported, np.maximum(extrapolated, 0.0), extrapolated)
    wanted, found = (np.array(list(flow.masses(u).values())) for u in (old, cut))
    return flow.with_masses_of(old, cut), float((found - wanted)[flow.transported].sum())
