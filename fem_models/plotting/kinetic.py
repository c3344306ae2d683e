"""Decay of kinetic equations to their equilibrium, against what theorems allow."""

import numpy as np
from matplotlib.figure import Figure

from fem_models.plotting.style import TIME, Look, colour, dashes, legend, new_figure, plain, symbol
from fem_models.results import layout
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
