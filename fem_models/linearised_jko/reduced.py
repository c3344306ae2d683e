"""The reduced system of the linearised JKO problem, as products with vectors.

With f_k = T_k u for u = f_S, where T_k carries potentials backwards,

    (M - aδA_kᵀ) T_k = (M + (1-a)δA_{k+1}ᵀ) T_{k+1},   T_S = 1,

all equations of `fem_models.linearised_jko.problem` come down to one symmetric positive definite system,

    (M - aδA_S) M⁻¹ M_{1/E''} M⁻¹ (M - aδA_Sᵀ) u + Σ_k δ T_kᵀ K_k T_k u = b,    K_k = B G_k⁻¹ Bᵀ.

A product is a sweep backwards in time for f, and one forwards for h. In the unknown u, rather than in the
potential p at the end, K_S is there as it is: p would be carried through the last slab first, which damps
modes shorter than the way through it.
"""

from __future__ import annotations

from collections.abc import Mapping

from petsc4py import PETSc

from fem_models.linalg.krylov import KrylovSolver
from fem_models.linalg.options import Option
from fem_models.linearised_jko.loads import Loads
from fem_models.linearised_jko.problem import LinearisedJko

# The conjugate gradients see a symmetric matrix as far as its parts are solved accurately.
_ACCURACY: dict[str, Option] = {"ksp_rtol": 1e-12, "ksp_atol": 0.0, "ksp_max_it": 500}
_MASS: dict[str, Option] = {"ksp_type": "cg", "pc_type": "jacobi", **_ACCURACY}
_TRANSPORT: dict[str, Option] = {
    "ksp_type": "gmres",
    "pc_type": "bjacobi",
    # Without fill P2 takes a hundred iterations where a slab is several cells long.
    "sub_pc_factor_levels": 1,
    **_ACCURACY,
}


class ReducedJko:
    """The matrix of the reduced system, and what it takes and gives. Collective.

    Loads are optional in all methods: without them the equations are homogeneous.

    Args:
        problem: The linearised problem, with its matrices assembled.
        petsc: PETSc options with the prefixes `transport_` for M - aδA_k, `mass_` for M and `fluxes_` for
            G_k.

    Attributes:
        problem: The same.
        failed: What the solvers of single matrices could not solve, in words; empty if there is nothing.
    """

    def __init__(self, problem: LinearisedJko, petsc: Mapping[str, Option] | None = None) -> None:
        petsc = petsc or {}
        self.problem = problem
        self.failed = ""
        slabs = range(problem.slabs)
        self._implicit = [problem.implicit_step(k) for k in slabs]
        self._explicit = [problem.explicit_step(k) for k in slabs]
        self._steps = [linear_solver(matrix, "transport_", petsc) for matrix in self._implicit]
        self._mass = linear_solver(problem.mass, "mass_", petsc)
        self._flux_masses = []
        if not problem.eliminates:
            masses = map(problem.flux_mass, slabs)
            self._flux_masses = [linear_solver(mass, "fluxes_", petsc) for mass in masses]

    def mult(self, u: PETSc.Vec, product: PETSc.Vec) -> None:
        """The product with the matrix.

        Args:
            u: A vector of potentials, f in the last slab.
            product: Where the product goes.
        """
        self._defect(self.potentials(u), self.end(u)).copy(product)

    def right_side(self, loads: Loads) -> PETSc.Vec:
        """The right-hand side b.

        Args:
            loads: The right-hand sides of all equations.

        Returns:
            A new vector of potentials.
        """
        nothing = self.vector()
        found = self._defect(self.potentials(nothing, loads), self.end(nothing, loads), loads)
        found.scale(-1.0)
        return found

    def vector(self) -> PETSc.Vec:
        """A new vector of potentials."""
        return self.problem.mass.createVecLeft()

    def potentials(self, u: PETSc.Vec, loads: Loads | None = None) -> list[PETSc.Vec]:
        """The potentials f_1..f_S for f_S = u.

        Args:
            u: The potential in the last slab.
            loads: Right-hand sides.

        Returns:
            The vectors, one for each slab; the last is u itself.
        """
        f = [u]
        for k in range(self.problem.slabs - 2, -1, -1):
            right = self.vector()
            self._explicit[k + 1].multTranspose(f[0], right)
            if loads is not None:
                right.axpy(1.0, loads.adjoint[k + 1])
            f.insert(0, self._carried_back(k, right))
        return f

    def end(self, u: PETSc.Vec, loads: Loads | None = None) -> PETSc.Vec:
        """The potential p at the end for f_S = u.

        Args:
            u: The potential in the last slab.
            loads: Right-hand sides.

        Returns:
            A new vector of potentials.
        """
        right = self.vector()
        self._implicit[-1].multTranspose(u, right)
        if loads is not None:
            right.axpy(-1.0, loads.adjoint[-1])
        return self.without_mass(right)

    def without_mass(self, right: PETSc.Vec) -> PETSc.Vec:
        """M⁻¹ times a vector.

        Args:
            right: The vector.

        Returns:
            A new vector.
        """
        return self._solved(self._mass, right, "mass matrix")

    def flux(self, k: int, f: PETSc.Vec, loads: Loads | None = None) -> PETSc.Vec:
        """The flux of slab k, numbered from 0, where fluxes are unknowns: G_k⁻¹(l_k - Bᵀf).

        Args:
            k: The number of the slab.
            f: The potential there.
            loads: Right-hand sides.

        Returns:
            A new vector of fluxes.
        """
        right = self.problem.coupling.createVecRight()
        self.problem.coupling.multTranspose(f, right)
        right.scale(-1.0)
        if loads is not None:
            right.axpy(1.0, loads.flux[k])
        return self._solved(self._flux_masses[k], right, "mass matrix of fluxes")

    def _diffused(self, k: int, f: PETSc.Vec, loads: Loads | None = None) -> PETSc.Vec:
        """The vector δK_k f, with the load l_k of fluxes that are not eliminated."""
        problem, found = self.problem, self.vector()
        if problem.eliminates:
            problem.stiffness(k).mult(f, found)
            found.scale(problem.delta)
        else:
            problem.coupling.mult(self.flux(k, f, loads), found)
            found.scale(-problem.delta)
        return found

    def perturbations(self, f: list[PETSc.Vec], p: PETSc.Vec, loads: Loads | None = None) -> list[PETSc.Vec]:
        """The perturbations h_1..h_S for potentials f and p; h_S is that of p.

        Args:
            f: The potentials, one for each slab.
            p: The potential at the end.
            loads: Right-hand sides.

        Returns:
            Vectors, one for each slab.
        """
        h: list[PETSc.Vec] = []
        for k in range(self.problem.slabs - 1):
            right = self._arriving(k, f[k], h[-1] if h else None, loads)
            h.append(self._solved(self._steps[k], right, "transport"))
        right = self.vector()
        self.problem.end_mass.mult(p, right)
        if loads is not None:
            right.axpy(1.0, loads.end)
        right.scale(-1.0)
        return [*h, self.without_mass(right)]

    def _defect(self, f: list[PETSc.Vec], p: PETSc.Vec, loads: Loads | None = None) -> PETSc.Vec:
        """What the constraint of the last slab lacks."""
        h = self.perturbations(f, p, loads)
        found = self._arriving(self.problem.slabs - 1, f[-1], h[-2] if len(h) > 1 else None, loads)
        leaving = self.vector()
        self._implicit[-1].mult(h[-1], leaving)
        found.axpy(-1.0, leaving)
        return found

    def _arriving(self, k: int, f: PETSc.Vec, before: PETSc.Vec | None, loads: Loads | None) -> PETSc.Vec:
        """The right-hand side of h_k, from the perturbation before; without it, from h₀."""
        found = self._diffused(k, f, loads)
        if before is None and loads is not None:
            before = loads.start.x.petsc_vec
        if before is not None:
            moved = self.vector()
            self._explicit[k].mult(before, moved)
            found.axpy(1.0, moved)
        if loads is not None:
            found.axpy(1.0, loads.reduced[k])
        return found

    def _carried_back(self, k: int, right: PETSc.Vec) -> PETSc.Vec:
        found = right.duplicate()
        self._steps[k].solve_transposed(right, found)
        return self._checked(self._steps[k], found, "transport")

    def _solved(self, solver: KrylovSolver, right: PETSc.Vec, what: str) -> PETSc.Vec:
        found = right.duplicate()
        solver.solve(right, found)
        return self._checked(solver, found, what)

    def _checked(self, solver: KrylovSolver, found: PETSc.Vec, what: str) -> PETSc.Vec:
        if solver.failed:
            self.failed = what
        return found


def linear_solver(matrix: PETSc.Mat, prefix: str, petsc: Mapping[str, Option]) -> KrylovSolver:
    """The solver of a single matrix.

    Args:
        matrix: The matrix.
        prefix: "transport_", "mass_" or "fluxes_".
        petsc: PETSc options with their prefixes; those of others do not count.

    Returns:
        The solver.
    """
    kind = _TRANSPORT if prefix == "transport_" else _MASS
    return KrylovSolver(matrix.comm, prefix, kind, petsc, matrix)
