"""The smallest eigenvalue of B G⁻¹ Bᵀ + U Uᵀ against N + V Vᵀ, by SLEPc: inf-sup constants squared.

K = B G⁻¹ Bᵀ is never assembled. Krylov–Schur runs on the inverse of K - σN, σ < 0 near zero, which MUMPS
applies through the factors of the sparse saddle point [[G, Bᵀ], [B, σN]]. N may be zero on constants, and K
with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc

from fem_models.core.errors import InputError, SolveError
from fem_models.linalg import mumps
from fem_models.linalg.callbacks import Applied, product_matrix, weak
from fem_models.linalg.krylov import KrylovSolver

# Columns of distributed vectors: the entries of this rank, shape (owned, any).
Columns = npt.NDArray[np.float64]

# The shift σ: as close to zero as factorisations of singular problems allow.
_SHIFT = -1e-3
_TOLERANCE = 1e-9
_RESTARTS = 300
_BASIS = 40
# Eigenvalues below are zero up to rounding: the shift times the accuracy of a factorisation.
_ROUNDING = 1e-10
# Of eigenvectors, relative; the error of the eigenvalue goes with its square.
_RESIDUAL = 1e-4


def slepc_module() -> ModuleType:
    """SLEPc's Python module.

    Raises:
        InputError: It is not installed.
    """
    try:
        from slepc4py import SLEPc
    except ImportError:
        raise InputError(
            "Inf-sup constants need SLEPc: install slepc4py for the PETSc that is installed here."
        ) from None
    return SLEPc


@dataclass(frozen=True)
class Pencil:
    """Matrices and columns of an eigenvalue problem; dimensionless.

    Attributes:
        fluxes: G, symmetric positive definite, shape (fluxes, fluxes).
        coupling: B, shape (potentials, fluxes).
        norm: N, symmetric positive semidefinite, zero at most on constants, shape (potentials, potentials).
        added: The columns U, shape (owned potentials, any).
        norm_added: The columns V, shape (owned potentials, any); N + V Vᵀ is positive definite.
        constraints: Columns that the potentials are orthogonal to, shape (owned potentials, any).
    """

    fluxes: PETSc.Mat
    coupling: PETSc.Mat
    norm: PETSc.Mat
    added: Columns
    norm_added: Columns
    constraints: Columns


def smallest_eigenvalue(pencil: Pencil) -> float:
    """The smallest eigenvalue of a pencil, zero where it is zero up to rounding. Collective.

    Args:
        pencil: The matrices and columns.

    Returns:
        The eigenvalue, ≥ 0, dimensionless.

    Raises:
        InputError: slepc4py is not installed.
        SolveError: The eigenvalue solver did not converge.
    """
    slepc = slepc_module()
    sizes, comm = pencil.norm.getSizes(), pencil.norm.comm
    forms, inverse = (_Operator(pencil), _Norm(pencil)), _ShiftedInverse(pencil)
    operator, norm = (product_matrix(sizes, weak(form.mult), comm) for form in forms)
    solver = slepc.EPS().create(norm.comm)
    solver.setOperators(operator, norm)
    solver.setProblemType(slepc.EPS.ProblemType.GHEP)
    solver.setType(slepc.EPS.Type.KRYLOVSCHUR)
    solver.setWhichEigenpairs(slepc.EPS.Which.TARGET_MAGNITUDE)
    solver.setTarget(_SHIFT)
    solver.setDimensions(1, min(_BASIS, norm.size[0]))
    solver.setTolerances(_TOLERANCE, _RESTARTS)
    transformation = solver.getST()
    transformation.setType(slepc.ST.Type.SINVERT)
    transformation.setMatMode(slepc.ST.MatMode.SHELL)
    inner = transformation.getKSP()
    inner.setType(PETSc.KSP.Type.PREONLY)
    inner.pc.setType(PETSc.PC.Type.PYTHON)
    inner.pc.setPythonContext(Applied(weak(inverse.apply)))
    solver.solve()
    value = math.nan
    if solver.getConverged() > 0:
        vector = norm.createVecRight()
        candidate = solver.getEigenpair(0, vector).real
        if _residual(operator, norm, vector, candidate, pencil.constraints) < _RESIDUAL:
            value = candidate
    solver.destroy()
    if math.isnan(value):
        raise SolveError("SLEPc found no inf-sup constant: its eigenvalue solver did not converge.")
    return value if value > _ROUNDING else 0.0


def dual_norm(norm: PETSc.Mat, functional: PETSc.Vec) -> float:
    """The dual norm (fᵀ N⁻¹ f)^½ of a functional f that is zero on constants. Collective.

    Args:
        norm: N, symmetric and zero on constants only.
        functional: f.

    Returns:
        The norm, ≥ 0.
    """
    matrix = norm.copy()
    _double_first_entry(matrix)
    riesz = functional.duplicate()
    _direct_solver(matrix).solve(functional, riesz)
    return math.sqrt(max(functional.dot(riesz), 0.0))


def _direct_solver(matrix: PETSc.Mat) -> KrylovSolver:
    """A solver for a symmetric matrix, by MUMPS, that raises PETSc's error where it fails. Collective."""
    matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
    options = mumps.SYMMETRIC | {"ksp_error_if_not_converged": True}
    return KrylovSolver(matrix.comm, "inf_sup_", options, operator=matrix)


def _products(vector: npt.NDArray[np.float64], columns: Columns, comm: MPI.Comm) -> npt.NDArray[np.float64]:
    """The scalar products of a vector with columns, shape (columns,). Collective."""
    return comm.allreduce(columns.T @ vector)


def _double_first_entry(matrix: PETSc.Mat) -> tuple[Columns, float]:
    """Double the first diagonal entry of a matrix; return the unit column of that row, and the entry."""
    diagonal = matrix.getDiagonal().array_r
    column = np.zeros((len(diagonal), 1))
    first, last = matrix.getOwnershipRange()
    owner = first == 0 < last
    entry = matrix.comm.tompi4py().allreduce(float(diagonal[0]) if owner else 0.0)
    if owner:
        column[0] = 1.0
        matrix.setValue(0, 0, entry, addv=PETSc.InsertMode.ADD)
    matrix.assemble()
    return column, entry


def _residual(
    operator: PETSc.Mat, norm: PETSc.Mat, vector: PETSc.Vec, value: float, constraints: Columns
) -> float:
    """How far a pair is from an eigenpair, relative, up to multiples of the constraints."""
    right, residual = norm.createVecLeft(), operator.createVecLeft()
    norm.mult(vector, right)
    operator.mult(vector, residual)
    residual.axpy(-value, right)
    _project(residual, constraints)
    return residual.norm() / right.norm()


def _project(vector: PETSc.Vec, constraints: Columns) -> None:
    """Make a vector orthogonal to the constraints."""
    if constraints.shape[1]:
        comm = vector.comm.tompi4py()
        gram = comm.allreduce(constraints.T @ constraints)
        coefficients = np.linalg.solve(gram, _products(vector.array_r, constraints, comm))
        vector.array_w[:] -= constraints @ coefficients


class _Norm:
    """N + V Vᵀ."""

    def __init__(self, pencil: Pencil) -> None:
        self._pencil = pencil

    def mult(self, matrix: PETSc.Mat, f: PETSc.Vec, result: PETSc.Vec) -> None:
        """Multiply."""
        columns = self._pencil.norm_added
        self._pencil.norm.mult(f, result)
        result.array_w[:] += columns @ _products(f.array_r, columns, matrix.comm.tompi4py())


class _Operator:
    """B G⁻¹ Bᵀ + U Uᵀ."""

    def __init__(self, pencil: Pencil) -> None:
        self._pencil = pencil
        self._solver = _direct_solver(pencil.fluxes)
        self._functional, self._flux = pencil.fluxes.createVecs()

    def mult(self, matrix: PETSc.Mat, f: PETSc.Vec, result: PETSc.Vec) -> None:
        """Multiply."""
        pencil = self._pencil
        pencil.coupling.multTranspose(f, self._functional)
        self._solver.solve(self._functional, self._flux)
        pencil.coupling.mult(self._flux, result)
        result.array_w[:] += pencil.added @ _products(f.array_r, pencil.added, matrix.comm.tompi4py())


class _ShiftedInverse:
    """The inverse of K + U Uᵀ - σ(N + V Vᵀ) on potentials that are orthogonal to the constraints.

    N may be zero on constants, so one diagonal entry is added to K - σN before it is factorised. That entry,
    the columns and the constraints are accounted for by the formula of Sherman, Morrison and Woodbury.
    """

    def __init__(self, pencil: Pencil) -> None:
        shifted = pencil.norm.copy()
        shifted.scale(-_SHIFT)
        first, entry = _double_first_entry(shifted)
        self._comm = shifted.comm.tompi4py()
        self._fluxes = pencil.fluxes.getLocalSize()[0]
        shifted.scale(-1.0)
        transpose = pencil.coupling.transpose(PETSc.Mat())
        blocks = [[pencil.fluxes, transpose], [pencil.coupling, shifted]]
        saddle = PETSc.Mat().createNest(blocks, comm=shifted.comm).convert("aij", PETSc.Mat())
        self._solver = _direct_solver(saddle)
        self._right, self._solution = saddle.createVecs()
        # One over the factor of each column; a constraint has an infinite one.
        parts = [
            (first, -1.0 / entry),
            (pencil.added, 1.0),
            (pencil.norm_added, -1.0 / _SHIFT),
            (pencil.constraints, 0.0),
        ]
        self._columns = np.hstack([columns for columns, _ in parts])
        factors = [factor for columns, factor in parts for _ in range(columns.shape[1])]
        solved = [self._solve(column) for column in self._columns.T]
        self._solved = np.array(solved).T
        self._capacitance = np.diag(factors) + self._comm.allreduce(self._columns.T @ self._solved)

    def _solve(self, right: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Apply the inverse of the factorised matrix."""
        # The second row of the saddle point reads -(K - σN) f with that entry added = its right-hand side.
        self._right.array_w[self._fluxes :] = -right
        self._solver.solve(self._right, self._solution)
        return self._solution.array_r[self._fluxes :].copy()

    def apply(self, _solver: PETSc.PC, right: PETSc.Vec, result: PETSc.Vec) -> None:
        """Apply the inverse."""
        solved = self._solve(right.array_r)
        products = _products(solved, self._columns, self._comm)
        result.array_w[:] = solved - self._solved @ np.linalg.solve(self._capacitance, products)
