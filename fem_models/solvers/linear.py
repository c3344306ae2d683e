"""Which linear solver suits a problem."""

from __future__ import annotations

from typing import Literal

from petsc4py import PETSc

from fem_models.solvers.options import Option

LinearSolver = Literal["auto", "direct", "krylov"]

# Unknowns up to which a factorisation is as fast as Krylov's method in two and three dimensions (measured; in
# one dimension it always is), and up to which PETSc's own is as good as MUMPS.
_DIRECT_UP_TO = {1: float("inf"), 2: 3_000, 3: 1_000}
_PETSC_UP_TO = 50_000

# The entries are nodal volumes, small on small domains: PETSc's absolute tolerance would refuse them.
_SMALLEST_PIVOT = 1e-300

# Block ILU is best while steps couple little of the domain. Beyond so many iterations for each of Newton's,
# multigrid takes over.
_MOST_ILU_ITERATIONS = 40

_DIRECT = {"ksp_type": "preonly", "pc_type": "lu", "pc_factor_zeropivot": _SMALLEST_PIVOT}

_KRYLOV = {
    # A direction that is not exact is still a good one, as long as it is finite.
    "snes_max_linear_solve_fail": 1000,
    "ksp_type": "bcgs",
    "ksp_rtol": 1e-3,
    "ksp_max_it": 500,
    "sub_pc_type": "ilu",
    "sub_pc_factor_zeropivot": _SMALLEST_PIVOT,
    # Unsmoothed aggregation: it keeps the coarse operators M-matrices, as the fine ones are.
    "pc_gamg_agg_nsmooths": 0,
    # The matrix of a later iterate is another one: fronts move.
    "pc_gamg_reuse_interpolation": False,
    "mg_levels_ksp_type": "richardson",
    "mg_levels_ksp_max_it": 1,
    "mg_levels_pc_type": "bjacobi",
    "mg_levels_sub_pc_type": "ilu",
    "mg_levels_sub_pc_factor_zeropivot": _SMALLEST_PIVOT,
}


def linear_options(choice: LinearSolver, unknowns: int, dimension: int, ranks: int) -> dict[str, Option]:
    """Default PETSc options for Newton's linear systems.

    Args:
        choice: "direct", "krylov", or "auto" to choose by the size.
        unknowns: Number of unknowns on all ranks.
        dimension: Of the mesh.
        ranks: Number of MPI ranks.
    """
    if choice == "direct" or (choice == "auto" and unknowns <= _DIRECT_UP_TO[dimension]):
        package = "petsc" if ranks == 1 and unknowns <= _PETSC_UP_TO else "mumps"
        return {**_DIRECT, "pc_factor_mat_solver_type": package}
    return dict(_KRYLOV)


class Preconditioner:
    """Block ILU, and multigrid once that is slow; what the user's options name is left alone.

    Args:
        ksp: The Krylov solver, before its options are set.
        options: All options, the user's included.
    """

    def __init__(self, ksp: PETSc.KSP, options: dict[str, Option]) -> None:
        self._pc = ksp.getPC()
        self._free = "pc_type" not in options
        if self._free:
            self._pc.setType(PETSc.PC.Type.BJACOBI)

    def adapt(self, newton: int, linear: int) -> None:
        """Turn to multigrid if block ILU took many iterations; call it with the options in the database."""
        if self._free and linear > _MOST_ILU_ITERATIONS * newton:
            self._pc.reset()
            self._pc.setType(PETSc.PC.Type.GAMG)
            self._pc.setFromOptions()
            self._free = False
