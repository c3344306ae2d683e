"""What the run loop, output and figures ask of models, schemes and studies.

A *model* is what a run works on: it knows its states, the numbers and fields that are looked at, and which
laws those numbers obey. A *scheme* takes its steps. A *study* measures what a paper asks beside that. A
gradient flow, its log-density twin, a kinetic equation and an ensemble of particles are models; none pretends
to be another one by inheritance. S below is the type of a model's states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

if TYPE_CHECKING:
    from dolfinx.fem import Function

Row = dict[str, float]
"""A row of a table such as series.csv: numbers by column."""

Law = Literal["conserved", "non-negative", "falling"]
"""What an observable does in the exact flow: it keeps its value, its sign, or does not grow."""


@dataclass(frozen=True)
class Expectation:
    """What the exact flow does to an observable, and how a sentence names it.

    Attributes:
        law: What it does.
        subject: Of a sentence, as in "The energy" increased, "The density rho" became negative, "The mass of
            rho" drifted.
        scale: Observables whose sizes tell what is rounding in it; itself where there are none.
        rate: Of what falls, the observable that says how fast, if there is one.
    """

    law: Law
    subject: str
    scale: tuple[str, ...] = ()
    rate: str = ""


Packed = Mapping[str, npt.NDArray[np.float64]]
"""The parts of a state by name, each with the values of this rank's entries in the order of `Model.keys`."""


class Record(Protocol):
    """What became of the observables of a run, from its first state to its last."""

    @property
    def first(self) -> Row:
        """The observables of the first state."""

    @property
    def last(self) -> Row:
        """The observables of the last state."""

    def least(self, name: str) -> float:
        """The least value of an observable so far.

        Args:
            name: Of the observable.

        Returns:
            The value.
        """

    def most(self, name: str) -> float:
        """The largest value of an observable so far.

        Args:
            name: Of the observable.

        Returns:
            The value.
        """

    def drift(self, name: str) -> float:
        """The largest change of an observable from its first value, relative to that unless it is zero.

        Args:
            name: Of the observable.

        Returns:
            The change, 0 or more.
        """

    def increase(self, name: str) -> float:
        """The largest increase of an observable in a step.

        Args:
            name: Of the observable.

        Returns:
            The increase, 0 where there is none.
        """


class Model[S](Protocol):
    """What a run works on. Its methods are collective and agree on all ranks."""

    @property
    def comm(self) -> MPI.Comm:
        """The ranks that share it."""

    @property
    def expectations(self) -> Mapping[str, Expectation]:
        """What each observable does that has a law."""

    def observables(self, state: S) -> Row:
        """Numbers of a state, which are columns of series.csv.

        Args:
            state: The state.

        Returns:
            Numbers by name, the same names for every state.
        """

    def functions(self, state: S) -> Mapping[str, Function[Any]]:
        """The fields of a state, to write and to draw.

        Args:
            state: The state.

        Returns:
            Functions by name, all on one mesh.
        """

    def change(self, old: S, new: S) -> float:
        """The size of the change from one state to another, relative to the states.

        Args:
            old: One state.
            new: The other.

        Returns:
            The size, dimensionless; 0 for equal states.
        """

    def facts(self) -> Mapping[str, Any]:
        """What summary.json says of the model itself: `cells`, `dofs`, `mesh` and the like."""

    def description(self) -> str:
        """A line for the log on what it is discretised with."""

    def findings(self, record: Record, state: S) -> Mapping[str, Any]:
        """What summary.json says of a run of it.

        Args:
            record: Of its observables.
            state: The last state.

        Returns:
            Entries by name.
        """

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """Numbers of this rank's entries in a packed state, which do not depend on the number of ranks."""

    def pack(self, state: S) -> Packed:
        """The values that make up a state.

        Args:
            state: The state.

        Returns:
            Values by name, in the order of `keys`.
        """

    def unpack(self, packed: Packed) -> S:
        """The state that is made up of values.

        Args:
            packed: Values by name, in the order of `keys`.

        Returns:
            The state.
        """


@runtime_checkable
class ExplicitTime[S](Protocol):
    """A model that may depend on the time explicitly."""

    def move_to(self, time: float, state: S | None = None) -> None:
        """Take the time at the end of the next step, or at the beginning of a run. Collective.

        Args:
            time: The time (dimensionless).
            state: The state before the step; None at the beginning.
        """


@runtime_checkable
class Remembers(Protocol):
    """A model or study with numbers of its own that a run needs to go on, beside its state."""

    def memory(self) -> Mapping[str, Any]:
        """The numbers, as JSON has them, the same on all ranks."""

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: Of the same model or study.
        """


@dataclass(frozen=True)
class Step[S]:
    """An accepted step.

    Attributes:
        state: The new state.
        newton: Newton iterations.
        linear: Iterations of the linear solver.
        clipped: What had to be cut off to keep densities non-negative, in units of mass.
        rejected: Parts of the step that failed and were taken in halves.
        retried: Longer steps that step control rejected before it.
    """

    state: S
    newton: int = 0
    linear: int = 0
    clipped: float = 0.0
    rejected: int = 0
    retried: int = 0

    def followed_by(self, second: Self) -> Self:
        """This step and the next one as one.

        Args:
            second: The step that goes on from this one.

        Returns:
            A step to where the second leads, with the sums of what the two took.
        """
        return replace(
            second,
            newton=self.newton + second.newton,
            linear=self.linear + second.linear,
            clipped=self.clipped + second.clipped,
            rejected=self.rejected + second.rejected,
            retried=self.retried + second.retried,
        )


@dataclass(frozen=True)
class Memory[S]:
    """What a scheme of several steps remembers.

    Attributes:
        states: Earlier states, the latest first.
        steps: Sizes of the steps that led from each of them to the next.
        guesses: Values that only speed up the next step, by name.
    """

    states: tuple[S, ...] = ()
    steps: tuple[float, ...] = ()
    guesses: Mapping[str, npt.NDArray[np.float64]] | None = None


class Scheme[S](Protocol):
    """A way to take steps. Collective."""

    @property
    def title(self) -> str:
        """Its name in sentences, as in "BDF2 does not exclude it"."""

    @property
    def promises(self) -> frozenset[Law]:
        """The laws of a model that it keeps for any step, up to round-off."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Time spent so far on this rank: "assemble" and "solve"."""

    def step(self, old: S, tau: float) -> Step[S]:
        """Take a step.

        Args:
            old: The state before it: the one that the last step returned, or a first one.
            tau: Its size (dimensionless).

        Returns:
            The new state, and what the step took.

        Raises:
            InputError: The state or the size is none.
            SolveError: The equations of the step could not be solved; the message is the report, and the
                scheme is as it was before.
        """

    def memory(self) -> Memory[S]:
        """What the next step needs of earlier ones."""

    def restore(self, memory: Memory[S]) -> None:
        """Go on from what `memory` returned; from `Memory()` as at the beginning.

        Args:
            memory: Of a scheme of the same kind for the same model.
        """


@runtime_checkable
class Attempts[S](Protocol):
    """A scheme whose steps can be tried as a whole, where `Scheme.step` would take them in parts."""

    def attempt(self, old: S, tau: float) -> Step[S]:
        """Try to take a step as a whole. Collective.

        Args:
            old: The state before it.
            tau: Its size (dimensionless).

        Returns:
            The new state, and what the step took.

        Raises:
            InputError: The state or the size is none.
            SolveError: The equations of the step could not be solved; what the scheme remembers may be lost.
        """


@runtime_checkable
class KnownError(Protocol):
    """A scheme whose local error follows from the differences of its states.

    With the order p, a step of the size τ to u₁ adds the error C τ^(p+1) (p+1)! [u₁, u₀, …, u_{-p}], up to
    higher orders; the bracket is the divided difference of its last p + 2 states, and C depends on the
    steps between them.
    """

    @property
    def order(self) -> int:
        """The order p."""

    def error_constant(self, steps: Sequence[float]) -> float:
        """The constant C.

        Args:
            steps: The sizes of the step and of the p before it, the latest first.

        Returns:
            C, dimensionless.
        """


class Study[S](Protocol):
    """Follows a run and measures something. Collective."""

    @property
    def table(self) -> str:
        """The name of the table that its rows go to, such as "study.csv"; empty for a study without rows."""

    def look(self, row: Row, state: S, step: Step[S] | None) -> Row:
        """Look at a state.

        Args:
            row: Its row of series.csv.
            state: The state.
            step: The step that led to it; None for the first state.

        Returns:
            A row of the table; no row is written where it is empty.
        """

    def summary(self) -> Mapping[str, Any]:
        """Entries of summary.json; tables that are there already get them as more entries."""

    def warnings(self) -> Sequence[str]:
        """Sentences about what went against expectation, after the last state."""
