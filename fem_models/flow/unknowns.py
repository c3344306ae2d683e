"""Unknowns of Newton's method in which the equations of coupled fields are nearly symmetric.

A change δρ_s moves mass along edges like the gradient of w_s = (θ_s/ρ_s + ∂²e/∂ρ_s²) δρ_s. With w_s as
unknown the equation of a density is that of a nearly symmetric diffusion with constants in its kernel, as
multigrid needs it.

A static field ψ adds z_s δψ to the potentials, with z_s = ∂²e/∂ρ_s∂ψ. In steps longer than the time in which
charges relax, little but the sum y_s = w_s + z_s δψ is left of it. With y_s as unknown, densities and ψ are
coupled through their masses alone, and the equation of ψ is that of screening, with the operator
K + Σ_s m z_s²/(θ/ρ + ∂²e/∂ρ²). In shorter steps w_s is the better choice; what is used is
y_s = w_s + β z_s δψ with a share 0 ≤ β ≤ 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.flow.species import State
from fem_models.flow.vacuum import for_derivatives
from fem_models.linalg.exchange import sums

if TYPE_CHECKING:
    from fem_models.flow.gradient_flow import GradientFlow

_Array = npt.NDArray[np.float64]

# exp(-ψ/θ) is not followed below this exponent, nor ∂²e/∂ρ² below this share of its mean over the mass.
_LARGEST_EXPONENT = 30.0
_LEAST_STIFFNESS = 1e-4

# What keeps quotients by θ + ρ ∂²e/∂ρ² finite where it is zero.
_NOTHING = 1e-12


class Unknowns:
    """The change of unknowns of a flow. Collective to build and to call.

    Args:
        flow: The gradient flow.
    """

    def __init__(self, flow: GradientFlow) -> None:
        self._flow = flow
        self._conductances = np.zeros((flow.nodes, 1))
        self._diagonals = np.ones((flow.nodes, len(flow.names)))
        if flow.static.any():
            edges, index_map = flow.geometry, flow.space.dofmap.index_map
            self._conductances[:, 0] = sums(index_map, edges.pairs.T, np.abs(edges.kappa))
            self._diagonals = np.where(flow.static, flow.couplings.stiffness_diagonals(), 1.0)

    def __call__(self, state: State, tau: float, entropy: float = 0.0) -> _Array:
        """Matrices B at the nodes with δρ = B y.

        Args:
            state: Densities ρ, ghosts included.
            tau: Time step.
            entropy: Coefficient of an entropy added to the energy of all Wasserstein species.

        Returns:
            Shape (nodes, species, species).
        """
        flow = self._flow
        theta = np.where(flow.transported, flow.theta + entropy, 0.0)
        hessian = flow.hessian(for_derivatives(flow, state, flow.transported))
        own = np.einsum("nss->ns", hessian)
        change = np.zeros_like(hessian)
        species = np.arange(len(flow.names))
        change[:, species, species] = 1.0
        if flow.static.any():
            charges = hessian[:, :, flow.static]
            screening = np.where(flow.transported, state / np.maximum(theta + state * own, _NOTHING), 0.0)
            conductivity = np.einsum("nst,ns->nt", charges**2, state * flow.transported)
            rate = tau * conductivity * self._conductances / self._diagonals[:, flow.static]
            share = rate / (1.0 + rate)
            change[:, :, flow.static] -= share[:, None, :] * screening[:, :, None] * charges
        stiffness = self._where_mass_is(theta, state) + own
        for s in np.flatnonzero(flow.transported):
            change[:, s, s] = 1.0 / self._bounded(stiffness[:, s], state[:, s])
        change[~flow.inside] = np.eye(len(flow.names))
        return change

    def _where_mass_is(self, theta: _Array, state: State) -> _Array:
        """θ/ρ with the density C exp(-ψ/θ) that is in equilibrium with the potential, which has no vacuum."""
        flow = self._flow
        found = np.zeros(state.shape)
        potentials = flow.smooth_potentials(state)
        for s in np.flatnonzero(theta > 0.0):
            exponents = potentials[:, s] / theta[s]
            least = exponents[: flow.owned][flow.inside[: flow.owned]].min(initial=np.inf)
            exponents -= flow.comm.allreduce(float(least), op=MPI.MIN)
            shape = np.exp(-np.clip(exponents, 0.0, _LARGEST_EXPONENT))
            found[:, s] = theta[s] / shape * self._total(shape) / self._total(state[:, s])
        return found

    def _bounded(self, stiffness: _Array, density: _Array) -> _Array:
        """A second derivative kept away from zero, relative to its mean over the mass."""
        mean = self._total(np.abs(stiffness) * density) / self._total(density)
        return np.maximum(stiffness, _LEAST_STIFFNESS * mean if mean > 0.0 else 1.0)

    def _total(self, nodal: _Array) -> float:
        """Σ_i m_i of nodal values, shape (nodes,)."""
        owned = self._flow.owned
        return float(self._flow.comm.allreduce(self._flow.geometry.volumes[:owned] @ nodal[:owned]))
