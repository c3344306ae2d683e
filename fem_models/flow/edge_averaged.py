"""The edge-averaged P1 discretisation of an implicit step: residual and Jacobian.

One resolvent of a gradient flow in finite volumes on edges (control-volume finite elements, Cancès and
Guichard, Found. Comput. Math. 2017): for given h find nodal densities ρ with

    m_i (ρ_i - h_i) + τ Σ_j κ_ij ρ_ij (μ_i - μ_j) = 0   (Wasserstein)
    m_i (c_i - h_i) + τ m_i μ_i = 0                     (L²)
    -m_i μ_i = 0                                        (static)

with m_i μ_i = ∂E_h/∂ρ_i. The first two are in units of mass, the last of charge. Sums over i show that mass
is exact for any flux. A static field that is determined up to a constant is zero at one node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc

from fem_models.core.errors import InputError
from fem_models.flow.density_steps import DensitySteps, StepLimits
from fem_models.flow.field_rows import FieldRows
from fem_models.flow.flow_equations import FlowEquations
from fem_models.flow.species import State
from fem_models.flow.unknowns import Unknowns
from fem_models.linalg.coordinates import block_coordinates, coordinate_matrix, global_numbers
from fem_models.linalg.exchange import Exchange
from fem_models.nodal.fluxes import (
    FLUXES,
    add_drift_changes,
    add_flux_derivatives,
    add_fluxes,
)

if TYPE_CHECKING:
    from fem_models.flow.gradient_flow import GradientFlow

Flux = Literal["upwind", "average"]


class EdgeAveraged(FlowEquations["GradientFlow"]):
    """Residual and Jacobian of the implicit step of a flow. Collective.

    Args:
        flow: The gradient flow.
        flux: "upwind" or "average", see `fem_models.nodal.fluxes`.

    Attributes:
        singular: Species whose potential is infinite in vacuum (fast diffusion), where densities stay
            positive.
        interactions: `interaction_change`, where the energy has interactions; else None.
        unknowns: Other unknowns than densities, in which the equations are nearly symmetric.

    Raises:
        InputError: An unknown flux.
    """

    def __init__(self, flow: GradientFlow, flux: Flux) -> None:
        if flux not in FLUXES:
            raise InputError(f"The flux must be one of {', '.join(FLUXES)}, not {flux!r}.")
        super().__init__(flow)
        self._flux = FLUXES[flux]
        self.unknowns = Unknowns(flow)
        self.interactions = self.interaction_change if flow.couplings.interacts else None
        count = len(flow.names)
        self._sums = Exchange(flow.space.dofmap.index_map, count)
        self._diagonal = np.empty((flow.nodes, count, count))
        self._off_diagonal = np.empty((len(flow.geometry.kappa), 2, count, count))
        # Where no densities live, their equation is ρ = 0.
        volumes = flow.geometry.volumes
        self._weights = np.where(flow.inside, volumes, flow.volume)[:, None] * ~flow.static
        self._volumes = volumes[:, None]
        self.conserved = (self._volumes * (flow.transported & flow.inside[:, None]))[: flow.owned]
        self._fields = FieldRows(flow)
        self._steps = DensitySteps(flow)
        self.singular, self.stiff = self._steps.singular, bool(self._steps.stiff.any())
        self._state = self._psi = np.full((flow.nodes, count), np.nan)
        self._kernel = (flow.transported, flow.geometry.pairs, flow.geometry.kappa)

    def residual(
        self, state: State, anchor: State, tau: float, entropy: float = 0.0
    ) -> npt.NDArray[np.float64]:
        """The residual at the nodes of this rank, shape (owned nodes, species); a view that is reused.

        Args:
            state: Densities ρ.
            anchor: The densities h.
            tau: Time step.
            entropy: Coefficient of an entropy added to the energy of all Wasserstein species.

        Returns:
            Shape (owned nodes, species).
        """
        flow = self.flow
        psi = self._potentials(state)
        out = self._sums.cleared()
        add_fluxes(self._flux, self.flow.theta + entropy, *self._kernel, state, psi, tau, out)
        self._sums.summed()
        owned = slice(0, flow.owned)
        out[owned] += self._weights[owned] * (state[owned] - anchor[owned])
        self._fields.add_forces(state, psi, tau, out)
        return out[owned]

    def new_matrix(self) -> PETSc.Mat:
        """A matrix with the pattern of the Jacobian."""
        flow = self.flow
        count = len(flow.names)
        index_map = flow.space.dofmap.index_map
        nodes = global_numbers(index_map)
        unknowns = nodes[:, None] * count + np.arange(count, dtype=PETSc.IntType)
        i, j = unknowns[flow.geometry.pairs.T]
        own, forth, back = (block_coordinates(*pair) for pair in ((unknowns, unknowns), (i, j), (j, i)))
        rows, columns = (
            np.concatenate(
                [
                    own[k].ravel(),
                    np.stack([forth[k], back[k]], axis=1).ravel(),
                    *self._fields.stiff_entries(lambda node, s: nodes[node] * count + s, k),
                ]
            )
            for k in (0, 1)
        )
        self._values = np.empty(len(rows))
        return coordinate_matrix(flow.comm, index_map, index_map, rows, columns, count)

    def jacobian(
        self,
        state: State,
        tau: float,
        matrix: PETSc.Mat,
        entropy: float = 0.0,
        change: npt.NDArray[np.float64] | None = None,
    ) -> EdgeLinearisation:
        """Assemble the derivative of the residual with respect to the densities.

        Args:
            state: Densities ρ.
            tau: Time step.
            matrix: From `new_matrix`.
            entropy: As for the residual.
            change: Matrices B at the nodes, ghosts included, shape (nodes, species, species): the derivative
                is that by unknowns y with δρ = B y. Rows of L² and static fields are those of the identity.

        Returns:
            What Newton's method needs to know at this state, until the next call.
        """
        flow = self.flow
        psi = self._potentials(state)
        limits = self._steps.at(state)
        hessian = flow.hessian(limits.raised)
        diagonal = self._diagonal
        diagonal[:] = 0.0
        add_flux_derivatives(
            self._flux,
            self.flow.theta + entropy,
            *self._kernel,
            state,
            psi,
            hessian,
            tau,
            diagonal,
            self._off_diagonal,
        )
        owned = slice(0, flow.owned)
        species = np.arange(len(flow.names))
        diagonal[owned, species, species] += self._weights[owned]
        drift = self._drift(state, psi, tau) if self.stiff else None
        self._fields.add_slopes(hessian, tau, diagonal)
        others = self._off_diagonal
        if change is not None:
            diagonal = diagonal @ change
            others = others @ change[flow.geometry.pairs[:, ::-1]]
        np.concatenate([diagonal.ravel(), others.ravel(), *self._fields.stiff_values(tau)], out=self._values)
        matrix.setValuesCOO(self._values, PETSc.InsertMode.INSERT_VALUES)
        return EdgeLinearisation(self._diagonal[owned], self._weights[owned], limits, self.singular, drift)

    def _drift(self, state: State, psi: State, tau: float) -> npt.NDArray[np.float64]:
        """The derivative at a node of mass and of the fluxes, with their potentials ψ held fixed."""
        flow = self.flow
        diagonal, others = np.zeros_like(self._diagonal), np.empty_like(self._off_diagonal)
        none = np.zeros_like(self._diagonal)
        fixed = (self._flux, np.zeros_like(flow.theta), *self._kernel, state, psi, none)
        add_flux_derivatives(*fixed, tau, diagonal, others)
        return (np.einsum("nss->ns", diagonal) + self._weights)[: flow.owned]

    def interaction_change(self, state: State, change: State, tau: float, entropy: float = 0.0) -> State:
        """What interactions add to the product of the Jacobian with a change, which `jacobian` leaves out.

        Args:
            state: Densities ρ.
            change: Of the state, shape (nodes, species), with its ghosts.
            tau: Time step.
            entropy: As for the residual.

        Returns:
            Shape (owned nodes, species); a view that is reused.
        """
        flow = self.flow
        psi = self._potentials(state)
        moved = flow.couplings.interactions(change)
        out = self._sums.cleared()
        add_drift_changes(self._flux, flow.theta + entropy, *self._kernel, state, psi, moved, tau, out)
        self._sums.summed()
        owned = slice(0, flow.owned)
        out[owned] += (self._fields.time_factors(tau) * self._volumes * moved)[owned]
        return out[owned]

    def _potentials(self, state: State) -> State:
        """The potentials ψ; Newton's method asks for them twice at each of its iterates."""
        # What users may have changed since is read anew.
        known = not self.flow.has_data and np.array_equal(state, self._state)
        # Potentials of interactions are collective, and all ranks must decide alike.
        if self.flow.couplings.interacts:
            known = self.flow.comm.allreduce(known, op=MPI.LAND)
        if not known:
            self._state = state.copy()
            self._psi = self.flow.smooth_potentials(state)
        return self._psi


@dataclass(frozen=True)
class EdgeLinearisation:
    """The edge-averaged equations at the state where their derivative was taken.

    Attributes:
        diagonal: Derivatives at a node by its own fields, shape (owned nodes, species, species).
        weights: The derivative of the mass at a node, shape (owned nodes, species).
        limits: The limits of steps from there.
        singular: The species whose logarithm is the unknown, shape (species,).
        drift: For large exponents, the diagonal with the potentials that drive the fluxes held fixed, shape
            (owned nodes, species).
    """

    diagonal: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    limits: StepLimits
    singular: npt.NDArray[np.bool_]
    drift: npt.NDArray[np.float64] | None = None

    def terms(self, change: State) -> State:
        """Size of the terms that a change makes in each entry of the residual, before they cancel.

        Args:
            change: Of the densities, shape (owned nodes, species).

        Returns:
            Shape (owned nodes, species).
        """
        return np.einsum("nst,nt->ns", np.abs(self.diagonal), np.abs(change))

    def limited(self, densities: State, step: State) -> State:
        """Newton's step ρ → ρ - step, kept to what a density can do. Collective.

        Args:
            densities: At the nodes of this rank, shape (owned nodes, species).
            step: Of the same shape.

        Returns:
            The step that is taken, of the same shape.
        """
        diffusion = None
        if self.drift is not None:
            own = np.einsum("nss->ns", self.diagonal)
            with np.errstate(divide="ignore", invalid="ignore"):
                diffusion = np.where(self.drift > 0.0, own / self.drift - 1.0, 0.0)
        return self.limits.limited(densities, step, self.singular, diffusion)
