import numpy as np
import pytest
import ufl
from mpi4py import MPI
from references import COMM, mesh_of, waves

from fem_models.core.errors import InputError
from fem_models.nodal.edges import EdgeGeometry
from fem_models.nodal.stiffness import Stiffness, add_differences

from dolfinx import fem, la  # isort: skip

MESHES = {
    "interval": ("interval", {"lower": -1.0, "upper": 2.0, "cells": 17}),
    "rectangle": ("rectangle", {"cells": (5, 7)}),
    "disk": ("disk", {"h": 0.25}),
    "box": ("box", {"cells": (4, 3, 5)}),
    "ball": ("ball", {"h": 0.4}),
}
# Polynomials: the cell means of degree 2 and DOLFINx's integrals are both exact.
COEFFICIENTS = {
    "number": lambda x, dim: 2.5,
    "scalar": lambda x, dim: 1.0 + x[0] ** 2,
    "tensor": lambda x, dim: (2.0 + x[0]) * ufl.Identity(dim) + ufl.outer(x, x),
}


def space_of(name, alone=False):
    domain, keys = MESHES[name]
    return fem.functionspace(mesh_of(domain, alone, **keys), ("Lagrange", 1))


@pytest.fixture(params=MESHES)
def space(request):
    return space_of(request.param)


@pytest.fixture(params=COEFFICIENTS)
def coefficient(request, space):
    x = ufl.SpatialCoordinate(space.mesh)
    return COEFFICIENTS[request.param](x, space.mesh.geometry.dim)


def field_of(space, seed=3):
    field = fem.Function(space)
    field.x.array[:] = waves(space.tabulate_dof_coordinates(), seed)[:, 0]
    return field


def applied(space, stiffness, values):
    """Kc at the nodes of this rank."""
    sums = la.vector(space.dofmap.index_map)
    add_differences(stiffness.pairs, stiffness.k, values, sums.array)
    sums.scatter_reverse(la.InsertMode.add)
    return sums.array[: space.dofmap.index_map.size_local].copy()


@pytest.mark.parallel
def test_acts_like_the_assembled_form(space, coefficient):
    field, v = field_of(space), ufl.TestFunction(space)
    flux = ufl.dot(coefficient, ufl.grad(field)) if ufl.shape(coefficient) else coefficient * ufl.grad(field)
    expected = fem.assemble_vector(fem.form(ufl.dot(flux, ufl.grad(v)) * ufl.dx))
    expected.scatter_reverse(la.InsertMode.add)
    found = applied(space, Stiffness(space, coefficient), field.x.array)
    np.testing.assert_allclose(found, expected.array[: len(found)], atol=1e-11)
    assert COMM.allreduce(float(np.abs(found).max(initial=0.0)), op=MPI.MAX) > 0.1


@pytest.mark.parallel
def test_energy_is_a_sum_over_edges(space, coefficient):
    field = field_of(space, seed=5)
    flux = ufl.dot(coefficient, ufl.grad(field)) if ufl.shape(coefficient) else coefficient * ufl.grad(field)
    expected = COMM.allreduce(fem.assemble_scalar(fem.form(0.5 * ufl.dot(flux, ufl.grad(field)) * ufl.dx)))
    stiffness = Stiffness(space, coefficient)
    i, j = stiffness.pairs.T
    found = 0.5 * float(stiffness.k @ (field.x.array[i] - field.x.array[j]) ** 2)
    assert COMM.allreduce(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["interval", "rectangle", "disk"])
def test_is_the_edge_geometry_in_one_and_two_dimensions(name):
    space = space_of(name)
    edges, stiffness = EdgeGeometry(space), Stiffness(space, 3.0)
    np.testing.assert_array_equal(stiffness.pairs, edges.pairs)  # no diagonals of rectangles
    np.testing.assert_allclose(stiffness.k, 3.0 * edges.kappa, rtol=1e-10)


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["disk", "ball"])
def test_same_on_any_number_of_ranks(name):
    found = []
    for alone in (False, True):
        space = space_of(name, alone)
        x = ufl.SpatialCoordinate(space.mesh)
        k = Stiffness(space, COEFFICIENTS["tensor"](x, space.mesh.geometry.dim)).k
        found.append(np.sort(k if alone else np.concatenate(COMM.allgather(k))))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-13)


@pytest.mark.parallel
def test_singular_coefficients_are_seen_inside_the_cells_only():
    # x⁻² at the end of an interval: the mean over a cell that touches it is finite for every degree.
    space = space_of("interval")
    x = ufl.SpatialCoordinate(space.mesh)
    for degree in (1, 2, 4):
        stiffness = Stiffness(space, 1.0 / (x[0] + 1.0) ** 2, degree)
        assert np.all(np.isfinite(stiffness.k))
    # Of degree 4 it is near the mean 1/(ab) where the cell [a, b] is away from the singularity.
    ends = space.tabulate_dof_coordinates()[stiffness.pairs, 0] + 1.0
    far = ends.min(axis=1) > 1.0
    width = np.abs(ends[:, 0] - ends[:, 1])
    np.testing.assert_allclose(stiffness.k[far], 1.0 / (ends.prod(axis=1) * width)[far], rtol=1e-5)


@pytest.mark.parallel
def test_degree_of_the_quadrature():
    space = space_of("interval")
    x = ufl.SpatialCoordinate(space.mesh)
    for degree, exact in ((6, True), (1, False)):
        stiffness = Stiffness(space, x[0] ** 6, degree)
        a, b = space.tabulate_dof_coordinates()[stiffness.pairs, 0].T
        expected = (b**7 - a**7) / (7.0 * (b - a) * np.abs(b - a))
        close = COMM.allreduce(bool(np.allclose(stiffness.k, expected, rtol=1e-10)), op=MPI.LAND)
        assert close == exact


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("coefficient", "match"),
    [
        (lambda x: x, r"has shape \(2,\): give a scalar or a tensor of shape \(2, 2\)"),
        (lambda x: ufl.Identity(3), r"has shape \(3, 3\)"),
        (lambda x: ufl.as_tensor([[1, x[0]], [0, 1]]), "must be a symmetric tensor"),
        (lambda x: ufl.sqrt(x[0] - 0.5), "not finite everywhere"),
    ],
)
def test_bad_coefficients(coefficient, match):
    space = space_of("rectangle")
    with pytest.raises(InputError, match=match) as caught:
        Stiffness(space, coefficient(ufl.SpatialCoordinate(space.mesh)))
    assert len(set(COMM.allgather(str(caught.value)))) == 1
