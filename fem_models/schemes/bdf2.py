"""The second backward differentiation formula, with variable steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import override

import numpy as np

from fem_models.core.errors import SolveError
from fem_models.core.protocols import Law, Memory, Step
from fem_models.flow.checks import check_step
from fem_models.flow.edge_averaged import Flux
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.linalg.newton import NewtonSettings
from fem_models.schemes.checks import require_memory
from fem_models.schemes.halves import in_halves
from fem_models.schemes.resolvent import ResolventScheme
from fem_models.schemes.two_steps import bdf2_error, beyond, non_negative


class Bdf2(ResolventScheme):
    """BDF2: a backward Euler step from an extrapolation, second order in τ.

    With ω = τ_n/τ_{n-1} and the extrapolation h = ρⁿ + ω²/(1+2ω) (ρⁿ - ρⁿ⁻¹), the step solves
    m (ρ - h) + τ (1+ω)/(1+2ω) Σ κ F(ρ) = 0; the first step is backward Euler's.

    Mass is exact. Where the extrapolation is negative (at fronts that recede) it is cut at zero and scaled
    back to its mass, and the amount is reported: so densities stay ≥ 0 on meshes without negative edge
    coefficients. Both hold for steps of any sizes; the formula is stable for ω < 1 + √2. The energy is not
    promised to decrease at every step, only E(ρ) at the solution of each resolvent with respect to E(h); runs
    measure and report it.

    Args:
        flow: The gradient flow.
        flux: "upwind" or "average".
        settings: For Newton's method.
    """

    name = "bdf2"
    title = "BDF2"
    order = 2
    promises: frozenset[Law] = frozenset({"conserved", "non-negative"})

    def __init__(
        self, flow: GradientFlow, flux: Flux = "upwind", settings: NewtonSettings | None = None
    ) -> None:
        super().__init__(flow, flux, settings)
        self._memory: Memory[State] = Memory()

    @override
    def step(self, old: State, tau: float) -> Step[State]:
        before = self._memory
        try:
            return in_halves(self.attempt, old, tau)
        except SolveError:
            self._memory = before
            raise

    @override
    def attempt(self, old: State, tau: float) -> Step[State]:
        check_step(self._flow, old, tau)
        if not self._memory.states:
            state, newton, linear = self._resolvent.solve(old, old, tau)
            clipped = 0.0
        else:
            (older,), (last,) = self._memory.states, self._memory.steps
            omega = tau / last
            extrapolated = beyond(old, older, omega**2 / (1.0 + 2.0 * omega))
            anchor, clipped = non_negative(self._flow, extrapolated, old)
            guess = np.where(self._flow.transported, np.maximum(beyond(old, older, omega), 0.0), old)
            effective = tau * (1.0 + omega) / (1.0 + 2.0 * omega)
            state, newton, linear = self._resolvent.solve(guess, anchor, effective)
        self._memory = Memory((old.copy(),), (tau,))
        return Step(state, newton, linear, clipped)

    @override
    def error_constant(self, steps: Sequence[float]) -> float:
        """(1+ω)²/(6ω(1+2ω)), which is 2/9 for equal steps.

        Args:
            steps: τ_n and τ_{n-1}, and more.

        Returns:
            The constant.
        """
        return bdf2_error(steps)

    @override
    def memory(self) -> Memory[State]:
        """The state before the last step, and the size of that step."""
        return self._memory

    @override
    def restore(self, memory: Memory[State]) -> None:
        """Go on from what `memory` returned; after `Memory()` the next step is backward Euler's.

        Args:
            memory: One earlier state with the step from it, or nothing.

        Raises:
            InputError: More than that, a state of another shape, or a step that is not positive.
        """
        require_memory(memory, self._flow, 1, self.title)
        self._memory = memory
