"""Meshes whose cells are flat, turned over or on top of each other, from files that the tests write."""

import numpy as np
import pytest
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.meshes import domains as meshes
from fem_models.meshes.checks import check_overlaps, flatness

COMM = MPI.COMM_WORLD
KINDS = {1: 1, 2: 2, 3: 4}
SIZE = 5


def grid(dim):
    """A structured mesh of [0, 4]^dim with whole coordinates: points (n, 3) and cells (m, dim + 1)."""
    mesh = meshes.build(MPI.COMM_SELF, ("interval", "rectangle", "box")[dim - 1], cells=[SIZE - 1] * dim).mesh
    points = np.round((SIZE - 1) * mesh.geometry.x)
    return points, mesh.geometry.dofmaps[0].astype(np.int64)


def node(points, *place):
    """The number of the point at a place."""
    place = np.pad(np.array(place, dtype=float), (0, 3 - len(place)))
    (found,) = np.flatnonzero(np.all(points == place, axis=1))
    return found


def write(path, points, cells):
    """Write a .msh file on rank 0; returns its path on all ranks when it is there."""
    if COMM.rank == 0:
        kind = KINDS[cells.shape[1] - 1]
        lines = ["$MeshFormat", "2.2 0 8", "$EndMeshFormat", "$Nodes", str(len(points))]
        lines += [f"{i} {x!r} {y!r} {z!r}" for i, (x, y, z) in enumerate(points.tolist(), start=1)]
        lines += ["$EndNodes", "$Elements", str(len(cells))]
        lines += [
            f"{i} {kind} 2 0 1 {' '.join(str(v + 1) for v in c)}"
            for i, c in enumerate(cells.tolist(), start=1)
        ]
        path.write_text("\n".join([*lines, "$EndElements", ""]))
    COMM.Barrier()
    return path


def refused(path):
    """Reading the mesh raises the same InputError on every rank; returns its message."""
    with pytest.raises(InputError) as caught:
        meshes.from_file(COMM, path)
    messages = COMM.allgather(str(caught.value))
    assert set(messages) == {messages[0]}
    return messages[0]


def turned_by_brute_force(points, cells, before):
    """The cells whose orientation is not the one that they had before the points were moved."""
    dim = cells.shape[1] - 1

    def signs(x):
        return np.sign(np.linalg.det(x[cells[:, 1:], :dim] - x[cells[:, :1], :dim]))

    return np.flatnonzero(signs(points) != signs(before))


@pytest.mark.parallel
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_good_meshes_pass_whatever_the_order_of_vertices(shared_tmp_path, dim):
    points, cells = grid(dim)
    rng = np.random.default_rng(dim)
    # Half of the cells of a file may have the other orientation, which is no fault.
    shuffled = np.array([rng.permutation(cell) for cell in cells])
    mesh = meshes.from_file(COMM, write(shared_tmp_path / "good.msh", points, shuffled)).mesh
    assert mesh.topology.index_map(dim).size_global == len(cells)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("dim", "moved", "to"),
    [(1, (2,), (3.5,)), (2, (2, 2), (3.25, 2.5)), (3, (2, 2, 2), (3.3, 2.45, 2.15))],
)
def test_a_vertex_across_a_side_turns_cells_over(shared_tmp_path, dim, moved, to):
    points, cells = grid(dim)
    crossed = points.copy()
    crossed[node(points, *moved), :dim] = to
    turned = turned_by_brute_force(crossed, cells, points)
    assert 0 < len(turned) < len(cells) / 2
    message = refused(write(shared_tmp_path / "crossed.msh", crossed, cells))
    count = "1 cell " if len(turned) == 1 else f"{len(turned)} cells "
    # gmsh's order is that of the file.
    place = ", ".join(f"{x:.6g}" for x in crossed[cells[turned[0]]].mean(axis=0)[:dim])
    assert f"crossed.msh has {count}" in message
    assert f"at ({place})" in message
    assert "turned over" in message


@pytest.mark.parallel
def test_cells_on_top_of_each_other(shared_tmp_path):
    # A third triangle on an inner edge of the square lies on one of the two that are there.
    points, cells = grid(2)
    extra = np.append(points, [[1.75, 1.5, 0.0]], axis=0)
    edge = [node(points, 1, 1), node(points, 2, 2)]
    assert sum(set(edge) <= set(cell) for cell in cells.tolist()) == 2
    more = np.append(cells, [[*edge, len(points)]], axis=0)
    message = refused(write(shared_tmp_path / "double.msh", extra, more))
    assert "double.msh has 2 cells turned over or lying on a neighbour, the first at" in message


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (0, 2, 1)])
def test_three_cells_at_an_edge_in_any_order(order):
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [1, 1, 0]], dtype=float)
    cells = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]])[list(order)]
    with pytest.raises(InputError, match="The mesh has 2 cells turned over"):
        check_overlaps(points, cells, "The mesh")
    check_overlaps(points, np.array([[0, 1, 2], [0, 1, 3]]), "The mesh")


@pytest.mark.parallel
def test_flat_cells_are_counted(shared_tmp_path):
    points, cells = grid(2)
    points[node(points, 1, 1), :2] = 1.5, 1.0
    flat = points.copy()
    # On the segment to its neighbour: two triangles at this side have no area.
    flat[node(points, 3, 3)] = points[node(points, 3, 2)]
    edges = flat[cells[:, 1:], :2] - flat[cells[:, :1], :2]
    expected = np.flatnonzero(np.linalg.det(edges) == 0.0)
    assert len(expected) == 2
    place = ", ".join(f"{x:.6g}" for x in flat[cells[expected[0]]].mean(axis=0)[:2])
    message = refused(write(shared_tmp_path / "flat.msh", flat, cells))
    assert f"has 2 cells of zero volume, the first at ({place})" in message


def test_flatness_does_not_depend_on_the_unit_of_length():
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    cells = np.array([[0, 1, 2, 3]])
    assert flatness(points, cells)[0] == pytest.approx(1.0)
    assert flatness(1e-7 * points, cells)[0] == pytest.approx(1.0)
