"""Backward Euler."""

from __future__ import annotations

from fem_models.flow.gradient_flow import State
from fem_models.schemes.resolvent import ResolventScheme, Step


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

    def step(self, old: State, tau: float) -> Step:
        """Take a step of size tau.

        Args:
            old: The state before, shape (nodes, species).
            tau: Time step.

        Returns:
            The step.

        Raises:
            SolveError: Newton's method failed; the message is its report.
        """
        return Step(*self._resolvent.solve(old, old, tau))
