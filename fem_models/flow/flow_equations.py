"""What the equations of implicit steps of a gradient flow tell Newton's method about themselves."""

from __future__ import annotations

import math

import numpy as np
from dolfinx import la
from dolfinx.mesh import Mesh

from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.species import State


class FlowEquations[F: NodalFields]:
    """The parts of `fem_models.linalg.newton.StepEquations` that follow from the flow.

    Args:
        flow: The gradient flow.

    Attributes:
        flow: The gradient flow.
        mesh: Its mesh.
        names: Names of its fields.
        owned: Number of nodes of this rank.
        nodes: The same with its ghosts.
        elliptic: Whether some fields are static.
        conserved: None: no sum of nodal values is kept.
    """

    def __init__(self, flow: F) -> None:
        self.flow = flow
        self.mesh: Mesh = flow.mesh
        self.names = flow.names
        self.owned, self.nodes = flow.owned, flow.nodes
        self.elliptic = bool(flow.static.any())
        self.conserved: State | None = None

    def vector(self) -> la.Vector:
        """A new vector in the layout of a state, to scatter values to ghosts and back."""
        return self.flow.vector()

    def norm(self, anchor: State) -> float:
        """The Euclidean norm of the nodal masses of densities, or of L² fields where there are none.

        Args:
            anchor: Shape (nodes, fields). Collective.

        Returns:
            The norm, in units of mass.
        """
        flow = self.flow
        measured = flow.transported if flow.transported.any() else flow.relaxed
        masses = (flow.geometry.volumes[:, None] * anchor)[: flow.owned, measured]
        return math.sqrt(flow.comm.allreduce(float(np.sum(masses**2))))

    def extrema(self, state: State) -> dict[str, tuple[float, float]]:
        """The least and the largest value of each field.

        Args:
            state: Shape (nodes, fields). Collective.

        Returns:
            The two values by the name of the field.
        """
        minima, maxima = self.flow.minima(state), self.flow.maxima(state)
        return {name: (minima[name], maxima[name]) for name in self.names}
