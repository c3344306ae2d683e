"""Hybridisation: the inverse of a mixed operator of Raviart–Thomas fluxes, by multipliers on facets.

For the matrix

    P = M + B G⁻¹ Bᵀ,    G = (∫D⁻¹g·w),   B = (∫v div g),

with M local to cells, u = P⁻¹r comes with a flux g: G g + Bᵀu = 0 and M u - B g = r. Let fluxes be those of
each cell alone, with multipliers λ for the continuity of their normal components (Arnold and Brezzi, RAIRO
Modél. Math. Anal. Numér. 1985), which stand for the potential on facets. Then g and u are eliminated cell by
cell, and

    P⁻¹ = L + Eᵀ S⁻¹ E

with L local to cells, and a matrix S that is symmetric, positive definite, and couples only facets of one
cell, where G⁻¹ and P are full. Everything is dimensionless.
"""

from __future__ import annotations

import basix.ufl
import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx.common import IndexMap
from mpi4py import MPI
from petsc4py import PETSc
from ufl.core.expr import Expr

from fem_models.linalg.coordinates import block_coordinates, coordinate_matrix, global_numbers
from fem_models.linearised_jko.elements import MixedSpaces
from fem_models.linearised_jko.forms import Measures, cell_blocks

_Array = npt.NDArray[np.float64]
_Numbers = npt.NDArray[np.integer]

# The relative size of moments that are rounding errors.
_ROUNDING = 1e-12


class Hybridised:
    """L, E and S with P⁻¹ = L + EᵀS⁻¹E. Collective; build it once.

    Args:
        spaces: Of a pair with Raviart–Thomas fluxes; those through the boundary are zero.
        local: M, a bilinear form over cells.
        tensor: D, shape (d, d), symmetric and positive definite.
        measures: The integrals.

    Attributes:
        local: L.
        coupling: E, with a row for each unknown of the space of fluxes, zero where it is not on an interior
            facet.
        multipliers: S, which has the rows of the identity there.
        potentials, fluxes: M and G, with diagonal rows for fluxes through the boundary.
        traces: The multipliers that stand for continuous, piecewise linear potentials, by their values at
            vertices.
    """

    def __init__(self, spaces: MixedSpaces, local: ufl.Form, tensor: Expr, measures: Measures) -> None:
        mesh = spaces.mesh
        cells = mesh.topology.index_map(mesh.topology.dim).size_local
        broken = fem.functionspace(mesh, _broken(spaces))
        g, w = ufl.TrialFunction(broken), ufl.TestFunction(broken)
        self._local = fem.form(local)
        self._mass = fem.form(ufl.inner(ufl.inv(tensor) * g, w) * measures.dx)
        # Unknowns of potentials, of fluxes of one cell, and of those of the whole mesh.
        self._u = spaces.potentials.dofmap.list[:cells]
        self._own = broken.dofmap.list[:cells]
        shared = spaces.fluxes.dofmap.list[:cells]
        self._change = cell_blocks(fem.interpolation_matrix(spaces.fluxes, broken).data, self._own, shared)
        coupling = fem.form(spaces.coupling(g, ufl.TestFunction(spaces.potentials)) * measures.dx)
        blocks = cell_blocks(fem.assemble_matrix(coupling).data, self._u, self._own)
        self._coupling = blocks @ self._change

        index_map = spaces.fluxes.dofmap.index_map
        held = np.zeros(index_map.size_local + index_map.num_ghosts, dtype=bool)
        held[spaces.boundary_fluxes] = True
        self._held = held[shared]
        self._coupling *= ~self._held[:, None]
        self._signs = self._outward(spaces)
        self._make_matrices(mesh.comm, spaces.potentials.dofmap.index_map, index_map, shared)
        self.traces = self._traces(spaces, w, shared, measures)

    def _outward(self, spaces: MixedSpaces) -> _Array:
        """1 and -1 where fluxes through interior facets leave a cell and enter it, else 0, (cells, n)."""
        # Of the unknowns of a facet the first is the whole flux, to the same side as the others.
        facets = spaces.fluxes.element.basix_element.entity_dofs[spaces.mesh.topology.dim - 1]
        through = self._coupling.sum(axis=1)
        signs = np.zeros_like(through)
        for unknowns in facets:
            signs[:, unknowns] = np.sign(through[:, unknowns[:1]])
        return signs

    def _make_matrices(
        self, comm: MPI.Comm, potentials: IndexMap, fluxes: IndexMap, shared: _Numbers
    ) -> None:
        u, g = (
            global_numbers(index_map, numbers)
            for index_map, numbers in ((potentials, self._u), (fluxes, shared))
        )
        owned = fluxes.size_local
        between = np.zeros(owned + fluxes.num_ghosts, dtype=bool)
        between[shared] = self._signs != 0.0
        self._apart = np.where(between[:owned], 0.0, 1.0)
        alone = fluxes.local_range[0] + np.arange(owned)
        self.local = coordinate_matrix(comm, potentials, potentials, *_entries(u, u))
        self.coupling = coordinate_matrix(comm, fluxes, potentials, *_entries(g, u))
        self.potentials = coordinate_matrix(comm, potentials, potentials, *_entries(u, u))
        self.fluxes = coordinate_matrix(comm, fluxes, fluxes, *_entries(g, g))
        rows, columns = (np.concatenate([numbers, alone]) for numbers in _entries(g, g))
        self.multipliers = coordinate_matrix(comm, fluxes, fluxes, rows, columns)

    def _traces(self, spaces: MixedSpaces, w: Expr, shared: _Numbers, measures: Measures) -> PETSc.Mat:
        """∫_∂T v g·n = ∫_T (g·∇v + v div g), the same from both cells of a facet up to the sign."""
        linears = fem.functionspace(spaces.mesh, ("Lagrange", 1))
        v = ufl.TrialFunction(linears)
        form = fem.form((ufl.inner(w, ufl.grad(v)) + v * ufl.div(w)) * measures.dx)
        vertices = linears.dofmap.list[: len(shared)]
        moments = _turned(self._change) @ cell_blocks(fem.assemble_matrix(form).data, self._own, vertices)
        # Zero is zero: vertices of no interior facet have no trace.
        moments *= np.abs(moments) > _ROUNDING * np.abs(moments).max(axis=(1, 2), keepdims=True)
        fluxes, index_map = spaces.fluxes.dofmap.index_map, linears.dofmap.index_map
        # Each facet that has a sign is in two cells.
        rows, columns = global_numbers(fluxes, shared), global_numbers(index_map, vertices)
        matrix = coordinate_matrix(spaces.mesh.comm, fluxes, index_map, *_entries(rows, columns))
        _set(matrix, 0.5 * self._signs[:, :, None] * moments)
        return matrix

    def assemble(self) -> None:
        """Assemble all matrices for the present values of what is in M and D."""
        held, coupling, signs = self._held, self._coupling, self._signs[:, :, None]
        mass = cell_blocks(fem.assemble_matrix(self._mass).data, self._own, self._own)
        mass = _turned(self._change) @ mass @ self._change
        mass *= ~(held[:, :, None] | held[:, None, :])
        every = np.arange(mass.shape[1])
        mass[:, every, every] += held
        inverse = np.linalg.inv(mass)
        slopes = coupling @ inverse
        local = cell_blocks(fem.assemble_matrix(self._local).data, self._u, self._u)
        potentials = np.linalg.inv(local + slopes @ _turned(coupling))
        fluxes = _turned(slopes) @ potentials
        multipliers = signs * (inverse - fluxes @ slopes) * _turned(signs)
        _set(self.potentials, local)
        _set(self.fluxes, mass)
        _set(self.local, potentials)
        _set(self.coupling, signs * fluxes)
        _set(self.multipliers, multipliers, self._apart)
        self.multipliers.setOption(PETSc.Mat.Option.SPD, True)


def _broken(spaces: MixedSpaces) -> tuple | basix.ufl._ElementBase:
    """The element of fluxes of each cell alone."""
    family, degree = spaces.pair.flux
    if spaces.mesh.topology.dim == 1:
        return "DG", degree, (1,)
    return basix.ufl.element(family, spaces.mesh.basix_cell(), degree, discontinuous=True)


def _turned(blocks: _Array) -> _Array:
    return np.swapaxes(blocks, 1, 2)


def _entries(rows: _Numbers, columns: _Numbers) -> tuple[_Numbers, _Numbers]:
    """Rows and columns of the entries of blocks, one after the other."""
    across, down = block_coordinates(rows, columns)
    return across.ravel(), down.ravel()


def _set(matrix: PETSc.Mat, *parts: _Array) -> None:
    matrix.setValuesCOO(np.concatenate([part.ravel() for part in parts]), PETSc.InsertMode.INSERT_VALUES)
