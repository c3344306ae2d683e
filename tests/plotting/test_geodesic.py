"""The picture of a geodesic: what it has in 1D, 2D and 3D, and that it is a picture."""

import numpy as np
import pytest
from dolfinx import fem
from dolfinx.io import VTKFile
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.meshes import domains as meshes
from fem_models.plotting.geodesic import draw_geodesic, geodesic_figure
from fem_models.results.fields import WrittenFields

DOMAINS = {1: ("interval", [12]), 2: ("rectangle", [6, 6]), 3: ("box", [3, 3, 3])}


def written(path, dim, slabs):
    """A path of densities 1 + s x."""
    domain, cells = DOMAINS[dim]
    space = fem.functionspace(meshes.build(MPI.COMM_SELF, domain, cells=cells).mesh, ("Lagrange", 1))
    density = fem.Function(space, name="rho")
    with VTKFile(MPI.COMM_SELF, path, "w") as file:
        for k in range(slabs + 1):
            density.interpolate(lambda x, k=k: 1.0 + k / slabs * x[0])
            file.write_function(density, k / slabs)
    return WrittenFields(path, ["rho"])


def test_curves(tmp_path):
    fields = written(tmp_path / "geodesic.pvd", 1, 4)
    figure = geodesic_figure(fields, "rho", 0.25)
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["s = 0", "s = 0.25", "s = 0.5", "s = 0.75", "s = 1"]
    for s, line in zip((0.0, 0.25, 0.5, 0.75, 1.0), axes.lines, strict=True):
        assert line.get_ydata() == pytest.approx(1.0 + s * line.get_xdata())
    assert figure.get_suptitle() == "geodesic, distance $W_2$ = 0.25"


@pytest.mark.parametrize("dim", [2, 3])
def test_panels(tmp_path, dim):
    fields = written(tmp_path / "geodesic.pvd", dim, 8)
    figure = geodesic_figure(fields, "rho", 0.25)
    *panels, bar = figure.axes
    assert [axes.get_title() for axes in panels] == ["s = 0", "s = 0.25", "s = 0.5", "s = 0.75", "s = 1"]
    # One scale for all: that of the densities, from 1 to 2.
    assert bar.get_ylim() == pytest.approx((1.0, 2.0))
    if dim == 2:
        colours = [axes.collections[0].get_array() for axes in panels]
        assert [np.max(values) for values in colours] == pytest.approx([1.0, 1.25, 1.5, 1.75, 2.0])


def test_the_file(tmp_path):
    written(tmp_path / "geodesic.pvd", 2, 2)
    picture = draw_geodesic(tmp_path / "geodesic.pvd", "rho", 0.1, tmp_path / "geodesic.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="has no field u"):
        draw_geodesic(tmp_path / "geodesic.pvd", "u", 0.1, tmp_path / "other.png")
