"""Static fields for given densities: the linear problems that make the energy stationary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from petsc4py import PETSc

from fem_models.core.errors import SolveError
from fem_models.flow.edge_averaged import EdgeAveraged
from fem_models.flow.species import State
from fem_models.linalg.krylov import KrylovSolver
from fem_models.linalg.options import Option

if TYPE_CHECKING:
    from fem_models.flow.gradient_flow import GradientFlow

_OPTIONS: dict[str, Option] = {"ksp_type": "bcgs", "ksp_rtol": 1e-12, "ksp_max_it": 500, "pc_type": "gamg"}


class StaticFields:
    """Solves δE/δψ = 0 for the static fields of a flow. Collective; build it once.

    The energy must be quadratic in them, as that of the electrostatic potential is (Kinderlehrer, Monsaingeon
    and Xu, (1.2)).

    Args:
        flow: The gradient flow.
    """

    def __init__(self, flow: GradientFlow) -> None:
        self._flow = flow
        self._solver: KrylovSolver | None = None
        if not flow.static.any():
            return
        self._equations = EdgeAveraged(flow, "upwind")
        self._rows = (
            np.arange(flow.owned)[:, None] * len(flow.names) + np.flatnonzero(flow.static)
        ).ravel() + flow.space.dofmap.index_map.local_range[0] * len(flow.names)
        self._index = PETSc.IS().createGeneral(self._rows.astype(PETSc.IntType), comm=flow.comm)
        self._matrix = self._equations.new_matrix()

    def settled(self, state: State) -> State:
        """The state with its static fields in equilibrium with the others.

        Args:
            state: Shape (nodes, species); its static fields are a first guess.

        Returns:
            A state of the same shape; the same one where no field is static.

        Raises:
            SolveError: The linear solver failed.
        """
        flow = self._flow
        if not flow.static.any():
            return state
        residual = self._equations.residual(state, state, 1.0)[:, flow.static].ravel()
        solver = self._set_up(state) if self._solver is None else self._solver
        right = solver.ksp.getOperators()[0].createVecLeft()
        change = right.duplicate()
        right.array_w[:] = residual
        solver.solve(right, change)
        if solver.failed:
            raise SolveError("The static fields could not be computed: their linear problem has no solution.")
        full = flow.vector()
        values = full.array.reshape(state.shape)
        values[: flow.owned] = state[: flow.owned]
        values[: flow.owned, flow.static] -= change.array_r.reshape(flow.owned, -1)
        full.scatter_forward()
        return flow.gauged(values.copy())

    def _set_up(self, state: State) -> KrylovSolver:
        self._equations.jacobian(state, 1.0, self._matrix)
        block = self._matrix.createSubMatrix(self._index, self._index)
        self._matrix.destroy()
        self._solver = KrylovSolver(self._flow.comm, "static_", _OPTIONS, operator=block)
        return self._solver
