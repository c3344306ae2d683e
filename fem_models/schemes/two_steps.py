"""What follows from the last two states and steps: extrapolations, and the error of Euler's method."""

from __future__ import annotations

from collections.abc import Sequence

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


def euler_error(steps: Sequence[float]) -> float:
    """The constant of the local error of implicit Euler steps, see `fem_models.core.protocols.KnownError`.

    Args:
        steps: τ_n and τ_{n-1} (dimensionless).

    Returns:
        (1+ω)/(4ω) with ω = τ_n/τ_{n-1}, which is ½ for equal steps.
    """
    omega = steps[0] / steps[1]
    return (1.0 + omega) / (4.0 * omega)


def bdf2_error(steps: Sequence[float]) -> float:
    """The constant of the local error of BDF2: from the derivative of the interpolating parabola.

    Args:
        steps: τ_n and τ_{n-1}, and more (dimensionless).

    Returns:
        (1+ω)²/(6ω(1+2ω)) with ω = τ_n/τ_{n-1}, which is 2/9 for equal steps.
    """
    omega = steps[0] / steps[1]
    return (1.0 + omega) ** 2 / (6.0 * omega * (1.0 + 2.0 * omega))
