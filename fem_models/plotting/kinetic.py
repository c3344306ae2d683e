"""Kinetic equations: their decay to equilibrium against what theorems allow, and f in phase space."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from fem_models.core.errors import InputError
from fem_models.plotting.panels import colour_range, paint
from fem_models.plotting.style import (
    TIME,
    WIDTH,
    Look,
    colour,
    dashes,
    legend,
    new_figure,
    plain,
    symbol,
    time_labels,
)
from fem_models.results import layout
from fem_models.results.phase_space import DISTRIBUTION, PhaseSpaceRun, has_phase_space
from fem_models.results.run_data import RunData


def decay_figure(run: RunData) -> Figure:
    """Draw ‖f - ρ̄M‖², ‖(I - Π)f‖² and the flux's distance from its limit, for the run and its variants.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If the run has no such table.
    """
    runs = [run, *(item for item in run.variants if (item.directory / layout.STUDY).is_file())]
    figure = new_figure(height=4.2, width=11.0)
    norms, flux = figure.subplots(1, 2)
    for number, item in enumerate(runs):
        table = item.table(layout.STUDY, ("time", "distance2"), 'the figure "decay" needs a kinetic equation')
        series = item.series
        look: Look = {"color": colour(number), "linewidth": 2.0}
        name = f", {symbol(item.name)}" if len(runs) > 1 else ""
        times = table["time"]
        norms.plot(times, table["distance2"], label=f"‖f - ρ̄M‖²{name}", **look)
        norms.plot(
            series["time"], series["norm2_deviation"], linestyle=dashes(1), label=f"‖(I - Π)f‖²{name}", **look
        )
        norms.plot(times, table["theorem"], linestyle=dashes(2), label=f"(2.1), C = 3{name}", **look)
        rate = (item.summary.get("decay") or {}).get("linear_rate")
        if rate:
            # Through the last point, for it is the slope that counts.
            line = table["distance2"][-1] * np.exp(-rate * (times - times[-1]))
            shown = line <= table["theorem"]
            norms.plot(times[shown], line[shown], linestyle=dashes(3), label=f"linear rate{name}", **look)
        flux.plot(times, table["flux_residual"], label=f"‖∇ρ + λ j/ε‖{name}", **look)
    for axes in (norms, flux):
        axes.set_yscale("log")
        axes.set_xlabel(TIME)
        legend(axes)
        plain(axes)
    return figure


_MOST_TIMES, _COLUMNS = 6, 3
# Inches of a row of panels, and of what stands around them.
_ROW, _TITLE = 2.4, 0.5


def phase_space_figure(run: RunData) -> Figure:
    """Draw the distribution f(x, v) of a run in one dimension at some written times, on one colour scale.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If fields cannot be read, or the run has another dimension.
    """
    if not has_phase_space(run):
        raise InputError('The figure "phase_space" needs a kinetic equation in one dimension.')
    fields = PhaseSpaceRun(run.directory).fields
    times = fields.some_times(_MOST_TIMES)
    snapshots = [fields.at(time) for time in times]
    scale = colour_range([snapshot[DISTRIBUTION] for snapshot in snapshots])
    columns = min(_COLUMNS, len(times))
    rows = -(-len(times) // columns)
    figure = new_figure(height=_ROW * rows + _TITLE, width=WIDTH)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for number, axes in enumerate(grid.ravel()):
        if number >= len(times):
            axes.remove()
            continue
        paint(axes, snapshots[number], DISTRIBUTION, scale)
        axes.set_aspect("auto")
        axes.margins(0.0)
        axes.set_title(time_labels(times)[number], fontsize="medium")
        if number % columns == 0:
            axes.set_ylabel("v")
        if number + columns >= len(times):  # the lowest of its column
            axes.set_xlabel("x")
            axes.tick_params(labelbottom=True)
    bar = figure.colorbar(
        ScalarMappable(scale, "viridis"), ax=[a for a in grid.ravel() if a.figure], aspect=30
    )
    bar.set_label("f(x, v)")
    return figure
