"""The equations of a step for the even modes: symmetric, positive definite, and linear.

    (c h_n, w) + (s_n/ε²) (λ* h_n, w) + Σ_{ab,n'} (B_a B_bᵀ)_{nn'} (q ∂_b h_{n'}, ∂_a w) = right-hand side

with c = a/τ. Odd modes are eliminated point by point, which leaves q. The preconditioner of conjugate
gradients has the diagonal blocks, one for each mode, and is kept from step to step while it is good.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc
from scipy.linalg import eigh

from fem_models.core.errors import SolveError
from fem_models.kinetic.bgk.even_operator import EvenOperator
from fem_models.kinetic.bgk.space import KineticSpace
from fem_models.linalg.callbacks import product_matrix, reason_name, weak
from fem_models.linalg.coordinates import block_coordinates, coordinate_matrix, global_numbers
from fem_models.linalg.garbage import collect
from fem_models.linalg.krylov import KrylovSolver, factorises
from fem_models.linalg.mumps import symmetric_factors
from fem_models.linalg.newton import NewtonSettings
from fem_models.linalg.options import Option

_Array = npt.NDArray[np.float64]

# A preconditioner is made anew when it needs so many times the iterations that it needed at first, and more.
_WORSE, _MORE = 1.3, 3
# Where c or λ* somewhere has changed by such a factor, it is made anew in any case.
_SHIFT, _RATE = 2.0, 1.3
# What rounding leaves of the residual, relative to that of a constant density.
_ROUNDING = 1e-16

_DEFAULTS: dict[str, Option] = {
    "ksp_type": "cg",
    "ksp_norm_type": "natural",
    "ksp_rtol": 1e-14,
    "ksp_max_it": 2000,
}
_SPLIT: dict[str, Option] = {"pc_type": "fieldsplit", "pc_fieldsplit_type": "additive"}
_GAMG: dict[str, Option] = {
    "ksp_type": "preonly",
    "pc_type": "gamg",
    "pc_gamg_agg_nsmooths": 1,
    "pc_gamg_threshold": 0.02,
    "pc_gamg_aggressive_coarsening": 0,
    "mg_levels_ksp_type": "richardson",
    "mg_levels_ksp_max_it": 2,
    "mg_levels_pc_type": "sor",
}


@dataclass(frozen=True)
class Coefficients:
    """What the matrix of a step depends on.

    Attributes:
        shift: c = a/τ.
        damping: s_n/ε² of the even modes, shape (even modes,).
        mass_rates: λ* at the points of the rule for masses, shape (cells, points).
        q: 1/(cε² + s_m λ*) of the odd modes at their points, shape (cells, points, odd modes).
    """

    shift: float
    damping: _Array
    mass_rates: _Array
    q: _Array


class EvenSystem:
    """Solves the equations for the even modes. Collective; build it once.

    Args:
        space: The discrete modes.
        settings: The tolerance, relative to the solution in the norm of the energy; the choice of the solver
        of
            each block; and options of PETSc.
        by_degree: Whether q depends on the degree of odd modes.

    Attributes:
        seconds: Time spent so far on this rank: "assemble" and "solve".
    """

    def __init__(self, space: KineticSpace, settings: NewtonSettings, by_degree: bool = False) -> None:
        collect(space.mesh)
        self._space, self._settings = space, settings
        self.seconds = {"assemble": 0.0, "solve": 0.0}
        modes, index_map = len(space.modes.even), space.nodes.dofmap.index_map
        self._operator = EvenOperator(space, by_degree)
        rows, columns = block_coordinates(*[global_numbers(index_map, space.cells)] * 2)
        pattern = rows.ravel(), columns.ravel()
        self._blocks = [coordinate_matrix(space.comm, index_map, index_map, *pattern) for _ in range(modes)]
        first = index_map.local_range[0] * modes
        places = [
            PETSc.IS().createStride(space.owned, first + n, modes, comm=space.comm) for n in range(modes)
        ]
        self._diagonal = self._blocks[0]
        if modes > 1:
            nest = [[block if n == k else None for k in range(modes)] for n, block in enumerate(self._blocks)]
            self._diagonal = PETSc.Mat().createNest(nest, isrows=places, iscols=places, comm=space.comm)
        sizes = (space.owned * modes, index_map.size_global * modes)
        self._multiply = self._product
        self._matrix = product_matrix((sizes, sizes), weak(self._multiply), space.comm)
        dimension = space.mesh.topology.dim
        direct = factorises("step", index_map.size_global, dimension, settings.linear)
        block = symmetric_factors(space.comm.size) if direct else dict(_GAMG)
        if modes > 1:
            block = _SPLIT | {
                f"fieldsplit_{n}_{key}": value for n in range(modes) for key, value in block.items()
            }
        self._solver = KrylovSolver(space.comm, "", block | _DEFAULTS, settings.petsc)
        pc = self._solver.ksp.getPC()
        if pc.getType() == PETSc.PC.Type.FIELDSPLIT:
            pc.setFieldSplitIS(*((str(n), place) for n, place in enumerate(places)))
        self._right, self._found = self._matrix.createVecRight(), self._matrix.createVecRight()
        self._made: tuple[float, _Array] | None = None
        self._combinations = np.eye(modes)
        self._first = self._latest = 0

    def solve(self, coefficients: Coefficients, right: _Array, guess: _Array) -> tuple[_Array, int]:
        """Solve, so that the sum of the density and the product with the solution are exact.

        Conjugate gradients leave a residual r. Its sums with 1 (in the density) and with the solution h are
        what mass and the identity of ‖f‖² would miss: so a multiple of each is added, for which they vanish.

        Args:
            coefficients: Of the matrix.
            right: The right-hand side at owned nodes, shape (owned nodes, even modes).
            guess: First iterate at nodes, ghosts included, likewise.

        Returns:
            The solution at nodes, ghosts included, and the number of iterations.

        Raises:
            SolveError: Conjugate gradients did not converge.
        """
        space = self._space
        self._use(coefficients)
        begin = perf_counter()
        self._right.array_w[:] = (right @ self._combinations).ravel()
        self._solver.precondition(self._right, self._found)
        size = max(self._right.dot(self._found), 0.0) ** 0.5
        guess = space.with_ghosts(guess[: space.owned])
        self._right.array_w[:] = ((right - self.product(guess)) @ self._combinations).ravel()
        mean = np.sqrt(coefficients.shift * space.volume)
        least = max(self._settings.tolerance * size, _ROUNDING * mean)
        self._solver.ksp.setTolerances(atol=least)
        self._solver.solve(self._right, self._found)
        iterations = self._latest = self._solver.iterations
        if self._solver.failed:
            reason = reason_name(PETSc.KSP.ConvergedReason, self._solver.ksp.getConvergedReason())
            raise SolveError(f"The linear equations of the even modes were not solved: {reason}.")
        self._first = self._first or iterations
        change = self._found.array_r.reshape(right.shape) @ self._combinations.T
        found = space.with_ghosts(guess[: space.owned] + change)
        found = self._corrected(found, right)
        self.seconds["solve"] += perf_counter() - begin
        return found, iterations

    def _corrected(self, found: _Array, right: _Array) -> _Array:
        """A solution h with a constant density added and then scaled, so that both residuals vanish.

        A constant β in the density, which only c multiplies, makes up for the sum of the residual of h. With
        y = h + β, the product of y with its residual vanishes with the factor 1 + (y, b - Ay)/(y, Ay); the
        sum stays zero, as that of the right-hand side b is.
        """
        space, owned = self._space, self._space.owned
        product = self.product(found)
        residual = right - product
        sums = np.array(
            [
                np.vdot(residual, found[:owned]),
                np.vdot(product, found[:owned]),
                residual[:, 0].sum(),
                product[:, 0].sum(),
            ]
        )
        space.comm.Allreduce(MPI.IN_PLACE, sums)
        tested, energy, missing, density = sums
        constant = missing / (self._now.shift * space.volume)
        energy += constant * (2.0 * density + missing)
        corrected = found.copy()
        corrected[:, 0] += constant
        return corrected * (1.0 + (tested - constant * density) / energy) if energy > 0.0 else corrected

    def product(self, even: _Array) -> _Array:
        """The product of the matrix with a table at nodes. Collective.

        Args:
            even: Shape (nodes, even modes), ghosts included.

        Returns:
            At owned nodes, shape (owned nodes, even modes).
        """
        return self._operator.product(self._now.damping, even).copy()

    def _product(self, matrix: PETSc.Mat, x: PETSc.Vec, y: PETSc.Vec) -> None:
        even = x.array_r.reshape(self._space.owned, -1) @ self._combinations.T
        y.array_w[:] = (self.product(self._space.with_ghosts(even)) @ self._combinations).ravel()

    def _use(self, coefficients: Coefficients) -> None:
        """Take the coefficients of a step, and make the preconditioner anew where the old one is too far
        off.
        """
        begin = perf_counter()
        space, self._now = self._space, coefficients
        volumes = space.volumes[:, None] * space.mass_weights
        self._weights = coefficients.shift * volumes, coefficients.mass_rates * volumes
        self._operator.fill(coefficients.q, *self._weights)
        if self._latest > _WORSE * self._first + _MORE or self._changed():
            self._made, self._first, self._latest = (coefficients.shift, coefficients.mass_rates), 0, 0
            self._make()
        self.seconds["assemble"] += perf_counter() - begin

    def _changed(self) -> bool:
        """Whether the coefficients are others than those of the preconditioner. Collective."""
        if self._made is None:
            return True
        shift, rates = self._made
        ratio = self._now.mass_rates / rates
        far = max(float(ratio.max(initial=1.0)), 1.0 / float(ratio.min(initial=1.0))) > _RATE
        shifted = not 1.0 / _SHIFT < self._now.shift / shift < _SHIFT
        return self._space.comm.allreduce(far or shifted, op=MPI.LOR)

    def _make(self) -> None:
        """Choose the combinations, and fill in the diagonal blocks."""
        space, now = self._space, self._now
        basis = space.mass_values
        masses, rates = (np.einsum("cq,qi,qj->cij", w, basis, basis, optimize=True) for w in self._weights)
        couplings = space.modes.matrices
        self._combinations = self._diagonalising(couplings)
        for block, column in zip(self._blocks, self._combinations.T, strict=True):
            # Parts with derivatives in two directions are left out: the diagonal directions rule.
            coefficients = now.q @ (column @ couplings).T ** 2
            values = space.laplacian_parts(coefficients)
            values += (column @ column) * masses + (column**2 @ now.damping) * rates
            block.setValuesCOO(values.ravel(), PETSc.InsertMode.INSERT_VALUES)
            block.setOption(PETSc.Mat.Option.SPD, True)
        self._diagonal.assemble()
        self._solver.set_operators(self._matrix, self._diagonal)

    def _diagonalising(self, couplings: _Array) -> _Array:
        """The columns of T. Collective."""
        space, now = self._space, self._now
        share = space.volumes[:, None]
        parts = [(share * space.mass_weights * now.mass_rates).sum()]
        parts += list((share[:, :, None] * space.weights[:, None] * now.q).sum(axis=(0, 1)))
        rate, *q = space.comm.allreduce(np.array(parts)) / space.volume
        diffusion = np.einsum("anm,m,akm->nk", couplings, q, couplings)
        _, columns = eigh(diffusion, np.diag(now.shift + now.damping * rate))
        return np.asarray(columns)
