"""Backward Euler and BDF2 with one linear solve for the even modes; odd modes follow point by point.

With a = 1 and ĥ = hⁿ (Euler), or a = 3/2 and ĥ = 2hⁿ - ½hⁿ⁻¹ (BDF2), q = 1/(aε²/τ + s_m λ*):

    even n:  (a/τ)(h_n, w) + (s_n/ε²)(λ* h_n, w) + Σ (B_a B_bᵀ)_{nn'} (q ∂_b h_{n'}, ∂_a w)
                 = (ĥ_n, w)/τ + (ε/τ) Σ (B_a)_{nm} (q ĥ_m, ∂_a w)
    odd m:   h_m = q [(ε²/τ) ĥ_m - ε Σ (B_a)_{nm} ∂_a h_n]

The rate λ* = λ(ρⁿ), or λ((ρⁿ)²/ρⁿ⁻¹) for BDF2, is positive and known, and mass and the identities below hold
for any such rate. With D = ε⁻² Σ s_n (λ* h_n, h_n), the discrete (4.4) of Evans, Morris and Yoldaş is

    Euler:  ‖hⁿ⁺¹‖² - ‖hⁿ‖² + ‖hⁿ⁺¹ - hⁿ‖² = -2τD
    BDF2:   Gⁿ⁺¹ - Gⁿ + ½‖hⁿ⁺¹ - 2hⁿ + hⁿ⁻¹‖² = -2τD,   G = ½(‖hⁿ⁺¹‖² + ‖2hⁿ⁺¹ - hⁿ‖²).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import override

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError, SolveError
from fem_models.core.protocols import Law, Memory, Step
from fem_models.kinetic.bgk.even_system import Coefficients, EvenSystem
from fem_models.kinetic.bgk.model import KineticModel
from fem_models.kinetic.bgk.state import KineticState
from fem_models.linalg.newton import NewtonSettings
from fem_models.schemes.checks import require_step
from fem_models.schemes.two_steps import bdf2_error, euler_error

_Array = npt.NDArray[np.float64]


class KineticScheme(ABC):
    """What the schemes share. Collective; build it once.

    Args:
        model: The kinetic equation.
        settings: Tolerance, kind and PETSc options of the linear solver.

    Attributes:
        title: As in sentences.
        promises: The laws of the model that it keeps for any step.
        order: Of the error in τ.
    """

    title: str
    promises: frozenset[Law]
    order: int

    def __init__(self, model: KineticModel, settings: NewtonSettings | None = None) -> None:
        self._model = model
        self._memory: Memory[KineticState] = Memory()
        self._system = EvenSystem(
            model.space, settings or NewtonSettings(), model.collisions == "fokker-planck"
        )

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far on this rank: "assemble" and "solve"."""
        return self._system.seconds

    @abstractmethod
    def step(self, old: KineticState, tau: float) -> Step[KineticState]:
        """Take a step.

        Args:
            old: The state before it.
            tau: Its size (dimensionless).

        Returns:
            The new state, and what the step took.

        Raises:
            InputError: A step that is not positive and finite.
            SolveError: The rate is not positive for the density, or the linear solver failed.
        """

    def _solved(
        self,
        leading: float,
        hats: tuple[_Array, _Array],
        rates: tuple[_Array, _Array],
        old: KineticState,
        guess: _Array,
        tau: float,
    ) -> tuple[KineticState, int]:
        """The new state for a, ĥ and λ* at the points for masses and at those for odd modes."""
        model, space = self._model, self._model.space
        shift, epsilon = leading / tau, model.epsilon
        with np.errstate(divide="ignore"):
            q = 1.0 / (shift * epsilon**2 + model.damping[1] * rates[1][:, :, None])
        damping = np.zeros_like(model.damping[0])
        damping[1:] = model.damping[0][1:] / epsilon**2 if epsilon else 0.0
        # A constant density solves the equations, and would cost digits.
        mean = model.mass(old) / space.volume
        even, guess = hats[0].copy(), guess.copy()
        even[:, 0] -= leading * mean
        guess[:, 0] -= mean
        right = space.weighted(even) / tau
        right += space.divergence((epsilon / tau) * q * hats[1])
        found, iterations = self._system.solve(Coefficients(shift, damping, rates[0], q), right, guess)
        odd = q * ((epsilon**2 / tau) * hats[1] - epsilon * space.slopes(found))
        found[:, 0] += mean
        return KineticState(found, odd), iterations

    def _finished(self, new: KineticState, identity: float, iterations: int) -> Step[KineticState]:
        """The step with its residual, and within the bounds that are asked for."""
        residual = abs(identity) / self._model.product(new, new)
        return Step(self._model.bounded(replace(new, residual=residual)), newton=1, linear=iterations)

    def _rates(self, densities: tuple[_Array, _Array]) -> tuple[_Array, _Array]:
        """The rates for densities at the points for masses and at those for odd modes."""
        if problem := self._model.rate_problem(densities):
            raise SolveError(f"{problem[0].upper()}{problem[1:]}; smaller steps or a finer mesh may help.")
        return self._model.averaged((self._model.rate(densities[0]), self._model.rate(densities[1])))


class KineticEuler(KineticScheme):
    """Backward Euler: first order, and ‖f‖² falls in every step."""

    title = "backward Euler"
    promises: frozenset[Law] = frozenset({"conserved", "falling"})
    order = 1

    @override
    def step(self, old: KineticState, tau: float) -> Step[KineticState]:
        require_step(tau)
        model = self._model
        rates = self._rates(model.densities(old))
        new, iterations = self._solved(1.0, (old.even, old.odd), rates, old, old.even, tau)
        return self._finished(new, euler_identity(model, old, new, rates, tau), iterations)

    def error_constant(self, steps: Sequence[float]) -> float:
        """The constant C of the local error, see `fem_models.core.protocols.KnownError`.

        Args:
            steps: The sizes of the step and of the one before it.

        Returns:
            C, dimensionless.
        """
        return euler_error(steps)

    def memory(self) -> Memory[KineticState]:
        """Nothing."""
        return Memory()

    def restore(self, memory: Memory[KineticState]) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: Of this scheme.

        Raises:
            InputError: It remembers states.
        """
        if memory.states:
            raise InputError("Backward Euler remembers no earlier states.")


class KineticBdf2(KineticScheme):
    """BDF2: second order; G falls in every step of equal size, and ‖f‖² nearly does.

    With ω = τ_n/τ_{n-1}: a = (1+2ω)/(1+ω), ĥ = (1+ω) hⁿ - ω²/(1+ω) hⁿ⁻¹, λ* = λ((ρⁿ)^(1+ω)/(ρⁿ⁻¹)^ω). Where
    steps differ there is no identity for G, and what is reported is that of the equations tested with hⁿ⁺¹:
    2 (a hⁿ⁺¹ - ĥ, hⁿ⁺¹) = -2τD. The first step is one of backward Euler.
    """

    title = "BDF2"
    promises: frozenset[Law] = frozenset({"conserved"})
    order = 2

    @override
    def step(self, old: KineticState, tau: float) -> Step[KineticState]:
        require_step(tau)
        model = self._model
        if not self._memory.states:
            rates = self._rates(model.densities(old))
            new, iterations = self._solved(1.0, (old.even, old.odd), rates, old, old.even, tau)
            identity = euler_identity(model, old, new, rates, tau)
        else:
            (older,), (last,) = self._memory.states, self._memory.steps
            omega = tau / last
            leading, share = (1.0 + 2.0 * omega) / (1.0 + omega), omega**2 / (1.0 + omega)
            rates = self._rates(self._extrapolated(old, older, omega))
            hats = old.combined(1.0 + omega, -share, older)
            guess = old.even + omega * (old.even - older.even)
            new, iterations = self._solved(leading, hats, rates, old, guess, tau)
            if abs(omega - 1.0) < 1e-9:
                identity = bdf2_identity(model, (older, old, new), rates, tau)
            else:
                change = KineticState(leading * new.even - hats[0], leading * new.odd - hats[1])
                identity = 2.0 * model.product(change, new) + 2.0 * tau * model.dissipation(new, rates)
        done = self._finished(new, identity, iterations)
        self._memory = Memory((old,), (tau,))
        return done

    def _extrapolated(self, old: KineticState, older: KineticState, omega: float) -> tuple[_Array, _Array]:
        """The densities for which λ* is taken."""
        if self._model.rate.is_constant:
            return self._model.densities(old)
        with np.errstate(all="ignore"):
            pairs = zip(self._model.densities(old), self._model.densities(older), strict=True)
            found = tuple(
                np.where((new > 0) & (before > 0), new * (new / before) ** omega, np.minimum(new, before))
                for new, before in pairs
            )
        return found[0], found[1]

    def error_constant(self, steps: Sequence[float]) -> float:
        """(1+ω)²/(6ω(1+2ω)), see `fem_models.core.protocols.KnownError`.

        Args:
            steps: τ_n and τ_{n-1}, and more.

        Returns:
            C, dimensionless.
        """
        return bdf2_error(steps)

    def memory(self) -> Memory[KineticState]:
        """The state before the last step, and the size of that step."""
        return self._memory

    def restore(self, memory: Memory[KineticState]) -> None:
        """Go on from what `memory` returned; after `Memory()` the next step is backward Euler's.

        Args:
            memory: One earlier state with the step from it, or nothing.

        Raises:
            InputError: More than that.
        """
        if len(memory.states) > 1 or len(memory.steps) != len(memory.states):
            raise InputError("BDF2 remembers one earlier state, with the size of the step from it.")
        self._memory = memory


def euler_identity(
    model: KineticModel, old: KineticState, new: KineticState, rates: tuple[_Array, _Array], tau: float
) -> float:
    """‖hⁿ⁺¹‖² - ‖hⁿ‖² + ‖hⁿ⁺¹ - hⁿ‖² + 2τD, which is zero for backward Euler. Collective.

    Args:
        model: The kinetic equation.
        old: hⁿ.
        new: hⁿ⁺¹.
        rates: λ* at the points for masses and at those for odd modes.
        tau: The step.

    Returns:
        The sum.
    """
    change, total = (KineticState(*new.combined(1.0, sign, old)) for sign in (-1.0, 1.0))
    found = model.product(change, total) + model.product(change, change)
    return found + 2.0 * tau * model.dissipation(new, rates)


def bdf2_identity(
    model: KineticModel,
    states: tuple[KineticState, KineticState, KineticState],
    rates: tuple[_Array, _Array],
    tau: float,
) -> float:
    """Gⁿ⁺¹ - Gⁿ + ½‖hⁿ⁺¹ - 2hⁿ + hⁿ⁻¹‖² + 2τD, which is zero for BDF2 with equal steps. Collective.

    Args:
        model: The kinetic equation.
        states: hⁿ⁻¹, hⁿ and hⁿ⁺¹.
        rates: As for `euler_identity`.
        tau: The step.

    Returns:
        The sum.
    """
    older, old, new = states
    pairs = (
        (old, new),
        (KineticState(*old.combined(2.0, -1.0, older)), KineticState(*new.combined(2.0, -1.0, old))),
    )
    found = 0.0
    for before, after in pairs:
        # The difference of two squares without the digits that their difference would lose.
        change, total = (KineticState(*after.combined(1.0, sign, before)) for sign in (-1.0, 1.0))
        found += 0.5 * model.product(change, total)
    bend = KineticState(new.even - 2.0 * old.even + older.even, new.odd - 2.0 * old.odd + older.odd)
    return found + 0.5 * model.product(bend, bend) + 2.0 * tau * model.dissipation(new, rates)
