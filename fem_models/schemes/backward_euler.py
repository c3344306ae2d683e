"""Backward Euler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import override

from fem_models.core.protocols import Law, Memory, Step
from fem_models.flow.checks import check_step
from fem_models.flow.gradient_flow import State
from fem_models.schemes.halves import in_halves
from fem_models.schemes.resolvent import ResolventScheme
from fem_models.schemes.two_steps import euler_error


class BackwardEuler(ResolventScheme):
    """m_i (ρ_i - ρ_i^old)/τ + Σ_j κ_ij ρ_ij (μ_i - μ_j) = 0: first order in τ.

    Promises, on meshes without negative edge coefficients and for any τ: the mass of every Wasserstein
    species is exact, densities stay ≥ 0, and the energy does not increase if it is convex in the densities.
    On edges with negative coefficients only mass and sign are promised.

    Args:
        flow: The gradient flow.
        flux: "upwind" or "average".
        settings: For Newton's method.
    """

    name = "backward-euler"
    title = "backward Euler"
    order = 1
    promises: frozenset[Law] = frozenset({"conserved", "non-negative", "falling"})

    @override
    def step(self, old: State, tau: float) -> Step[State]:
        check_step(self._flow, old, tau)
        return in_halves(self.attempt, old, tau)

    @override
    def attempt(self, old: State, tau: float) -> Step[State]:
        check_step(self._flow, old, tau)
        return Step(*self._resolvent.solve(old, old, tau))

    @override
    def error_constant(self, steps: Sequence[float]) -> float:
        """(1+ω)/(4ω) with ω = τ_n/τ_{n-1}: the error is ½(ρⁿ⁺¹ - ρⁿ - ω(ρⁿ - ρⁿ⁻¹)).

        The step adds ½τ²∂ttρ, and the slopes of the last two steps are the ∂tρ at their ends.

        Args:
            steps: τ_n and τ_{n-1}.

        Returns:
            The constant.
        """
        return euler_error(steps)

    @override
    def memory(self) -> Memory[State]:
        """Nothing: no step needs earlier ones."""
        return Memory()

    @override
    def restore(self, memory: Memory[State]) -> None:
        """Go on from what `memory` returned: nothing is kept.

        Args:
            memory: What is to be remembered; `Memory()` for the beginning.
        """
