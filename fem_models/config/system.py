"""What the tables [system] of run files share. A system is one file: keys, equations, study and figures.

A subclass of `System`, registered in `SYSTEMS`, says which fields it has, which expressions it has in which
variables, and makes the problem that a run works on. Gradient flows are subclasses of
`fem_models.config.flow_system.FlowSystem`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fem_models.config.figures import DEFAULT_FIGURES
from fem_models.config.formulas import Formulas
from fem_models.config.registry import Registry
from fem_models.config.schemes import GRADIENT_FLOW
from fem_models.config.types import Table

if TYPE_CHECKING:
    from fem_models.config.problem import Problem
    from fem_models.config.run_file import RunConfig
    from fem_models.meshes.marks import MarkedMesh

Fields = tuple[tuple[str, str], ...]
"""Names of fields with their metrics."""


class System(Table):
    """What systems share.

    Attributes:
        model: The kind of model, which schemes are registered for.
        scheme: The scheme of run files that name none.
        equation: What is solved, for reports; empty where it is not known.
        whole_initial: The entry of [initial] that stands for those of all fields, where there is one.
        figures: The figures of run files that name none, whatever the mesh.
        has_limit: Whether there is a diffusive limit to compare with, the table [limit].
    """

    model: ClassVar[str] = GRADIENT_FLOW
    scheme: ClassVar[str] = "backward-euler"
    equation: ClassVar[str] = ""
    whole_initial: ClassVar[str] = ""
    figures: ClassVar[tuple[str, ...]] = DEFAULT_FIGURES
    has_limit: ClassVar[bool] = False
    name: str

    @property
    def fields(self) -> Fields:
        """The fields of the system with their metrics; none where [[species]] has them."""
        return (("rho", "wasserstein"),)

    @property
    def other_initial(self) -> Mapping[str, tuple[str, ...]]:
        """What [initial] may have beside the fields, with the variables of the expressions."""
        return {}

    @classmethod
    def figures_on(cls, mesh: Any) -> tuple[str, ...]:
        """The figures of run files that name none.

        Args:
            mesh: The table [mesh] as the file has it, not checked.

        Returns:
            Their names.
        """
        return cls.figures

    def formulas(self) -> Formulas:
        """The expressions of the table: the key, the text, and the variables that it may use."""
        yield from ()

    def problems(self) -> Iterator[str]:
        """Sentences about what is wrong with its names."""
        yield from ()

    def explained(self, text: str, sentence: str, key: str) -> str:
        """A sentence about a wrong expression, with more about what the key may be.

        Args:
            text: The expression.
            sentence: What is wrong with it.
            key: The key that it is under.

        Returns:
            The sentence.
        """
        return sentence

    @property
    def exponential_rate(self) -> float | None:
        """The rate at which the theory has an energy decay without coupling, where there is one."""
        return None

    def problem(self, config: RunConfig, mesh: MarkedMesh) -> Problem[Any]:
        """What a run of it works on. Collective.

        Args:
            config: The run file.
            mesh: Its mesh.

        Returns:
            The model with its scheme and its initial state.

        Raises:
            InputError: Something is wrong that the run file alone did not show.
        """
        raise TypeError(f"{type(self).__name__} does not say what a run of it works on.")


SYSTEMS: Registry[type[System]] = Registry("system")
