"""Field splits for coupled systems: a solver of its own for each field, one field after the other.

With the unknowns of `fem_models.flow.unknowns` the equation of each field is a nearly symmetric
diffusion with constants in its kernel, coupled to the others so weakly that the number of iterations hardly
depends on the mesh. In one and two dimensions a split is factorised: that is cheap for a single field, and
follows the drift through vacuum, where multigrid loses its way. In three dimensions it is a multigrid cycle
with smoothed aggregation. Every split bears the name of its field: `-fieldsplit_rho_pc_type gamg` changes
that of rho.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from petsc4py import PETSc

from fem_models.linalg.options import SMALLEST_PIVOT, Option

_FACTORS: dict[str, Option] = {
    "ksp_type": "preonly",
    "pc_type": "lu",
    "pc_factor_zeropivot": SMALLEST_PIVOT,
}
_MULTIGRID: dict[str, Option] = {
    "ksp_type": "preonly",
    "pc_type": "gamg",
    "pc_gamg_agg_nsmooths": 1,
    # The matrix of a later iterate is another one: fronts move.
    "pc_gamg_reuse_interpolation": False,
    "mg_levels_ksp_type": "richardson",
    # Three sweeps keep the number of iterations flat where V-cycles with one let it grow.
    "mg_levels_ksp_max_it": 3,
    # Incomplete factors follow the drift through vacuum, where there is no diffusion.
    "mg_levels_pc_type": "bjacobi",
    "mg_levels_sub_pc_type": "ilu",
    "mg_levels_sub_pc_factor_zeropivot": SMALLEST_PIVOT,
    "mg_coarse_sub_pc_factor_zeropivot": SMALLEST_PIVOT,
}


def split_options(fields: Sequence[str], dimension: int, ranks: int) -> dict[str, Option]:
    """Default PETSc options of the Krylov method and of the splits of a coupled system.

    Args:
        fields: Names of the fields.
        dimension: Of the mesh.
        ranks: Number of MPI ranks.

    Returns:
        The options, without a leading dash.
    """
    options: dict[str, Option] = {
        "ksp_type": "gmres",
        "ksp_pc_side": "right",
        # After so many iterations another preconditioner is tried.
        "ksp_gmres_restart": 50,
        "ksp_max_it": 100,
        "pc_fieldsplit_type": "multiplicative",
    }
    package: dict[str, Option] = {"pc_factor_mat_solver_type": "petsc" if ranks == 1 else "mumps"}
    chosen = _MULTIGRID if dimension == 3 else _FACTORS | package
    for field in fields:
        options |= {f"fieldsplit_{field}_{key}": value for key, value in chosen.items()}
    return options


def define_splits(pc: PETSc.PC, fields: Sequence[str], options: Mapping[str, Option]) -> None:
    """Make a split of each field, unless the user's options define the splits.

    Args:
        pc: Of type "fieldsplit".
        fields: Names of the fields, in the order of the unknowns at a node.
        options: All options, the user's included.
    """
    if "pc_fieldsplit_0_fields" not in options:
        pc.setFieldSplitFields(len(fields), *((field, [s]) for s, field in enumerate(fields)))


def unsmooth(pc: PETSc.PC) -> None:
    """Turn to unsmoothed aggregation: its coarse operators are M-matrices also where drift rules. Collective.

    Args:
        pc: Of type "fieldsplit", after a solve.
    """
    for solver in pc.getFieldSplitSubKSP():
        if solver.pc.getType() == PETSc.PC.Type.GAMG:
            solver.pc.reset()
            solver.pc.setGAMGSmooths(0)
