"""Whether a density concentrates at the scale of the mesh, as it may in Keller and Segel's model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from mpi4py import MPI

from fem_models.core.protocols import Row, Step
from fem_models.core.remembering import Remembering
from fem_models.flow.gradient_flow import GradientFlow, State

# With half of the mass in fewer vertices, by dimension, or more than this share in one, the mesh decides.
_FEWEST = {1: 4, 2: 8, 3: 16}
_LARGEST_SHARE = 0.1
# The threshold of the search is bracketed by one of so many parts, so many times over.
_PARTS, _ROUNDS = 64, 7


def critical_mass(flow: GradientFlow) -> float | None:
    """The mass 8πθ/χ² above which Keller and Segel's density aggregates in the plane. Collective.

    The model is recognised by its energy: θ ρ log ρ - χ c ρ and what depends on c alone, with the Dirichlet
    energy ½∫|∇c|², as in `fem_models.systems.chemotaxis` for m = 1 and φ(c) = -c, where θ = 1 and χ = ε.

    Args:
        flow: The flow of a density and a signal, in this order.

    Returns:
        The mass, dimensionless; None for other models and other dimensions.
    """
    if flow.mesh.geometry.dim != 2 or list(flow.transported) != [True, False] or flow.static.any():
        return None
    states = [np.full((flow.nodes, 2), value) for value in (0.5, 2.0)]
    small, large = (flow.hessian(state)[: flow.owned] for state in states)
    slopes = np.concatenate([small[:, 0, 1], large[:, 0, 1]])
    least = flow.comm.allreduce(float(slopes.min(initial=math.inf)), op=MPI.MIN)
    largest = flow.comm.allreduce(float(slopes.max(initial=-math.inf)), op=MPI.MAX)
    other = flow.comm.allreduce(float(np.abs([small[:, 0, 0], large[:, 0, 0]]).max(initial=0.0)), op=MPI.MAX)
    theta = float(flow.theta[0])
    if theta == 0.0 or other > 0.0 or not least == largest < 0.0:
        return None
    return 8.0 * math.pi * theta / largest**2


class Concentration(Remembering):
    """Follows how few vertices of the mesh hold the first density of a flow. Collective.

    Args:
        flow: The flow.
    """

    def __init__(self, flow: GradientFlow) -> None:
        self._flow = flow
        self._dimension = flow.mesh.geometry.dim
        self._column = int(np.flatnonzero(flow.transported)[0])
        self._critical = critical_mass(flow)
        self._mass = self._share = math.nan
        self._vertices = 0
        self._since: float | None = None

    table = "study.csv"
    remembered = ("_mass", "_share", "_vertices", "_since")

    def look(self, row: Row, state: State, step: Step[State] | None) -> Row:
        """The vertices that hold half of the mass, the share of the fullest one, and the second moment.

        Args:
            row: With the time.
            step: Not used.
            state: Shape (nodes, species).

        Returns:
            A row of study.csv.
        """
        flow = self._flow
        masses = flow.geometry.volumes[: flow.owned] * state[: flow.owned, self._column]
        total = flow.comm.allreduce(float(masses.sum()))
        largest = flow.comm.allreduce(float(masses.max(initial=0.0)), op=MPI.MAX)
        name = flow.names[self._column]
        self._mass, self._share = total, largest / total
        self._vertices = self._fewest(masses, 0.5 * total, largest)
        concentrated = self._vertices < _FEWEST[self._dimension] or self._share > _LARGEST_SHARE
        self._since = (row["time"] if self._since is None else self._since) if concentrated else None
        return {
            "time": row["time"],
            f"vertices_half_{name}": self._vertices,
            f"largest_share_{name}": self._share,
        } | ({f"second_moment_{name}": flow.second_moments(state)[name]} if flow.has_moments else {})

    def _fewest(self, masses: np.ndarray, wanted: float, largest: float) -> int:
        """The least number of vertices that hold a mass, by search for that of the last one."""
        ordered = np.sort(masses)
        sums = np.concatenate([np.cumsum(ordered[::-1])[::-1], [0.0]])
        low, high, count, mass = 0.0, largest, 0, 0.0
        for _ in range(_ROUNDS):
            thresholds = np.linspace(low, high, _PARTS + 1)
            # How many vertices have more mass than each threshold, and how much in all.
            first = np.searchsorted(ordered, thresholds, side="right")
            counts, held = self._flow.comm.allreduce(np.array([len(ordered) - first, sums[first]]))
            k = int(np.argmax(held < wanted))
            low, high, count, mass = thresholds[max(k - 1, 0)], thresholds[k], int(counts[k]), float(held[k])
        # Several may have the mass between the two bounds: not all of them are needed.
        return count + math.ceil((wanted - mass) / high - 1e-9)

    def summary(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def warnings(self) -> list[str]:
        """A sentence where the density, at the last state, lives on the mesh rather than in the plane."""
        if self._since is None:
            return []
        hint = ""
        if self._critical is not None:
            place = "above" if self._mass > self._critical else "below"
            hint = (
                f" In this model a mass above 8π/ε² = {self._critical:.4g} can do so inside of the domain "
                f"(here it is {place}), half of that at a smooth boundary, and less in a corner."
            )
        vertices = "1 vertex" if self._vertices == 1 else f"{self._vertices} vertices"
        return [
            f"The density {self._flow.names[self._column]} concentrates: in the end, half of its mass "
            f"{self._mass:.4g} is in {vertices} of the mesh and {self._share:.0%} in a single one. From "
            f"t = {self._since:g} on the result depends on the mesh and does not converge under "
            f"refinement.{hint}"
        ]
