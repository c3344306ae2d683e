"""Whether a steady state is a minimum: the least curvature of the energy there.

For one density with interactions, δ²E(η, η) = ∫(θ/ρ + e'')η² + ∫∫K(x - y)η(x)η(y) over η with ∫η = 0 in the
support. Relative to its first, local part it is 1 + λ with λ of a compact operator, whose least value SLEPc
finds in a few products. Where it is negative the state is stationary and no minimum.
"""

from __future__ import annotations

import numpy as np
from petsc4py import PETSc

from fem_models.core.errors import InputError
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.linalg.callbacks import product_matrix, weak
from fem_models.linalg.eigenvalues import slepc_module

# The share of the largest density from which a node is in the support.
_SUPPORT = 1e-9
_TOLERANCE = 1e-4


def least_curvature(flow: GradientFlow, state: State) -> float | None:
    """The least quotient of δ²E and of its local part, at a steady state of one density. Collective.

    Args:
        flow: The gradient flow, with interactions.
        state: The steady state, shape (nodes, 1).

    Returns:
        The quotient, at most 1; None where it is not found: without SLEPc, or where the local part is not
        positive, as for energies that are not convex without interactions.
    """
    try:
        slepc = slepc_module()
    except InputError:
        return None
    second = _SecondVariation(flow, state)
    if flow.comm.allreduce(int((second.root > 0.0).sum())) < 3:
        return None
    size = (flow.owned, flow.space.dofmap.index_map.size_global)
    operator = product_matrix((size, size), weak(second.multiply), flow.comm)
    masses = operator.createVecRight()
    masses.array_w[:] = second.root
    solver = slepc.EPS().create(flow.comm)
    solver.setOperators(operator)
    solver.setProblemType(slepc.EPS.ProblemType.HEP)
    solver.setWhichEigenpairs(slepc.EPS.Which.SMALLEST_REAL)
    # Changes without mass.
    solver.setDeflationSpace(masses)
    solver.setDimensions(1)
    solver.setTolerances(_TOLERANCE)
    solver.solve()
    found = float(solver.getEigenvalue(0).real) if solver.getConverged() > 0 else None
    solver.destroy()
    return found


class _SecondVariation:
    """δ²E = yᵀ(1 + C)y with y = √(m h) η, where h is the local part and m the nodal volumes.

    Attributes:
        root: √(m/h) at the nodes of this rank, zero outside of the support; Σ m η = Σ root y.
    """

    def __init__(self, flow: GradientFlow, state: State) -> None:
        self._flow, owned = flow, slice(0, flow.owned)
        rho, self._volumes = state[owned, 0], flow.geometry.volumes[owned]
        with np.errstate(divide="ignore"):
            local = flow.hessian(state)[owned, 0, 0] + (flow.theta[0] / rho if flow.theta[0] else 0.0)
        support = (rho > _SUPPORT * float(flow.scale(state)[0])) & np.isfinite(local) & (local > 0.0)
        self.root = np.sqrt(np.where(support, self._volumes / np.where(support, local, 1.0), 0.0))

    def multiply(self, _: PETSc.Mat, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """(1 + C)x."""
        flow = self._flow
        change = flow.vector()
        share = np.where(self._volumes > 0.0, self._volumes, 1.0)
        change.array[: flow.owned] = self.root * x.array_r / share
        change.scatter_forward()
        moved = flow.couplings.interactions(change.array.reshape(flow.nodes, 1))
        y.array_w[:] = x.array_r + self.root * moved[: flow.owned, 0]
