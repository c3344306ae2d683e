"""The densities along a Wasserstein geodesic, in one row."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from fem_models.plotting.panels import colour_range, paint
from fem_models.plotting.scene import render
from fem_models.plotting.style import WIDTH, new_figure, plain, save, sequence, symbol
from fem_models.results.fields import WrittenFields

_MOST_PANELS = 5
_MOST_CURVES = 9
# Inches: what titles and labels, and the colour bar at the side take.
_FRAME, _SIDE = 1.1, 1.2
_LOWEST, _TALLEST = 1.6, 4.5


def draw_geodesic(fields: Path, name: str, distance: float, path: Path) -> Path:
    """Write the picture of a geodesic. Call it on one process.

    Args:
        fields: The .pvd file with the densities, s for the time.
        name: The density in it.
        distance: W₂.
        path: The picture, a .png file.

    Returns:
        The picture.

    Raises:
        InputError: If the fields cannot be read, or the picture cannot be written.
    """
    return save(geodesic_figure(WrittenFields(fields, [name]), name, distance), path)


def geodesic_figure(fields: WrittenFields, name: str, distance: float) -> Figure:
    """Draw the densities along a geodesic at some s from 0 to 1, on one scale.

    In 1D they are curves, dark to light; in 2D coloured panels in a row; in 3D scenes cut open.

    Args:
        fields: The densities, s for the time.
        name: The density.
        distance: W₂, for the title.

    Returns:
        The figure.

    Raises:
        InputError: If the fields cannot be read.
    """
    dimension = fields.first.dimension
    figure = _curves(fields, name) if dimension == 1 else _panels(fields, name, dimension)
    figure.suptitle(f"geodesic, distance $W_2$ = {distance:.6g}", fontsize="medium")
    return figure


def _curves(fields: WrittenFields, name: str) -> Figure:
    figure = new_figure(height=4.2)
    axes = figure.subplots()
    times = fields.some_times(_MOST_CURVES)
    for s, colour in zip(times, sequence(len(times)), strict=True):
        snapshot = fields.at(s)
        x, index = np.unique(snapshot.points[:, 0], return_index=True)
        axes.plot(x, snapshot.values[name][index], color=colour, linewidth=1.6, label=f"s = {s:.4g}")
    axes.set(xlabel="x", ylabel=f"density {symbol(name)}")
    plain(axes)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _panels(fields: WrittenFields, name: str, dimension: int) -> Figure:
    times = fields.some_times(_MOST_PANELS)
    low, high = fields.first.bounds
    aspect = float((high[1] - low[1]) / (high[0] - low[0])) if dimension == 2 else 1.0
    height = float(np.clip(WIDTH / len(times) * aspect, _LOWEST, _TALLEST))
    figure = new_figure(height=height + _FRAME, width=WIDTH + _SIDE)
    grid = figure.subplots(1, len(times), squeeze=False, sharex=dimension == 2, sharey=dimension == 2)[0]
    scale = colour_range([fields.at(s).values[name] for s in times])
    for axes, s in zip(grid, times, strict=True):
        _panel(axes, fields, name, s, scale, dimension)
        axes.set_title(f"s = {s:.4g}", fontsize="medium")
    if dimension == 2:
        grid[0].set_ylabel("y")
    bar = figure.colorbar(ScalarMappable(scale, "viridis"), ax=grid, aspect=30)
    bar.set_label(f"density {symbol(name)}")
    return figure


def _panel(axes: Axes, fields: WrittenFields, name: str, s: float, scale: Normalize, dimension: int) -> None:
    if dimension == 2:
        paint(axes, fields.at(s), name, scale)
        axes.locator_params(nbins=3)
        axes.set_xlabel("x")
    else:
        axes.imshow(render(fields.at(s), name, scale))
        axes.set_axis_off()
