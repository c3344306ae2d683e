"""What the discretisations of gradient flows share: fields with values at nodes, and an energy of them.

A discretisation chooses a space, weights of its nodes, and how it integrates; the rest follows here.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import override

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem, la
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.core.errors import InputError, SolveError
from fem_models.energies import Energy, Term
from fem_models.expressions.explicit_time import Time
from fem_models.flow.checks import check_functions, checked_parts
from fem_models.flow.initial_values import Values, initial_values
from fem_models.flow.observed import Observed
from fem_models.flow.species import METRICS, Geometry, Species, State, check_terms
from fem_models.linalg.garbage import collect
from fem_models.meshes.marks import MarkedMesh
from fem_models.meshes.torus import lengths_of, node_points
from fem_models.nodal.couplings import boundary_weights, region_rim
from fem_models.nodal.nodal_energy import NodalEnergy

_Array = npt.NDArray[np.float64]


class NodalFields(Observed):
    """Fields of a gradient flow with values at the nodes of a space. Collective.

    Args:
        mesh: The mesh of simplices.
        species: The fields.
        energy: A sum of terms.
        cells: Local cells of the part of the mesh where densities live; all by default.

    Attributes:
        mesh, comm: The mesh of simplices, and the ranks that share it.
        x: The coordinates, as UFL.
        species: The species; `names` are their names.
        terms: The energy, a sum of named terms.
        transported, relaxed, static: Which species have which metric: Wasserstein, L², none; shape
            (species,).
        space: The scalar space of each species.
        owned, nodes: Number of nodes of this rank, without and with its ghosts.
        geometry: Weights of the nodes, and sizes of the mesh.
        cells: Local cells of the part of the mesh where densities live; None for all.
        fixed: Nodes and values of static fields that are given, by the column of the field.

    Raises:
        InputError: Two species with one name, a term of an unknown species, or a part of an energy that does
            not go with the metric of its species.
    """

    geometry: Geometry
    cells: npt.NDArray[np.int32] | None
    fixed: dict[int, tuple[npt.NDArray[np.int32], _Array]]

    def __init__(
        self,
        mesh: MarkedMesh | Mesh,
        species: Species | Sequence[Species],
        energy: Energy | Term,
        cells: npt.NDArray[np.int32] | None = None,
    ) -> None:
        self.mesh, self.species, self.terms = checked_parts(mesh, species, energy, cells)
        self.comm: MPI.Comm = self.mesh.comm
        collect(self.mesh)
        self.x = ufl.SpatialCoordinate(self.mesh)
        self.names = tuple(s.name for s in self.species)
        self.transported, self.relaxed, self.static = (
            np.array([s.metric == metric for s in self.species]) for metric in METRICS
        )
        check_terms(self.species, self.terms, self.x)
        check_functions(self.terms, self.mesh, self.names)

    def _use(self, space: fem.FunctionSpace) -> None:
        """Take a scalar space for the fields."""
        self.space = space
        self.owned = space.dofmap.index_map.size_local
        self.nodes = self.owned + space.dofmap.index_map.num_ghosts
        self._local = NodalEnergy(space, self.names, self._terms_at_nodes(), tuple(self.terms))

    def _terms_at_nodes(self) -> tuple[Term, ...]:
        """The terms as they are evaluated at nodes."""
        return tuple(self.terms)

    # States

    def state(
        self, initial: Mapping[str, Values] | Values, masses: Mapping[str, float] | float | None = None
    ) -> State:
        """A state from initial densities, with static fields in equilibrium with them.

        Args:
            initial: As for `fem_models.flow.initial_values.initial_values`.
            masses: By species, the mass to scale to; a number for a single species; None to leave the values
                as they are.

        Returns:
            Nodal values, shape (nodes, species).

        Raises:
            InputError: Values that are not finite, a density that is negative or zero everywhere, a mass that
                is not positive, or charges that do not balance where a static field needs it. All ranks raise
                it.
            SolveError: The equations of the static fields could not be solved.
        """
        return self.settled(self.nodal_values(initial, masses))

    @abstractmethod
    def settled(self, state: State) -> State:
        """The state with its static fields in equilibrium with the others. Collective.

        Args:
            state: Shape (nodes, species); its static fields are a first guess.

        Returns:
            A state of the same shape; the same one where no field is static.

        Raises:
            InputError: Charges that do not balance where a static field needs it.
            SolveError: The equations of the static fields could not be solved.
        """

    def nodal_values(
        self, initial: Mapping[str, Values] | Values, masses: Mapping[str, float] | float | None = None
    ) -> State:
        """Nodal values of initial densities and fields, with static fields that are zero where none is given.

        Args:
            initial: As for `state`.
            masses: As for `state`.

        Returns:
            Shape (nodes, species).

        Raises:
            InputError: As for `state`, but for charges.
        """
        return initial_values(self, initial, masses)

    @cached_property
    def inside(self) -> npt.NDArray[np.bool_]:
        """The nodes where densities live, shape (nodes,)."""
        return self.geometry.volumes > 0.0

    @cached_property
    def points(self) -> _Array:
        """Coordinates of the nodes, shape (nodes, dim)."""
        return node_points(self.space)[:, : self.mesh.geometry.dim]

    @cached_property
    def rim(self) -> npt.NDArray[np.bool_]:
        """The nodes at the boundary of where densities live, shape (nodes,). Collective."""
        return region_rim(self.space, self.cells)

    @abstractmethod
    def vector(self) -> la.Vector:
        """A new vector in the layout of a state, to scatter values to ghosts and back. Collective."""

    # Energy and potentials

    @abstractmethod
    def energy_terms(self, state: State) -> dict[str, float]:
        """The energy of each term, by its name. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The energies by the names of the terms.
        """

    def energy(self, state: State) -> float:
        """The energy, the sum of its terms. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The energy.
        """
        return math.fsum(self.energy_terms(state).values())

    @abstractmethod
    def dissipation(self, state: State) -> float:
        """The dissipation D ≥ 0 of dE/dt = -D: Σ_s ∫ρ_s|∇μ_s|² (Wasserstein) + ∫μ_s² (L²). Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            D.
        """

    @abstractmethod
    def potentials(self, state: State) -> State:
        """The potentials δE/δρ at the nodes. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            Shape (nodes, species).
        """

    def smooth_potentials(self, state: State) -> State:
        """The potentials ψ = δE/δρ - θ (log ρ + 1), without entropies and Dirichlet energies. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            Values at the nodes, shape (nodes, species).
        """
        return self._local.potentials(state)

    @property
    def has_data(self) -> bool:
        """Whether the energy has constants or functions of DOLFINx beside the fields: they are read anew."""
        return self._local.has_data

    @property
    @override
    def explicit_time(self) -> Time | None:
        return self._local.time

    @override
    def move_to(self, time: float, state: State | None = None) -> None:
        super().move_to(time, state)
        if self.explicit_time is not None and (jump := self._local.seam.jump()):
            jump = f"At t = {time:g}: {jump}"
            if state is None:
                raise InputError(jump)
            raise SolveError(jump)

    @property
    def external_potentials(self) -> State:
        """The part of the potentials that depends on no field, at the nodes: shape (nodes, species)."""
        return self._local.static_potentials

    def hessian(self, state: State) -> _Array:
        """The derivatives ∂ψ_s/∂ρ_t at the nodes. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            Shape (nodes, species, species).
        """
        return self._local.hessian(state)

    @cached_property
    def theta(self) -> _Array:
        """The entropy coefficient θ of each species, shape (species,)."""
        theta = np.zeros(len(self.names))
        for term in self.terms:
            for name, coefficient in term.entropy.items():
                theta[self.names.index(name)] += coefficient
        return theta

    # Integrals and extrema

    @abstractmethod
    def second_moments(self, state: State) -> dict[str, float]:
        """The second moment of each species about the origin, by name. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The moments by name.
        """

    def with_masses_of(self, other: State, state: State) -> State:
        """The state with its Wasserstein species scaled to the masses that they have in another one.

        Args:
            other: The state with the masses, shape (nodes, species).
            state: The state to scale.

        Returns:
            A new state.
        """
        wanted, found = (np.array(list(self.masses(u).values())) for u in (other, state))
        return state * np.where(self.transported, wanted / np.where(self.transported, found, 1.0), 1.0)

    @cached_property
    def volume(self) -> float:
        """The volume Σ_i m_i of the domain."""
        return self.integral(self.geometry.volumes)

    def scale(self, state: State) -> _Array:
        """The largest nodal value of each species, shape (species,). Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The values.
        """
        return self.reduce(state[: self.owned].max(axis=0, initial=-math.inf), MPI.MAX)

    def minima(self, state: State) -> dict[str, float]:
        """The least nodal value of each species, where densities live. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The values by name.
        """
        inside = state[: self.owned][self.inside[: self.owned]]
        return self._by_name(self.reduce(inside.min(axis=0, initial=math.inf), MPI.MIN))

    def maxima(self, state: State) -> dict[str, float]:
        """The largest nodal value of each species. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The values by name.
        """
        return self._by_name(self.scale(state))

    @property
    @abstractmethod
    def free_constants(self) -> npt.NDArray[np.bool_]:
        """The static fields that are determined up to a constant only, shape (species,)."""

    @abstractmethod
    def charges(self, state: State) -> _Array:
        """∫ ∂e/∂ψ for each static field ψ, and ∫ |∂e/∂ψ|: shape (2, species). Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            Shape (2, species).
        """

    def gauged(self, state: State) -> State:
        """The state with free static fields of mean zero over the boundary, or over a torus. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            A new state, or the same one where no field has a free constant.
        """
        if not self.free_constants.any():
            return state
        weights = self._gauge[: self.owned]
        sums = self.comm.allreduce(np.append(weights @ state[: self.owned], weights.sum()))
        return state - np.where(self.free_constants, sums[:-1] / sums[-1], 0.0)

    @cached_property
    def _gauge(self) -> _Array:
        return boundary_weights(self.space) if lengths_of(self.mesh) is None else self.geometry.volumes

    def reduce(self, values: _Array, op: MPI.Op) -> _Array:
        """Reduce an array over the ranks, entry by entry. Collective.

        Args:
            values: Of the same shape on all ranks.
            op: The operation of MPI.

        Returns:
            The result, of the same shape.
        """
        result = np.empty_like(values)
        self.comm.Allreduce(values, result, op=op)
        return result

    def integral(self, weighted: _Array) -> float:
        """The sum over the nodes of all ranks. Collective.

        Args:
            weighted: Nodal values times weights, shape (nodes,).

        Returns:
            The sum.
        """
        return float(self.comm.allreduce(weighted[: self.owned].sum()))

    def _by_name(self, values: _Array) -> dict[str, float]:
        return dict(zip(self.names, map(float, values), strict=True))
