"""Which linear solver suits a problem."""

from __future__ import annotations

import math
from collections.abc import Sequence

from petsc4py import PETSc

from fem_models.linalg.fieldsplit import define_splits, split_options, unsmooth
from fem_models.linalg.krylov import LinearSolver, factorises
from fem_models.linalg.options import SMALLEST_PIVOT, Option

# Unknowns up to which PETSc's own factorisation is as good as that of MUMPS.
_PETSC_UP_TO = 50_000

# Block ILU is best while steps couple little of the domain. Beyond so many iterations for each of Newton's,
# multigrid takes over.
_MOST_ILU_ITERATIONS = 40

# Smoothed aggregation needs fewer iterations than this, if it converges at all.
_MOST_SPLIT_ITERATIONS = 25

_DIRECT: dict[str, Option] = {"ksp_type": "preonly", "pc_type": "lu", "pc_factor_zeropivot": SMALLEST_PIVOT}

_KRYLOV: dict[str, Option] = {
    # A direction that is not exact is still a good one, as long as it is finite.
    "snes_max_linear_solve_fail": 1000,
    "ksp_type": "bcgs",
    "ksp_rtol": 1e-3,
    "ksp_max_it": 500,
    "sub_pc_type": "ilu",
    "sub_pc_factor_zeropivot": SMALLEST_PIVOT,
    # Unsmoothed aggregation: it keeps the coarse operators M-matrices, as the fine ones are.
    "pc_gamg_agg_nsmooths": 0,
    # The matrix of a later iterate is another one: fronts move.
    "pc_gamg_reuse_interpolation": False,
    "mg_levels_ksp_type": "richardson",
    "mg_levels_ksp_max_it": 1,
    "mg_levels_pc_type": "bjacobi",
    "mg_levels_sub_pc_type": "ilu",
    "mg_levels_sub_pc_factor_zeropivot": SMALLEST_PIVOT,
}


def linear_options(
    choice: LinearSolver, unknowns: int, dimension: int, ranks: int, fields: Sequence[str] = ("rho",)
) -> dict[str, Option]:
    """Default PETSc options for Newton's linear systems.

    Args:
        choice: "direct", "krylov", or "auto" to choose by the size.
        unknowns: Number of unknowns on all ranks.
        dimension: Of the mesh.
        ranks: Number of MPI ranks.
        fields: Names of the fields.

    Returns:
        The options, without a leading dash.
    """
    if factorises("step", unknowns, dimension, choice):
        package = "petsc" if ranks == 1 and unknowns <= _PETSC_UP_TO else "mumps"
        return {**_DIRECT, "pc_factor_mat_solver_type": package}
    return {**_KRYLOV, **(split_options(fields, dimension, ranks) if len(fields) > 1 else {})}


class Preconditioner:
    """The preconditioner that suits the problem; what the user's options name is left alone.

    A single density has block ILU, and multigrid once that is slow. Coupled fields have block ILU as long as
    it is fast, unless there are static ones among them; then field splits, and, where those do not converge,
    the same with unsmoothed aggregation in place of smoothed (in three dimensions).

    Args:
        ksp: The Krylov solver, before its options are set.
        options: All options, the user's included.
        fields: Names of the fields.
        elliptic: Whether some of them are static, for which there is no small step.
    """

    def __init__(
        self,
        ksp: PETSc.KSP,
        options: dict[str, Option],
        fields: Sequence[str] = ("rho",),
        elliptic: bool = False,
    ) -> None:
        self._ksp, self._pc = ksp, ksp.getPC()
        self._options = options
        self._fields = tuple(fields)
        self._coupled = len(self._fields) > 1
        types = PETSc.PC.Type
        # Each type with the iterations after which the next one is better.
        splits = [(types.FIELDSPLIT, _MOST_SPLIT_ITERATIONS), (types.FIELDSPLIT, math.inf)]
        if "pc_type" in options:
            self._kinds = splits if options["pc_type"] == types.FIELDSPLIT else []
        elif self._coupled:
            self._kinds = splits if elliptic else [(types.BJACOBI, _MOST_ILU_ITERATIONS), *splits]
        else:
            self._kinds = [(types.BJACOBI, _MOST_ILU_ITERATIONS), (types.GAMG, math.inf)]
        if self._kinds:
            self._set_type()

    @property
    def splits(self) -> bool:
        """Whether the fields of a coupled system are split."""
        return self._coupled and self._pc.getType() == PETSc.PC.Type.FIELDSPLIT

    def adapt(self, newton: int, linear: int) -> None:
        """Turn to another one if this took many iterations; call it with the options in the database.

        Args:
            newton: Iterations of Newton's method.
            linear: Iterations of the Krylov method in them.
        """
        if len(self._kinds) > 1 and linear > self._kinds[0][1] * newton:
            self._turn()

    def between_iterations(self) -> None:
        """Turn to another one in the midst of a step of coupled fields; with the options in the database."""
        if self._coupled:
            self.adapt(1, self._ksp.getIterationNumber())

    def replaced(self) -> bool:
        """Whether coupled fields got another one, as theirs failed; with the options in the database."""
        if not self._coupled or len(self._kinds) < 2 or self._ksp.getConvergedReason() > 0:
            return False
        self._turn()
        return True

    def _turn(self) -> None:
        self._kinds = self._kinds[1:]
        if self.splits:
            unsmooth(self._pc)
            return
        self._pc.reset()
        self._set_type()
        self._pc.setFromOptions()

    def _set_type(self) -> None:
        self._pc.setType(self._kinds[0][0])
        if self.splits:
            define_splits(self._pc, self._fields, self._options)
