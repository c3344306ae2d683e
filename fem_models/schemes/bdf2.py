"""The second backward differentiation formula, with variable steps."""

from __future__ import annotations

import numpy as np

from fem_models.flow.edge_averaged import Flux
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.linalg.newton import NewtonSettings
from fem_models.schemes.resolvent import ResolventScheme, Step
from fem_models.schemes.two_steps import LastStep, beyond, non_negative


class Bdf2(ResolventScheme):
    """BDF2: a backward Euler step from an extrapolation, second order in τ.

    With ω = τ_n/τ_{n-1} and the extrapolation h = ρⁿ + ω²/(1+2ω) (ρⁿ - ρⁿ⁻¹), the step solves
    m (ρ - h) + τ (1+ω)/(1+2ω) Σ κ F(ρ) = 0; the first step is backward Euler's.

    Mass is exact. Where the extrapolation is negative (at fronts that recede) it is cut at zero and scaled
    back to its mass, and the amount is reported: so densities stay ≥ 0 on meshes without negative edge
    coefficients. The energy is not promised to decrease at every step, only E(ρ) at the solution of each
    resolvent with respect to E(h); runs measure and report it.

    Args:
        flow: The gradient flow.
        flux: "upwind" or "average".
        settings: For Newton's method.
    """

    name = "bdf2"

    def __init__(
        self, flow: GradientFlow, flux: Flux = "upwind", settings: NewtonSettings | None = None
    ) -> None:
        super().__init__(flow, flux, settings)
        self._last = LastStep(flow)

    def step(self, old: State, tau: float) -> Step:
        """Take a step of size tau from the state that the last step returned, or from a first one.

        Args:
            old: The state before, shape (nodes, species).
            tau: Time step.

        Returns:
            The step.

        Raises:
            SolveError: Newton's method failed; the message is its report, and the history is unchanged.
        """
        older = self._last.older
        if older is None:
            state, newton, linear = self._resolvent.solve(old, old, tau)
            clipped = 0.0
        else:
            omega = tau / self._last.tau
            extrapolated = beyond(old, older, omega**2 / (1.0 + 2.0 * omega))
            anchor, clipped = non_negative(self._flow, extrapolated, old)
            guess = np.where(self._flow.transported, np.maximum(beyond(old, older, omega), 0.0), old)
            effective = tau * (1.0 + omega) / (1.0 + 2.0 * omega)
            state, newton, linear = self._resolvent.solve(guess, anchor, effective)
        self._last.remember(old, tau)
        return Step(state, newton, linear, clipped)

    def reset(self) -> None:
        """Forget earlier steps: the next one is backward Euler's."""
        self._last.forget()
