"""One state: densities and other fields at one time, without a run directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from fem_models.core.errors import InputError
from fem_models.plotting.panels import colour_range
from fem_models.plotting.rows import FRAME, SIDE, curve, draw_row, row_height
from fem_models.plotting.style import WIDTH, Look, colour, dashes, new_figure, plain, save, symbol
from fem_models.results.fields import Snapshot

# The width of a panel in inches.
_PANEL = 4.2


def plot_density(state: Snapshot, path: Path | str, title: str = "") -> Path:
    """Write the picture of one state in 1D, 2D or 3D. Call it on one process.

    Args:
        state: Fields that were read, see `fem_models.results.fields.WrittenFields`.
        path: The picture, a .png file.
        title: What stands above it.

    Returns:
        The picture.

    Raises:
        InputError: If nothing can be drawn, or the picture cannot be written.
    """
    return save(state_figure(state, title), Path(path))


def state_figure(snapshot: Snapshot, title: str = "") -> Figure:
    """Draw the fields of a snapshot: in 1D as curves, in 2D as coloured panels, in 3D as scenes cut open.

    Args:
        snapshot: The fields.
        title: What stands above the figure.

    Returns:
        The figure, with a panel for each field in 2D and 3D.

    Raises:
        InputError: If there is no field.
    """
    names = snapshot.names
    if not names:
        raise InputError("There is no field to draw.")
    figure = _curves(snapshot, names) if snapshot.dimension == 1 else _panels(snapshot, names)
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def _curves(snapshot: Snapshot, names: Sequence[str]) -> Figure:
    figure = new_figure(height=4.2, width=0.8 * WIDTH)
    axes = figure.subplots()
    for number, name in enumerate(names):
        look: Look = {"color": colour(number), "linestyle": dashes(number), "label": symbol(name)}
        axes.plot(*curve(snapshot, name), linewidth=1.8, **look)
    axes.set(xlabel="x", ylabel=symbol(names[0]) if len(names) == 1 else "")
    plain(axes)
    if len(names) > 1:
        figure.legend(loc="outside right upper", frameon=False)
    return figure


def _panels(snapshot: Snapshot, names: Sequence[str]) -> Figure:
    figure = new_figure(height=row_height(snapshot, 2) + FRAME, width=(_PANEL + SIDE) * len(names))
    parts = figure.subfigures(1, len(names), squeeze=False)[0]
    for part, name in zip(parts, names, strict=True):
        draw_row(part, [snapshot], [""], name, colour_range([snapshot[name]]), symbol(name))
    return figure
