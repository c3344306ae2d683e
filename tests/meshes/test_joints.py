"""Cells that touch without being joined: hanging nodes in two and three dimensions."""

import numpy as np
import pytest
from mesh_files import two_grids
from mpi4py import MPI

from fem_models.meshes import domains as meshes
from fem_models.meshes.joints import hanging


def square(n, left=0.0):
    """A structured unit square: points and triangles."""
    i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    points = np.column_stack([left + i.ravel() / n, j.ravel() / n, 0.0 * i.ravel()])
    a = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).ravel()
    cells = np.concatenate(
        [np.column_stack([a, a + n + 1, a + n + 2]), np.column_stack([a, a + n + 2, a + 1])]
    )
    return points, cells


def beside(first, second):
    """Two meshes as one, without joints."""
    (points, cells), (others, more) = first, second
    return np.concatenate([points, others]), np.concatenate([cells, more + len(points)])


@pytest.mark.parametrize(("coarse", "fine", "expected"), [(2, 2, 0), (2, 4, 2), (3, 4, 5)])
def test_grids_of_different_sizes_side_by_side(coarse, fine, expected):
    # Nodes that are not those of the other grid hang on its sides, both ways.
    assert hanging(*beside(square(coarse), square(fine, left=1.0))) == expected


def test_a_tetrahedron_on_a_larger_one():
    points = np.array(
        [[0, 0, 0], [4, 0, 0], [0, 4, 0], [1, 1, 3.0], [1, 1, 0], [2, 1, 0], [1, 2, 0], [1, 1, -1]]
    )
    assert hanging(points, np.array([[0, 1, 2, 3], [4, 5, 6, 7]])) == 3
    # Where the side is shared none hangs, nor where the smaller one is apart.
    assert hanging(points, np.array([[0, 1, 2, 3], [0, 1, 2, 7]])) == 0
    points[4:, 2] -= 1e-3
    assert hanging(points, np.array([[0, 1, 2, 3], [4, 5, 6, 7]])) == 0


@pytest.mark.parametrize("domain", ["disk", "ball"])
def test_meshes_that_are_whole_have_none(domain):
    mesh = meshes.build(MPI.COMM_SELF, domain, h=0.3).mesh
    assert hanging(mesh.geometry.x, mesh.geometry.dofmaps[0].astype(np.int64)) == 0


def test_a_mesh_file_with_hanging_nodes_says_so(tmp_path):
    import meshio

    points, cells = beside(square(2), square(4, left=1.0))
    meshio.write(tmp_path / "grids.msh", meshio.Mesh(points, [("triangle", cells)]), file_format="gmsh22")
    [note] = meshes.from_file(MPI.COMM_SELF, tmp_path / "grids.msh").notes
    assert "2 parts that share no nodes and 2 nodes hanging on the side of a cell" in note
    assert "no mass passes between them" in note
    [note] = meshes.from_file(MPI.COMM_SELF, tmp_path / "grids.msh", merge=True).notes
    assert "2 nodes hanging" in note and "no mass passes through those sides" in note
    two_grids(tmp_path / "two.msh")
    [note] = meshes.from_file(MPI.COMM_SELF, tmp_path / "two.msh").notes
    assert "nodes hanging" not in note
