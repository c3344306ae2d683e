"""Densities as coloured panels, one for each of a few written times: the plane in 2D, a scene in 3D."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection, TriMesh
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.tri import Triangulation

from fem_models.plotting.scene import render, slice_plane
from fem_models.plotting.style import WIDTH, axis_label, new_figure, time_labels
from fem_models.results.fields import Snapshot
from fem_models.results.run_data import RunData

_MOST_TIMES = 6
_MOST_SCENES = 4
_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}
# Inches; the sides hold the colour bar and the labels at the left.
_TALLEST = 3.8
_TITLE = 0.5
_NARROWEST = 1.0
_SIDES = 1.7


def colour_range(arrays: Sequence[np.ndarray]) -> Normalize:
    """One colour scale for several fields; it begins at zero where they do so nearly.

    Args:
        arrays: Values of the fields, of any shapes.

    Returns:
        The scale.
    """
    low, high = min(array.min() for array in arrays), max(array.max() for array in arrays)
    if 0.0 < low < 0.1 * high or -1e-12 * high < low < 0.0:
        low = 0.0
    if high - low <= 1e-9 * max(abs(high), abs(low)):  # a constant field: the middle of the scale
        width = 0.5 * abs(high) or 0.5
        low, high = low - width, high + width
    return Normalize(float(low), float(high))


def limits(scale: Normalize) -> tuple[float, float]:
    """The ends of a colour scale.

    Args:
        scale: A scale from `colour_range`.

    Returns:
        Its least and its largest value.
    """
    assert scale.vmin is not None and scale.vmax is not None
    return scale.vmin, scale.vmax


def _spread_range(arrays: Sequence[np.ndarray]) -> Normalize:
    """One colour scale for several times: of the square root where the later ones are much smaller."""
    scale = colour_range(arrays)
    low, high = limits(scale)
    if low == 0.0 and max(arrays[-1].max(), 0.0) < 0.5 * high:
        return PowerNorm(0.5, low, high)
    return scale


def triangles(snapshot: Snapshot) -> Triangulation:
    """The mesh of the plane.

    Args:
        snapshot: The fields, on triangles.

    Returns:
        Its triangles, as matplotlib takes them.
    """
    return Triangulation(snapshot.points[:, 0], snapshot.points[:, 1], snapshot.cells)


def signed_range(arrays: Sequence[np.ndarray]) -> Normalize:
    """One colour scale for several fields of either sign, with zero in its middle.

    Args:
        arrays: Values of the fields, of any shapes.

    Returns:
        The scale.
    """
    size = float(max(np.abs(array).max() for array in arrays)) or 1.0
    return Normalize(-size, size)


def paint(
    axes: Axes, snapshot: Snapshot, name: str, scale: Normalize, colours: str = "viridis"
) -> TriMesh | PolyCollection:
    """Draw a field of the plane, linear or constant on every triangle of its mesh.

    Args:
        axes: Where to draw.
        snapshot: The fields, on triangles.
        name: The field.
        scale: The colour scale.
        colours: The name of the colour map.

    Returns:
        What was drawn, for a colour bar.
    """
    mesh, values = triangles(snapshot), snapshot[name]
    picture: TriMesh | PolyCollection
    if name in snapshot.values:
        picture = axes.tripcolor(mesh, values, shading="gouraud", cmap=colours, norm=scale)
    else:
        picture = axes.tripcolor(mesh, facecolors=values, cmap=colours, norm=scale)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    return picture


def plane_figure(run: RunData) -> Figure:
    """Draw every density of a 2D run at some of the written times, one colour scale a species.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If fields cannot be read.
    """
    fields = run.fields
    times = fields.some_times(_MOST_TIMES)
    # One species fills a grid; several have a row each.
    columns = len(times) if len(fields.species) > 1 else _COLUMNS[len(times)]
    rows = -(-len(times) // columns)
    low, high = fields.first.bounds
    size = _panel_size(columns, float((high[1] - low[1]) / (high[0] - low[0])))
    figure = _new_figure(max(size[0], _NARROWEST) * columns, (size[1] + _TITLE) * rows * len(fields.species))
    for part, name in _parts(figure, fields.species):
        scale = _spread_range([fields.at(time).values[name] for time in times])
        grid = part.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for number, axes in enumerate(grid.ravel()):
            if number >= len(times):
                axes.set_visible(False)
                continue
            paint(axes, fields.at(times[number]), name, scale)
            _fit_ticks(axes, size)
            axes.set_title(time_labels(times)[number], fontsize="medium")
            if number % columns == 0:
                axes.set_ylabel("y")
            if number + columns >= len(times):  # the lowest of its column
                axes.set_xlabel("x")
                axes.tick_params(labelbottom=True)
        _add_bar(part, grid, axis_label(run, name), scale)
    return figure


def space_figure(run: RunData) -> Figure:
    """Draw every density of a 3D run at some of the written times, cut open along three slices.

    The slices of a single density are drawn flat, too, a row each.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If fields cannot be read.
    """
    fields = run.fields
    times = fields.some_times(_MOST_SCENES)
    normals = (2, 1, 0) if len(fields.species) == 1 else ()
    low, high = fields.first.bounds
    extent = high - low
    planes = [[axis for axis in range(3) if axis != normal] for normal in normals]
    aspects = [1.0, *(float(extent[y] / extent[x]) for x, y in planes)]
    sizes = [_panel_size(_MOST_SCENES, aspect) for aspect in aspects]
    heights = [height for _, height in sizes]
    figure = _new_figure(sizes[0][0] * len(times), (sum(heights) + _TITLE * len(sizes)) * len(fields.species))
    for part, name in _parts(figure, fields.species):
        scale = colour_range([fields.at(time).values[name] for time in times])
        grid = part.subplots(len(heights), len(times), squeeze=False, height_ratios=heights)
        for column, (time, label) in enumerate(zip(times, time_labels(times), strict=True)):
            grid[0, column].imshow(render(fields.at(time), name, scale))
            grid[0, column].set_axis_off()
            grid[0, column].set_title(label, fontsize="medium")
            for axes, normal, size in zip(grid[1:, column], normals, sizes[1:], strict=True):
                _paint_slice(axes, fields.at(time), name, scale, normal)
                _fit_ticks(axes, size)
                if column:
                    axes.tick_params(labelleft=False)
                    axes.set_ylabel("")
        _add_bar(part, grid, axis_label(run, name), scale)
    return figure


def _paint_slice(axes: Axes, snapshot: Snapshot, name: str, scale: Normalize, normal: int) -> None:
    plane = slice_plane(snapshot, normal)
    if len(plane.cells):
        paint(axes, plane, name, scale)
    (low, high), centre = snapshot.bounds, snapshot.centre
    x, y = (axis for axis in range(3) if axis != normal)
    axes.set(xlabel="xyz"[x], ylabel="xyz"[y], xlim=(low[x], high[x]), ylim=(low[y], high[y]))
    axes.set_title(f"{'xyz'[normal]} = {centre[normal]:.3g}", fontsize="small", color="0.4")


def _parts(figure: Figure, species: Sequence[str]) -> Iterator[tuple[SubFigure, str]]:
    return zip(figure.subfigures(len(species), 1, squeeze=False)[:, 0], species, strict=True)


def _add_bar(part: SubFigure, grid: np.ndarray, label: str, scale: Normalize) -> None:
    bar = part.colorbar(ScalarMappable(scale, "viridis"), ax=grid, shrink=0.9, aspect=30)
    bar.set_label(label)


def _new_figure(width: float, height: float) -> Figure:
    return new_figure(height=height + 0.3, width=width + _SIDES)


def _panel_size(columns: int, aspect: float) -> tuple[float, float]:
    """Width and height of one of so many panels beside each other, in inches."""
    width = (WIDTH - _SIDES) / columns
    height = min(_TALLEST, width * aspect)
    return height / aspect, height


def _fit_ticks(axes: Axes, size: tuple[float, float]) -> None:
    counts = [min(5, max(1, int(2.2 * length))) for length in size]
    axes.locator_params(axis="x", nbins=counts[0])
    axes.locator_params(axis="y", nbins=counts[1])
