"""The perturbation of the norm in (4.6) of Evans, Morris and Yoldaş: ∫ j·∇φ with φ = (I - Δ)⁻¹ρ."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from petsc4py import PETSc

from fem_models.core.errors import SolveError
from fem_models.kinetic.bgk.space import KineticSpace
from fem_models.kinetic.bgk.state import KineticState
from fem_models.linalg.coordinates import block_coordinates, coordinate_matrix, global_numbers
from fem_models.linalg.garbage import collect
from fem_models.linalg.krylov import KrylovSolver, factorises
from fem_models.linalg.mumps import symmetric_factors
from fem_models.linalg.options import Option


class PerturbedNorm:
    """∫ j·∇φ, with φ in the space of even modes. Collective; the matrix is made once.

    The norm is ‖f‖² + ε/(C Λ(1 + Λ²)) ∫ j·∇φ with C = 3 and Λ = A^|α|, where the paper has A^α, which is too
    small for α < 0.

    Args:
        space: The discrete modes.
    """

    CONSTANT: ClassVar[float] = 3.0

    def __init__(self, space: KineticSpace) -> None:
        collect(space.mesh)
        self._space, index_map = space, space.nodes.dofmap.index_map
        rows, columns = block_coordinates(*[global_numbers(index_map, space.cells)] * 2)
        matrix = coordinate_matrix(space.comm, index_map, index_map, rows.ravel(), columns.ravel())
        ones = np.ones((len(space.cells), len(space.weights), space.modes.dimension))
        masses = np.einsum("q,qi,qj->ij", space.mass_weights, space.mass_values, space.mass_values)
        values = space.laplacian_parts(ones) + space.volumes[:, None, None] * masses
        matrix.setValuesCOO(values.ravel(), PETSc.InsertMode.INSERT_VALUES)
        direct = factorises("step", index_map.size_global, space.modes.dimension)
        matrix.setOption(PETSc.Mat.Option.SPD, True)
        multigrid: dict[str, Option] = {"ksp_type": "cg", "pc_type": "gamg"}
        kind = symmetric_factors(space.comm.size) if direct else multigrid
        self._solver = KrylovSolver(space.comm, "perturbed_", kind | {"ksp_rtol": 1e-8}, operator=matrix)
        self._right, self._found = matrix.createVecRight(), matrix.createVecRight()

    def __call__(self, state: KineticState) -> float:
        """The integral. Collective.

        Args:
            state: The state.

        Returns:
            ∫ j·∇φ.

        Raises:
            SolveError: The equation for φ could not be solved.
        """
        space = self._space
        density = np.zeros_like(state.even)
        density[:, 0] = state.even[:, 0]
        self._right.array_w[:] = space.weighted(density)[:, 0]
        self._solver.solve(self._right, self._found)
        if self._solver.failed:
            raise SolveError("The equation (I - Δ)φ = ρ of the perturbed norm was not solved.")
        table = np.zeros((space.owned, density.shape[1]))
        table[:, 0] = self._found.array_r
        flux = slice(0, space.modes.dimension)
        slopes = space.slopes(space.with_ghosts(table))[:, :, flux]
        weights = space.volumes[:, None] * space.weights
        return space.sum(float(np.einsum("cq,cqm,cqm->", weights, slopes, state.odd[:, :, flux])))
