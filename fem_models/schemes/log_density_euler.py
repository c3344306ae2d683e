"""Implicit Euler steps of the log-density discretisation."""

from __future__ import annotations

from collections.abc import Sequence

from fem_models.core.protocols import Law, Memory, Step
from fem_models.flow.checks import check_step
from fem_models.flow.log_density import LogDensityFlow
from fem_models.flow.log_density_steps import LogDensitySteps
from fem_models.flow.species import State
from fem_models.linalg.newton import NewtonSettings
from fem_models.schemes.two_steps import euler_error


class LogDensity:
    """∫(ρ - ρ^old) w + τ ∫ρ∇μ·∇w = 0 with ρ = exp(g) and g in P_k: first order in τ, order k + 1 in h.

    Promises on every mesh and for any τ: the mass of every density is exact, densities are positive, and the
    energy falls by τ times the dissipation at least if it is convex in the densities and the fields of the L²
    metric (see `fem_models.flow.log_density`).

    Args:
        flow: The flow.
        settings: For Newton's method.
    """

    name = "log-density"
    title = "the log-density scheme"
    order = 1
    promises: frozenset[Law] = frozenset({"conserved", "non-negative", "falling"})

    def __init__(self, flow: LogDensityFlow, settings: NewtonSettings | None = None) -> None:
        self._flow = flow
        self._steps = LogDensitySteps(flow, settings)

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far on this rank: "assemble" and "solve"."""
        return self._steps.seconds

    def memory(self) -> Memory[State]:
        """Nothing: no step needs earlier ones."""
        return Memory()

    def restore(self, memory: Memory[State]) -> None:
        """Go on from what `memory` returned: nothing is kept.

        Args:
            memory: What is to be remembered; `Memory()` for the beginning.
        """

    def error_constant(self, steps: Sequence[float]) -> float:
        """That of backward Euler.

        Args:
            steps: τ_n and τ_{n-1}.

        Returns:
            The constant.
        """
        return euler_error(steps)

    def step(self, old: State, tau: float) -> Step[State]:
        """Take a step of size tau.

        Args:
            old: Positive densities and values of the other fields, shape (nodes, fields).
            tau: Time step.

        Returns:
            The step.

        Raises:
            InputError: A state of another kind or shape or that is not finite, or a step that is not positive
                and finite.
            SolveError: Newton's method failed; the message is its report.
        """
        check_step(self._flow, old, tau)
        return Step(*self._steps.solve(old, tau))
