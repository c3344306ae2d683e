"""Fluxes of the linearised JKO problem, g = q∇f, and their elimination.

The constraint (2.14) of Bruna, Burger and Carrillo, ∂s h + div(g + h∇φ) = 0, is in weak form

    ∫∂s h v - A(h, v) + b(g, v) = 0   for all v in the space of potentials,

with the transport A of `fem_models.linearised_jko.slab_transport` and b of
`fem_models.linearised_jko.elements`, and fluxes g = q∇f are ∫g·w/q = -b(w, f) for all w: G g = -Bᵀf.

At the boundary the weak form has (2.12c), (q∇f + h∇φ)·n = 0. With ∂φ/∂n = 0, which is (2.11c) where there is
mass, both parts of the flux vanish there. φ need not have that to rounding. For continuous potentials
(q∇f + h∇φ)·n = 0 is the natural condition, and the orders of errors stay where ∂φ/∂n is not zero.
Raviart–Thomas fluxes have g·n = 0 strongly, and the transport lets nothing across either: a ∂φ/∂n that is not
zero makes an error in the fluxes of the cells there. Keep it small in any case: where ∂φ/∂n > 0, the equation
∂s f + ∇φ·∇f = 0, (2.12b), would need values of f from outside. Everything is dimensionless.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from petsc4py import PETSc
from ufl.core.expr import Expr

from fem_models.linearised_jko.elements import MixedSpaces
from fem_models.linearised_jko.forms import Assembled, Measures, assembled_vector, cell_blocks

_Array = npt.NDArray[np.float64]


class Fluxes:
    """What both kinds of fluxes share: b(g, ·) as a vector, and loads ∫r·w/q.

    Args:
        spaces: The spaces of potentials and fluxes.
        q: The density, a UFL scalar.
        measures: The integrals.
    """

    def __init__(self, spaces: MixedSpaces, q: Expr, measures: Measures) -> None:
        self.spaces, self._q, self._dx = spaces, q, measures.dx
        self._g, self._f = fem.Function(spaces.fluxes), fem.Function(spaces.potentials)
        v, self._w = ufl.TestFunction(spaces.potentials), ufl.TestFunction(spaces.fluxes)
        self._divergence = fem.form(spaces.coupling(self._g, v) * self._dx)

    def divergence(self, g: fem.Function) -> PETSc.Vec:
        """The vector b(g, v) for all v.

        Args:
            g: A flux.

        Returns:
            The vector, numbered as potentials.
        """
        self._g.x.array[:] = g.x.array
        return assembled_vector(self._divergence)

    def load(self, source: Expr) -> fem.Form:
        """The compiled form ∫r·w/q of a source r of fluxes, a UFL vector.

        Args:
            source: r.

        Returns:
            The form, to be assembled with the density q that is loaded.
        """
        return fem.form(ufl.inner(source, self._w) / self._q * self._dx)


class CellwiseFluxes(Fluxes):
    """Discontinuous fluxes of continuous potentials, eliminated cell by cell.

    With ∇P_k in the space of fluxes, ∇f = Σ_a ∇f(x_a) ψ_a on a cell T with the nodal basis ψ_a of DG_{k-1}.
    For the matrices G_ab = ∫ψ_aψ_b/q and N_ab = ∫ψ_aψ_b of T, the Schur complement b G⁻¹ bᵀ of the mixed
    system is Σ_ab H_ab ∇f(x_a)·∇v(x_b) with H = N G⁻¹ N: for P1 the stiffness matrix weighted with the
    harmonic mean of q on each cell. It is assembled as a form with one point in each cell.

    Args:
        spaces: The spaces.
        q: The density q > 0.
        measures: The integrals.
        slabs: The number of slabs.

    Attributes:
        stiffnesses: The matrices K_k = B G_k⁻¹ Bᵀ.
    """

    def __init__(self, spaces: MixedSpaces, q: Expr, measures: Measures, slabs: int) -> None:
        super().__init__(spaces, q, measures)
        mesh, (_, degree) = spaces.mesh, spaces.pair.flux
        dimension = mesh.topology.dim
        scalars = fem.functionspace(mesh, ("DG", degree))
        psi, chi = ufl.TrialFunction(scalars), ufl.TestFunction(scalars)
        self._mass = fem.form(psi * chi / q * measures.dx)
        self._cells = mesh.topology.index_map(dimension).size_local
        self._dofs = scalars.dofmap.list[: self._cells]
        nodes = self._dofs.shape[1]
        constants = fem.functionspace(mesh, ("DG", 0))
        sizes = assembled_vector(fem.form(ufl.TestFunction(constants) * measures.dx)).array_r
        self._volumes = sizes[constants.dofmap.list[: self._cells, 0]]
        # N divided by the volume: it is the same for all cells.
        self._unit = (1.0 + np.eye(nodes)) / (nodes * (nodes + 1)) if degree else np.ones((1, 1))
        self._weights = fem.Function(fem.functionspace(mesh, ("DG", 0, (nodes * nodes,))))
        self._stiffness = Assembled(self._stiffness_form(scalars), slabs)
        self.stiffnesses = self._stiffness.matrices
        self._slopes = fem.form(-spaces.coupling(self._w, self._f) * self._dx)

    def _stiffness_form(self, scalars: fem.FunctionSpace) -> ufl.Form:
        mesh, weights = self.spaces.mesh, self._weights
        f, v = ufl.TrialFunction(self.spaces.potentials), ufl.TestFunction(self.spaces.potentials)
        points = scalars.element.interpolation_points
        offsets = points - points.mean(axis=0)

        def slopes(u: Expr) -> list[Expr]:
            at_center = ufl.grad(u)
            if len(offsets) == 1:
                return [at_center]
            jacobian, second = ufl.Jacobian(mesh), ufl.grad(ufl.grad(u))
            return [at_center + second * (jacobian * ufl.as_vector(list(map(float, c)))) for c in offsets]

        pairs = [(a, b) for a in slopes(v) for b in slopes(f)]
        integrand = sum(weights[n] * ufl.inner(a, b) for n, (a, b) in enumerate(pairs))
        # Degree 1 is the rule of the centroid; degree 0 would be estimated.
        return integrand * ufl.dx(domain=mesh, metadata={"quadrature_degree": 1})

    def _inverses(self) -> _Array:
        """G⁻¹ of each cell for the density q that is loaded, shape (cells, nodes, nodes)."""
        return np.linalg.inv(cell_blocks(fem.assemble_matrix(self._mass).data, self._dofs, self._dofs))

    def assemble(self, k: int) -> None:
        """Assemble the matrix of slab k for the density q that is loaded.

        Args:
            k: The number of the slab, from 0.
        """
        weights = self._volumes[:, None, None] * (self._unit @ self._inverses() @ self._unit)
        nodes = self._weights.function_space.dofmap.list[: self._cells, 0]
        self._weights.x.array.reshape(-1, self._unit.size)[nodes] = weights.reshape(self._cells, -1)
        self._stiffness.assemble(k)

    def held(self, load: PETSc.Vec) -> PETSc.Vec:
        """The load itself: no unknowns are held.

        Args:
            load: A vector numbered as fluxes.

        Returns:
            The same vector.
        """
        return load

    def solve(self, f: fem.Function, load: PETSc.Vec) -> fem.Function:
        """The flux g with ∫g·w/q = -b(w, f) + load(w), for the density q that is loaded.

        Args:
            f: The potential.
            load: A vector numbered as fluxes.

        Returns:
            The flux, ghosts included.
        """
        self._f.x.array[:] = f.x.array
        right = assembled_vector(self._slopes)
        right.axpy(1.0, load)
        g = fem.Function(self.spaces.fluxes)
        dimension = self.spaces.mesh.geometry.dim
        nodes = self.spaces.fluxes.dofmap.list[: self._cells]
        values = self._inverses() @ right.array_r.reshape(-1, dimension)[nodes]
        g.x.array.reshape(-1, dimension)[nodes] = values
        g.x.scatter_forward()
        return g


class ConformingFluxes(Fluxes):
    """Raviart–Thomas fluxes, unknowns of the system, with zero normal component at the boundary.

    Args:
        spaces: The spaces.
        q: The density q > 0.
        measures: The integrals.
        slabs: The number of slabs.

    Attributes:
        masses: The matrices G_k of ∫g·w/q; rows of unknowns at the boundary are those of the identity.
        coupling: The matrix B of b(g, v), rows v; columns of unknowns at the boundary are zero.
    """

    def __init__(self, spaces: MixedSpaces, q: Expr, measures: Measures, slabs: int) -> None:
        super().__init__(spaces, q, measures)
        g, v = ufl.TrialFunction(spaces.fluxes), ufl.TestFunction(spaces.potentials)
        zero = fem.Function(spaces.fluxes)
        self._condition = fem.dirichletbc(zero, spaces.boundary_fluxes)
        self._mass = Assembled(ufl.inner(g, self._w) / q * measures.dx, slabs, [self._condition])
        self.masses = self._mass.matrices
        coupling = Assembled(spaces.coupling(g, v) * measures.dx, 1, [self._condition])
        coupling.assemble(0)
        self.coupling = coupling.matrices[0]

    def assemble(self, k: int) -> None:
        """Assemble the matrix of slab k for the density q that is loaded.

        Args:
            k: The number of the slab, from 0.
        """
        self._mass.assemble(k)

    def held(self, load: PETSc.Vec) -> PETSc.Vec:
        """The load with zeros where unknowns are held; it is changed.

        Args:
            load: A vector numbered as fluxes.

        Returns:
            The same vector.
        """
        array, dofs = load.array_w, self.spaces.boundary_fluxes
        array[dofs[dofs < len(array)]] = 0.0
        return load
