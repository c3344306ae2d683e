import math

import numpy as np
import pytest
import scipy.sparse as sparse
import ufl
from mpi4py import MPI
from references import COMM, mesh_of, waves
from scipy.sparse.linalg import spsolve
from scipy.spatial import ConvexHull, Voronoi

from fem_models.nodal.edges import EdgeGeometry

import basix.ufl  # isort: skip
from dolfinx import fem, la  # isort: skip
from dolfinx import mesh as dmesh  # isort: skip

serial = pytest.mark.skipif(COMM.size > 1, reason="looks at the whole mesh")

MESHES = {
    "interval": ("interval", {"lower": -1.0, "upper": 2.0, "cells": 17}),
    "rectangle": ("rectangle", {"cells": (5, 7)}),
    "disk": ("disk", {"h": 0.25}),
    "box": ("box", {"cells": (4, 3, 5)}),
    "unstructured box": ("box", {"h": 0.25}),
    "ball": ("ball", {"h": 0.4}),
}
SOLID = ["box", "unstructured box", "ball"]


def space_of(name, alone=False):
    domain, keys = MESHES[name]
    return fem.functionspace(mesh_of(domain, alone, **keys), ("Lagrange", 1))


@pytest.fixture(params=MESHES)
def space(request):
    return space_of(request.param)


def points_of(space):
    return space.tabulate_dof_coordinates()[:, : space.mesh.geometry.dim]


def owned_nodes(space):
    return space.dofmap.index_map.size_local


def laplacian(space, edges, u):
    """Σ_j κ_ij (u_i - u_j) at the nodes of this rank, for u of shape (nodes, k)."""
    columns = []
    for values in u.T:
        sums = la.vector(space.dofmap.index_map)
        sums.array[:] = 0.0
        i, j = edges.pairs.T
        flux = edges.kappa * (values[i] - values[j])
        np.add.at(sums.array, i, flux)
        np.add.at(sums.array, j, -flux)
        sums.scatter_reverse(la.InsertMode.add)
        columns.append(sums.array[: owned_nodes(space)].copy())
    return np.stack(columns, axis=1)


def domain_volume(mesh):
    dim = mesh.topology.dim
    cells = mesh.topology.index_map(dim).size_local
    corners = mesh.geometry.x[mesh.geometry.dofmaps[0][:cells]][:, :, :dim]
    sizes = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / math.factorial(dim)
    return COMM.allreduce(float(sizes.sum()))


def boundary_nodes(space):
    """Whether each node of this rank, ghosts included, is on the boundary."""
    mesh = space.mesh
    dim = mesh.topology.dim
    mesh.topology.create_connectivity(dim - 1, dim)
    facets = dmesh.exterior_facet_indices(mesh.topology)
    marks = la.vector(space.dofmap.index_map)
    marks.array[:] = 0.0
    marks.array[fem.locate_dofs_topological(space, dim - 1, facets)] = 1.0
    marks.scatter_reverse(la.InsertMode.add)
    marks.scatter_forward()
    return marks.array > 0.0


def gathered(values):
    """The sorted values of all ranks."""
    return np.sort(np.concatenate(COMM.allgather(np.ascontiguousarray(values))))


def cells_mesh(points, cells):
    """A mesh of given cells on a single rank."""
    points, dim = np.asarray(points, dtype=float), len(points[0])
    name = {2: "triangle", 3: "tetrahedron"}[dim]
    element = basix.ufl.element("Lagrange", name, 1, shape=(dim,))
    return dmesh.create_mesh(MPI.COMM_SELF, np.asarray(cells, dtype=np.int64), ufl.Mesh(element), points)


def edges_of_cells(points, cells):
    return EdgeGeometry(fem.functionspace(cells_mesh(points, cells), ("Lagrange", 1)))


# Coefficients


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["interval", "rectangle", "disk"])
def test_coefficients_are_the_stiffness_in_one_and_two_dimensions(name):
    space = space_of(name)
    u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    edges = EdgeGeometry(space)
    nodal = waves(points_of(space), 3, 2)
    found = laplacian(space, edges, nodal)
    for k in range(2):
        w = fem.Function(space)
        w.x.array[:] = nodal[:, k]
        expected = fem.assemble_vector(fem.form(ufl.inner(ufl.grad(w), ufl.grad(v)) * ufl.dx))
        expected.scatter_reverse(la.InsertMode.add)
        np.testing.assert_allclose(found[:, k], expected.array[: owned_nodes(space)], atol=2e-12)
    if COMM.size == 1:
        matrix = fem.assemble_matrix(fem.form(ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx)).to_scipy()
        i, j = edges.pairs.T
        np.testing.assert_allclose(np.asarray(matrix[i, j]).ravel(), -edges.kappa, rtol=1e-10)
        left_out = sparse.triu(matrix, 1).tocoo()
        kept = {frozenset(pair) for pair in edges.pairs.tolist()}
        others = [
            v
            for r, c, v in zip(left_out.row, left_out.col, left_out.data, strict=True)
            if frozenset((r, c)) not in kept
        ]
        assert np.all(np.abs(others) < 1e-11)


@serial
@pytest.mark.parametrize(("name", "h"), [("box", 0.15), ("ball", 0.25)])
def test_coefficients_are_those_of_the_voronoi_diagram_in_three_dimensions(name, h):
    space = fem.functionspace(mesh_of(name, h=h), ("Lagrange", 1))
    edges, points, outside = EdgeGeometry(space), points_of(space), boundary_nodes(space)
    diagram = Voronoi(points)
    expected = {}
    for (i, j), ridge in zip(diagram.ridge_points, diagram.ridge_vertices, strict=True):
        if -1 not in ridge and not (outside[i] or outside[j]):
            corners = diagram.vertices[ridge]
            # The area of a convex polygon, from its vertices in order.
            fan = np.cross(corners[1:-1] - corners[0], corners[2:] - corners[0])
            area = 0.5 * np.linalg.norm(fan.sum(axis=0))
            expected[frozenset((int(i), int(j)))] = area / np.linalg.norm(points[i] - points[j])
    scale = max(expected.values())
    compared = 0
    for (i, j), kappa in zip(edges.pairs.tolist(), edges.kappa, strict=True):
        if not (outside[i] or outside[j]):
            assert kappa == pytest.approx(expected.pop(frozenset((i, j)), 0.0), abs=1e-9 * scale)
            compared += 1
    assert compared > 300
    # No other pair has a Voronoi face of a size to speak of.
    assert all(value < 1e-9 * scale for value in expected.values())


@pytest.mark.parametrize(
    ("points", "cells", "kappa"),
    [
        # Equilateral triangle of side 1: cot(60°)/2.
        ([(0, 0), (1, 0), (0.5, 0.75**0.5)], [(0, 1, 2)], [0.5 / 3**0.5] * 3),
        # Regular tetrahedron of side √8: √2/24 √8.
        ([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)], [(0, 1, 2, 3)], [2**0.5 / 24 * 8**0.5] * 6),
        # Unit square in two triangles: nothing along the diagonal, cot(45°)/2 along the sides.
        ([(0, 0), (1, 0), (1, 1), (0, 1)], [(0, 1, 2), (0, 2, 3)], [0.5] * 4),
        # Rhombus with angles of 120° opposite to its long diagonal, cot(120°), and cot(30°)/2 at its sides.
        (
            [(0, 0), (1.5, 0.75**0.5), (3, 0), (1.5, -(0.75**0.5))],
            [(0, 1, 2), (0, 2, 3)],
            [-1 / 3**0.5] + [0.5 * 3**0.5] * 4,
        ),
    ],
    ids=["triangle", "tetrahedron", "square", "rhombus"],
)
def test_coefficients_by_hand(points, cells, kappa):
    edges = edges_of_cells(points, cells)
    np.testing.assert_allclose(np.sort(edges.kappa), kappa, rtol=1e-13)
    assert edges.negative_share == np.mean(np.array(kappa) < 0.0)


@pytest.mark.parallel
def test_coefficients_of_a_structured_box_are_those_of_finite_volumes():
    # Faces of the dual cells over the distances; no diagonals. 3 × 4 × 5 nodes of steps 1/2, 1/3, 1/4.
    space = fem.functionspace(mesh_of("box", cells=(2, 3, 4)), ("Lagrange", 1))
    edges = EdgeGeometry(space)
    points, steps = points_of(space), np.array([1 / 2, 1 / 3, 1 / 4])
    difference = np.abs(points[edges.pairs[:, 0]] - points[edges.pairs[:, 1]])
    axis = difference.argmax(axis=1)
    np.testing.assert_allclose(difference.sum(axis=1), difference.max(axis=1), atol=1e-14)
    middle = 0.5 * (points[edges.pairs[:, 0]] + points[edges.pairs[:, 1]])
    expected = 1.0 / steps[axis]
    for k in range(3):
        at_end = np.isclose(middle[:, k], 0.0) | np.isclose(middle[:, k], 1.0)
        expected *= np.where(axis == k, 1.0, steps[k] * np.where(at_end, 0.5, 1.0))
    np.testing.assert_allclose(edges.kappa, expected, rtol=1e-12)
    assert COMM.allreduce(len(edges.kappa)) == 2 * 4 * 5 + 3 * 3 * 5 + 3 * 4 * 4
    assert edges.negative_share == 0.0


@pytest.mark.parallel
def test_linear_functions_are_harmonic_at_interior_nodes(space):
    edges, points = EdgeGeometry(space), points_of(space)
    owned = owned_nodes(space)
    inside = ~boundary_nodes(space)[:owned]
    defect = laplacian(space, edges, points)[inside]
    # Relative to the fluxes that cancel: κ |x_i - x_j|.
    largest = COMM.allreduce(float(np.max(np.abs(edges.kappa) * edges.lengths, initial=0.0)), op=MPI.MAX)
    np.testing.assert_allclose(defect, 0.0, atol=1e-12 * largest)
    assert COMM.allreduce(int(inside.sum())) > 5


@pytest.mark.parallel
@pytest.mark.parametrize("name", sorted(MESHES.keys() - {"ball"}))
def test_tensor_sum_over_edges_is_the_volume_times_the_identity(name):
    # In 3D exact where the boundary is made of planes: there, faces meet their circumcentric parts.
    space = space_of(name)
    edges, points = EdgeGeometry(space), points_of(space)
    difference = points[edges.pairs[:, 0]] - points[edges.pairs[:, 1]]
    tensor = COMM.allreduce(np.einsum("e,ek,el->kl", edges.kappa, difference, difference))
    volume = domain_volume(space.mesh)
    np.testing.assert_allclose(tensor, volume * np.eye(len(tensor)), atol=1e-12 * volume)


# Volumes and lengths


@pytest.mark.parallel
def test_volumes_are_positive_and_sum_to_the_domain(space):
    edges = EdgeGeometry(space)
    owned = edges.volumes[: owned_nodes(space)]
    assert np.all(edges.volumes > 0.0)
    assert COMM.allreduce(float(owned.sum())) == pytest.approx(domain_volume(space.mesh), rel=1e-13)
    assert edges.voronoi_volumes == (space.mesh.topology.dim == 3)


@pytest.mark.parallel
@pytest.mark.parametrize("name", SOLID)
def test_voronoi_volumes_agree_with_their_pyramids(name):
    # At interior nodes m_i = Σ_j κ_ij |x_i - x_j|²/6: pyramids over the faces with their tips in x_i.
    space = space_of(name)
    edges = EdgeGeometry(space)
    sums = la.vector(space.dofmap.index_map)
    sums.array[:] = 0.0
    pyramids = edges.kappa * edges.lengths**2 / 6.0
    for end in edges.pairs.T:
        np.add.at(sums.array, end, pyramids)
    sums.scatter_reverse(la.InsertMode.add)
    inside = ~boundary_nodes(space)[: owned_nodes(space)]
    found = sums.array[: owned_nodes(space)][inside]
    np.testing.assert_allclose(edges.volumes[: owned_nodes(space)][inside], found, rtol=1e-10)


@serial
def test_volumes_are_equal_shares_where_voronoi_volumes_would_be_negative():
    # A flat cell, whose circumcentre is far below it: volume 1/60, a quarter for each vertex.
    edges = edges_of_cells([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0.3, 0.3, 0.1)], [(0, 1, 2, 3)])
    assert not edges.voronoi_volumes
    np.testing.assert_allclose(edges.volumes, 1.0 / 240.0, rtol=1e-13)
    assert edges.negative_share == 0.5


@pytest.mark.parallel
def test_ghost_volumes_are_those_of_their_owners(space):
    volumes = EdgeGeometry(space).volumes
    vector = la.vector(space.dofmap.index_map)
    vector.array[: owned_nodes(space)] = volumes[: owned_nodes(space)]
    vector.scatter_forward()
    np.testing.assert_array_equal(vector.array, volumes)


@pytest.mark.parallel
def test_lengths():
    edges = EdgeGeometry(fem.functionspace(mesh_of("rectangle", cells=(4, 2)), ("Lagrange", 1)))
    assert edges.h_min == pytest.approx(0.25)
    assert edges.h_max == pytest.approx(math.hypot(0.25, 0.5))
    assert COMM.allreduce(float(edges.lengths.sum())) == pytest.approx(3 * 4 * 0.25 + 5 * 2 * 0.5)


# Ranks


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["disk", "unstructured box", "ball"])
def test_geometry_is_the_same_on_any_number_of_ranks(name):
    space, alone = space_of(name), space_of(name, alone=True)
    here, there = EdgeGeometry(space), EdgeGeometry(alone)
    np.testing.assert_allclose(gathered(here.kappa), np.sort(there.kappa), atol=1e-13)
    np.testing.assert_allclose(
        gathered(here.volumes[: owned_nodes(space)]), np.sort(there.volumes), rtol=1e-11
    )
    assert here.negative_share == there.negative_share
    assert here.voronoi_volumes == there.voronoi_volumes
    assert (here.h_min, here.h_max) == pytest.approx((there.h_min, there.h_max), rel=1e-14)


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["disk", "unstructured box"])
def test_each_edge_belongs_to_one_rank(name):
    space = space_of(name)
    edges = EdgeGeometry(space)
    numbers = space.dofmap.index_map.local_to_global(edges.pairs.ravel()).reshape(-1, 2)
    everywhere = np.concatenate(COMM.allgather(np.sort(numbers, axis=1)))
    assert len(np.unique(everywhere, axis=0)) == len(everywhere)


# Accuracy


@serial
def test_poisson_problem_is_solved_to_second_order_in_three_dimensions():
    errors = []
    for h in (0.2, 0.1, 0.05):
        space = fem.functionspace(mesh_of("box", h=h), ("Lagrange", 1))
        edges, points = EdgeGeometry(space), points_of(space)
        exact = np.prod(np.sin(np.pi * points), axis=1)
        i, j = edges.pairs.T
        n = len(points)
        matrix = sparse.csr_matrix((-edges.kappa, (i, j)), shape=(n, n))
        matrix = matrix + matrix.T
        matrix -= sparse.diags(np.asarray(matrix.sum(axis=1)).ravel())
        inside = ~boundary_nodes(space)
        u = np.zeros(n)
        right = (edges.volumes * 3 * np.pi**2 * exact)[inside]
        u[inside] = spsolve(matrix[inside][:, inside].tocsc(), right)
        errors.append(math.sqrt(edges.volumes @ (u - exact) ** 2))
    # h is a target: the mean order over two halvings.
    assert math.log(errors[0] / errors[2]) / math.log(4.0) > 1.6
    assert errors[2] < 4e-3


def test_polygon_area_of_the_voronoi_reference():
    # The reference of the Voronoi test itself: SciPy lists the vertices of a ridge in order.
    rng = np.random.default_rng(1)
    diagram = Voronoi(rng.uniform(size=(60, 3)))
    ridge = max((r for r in diagram.ridge_vertices if -1 not in r), key=len)
    corners = diagram.vertices[ridge]
    fan = np.cross(corners[1:-1] - corners[0], corners[2:] - corners[0])
    flat = (corners - corners[0]) @ np.linalg.svd(corners - corners[0])[2][:2].T
    assert 0.5 * np.linalg.norm(fan.sum(axis=0)) == pytest.approx(ConvexHull(flat).volume)


# Regions


def cells_where(mesh, condition):
    """Local cells, ghosts included, whose midpoints fulfil a condition."""
    dim = mesh.topology.dim
    cells = np.arange(len(mesh.geometry.dofmaps[0]), dtype=np.int32)
    return cells[condition(dmesh.compute_midpoints(mesh, dim, cells))]


@pytest.mark.parallel
@pytest.mark.parametrize(("domain", "cells"), [("interval", 6), ("rectangle", (6, 4)), ("box", (4, 3, 2))])
def test_region_is_a_mesh_of_its_own(domain, cells):
    # The left half of a brick, beside a brick of that size.
    dim = np.size(cells)
    space = fem.functionspace(mesh_of(domain, cells=cells), ("Lagrange", 1))
    region = EdgeGeometry(space, cells_where(space.mesh, lambda x: x[:, 0] < 0.5))
    half = np.atleast_1d(cells) // np.array([2, 1, 1][:dim])
    keys = {"cells": tuple(half.tolist()), "lower": (0.0,) * dim, "upper": (0.5, 1.0, 1.0)[:dim]}
    whole = EdgeGeometry(fem.functionspace(mesh_of(domain, True, **keys), ("Lagrange", 1)))
    np.testing.assert_allclose(gathered(region.kappa), np.sort(whole.kappa), rtol=1e-12)
    np.testing.assert_allclose(gathered(region.lengths), np.sort(whole.lengths), rtol=1e-12)
    owned = region.volumes[: owned_nodes(space)]
    np.testing.assert_allclose(gathered(owned[owned > 0.0]), np.sort(whole.volumes), rtol=1e-12)
    np.testing.assert_array_equal(region.volumes > 0.0, points_of(space)[:, 0] < 0.5 + 1e-12)
    assert np.all(points_of(space)[region.pairs.ravel(), 0] < 0.5 + 1e-12)
    assert (region.h_min, region.h_max) == pytest.approx((whole.h_min, whole.h_max))
    assert region.voronoi_volumes == whole.voronoi_volumes == (dim == 3)


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["disk", "unstructured box", "ball"])
def test_regions_add_up(name):
    space = space_of(name)
    middle = 0.5 if "box" in name else 0.0
    parts = [
        EdgeGeometry(space, cells_where(space.mesh, condition))
        for condition in (lambda x: x[:, 0] < middle, lambda x: x[:, 0] >= middle)
    ]
    whole = EdgeGeometry(space)
    nodal = waves(points_of(space), 7)
    found = sum(laplacian(space, part, nodal) for part in parts)
    np.testing.assert_allclose(found, laplacian(space, whole, nodal), atol=1e-11)
    # A part may have equal shares where the whole mesh has Voronoi cells: only the sum is the same then.
    total = sum(COMM.allreduce(float(part.volumes[: owned_nodes(space)].sum())) for part in parts)
    assert total == pytest.approx(domain_volume(space.mesh), rel=1e-12)


@pytest.mark.parallel
def test_all_cells_are_no_region():
    space = space_of("ball")
    whole, region = EdgeGeometry(space), EdgeGeometry(space, cells_where(space.mesh, lambda x: x[:, 0] < 9))
    np.testing.assert_array_equal(region.pairs, whole.pairs)
    np.testing.assert_array_equal(region.kappa, whole.kappa)
    np.testing.assert_array_equal(region.volumes, whole.volumes)


@serial
def test_negative_share_counts_the_edges_of_the_region():
    # The rhombus with one negative edge of five, and a triangle beside it that has none.
    points = [(0, 0), (1.5, 0.75**0.5), (3, 0), (1.5, -(0.75**0.5)), (3, 0.75**0.5 + 1.5)]
    mesh = cells_mesh(points, [(0, 1, 2), (0, 2, 3), (1, 2, 4)])
    space = fem.functionspace(mesh, ("Lagrange", 1))
    rhombus = cells_where(mesh, lambda x: x[:, 1] < 0.5)
    assert len(rhombus) == 2
    assert EdgeGeometry(space, rhombus).negative_share == pytest.approx(1 / 5)
    assert EdgeGeometry(space).negative_share == pytest.approx(1 / 7)
