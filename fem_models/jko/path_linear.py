"""The linear systems of Newton's method for paths of least action: a Krylov method or a factorisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc

from fem_models.jko.paths import PathEquations
from fem_models.linalg import mumps
from fem_models.linalg.callbacks import product_matrix, weak
from fem_models.linalg.garbage import collect
from fem_models.linalg.krylov import KrylovSolver, factorises
from fem_models.linalg.newton import NewtonSettings
from fem_models.linalg.options import SMALLEST_PIVOT, Option

# So many systems after one that the Krylov method did not solve are factorised at once, if not too large.
_RESPITE = 10

# With the densities of a node before its potentials, incomplete factors see the mass matrices on the
# diagonal: they are good as long as a slab moves mass by a few cells.
_KRYLOV: dict[str, Option] = {
    "ksp_type": "gmres",
    "ksp_gmres_restart": 60,
    "ksp_pc_side": "right",
    "ksp_rtol": 1e-8,
    "ksp_max_it": 120,
    "pc_type": "bjacobi",
    "sub_pc_type": "ilu",
    "sub_pc_factor_zeropivot": SMALLEST_PIVOT,
}

# Factors that reach one layer into the neighbours' nodes save the iterations that cuts between ranks cost.
_ON_MANY_RANKS: dict[str, Option] = {"pc_type": "asm", "pc_asm_overlap": 1}


class PathLinearSolver:
    """Solves systems with the Jacobian of `PathEquations`. Collective; build it once.

    Args:
        equations: The equations.
        settings: "direct", "krylov" or "auto", and PETSc options.
        multiply_more: With interactions, what they add to a product: takes a change, ghosts included, and
            gives a residual, shapes (nodes, size) and (owned nodes, size).

    Attributes:
        matrix: To assemble the Jacobian in.
        iterations: Of the Krylov method, in all.
        notes: Sentences about systems that needed a factorisation after all.
    """

    def __init__(
        self,
        equations: PathEquations,
        settings: NewtonSettings,
        multiply_more: Callable[[npt.NDArray], npt.NDArray] | None,
    ) -> None:
        collect(equations.space.mesh)
        self._equations = equations
        self.matrix = equations.new_matrix()
        self._right, self._solution = self.matrix.createVecs()
        self._given = settings.petsc
        self._multiply_more = multiply_more
        self._operator = self.matrix
        if multiply_more is not None:
            self._operator = product_matrix(self.matrix.getSizes(), weak(self._multiply), equations.comm)
        self._solvers: dict[bool, KrylovSolver] = {}
        # Along a barrier MUMPS puts off many pivots.
        self._memory = mumps.MumpsMemory()
        self._respite = 0
        self._choice = settings.linear
        self.iterations = 0
        self.notes: list[str] = []
        # What PETSc refuses is found now rather than in a step.
        self._configured(self._direct(False)).destroy()

    def _direct(self, hard: bool) -> bool:
        """Whether systems of this kind are factorised from the start."""
        equations = self._equations
        hard = hard or equations.slabs > 1 or self._respite > 0
        self._respite = max(self._respite - 1, 0)
        dimension = equations.space.mesh.topology.dim
        return factorises("hard path" if hard else "path", self._right.size, dimension, self._choice)

    def _multiply(self, _: PETSc.Mat, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """The product with the Jacobian, interactions included."""
        assert self._multiply_more is not None
        equations = self._equations
        self.matrix.mult(x, y)
        change = equations.with_ghosts(x.array_r.reshape(equations.owned, equations.size))
        y.array_w[:] += self._multiply_more(change).ravel()

    def _configured(self, direct: bool) -> KrylovSolver:
        """A new factorisation or Krylov method, not set up. Collective."""
        factors = mumps.LU | self._memory.options
        if self._multiply_more is not None:
            # The factors are those of the Jacobian without interactions, which come by products alone.
            factors |= {"ksp_type": "gmres", "ksp_rtol": 1e-8}
        krylov = _KRYLOV | (_ON_MANY_RANKS if self._equations.comm.size > 1 else {})
        defaults, comm = factors if direct else krylov, self._equations.comm
        return KrylovSolver(comm, "", defaults, self._given, self._operator, self.matrix)

    def _solver(self, direct: bool) -> KrylovSolver:
        """The factorisation or the Krylov method, made when it is first needed. Collective."""
        if direct not in self._solvers:
            self._solvers[direct] = self._configured(direct)
        return self._solvers[direct]

    def refresh(self) -> None:
        """Take note of a new matrix."""
        for solver in self._solvers.values():
            solver.set_operators(self._operator, self.matrix)

    def solve(self, right: npt.NDArray[np.float64], hard: bool = False) -> npt.NDArray[np.float64] | None:
        """The solution at the nodes of this rank, shape (owned nodes, size); None if there is none.

        Where the Krylov method fails the system is factorised, and `notes` says so.

        Args:
            right: The right-hand side, shape (owned nodes, size).
            hard: Whether a barrier makes the system ill-conditioned.

        Returns:
            The solution, shape (owned nodes, size), or None.
        """
        self._right.array_w[:] = right.ravel()
        direct = self._direct(hard)
        found = self._solved_by(self._solver(direct))
        if found is None and not direct:
            self._note()
            self._respite = _RESPITE
            found = self._solved_by(self._solver(True))
        while found is None and self._memory.more():
            self._solvers.pop(True).destroy()
            found = self._solved_by(self._solver(True))
        return None if found is None else found.reshape(right.shape)

    def _solved_by(self, solver: KrylovSolver) -> npt.NDArray[np.float64] | None:
        solver.solve(self._right, self._solution)
        self.iterations += solver.iterations
        found = self._solution.array_r
        good = solver.converged and bool(np.isfinite(found).all())
        if self._equations.comm.allreduce(good, op=MPI.LAND):
            return found.copy()
        # What is left of a factorisation that failed would make the next one fail.
        solver.reset()
        solver.set_operators(self._operator, self.matrix)
        return None

    def _note(self) -> None:
        if not self.notes:
            self.notes.append(
                "The Krylov method did not solve a linear system of a minimising movement; it was factorised "
                "by MUMPS, as will be others where that happens. Smaller steps or direct solvers avoid it."
            )
