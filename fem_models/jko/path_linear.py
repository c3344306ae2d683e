"""The linear systems of Newton's method for paths of least action: a Krylov method or a factorisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc
from petsctools import OptionsManager

from fem_models.jko.paths import PathEquations
from fem_models.linalg.callbacks import product_matrix, weak
from fem_models.linalg.garbage import collect
from fem_models.linalg.newton import NewtonSettings
from fem_models.linalg.options import SMALLEST_PIVOT, Option, managed

# Unknowns up to which a factorisation is faster than the Krylov method, by dimension: with one slab, and with
# more or along a barrier.
_DIRECT_UP_TO = {1: float("inf"), 2: 3_000, 3: 1_000}
_DIRECT_IF_HARD = {1: float("inf"), 2: 300_000, 3: 15_000}

# So many systems after one that the Krylov method did not solve are factorised at once, if not too large.
_RESPITE = 10

# Percentages of working memory that MUMPS is given beyond its estimate, one after the other: along a barrier
# it puts off many pivots.
_MEMORY = (50, 400, 3000)

_DIRECT: dict[str, Option] = {
    "ksp_type": "preonly",
    "pc_type": "lu",
    "pc_factor_mat_solver_type": "mumps",
    "pc_factor_zeropivot": SMALLEST_PIVOT,
}

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
        self._ksps: dict[bool, PETSc.KSP] = {}
        self._memory = list(_MEMORY)
        self._respite = 0
        self._choice = settings.linear
        self.iterations = 0
        self.notes: list[str] = []
        # What PETSc refuses is found now rather than in a step.
        self._configured(self._direct(False))[0].destroy()

    def _direct(self, hard: bool) -> bool:
        """Whether systems of this kind are factorised from the start."""
        equations = self._equations
        hard = hard or equations.slabs > 1 or self._respite > 0
        self._respite = max(self._respite - 1, 0)
        limits = _DIRECT_IF_HARD if hard else _DIRECT_UP_TO
        dimension = equations.space.mesh.topology.dim
        small = self._choice == "auto" and self._right.size <= limits[dimension]
        return self._choice == "direct" or small

    def _multiply(self, _: PETSc.Mat, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """The product with the Jacobian, interactions included."""
        assert self._multiply_more is not None
        equations = self._equations
        self.matrix.mult(x, y)
        change = equations.with_ghosts(x.array_r.reshape(equations.owned, equations.size))
        y.array_w[:] += self._multiply_more(change).ravel()

    def _configured(self, direct: bool) -> tuple[PETSc.KSP, OptionsManager]:
        """A new factorisation or Krylov method, not set up, and its options. Collective."""
        factors = _DIRECT | {"mat_mumps_icntl_14": self._memory[0]}
        if self._multiply_more is not None:
            # The factors are those of the Jacobian without interactions, which come by products alone.
            factors |= {"ksp_type": "gmres", "ksp_rtol": 1e-8}
        krylov = _KRYLOV | (_ON_MANY_RANKS if self._equations.comm.size > 1 else {})
        options = managed(factors if direct else krylov, self._given)
        ksp = PETSc.KSP().create(self._equations.comm)
        ksp.setOperators(self._operator, self.matrix)
        with options.inserted_options():
            ksp.setFromOptions()
        return ksp, options

    def _solver(self, direct: bool) -> PETSc.KSP:
        """The factorisation or the Krylov method, made when it is first needed. Collective."""
        if direct not in self._ksps:
            ksp, options = self._configured(direct)
            with options.inserted_options():
                ksp.setUp()
            self._ksps[direct] = ksp
        return self._ksps[direct]

    def refresh(self) -> None:
        """Take note of a new matrix."""
        for ksp in self._ksps.values():
            ksp.setOperators(self._operator, self.matrix)

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
        while found is None and len(self._memory) > 1:
            del self._memory[0]
            self._ksps.pop(True).destroy()
            found = self._solved_by(self._solver(True))
        return None if found is None else found.reshape(right.shape)

    def _solved_by(self, ksp: PETSc.KSP) -> npt.NDArray[np.float64] | None:
        ksp.solve(self._right, self._solution)
        self.iterations += ksp.getIterationNumber()
        found = self._solution.array_r
        good = ksp.getConvergedReason() > 0 and bool(np.isfinite(found).all())
        if self._equations.comm.allreduce(good, op=MPI.LAND):
            return found.copy()
        # What is left of a factorisation that failed would make the next one fail.
        ksp.reset()
        ksp.setOperators(self._operator, self.matrix)
        return None

    def _note(self) -> None:
        if not self.notes:
            self.notes.append(
                "The Krylov method did not solve a linear system of a minimising movement; it was factorised "
                "by MUMPS, as will be others where that happens. Smaller steps or direct solvers avoid it."
            )
