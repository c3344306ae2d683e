"""Whether mass has reached the boundary of a mesh that stands for the whole space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI

from fem_models.core.protocols import Row, Step
from fem_models.core.remembering import Remembering
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.species import State

# The share of a mass at the boundary which is worth a warning.
_AT_RIM = 1e-6


class Confinement(Remembering):
    """Follows the largest share of each mass at the boundary of where densities live. Collective.

    Args:
        flow: The flow.
        names: The densities.
        whole_space: Whether the mesh stands for the whole space; it does in any case where densities live in
            a part of it.
    """

    table = ""
    remembered = ("_shares", "_masses")

    def __init__(self, flow: NodalFields, names: Sequence[str], whole_space: bool) -> None:
        self._flow = flow
        # A mesh with a shell for the rest of space has its densities in a part of it.
        self._follows = flow.comm.allreduce(whole_space or not flow.inside.all(), op=MPI.LOR)
        self._shares = dict.fromkeys(names, 0.0)
        self._masses: Row = {}

    def look(self, row: Row, state: State, step: Step[State] | None) -> Row:
        """Measure the shares; there are no columns.

        Args:
            row: With the masses.
            state: Shape (nodes, species).
            step: None for the first state, to whose masses the shares are relative.

        Returns:
            No row.
        """
        if not self._follows:
            return {}
        self._masses = self._masses or row
        flow, owned = self._flow, slice(0, self._flow.owned)
        volumes = np.where(flow.rim, flow.geometry.volumes, 0.0)[owned]
        shares = flow.comm.allreduce(volumes @ state[owned])
        for name in self._shares:
            share = float(shares[flow.names.index(name)] / self._masses[f"mass_{name}"])
            self._shares[name] = max(self._shares[name], share)
        return {}

    def summary(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def warnings(self) -> Sequence[str]:
        """A sentence for each density that has reached the boundary."""
        return [
            f"Mass has reached the boundary: {share:.2e} of the mass of {name} was at its vertices. "
            "Where the mesh stands in for the whole space, as in the theory of this system, take a "
            "larger one, or a potential that confines."
            for name, share in self._shares.items()
            if share > _AT_RIM
        ]
