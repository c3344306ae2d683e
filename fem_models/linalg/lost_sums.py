"""What factors forget in very long steps: the sums that the equations keep.

The Jacobian of mass and diffusion is M + τK, and the fluxes of K cancel in sums over all nodes. Where τK is
larger than M by the inverse of the rounding unit, nothing of M is left in the factors, and the share of the
kernel of K in a solution, its mass, is anything. The sums say what it has to be.
"""

from __future__ import annotations

import numpy as np
from petsc4py import PETSc

from fem_models.linalg.step_equations import State, StepEquations

# A change whose sums miss by more than this share of the change has lost them.
_LOST = 1e-6


def with_sums(ksp: PETSc.KSP, equations: StepEquations, state: State, anchor: State, step: State) -> State:
    """Newton's step u → u - step with the sums that the equations keep. Collective.

    What is missing is made up by J⁻¹(wu), which in such steps is in the kernel of K.

    Args:
        ksp: Solves with the factors of the Jacobian.
        equations: The equations, with `conserved`.
        state: u at the nodes of this rank, shape (owned nodes, fields).
        anchor: h, shape (nodes, fields).
        step: A solution of the linear system, shape (owned nodes, fields).

    Returns:
        The step, the same where nothing is lost.
    """
    w = equations.conserved
    assert w is not None
    comm = equations.mesh.comm
    wanted, found, size, mass = comm.allreduce(
        np.stack(
            [(w * part).sum(axis=0) for part in (state - anchor[: len(state)], step, np.abs(step), state)]
        )
    )
    missing = wanted - found
    lost = np.flatnonzero(np.abs(missing) > _LOST * (size + np.abs(wanted)))
    if not len(lost) or not np.isfinite(missing).all():
        return step
    right, solution = ksp.getOperators()[0].createVecs()
    modes = []
    for s in lost:
        values = np.zeros_like(state)
        values[:, s] = w[:, s] * state[:, s] / mass[s]
        right.array_w[:] = values.ravel()
        ksp.solve(right, solution)
        modes.append(solution.array_r.reshape(state.shape).copy())
    sums = comm.allreduce(np.stack([(w * mode).sum(axis=0)[lost] for mode in modes], axis=1))
    if not np.isfinite(sums).all() or np.linalg.matrix_rank(sums) < len(lost):
        return step
    shares = np.linalg.solve(sums, missing[lost])
    return step + np.einsum("m,mns->ns", shares, np.stack(modes))
