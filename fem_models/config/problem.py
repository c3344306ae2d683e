"""What a run works on, made from a run file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fem_models.core.protocols import Model, Row, Scheme, Study

if TYPE_CHECKING:
    from dolfinx.fem import Function

NODAL_VOLUME = "nodal_volume"
"""The field of the volumes that belong to the nodes, which runs write beside their densities."""


@dataclass(frozen=True)
class Closing:
    """What is computed when a run has ended.

    Attributes:
        functions: Fields to write, by name.
        warnings: Sentences about what is not there.
    """

    functions: Mapping[str, Function] = field(default_factory=dict)
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Companions[S]:
    """What goes along with a run.

    Attributes:
        studies: What looks at its states.
        beside: Gives the fields that are written beside those of the model, by name.
        remark: What fields.pvd says about its fields.
        warnings: Sentences about what is not there.
        closing: Computes the steady state when the run has ended, from the last state, the reason for
            which it has ended and the seconds that it took. Collective.
    """

    studies: Sequence[Study[S]] = ()
    beside: Callable[[], Mapping[str, Function]] = dict
    remark: str = ""
    warnings: Sequence[str] = ()
    closing: Callable[[S, str, float], Closing] | None = None


class Problem[S](ABC):
    """What one run works on.

    Args:
        model: The model.
        scheme: Takes its steps; its solvers are set up.
        initial: The initial state.

    Attributes:
        title: What the log says of the equations and the scheme.
        notes: What else it says before the first step.
        tables: Rows that are known before the first step, by the file that they go to.
        prepares: What `companions` computes that may take long; empty for nothing.
        shared: What a run and its variants need not compute twice, by what it follows from.
    """

    title: str = ""
    prepares: str = ""

    def __init__(self, model: Model[S], scheme: Scheme[S], initial: S) -> None:
        self.model, self.scheme, self.initial = model, scheme, initial
        self.tables: Mapping[str, Sequence[Row]] = {}
        self.notes: Sequence[str] = ()
        self.shared: dict[Any, Any] = {}

    @abstractmethod
    def companions(self) -> Companions[S]:
        """What goes along with the run, made when it begins. Collective."""


class PlainProblem[S](Problem[S]):
    """A problem whose run has no company."""

    def companions(self) -> Companions[S]:
        """None."""
        return Companions()
