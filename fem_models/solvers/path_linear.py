"""The linear systems of Newton's method for paths of least action: a Krylov method or a factorisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc

from fem_models.discretization.paths import PathEquations
from fem_models.solvers.newton import NewtonSettings
from fem_models.solvers.options import Option, managed

# Unknowns up to which a factorisation is faster than the Krylov method, by dimension.
_DIRECT_UP_TO = {1: float("inf"), 2: 300_000, 3: 15_000}

# The entries are nodal volumes, small on small domains: PETSc's absolute tolerance would refuse them.
_SMALLEST_PIVOT = 1e-300

_DIRECT: dict[str, Option] = {
    "ksp_type": "preonly",
    "pc_type": "lu",
    "pc_factor_mat_solver_type": "mumps",
    "pc_factor_zeropivot": _SMALLEST_PIVOT,
}

# With the densities of a node before its potentials, incomplete factors see the mass matrices on the
# diagonal: they are good as long as a slab moves mass by a few cells.
_KRYLOV: dict[str, Option] = {
    "ksp_type": "gmres",
    "ksp_gmres_restart": 60,
    "ksp_pc_side": "right",
    "ksp_rtol": 1e-6,
    "ksp_max_it": 120,
    "pc_type": "bjacobi",
    "sub_pc_type": "ilu",
    "sub_pc_factor_zeropivot": _SMALLEST_PIVOT,
}


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
        # Earlier solvers that Python has let go are freed here, where all ranks are.
        PETSc.garbage_cleanup(equations.comm)
        self._equations = equations
        self.matrix = equations.new_matrix()
        self._right, self._solution = self.matrix.createVecs()
        dimension = equations.space.mesh.topology.dim
        choice = settings.linear
        direct = choice == "direct" or (choice == "auto" and self._right.size <= _DIRECT_UP_TO[dimension])
        defaults = _DIRECT if direct else _KRYLOV
        if multiply_more is not None and direct:
            # The factors are those of the Jacobian without interactions, which come by products alone.
            defaults = {**_DIRECT, "ksp_type": "gmres", "ksp_rtol": 1e-8}
        self._operator = self.matrix
        if multiply_more is not None:
            self._operator = self._with_interactions(multiply_more)
        self._ksp = self._new_solver(managed(defaults, settings.petsc))
        self._factors: PETSc.KSP | None = None
        self._given = settings.petsc
        self._direct = direct
        self.iterations = 0
        self.notes: list[str] = []

    def _with_interactions(self, multiply_more: Callable[[npt.NDArray], npt.NDArray]) -> PETSc.Mat:
        matrix, equations = self.matrix, self._equations
        shape = (equations.owned, equations.size)

        class Products:
            def mult(self, operator: PETSc.Mat, x: PETSc.Vec, y: PETSc.Vec) -> None:
                matrix.mult(x, y)
                change = equations.with_ghosts(x.array_r.reshape(shape))
                y.array_w[:] += multiply_more(change).ravel()

        operator = PETSc.Mat().createPython(matrix.getSizes(), Products(), equations.comm)
        operator.setUp()
        return operator

    def _new_solver(self, options) -> PETSc.KSP:
        ksp = PETSc.KSP().create(self._equations.comm)
        ksp.setOperators(self._operator, self.matrix)
        with options.inserted_options():
            ksp.setFromOptions()
        self._options = options
        return ksp

    def refresh(self) -> None:
        """Take note of a new matrix."""
        self._ksp.setOperators(self._operator, self.matrix)
        if self._factors is not None:
            self._factors.setOperators(self._operator, self.matrix)

    def solve(self, right: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """The solution at the nodes of this rank, shape (owned nodes, size); None if there is none.

        Where the Krylov method fails the system is factorised, and `notes` says so.
        """
        self._right.array_w[:] = right.ravel()
        with self._options.inserted_options():
            self._ksp.solve(self._right, self._solution)
        self.iterations += self._ksp.getIterationNumber()
        if self._ksp.getConvergedReason() < 0 and not self._direct:
            if self._factors is None:
                self._factors = PETSc.KSP().create(self._equations.comm)
                self._factors.setOperators(self._operator, self.matrix)
                options = managed(_DIRECT | {"ksp_type": "gmres", "ksp_rtol": 1e-8}, {})
                with options.inserted_options():
                    self._factors.setFromOptions()
                self.notes.append(
                    f"The Krylov method did not converge in {self._ksp.getIterationNumber()} iterations; "
                    "the linear systems where that happens are factorised by MUMPS."
                )
            self._factors.solve(self._right, self._solution)
        found = self._solution.array_r.reshape(right.shape)
        finite = self._equations.comm.allreduce(bool(np.isfinite(found).all()), op=MPI.LAND)
        return found.copy() if finite else None
