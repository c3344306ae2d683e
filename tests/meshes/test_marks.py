from pathlib import Path

import basix.ufl
import numpy as np
import pytest
import ufl
from mpi4py import MPI
from references import COMM

from fem_models.core.errors import InputError
from fem_models.meshes import domains as meshes
from fem_models.meshes import marks

from dolfinx import fem  # isort: skip
from dolfinx import mesh as dmesh  # isort: skip
from dolfinx.io import XDMFFile  # isort: skip

GEO = Path(__file__).parents[2] / "meshes"
BRICKS = {"interval": (2.0,), "rectangle": (2.0, 3.0), "box": (2.0, 3.0, 4.0)}
LOWER = (-1.0, 0.5, 2.0)
SIDES = (("left", "right"), ("bottom", "top"), ("front", "back"))

# Two unit squares side by side, the right one in a group of its own.
SQUARES = """
SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 1, 1};
Rectangle(2) = {1, 0, 0, 1, 1};
Coherence;
Mesh.MeshSizeMax = 0.2;
"""
GROUPS = """
Physical Surface("west") = {1};
Physical Surface("both") = {1, 2};
Physical Surface(7) = {2};
Physical Curve("inlet") = {4};
Physical Curve("middle") = {2};
Physical Curve("middle and inlet") = {2, 4};
"""


def write(path, text):
    if COMM.rank == 0:
        path.write_text(text)
    COMM.Barrier()
    return path


def area(marked, facets):
    """Measure of a set of facets on all ranks."""
    mesh = marked.mesh
    tags = dmesh.meshtags(mesh, mesh.topology.dim - 1, facets, np.ones(len(facets), dtype=np.int32))
    ds = ufl.Measure("ds", domain=mesh, subdomain_data=tags, subdomain_id=1)
    return COMM.allreduce(fem.assemble_scalar(fem.form(fem.Constant(mesh, 1.0) * ds)))


def volume(marked, cells):
    mesh = marked.mesh
    inside = fem.Function(fem.functionspace(mesh, ("DG", 0)))
    inside.x.array[cells] = 1.0
    return COMM.allreduce(fem.assemble_scalar(fem.form(inside * ufl.dx)))


def midpoints(marked, dim, entities):
    return dmesh.compute_midpoints(marked.mesh, dim, entities)


def agree_on_ghosts(marked, cells):
    """Whether each ghost is in the set if and only if its owner has it there."""
    inside = fem.Function(fem.functionspace(marked.mesh, ("DG", 0)))
    inside.x.array[cells] = 1.0
    before = inside.x.array.copy()
    inside.x.scatter_forward()
    return np.array_equal(before, inside.x.array)


@pytest.mark.parallel
@pytest.mark.parametrize("domain", BRICKS)
@pytest.mark.parametrize("size", ["cells", "h"])
def test_sides_of_bricks(domain, size):
    extents = np.array(BRICKS[domain])
    dim = len(extents)
    lower = list(LOWER[:dim])
    keys = {"cells": [3, 4, 2][:dim]} if size == "cells" else {"h": 0.7}
    marked = meshes.build(COMM, domain, lower=lower, upper=list(lower + extents), **keys)
    names = [name for pair in SIDES[:dim] for name in pair]
    assert set(marked.boundaries) == {"boundary", *names}
    assert not marked.regions
    for axis, pair in enumerate(SIDES[:dim]):
        for name, level in zip(pair, (lower[axis], lower[axis] + extents[axis]), strict=True):
            facets = marked.boundaries[name]
            assert facets.dtype == np.int32
            np.testing.assert_allclose(midpoints(marked, dim - 1, facets)[:, axis], level, atol=1e-12)
            assert area(marked, facets) == pytest.approx(np.prod(np.delete(extents, axis)))
    found = np.sort(np.concatenate([marked.boundaries[name] for name in names]))
    np.testing.assert_array_equal(found, marked.boundaries["boundary"])


@pytest.mark.parallel
def test_round_domains_have_one_boundary():
    marked = meshes.build(COMM, "disk", h=0.2)
    assert set(marked.boundaries) == {"boundary"}
    assert area(marked, marked.boundaries["boundary"]) == pytest.approx(2 * np.pi, rel=1e-2)


@pytest.mark.parallel
def test_physical_groups(shared_tmp_path):
    marked = meshes.from_file(COMM, write(shared_tmp_path / "groups.geo", SQUARES + GROUPS))
    # The curve between the squares is no boundary.
    assert set(marked.boundaries) == {"boundary", "inlet", "middle and inlet"}
    assert set(marked.regions) == {"west", "both", "7"}
    assert area(marked, marked.boundaries["boundary"]) == pytest.approx(6.0)
    for name in ("inlet", "middle and inlet"):
        facets = marked.boundaries[name]
        assert area(marked, facets) == pytest.approx(1.0)
        np.testing.assert_allclose(midpoints(marked, 1, facets)[:, 0], 0.0, atol=1e-12)
    for name, size, low, high in [("west", 1.0, 0, 1), ("both", 2.0, 0, 2), ("7", 1.0, 1, 2)]:
        cells = marked.regions[name]
        assert volume(marked, cells) == pytest.approx(size)
        x = midpoints(marked, 2, cells)[:, 0]
        assert np.all((x > low) & (x < high))
        assert agree_on_ghosts(marked, cells)
    local = len(marked.mesh.geometry.dofmaps[0])
    np.testing.assert_array_equal(marked.regions["both"], np.arange(local))


@pytest.mark.parallel
def test_group_named_boundary_and_group_beyond_the_cells(shared_tmp_path):
    groups = """
    Physical Surface("east") = {2};
    Physical Curve("boundary") = {2};
    Physical Curve("elsewhere") = {4};
    """
    marked = meshes.from_file(COMM, write(shared_tmp_path / "east.geo", SQUARES + groups))
    # Without the square on the left the curve between them is a boundary, and the one at x = 0 is nowhere.
    assert set(marked.boundaries) == {"boundary"}
    facets = marked.boundaries["boundary"]
    assert area(marked, facets) == pytest.approx(1.0)
    np.testing.assert_allclose(midpoints(marked, 1, facets)[:, 0], 1.0)


@pytest.mark.parallel
def test_groups_on_a_line(shared_tmp_path):
    text = """
    Point(1) = {0, 0, 0}; Point(2) = {1, 0, 0}; Point(3) = {3, 0, 0};
    Line(1) = {1, 2}; Line(2) = {2, 3};
    Mesh.MeshSizeMax = 0.25;
    Physical Curve("short") = {1}; Physical Curve("long") = {2};
    Physical Point("end") = {3}; Physical Point("joint") = {2};
    """
    marked = meshes.from_file(COMM, write(shared_tmp_path / "line.geo", text))
    assert set(marked.boundaries) == {"boundary", "end"}
    space = fem.functionspace(marked.mesh, ("Lagrange", 1))
    nodes = marks.boundary_nodes(space, marked.boundaries["end"])
    x = space.tabulate_dof_coordinates()[:, 0]
    np.testing.assert_array_equal(nodes, np.flatnonzero(x > 3.0 - 1e-12))
    assert volume(marked, marked.regions["short"]) == pytest.approx(1.0)
    assert volume(marked, marked.regions["long"]) == pytest.approx(2.0)


@pytest.mark.parallel
@pytest.mark.parametrize("origin", ["built in", "script"])
def test_parts_of_the_whole_space(origin):
    if origin == "script":
        center, radius = np.zeros(3), 2.0
        marked = meshes.from_file(COMM, GEO / "space.geo", h=0.6, parameters={"radius": radius})
    else:
        center, radius = np.array([1.0, -2.0, 0.5]), 0.5
        marked = meshes.build(COMM, "space", center=center.tolist(), radius=radius, h=0.15)
    assert set(marked.boundaries) == {"boundary", "infinity"}
    assert set(marked.regions) == {"ball", "shell"}
    np.testing.assert_array_equal(marked.boundaries["infinity"], marked.boundaries["boundary"])
    sphere = 4 * np.pi * (1.5 * radius) ** 2
    assert area(marked, marked.boundaries["infinity"]) == pytest.approx(sphere, rel=0.05)
    ball = 4 / 3 * np.pi * radius**3
    assert volume(marked, marked.regions["ball"]) == pytest.approx(ball, rel=0.05)
    assert volume(marked, marked.regions["shell"]) == pytest.approx((1.5**3 - 1) * ball, rel=0.05)
    local = len(marked.mesh.geometry.dofmaps[0])
    both = np.sort(np.concatenate([marked.regions["ball"], marked.regions["shell"]]))
    np.testing.assert_array_equal(both, np.arange(local))
    corners = marked.mesh.geometry.x[marked.mesh.geometry.dofmaps[0]]
    r = np.linalg.norm(corners - center, axis=2) / radius
    assert np.all(r[marked.regions["ball"]] < 1.0 + 1e-6)
    assert np.all(r[marked.regions["shell"]] > 1.0 - 1e-6)
    assert agree_on_ghosts(marked, marked.regions["ball"])


@pytest.mark.parallel
def test_xdmf_files_have_their_boundary_only(shared_tmp_path):
    path = shared_tmp_path / "mesh.xdmf"
    with XDMFFile(COMM, path, "w") as file:
        file.write_mesh(meshes.build(COMM, "rectangle", cells=[6, 4]).mesh)
    marked = meshes.from_file(COMM, path)
    assert set(marked.boundaries) == {"boundary"}
    assert not marked.regions
    assert area(marked, marked.boundaries["boundary"]) == pytest.approx(4.0)


@pytest.mark.parallel
@pytest.mark.parametrize("domain", BRICKS)
def test_boundary_nodes_are_known_to_every_rank_that_has_them(domain):
    marked = meshes.build(COMM, domain, cells=[9, 5, 4][: len(BRICKS[domain])])
    space = fem.functionspace(marked.mesh, ("Lagrange", 1))
    points = space.tabulate_dof_coordinates()
    for name, axis, level in [("left", 0, 0.0), ("right", 0, 1.0), ("top", 1, 1.0), ("back", 2, 1.0)]:
        if name in marked.boundaries:
            expected = np.flatnonzero(np.abs(points[:, axis] - level) < 1e-12)
            nodes = marks.boundary_nodes(space, marked.boundaries[name])
            assert nodes.dtype == np.int32
            np.testing.assert_array_equal(nodes, expected)
    dim = len(BRICKS[domain])
    outside = np.any((points[:, :dim] < 1e-12) | (points[:, :dim] > 1 - 1e-12), axis=1)
    found = marks.boundary_nodes(space, marked.boundaries["boundary"])
    np.testing.assert_array_equal(found, np.flatnonzero(outside))


@pytest.mark.parallel
def test_boundary_nodes_of_a_part_on_one_rank_only():
    # Nodes between the ranks belong to one of them, which has none of the facets here unless it is the one.
    marked = meshes.build(COMM, "disk", h=0.2)
    space = fem.functionspace(marked.mesh, ("Lagrange", 1))
    points = space.tabulate_dof_coordinates()
    shared = 0
    for rank in range(COMM.size):
        facets = marked.boundaries["boundary"][: None if COMM.rank == rank else 0]
        mine = np.unique(dmesh.entities_to_geometry(marked.mesh, 1, facets))
        ends = COMM.bcast(marked.mesh.geometry.x[mine], root=rank)
        distances = np.linalg.norm(points[:, None] - ends, axis=2).min(axis=1)
        expected = np.flatnonzero(distances < 1e-12)
        np.testing.assert_array_equal(marks.boundary_nodes(space, facets), expected)
        shared += COMM.allreduce(len(expected)) - len(ends)
    assert (shared > 0) == (COMM.size > 1)


@pytest.mark.parallel
def test_names_are_the_same_on_all_ranks(shared_tmp_path):
    marked = meshes.from_file(COMM, write(shared_tmp_path / "groups.geo", SQUARES + GROUPS))
    names = COMM.allgather((list(marked.boundaries), list(marked.regions)))
    assert all(found == names[0] for found in names)
    alone = meshes.from_file(MPI.COMM_SELF, shared_tmp_path / "groups.geo")
    for name, facets in alone.boundaries.items():
        assert COMM.allreduce(len(marked.boundaries[name])) == len(facets)


def test_meshes_with_and_without_named_parts_are_taken():
    square = meshes.build(MPI.COMM_SELF, "rectangle", cells=[3, 2])
    assert marks.mesh_of(square) is marks.mesh_of(square.mesh) is square.mesh
    assert marks.marked(square) is square
    plain = marks.marked(square.mesh)
    assert list(plain.boundaries) == ["boundary"]
    assert not plain.regions
    np.testing.assert_array_equal(plain.boundaries["boundary"], square.boundaries["boundary"])
    assert repr(square).startswith("MarkedMesh of triangles (boundaries: boundary, left, right")


def surface():
    """Two triangles in space."""
    element = basix.ufl.element("Lagrange", "triangle", 1, shape=(3,))
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1]])
    return dmesh.create_mesh(MPI.COMM_SELF, np.array([[0, 1, 2], [1, 3, 2]]), ufl.Mesh(element), points, None)


def curved():
    """A triangle of the second order."""
    element = basix.ufl.element("Lagrange", "triangle", 2, shape=(2,))
    points = np.array([[0.0, 0], [1, 0], [0, 1], [0.6, 0.6], [0, 0.5], [0.5, 0]])
    return dmesh.create_mesh(MPI.COMM_SELF, np.array([[0, 1, 2, 3, 4, 5]]), ufl.Mesh(element), points, None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: None, r"The mesh must come from fm.mesh.* not None\."),
        (lambda: "disk", r"The mesh must come from fm.mesh.* not 'disk'\."),
        (
            lambda: dmesh.create_unit_square(MPI.COMM_SELF, 2, 2, dmesh.CellType.quadrilateral),
            "cells of kind quadrilateral: use intervals, triangles or tetrahedra",
        ),
        (surface, "cells of dimension 2 in a space of dimension 3"),
        (curved, "curved cells"),
    ],
    ids=["nothing", "a name", "quadrilaterals", "a surface", "curved"],
)
def test_what_is_no_mesh_of_simplices_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        marks.mesh_of(make())
