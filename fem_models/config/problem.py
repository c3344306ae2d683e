"""What a run works on, made from a run file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fem_models.core.protocols import Model, Row, Scheme, Study

if TYPE_CHECKING:
    from dolfinx.fem import Function


@dataclass(frozen=True)
class Companions[S]:
    """What goes along with a run.

    Attributes:
        studies: What looks at its states.
        constants: Fields that do not change, written beside those of the model, by name.
        warnings: Sentences about what is not there.
    """

    studies: Sequence[Study[S]] = ()
    constants: Mapping[str, Function] = field(default_factory=dict)
    warnings: Sequence[str] = ()


class Problem[S](ABC):
    """What one run works on.

    Args:
        model: The model.
        scheme: Takes its steps; its solvers are set up.
        initial: The initial state.

    Attributes:
        title: What the log says of the equations and the scheme.
        tables: Rows that are known before the first step, by the file that they go to.
    """

    title: str = ""

    def __init__(self, model: Model[S], scheme: Scheme[S], initial: S) -> None:
        self.model, self.scheme, self.initial = model, scheme, initial
        self.tables: Mapping[str, Sequence[Row]] = {}

    @abstractmethod
    def companions(self) -> Companions[S]:
        """What goes along with the run, made when it begins. Collective."""


class PlainProblem[S](Problem[S]):
    """A problem whose run has no company."""

    def companions(self) -> Companions[S]:
        """None."""
        return Companions()
