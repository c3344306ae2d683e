"""The diffusion of a linearised JKO problem, carried along its flow to the last slab.

With potentials f that are constant along the flow, f_k = f_S∘Y_k where Y_k follows ∇φ from the middle of slab
k to that of the last one S, the first term of Bruna, Burger and Carrillo's functional (2.13) is

    Σ_k δ ∫q_k |∇f_k|² = ∫ D ∇f_S·∇f_S,    D(y) = Σ_k δ (q_k DY_k DY_kᵀ / det DY_k)(Y_k⁻¹(y)).

D is found slab by slab: ∂s D + ∇φ·∇D = (∇²φ) D + D (∇²φ) - (Δφ) D, and δ q_k I is added in the middle of
each.
What is carried are the logarithms of these matrices: they stay positive definite, and a density that varies
exponentially has a logarithm that a mesh resolves. Preconditioners need D to some ten per cent, so ∇φ and ∇²φ
are recovered at vertices, for potentials of any space. Everything is dimensionless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc
from ufl.core.expr import Expr

from fem_models.linalg.krylov import KrylovSolver
from fem_models.linalg.options import Option
from fem_models.linearised_jko.forms import Assembled, Measures, assembled, assembled_vector
from fem_models.linearised_jko.slab_data import SlabData

_Array = npt.NDArray[np.float64]

_ACCURACY: dict[str, Option] = {"ksp_rtol": 1e-6, "ksp_atol": 0.0}
_MASS: dict[str, Option] = {"ksp_type": "cg", "pc_type": "jacobi", **_ACCURACY}
_TRANSPORT: dict[str, Option] = {"ksp_type": "gmres", "pc_type": "bjacobi", **_ACCURACY}

# A speed that is nothing.
_SLOW = 1e-100


class FollowedDiffusion:
    """The diffusion tensor D of a problem. Collective.

    Args:
        q: The density q > 0.
        phi: The potential φ.
        data: The slabs, and what loads q and φ.
        measures: The integrals.
        petsc: PETSc options with the prefixes `follow_mass_` and `follow_transport_`, for the linear solvers.

    Attributes:
        velocity: ∇φ at vertices, a vector of P1 functions; of the last slab after `update`.
        tensor: D or such a mean, constant on cells, shape (d, d).
    """

    def __init__(
        self,
        q: Expr,
        phi: Expr,
        data: SlabData,
        measures: Measures,
        petsc: Mapping[str, Option] | None = None,
    ) -> None:
        self._petsc = petsc or {}
        self._data, self._slabs = data, data.slabs
        mesh, dx = measures.mesh, measures.dx
        self._points = mesh.geometry.x
        self._comm, self._dim = mesh.comm, mesh.geometry.dim
        d = self._dim
        self._scalars = fem.functionspace(mesh, ("Lagrange", 1))
        vectors = fem.functionspace(mesh, ("Lagrange", 1, (d,)))
        tensors = fem.functionspace(mesh, ("Lagrange", 1, (d * d,)))
        self.velocity = fem.Function(vectors)
        self.tensor = fem.Function(fem.functionspace(mesh, ("DG", 0, (d, d))))
        self._hessian = fem.Function(tensors)
        self._component = fem.Function(self._scalars)

        u, w = ufl.TrialFunction(self._scalars), ufl.TestFunction(self._scalars)
        v = ufl.TestFunction(vectors)
        self._slope_load = fem.form(ufl.inner(ufl.grad(phi), v) * dx)
        slopes = ufl.grad(self.velocity)
        flat = ufl.as_vector([slopes[i, j] + slopes[j, i] for i in range(d) for j in range(d)])
        self._hessian_load = fem.form(0.5 * ufl.inner(flat, ufl.TestFunction(tensors)) * dx)
        self._logarithm_load = fem.form(ufl.ln(q) * w * dx)
        ones = ufl.as_vector([1.0] * (d * d))
        self._volumes = assembled_vector(fem.form(ufl.inner(ones, ufl.TestFunction(tensors)) * dx))
        self._scalar_mass = self._mass_solver(assembled(u * w * dx))
        self._mass = self._mass_solver(assembled(ufl.inner(ufl.TrialFunction(vectors), v) * dx))

        # Crank and Nicolson's rule, with the diffusion along the flow of upwind values.
        along = ufl.inner(self.velocity, ufl.grad(u))
        speed = ufl.sqrt(ufl.inner(self.velocity, self.velocity))
        reach = ufl.Circumradius(mesh) / (speed + _SLOW)
        advection = along * (w + reach * ufl.inner(self.velocity, ufl.grad(w)))
        half = fem.Constant(mesh, 0.5 * self._slabs.delta)
        self._implicit = Assembled((u * w + half * advection) * dx, 1)
        self._explicit = Assembled((u * w - half * advection) * dx, 1)

    def _mass_solver(self, matrix: PETSc.Mat) -> KrylovSolver:
        return KrylovSolver(matrix.comm, "follow_mass_", _MASS, self._petsc, matrix)

    def displacement(self) -> float:
        """An estimate of Δt max|∇φ|, as a share of the largest extent of the domain."""
        furthest = 0.0
        for k in range(self._slabs.count):
            self._load_velocity(k)
            speeds = np.linalg.norm(self.velocity.x.array.reshape(-1, self._dim), axis=1)
            furthest += self._slabs.delta * float(speeds.max(initial=0.0))
        points = self._points
        lower, upper = np.empty(3), np.empty(3)
        self._comm.Allreduce(points.min(axis=0, initial=np.inf), lower, op=MPI.MIN)
        self._comm.Allreduce(points.max(axis=0, initial=-np.inf), upper, op=MPI.MAX)
        return self._comm.allreduce(furthest, op=MPI.MAX) / float((upper - lower).max())

    def update(self, share: float) -> None:
        """Give `tensor` and `velocity` their values for the data of the problem.

        Args:
            share: Between 0 and 1, for the geometric mean exp(share log D + (1 - share) log D₀) with
                D₀ = Σ_k δ q_k I, which stays where it is.
        """
        delta, unit = self._slabs.delta, np.eye(self._dim)
        carried, staying = np.zeros((1, self._dim, self._dim)), np.zeros((1, self._dim, self._dim))
        before = None
        for k in range(self._slabs.count):
            self._load_velocity(k)
            after = self.velocity.x.array.copy()
            if share and before is not None:
                self.velocity.x.array[:] = 0.5 * (before + after)
                carried = self._carried(carried)
                self.velocity.x.array[:] = after
            before = after
            added = delta * self._density()[:, None, None] * unit
            carried, staying = carried + added, staying + added
        mean = share * _of_eigenvalues(np.log, carried) + (1.0 - share) * _of_eigenvalues(np.log, staying)
        # The same mean over the vertices of cells.
        on_cells = _of_eigenvalues(np.exp, mean[self._scalars.dofmap.list].mean(axis=1))
        cells = self.tensor.function_space.dofmap.list[:, 0]
        self.tensor.x.array.reshape(-1, self._dim, self._dim)[cells] = on_cells

    def _load_velocity(self, k: int) -> None:
        self._data.load(k)
        _solve(self._mass, assembled_vector(self._slope_load), self.velocity)

    def _density(self) -> _Array:
        """The density q at vertices, from the projection of its logarithm."""
        _solve(self._scalar_mass, assembled_vector(self._logarithm_load), self._component)
        return np.exp(self._component.x.array)

    def _carried(self, diffusion: _Array) -> _Array:
        """D after a slab with the velocity that is loaded."""
        self._hessian.x.petsc_vec.pointwiseDivide(assembled_vector(self._hessian_load), self._volumes)
        self._hessian.x.scatter_forward()
        hessian = self._hessian.x.array.reshape(-1, self._dim, self._dim)
        stretch = _of_eigenvalues(np.exp, 0.5 * self._slabs.delta * hessian)
        growth = np.linalg.det(stretch)[:, None, None]
        self._implicit.assemble(0)
        self._explicit.assemble(0)
        matrix = self._implicit.matrices[0]
        solver = KrylovSolver(matrix.comm, "follow_transport_", _TRANSPORT, self._petsc, matrix)
        logarithm = _of_eigenvalues(np.log, stretch @ diffusion @ stretch / growth)
        right = self._explicit.matrices[0].createVecLeft()
        for i in range(self._dim):
            for j in range(i + 1):
                self._component.x.array[:] = logarithm[:, i, j]
                self._explicit.matrices[0].mult(self._component.x.petsc_vec, right)
                _solve(solver, right, self._component)
                logarithm[:, i, j] = logarithm[:, j, i] = self._component.x.array
        return stretch @ _of_eigenvalues(np.exp, logarithm) @ stretch / growth


def _of_eigenvalues(function: Callable[[_Array], _Array], matrices: npt.NDArray[np.floating]) -> _Array:
    """The function of symmetric matrices, shape (..., d, d)."""
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * function(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def _solve(solver: KrylovSolver, right: PETSc.Vec, found: fem.Function) -> None:
    # Where the right-hand side is zero PETSc may leave what is there.
    found.x.array[:] = 0.0
    solver.solve(right, found.x.petsc_vec)
    found.x.scatter_forward()
