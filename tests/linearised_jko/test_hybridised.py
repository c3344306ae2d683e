"""The inverse of mixed operators by multipliers on facets, against the equations with fluxes."""

import numpy as np
import pytest
import ufl
from references import mesh_of

from fem_models.linearised_jko.elements import MixedSpaces, pair_named
from fem_models.linearised_jko.forms import Assembled, Measures, assembled
from fem_models.linearised_jko.hybridised import Hybridised

from dolfinx import fem  # isort: skip
from dolfinx.la import InsertMode  # isort: skip
from petsc4py import PETSc  # isort: skip

DOMAINS = {1: "interval", 2: "rectangle", 3: "box"}


def _solved(matrix, right):
    ksp = PETSc.KSP().create(matrix.comm)
    ksp.setOperators(matrix)
    ksp.setType("preonly")
    ksp.getPC().setType("lu")
    ksp.getPC().setFactorSolverType("mumps")
    found = right.duplicate()
    ksp.solve(right, found)
    ksp.destroy()
    return found


def _parts(cells, pair):
    d = len(cells)
    spaces = MixedSpaces(mesh_of(DOMAINS[d], cells=cells), pair_named(pair))
    measures = Measures(spaces)
    x = ufl.SpatialCoordinate(spaces.mesh)
    tensor = (1.0 + x[0]) * ufl.Identity(d) + ufl.outer(x, x)
    u, v = ufl.TrialFunction(spaces.potentials), ufl.TestFunction(spaces.potentials)
    local = (u + 0.1 * u.dx(0)) * (v + 0.1 * v.dx(0)) * measures.dx
    parts = Hybridised(spaces, local, tensor, measures)
    parts.assemble()
    return spaces, measures, tensor, local, parts


@pytest.mark.parallel
@pytest.mark.parametrize("pair", ["DG0-RT1", "DG1-RT2"])
@pytest.mark.parametrize("cells", [(5,), (4, 3), (2, 2, 2)])
def test_the_inverse_is_that_of_the_mixed_operator(cells, pair):
    spaces, measures, tensor, local, parts = _parts(cells, pair)
    right = parts.local.createVecRight()
    start, end = right.getOwnershipRange()
    right.array_w[:] = np.cos(np.arange(start, end, dtype=float) ** 2)
    load = parts.coupling * right
    found = parts.local * right
    back = found.duplicate()
    parts.coupling.multTranspose(_solved(parts.multipliers, load), back)
    found.axpy(1.0, back)

    # With the fluxes of the whole mesh, which are held at the boundary.
    g, w = ufl.TrialFunction(spaces.fluxes), ufl.TestFunction(spaces.fluxes)
    v = ufl.TestFunction(spaces.potentials)
    held = [fem.dirichletbc(fem.Function(spaces.fluxes), spaces.boundary_fluxes)]
    mass = Assembled(ufl.inner(ufl.inv(tensor) * g, w) * measures.dx, 1, held)
    coupling = Assembled(spaces.coupling(g, v) * measures.dx, 1, held)
    for matrix in (mass, coupling):
        matrix.assemble(0)
    slopes = coupling.matrices[0].createVecRight()
    coupling.matrices[0].multTranspose(found, slopes)
    product = assembled(local) * found
    product.axpy(1.0, coupling.matrices[0] * _solved(mass.matrices[0], slopes))
    product.axpy(-1.0, right)
    assert product.norm() < 1e-12 * right.norm()


@pytest.mark.parallel
@pytest.mark.parametrize("pair", ["DG0-RT1", "DG1-RT2"])
@pytest.mark.parametrize("cells", [(5,), (4, 3), (2, 2, 2)])
def test_traces_of_linear_potentials_solve_the_cells_problems(cells, pair):
    """With M → 0 and D = 1, Sλ is the jump of their fluxes -∇u, none but near the boundary."""
    spaces, measures, _, _, _ = _parts(cells, pair)
    u, v = ufl.TrialFunction(spaces.potentials), ufl.TestFunction(spaces.potentials)
    small = fem.Constant(spaces.mesh, 1e-10)
    parts = Hybridised(spaces, small * u * v * measures.dx, ufl.Identity(len(cells)), measures)
    parts.assemble()
    linears = fem.functionspace(spaces.mesh, ("Lagrange", 1))
    potential, constant = fem.Function(linears), fem.Function(linears)
    potential.interpolate(lambda x: 1.0 + x[0] - 2.0 * x[len(cells) - 1])
    constant.x.array[:] = 1.0
    jumps = parts.multipliers * (parts.traces * potential.x.petsc_vec)
    inner = jumps.array_r[_inner_fluxes(spaces)]
    assert np.abs(inner).max(initial=0.0) < 1e-8 * jumps.norm()
    assert (parts.multipliers * (parts.traces * constant.x.petsc_vec)).norm() < 1e-8 * jumps.norm()


def _inner_fluxes(spaces):
    """Unknowns, of this rank, that belong to no cell with a facet at the boundary."""
    index_map = spaces.fluxes.dofmap.index_map
    touched = np.zeros(index_map.size_local + index_map.num_ghosts)
    boundary = np.isin(spaces.fluxes.dofmap.list, spaces.boundary_fluxes).any(axis=1)
    near = fem.Function(spaces.fluxes)
    touched[spaces.fluxes.dofmap.list[boundary]] = 1.0
    near.x.array[:] = touched
    near.x.scatter_reverse(InsertMode.add)
    near.x.scatter_forward()
    return near.x.array[: index_map.size_local] == 0.0
