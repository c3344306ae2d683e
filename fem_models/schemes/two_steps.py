"""What schemes of second order remember and extrapolate: the last two states, and the step between them."""

from __future__ import annotations

import numpy as np

from fem_models.core.protocols import Memory
from fem_models.flow.gradient_flow import GradientFlow, State


class LastStep:
    """The state before the last one, and the step that led from it.

    Args:
        flow: The gradient flow.

    Attributes:
        older: The state before the last one, shape (nodes, fields); None before the first step.
        tau: The size of the step from it to the last one.
    """

    def __init__(self, flow: GradientFlow) -> None:
        self._flow = flow
        self.older: State | None = None
        self.tau = 0.0

    def remember(self, old: State, tau: float) -> None:
        """Take note of a step.

        Args:
            old: The state before it, shape (nodes, fields).
            tau: Its size.
        """
        self.older, self.tau = old, tau

    def forget(self) -> None:
        """Begin anew."""
        self.older, self.tau = None, 0.0

    def memory(self) -> Memory[State]:
        """What is remembered, to be written to a checkpoint."""
        return Memory() if self.older is None else Memory((self.older,), (self.tau,))

    def restore(self, memory: Memory[State]) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: The earlier state and the step from it; empty to begin anew.
        """
        self.forget()
        if memory.states:
            self.remember(memory.states[0], memory.steps[0])


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
