"""JKO steps: minimising movements with the Wasserstein distance of Benamou and Brenier."""

from __future__ import annotations

import math

import numpy as np

from fem_models.core.errors import InputError, SolveError
from fem_models.core.protocols import Law, Memory
from fem_models.flow.checks import check_step
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.flow.vacuum import AFTER_MOVEMENT, for_start, with_true_vacuum
from fem_models.jko.movement import Movement, MovingStep
from fem_models.jko.path_ends import EnergyEnd
from fem_models.jko.path_problem import PathOutcome
from fem_models.jko.path_solver import PathSolver
from fem_models.jko.paths import PathEquations
from fem_models.linalg.newton import NewtonSettings
from fem_models.nodal.mobilities import mobility
from fem_models.schemes.checks import require_memory
from fem_models.schemes.halves import UnsolvedError, in_halves

# Newton iterations from the guess before the interior point method is taken, and after it.
_FIRST_ATTEMPT = 25
_POLISH = 8

# The name of the guess that is remembered.
_POTENTIALS = "potentials"


class Jko:
    """argmin over ρ of W₂²(ρ, ρ^old)/(2τ) + E(ρ): first order in τ, a minimiser for any τ.

    (Bruna, Burger and Carrillo, (2.6)–(2.11), printed in `fem_models.jko`.) Fields of the L² metric have
    ∫(c - c^old)²/(2τ) in place of W₂²/(2τ) in the same minimisation (Matthes, on compound metrics); static
    fields make the energy stationary, 0 = δE/δψ (Kinderlehrer, Monsaingeon and Xu, (2.1)). One slab
    linearises the distance around the new density (Cancès, Gallouët and Todeschini, 2020); with more, W₂ is
    of second order in the length of a slab.

    Promises, for any τ: the mass of every density is exact, densities are ≥ 0 and exactly 0 in vacuum where
    the energy has no entropy, and E(ρ) + W²/(2τ) ≤ E(ρ^old) for energies that are convex in the densities.
    With the flux "upwind" the last is promised on meshes without negative edge coefficients only; with many
    of them, on obtuse meshes, steps may fail.

    Args:
        flow: The gradient flow; with the flux "average" in 3D, that of `with_lumping("cells")`.
        flux: "average" (pair P1-DG0) or, for one slab, "upwind", see
            `fem_models.nodal.mobilities`.
        settings: For Newton's method.
        slabs: S ≥ 1.
        weight: α of `fem_models.jko.paths`; 1 for one slab and ½ for more by default.

    Raises:
        InputError: Slabs that are no positive whole number, an unknown flux, a flow without densities.
    """

    name = "jko"
    title = "JKO"
    order = 1
    promises: frozenset[Law] = frozenset({"conserved", "non-negative", "falling"})

    def __init__(
        self,
        flow: GradientFlow,
        flux: str = "average",
        settings: NewtonSettings | None = None,
        slabs: int = 1,
        weight: float | None = None,
    ) -> None:
        _check(flow, flux, slabs)
        self._flow = flow
        self._end = EnergyEnd(flow)
        self._equations = PathEquations(
            flow.space,
            flow.geometry.volumes,
            mobility(flux, flow.space, flow.geometry, flow.cells),
            slabs,
            (1.0 if slabs == 1 else 0.5) if weight is None else weight,
            self._end,
        )
        self._solver = PathSolver(self._equations, settings or NewtonSettings())
        self._keeps_vacuum = flow.transported & ~self._end.logarithmic
        self._memory: Memory[State] = Memory()

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far on this rank: "assemble" and "solve"."""
        return self._solver.seconds

    @property
    def notes(self) -> list[str]:
        """Sentences about what the linear solver had to do."""
        return self._solver.notes

    def memory(self) -> Memory[State]:
        """The guess "potentials": φ in the last slab of the last step, shape (nodes, densities)."""
        return self._memory

    def restore(self, memory: Memory[State]) -> None:
        """Go on from what `memory` returned; after `Memory()` the next step starts from δE/δρ.

        Args:
            memory: The guess, or nothing.

        Raises:
            InputError: Earlier states, or potentials of another shape.
        """
        require_memory(memory, self._flow, 0, self.title)
        self._memory = memory

    def step(self, old: State, tau: float) -> MovingStep:
        """Take a step of size tau, in halves where it fails as a whole.

        Args:
            old: Densities ≥ 0 and values of the other fields, shape (nodes, fields); static fields are in
                equilibrium, or `movement.excess` is that of their settling too.
            tau: Time step.

        Returns:
            The step, with what it cost.

        Raises:
            InputError: A state of another kind or shape or that is not finite, a step that is not positive
                and finite, or a density without mass.
            SolveError: Newton's methods failed, in small parts of the step too; the message is the report,
                and the scheme is as it was before.
        """
        self._check_masses(old, tau)
        before = self._memory
        try:
            return in_halves(self._whole, old, tau)
        except SolveError:
            self._memory = before
            raise

    def attempt(self, old: State, tau: float) -> MovingStep:
        """Try to take a step of size tau as a whole.

        Args:
            old: As for `step`.
            tau: Time step.

        Returns:
            The step.

        Raises:
            InputError: As for `step`.
            SolveError: Newton's methods failed; the message is the report, and the guess is forgotten.
        """
        self._check_masses(old, tau)
        return self._whole(old, tau)

    def _check_masses(self, old: State, tau: float) -> None:
        check_step(self._flow, old, tau)
        masses = self._flow.masses(old)
        for name in np.array(self._flow.names)[self._flow.transported]:
            if not masses[name] > 0.0:
                raise InputError(f"The density {name} has the mass {masses[name]:g}, and nothing to move.")

    def _whole(self, old: State, tau: float) -> MovingStep:
        outcomes = self._attempts(old, tau)
        newton, linear = sum(o.newton for o in outcomes), sum(o.linear for o in outcomes)
        if outcomes[-1].converged:
            return self._accepted(outcomes[-1], old, tau, newton, linear)
        self._memory = Memory()
        raise UnsolvedError(outcomes[-1].report, newton, linear)

    def _attempts(self, old: State, tau: float) -> list[PathOutcome]:
        """Newton's method from the last potentials; if it fails, the interior point method and it again."""
        inside = self._flow.inside[:, None]
        state = np.where(inside, for_start(self._flow, old, self._end.logarithmic), old)
        at_rest = self._end_potentials(state)
        guesses = self._memory.guesses or {}
        guess = self._equations.constant(state, guesses.get(_POTENTIALS, at_rest))
        outcomes = [self._solver.newton(guess, old, tau, _FIRST_ATTEMPT)]
        if outcomes[-1].converged:
            return outcomes
        start = self._equations.constant(state, at_rest)
        outcomes.append(self._solver.interior_point(start, old, tau))
        if outcomes[-1].converged:
            polished = self._solver.newton(outcomes[-1].unknowns, old, tau, _POLISH)
            if polished.converged:
                outcomes.append(polished)
        return outcomes

    def _end_potentials(self, state: State) -> State:
        """δE/δρ of the densities, 0 where there are none."""
        inside = self._flow.inside[:, None]
        return np.where(inside, self._flow.potentials(np.where(inside, state, 1.0)), 0.0)[
            :, self._flow.transported
        ]

    def _accepted(self, outcome: PathOutcome, old: State, tau: float, newton: int, linear: int) -> MovingStep:
        flow, unknowns = self._flow, outcome.unknowns
        potentials = np.ascontiguousarray(self._equations.potentials(unknowns)[..., -1])
        self._memory = Memory(guesses={_POTENTIALS: potentials})
        state = with_true_vacuum(flow, self._equations.final(unknowns), self._keeps_vacuum, AFTER_MOVEMENT)
        # What Newton's tolerance leaves of a mass error is scaled away.
        state = flow.gauged(flow.with_masses_of(old, state))
        return MovingStep(state, newton, linear, movement=self._movement(unknowns, old, state, tau))

    def _movement(self, unknowns: np.ndarray, old: State, state: State, tau: float) -> Movement:
        flow = self._flow
        names = np.array(flow.names)
        actions = dict(zip(names[flow.transported], self._equations.action(unknowns, old, tau), strict=True))
        squares = flow.geometry.volumes[: flow.owned] @ ((state - old)[: flow.owned] ** 2)
        squares = flow.comm.allreduce(squares)
        actions |= {flow.names[s]: squares[s] / (2.0 * tau) for s in np.flatnonzero(flow.relaxed)}
        actions = {str(name): float(value) for name, value in actions.items()}
        distances = {name: math.sqrt(2.0 * tau * max(value, 0.0)) for name, value in actions.items()}
        excess = flow.energy(state) + sum(actions.values()) - flow.energy(old)
        return Movement(actions, distances, excess, *self._solver.optimality(unknowns, old, tau))


def _check(flow: GradientFlow, flux: str, slabs: int) -> None:
    if not isinstance(slabs, int) or slabs < 1:
        raise InputError(f"The number of slabs must be a whole number of at least 1, not {slabs!r}.")
    if not flow.transported.any():
        raise InputError("JKO steps need a density, a field of the Wasserstein metric; this flow has none.")
    if flux == "upwind" and slabs > 1:
        raise InputError(
            'The flux "upwind" goes with one slab, the linearised distance: more slabs need the flux '
            '"average", whose action is that of the Wasserstein distance.'
        )
