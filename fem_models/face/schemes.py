"""Time schemes, as users choose them: data, which is bound to a flow when steps are taken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args, override

import numpy as np

from fem_models.core.checks import named, one_of, whole
from fem_models.core.errors import InputError
from fem_models.core.protocols import Attempts, KnownError, Law, Memory, Scheme, Step
from fem_models.face.flow import Flow
from fem_models.face.state import State
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.jko.jko_bdf2 import JkoBdf2 as DiscreteJkoBdf2
from fem_models.jko.jko_step import Jko as DiscreteJko
from fem_models.jko.movement import Movement, MovingStep
from fem_models.linalg.newton import NewtonSettings
from fem_models.linalg.options import Option, refusals
from fem_models.nodal.edges import Lumping
from fem_models.nodal.mobilities import lumping_of
from fem_models.schemes.backward_euler import BackwardEuler as DiscreteBackwardEuler
from fem_models.schemes.bdf2 import Bdf2 as DiscreteBdf2


@dataclass(frozen=True)
class StepOfFlow(Step[State]):
    """A step that was taken from one state of a flow to the next.

    Attributes:
        movement: Of minimising movements, the distances moved and the law of energy; else None.
    """

    movement: Movement | None = field(default=None, kw_only=True)


class BoundScheme:
    """A scheme that takes steps of one flow, with its solvers. Collective.

    See `fem_models.core.protocols.Scheme`.

    Args:
        flow: The flow, with the nodal volumes that the scheme needs.
        given: The flow as the user has it, whose states are taken as well.
        discrete: The scheme at the nodes.
    """

    def __init__(self, flow: Flow, given: Flow, discrete: Scheme[Any]) -> None:
        self.flow, self._given, self.discrete = flow, given, discrete

    @property
    def title(self) -> str:
        """Its name in sentences."""
        return self.discrete.title

    @property
    def promises(self) -> frozenset[Law]:
        """The laws of a flow that it keeps for any step."""
        return self.discrete.promises

    @property
    def seconds(self) -> Mapping[str, float]:
        """Time spent so far on this rank: "assemble" and "solve"."""
        return self.discrete.seconds

    def step(self, old: State, tau: float) -> StepOfFlow:
        """Take a step of size tau.

        Args:
            old: The state before it.
            tau: Its size (dimensionless).

        Returns:
            The new state, and what the step took.

        Raises:
            InputError: A state of another flow, or a size that is not positive.
            SolveError: The equations of the step could not be solved; the message is the report.
        """
        return self._taken(self.discrete.step(self.adopted(old).nodal, tau))

    def attempt(self, old: State, tau: float) -> StepOfFlow:
        """Try to take a step as a whole, see `fem_models.core.protocols.Attempts`.

        Args:
            old: The state before it.
            tau: Its size (dimensionless).

        Returns:
            The new state, and what the step took.

        Raises:
            InputError: As for `step`.
            SolveError: As for `step`.
        """
        attempt = self.discrete.attempt if isinstance(self.discrete, Attempts) else self.discrete.step
        return self._taken(attempt(self.adopted(old).nodal, tau))

    @property
    def order(self) -> int:
        """The order of its error in τ."""
        return getattr(self.discrete, "order", 1)

    def _taken(self, step: Step[Any]) -> StepOfFlow:
        movement = step.movement if isinstance(step, MovingStep) else None
        counts = (step.newton, step.linear, step.clipped, step.rejected, step.retried)
        return StepOfFlow(State(self.flow, step.state), *counts, movement=movement)

    def adopted(self, state: State) -> State:
        """A state of the user's flow as one with the scheme's nodal volumes, and with the same masses.

        Args:
            state: Of either flow.

        Returns:
            The state, of the scheme's flow.

        Raises:
            InputError: A state of another flow.
        """
        if not isinstance(state, State):
            hint = "; a step has its state in .state" if isinstance(state, Step) else ""
            raise InputError(
                f"A step begins at a state of the flow, from flow.state(…), not {named(state)}{hint}."
            )
        if state.flow is self.flow:
            return state
        if state.flow is not self._given:
            raise InputError(
                "A step begins at a state of the flow that the scheme is for, not of another flow."
            )
        found, wanted = self.flow.discrete.masses(state.nodal), state.masses()
        kept = self.flow.discrete.kept
        factors = [wanted[name] / found[name] if name in kept else 1.0 for name in self.flow.names]
        return State(self.flow, state.nodal * np.array(factors))

    def memory(self) -> Memory[State]:
        """What the next step needs of earlier ones."""
        memory = self.discrete.memory()
        states = tuple(State(self.flow, nodal) for nodal in memory.states)
        return Memory(states, memory.steps, memory.guesses)

    def restore(self, memory: Memory[State]) -> None:
        """Go on from what `memory` returned; from `Memory()` as at the beginning.

        Args:
            memory: Of a scheme of the same kind on the same flow.
        """
        nodal = tuple(state.nodal for state in memory.states)
        self.discrete.restore(Memory(nodal, memory.steps, memory.guesses))


class BoundMultistep(BoundScheme):
    """A bound scheme whose local error follows from the differences of its states.

    Args:
        flow: As for `BoundScheme`.
        given: As for `BoundScheme`.
        discrete: As for `BoundScheme`, with a `fem_models.core.protocols.KnownError`.
    """

    def error_constant(self, steps: Sequence[float]) -> float:
        """The constant C of the local error.

        Args:
            steps: The sizes of the step and of those before it, the latest first.

        Returns:
            C, dimensionless.
        """
        return cast("KnownError", self.discrete).error_constant(steps)


@dataclass(frozen=True)
class FlowScheme(ABC):
    """What the schemes of gradient flows share. All numbers are dimensionless.

    Args:
        flow: The flow whose steps are taken; it may be left out where `evolve` knows it.
        tolerance: Of Newton's method, relative to the Euclidean norm of the nodal masses.
        max_iterations: Of Newton's method in a step.
        linear: The solver of linear systems: "auto", "direct" or "krylov".
        petsc: Options of PETSc by name, without a leading dash.
    """

    flow: Flow | None = None
    tolerance: float = field(default=1e-10, kw_only=True)
    max_iterations: int = field(default=50, kw_only=True)
    linear: Literal["auto", "direct", "krylov"] = field(default="auto", kw_only=True)
    petsc: Mapping[str, Option] = field(default_factory=dict, kw_only=True)
    _bound: list[BoundScheme] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.flow is not None and not isinstance(self.flow, Flow):
            raise InputError(
                f"flow must be a flow, as in {type(self).__name__}(flow), not {named(self.flow)}; "
                "options are given by name."
            )
        # Settings that are not right are refused here, and not at the first step.
        _ = self.settings

    @property
    def settings(self) -> NewtonSettings:
        """The settings of Newton's method and of linear systems."""
        return NewtonSettings(self.tolerance, self.max_iterations, self.linear, self.petsc)

    @property
    def lumping(self) -> Lumping | None:
        """The nodal volumes that it needs in three dimensions; None for those that a flow has."""
        return None

    @abstractmethod
    def discrete(self, flow: GradientFlow) -> Scheme[Any]:
        """The scheme at the nodes.

        Args:
            flow: The flow at the nodes.

        Returns:
            A scheme whose states are arrays.
        """

    def on(self, flow: Flow) -> BoundScheme:
        """The scheme with solvers for a flow. Collective.

        Args:
            flow: The flow.

        Returns:
            The scheme, to take steps with.

        Raises:
            InputError: The scheme does not go with the flow, or PETSc refuses an option.
        """
        if not isinstance(flow, Flow):
            raise InputError(f"{type(self).__name__} takes steps of flows, not of {named(flow)}.")
        lumped = flow if self.lumping is None else flow.with_lumping(self.lumping)
        with refusals():
            discrete = self.discrete(lumped.discrete)
        kind = BoundMultistep if isinstance(discrete, KnownError) else BoundScheme
        return kind(lumped, flow, discrete)

    def step(self, old: State, tau: float) -> StepOfFlow:
        """Take a step of size tau of the flow that the scheme was made for. Collective.

        Args:
            old: The state before it.
            tau: Its size (dimensionless).

        Returns:
            The new state, and what the step took.

        Raises:
            InputError: No state, a state of another flow, or a size that is not positive.
            SolveError: The equations of the step could not be solved; the message is the report.
        """
        if not self._bound:
            if self.flow is None:
                raise InputError(
                    f"The scheme has no flow yet: write {type(self).__name__}(flow), or take its steps by "
                    "evolve."
                )
            self._bound.append(self.on(self.flow))
        return self._bound[0].step(old, tau)


Flux = Literal["upwind", "average"]


@dataclass(frozen=True)
class _WithFlux(FlowScheme):
    """Schemes whose flux along edges is a choice."""

    flux: Flux = field(default="upwind", kw_only=True)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self.flux, get_args(Flux), "flux")


@dataclass(frozen=True)
class BackwardEuler(_WithFlux):
    """Backward Euler: m_i (ρ_i - ρ_i^old)/τ + Σ_j κ_ij ρ_ij (μ_i - μ_j) = 0, first order in τ.

    Mass is exact, densities stay ≥ 0, and the energy does not increase if it is convex, for any τ.

    Args:
        flux: ρ_ij: "upwind", robust and of first order in h, or "average", of second.
    """

    @override
    def discrete(self, flow: GradientFlow) -> Scheme[Any]:
        return DiscreteBackwardEuler(flow, self.flux, self.settings)


@dataclass(frozen=True)
class Bdf2(_WithFlux):
    """The second backward differentiation formula, of second order in τ.

    Mass is exact and densities stay ≥ 0; that the energy decreases is measured and not promised.

    Args:
        flux: "upwind" or "average", as for `BackwardEuler`.
    """

    @override
    def discrete(self, flow: GradientFlow) -> Scheme[Any]:
        return DiscreteBdf2(flow, self.flux, self.settings)


@dataclass(frozen=True)
class Ljko(_WithFlux):
    """A JKO step with one slab, which linearises the distance (Cancès, Gallouët and Todeschini).

    Args:
        flux: "average" or "upwind".
    """

    flux: Flux = field(default="average", kw_only=True)

    @property
    @override
    def lumping(self) -> Lumping:
        return lumping_of(self.flux)

    @override
    def discrete(self, flow: GradientFlow) -> Scheme[Any]:
        return DiscreteJko(flow, self.flux, self.settings, slabs=1)


@dataclass(frozen=True)
class Jko(FlowScheme):
    """A JKO step: argmin over ρ of W₂²(ρ, ρ^old)/(2τ) + E(ρ), (2.6) of Bruna, Burger and Carrillo.

    Args:
        slabs: S ≥ 2 of the path whose action is W₂², of second order in τ/S.
    """

    slabs: int = field(default=4, kw_only=True)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if whole(self.slabs, "slabs", least=1) == 1:
            raise InputError("A path of one slab linearises the distance: that is Ljko.")

    @property
    @override
    def lumping(self) -> Lumping:
        return lumping_of("average")

    @override
    def discrete(self, flow: GradientFlow) -> Scheme[Any]:
        return DiscreteJko(flow, "average", self.settings, slabs=self.slabs)


@dataclass(frozen=True)
class JkoBdf2(FlowScheme):
    """A JKO step from an extrapolation along the geodesic, second order in τ (Gallouët, Natale, Todeschini).

    Args:
        slabs: S ≥ 1 of the path.
    """

    slabs: int = field(default=1, kw_only=True)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.slabs, "slabs", least=1)

    @property
    @override
    def lumping(self) -> Lumping:
        return lumping_of("average")

    @override
    def discrete(self, flow: GradientFlow) -> Scheme[Any]:
        return DiscreteJkoBdf2(flow, "average", self.settings, slabs=self.slabs)
