"""Systems that are gradient flows: from their run files to what a run works on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from fem_models.config.system import System

if TYPE_CHECKING:
    from fem_models.config.problem import Problem
    from fem_models.config.run_file import RunConfig
    from fem_models.core.protocols import Study
    from fem_models.flow.gradient_flow import GradientFlow, State
    from fem_models.meshes.marks import MarkedMesh


class FlowSystem(System):
    """What systems share that are gradient flows.

    Attributes:
        in_space: Whether it has a field that lives in the shell around densities in the whole space.
        needs_steady: Whether its studies need the steady state before the first step; it is computed after
            the last one otherwise.
    """

    in_space: ClassVar[bool] = False
    needs_steady: ClassVar[bool] = False

    @property
    def confined(self) -> bool:
        """Whether the theory has the whole space, so that the mesh must hold all of the mass."""
        return False

    def flow(self, config: RunConfig, marked: MarkedMesh) -> GradientFlow:
        """The gradient flow on its mesh. Collective.

        Args:
            config: The run file.
            marked: Its mesh.

        Returns:
            The flow.

        Raises:
            InputError: Something does not go with the mesh.
        """
        raise TypeError(f"{type(self).__name__} does not say which gradient flow it is.")

    def studies(
        self, flow: GradientFlow, steady: State | None, initial: State, start: float
    ) -> Sequence[Study[State]]:
        """What the papers ask of a run. Collective.

        Args:
            flow: The gradient flow.
            steady: The steady state, where `needs_steady` asks for it and it was found.
            initial: The initial state.
            start: Its time.

        Returns:
            Studies whose rows go to study.csv.
        """
        return ()

    def steady(self, flow: GradientFlow, masses: Mapping[str, float], seconds: float = math.inf) -> State:
        """The steady state. Collective.

        Args:
            flow: The gradient flow.
            masses: Of the densities, by name (dimensionless).
            seconds: After which to give up.

        Returns:
            Nodal values, shape (nodes, species).

        Raises:
            SolveError: It was not found; the sentence says why.
        """
        from fem_models.steady.steady_state import steady_state  # here: it brings DOLFINx

        return steady_state(flow, masses, seconds=seconds)

    def problem(self, config: RunConfig, mesh: MarkedMesh) -> Problem[State]:
        """What a run of it works on, see `fem_models.config.flow_problem`.

        Args:
            config: The run file.
            mesh: Its mesh.

        Returns:
            The flow with its scheme and its initial state.
        """
        from fem_models.config.flow_problem import FlowProblem  # here: it brings DOLFINx

        return FlowProblem(self, config, mesh)
