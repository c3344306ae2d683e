"""Backward Euler."""

from __future__ import annotations

from fem_models.discretization.edge_averaged import Flux
from fem_models.gradient_flow import GradientFlow, State
from fem_models.schemes.resolvent import Resolvent, Step
from fem_models.solvers.newton import NewtonSettings


class BackwardEuler:
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

    def __init__(
        self, flow: GradientFlow, flux: Flux = "upwind", settings: NewtonSettings | None = None
    ) -> None:
        self._resolvent = Resolvent(flow, flux, settings)

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far on this rank: "assemble" and "solve"."""
        return self._resolvent.seconds

    def step(self, old: State, tau: float) -> Step:
        """Take a step of size tau.

        Raises:
            SolveError: Newton's method failed; the message is its report.
        """
        return Step(*self._resolvent.solve(old, old, tau))

    def reset(self) -> None:
        """Forget earlier steps; there are none to forget."""
