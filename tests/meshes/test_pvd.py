"""Fields for ParaView and PyVista: every cell once, whatever the number of ranks, and no seams."""

import shutil

import meshio
import numpy as np
import pytest
import pyvista as pv
from dolfinx import fem
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.meshes import domains as meshes
from fem_models.meshes.pvd import PvdFile, write_pvd
from fem_models.results.fields import WrittenFields

COMM = MPI.COMM_WORLD
ELEMENTS = {"P1": ("Lagrange", 1), "P2": ("Lagrange", 2), "P1 with jumps": ("DG", 1), "vectors": ("P1", (3,))}


def linear(x):
    return 2 * x[0] + 3 * x[1] + 5 * x[2]


@pytest.mark.parallel
@pytest.mark.parametrize("element", ELEMENTS)
def test_every_cell_is_written_once_with_its_values(shared_tmp_path, element):
    mesh = meshes.build(COMM, "box", cells=(4, 3, 3)).mesh
    kind, *rest = ELEMENTS[element]
    space = fem.functionspace(mesh, ("Lagrange", 1, (3,)) if element == "vectors" else (kind, *rest))
    function = fem.Function(space, name="f")
    vector = element == "vectors"
    function.interpolate(lambda x: np.array([linear(x), 0 * x[0], x[2]]) if vector else linear(x))
    write_pvd(COMM, shared_tmp_path / "f.pvd", [(0.0, [function]), (0.5, [function])])
    files = sorted(shared_tmp_path.glob("f_p*_000001.vtu")) or sorted(shared_tmp_path.glob("f_p*.vtu"))
    pieces = [pv.read(file) for file in files]
    assert len(pieces) == COMM.size
    assert sum(piece.n_cells for piece in pieces) == 4 * 3 * 3 * 6
    for piece in pieces:
        values = np.asarray(piece.point_data["f"])
        points = np.asarray(piece.points).T
        np.testing.assert_allclose(values[:, 0] if vector else values, linear(points), atol=1e-12)
    COMM.Barrier()


@pytest.mark.parallel
def test_the_pieces_of_all_ranks_have_no_seams(shared_tmp_path):
    marked = meshes.build(COMM, "ball", h=0.4)
    function = fem.Function(fem.functionspace(marked.mesh, ("Lagrange", 1)), name="rho")
    function.interpolate(linear)
    write_pvd(COMM, shared_tmp_path / "fields.pvd", [(0.0, [function])])
    whole = WrittenFields(shared_tmp_path / "fields.pvd").first
    assert len(whole.points) == marked.mesh.topology.index_map(0).size_global
    np.testing.assert_allclose(whole.values["rho"], linear(whole.points.T), atol=1e-12)
    # A slice is a disk: one part, whose rim is the only edge that belongs to a single cell.
    disk = whole.grid().slice(normal=(0.0, 0.0, 1.0), origin=(0.0, 0.0, 0.01))
    rim = disk.extract_feature_edges(feature_edges=False, manifold_edges=False)
    assert rim.n_cells and np.linalg.norm(rim.points, axis=1).min() > 0.85
    COMM.Barrier()


def test_the_list_is_whole_after_every_time_and_carries_its_remark(tmp_path):
    mesh = meshes.build(MPI.COMM_SELF, "interval", cells=4).mesh
    function = fem.Function(fem.functionspace(mesh, ("Lagrange", 1)), name="rho")
    file = PvdFile(MPI.COMM_SELF, tmp_path / "f.pvd", "The values are linear.")
    for number in range(3):
        file.write(0.1 * number, [function])
        assert WrittenFields(tmp_path / "f.pvd").times == tuple(0.1 * k for k in range(number + 1))
    text = (tmp_path / "f.pvd").read_text()
    assert "<!-- The values are linear. -->" in text and 'timestep="0.2"' in text
    assert len(pv.get_reader(tmp_path / "f.pvd").time_values) == 3


def test_other_paths_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.pvd, not 'f.vtu'"):
        PvdFile(MPI.COMM_SELF, tmp_path / "f.vtu")
    with pytest.raises(InputError, match="there is no directory"):
        PvdFile(MPI.COMM_SELF, tmp_path / "none" / "f.pvd")


def test_a_directory_that_is_gone_stays_gone(tmp_path):
    mesh = meshes.build(MPI.COMM_SELF, "interval", cells=4).mesh
    function = fem.Function(fem.functionspace(mesh, ("Lagrange", 1)), name="rho")
    place = tmp_path / "place"
    place.mkdir()
    file = PvdFile(MPI.COMM_SELF, place / "f.pvd")
    file.write(0.0, [function])
    assert sorted(path.name for path in place.iterdir()) == ["f.pvd", "f000000.pvtu", "f_p0_000000.vtu"]
    shutil.rmtree(place)
    with pytest.raises(InputError, match="there is no directory"):
        file.write(1.0, [function])
    assert not place.exists()


@pytest.mark.parallel
def test_constants_on_cells_and_tensors_are_beside_the_others(shared_tmp_path):
    mesh = meshes.build(COMM, "rectangle", cells=(5, 4)).mesh
    values = fem.Function(fem.functionspace(mesh, ("Lagrange", 1)), name="f")
    twin = fem.Function(fem.functionspace(mesh, ("Lagrange", 1, (2, 2))), name="T")
    cells = fem.Function(fem.functionspace(mesh, ("DG", 0, (2,))), name="g")
    values.interpolate(linear)
    twin.interpolate(lambda x: np.array([x[0], x[1], 2 * x[0], 3 * x[1]]))
    cells.interpolate(lambda x: x[:2])
    write_pvd(COMM, shared_tmp_path / "f.pvd", [(0.0, [values, twin, cells])])
    pieces = [pv.read(file) for file in shared_tmp_path.glob("f_p*.vtu")]
    assert sum(piece.n_cells for piece in pieces) == 40
    for piece in pieces:
        x, y = np.asarray(piece.points).T[:2]
        zero = 0 * x
        tensor = np.array([x, y, zero, 2 * x, 3 * y, zero, zero, zero, zero]).T
        np.testing.assert_allclose(piece.point_data["T"].reshape(-1, 9), tensor, atol=1e-12)
        np.testing.assert_allclose(piece.point_data["f"], linear(np.asarray(piece.points).T), atol=1e-12)
        centres = np.asarray(piece.cell_centers().points)
        np.testing.assert_allclose(piece.cell_data["g"], centres, atol=1e-12)
    COMM.Barrier()


def test_a_file_is_read_by_other_libraries(tmp_path):
    mesh = meshes.build(MPI.COMM_SELF, "rectangle", cells=(3, 2)).mesh
    function = fem.Function(fem.functionspace(mesh, ("Lagrange", 1)), name="f")
    function.interpolate(linear)
    write_pvd(MPI.COMM_SELF, tmp_path / "f.pvd", [(0.0, [function])])
    found = meshio.read(tmp_path / "f_p0_000000.vtu")
    np.testing.assert_array_equal(found.point_data["f"], linear(found.points.T))
    assert found.cells_dict["triangle"].shape == (12, 3)


def test_fields_of_two_elements_are_refused(tmp_path):
    mesh = meshes.build(MPI.COMM_SELF, "interval", cells=4).mesh
    one, two = (fem.Function(fem.functionspace(mesh, ("Lagrange", k)), name=f"f{k}") for k in (1, 2))
    with pytest.raises(ValueError, match="f2"):
        write_pvd(MPI.COMM_SELF, tmp_path / "f.pvd", [(0.0, [one, two])])
