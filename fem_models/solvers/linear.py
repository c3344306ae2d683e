"""Which linear solver suits the size of a problem."""

from __future__ import annotations

from typing import Literal

from fem_models.solvers.options import Option

LinearSolver = Literal["auto", "direct", "krylov"]

# Unknowns up to which a factorisation is as fast as Krylov's method in two and three dimensions (measured; in
# one dimension it always is).
_DIRECT_UP_TO = {1: float("inf"), 2: 3_000, 3: 1_000}


# The entries are nodal volumes, small on small domains: PETSc's absolute tolerance would refuse them.
_SMALLEST_PIVOT = 1e-300


def linear_options(choice: LinearSolver, unknowns: int, dimension: int, ranks: int) -> dict[str, Option]:
    """Default PETSc options for Newton's linear systems.

    Args:
        choice: "direct", "krylov", or "auto" to choose by the size.
        unknowns: Number of unknowns on all ranks.
        dimension: Of the mesh.
        ranks: Number of MPI ranks.
    """
    direct = choice == "direct" or (choice == "auto" and unknowns <= _DIRECT_UP_TO[dimension])
    if direct:
        package = "petsc" if ranks == 1 and unknowns <= 50_000 else "mumps"
        return {
            "ksp_type": "preonly",
            "pc_type": "lu",
            "pc_factor_mat_solver_type": package,
            "pc_factor_zeropivot": _SMALLEST_PIVOT,
        }
    return {
        # A direction that is not exact is still a good one, as long as it is finite.
        "snes_max_linear_solve_fail": 1000,
        "ksp_type": "bcgs",
        "ksp_rtol": 1e-5,
        "ksp_max_it": 500,
        **(
            {"pc_type": "ilu", "pc_factor_zeropivot": _SMALLEST_PIVOT}
            if ranks == 1
            else {"pc_type": "bjacobi", "sub_pc_type": "ilu", "sub_pc_factor_zeropivot": _SMALLEST_PIVOT}
        ),
    }
