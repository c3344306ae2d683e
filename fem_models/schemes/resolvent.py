"""The implicit step that the time schemes share, with its globalisation and its exact mass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from mpi4py import MPI

from fem_models.core.protocols import Law, Memory, Step
from fem_models.flow.edge_averaged import EdgeAveraged, Flux
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.flow.vacuum import AFTER_ENTROPY, TAILS, for_start, with_true_vacuum
from fem_models.linalg.continuation import over_smaller_steps
from fem_models.linalg.newton import Newton, NewtonSettings, Outcome
from fem_models.schemes.checks import require_step
from fem_models.schemes.halves import UnsolvedError

# Newton iterations from the guess before the way over added entropies is taken, which seldom needs more than
# 25 in all.
_FIRST_ATTEMPT = 15

# Added entropies, as shares of the range of the potentials.
_ENTROPIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10)


class ResolventScheme(ABC):
    """What schemes share that take a step by solving a resolvent. Collective; build it once.

    Args:
        flow: The gradient flow.
        flux: "upwind" or "average".
        settings: For Newton's method.

    Attributes:
        name: As in run files.
        title: As in sentences.
        promises: The laws of the flow that it keeps for any step.
        order: Of the error in τ.
    """

    name: str
    title: str
    promises: frozenset[Law]
    order: int

    def __init__(
        self, flow: GradientFlow, flux: Flux = "upwind", settings: NewtonSettings | None = None
    ) -> None:
        self._flow = flow
        self._resolvent = Resolvent(flow, flux, settings)

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far on this rank: "assemble" and "solve"."""
        return self._resolvent.seconds

    @abstractmethod
    def step(self, old: State, tau: float) -> Step[State]:
        """Take a step, in halves where it cannot be taken as a whole.

        Args:
            old: Densities ≥ 0 and values of the other fields, shape (nodes, fields).
            tau: Its size (dimensionless).

        Returns:
            The accepted step.

        Raises:
            InputError: A state of another kind or shape or that is not finite, or a step that is not positive
                and finite.
            SolveError: Newton's method failed, in small parts of the step too; the message is its report, and
                the scheme is as before.
        """

    @abstractmethod
    def attempt(self, old: State, tau: float) -> Step[State]:
        """Try to take a step as a whole.

        Args:
            old: As for `step`.
            tau: Its size (dimensionless).

        Returns:
            The step.

        Raises:
            InputError: As for `step`.
            UnsolvedError: Newton's method failed; the message is its report, and the scheme is as before.
        """

    @abstractmethod
    def error_constant(self, steps: Sequence[float]) -> float:
        """The constant C of the local error, see `fem_models.core.protocols.KnownError`.

        Args:
            steps: The sizes of the step and of those before it, the latest first.

        Returns:
            C, dimensionless.
        """

    @abstractmethod
    def memory(self) -> Memory[State]:
        """What the next step needs of earlier ones."""

    @abstractmethod
    def restore(self, memory: Memory[State]) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: What is to be remembered; `Memory()` for the beginning.

        Raises:
            InputError: It is none of this scheme and flow.
        """


class Resolvent:
    """Solves m(ρ - h) + τ Σ κ F(ρ) = 0 for ρ. Collective; build it once.

    Where Newton's method does not converge from the guess (large steps from a density with vacuum), it is
    started from the solution with the upwind flux, for any other flux; from solutions with an added entropy
    ε ∫ρ log ρ, for which it always converges, with ε lowered to zero; and from those of smaller steps, with τ
    raised to its size.

    Args:
        flow: The gradient flow.
        flux: "upwind" or "average".
        settings: For Newton's method.
    """

    def __init__(self, flow: GradientFlow, flux: Flux, settings: NewtonSettings | None = None) -> None:
        self._flow, self._settings = flow, settings
        self._is_upwind = flux == "upwind"
        discretization = EdgeAveraged(flow, flux)
        self._singular, self._is_stiff = discretization.singular, discretization.stiff
        self._keeps_vacuum = flow.transported & ~self._singular & (flow.theta == 0.0)
        self._newton = Newton(discretization, settings or NewtonSettings())

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far on this rank, in assembly and in the rest of Newton's method."""
        parts = [self._newton.seconds]
        if "_upwind" in self.__dict__:
            parts.append(self._upwind.seconds)
        return {key: sum(part[key] for part in parts) for key in parts[0]}

    def solve(self, guess: State, anchor: State, tau: float) -> tuple[State, int, int]:
        """Return the solution and the numbers of Newton and linear iterations.

        Args:
            guess: First iterate.
            anchor: The densities h ≥ 0.
            tau: Time step.

        Returns:
            The state, and the numbers of Newton and of linear iterations.

        Raises:
            InputError: A step that is not positive and finite.
            UnsolvedError: Newton's method fails; the message is the report.
        """
        require_step(tau)
        outcomes, report = self._attempts(guess, anchor, tau)
        newton, linear = sum(o.newton for o in outcomes), sum(o.linear for o in outcomes)
        if report:
            raise UnsolvedError(report, newton, linear)
        state = with_true_vacuum(self._flow, outcomes[-1].state, self._keeps_vacuum, TAILS)
        # What Newton's tolerance leaves of a mass error is scaled away.
        state = self._flow.gauged(self._flow.with_masses_of(anchor, state))
        return state, newton, linear

    def _attempts(self, guess: State, anchor: State, tau: float) -> tuple[list[Outcome], str]:
        """What Newton's method did on its ways, and the report where none leads to the solution."""
        outcomes = [self._newton.solve(self._begin(guess), anchor, tau, limit=_FIRST_ATTEMPT)]
        if outcomes[-1].converged:
            return outcomes, ""
        if not self._is_upwind:
            others, failure = self._upwind._attempts(anchor, anchor, tau)
            outcomes += others
            if not failure:
                outcomes.append(self._newton.solve(others[-1].state, anchor, tau))
                if outcomes[-1].converged:
                    return outcomes, ""
        # For large exponents the way over smaller steps is the shorter one.
        if self._is_stiff:
            others, report = over_smaller_steps(self._newton, self._begin(anchor), anchor, tau, bold=True)
            return outcomes + others, report
        outcomes += self._over_entropies(anchor, tau)
        if outcomes[-1].converged:
            return outcomes, ""
        others, report = over_smaller_steps(self._newton, self._begin(anchor), anchor, tau)
        return outcomes + others, report

    def _begin(self, guess: State) -> State:
        return for_start(self._flow, guess, self._singular)

    @cached_property
    def _upwind(self) -> Resolvent:
        """The same with the upwind flux, for which Newton's method converges from further away."""
        return Resolvent(self._flow, "upwind", self._settings)

    def _over_entropies(self, anchor: State, tau: float) -> list[Outcome]:
        """Solve with added entropies, the larger first, and then without."""
        flow = self._flow
        guess = self._begin(anchor)
        psi = flow.smooth_potentials(guess)[: flow.owned]
        extent = flow.reduce(psi.max(axis=0, initial=-np.inf), MPI.MAX)
        extent -= flow.reduce(psi.min(axis=0, initial=np.inf), MPI.MIN)
        outcomes = []
        for share in _ENTROPIES:
            entropy = share * extent[flow.transported].max()
            outcomes.append(self._newton.solve(guess, anchor, tau, entropy=entropy))
            if outcomes[-1].converged:
                guess = outcomes[-1].state
        guess = with_true_vacuum(flow, guess, flow.transported, AFTER_ENTROPY)
        outcomes.append(self._newton.solve(self._begin(guess), anchor, tau))
        return outcomes
