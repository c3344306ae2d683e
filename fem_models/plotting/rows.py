"""Rows of pictures of fields in 1D, 2D and 3D, from snapshots: what figures without a run are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

from fem_models.plotting.panels import paint
from fem_models.plotting.scene import render
from fem_models.plotting.style import WIDTH
from fem_models.results.fields import Snapshot

_Array = npt.NDArray[np.float64]

# Inches: what titles and labels, and the colour bar at the side take.
FRAME, SIDE = 1.1, 1.2
_LOWEST, _TALLEST = 1.6, 4.5


def row_height(snapshot: Snapshot, count: int) -> float:
    """The height of a row of pictures beside each other.

    Args:
        snapshot: The fields, in 2D or 3D.
        count: The number of pictures.

    Returns:
        Inches, without titles and labels.
    """
    low, high = snapshot.bounds
    aspect = float((high[1] - low[1]) / (high[0] - low[0])) if snapshot.dimension == 2 else 1.0
    return float(np.clip(WIDTH / count * aspect, _LOWEST, _TALLEST))


def draw_row(
    figure: Figure | SubFigure,
    snapshots: Sequence[Snapshot],
    titles: Sequence[str],
    name: str,
    scale: Normalize,
    label: str,
    colours: str = "viridis",
) -> None:
    """Draw a field of several snapshots in a row, on one scale: coloured panels in 2D, scenes in 3D.

    Args:
        figure: Where to draw; the row fills it.
        snapshots: The fields, in 2D or 3D.
        titles: One for each.
        name: The field.
        scale: The colour scale.
        label: What the colour bar says.
        colours: The name of the colour map.
    """
    flat = snapshots[0].dimension == 2
    grid = figure.subplots(1, len(snapshots), squeeze=False, sharex=flat, sharey=flat)[0]
    for axes, snapshot, title in zip(grid, snapshots, titles, strict=True):
        _draw(axes, snapshot, name, scale, colours)
        axes.set_title(title, fontsize="medium")
    if flat:
        grid[0].set_ylabel("y")
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=grid, aspect=30)
    bar.set_label(label)


def _draw(axes: Axes, snapshot: Snapshot, name: str, scale: Normalize, colours: str) -> None:
    if snapshot.dimension == 2:
        paint(axes, snapshot, name, scale, colours)
        axes.locator_params(nbins=3)
        axes.set_xlabel("x")
    else:
        axes.imshow(render(snapshot, name, scale, colours))
        axes.set_axis_off()


def curve(snapshot: Snapshot, name: str) -> tuple[_Array, _Array]:
    """A field of an interval as a curve, with its jumps where it has some.

    Args:
        snapshot: The fields, in 1D.
        name: The field.

    Returns:
        Coordinates in increasing order and values there, each of shape (n,).
    """
    x = snapshot.points[snapshot.cells, 0]
    values = snapshot[name]
    y = values[snapshot.cells] if name in snapshot.values else np.column_stack([values, values])
    ends = np.argsort(x, axis=1)
    x, y = np.take_along_axis(x, ends, axis=1), np.take_along_axis(y, ends, axis=1)
    order = np.argsort(x[:, 0])
    x, y = x[order].ravel(), y[order].ravel()
    new = np.append(True, (np.diff(x) != 0.0) | (np.diff(y) != 0.0))
    return x[new], y[new]
