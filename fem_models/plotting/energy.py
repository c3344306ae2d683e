"""Energies over time: how fast the relative energy decays, and what the energy is made of."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fem_models.plotting.style import LEGEND, TIME, Look, colour, dashes, new_figure, note, plain, symbol
from fem_models.results.run_data import RelativeEnergy, RunData

# Below this share of the largest relative energy there is nothing but round-off.
_DEEPEST = 1e-14
_FEW = 30


def energy_figure(run: RunData) -> Figure:
    """Draw the relative energy of the run and its variants on a log axis, with the fitted rates.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If a series or a summary cannot be read.
    """
    figure = new_figure(height=5.2, width=8.6)
    draw_decay(figure.subplots(), run)
    return figure


def draw_decay(axes: Axes, run: RunData) -> None:
    """Draw the relative energy of the run and its variants on a log axis, with the fitted rates.

    Args:
        axes: Where to draw.
        run: The run.

    Raises:
        InputError: If a series or a summary cannot be read.
    """
    runs = [run, *run.variants]
    curves = [item.relative_energy for item in runs]
    largest = max((float(np.nanmax(curve.value)) for curve in curves), default=0.0)
    if not largest > 0.0:
        note(axes, "The energy is steady from the start.")
        return
    fit = None
    for number, (item, curve) in enumerate(zip(runs, curves, strict=True)):
        visible = np.where(curve.value > _DEEPEST * largest, curve.value, np.nan)
        # Variants are dashed: curves that agree stay visible below each other.
        look: Look = {"color": colour(number), "linestyle": dashes(number), "linewidth": 2.2}
        look["marker"] = "." if len(visible) <= _FEW else None
        axes.plot(curve.time, visible, label=_label(item, curve, alone=len(runs) == 1), **look)
        if curve.decay is not None:
            ends = np.array(curve.decay.used)
            (fit,) = axes.plot(ends, curve.decay(ends), color="black", linewidth=0.9)
    if fit is not None:
        fit.set_label("exponential fit")
    axes.set_yscale("log")
    axes.set_xlabel(TIME)
    axes.set_ylabel(r"relative energy $E - E_\infty$ (dimensionless)")
    axes.legend(**LEGEND)
    plain(axes)


def _label(run: RunData, curve: RelativeEnergy, alone: bool) -> str:
    parts = [r"$E(t) - E_\infty$" if curve.from_steady else r"$E(t) - \min E$"]
    if not alone:
        parts = [symbol(run.name)] if curve.from_steady else [symbol(run.name), *parts]
    if curve.decay is not None:
        parts.append(f"rate {curve.decay.rate:.4g}")
    return ", ".join(parts) + ("" if curve.from_steady else "\n(steady energy not known)")


def terms_figure(run: RunData) -> Figure:
    """Draw the energy of each term and their total over time.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If the series cannot be read.
    """
    figure = new_figure(height=4.8, width=8.6)
    axes = figure.subplots()
    time = run.series["time"]
    marker = "." if len(time) <= _FEW else None
    for number, (name, values) in enumerate(run.energy_terms.items()):
        axes.plot(time, values, color=colour(number), linewidth=1.8, marker=marker, label=symbol(name))
    axes.plot(time, run.energy, color="black", linewidth=2.2, marker=marker, label="total")
    axes.set_xlabel(TIME)
    axes.set_ylabel("energy (dimensionless)")
    figure.legend(loc="outside right upper", frameon=False)
    plain(axes)
    return figure
