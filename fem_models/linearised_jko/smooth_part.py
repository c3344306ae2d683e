"""The operator P that is like the reduced system of the linearised JKO problem on smooth potentials.

    P(u, v) = ∫ (u - aδ∇φ·∇u)(v - aδ∇φ·∇v)/E'' + ∫ D∇u·∇v,

with D of `fem_models.linearised_jko.followed_diffusion`. For continuous potentials it is a sparse matrix. For
Raviart–Thomas fluxes the second part is B (∫D⁻¹g·w)⁻¹ Bᵀ, a full matrix; P⁻¹ is known up to the inverse of a
sparse matrix of multipliers on facets (`fem_models.linearised_jko.hybridised`). That one is preconditioned by
two grids: on the coarse one multipliers are traces of continuous, piecewise linear potentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import ufl
from dolfinx import fem
from petsc4py import PETSc
from ufl.core.expr import Expr

from fem_models.linalg.callbacks import Applied, weak
from fem_models.linalg.options import Option
from fem_models.linearised_jko.followed_diffusion import FollowedDiffusion
from fem_models.linearised_jko.forms import Assembled
from fem_models.linearised_jko.hybridised import Hybridised
from fem_models.linearised_jko.problem import LinearisedJko
from fem_models.linearised_jko.reduced import linear_solver

# Jacobi's smoother is the same on any number of ranks.
_MULTIGRID: dict[str, Option] = {
    "pc_type": "gamg",
    "pc_gamg_threshold": 0.05,
    "mg_levels_ksp_max_it": 2,
    "mg_levels_pc_type": "jacobi",
}
# The coarse grid is small: three cycles on it cost little. An odd number is positive definite if one is.
_TWO_GRIDS: dict[str, Option] = {
    "pc_type": "mg",
    "mg_levels_ksp_max_it": 2,
    "mg_levels_pc_type": "sor",
    **{f"mg_coarse_{name}": value for name, value in _MULTIGRID.items()},
    "mg_coarse_pc_mg_multiplicative_cycles": 3,
}


class SmoothPart(Protocol):
    """P. Collective; call its methods with the options of the solver in the database."""

    @property
    def defaults(self) -> dict[str, Option]:
        """Options of the preconditioner."""

    def assemble(self) -> None:
        """Take the present values of q, φ and D."""

    def product(self, u: PETSc.Vec) -> PETSc.Vec:
        """Pu.

        Args:
            u: A vector of potentials.

        Returns:
            A new vector.
        """

    @property
    def preconditioned(self) -> PETSc.Mat | None:
        """The matrix that preconditioners are made of, P; None where P is no sparse matrix."""

    def precondition(self, pc: PETSc.PC) -> None:
        """Make a Krylov method's preconditioner, whose options are set, one for P.

        Args:
            pc: The preconditioner.
        """


def smooth_part(
    problem: LinearisedJko, diffusion: FollowedDiffusion, petsc: Mapping[str, Option]
) -> SmoothPart:
    """P for a problem. Collective.

    Args:
        problem: The linearised problem.
        diffusion: D and ∇φ at the end.
        petsc: PETSc options, for those with the prefix `fluxes_`.

    Returns:
        P, to be assembled.
    """
    spaces, dx = problem.spaces, problem.measures.dx
    u, v = ufl.TrialFunction(spaces.potentials), ufl.TestFunction(spaces.potentials)
    reach = fem.Constant(spaces.mesh, problem.a * problem.delta) * diffusion.velocity

    def before(w: Expr) -> Expr:
        return w - ufl.inner(reach, ufl.grad(w))

    local = before(u) * before(v) / problem.curvature * dx
    if problem.eliminates:
        return _Sparse(problem, local + ufl.inner(diffusion.tensor * ufl.grad(u), ufl.grad(v)) * dx)
    return _Mixed(problem, Hybridised(spaces, local, diffusion.tensor, problem.measures), petsc)


class _Sparse:
    """P for continuous potentials."""

    # Smoothers take P too, rather than sweeps through all slabs.
    defaults = _MULTIGRID | {"pc_use_amat": False}

    def __init__(self, problem: LinearisedJko, form: ufl.Form) -> None:
        self._problem, self._form = problem, Assembled(form, 1)
        self._matrix = self._form.matrices[0]
        self._matrix.setOption(PETSc.Mat.Option.SPD, True)

    def assemble(self) -> None:
        self._problem.data.load(self._problem.slabs)
        self._form.assemble(0)

    def product(self, u: PETSc.Vec) -> PETSc.Vec:
        return self._matrix * u

    @property
    def preconditioned(self) -> PETSc.Mat:
        return self._matrix

    def precondition(self, pc: PETSc.PC) -> None:
        """The options have done it."""


class _Mixed:
    """P for Raviart–Thomas fluxes, and P⁻¹ = L + EᵀS⁻¹E as a context of PETSc's preconditioners."""

    defaults = _TWO_GRIDS

    def __init__(self, problem: LinearisedJko, hybridised: Hybridised, petsc: Mapping[str, Option]) -> None:
        self._problem, self._parts, self._petsc = problem, hybridised, petsc

    def assemble(self) -> None:
        self._problem.data.load(self._problem.slabs)
        self._parts.assemble()
        # A new one: factors and levels are those of a matrix.
        facets = PETSc.PC().create(self._parts.multipliers.comm)
        facets.setOperators(self._parts.multipliers)
        facets.setType(PETSc.PC.Type.MG)
        facets.setMGLevels(2)
        facets.setMGInterpolation(1, self._parts.traces)
        facets.getMGCoarseSolve().setOperators(self._coarse())
        facets.setFromOptions()
        self._facets = facets
        self._fluxes = linear_solver(self._parts.fluxes, "fluxes_", self._petsc)

    def _coarse(self) -> PETSc.Mat:
        """S on traces; vertices of no interior facet, which have none, are apart."""
        coarse = self._parts.multipliers.ptap(self._parts.traces)
        diagonal = coarse.getDiagonal()
        diagonal.array_w[diagonal.array_r == 0.0] = 1.0
        coarse.setDiagonal(diagonal)
        return coarse

    def product(self, u: PETSc.Vec) -> PETSc.Vec:
        problem = self._problem
        right, flux = problem.coupling.createVecRight(), problem.coupling.createVecRight()
        problem.coupling.multTranspose(u, right)
        self._fluxes.solve(right, flux)
        found = self._parts.potentials * u
        problem.coupling.multAdd(flux, found, found)
        return found

    preconditioned = None

    def precondition(self, pc: PETSc.PC) -> None:
        # The options of the preconditioner are for S.
        pc.setType(PETSc.PC.Type.PYTHON)
        pc.setPythonContext(Applied(weak(self.apply)))

    def apply(self, _: PETSc.PC, right: PETSc.Vec, found: PETSc.Vec) -> None:
        """P⁻¹, with the preconditioner of S for its inverse."""
        parts = self._parts
        load = parts.coupling * right
        multipliers = load.duplicate()
        self._facets.apply(load, multipliers)
        parts.local.mult(right, found)
        parts.coupling.multTransposeAdd(multipliers, found, found)
