"""MUMPS: the options of a factorisation, and how much working memory it is given.

MUMPS estimates the memory of its factors before it computes them. Pivots that it has to put off need more:
its control ICNTL(14) is the percentage beyond the estimate. Where that was too small, the factorisation is
repeated with the next percentage of one list.
"""

from __future__ import annotations

from petsc4py import PETSc

from fem_models.linalg.options import SMALLEST_PIVOT, Option

# Percentages of working memory beyond the estimate, one after the other.
MEMORY = (50, 200, 800, 3000)

# INFOG(1) of a factorisation for which the working memory was too small.
WORKSPACE_TOO_SMALL = -9

LU: dict[str, Option] = {
    "ksp_type": "preonly",
    "pc_type": "lu",
    "pc_factor_mat_solver_type": "mumps",
    "pc_factor_zeropivot": SMALLEST_PIVOT,
}
"""Options of a factorisation of any matrix."""

SYMMETRIC: dict[str, Option] = {
    "ksp_type": "preonly",
    "pc_type": "cholesky",
    "pc_factor_mat_solver_type": "mumps",
}
"""Options of a factorisation LDLᵀ of a symmetric matrix, definite or not, whose option SYMMETRIC is set."""


def symmetric_factors(ranks: int) -> dict[str, Option]:
    """Options of a factorisation of a symmetric, positive definite matrix: PETSc's own on one rank.

    Args:
        ranks: Number of MPI ranks.

    Returns:
        The options, without a leading dash.
    """
    return SYMMETRIC | ({"pc_factor_mat_solver_type": "petsc"} if ranks == 1 else {})


class MumpsMemory:
    """The working memory that MUMPS is given beyond its estimate: at first little, then more."""

    def __init__(self) -> None:
        self._left = list(MEMORY)

    @property
    def options(self) -> dict[str, Option]:
        """The option of PETSc that sets the present percentage."""
        return {"mat_mumps_icntl_14": self._left[0]}

    def more(self) -> bool:
        """Turn to the next percentage.

        Returns:
            Whether there is one; the present one stays where there is none.
        """
        if len(self._left) == 1:
            return False
        del self._left[0]
        return True


def factorisation_error(pc: PETSc.PC) -> int:
    """What MUMPS says about a factorisation that was set up.

    Args:
        pc: The preconditioner that factorises.

    Returns:
        INFOG(1): negative where the factorisation failed; 0 where another package factorises.
    """
    factorises = pc.getType() in (PETSc.PC.Type.LU, PETSc.PC.Type.CHOLESKY)
    if not factorises or pc.getFactorSolverType() != PETSc.Mat.SolverType.MUMPS:
        return 0
    return int(pc.getFactorMatrix().getMumpsInfog(1))
