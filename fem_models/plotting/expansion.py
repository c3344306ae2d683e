"""The convex expansion of a coupled energy over time (Matthes, "Instead of a linearization")."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fem_models.plotting.style import TIME, Look, colour, dashes, legend, new_figure, plain, symbol
from fem_models.results import layout
from fem_models.results.run_data import RunData

_COLUMNS = ("time", "E", "L", "A", "dissipation_E", "dissipation_L", "quotient")
# Below this share of the largest value of a panel there is nothing but round-off.
_DEEPEST = 1e-14


def expansion_figure(run: RunData) -> Figure:
    """Draw E, L and A, the dissipations, and the quotient |∂E|²/(2E) of the run and its variants.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If the run has no such table.
    """
    table = _expansion(run)
    figure = new_figure(height=4.2, width=13.0)
    energies, dissipations, quotient = figure.subplots(1, 3)
    time = table["time"]
    curves = {
        r"$E^\varepsilon$": table["E"],
        r"$L^\varepsilon$": table["L"],
        r"$A^\varepsilon$ ($-A^\varepsilon$ dotted)": table["A"],
    }
    _draw_logarithmic(energies, time, curves)
    energies.plot(time, _visible(-table["A"], curves), color=colour(2), linestyle=":", linewidth=1.8)
    energies.set_ylabel("relative to the steady state")
    curves = {
        r"$|\partial E^\varepsilon|^2$": table["dissipation_E"],
        r"$|\partial L^\varepsilon|^2$": table["dissipation_L"],
    }
    _draw_logarithmic(dissipations, time, curves)
    dissipations.set_ylabel("dissipation")
    _draw_quotients(quotient, run)
    return figure


def _expansion(run: RunData) -> dict[str, npt.NDArray[np.float64]]:
    return run.table(layout.STUDY, _COLUMNS, "a convex expansion needs a coupled system and its steady state")


def _visible(values: npt.NDArray[np.float64], curves: dict) -> npt.NDArray[np.float64]:
    largest = max(float(np.nanmax(np.abs(curve), initial=0.0)) for curve in curves.values())
    return np.where(values > _DEEPEST * largest, values, np.nan)


def _draw_logarithmic(axes: Axes, time: npt.NDArray[np.float64], curves: dict) -> None:
    for number, (label, values) in enumerate(curves.items()):
        # Dashed, because the second one is next to the first.
        look: Look = {"color": colour(number), "linestyle": dashes(min(number, 1)), "linewidth": 2.0}
        axes.plot(time, _visible(values, curves), label=label, **look)
    axes.set_yscale("log")
    axes.set_xlabel(TIME)
    legend(axes)
    plain(axes)


def _draw_quotients(axes: Axes, run: RunData) -> None:
    """Over time, with the bound λ of the theory without coupling."""
    runs = [run, *(item for item in run.variants if (item.directory / layout.STUDY).is_file())]
    for number, item in enumerate(runs):
        table = _expansion(item)
        label = symbol(item.name) if len(runs) > 1 else r"$|\partial E^\varepsilon|^2 / (2E^\varepsilon)$"
        look: Look = {"color": colour(number), "linestyle": dashes(number), "linewidth": 2.0}
        axes.plot(table["time"], table["quotient"], label=label, **look)
    rate = run.config.system.exponential_rate
    if rate is not None:
        axes.axhline(0.5 * rate, color="black", linewidth=1.0, label=f"{0.5 * rate:g} (without coupling)")
        # A fast start would hide what comes later.
        largest = max(
            float(np.nanmax(np.asarray(line.get_ydata()), initial=0.0)) for line in axes.get_lines()[:-1]
        )
        axes.set_ylim(0.0, min(1.5 * rate, 1.05 * max(largest, 0.5 * rate)))
    axes.set_xlabel(TIME)
    axes.set_ylabel(r"$|\partial E^\varepsilon|^2 / (2E^\varepsilon)$")
    legend(axes)
    plain(axes)
