"""Densities as coloured panels, one for each of a few written times: the plane in 2D, a scene in 3D."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection, TriMesh
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.tri import Triangulation

from fem_models.plotting.lines import comparable
from fem_models.plotting.scene import render, slice_plane
from fem_models.plotting.style import WIDTH, axis_label, new_figure, symbol, time_labels
from fem_models.results.fields import Snapshot
from fem_models.results.run_data import RunData

_MOST_TIMES = 6
_MOST_SCENES = 4
_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 5, 6: 3}
# Inches; the sides hold the colour bar and the labels at the left, a name that of a run.
_TALLEST = 3.8
_TITLE, _NAME = 0.5, 0.25
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


_KINDS = {"root": "\n(square-root scale)", "log": "\n(logarithmic scale)"}
# What a logarithmic scale shows, relative to the largest value.
_DEEPEST = 1e-6

Scale = tuple[Normalize, str]
"""A colour scale, and what its bar says of it."""


def scales_of(
    runs: Sequence[RunData], times: Mapping[RunData, Sequence[float]], names: Sequence[str]
) -> dict[str, Scale]:
    """A colour scale for each field, for all runs and times: one kind for all densities of a figure.

    Unless the run file chooses, it is linear, or of the square root where the last density is much smaller
    than earlier ones.

    Args:
        runs: The runs.
        times: For each of them the written times that are shown.
        names: The fields.

    Returns:
        The scale of each field, and what its bar says of it.

    Raises:
        InputError: If fields cannot be read.
    """
    # The least and the largest value are enough, and the fields of many times need not be kept.
    values: dict[str, list[list[np.ndarray]]] = {name: [[] for _ in runs] for name in names}
    for number, item in enumerate(runs):
        for time in times[item]:
            snapshot = item.fields.at(time)
            for name in names:
                field = snapshot[name]
                values[name][number].append(np.array([field.min(), field.max()]))
    densities = [name for name in values if _is_density(runs[0], name)]
    kind = runs[0].config.output.colour_scale
    if kind is None:
        fade = any(
            max(arrays[-1].max(), 0.0) < 0.5 * max(array.max() for array in arrays)
            for name in densities
            for arrays in values[name]
        )
        kind = "root" if fade else "linear"
    return {
        name: _scale(
            [array for arrays in ranges for array in arrays], kind if name in densities else "linear"
        )
        for name, ranges in values.items()
    }


def _is_density(run: RunData, name: str) -> bool:
    return dict(run.config.fields).get(name) == "wasserstein"


def _scale(arrays: Sequence[np.ndarray], kind: str) -> Scale:
    scale = colour_range(arrays)
    low, high = limits(scale)
    if kind == "root" and low >= 0.0:
        return PowerNorm(0.5, low, high), _KINDS[kind]
    if kind == "log" and high > 0.0:
        return LogNorm(max(low, _DEEPEST * high), high, clip=True), _KINDS[kind]
    return scale, ""


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
    """Draw every density of a 2D run and its variants at some of the written times.

    Each density has one colour scale.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If fields cannot be read.
    """
    runs = comparable(run)
    times = {item: item.fields.some_times(_MOST_TIMES) for item in runs}
    most = max(map(len, times.values()))
    # One species of one run fills a grid; several have a row each.
    columns = _COLUMNS[most] if len(runs) * len(run.fields.species) == 1 else most
    low, high = np.min([item.fields.first.bounds[0] for item in runs], axis=0), run.fields.first.bounds[1]
    size = _panel_size(columns, float((high[1] - low[1]) / (high[0] - low[0])))
    rows = -(-most // columns)
    width, height = max(size[0], _NARROWEST) * columns, (size[1] + _TITLE) * rows
    height += _NAME * (len(runs) > 1)
    figure = _new_figure(width, height * len(runs) * len(run.fields.species))
    scales = scales_of(runs, times, run.fields.species)
    for part, item, name in _parts(figure, runs):
        _draw_times(part, item, name, times[item], (rows, columns), size, scales[name])
    return figure


def _draw_times(
    part: SubFigure,
    run: RunData,
    name: str,
    times: Sequence[float],
    shape: tuple[int, int],
    size: tuple[float, float],
    scale: Scale,
) -> None:
    grid = part.subplots(*shape, squeeze=False, sharex=True, sharey=True)
    for number, axes in enumerate(grid.ravel()):
        if number >= len(times):
            axes.remove()
            continue
        paint(axes, run.fields.at(times[number]), name, scale[0])
        _fit_ticks(axes, size)
        axes.set_title(time_labels(times)[number], fontsize="medium")
        if number % shape[1] == 0:
            axes.set_ylabel("y")
        if number + shape[1] >= len(times):  # the lowest of its column
            axes.set_xlabel("x")
            axes.tick_params(labelbottom=True)
    _add_bar(part, [axes for axes in grid.ravel() if axes.figure], axis_label(run, name), scale)


def space_figure(run: RunData) -> Figure:
    """Draw every density of a 3D run and its variants at some of the written times, cut open along slices.

    The slices of a single density are drawn flat, too, a row each.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If fields cannot be read.
    """
    runs = comparable(run)
    times = {item: item.fields.some_times(_MOST_SCENES) for item in runs}
    normals = (2, 1, 0) if len(run.fields.species) * len(runs) == 1 else ()
    low, high = run.fields.first.bounds
    extent = high - low
    planes = [[axis for axis in range(3) if axis != normal] for normal in normals]
    aspects = [1.0, *(float(extent[y] / extent[x]) for x, y in planes)]
    sizes = [_panel_size(_MOST_SCENES, aspect) for aspect in aspects]
    most = max(map(len, times.values()))
    height = sum(height for _, height in sizes) + _TITLE * len(sizes)
    height += _NAME * (len(runs) > 1)
    figure = _new_figure(sizes[0][0] * most, height * len(runs) * len(run.fields.species))
    scales = scales_of(runs, times, run.fields.species)
    for part, item, name in _parts(figure, runs):
        _draw_scenes(part, item, name, times[item], normals, sizes, scales[name])
    return figure


def _draw_scenes(
    part: SubFigure,
    run: RunData,
    name: str,
    times: Sequence[float],
    normals: Sequence[int],
    sizes: Sequence[tuple[float, float]],
    scale: Scale,
) -> None:
    heights = [height for _, height in sizes]
    grid = part.subplots(len(heights), len(times), squeeze=False, height_ratios=heights)
    for column, (time, label) in enumerate(zip(times, time_labels(times), strict=True)):
        grid[0, column].imshow(render(run.fields.at(time), name, scale[0]))
        grid[0, column].set_axis_off()
        grid[0, column].set_title(label, fontsize="medium")
        for axes, normal, size in zip(grid[1:, column], normals, sizes[1:], strict=True):
            _paint_slice(axes, run.fields.at(time), name, scale[0], normal)
            _fit_ticks(axes, size)
            if column:
                axes.tick_params(labelleft=False)
                axes.set_ylabel("")
    _add_bar(part, list(grid.ravel()), axis_label(run, name), scale)


def _paint_slice(axes: Axes, snapshot: Snapshot, name: str, scale: Normalize, normal: int) -> None:
    plane = slice_plane(snapshot, normal)
    if len(plane.cells):
        paint(axes, plane, name, scale)
    (low, high), centre = snapshot.bounds, snapshot.centre
    x, y = (axis for axis in range(3) if axis != normal)
    axes.set(xlabel="xyz"[x], ylabel="xyz"[y], xlim=(low[x], high[x]), ylim=(low[y], high[y]))
    axes.set_title(f"{'xyz'[normal]} = {centre[normal]:.3g}", fontsize="small", color="0.4")


def _parts(figure: Figure, runs: Sequence[RunData]) -> Iterator[tuple[SubFigure, RunData, str]]:
    """A part of the figure for each field of each run, with the name of the run where there are several."""
    pairs = [(item, name) for item in runs for name in item.fields.species]
    parts = figure.subfigures(len(pairs), 1, squeeze=False)[:, 0]
    for part, (item, name) in zip(parts, pairs, strict=True):
        if len(runs) > 1:
            part.suptitle(symbol(item.name), fontsize="medium", x=0.02, ha="left")
        yield part, item, name


def _add_bar(part: SubFigure, grid: Sequence[Axes], label: str, scale: Scale) -> None:
    bar = part.colorbar(ScalarMappable(scale[0], "viridis"), ax=grid, shrink=0.9, aspect=30)
    bar.set_label(label + scale[1])


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
