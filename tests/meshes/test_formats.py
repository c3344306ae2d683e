"""Mesh files of other programs: cells, area and named parts, whatever the format and its encoding."""

import itertools
import struct
import subprocess
import sys

import numpy as np
import pytest
from dolfinx import fem
from dolfinx import mesh as dmesh
from dolfinx.io import XDMFFile
from mpi4py import MPI
from ufl import ds

from fem_models.core.errors import InputError
from fem_models.meshes import domains as meshes
from fem_models.meshes.xdmf import read_xdmf

COMM = MPI.COMM_WORLD
# Half of the sides of the unit square each: what the parts are called in a format.
NAMES = {
    ".msh": {"low", "high"},
    ".med": {"low", "high"},
    ".unv": {"low", "high"},
    ".vtk": set(),
    ".mesh": {"1", "2", "3", "4"},
    ".bdf": {"1", "2", "3", "4"},
    ".inp": {"low", "high", "Line1", "Line2", "Line3", "Line4"},
}


@pytest.fixture(scope="module")
def square():
    """The unit square with two groups of sides, by meshio: points, triangles, sides, numbers of the sides."""
    grid = np.array(list(itertools.product(range(5), repeat=2)))
    points = grid / 4.0
    number = {tuple(place): k for k, place in enumerate(grid)}
    triangles, sides, groups = [], [], []
    for i, j in itertools.product(range(4), repeat=2):
        a, b, c, d = (number[place] for place in ((i, j), (i + 1, j), (i, j + 1), (i + 1, j + 1)))
        triangles += [(a, b, d), (a, d, c)]
    for k in range(4):
        sides += [(number[k, 0], number[k + 1, 0]), (number[0, k], number[0, k + 1])]
        sides += [(number[k, 4], number[k + 1, 4]), (number[4, k], number[4, k + 1])]
        groups += [7, 7, 8, 8]
    return points, np.array(triangles), np.array(sides), np.array(groups)


def length(marked, name):
    tags = dmesh.meshtags(
        marked.mesh, 1, marked.boundaries[name], np.ones(len(marked.boundaries[name]), np.int32)
    )
    form = fem.form(fem.Constant(marked.mesh, 1.0) * ds(domain=marked.mesh, subdomain_data=tags)(1))
    return COMM.allreduce(fem.assemble_scalar(form))


def cells(marked):
    return marked.mesh.topology.index_map(2).size_global


def written_by_gmsh(path):
    import gmsh

    gmsh.initialize()
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.model.occ.addRectangle(0, 0, 0, 1, 1)
    gmsh.model.occ.synchronize()
    gmsh.model.addPhysicalGroup(1, [1, 4], 7, "low")
    gmsh.model.addPhysicalGroup(1, [2, 3], 8, "high")
    gmsh.model.addPhysicalGroup(2, [1], 9, "all")
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.25)
    gmsh.model.mesh.generate(2)
    count = len(gmsh.model.mesh.getElements(2)[1][0])
    gmsh.write(str(path))
    gmsh.finalize()
    return count


@pytest.mark.parallel
@pytest.mark.parametrize("suffix", NAMES)
def test_files_of_other_programs(shared_tmp_path, suffix):
    path = shared_tmp_path / f"mesh{suffix}"
    count = COMM.bcast(written_by_gmsh(path) if COMM.rank == 0 else None)
    marked = meshes.from_file(COMM, path)
    assert cells(marked) == count
    assert set(marked.boundaries) == {"boundary", *NAMES[suffix]}
    assert length(marked, "boundary") == pytest.approx(4.0)
    for name in sorted(NAMES[suffix]):
        half = name in ("low", "high")
        assert length(marked, name) == pytest.approx(2.0 if half else 1.0), name


@pytest.mark.parallel
@pytest.mark.parametrize("suffix", [".med", ".unv", ".vtk", ".mesh", ".bdf", ".inp", ".xdmf", ".msh"])
def test_other_contents_are_told_in_a_sentence(shared_tmp_path, suffix):
    path = shared_tmp_path / f"mesh{suffix}"
    if COMM.rank == 0:
        path.write_text("Point(1) = {0, 0, 0};\n")
    COMM.Barrier()
    with pytest.raises(InputError, match=r"(?s)^The mesh file .*\.$"):
        meshes.from_file(COMM, path)


WRITE = """
import ast, sys
import meshio, numpy as np

folder, options = sys.argv[1], ast.literal_eval(sys.argv[2])
table = np.load(f"{folder}/square.npz")
grid = meshio.Mesh(
    table["points"],
    [("triangle", table["triangles"]), ("line", table["sides"])],
    cell_data={
        "gmsh:physical": [table["inner"], table["groups"]],
        "gmsh:geometrical": [table["inner"] + 5, table["groups"] + 5],
    },
)
meshio.write(f"{folder}/mesh.xdmf", grid, **options)
"""


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("file_format", ["vtk42", "vtk51"])
def test_vtk_files_of_any_version(tmp_path, square, file_format, binary):
    import meshio

    points, triangles, _, _ = square
    grid = meshio.Mesh(np.column_stack([points, 0 * points[:, 0]]), [("triangle", triangles)])
    meshio.write(tmp_path / "mesh.vtk", grid, file_format=file_format, binary=binary)
    marked = meshes.from_file(MPI.COMM_SELF, tmp_path / "mesh.vtk")
    assert cells(marked) == 32 and length(marked, "boundary") == pytest.approx(4.0)


@pytest.mark.parametrize("suffix", [".mesh", ".bdf"])
def test_files_without_their_end_are_refused(tmp_path, suffix):
    path = tmp_path / f"mesh{suffix}"
    written_by_gmsh(path)
    text = path.read_text()
    path.write_text(text[: 2 * len(text) // 3])
    with pytest.raises(InputError, match=r"has no (End|ENDDATA) at its end: write it again"):
        meshes.from_file(MPI.COMM_SELF, path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": None},
        {"compression_opts": 9},
        {"data_format": "XML"},
        {"data_format": "Binary"},
    ],
    ids=str,
)
def test_xdmf_as_meshio_writes_it(tmp_path, square, options):
    points, triangles, sides, groups = square
    inner = (points[triangles].mean(axis=1) < 0.5).all(axis=1).astype(int)
    tables = {"points": points, "triangles": triangles, "sides": sides, "groups": groups, "inner": inner}
    np.savez(tmp_path / "square.npz", **tables)
    # In a process of its own: the HDF5 library of h5py does not go together with that of DOLFINx.
    command = [sys.executable, "-c", WRITE, str(tmp_path), repr(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    marked = meshes.from_file(MPI.COMM_SELF, tmp_path / "mesh.xdmf")
    assert cells(marked) == 32
    assert set(marked.boundaries) == {"boundary", "7", "8"} and set(marked.regions) == {"1"}
    assert length(marked, "7") == length(marked, "8") == pytest.approx(2.0)
    assert len(marked.regions["1"]) == inner.sum() == 8


@pytest.mark.parallel
def test_xdmf_with_marks_as_dolfinx_writes_it(shared_tmp_path):
    path = shared_tmp_path / "mesh.xdmf"
    mesh = meshes.build(COMM, "rectangle", cells=(6, 4)).mesh
    for dimension in (1, 2):
        mesh.topology.create_entities(dimension)
        mesh.topology.create_connectivity(dimension, 2)
    left = dmesh.locate_entities_boundary(mesh, 1, lambda x: x[0] < 1e-12)
    low = dmesh.locate_entities(mesh, 2, lambda x: x[1] < 0.5 + 1e-12)
    owned = low[low < mesh.topology.index_map(2).size_local]
    with XDMFFile(COMM, path, "w") as file:
        file.write_mesh(mesh)
        for dimension, name, found in ((1, "sides", left), (2, "parts", owned)):
            tags = dmesh.meshtags(mesh, dimension, np.sort(found), np.full(len(found), 3, np.int32))
            tags.name = name
            file.write_meshtags(tags, mesh.geometry)
    marked = meshes.from_file(COMM, path)
    assert cells(marked) == 48
    assert set(marked.boundaries) == {"boundary", "3"} and set(marked.regions) == {"3"}
    assert length(marked, "3") == pytest.approx(1.0)
    here = marked.regions["3"] < marked.mesh.topology.index_map(2).size_local
    assert COMM.allreduce(int(here.sum())) == 24


def test_xdmf_with_bytes_of_the_other_order_and_a_seek(tmp_path):
    corners = np.array([[0, 1, 2], [1, 3, 2]])
    (tmp_path / "data.bin").write_bytes(b"head" + struct.pack(">6i", *corners.ravel()))
    (tmp_path / "mesh.xdmf").write_text(
        """<Xdmf><Domain><Grid GridType="Uniform"><Topology TopologyType="Triangle">
        <DataItem Dimensions="2 3" DataType="Int" Precision="4" Format="Binary" Endian="Big" Seek="4">data.bin
        </DataItem></Topology><Geometry GeometryType="X_Y"><DataItem Dimensions="4">0 1 0 1</DataItem>
        <DataItem Dimensions="4">0 0 2 2</DataItem></Geometry></Grid></Domain></Xdmf>"""
    )
    whole = read_xdmf(tmp_path / "mesh.xdmf")
    np.testing.assert_array_equal(whole.cells, corners)
    np.testing.assert_array_equal(whole.points[:, :2], [[0, 0], [1, 0], [0, 2], [1, 2]])
