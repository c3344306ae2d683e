"""The linearised JKO problem of all slabs as one sparse symmetric system, solved by MUMPS.

It costs much memory and needs no condition on the displacement: the reference for iterative solvers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from dolfinx import fem
from petsc4py import PETSc

from fem_models.core.errors import SolveError
from fem_models.linalg import mumps
from fem_models.linalg.krylov import KrylovSolver
from fem_models.linalg.options import Option
from fem_models.linearised_jko.loads import Evaluation, Loads, Minimiser
from fem_models.linearised_jko.problem import LinearisedJko

# Solves for the residual go on until it is rounding, or falls no more: pivots that MUMPS replaces leave a
# first solution to a few digits. A residual beyond the last share is no solution. All relative to the loads.
_ROUNDING = 1e-15
_FALLING = 0.5
_MOST_CORRECTIONS = 20
_NO_SOLUTION = 1e-8


class SaddlePoint:
    """The system of all equations of `fem_models.linearised_jko.problem`. Collective.

    Build it anew when the matrices of the problem were assembled again.

    Args:
        problem: The linearised problem.
        petsc: PETSc options with the prefix `saddle_`.

    Raises:
        SolveError: MUMPS failed; the message has its number.

    Attributes:
        matrix: The symmetric matrix. For each slab it has the unknowns g_k (if fluxes are not eliminated),
            h_k and f_k, and p at the end; they are numbered rank by rank.
    """

    def __init__(self, problem: LinearisedJko, petsc: Mapping[str, Option] | None = None) -> None:
        self._problem = problem
        self._evaluation = Evaluation(problem)
        self._fields = 2 if problem.eliminates else 3
        self.matrix = self._assembled()
        self._solver = self._factorised(petsc or {})

    def _rows(self, k: int) -> tuple[int, int]:
        """The numbers of the blocks of h and f of slab k; those of g come before."""
        f = self._fields * (k + 1) - 1
        return f - 1, f

    def _assembled(self) -> PETSc.Mat:
        problem, count = self._problem, self._fields * self._problem.slabs + 1
        blocks: list[list[PETSc.Mat | None]] = [[None] * count for _ in range(count)]

        def place(row: int, column: int, matrix: PETSc.Mat, factor: float) -> None:
            """Set a block, and its transpose in the block on the other side."""
            scaled = matrix.copy()
            scaled.scale(factor)
            blocks[row][column] = scaled
            if row != column:
                transposed = PETSc.Mat()
                scaled.transpose(transposed)
                blocks[column][row] = transposed

        for k in range(problem.slabs):
            h, f = self._rows(k)
            place(f, h, problem.implicit_step(k), 1.0)
            if k:
                place(f, self._rows(k - 1)[0], problem.explicit_step(k), -1.0)
            blocks[h][h] = self._zeros()
            if problem.eliminates:
                place(f, f, problem.stiffness(k), -problem.delta)
            else:
                blocks[f][f] = self._zeros()
                place(h - 1, h - 1, problem.flux_mass(k), problem.delta)
                place(f, h - 1, problem.coupling, problem.delta)
        place(count - 1, h, problem.mass, -1.0)
        place(count - 1, count - 1, problem.end_mass, -1.0)
        nest = PETSc.Mat().createNest(blocks, comm=problem.spaces.mesh.comm)
        matrix = nest.convert("aij", PETSc.Mat())
        matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
        return matrix

    def _zeros(self) -> PETSc.Mat:
        """A diagonal of stored zeros, without which PETSc passes MUMPS a wrong triangle in parallel."""
        mass = self._problem.mass
        matrix = PETSc.Mat().createAIJ(mass.sizes, nnz=1, comm=mass.comm)
        matrix.setDiagonal(mass.createVecLeft())
        matrix.assemble()
        return matrix

    def _factorised(self, petsc: Mapping[str, Option]) -> KrylovSolver:
        memory = mumps.MumpsMemory()
        while True:
            # LDLᵀ of a symmetric indefinite matrix: LU delays more pivots, and its residuals are larger.
            options = mumps.SYMMETRIC | memory.options
            solver = KrylovSolver(self.matrix.comm, "saddle_", options, petsc, self.matrix)
            solver.set_up()
            info = mumps.factorisation_error(solver.ksp.pc)
            if info != mumps.WORKSPACE_TOO_SMALL or not memory.more():
                break
        if info < 0:
            raise SolveError(
                f"MUMPS could not factorise the linearised JKO problem of {self.matrix.size[0]} unknowns: "
                f"its INFOG(1) is {info} (-9 and -13 are a lack of memory, -10 is a singular matrix)."
            )
        return solver

    def solve(self, loads: Loads) -> Minimiser:
        """The minimiser for given loads.

        Args:
            loads: Right-hand sides of the same problem.

        Returns:
            The minimiser.

        Raises:
            SolveError: The factors are too inaccurate for a solution.
        """
        problem, spaces = self._problem, self._problem.spaces
        started = problem.mass.createVecLeft()
        problem.explicit_step(0).mult(loads.start.x.petsc_vec, started)
        parts = []
        for k in range(problem.slabs):
            if not problem.eliminates:
                flux = loads.flux[k].copy()
                flux.scale(problem.delta)
                parts.append(flux.array_r)
            forward = loads.reduced[k].array_r + (0.0 if k else started.array_r)
            parts += [loads.adjoint[k + 1].array_r, forward]
        parts.append(loads.end.array_r)
        right = self.matrix.createVecLeft()
        right.array_w[:] = np.concatenate(parts)
        unknowns = self._refined(right)
        sizes = np.cumsum([len(part) for part in parts])[:-1]
        found = np.split(unknowns.array_r, sizes)

        def functions(number: int, space: fem.FunctionSpace, name: str) -> list[fem.Function]:
            return [_function(space, name, values) for values in found[number : -1 : self._fields]]

        h = [loads.start, *functions(self._fields - 2, spaces.potentials, "h")]
        f = functions(self._fields - 1, spaces.potentials, "f")
        p = _function(spaces.potentials, "p", found[-1])
        if problem.eliminates:
            g = self._evaluation.recovered_fluxes(loads, f)
        else:
            g = functions(0, spaces.fluxes, "g")
        return self._evaluation(loads, f, g, h, p)

    def _refined(self, right: PETSc.Vec) -> PETSc.Vec:
        """The solution, corrected until its residual is rounding: so is the error of the mass then."""
        unknowns, correction = self.matrix.createVecRight(), self.matrix.createVecRight()
        residual, size, before = right.copy(), right.norm(), np.inf
        for _ in range(_MOST_CORRECTIONS):
            self._solver.solve(residual, correction)
            unknowns.axpy(1.0, correction)
            self.matrix.mult(unknowns, residual)
            residual.aypx(-1.0, right)
            error = residual.norm()
            if not error > _ROUNDING * size or not error < _FALLING * before:
                break
            before = error
        if not error <= _NO_SOLUTION * size:
            raise SolveError(
                f"MUMPS solved the linearised JKO problem of {self.matrix.size[0]} unknowns to a residual of "
                f"{error / size:.1e} only, relative to the loads: take a coarser mesh or fewer slabs."
            )
        return unknowns


def _function(space: fem.FunctionSpace, name: str, values: np.ndarray) -> fem.Function:
    found = fem.Function(space, name=name)
    found.x.array[: len(values)] = values
    found.x.scatter_forward()
    return found
