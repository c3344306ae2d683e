import numpy as np
import pytest
import ufl
from references import mesh_of, waves

from fem_models.nodal.evaluation import NodalCover, NodalExpression

from dolfinx import fem  # isort: skip

MESHES = [
    ("interval", {"cells": 13}),
    ("disk", {"h": 0.3}),
    ("box", {"cells": (3, 3, 4)}),
    ("ball", {"h": 0.6}),
]


@pytest.fixture(params=MESHES, ids=[name for name, _ in MESHES])
def space(request):
    domain, keys = request.param
    return fem.functionspace(mesh_of(domain, **keys), ("Lagrange", 1))


def points_of(space):
    return space.tabulate_dof_coordinates()[:, : space.mesh.geometry.dim]


@pytest.mark.parallel
def test_expressions_at_nodes_equal_their_formulas(space):
    x = ufl.SpatialCoordinate(space.mesh)
    u, v = fem.Function(space), fem.Function(space)
    expression = NodalExpression(NodalCover(space), [u**3 * ufl.exp(v) + x[0], ufl.as_ufl(2.5), v - 4 * u])
    points = points_of(space)
    # Twice: the present values count, not those of the first call.
    for seed in (1, 2):
        u.x.array[:], v.x.array[:] = waves(points, seed, 2).T
        a, b = u.x.array, v.x.array
        expected = np.stack([a**3 * np.exp(b) + points[:, 0], np.full(len(a), 2.5), b - 4 * a], axis=1)
        np.testing.assert_allclose(expression(), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parallel
def test_cover_touches_every_node_with_fewer_cells_than_the_mesh(space):
    cover = NodalCover(space)
    nodes = len(points_of(space))
    dofs = space.dofmap.list
    np.testing.assert_array_equal(dofs[cover.cells].ravel()[cover.rows], np.arange(nodes))
    assert len(cover.cells) <= nodes
    if space.mesh.topology.dim > 1:
        assert len(cover.cells) < 0.7 * len(dofs)


@pytest.mark.parallel
def test_values_of_ghosts_are_those_of_their_owners(space):
    x = ufl.SpatialCoordinate(space.mesh)
    values = NodalExpression(NodalCover(space), [ufl.sin(7 * x[0])])()[:, 0]
    owners = fem.Function(space)
    owners.x.array[:] = -9.0
    owned = space.dofmap.index_map.size_local
    owners.x.array[:owned] = values[:owned]
    owners.x.scatter_forward()
    np.testing.assert_allclose(values, owners.x.array, rtol=1e-15, atol=1e-15)
