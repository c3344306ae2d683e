"""Gradient flows: species, each a field with its metric, and one free energy.

    ∂tρ_s = div(ρ_s ∇ δE/δρ_s)   (Wasserstein)        ∂tc_s = -δE/δc_s   (L²)        0 = δE/δψ_s   (static)

(Matthes, on compound metrics for chemotaxis; Bruna, Burger and Carrillo, equation (4.1), which is the first
of these with E = ∫ρ log ρ + ½cρ² + Vρ.) A static field makes the energy stationary at every moment, as the
electrostatic potential does (Kinderlehrer, Monsaingeon and Xu, (1.2), Poisson's equation). A flow knows its
energy at nodal values on a mesh, E_h = Σ_i m_i e(ρ_i, x_i) with P1 Dirichlet energies and discrete
convolutions, and all that follows from it, but no time step. Everything is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import override

import numpy as np
import numpy.typing as npt
from dolfinx import fem, la
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.energies import Energy, Term
from fem_models.expressions import FunctionOfX
from fem_models.flow.checks import check_state
from fem_models.flow.neutrality import check_neutral
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.species import Species, State
from fem_models.flow.static_fields import StaticFields
from fem_models.meshes.marks import MarkedMesh
from fem_models.nodal import fluxes
from fem_models.nodal.couplings import Couplings
from fem_models.nodal.edges import EdgeGeometry, Lumping
from fem_models.nodal.values import nodal_means

__all__ = ["GradientFlow", "Species", "State"]

_Array = npt.NDArray[np.float64]


class GradientFlow(NodalFields):
    """The gradient flow of an energy on a mesh, discretised with P1 and lumped masses. Collective.

    Args:
        mesh: The mesh of simplices, with or without named parts.
        species: The fields.
        energy: A term or a sum of terms.
        cells: Local cells (ghosts included) of the part of the mesh where densities live; all by default.
            Elsewhere only the Dirichlet energies of other fields act.
        fixed: Given values of static fields: by name, nodes (ghosts included) and the value at each.

    Attributes:
        geometry: Edges, their coefficients, and the nodal volumes m_i.
        couplings: The parts of the energy that couple nodes.

    Raises:
        InputError: An argument of another kind, a mesh that is not one of simplices, two species with one
            name, a term of an unknown species, or a part of an energy that does not go with the metric of its
            species.
    """

    geometry: EdgeGeometry

    def __init__(
        self,
        mesh: MarkedMesh | Mesh,
        species: Species | Sequence[Species],
        energy: Energy | Term,
        cells: npt.NDArray[np.int32] | None = None,
        fixed: Mapping[str, tuple[npt.NDArray[np.int32], npt.ArrayLike]] | None = None,
    ) -> None:
        super().__init__(mesh, species, energy, cells)
        self.cells = cells
        self.fixed = {
            self.names.index(name): (nodes, np.broadcast_to(np.asarray(values, dtype=float), len(nodes)))
            for name, (nodes, values) in (fixed or {}).items()
        }
        self._discretise("voronoi")

    def _discretise(self, lumping: Lumping) -> None:
        self._use(fem.functionspace(self.mesh, ("Lagrange", 1)))
        self._lumping = lumping
        self.geometry = EdgeGeometry(self.space, self.cells, lumping)
        self.couplings = Couplings(self.space, self.names, tuple(self.terms), self.geometry.volumes)

    @override
    def _terms_at_nodes(self) -> tuple[Term, ...]:
        def mean(given: FunctionOfX, what: str) -> fem.Function:
            return nodal_means(given, self.space, what, self.cells)

        return tuple(term.with_nodal_means(mean) for term in self.terms)

    def with_lumping(self, lumping: Lumping) -> GradientFlow:
        """The same flow with nodal volumes of a kind, which make a difference in three dimensions.

        Schemes say which they need (`fem_models.nodal.mobilities.lumping_of` for minimising movements); all
        others take what a flow has. A state belongs to its flow: its masses are those of its nodal volumes.

        Args:
            lumping: "voronoi" for the volumes of Voronoi cells, if all are positive, as a flow has them by
                itself; "cells" for a share 1/(d+1) of every cell.

        Returns:
            This flow where its volumes are of that kind, otherwise a new one.
        """
        if lumping == self._lumping or (lumping == "cells" and not self.geometry.voronoi_volumes):
            return self
        found = GradientFlow.__new__(GradientFlow)
        NodalFields.__init__(found, self.mesh, self.species, self.terms, self.cells)
        found.cells, found.fixed = self.cells, self.fixed
        found._discretise(lumping)
        return found

    def settled(self, state: State) -> State:
        """The state with its static fields in equilibrium with the others. Collective.

        Args:
            state: Shape (nodes, species); its static fields are a first guess.

        Returns:
            A state of the same shape; the same one where no field is static.

        Raises:
            InputError: Charges that do not balance where a static field needs it.
            SolveError: The linear solver failed.
        """
        if not self.static.any():
            return state
        check_neutral(self, state)
        return StaticFields(self).settled(state)

    def vector(self) -> la.Vector:
        """A new vector in the layout of a state, to scatter values to ghosts and back. Collective."""
        return la.vector(self.space.dofmap.index_map, bs=len(self.names))

    # Energy and potentials

    def energy_terms(self, state: State) -> dict[str, float]:
        """The energy of each term. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The energies by the names of the terms.
        """
        values = self._local.densities(state)[: self.owned]
        local = self.geometry.volumes[: self.owned] @ values + self.couplings.energies(state)
        sums = self.comm.allreduce(local)
        return {term.name: float(value) for term, value in zip(self.terms, sums, strict=True)}

    def smooth_potentials(self, state: State) -> State:
        """The potentials ψ = δE/δρ - θ (log ρ + 1), without entropies and Dirichlet energies. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            Values at the nodes, shape (nodes, species).
        """
        psi = super().smooth_potentials(state)
        if self.couplings.interacts:
            psi += self.couplings.interactions(state)
        return psi

    def potentials(self, state: State) -> State:
        """The potentials δE/δρ = θ (log ρ + 1) + ψ at the nodes. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            Shape (nodes, species); -∞ in vacuum where θ > 0.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.where(self.theta > 0.0, self.theta * (np.log(state) + 1.0), 0.0)
        volumes = np.where(self.inside, self.geometry.volumes, math.inf)
        forces = self.couplings.stiffness_products(state)
        return self.smooth_potentials(state) + entropy + forces / volumes[:, None]

    def dissipation(self, state: State) -> float:
        """The dissipation D ≥ 0 of dE/dt = -D: Σ_s ∫ρ_s|∇μ_s|² (Wasserstein) + ∫μ_s² (L²). Collective.

        The sum of κ_ij F_ij (μ_i - μ_j) over edges with upwind fluxes: a step of the upwind backward Euler
        scheme lowers the energy by at least τ D at its end. Entropies are kept finite in vacuum; energies
        with m < 1 have infinite dissipation there.

        Args:
            state: Shape (nodes, species).

        Returns:
            D.
        """
        psi = self.smooth_potentials(state)
        edges = self.geometry
        local = fluxes.dissipation(self.theta, self.transported, edges.pairs, edges.kappa, state, psi)
        local = local if math.isfinite(local) else math.inf
        if self.relaxed.any():
            squares = (self.potentials(state)[: self.owned, self.relaxed] ** 2).sum(axis=1)
            local += float(edges.volumes[: self.owned] @ squares)
        return float(self.comm.allreduce(local))

    # Integrals

    def masses(self, state: State) -> dict[str, float]:
        """The mass Σ_i m_i ρ_i of each species. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The masses by name.
        """
        check_state(self, state)
        return self._by_name(self.comm.allreduce(self.geometry.volumes[: self.owned] @ state[: self.owned]))

    def second_moments(self, state: State) -> dict[str, float]:
        """The second moment Σ_i m_i |x_i|² ρ_i of each species about the origin. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The moments by name.
        """
        weights = self.geometry.volumes * (self.points**2).sum(axis=1)
        return self._by_name(self.comm.allreduce(weights[: self.owned] @ state[: self.owned]))

    # Static fields

    @cached_property
    def free_constants(self) -> npt.NDArray[np.bool_]:
        """The static fields that are determined up to a constant only, shape (species,). Collective."""
        count = len(self.names)
        curvature = self.hessian(np.ones((self.nodes, count)))[:, np.arange(count), np.arange(count)]
        curved = self.reduce(np.abs(curvature).max(axis=0, initial=0.0), MPI.MAX) > 0.0
        given = [
            self.comm.allreduce(len(self.fixed[s][0]) if s in self.fixed else 0) > 0 for s in range(count)
        ]
        return self.static & ~curved & ~np.array(given)

    def charges(self, state: State) -> _Array:
        """Σ_i m_i ∂e/∂ψ(ρ_i) for each static field ψ, and Σ_i m_i |∂e/∂ψ(ρ_i)|. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            Shape (2, species).
        """
        densities = self.smooth_potentials(state)[: self.owned] * self.static
        volumes = self.geometry.volumes[: self.owned]
        return self.comm.allreduce(np.array([volumes @ densities, volumes @ np.abs(densities)]))
