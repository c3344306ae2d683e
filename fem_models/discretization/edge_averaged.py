"""The edge-averaged P1 discretisation of an implicit step: residual and Jacobian.

One resolvent of a gradient flow in finite volumes on edges (control-volume finite elements, Cancès and
Guichard, Found. Comput. Math. 2017): for given h find nodal densities ρ with

    m_i (ρ_i - h_i) + τ Σ_j κ_ij ρ_ij (μ_i - μ_j) = 0   (Wasserstein)
    m_i (ρ_i - h_i) + τ m_i μ_i = 0                     (L²)

Both are in units of mass. Sums over i show that mass is exact for any flux.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from dolfinx import la
from petsc4py import PETSc

from fem_models.discretization.fluxes import FLUXES, add_flux_derivatives, add_fluxes
from fem_models.errors import InputError
from fem_models.gradient_flow import GradientFlow, State

Flux = Literal["upwind", "average"]

# ∂ψ/∂ρ is infinite in vacuum for m < 2. There, the Jacobian uses its value at this share of the largest
# density, which makes Newton's step a secant across the front.
_FLOOR = 1e-4


class EdgeAveraged:
    """Residual and Jacobian of the implicit step of a flow. Collective.

    Args:
        flow: The gradient flow.
        flux: "upwind" or "average", see `fem_models.discretization.fluxes`.

    Attributes:
        singular: Species whose potential is infinite in vacuum (fast diffusion), where densities stay
            positive.

    Raises:
        InputError: An unknown flux.
    """

    def __init__(self, flow: GradientFlow, flux: Flux) -> None:
        if flux not in FLUXES:
            raise InputError(f"The flux must be one of {', '.join(FLUXES)}, not {flux!r}.")
        self.flow = flow
        self._flux = FLUXES[flux]
        self._still = ~flow.transported
        self._sums = flow.vector()
        count = len(flow.names)
        self._diagonal = np.empty((flow.nodes, count, count))
        self._off_diagonal = np.empty((len(flow.geometry.kappa), 2, count, count))
        self._weights = flow.geometry.volumes[:, None]
        self.singular = self._singular_species()
        self._lifts = flow.transported & ~self.singular
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
        """
        flow = self.flow
        psi = flow.smooth_potentials(state)
        out = self._sums.array.reshape(state.shape)
        out[:] = 0.0
        add_fluxes(self._flux, self.flow.theta + entropy, *self._kernel, state, psi, tau, out)
        self._sums.scatter_reverse(la.InsertMode.add)
        owned = slice(0, flow.owned)
        out[owned] += self._weights[owned] * (state[owned] - anchor[owned])
        if self._still.any():
            out[owned, self._still] += tau * self._weights[owned] * psi[owned][:, self._still]
        return out[owned]

    def new_matrix(self) -> PETSc.Mat:
        """A matrix with the pattern of the Jacobian."""
        flow = self.flow
        count = len(flow.names)
        index_map = flow.space.dofmap.index_map
        local = np.arange(flow.nodes, dtype=np.int32)
        nodes = index_map.local_to_global(local).astype(PETSc.IntType)
        i, j = nodes[flow.geometry.pairs.T]
        offsets = np.arange(count, dtype=PETSc.IntType)

        def blocks(row: npt.NDArray, column: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
            shape = (len(row), count, count)
            rows = row[:, None, None] * count + offsets[:, None]
            columns = column[:, None, None] * count + offsets
            return np.broadcast_to(rows, shape), np.broadcast_to(columns, shape)

        own, forth, back = blocks(nodes, nodes), blocks(i, j), blocks(j, i)
        rows, columns = (
            np.concatenate([own[k].ravel(), np.stack([forth[k], back[k]], axis=1).ravel()]) for k in (0, 1)
        )
        matrix = PETSc.Mat().create(flow.comm)
        sizes = (flow.owned * count, index_map.size_global * count)
        matrix.setSizes((sizes, sizes), bsize=count)
        matrix.setType(PETSc.Mat.Type.AIJ)
        matrix.setPreallocationCOO(rows, columns)
        self._values = np.empty(len(rows))
        return matrix

    def jacobian(self, state: State, tau: float, matrix: PETSc.Mat, entropy: float = 0.0) -> None:
        """Assemble the derivative of the residual with respect to the densities.

        Args:
            state: Densities ρ.
            tau: Time step.
            matrix: From `new_matrix`.
            entropy: As for the residual.
        """
        flow = self.flow
        psi = flow.smooth_potentials(state)
        hessian = flow.hessian(self._lifted(state))
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
        if self._still.any():
            diagonal[owned, self._still] += tau * self._weights[owned, :, None] * hessian[owned, self._still]
        self._values[: diagonal.size] = diagonal.ravel()
        self._values[diagonal.size :] = self._off_diagonal.ravel()
        matrix.setValuesCOO(self._values, PETSc.InsertMode.INSERT_VALUES)

    def round_off(self, state: State) -> npt.NDArray[np.float64]:
        """Size of the terms that cancel in each entry of the residual, after a call of `jacobian`."""
        owned = slice(0, self.flow.owned)
        return np.abs(np.einsum("nss,ns->ns", self._diagonal[owned], state[owned]))

    def _lifted(self, state: State) -> State:
        """Densities at which ∂ψ/∂ρ is finite."""
        return np.where(self._lifts, np.maximum(state, _FLOOR * self.flow.scale(state)), state)

    def _singular_species(self) -> npt.NDArray[np.bool_]:
        """Which Wasserstein species have a potential ψ that is infinite or undefined in vacuum."""
        flow = self.flow
        vacuum = np.where(flow.transported, 0.0, 1.0) * np.ones((flow.nodes, 1))
        finite = np.isfinite(flow.smooth_potentials(vacuum)[: flow.owned]).all(axis=0)
        somewhere = np.array([flow.comm.allreduce(int(not f)) > 0 for f in finite])
        return flow.transported & somewhere
