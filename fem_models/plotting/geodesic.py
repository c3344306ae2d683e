"""The densities along a Wasserstein geodesic, in one row."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from fem_models.plotting.panels import colour_range
from fem_models.plotting.rows import FRAME, SIDE, curve, draw_row, row_height
from fem_models.plotting.style import WIDTH, new_figure, plain, save, sequence, symbol
from fem_models.results.fields import FieldSeries, WrittenFields

_MOST_PANELS = 5
_MOST_CURVES = 9


def draw_geodesic(fields: Path, name: str, distance: float, path: Path) -> Path:
    """Write the picture of a geodesic from a file. Call it on one process.

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


def geodesic_figure(fields: FieldSeries, name: str, distance: float) -> Figure:
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
    figure = _curves(fields, name) if fields.first.dimension == 1 else _panels(fields, name)
    figure.suptitle(f"geodesic, distance $W_2$ = {distance:.6g}", fontsize="medium")
    return figure


def _curves(fields: FieldSeries, name: str) -> Figure:
    figure = new_figure(height=4.2)
    axes = figure.subplots()
    times = fields.some_times(_MOST_CURVES)
    for s, colour in zip(times, sequence(len(times)), strict=True):
        axes.plot(*curve(fields.at(s), name), color=colour, linewidth=1.6, label=f"s = {s:.4g}")
    axes.set(xlabel="x", ylabel=f"density {symbol(name)}")
    plain(axes)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _panels(fields: FieldSeries, name: str) -> Figure:
    times = fields.some_times(_MOST_PANELS)
    snapshots = [fields.at(s) for s in times]
    figure = new_figure(height=row_height(snapshots[0], len(times)) + FRAME, width=WIDTH + SIDE)
    scale = colour_range([snapshot[name] for snapshot in snapshots])
    titles = [f"s = {s:.4g}" for s in times]
    draw_row(figure, snapshots, titles, name, scale, f"density {symbol(name)}")
    return figure
