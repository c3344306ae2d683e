"""The equations of L² and static fields in an implicit step; densities are in the same energy.

    m_i (c_i - h_i) + τ m_i μ_i = 0   (L²)        -m_i μ_i = 0   (static)

with m_i μ_i = ∂E_h/∂c_i; the first is in units of mass, the second of charge. A static field that is
determined up to a constant is zero at one node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fem_models.flow.species import State

if TYPE_CHECKING:
    from fem_models.flow.gradient_flow import GradientFlow

_Array = npt.NDArray[np.float64]


class FieldRows:
    """Parts of the residual and of the Jacobian in the rows of L² and static fields. Collective to build.

    Args:
        flow: The gradient flow.
    """

    def __init__(self, flow: GradientFlow) -> None:
        self._flow = flow
        self._volumes = flow.geometry.volumes[:, None]
        self._diagonals = np.zeros((flow.nodes, len(flow.names)))
        self._anchors = np.zeros_like(self._diagonals)
        held = np.zeros(self._diagonals.shape, dtype=bool)
        values = np.zeros_like(self._diagonals)
        if flow.static.any():
            self._diagonals = flow.couplings.stiffness_diagonals()
        for column, (nodes, given) in flow.fixed.items():
            held[nodes, column] = True
            values[nodes, column] = given
        if flow.free_constants.any():
            first = flow.space.dofmap.index_map.local_range[0]
            if first == 0 and flow.owned > 0:
                self._anchors[0] = self._diagonals[0] * flow.free_constants
        held[flow.owned :] = False
        self._held: tuple[npt.NDArray[Any], ...] = np.nonzero(held)
        self._given = (self._diagonals * values)[self._held]

    def time_factors(self, tau: float) -> _Array:
        """The factor of m μ in the equation of each field, shape (species,); 0 for densities.

        Args:
            tau: Time step.

        Returns:
            Shape (species,).
        """
        return np.where(self._flow.relaxed, tau, np.where(self._flow.static, -1.0, 0.0))

    def add_forces(self, state: State, psi: State, tau: float, out: _Array) -> None:
        """Add the forces to a residual, and hold what is given. Collective.

        Args:
            state: Nodal values.
            psi: The potentials without entropies and Dirichlet energies.
            tau: Time step.
            out: The residual at the nodes of this rank or at all of them, shape (at least owned nodes,
                species).
        """
        flow = self._flow
        if flow.transported.all():
            return
        owned = slice(0, flow.owned)
        forces = self._volumes * psi + flow.couplings.stiffness_products(state)
        out[owned] += (self.time_factors(tau) * forces)[owned]
        out[owned] += self._anchors[owned] * state[owned]
        out[self._held] = (self._diagonals * state)[self._held] - self._given

    def add_slopes(self, hessian: _Array, tau: float, diagonal: _Array) -> None:
        """Add the derivatives of the forces at a node by the fields there.

        Args:
            hessian: ∂ψ_s/∂ρ_t at the nodes, shape (nodes, species, species).
            tau: Time step.
            diagonal: Shape (nodes, species, species).
        """
        flow = self._flow
        owned = slice(0, flow.owned)
        species = np.arange(len(flow.names))
        diagonal[owned, species, species] += self._anchors[owned]
        if not flow.transported.all():
            factors = self.time_factors(tau)[:, None]
            diagonal[owned] += factors * self._volumes[owned, :, None] * hessian[owned]
            rows, columns = self._held
            diagonal[rows, columns] = 0.0
            diagonal[rows, columns, columns] = self._diagonals[self._held]

    def stiff_entries(
        self, number: Callable[[npt.NDArray[np.int32], int], npt.NDArray[Any]], side: int
    ) -> list[npt.NDArray]:
        """Rows (side 0) or columns (side 1) of the stiffnesses' entries: ii, jj, ij and ji of each edge.

        Args:
            number: Gives the numbers of unknowns from local nodes and the column of a field.
            side: 0 or 1.

        Returns:
            The numbers of the four kinds of entries of each stiffness, one kind after the other.
        """
        found = []
        for _, s, stiffness in self._flow.couplings.stiffnesses:
            i, j = (number(stiffness.pairs[:, end], s) for end in (0, 1))
            found += [i, j, *((i, j) if side == 0 else (j, i))]
        return found

    def stiff_values(self, tau: float) -> list[_Array]:
        """The entries of `stiff_entries`, but for those in rows whose field is given.

        Args:
            tau: Time step.

        Returns:
            The values in the same order.
        """
        factors = self.time_factors(tau)
        found = []
        for _, s, stiffness in self._flow.couplings.stiffnesses:
            free = np.ones(self._flow.nodes, dtype=bool)
            if s in self._flow.fixed:
                free[self._flow.fixed[s][0]] = False
            of_i, of_j = (factors[s] * stiffness.k * free[stiffness.pairs[:, end]] for end in (0, 1))
            found += [of_i, of_j, -of_i, -of_j]
        return found
