"""Pictures from functions and files without a run directory: one state, geodesics, perturbations."""

import numpy as np
import pytest
from matplotlib.image import imread
from mpi4py import MPI
from references import COMM, mesh_of

from fem_models.core.errors import InputError
from fem_models.plotting.perturbation import draw_perturbation, perturbation_figure
from fem_models.plotting.state import plot_density, state_figure
from fem_models.results.fields import WrittenFields

from dolfinx import fem, io  # isort: skip

DOMAINS = {1: ("interval", 12), 2: ("rectangle", (6, 6)), 3: ("box", (3, 3, 3))}


def function(element, formula, name="rho", dim=2, alone=False):
    domain, cells = DOMAINS[dim]
    found = fem.Function(fem.functionspace(mesh_of(domain, alone, cells=cells), element), name=name)
    found.interpolate(formula)
    return found


def snapshot(functions, folder, comm=MPI.COMM_SELF):
    """Functions as they are read from the files that the ranks write; on one rank."""
    with io.VTKFile(comm, folder / "fields.pvd", "w") as file:
        file.write_function(functions, 0.0)
    comm.Barrier()
    return WrittenFields(folder / "fields.pvd").first if comm.rank == 0 else None


def is_a_picture(path):
    """Whether a file is a PNG whose pixels are not all alike."""
    pixels = imread(path)[..., :3]
    return pixels.shape[0] > 200 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parallel
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_density_is_written_from_any_number_of_ranks(shared_tmp_path, dim):
    density = function(("Lagrange", 1), lambda x: 1.0 + x[0], dim=dim)
    found = snapshot([density], shared_tmp_path, COMM)
    if COMM.rank == 0:
        path = plot_density(found, shared_tmp_path / "density.png", title="t = 0")
        assert path == shared_tmp_path / "density.png"
        assert is_a_picture(path)


def test_curves_of_a_state_with_their_jumps(tmp_path):
    rho = function(("Lagrange", 1), lambda x: 1.0 + x[0], dim=1, alone=True)
    steps = function(("DG", 0), lambda x: np.where(x[0] < 0.5, 0.0, 2.0), "steps", dim=1, alone=True)
    (axes,) = state_figure(snapshot([rho, steps], tmp_path), "t = 0").axes
    smooth, jumps = axes.lines
    assert [line.get_label() for line in (smooth, jumps)] == [r"$\rho$", "steps"]
    np.testing.assert_allclose(smooth.get_ydata(), 1.0 + smooth.get_xdata(), atol=1e-12)
    x, y = jumps.get_data()
    assert np.all(np.diff(x) >= 0.0) and set(y) == {0.0, 2.0}
    assert x[np.flatnonzero(np.diff(y))[0]] == pytest.approx(0.5)


def test_panels_of_a_state(tmp_path):
    rho = function(("Lagrange", 1), lambda x: 1.0 + x[0], alone=True)
    u = function(("Lagrange", 1), lambda x: 3.0 * x[1], "u", alone=True)
    panels = [axes for axes in state_figure(snapshot([rho, u], tmp_path)).axes if axes.get_xlabel() == "x"]
    for axes, low, high in zip(panels, (1.0, 0.0), (2.0, 3.0), strict=True):
        values = axes.collections[0].get_array()
        assert (values.min(), values.max()) == pytest.approx((low, high))


def test_a_snapshot_is_drawn_as_it_was_read(tmp_path):
    rho = function(("Lagrange", 1), lambda x: 1.0 + x[0], alone=True)
    with io.VTKFile(MPI.COMM_SELF, tmp_path / "fields.pvd", "w") as file:
        file.write_function(rho, 0.0)
    # No names are asked for: all are found.
    fields = WrittenFields(tmp_path / "fields.pvd")
    assert fields.species == ("rho",)
    assert is_a_picture(plot_density(fields.first, tmp_path / "density.png"))


def test_pictures_that_cannot_be_written_are_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        plot_density(
            snapshot([function(("Lagrange", 1), lambda x: x[0], alone=True)], tmp_path),
            tmp_path / "file" / "density.png",
        )


# Perturbations: h = (1 - t) cos πx, f = x - ½, |g| = 5t (1D: g = 3t).

TIMES = (0.0, 0.25, 0.5, 1.0)


def write_perturbation(path, dim, potentials, fluxes, names=("h", "f", "g")):
    vector = np.array([3.0, 4.0, 0.0])[:dim]
    h, f = (function(potentials, lambda x: 0.0 * x[0], name, dim) for name in names[:2])
    g = function((*fluxes, (dim,)), lambda x: 0.0 * x[:dim], names[2], dim)
    with io.VTKFile(COMM, path, "w") as file:
        for t in TIMES:
            h.interpolate(lambda x, t=t: (1.0 - t) * np.cos(np.pi * x[0]))
            f.interpolate(lambda x: x[0] - 0.5)
            g.interpolate(lambda x, t=t: t * vector[:, None] * np.ones(x.shape[1]))
            file.write_function([h, f, g], t)
    COMM.Barrier()
    return path


PAIRS = {
    "P1-DG0": (("Lagrange", 1), ("DG", 0)),
    "DG1-DG1": (("DG", 1), ("DG", 1)),
    "DG0-DG1": (("DG", 0), ("DG", 1)),
}


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("dim", "pair"), [(1, "DG0-DG1"), (2, "P1-DG0"), (2, "DG1-DG1"), (3, "P1-DG0"), (3, "DG0-DG1")]
)
def test_a_perturbation_is_drawn_after_a_run_on_any_number_of_ranks(shared_tmp_path, dim, pair):
    fields = write_perturbation(shared_tmp_path / "perturbation.pvd", dim, *PAIRS[pair])
    if COMM.rank == 0:
        snapshot = WrittenFields(fields, ("h", "f")).last
        np.testing.assert_allclose(snapshot["g" if dim == 1 else "|g|"], 3.0 if dim == 1 else 5.0, rtol=1e-12)
        assert len(snapshot.cells) == {1: 12, 2: 72, 3: 162}[dim]
        if dim < 3 or pair == "P1-DG0":
            assert is_a_picture(draw_perturbation(fields, shared_tmp_path / "perturbation.png"))
    COMM.Barrier()


def test_rows_of_a_perturbation_in_one_dimension(tmp_path):
    path = write_perturbation(tmp_path / "perturbation.pvd", 1, *PAIRS["P1-DG0"])
    rows = perturbation_figure(WrittenFields(path, ("h", "f"))).axes
    assert [axes.get_ylabel() for axes in rows] == ["perturbation $h$", "multiplier $f$", "flux $g$"]
    for line, t in zip(rows[0].lines, TIMES, strict=True):
        assert line.get_label() == f"t = {t:g}"
        np.testing.assert_allclose(line.get_ydata(), (1.0 - t) * np.cos(np.pi * line.get_xdata()), atol=1e-12)
    for line, t in zip(rows[2].lines, TIMES, strict=True):
        np.testing.assert_allclose(line.get_ydata(), 3.0 * t, atol=1e-12)


def test_rows_of_a_perturbation_in_the_plane(tmp_path):
    path = write_perturbation(tmp_path / "perturbation.pvd", 2, *PAIRS["DG0-DG1"])
    figure = perturbation_figure(WrittenFields(path, ("h", "f")))
    bars = {axes.get_ylabel(): axes.get_ylim() for axes in figure.axes if "$" in axes.get_ylabel()}
    # Zero is in the middle of what has either sign, and constants on cells are taken at their midpoints.
    low, high = bars["perturbation $h$"]
    assert low == -high and high == pytest.approx(np.cos(np.pi / 18), rel=1e-6)
    assert bars["flux $|g|$"] == pytest.approx((0.0, 5.0))
    panels = [axes for axes in figure.axes if axes.get_xlabel() == "x"]
    assert len(panels) == 3 * len(TIMES)
    assert [axes.get_title() for axes in panels[:4]] == [f"t = {t:g}" for t in TIMES]


def test_a_file_without_fluxes_is_one_sentence(tmp_path):
    h = function(("Lagrange", 1), lambda x: x[0], "h", alone=True)
    with io.VTKFile(MPI.COMM_SELF, tmp_path / "fields.pvd", "w") as file:
        file.write_function(h, 0.0)
    with pytest.raises(InputError, match="has no field f: its fields are h"):
        draw_perturbation(tmp_path / "fields.pvd", tmp_path / "picture.png")
    path = write_perturbation(tmp_path / "perturbation.pvd", 2, *PAIRS["P1-DG0"], names=("h", "f", "q"))
    with pytest.raises(InputError, match="no vector field g to draw"):
        draw_perturbation(path, tmp_path / "picture.png")
