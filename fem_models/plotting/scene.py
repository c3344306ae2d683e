"""Pictures of a 3D density, without a display."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyvista as pv
from matplotlib.colors import Normalize

from fem_models.results.fields import Snapshot

_PIXELS = 700
_SHADE = "shade"
_NORMALS = np.eye(3)
# Corners that are so near to each other, relative to the size of the domain, are one.
_SAME = 1e-9


def render(
    snapshot: Snapshot, name: str, scale: Normalize, colours: str = "viridis"
) -> npt.NDArray[np.uint8]:
    """Draw a field of a 3D domain with the octant towards the reader cut away.

    Args:
        snapshot: The fields.
        name: The field, shown on the three slices through the centre.
        scale: The colour scale.
        colours: The name of the colour map.

    Returns:
        The picture, shape (rows, columns, 3), of equal shape for all times of a run.
    """
    grid = snapshot.grid()
    # PyVista knows two of matplotlib's scales: it gets their values.
    data = grid.point_data if name in snapshot.values else grid.cell_data
    data[_SHADE] = np.asarray(scale(snapshot[name]), dtype=float)
    low, high = snapshot.bounds
    centre, size = snapshot.centre, high - low
    box = np.column_stack([centre, high + size]).ravel()
    # Cells of discontinuous fields share no points, and all of their sides would count as outer ones.
    same = _SAME * float(size.max())
    body = grid.clean(tolerance=same).extract_surface(algorithm=None).clip_box(box, invert=True)
    # Where VTK finds no display it says so before it goes on without one.
    with pv.vtk_verbosity("off"):
        plotter = pv.Plotter(off_screen=True, window_size=[_PIXELS, _PIXELS])
        try:
            _add(plotter, body, color="#e4e4e4", ambient=0.45, diffuse=0.55)
            for axis in range(3):
                face = _face(grid, axis, centre)
                _add(plotter, face, scalars=_SHADE, cmap=colours, clim=(0.0, 1.0), lighting=False)
                edges = face.clean(tolerance=same, absolute=True).extract_feature_edges(
                    feature_edges=False, manifold_edges=False
                )
                # Towards the camera, so that they do not sink into the faces.
                edges = edges.translate(np.full(3, 0.003 * size.max()))
                _add(plotter, edges, color="white", line_width=3)
            tips = centre + np.diag(0.5 * size + 0.08 * size.max())
            look: dict[str, Any] = {
                "shape": None,
                "show_points": False,
                "always_visible": True,
                "font_size": 40,
            }
            plotter.add_point_labels(tips, ["x", "y", "z"], text_color="#555555", **look)
            plotter.enable_anti_aliasing("ssaa")
            plotter.camera_position = "iso"
            plotter.renderer.reset_camera(bounds=np.column_stack([low, high]).ravel())
            return _without_margins(np.asarray(plotter.screenshot(return_img=True)))
        finally:
            plotter.close()


def slice_plane(snapshot: Snapshot, normal: int) -> Snapshot:
    """The fields on the plane through the centre of a 3D domain that is normal to an axis.

    Args:
        snapshot: The fields.
        normal: Number of the axis.

    Returns:
        Triangles whose first two coordinates are the other two axes, in their order; no cell if the plane
        does not meet the domain.
    """
    cut = snapshot.grid().slice(normal=_NORMALS[normal], origin=snapshot.centre).triangulate()
    order = [axis for axis in range(3) if axis != normal] + [normal]
    values = {name: np.asarray(cut.point_data[name]) for name in snapshot.values if name in cut.point_data}
    return Snapshot(np.asarray(cut.points)[:, order], cut.faces.reshape(-1, 4)[:, 1:], values)


def _face(grid: pv.UnstructuredGrid, axis: int, centre: npt.NDArray[np.float64]) -> pv.PolyData:
    """The quarter of a slice through the centre that borders the octant cut away."""
    face = grid.slice(normal=_NORMALS[axis], origin=centre)
    for other in range(3):
        if other != axis and face.n_cells:
            face = face.clip(normal=_NORMALS[other], origin=centre, invert=False)
    return face


def _without_margins(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The smallest part of a picture with all that is not white."""
    rows, columns = np.nonzero(np.any(picture < 255, axis=2))
    return picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _add(plotter: pv.Plotter, mesh: pv.DataSet, **look: Any) -> None:
    if mesh.n_cells:  # PyVista refuses an empty one, as a slice through a hollow centre may be
        plotter.add_mesh(mesh, show_scalar_bar=False, **look)
