"""Inf-sup constants of element pairs over the mesh size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fem_models.linearised_jko.elements import PAIRS
from fem_models.plotting.style import colour, new_figure, plain, save
from fem_models.results.inf_sup_table import InfSupRequest, InfSupRow, by_label

_MARKERS = "osD^vPX"
# A small circle before a large square: the first two pairs often have the same constants.
_SIZES = (4.5, 8.5, 6.0, 6.0, 6.0, 7.0, 6.0)


def draw_lbb(request: InfSupRequest, rows: Sequence[InfSupRow], path: Path) -> Path:
    """Write the picture of `lbb_figure`. Call it on one process.

    Args:
        request: What was computed.
        rows: By pair, boundary and mesh; at least one.
        path: The picture, a .png file.

    Returns:
        The picture.

    Raises:
        InputError: The picture cannot be written.
    """
    return save(lbb_figure(request, rows), path)


def lbb_figure(request: InfSupRequest, rows: Sequence[InfSupRow]) -> Figure:
    """Draw the constants β over h, both axes logarithmic.

    Stable pairs are solid lines and the controls dashed ones; fluxes that are free at the boundary have open
    symbols. Constants that are zero, which have no place on the axis, are crosses at its lower end. With a
    transport, a second panel has the constants of the whole constraint, for fluxes and densities together
    (Bruna, Burger and Carrillo, (2.14)).

    Args:
        request: What was computed.
        rows: By pair, boundary and mesh; at least one.

    Returns:
        The figure.
    """
    transported = request.moves
    figure = new_figure(height=5.0, width=12.0 if transported else 8.5)
    panels = figure.subplots(1, 2 if transported else 1, sharex=True, sharey=True, squeeze=False)[0]
    floor = _floor(rows)
    _draw(panels[0], rows, "beta", floor)
    panels[0].set_ylabel(r"inf-sup constant $\beta_h$ (dimensionless)")
    panels[0].set_title(r"fluxes alone, $b(g, f)$", fontsize="medium", loc="left")
    if transported:
        held = [row for row in rows if row.boundary == "no-flux"]
        _draw(panels[1], held, "constraint", floor)
        slabs = f"{request.slabs} slab" + "s" * (request.slabs > 1)
        panels[1].set_title(f"whole constraint, {slabs}", fontsize="medium", loc="left")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, title="potential - flux")
    return figure


def _floor(rows: Sequence[InfSupRow]) -> float:
    """The lower end of the axis: half a decade below the smallest constant that is not zero."""
    positive = [value for row in rows for value in (row.beta, row.constraint) if value > 0.0]
    return 0.3 * min([*positive, 0.3])


def _draw(axes: Axes, rows: Sequence[InfSupRow], column: str, floor: float) -> None:
    names = list(dict.fromkeys(row.pair for row in rows))
    for label, group in by_label(rows):
        number = names.index(group[0].pair)
        shade, marker = ("black" if number >= 6 else colour(number)), _MARKERS[number % len(_MARKERS)]
        stable, free = PAIRS[group[0].pair].stable, group[0].boundary == "free"
        h, beta = np.array([row.h for row in group]), np.array([getattr(row, column) for row in group])
        zero = beta == 0.0
        axes.plot(
            h,
            np.where(zero, floor, beta),
            color=shade,
            linestyle="-" if stable else "--",
            linewidth=1.0 if free else 1.8,
            marker="x" if zero.all() else marker,
            markerfacecolor="white" if free else shade,
            markersize=_SIZES[number % len(_SIZES)],
            clip_on=False,
            zorder=3.0 - 0.01 * number,
            label=f"{label} (zero)" if zero.all() else label,
        )
    _draw_slope(axes, rows, column, floor)
    _set_scales(axes, sorted({row.h for row in rows}), floor)


def _draw_slope(axes: Axes, rows: Sequence[InfSupRow], column: str, floor: float) -> None:
    """A faint line of slope 1 below the controls that fall."""
    falling = [row for row in rows if not PAIRS[row.pair].stable and getattr(row, column) > 0.0]
    h = np.array(sorted({row.h for row in falling}))
    if len(h) < 2:
        return
    scale = 0.7 * min(getattr(row, column) / row.h for row in falling)
    axes.plot(h, np.maximum(scale * h, floor), color="0.6", linewidth=1.0)
    axes.annotate(
        "slope 1", (h[-1], scale * h[-1]), (0, -28), textcoords="offset points", ha="right", color="0.5"
    )


def _set_scales(axes: Axes, sizes: Sequence[float], floor: float) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(bottom=floor)
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _position: f"{size:.3g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    axes.set_xlabel("mesh size h (longest edge, dimensionless)")
    plain(axes)
