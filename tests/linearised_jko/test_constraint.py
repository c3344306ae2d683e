"""Matrices of the linearised JKO problem: elimination of fluxes, transport, reconstruction, data in slabs."""

import numpy as np
import pytest
import ufl
from references import COMM, mesh_of, waves

from fem_models.core.errors import InputError
from fem_models.linearised_jko.constraint import CellwiseFluxes, ConformingFluxes
from fem_models.linearised_jko.data_checks import require_positive
from fem_models.linearised_jko.elements import MixedSpaces, pair_named
from fem_models.linearised_jko.forms import (
    Measures,
    assembled,
    assembled_vector,
    cell_blocks,
)
from fem_models.linearised_jko.reconstruction import linear_reconstruction
from fem_models.linearised_jko.slab_data import SlabData, Slabs
from fem_models.linearised_jko.slab_transport import transports

from dolfinx import fem  # isort: skip

CONTINUOUS = ("P1-DG0", "P2-DG1")
DISCONTINUOUS = ("DG0-RT1", "DG1-RT2")
MESHES = {"interval": {"cells": 7}, "rectangle": {"h": 0.3}, "box": {"h": 0.6}}
each_domain = pytest.mark.parametrize("domain", MESHES)


def spaces_on(domain, pair, alone=False):
    return MixedSpaces(mesh_of(domain, alone, **MESHES[domain]), pair_named(pair))


def coordinates(spaces):
    return ufl.SpatialCoordinate(spaces.mesh)


def with_values(space, seed):
    """A function whose values look random but depend on the positions of nodes and cells alone."""
    function = fem.Function(space)
    points = space.tabulate_dof_coordinates()
    function.x.array[:] = waves(points, seed)[:, 0] - 0.5
    if space.ufl_element().discontinuous:
        nodes = space.dofmap.list
        function.x.array[nodes] += waves(points[nodes].mean(axis=1), seed + 50)
    return function


def product(matrix, u, v):
    """v·(matrix u)."""
    result = matrix.createVecLeft()
    matrix.mult(u.x.petsc_vec, result)
    return result.dot(v.x.petsc_vec)


def integral(integrand, measures):
    return COMM.allreduce(fem.assemble_scalar(fem.form(integrand * measures.dx)))


def weight(x):
    """A density with a contrast of about 400."""
    return ufl.exp(-6.0 * x[0]) + 1e-3 * (1.0 + x[len(x) - 1])


# Fluxes


@each_domain
@pytest.mark.parametrize("pair", CONTINUOUS)
def test_stiffness_is_the_schur_complement_of_the_mixed_system(pair, domain):
    spaces = spaces_on(domain, pair, alone=True)
    measures, q = Measures(spaces), weight(coordinates(spaces))
    fluxes = CellwiseFluxes(spaces, q, measures, 1)
    fluxes.assemble(0)
    g, w = ufl.TrialFunction(spaces.fluxes), ufl.TestFunction(spaces.fluxes)
    v = ufl.TestFunction(spaces.potentials)
    mass = assembled(ufl.inner(g, w) / q * measures.dx).convert("dense").getDenseArray()
    coupling = assembled(spaces.coupling(g, v) * measures.dx).convert("dense").getDenseArray()
    expected = coupling @ np.linalg.solve(mass, coupling.T)
    found = fluxes.stiffnesses[0].convert("dense").getDenseArray()
    np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())


def test_blocks_of_cells_whose_unknowns_are_in_any_order():
    rng = np.random.default_rng(0)
    dofs = rng.permutation(12).reshape(4, 3).astype(np.int32)
    blocks = rng.uniform(size=(4, 3, 3))
    matrix = np.full((12, 12), np.nan)
    for cell, block in zip(dofs, blocks, strict=True):
        matrix[np.ix_(cell, cell)] = block
    # Entries of ghost rows come after those of the cells.
    entries = np.append(matrix[~np.isnan(matrix)], [7.0, 8.0])
    np.testing.assert_array_equal(cell_blocks(entries, dofs, dofs), blocks)


@pytest.mark.parallel
@pytest.mark.parametrize("pair", CONTINUOUS)
def test_stiffness_and_fluxes_agree_on_any_number_of_ranks(pair):
    spaces = spaces_on("rectangle", pair)
    measures, q = Measures(spaces), weight(coordinates(spaces))
    fluxes = CellwiseFluxes(spaces, q, measures, 1)
    fluxes.assemble(0)
    f, v = with_values(spaces.potentials, 1), with_values(spaces.potentials, 2)
    nothing = fem.Function(spaces.fluxes)
    g, w = (fluxes.solve(potential, nothing.x.petsc_vec) for potential in (f, v))
    # Both are ∫g·w/q, and the flux is the one with ∫g·w/q = ∫w·∇f.
    expected = product(fluxes.stiffnesses[0], f, v)
    np.testing.assert_allclose(integral(ufl.inner(g, w) / q, measures), expected, rtol=1e-12)
    np.testing.assert_allclose(fluxes.divergence(g).dot(v.x.petsc_vec), -expected, rtol=1e-12)
    residual = fluxes.load(g * 1.0)
    slopes = fem.form(ufl.inner(ufl.grad(f), ufl.TestFunction(spaces.fluxes)) * measures.dx)
    left, right = assembled_vector(residual), assembled_vector(slopes)
    scale = right.norm()
    left.axpy(-1.0, right)
    assert left.norm() <= 1e-13 * scale


@pytest.mark.parallel
@pytest.mark.parametrize("pair", DISCONTINUOUS)
def test_raviart_thomas_fluxes_do_not_cross_the_boundary(pair):
    spaces = spaces_on("rectangle", pair)
    measures, q = Measures(spaces), weight(coordinates(spaces))
    fluxes = ConformingFluxes(spaces, q, measures, 1)
    fluxes.assemble(0)
    one = fem.Function(spaces.potentials)
    one.x.array[:] = 1.0
    balance = fluxes.coupling.createVecRight()
    fluxes.coupling.multTranspose(one.x.petsc_vec, balance)
    assert balance.norm() <= 1e-13 * fluxes.coupling.norm()
    load = fluxes.held(assembled_vector(fluxes.load(ufl.as_vector([1.0, 2.0]))))
    held = spaces.boundary_fluxes
    held = held[held < len(load.array_r)]
    assert COMM.allreduce(len(held)) > 0
    assert not load.array_r[held].any()
    np.testing.assert_array_equal(fluxes.masses[0].getDiagonal().array_r[held], 1.0)


# Transport


def matrix_of_transport(spaces, phi):
    measures = Measures(spaces)
    found = transports(spaces, phi, measures, 2)
    found.assemble(1)
    return found.matrices[1], measures


def carrying(x):
    """A potential whose gradient has all directions."""
    return ufl.sin(2.0 * x[0] + 0.3) * (1.0 + x[len(x) - 1] ** 2)


@pytest.mark.parallel
@each_domain
@pytest.mark.parametrize("pair", CONTINUOUS + DISCONTINUOUS)
def test_transport_keeps_the_mass_and_is_exact_for_what_the_space_has(pair, domain):
    spaces = spaces_on(domain, pair)
    x = coordinates(spaces)
    matrix, measures = matrix_of_transport(spaces, carrying(x))
    h, one = with_values(spaces.potentials, 3), fem.Function(spaces.potentials)
    one.x.array[:] = 1.0
    assert abs(product(matrix, h, one)) <= 1e-13 * matrix.norm() * h.x.petsc_vec.norm()
    if pair == "DG0-RT1":
        return
    # Affine functions have no jumps: neither the penalty nor the upwind value is seen.
    h.interpolate(lambda x: 1.0 + 2.0 * x[0] - x[1])
    v = fem.Function(spaces.potentials)
    v.interpolate(lambda x: 3.0 * x[0] + x[1] + x[2])
    expected = integral(h * ufl.inner(ufl.grad(carrying(x)), ufl.grad(v)), measures)
    np.testing.assert_allclose(product(matrix, h, v), expected, rtol=1e-12)


@pytest.mark.parallel
@pytest.mark.parametrize("pair", CONTINUOUS + DISCONTINUOUS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_transport_with_constant_velocity_damps_rough_densities(sign, pair):
    spaces = MixedSpaces(mesh_of("rectangle", h=0.1), pair_named(pair))
    x = coordinates(spaces)
    matrix, _ = matrix_of_transport(spaces, sign * (x[0] + 0.5 * x[1]))
    h = with_values(spaces.potentials, 5)
    # Away from the boundary, ∫h∇φ·∇h = 0 for continuous h: what is left are jumps.
    points = spaces.potentials.tabulate_dof_coordinates()
    h.x.array[np.abs(points[:, :2] - 0.5).max(axis=1) > 0.25] = 0.0
    assert -product(matrix, h, h) > 1e-4 * h.x.petsc_vec.norm() ** 2


@pytest.mark.parallel
@each_domain
def test_reconstruction_keeps_means_and_is_exact_for_affine_functions(domain):
    mesh = mesh_of(domain, **MESHES[domain])
    constants, linears = (fem.functionspace(mesh, ("DG", k)) for k in (0, 1))
    matrix = linear_reconstruction(constants, linears)

    def affine(x):
        return 1.0 + 2.0 * x[0] - 3.0 * x[1] + 0.5 * x[2]

    means, expected, found = fem.Function(constants), fem.Function(linears), fem.Function(linears)
    means.interpolate(affine)
    expected.interpolate(affine)
    matrix.mult(means.x.petsc_vec, found.x.petsc_vec)
    found.x.scatter_forward()
    cells = np.arange(mesh.topology.index_map(mesh.topology.dim).size_local)
    error = (found.x.array - expected.x.array)[linears.dofmap.list[cells]]
    # The mean over the corners of a cell is that over the cell.
    np.testing.assert_allclose(error.mean(axis=1), 0.0, atol=1e-13)
    inner = _inner_cells(mesh)[cells]
    assert COMM.allreduce(inner.sum()) > 0
    np.testing.assert_allclose(error[inner], 0.0, atol=1e-12)


def _inner_cells(mesh):
    """Cells without a facet at the boundary."""
    from dolfinx.mesh import exterior_facet_indices

    dim = mesh.topology.dim
    mesh.topology.create_connectivity(dim - 1, dim)
    index_map = mesh.topology.index_map(dim)
    inner = np.ones(index_map.size_local + index_map.num_ghosts, dtype=bool)
    cells = mesh.topology.connectivity(dim - 1, dim)
    for facet in exterior_facet_indices(mesh.topology):
        inner[cells.links(facet)] = False
    return inner


# Data in slabs


@pytest.mark.parametrize(
    ("count", "weight_", "times"), [(1, 1.0, [0.3, 0.6]), (3, 0.5, [0.1, 0.3, 0.5, 0.6])]
)
def test_times_of_slabs(count, weight_, times):
    slabs = Slabs(0.6, count)
    assert slabs.weight == weight_
    np.testing.assert_allclose([slabs.time(k) for k in range(count + 1)], times)


def test_data_follow_the_time_as_formulas_and_as_lists():
    mesh = mesh_of("interval", cells=4)
    space = fem.functionspace(mesh, ("Lagrange", 1))
    slabs = Slabs(1.0, 2)
    given = [fem.Function(space) for _ in range(3)]
    for k, function in enumerate(given):
        function.x.array[:] = slabs.time(k) * (2.0 + space.tabulate_dof_coordinates()[:, 0])
    data = SlabData(mesh, slabs)
    listed = data.of(given, 3, "q")
    formula = data.of(lambda x, s: 2.0 * s + x[0] * s, 3, "q")
    values = [fem.form(e * ufl.dx) for e in (listed, formula)]
    for k, s in enumerate([0.25, 0.75, 1.0]):
        data.load(k)
        for form in values:
            assert COMM.allreduce(fem.assemble_scalar(form)) == pytest.approx(2.5 * s)


def test_lists_of_another_length_or_of_several_spaces_are_refused():
    mesh = mesh_of("interval", cells=4)
    one, other = (fem.Function(fem.functionspace(mesh, ("Lagrange", k))) for k in (1, 2))
    data = SlabData(mesh, Slabs(1.0, 2))
    with pytest.raises(InputError, match=r"q needs 3 functions of one space.*there are 2"):
        data.of([one, one], 3, "q")
    with pytest.raises(InputError, match="of 2 spaces"):
        data.of([one, other, one], 3, "q")


@pytest.mark.parallel
def test_least_values_are_those_of_all_ranks():
    spaces = spaces_on("rectangle", "P1-DG0")
    measures, x = Measures(spaces), coordinates(spaces)
    # Quadrature points come within a third of a cell of the corner.
    assert -1.0 < measures.least(x[0] + x[1] - 1.0)() < -0.8
    assert measures.least(ufl.ln(x[0] - 0.5))() == -np.inf
    with pytest.raises(InputError, match=r"q must be positive.*here, its least value is -1"):
        require_positive(-1.0, "q", "here")
    with pytest.raises(InputError, match="it is not finite"):
        require_positive(-np.inf, "q", "here")
    require_positive(1e-300, "q", "here")
