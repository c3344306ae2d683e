"""What the run loop asks of a gradient flow: its observables, their laws, and what a run of it found.

See `fem_models.core.protocols.Model`. Everything is dimensionless.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from dolfinx import fem, la
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.core.errors import SolveError
from fem_models.core.protocols import Expectation, Packed, Record, Row
from fem_models.energies import Energy
from fem_models.expressions.explicit_time import Time
from fem_models.flow.species import Geometry, State
from fem_models.linalg.exchange import Exchange
from fem_models.meshes.parts import Part
from fem_models.meshes.torus import lengths_of
from fem_models.nodal.numbering import original_numbers
from fem_models.nodal.unfolded import Unfolded, shown_part

# The energy less what the change of potentials in time has added to it.
_LESS_WORK = "energy_less_work"


class Observed(ABC):
    """What flows in nodal values share that a run looks at; states have shape (nodes, species). Collective.

    Attributes:
        mesh: The mesh.
        comm: Its ranks.
        names: Names of the species.
        transported: The species of the Wasserstein metric, shape (species,).
        relaxed: Those of the L² metric.
        cells: Local cells of the part of the mesh where densities live; None for all.
        space: The scalar space of each species.
        owned: Number of nodes of this rank.
        nodes: The same with its ghosts.
        terms: The energy, a sum of named terms.
        geometry: Nodal volumes and edges.
    """

    mesh: Mesh
    comm: MPI.Comm
    names: tuple[str, ...]
    transported: npt.NDArray[np.bool_]
    relaxed: npt.NDArray[np.bool_]
    cells: npt.NDArray[np.int32] | None
    space: fem.FunctionSpace
    owned: int
    nodes: int
    terms: Energy
    geometry: Geometry

    @abstractmethod
    def energy_terms(self, state: State) -> dict[str, float]:
        """The energy of each term.

        Args:
            state: Shape (nodes, species).

        Returns:
            By the names of the terms.
        """

    @abstractmethod
    def dissipation(self, state: State) -> float:
        """The dissipation D ≥ 0 of dE/dt = -D.

        Args:
            state: Shape (nodes, species).

        Returns:
            D.
        """

    @abstractmethod
    def masses(self, state: State) -> dict[str, float]:
        """The mass of each species.

        Args:
            state: Shape (nodes, species).

        Returns:
            By name.
        """

    @abstractmethod
    def minima(self, state: State) -> dict[str, float]:
        """The least nodal value of each species.

        Args:
            state: Shape (nodes, species).

        Returns:
            By name.
        """

    @abstractmethod
    def maxima(self, state: State) -> dict[str, float]:
        """The largest nodal value of each species.

        Args:
            state: Shape (nodes, species).

        Returns:
            By name.
        """

    @abstractmethod
    def second_moments(self, state: State) -> dict[str, float]:
        """The second moment of each species about the origin.

        Args:
            state: Shape (nodes, species).

        Returns:
            By name.
        """

    @property
    def has_moments(self) -> bool:
        """Whether second moments mean something: not on a torus, where there is no distance from a point."""
        return lengths_of(self.mesh) is None

    @property
    @abstractmethod
    def explicit_time(self) -> Time | None:
        """The time in the energy, where that depends on it explicitly."""

    @abstractmethod
    def vector(self) -> la.Vector:
        """A new vector in the layout of a state, to scatter values to ghosts and back."""

    # Energies that depend on the time explicitly

    # What the change of the energy has done since a run began: the sum of E(ρ; new time) - E(ρ; old time).
    _work = _time = 0.0

    def move_to(self, time: float, state: State | None = None) -> None:
        """Set the time of an energy that depends on it explicitly. Collective.

        Args:
            time: The end of the next step, or the beginning of a run (dimensionless).
            state: The state before the step, shape (nodes, species), on which the change does work; None at
                the beginning of a run.

        Raises:
            InputError: The energy is not periodic on a torus at the beginning.
            SolveError: The energy is not finite at that time, or no longer periodic on a torus.
        """
        clock = self.explicit_time
        if clock is None:
            return
        if state is None:
            clock.value[...] = self._time = time
            self._work = 0.0
            return
        # Other flows on the mesh may have moved its time.
        clock.value[...] = self._time
        before = math.fsum(self.energy_terms(state).values())
        clock.value[...] = self._time = time
        after = math.fsum(self.energy_terms(state).values())
        if not math.isfinite(after):
            raise SolveError(
                f"The energy of the density is not finite at t = {time:g}: look at the potentials."
            )
        self._work += after - before

    def memory(self) -> dict[str, float]:
        """The work of potentials that change, and their time."""
        return {"work": self._work, "time": self._time}

    def restore(self, memory: Mapping[str, float]) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: Of the same flow.
        """
        self._work, self._time = memory["work"], memory["time"]

    def with_ghosts(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Values at this rank's own nodes with those of its ghosts. Collective.

        Args:
            values: Shape (owned nodes, any).

        Returns:
            Shape (nodes, any).
        """
        return Exchange(self.space.dofmap.index_map, values.shape[1]).with_ghosts(values)

    # The observables

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the species that have a mass to keep: those of the Wasserstein metric."""
        return tuple(name for name, moves in zip(self.names, self.transported, strict=True) if moves)

    @property
    def expectations(self) -> Mapping[str, Expectation]:
        """The energy, less the work of potentials that change, falls; the densities keep masses and signs."""
        terms = tuple(term.name for term in self.terms)
        found = {"energy": Expectation("falling", "The energy", terms, "dissipation")}
        if self.explicit_time is not None:
            found = {_LESS_WORK: Expectation("falling", "The energy less the work of the potentials", terms)}
        for name in self.kept:
            found[f"mass_{name}"] = Expectation("conserved", f"The mass of {name}")
            found[f"min_{name}"] = Expectation("non-negative", f"The density {name}", (f"max_{name}",))
        return found

    def observables(self, state: State) -> Row:
        """The energy and its terms, the dissipation, and the mass, minimum and maximum of each species.

        Args:
            state: Shape (nodes, species).

        Returns:
            `energy`, one entry for each of its terms, `dissipation`, `mass_NAME`, `min_NAME`, `max_NAME`; of
            an energy with explicit time also `work`, what its change has done so far, and `energy_less_work`,
            which falls.
        """
        terms = self.energy_terms(state)
        row: Row = {"energy": math.fsum(terms.values())} | terms
        row["dissipation"] = self.dissipation(state)
        if self.explicit_time is not None:
            row |= {"work": self._work, _LESS_WORK: row["energy"] - self._work}
        masses, least, most = self.masses(state), self.minima(state), self.maxima(state)
        for name in self.names:
            row |= {f"mass_{name}": masses[name], f"min_{name}": least[name], f"max_{name}": most[name]}
        return row

    def change(self, old: State, new: State) -> float:
        """The largest Σ_i m_i |new_i - old_i| / Σ_i m_i |new_i| of the species that are not static.

        Args:
            old: Shape (nodes, species).
            new: Of the same shape.

        Returns:
            0 for equal states, ∞ where a species becomes zero everywhere.
        """
        volumes = self.geometry.volumes[: self.owned]
        local = np.array([volumes @ np.abs(new - old)[: self.owned], volumes @ np.abs(new)[: self.owned]])
        change, size = self.comm.allreduce(local)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(change > 0.0, change / size, 0.0)
        return float(shares[self.transported | self.relaxed].max())

    # What is written

    def functions(self, state: State) -> dict[str, fem.Function]:
        """The species as new functions, by name.

        Args:
            state: Shape (nodes, species).

        Returns:
            As from `function`.
        """
        return {name: self.function(values, name) for name, values in zip(self.names, state.T, strict=True)}

    def function(self, values: npt.NDArray[np.float64], name: str) -> fem.Function:
        """Nodal values as a new function, to look at.

        Args:
            values: Shape (nodes,).
            name: Of the function.

        Returns:
            A function on the mesh, on the brick that a torus was made of, or on the part of the mesh where
            densities live: the shell around them in the whole space is no place to look at, as its
            coordinates are not real.
        """
        function = fem.Function(self.space, name=name)
        function.x.array[:] = values
        return function if self.shown is None else self.shown.restricted([function])[0]

    @cached_property
    def shown(self) -> Part | Unfolded | None:
        """The part of the mesh where densities live, or the brick of a torus; None for the mesh itself."""
        return shown_part(self.space, self.cells)

    @property
    def shown_volumes(self) -> npt.NDArray[np.float64]:
        """Nodal volumes whose sum is right where functions are looked at, shape (nodes,). Collective."""
        volumes = self.geometry.volumes
        return volumes / self.shown.copies if isinstance(self.shown, Unfolded) else volumes

    # What a run found

    def description(self) -> str:
        """The mesh in a line."""
        geometry = self.geometry
        return (
            f"mesh: {self._cell_count} cells, edges from {geometry.h_min:.3g} to {geometry.h_max:.3g}, "
            f"{geometry.negative_share:.2%} with negative coefficient"
        )

    def facts(self) -> dict[str, Any]:
        """Numbers of cells and unknowns, and what is told of the mesh."""
        geometry = self.geometry
        return {
            "cells": self._cell_count,
            "dofs": self.space.dofmap.index_map.size_global * len(self.names),
            "mesh": {
                "cells": self._cell_count,
                "vertices": self.mesh.topology.index_map(0).size_global,
                "h_min": geometry.h_min,
                "h_max": geometry.h_max,
                "negative_edges": geometry.negative_share,
            },
        }

    @property
    def _cell_count(self) -> int:
        topology = self.mesh.topology
        return topology.index_map(topology.dim).size_global

    def findings(self, record: Record, state: State) -> dict[str, Any]:
        """The energy at the beginning and at the end, and mass, extremes and second moment of each species.

        Args:
            record: Of the observables of a run.
            state: Its last state, shape (nodes, species).

        Returns:
            The entries `energy` and `species` of summary.json.
        """
        kept = self.kept
        moments = self.second_moments(state) if self.has_moments else {}
        return {
            "energy": {
                "initial": record.first["energy"],
                "final": record.last["energy"],
                "max_increase": record.increase("energy"),
            },
            "species": {
                name: {
                    "mass_initial": record.first[f"mass_{name}"],
                    "mass_final": record.last[f"mass_{name}"],
                    # Only densities have a mass to keep.
                    "mass_drift": record.drift(f"mass_{name}") if name in kept else None,
                    "min": record.least(f"min_{name}"),
                    "max": record.most(f"max_{name}"),
                }
                | ({"second_moment": moments[name]} if moments else {})
                for name in self.names
            },
        }

    # States on any number of ranks

    @cached_property
    def keys(self) -> npt.NDArray[np.int64]:
        """The original numbers of this rank's nodes, shape (owned nodes,)."""
        return original_numbers(self.space)

    def pack(self, state: State) -> Packed:
        """The values of each species at this rank's nodes.

        Args:
            state: Shape (nodes, species).

        Returns:
            By species, shape (owned nodes,).
        """
        return {name: state[: self.owned, s].copy() for s, name in enumerate(self.names)}

    def unpack(self, packed: Packed) -> State:
        """The state with these values at the nodes of the ranks.

        Args:
            packed: By species, shape (owned nodes,), in the order of `keys`.

        Returns:
            Shape (nodes, species), with its ghosts.
        """
        vector = self.vector()
        values = vector.array.reshape(self.nodes, len(self.names))
        values[: self.owned] = np.stack([packed[name] for name in self.names], axis=1)
        vector.scatter_forward()
        return values.copy()
