"""Decay rates over the values of a swept key (Matthes: 2λ(1 - Kε))."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fem_models.core.errors import InputError
from fem_models.plotting.style import TIME, Look, colour, legend, new_figure, plain, sequence, symbol
from fem_models.results import layout
from fem_models.results.run_data import RunData

_COLUMNS = ("rate", "steady_energy", "minimal_quotient")
# What an energy may fall to, relative to its first value, before there is nothing but round-off.
_DEEPEST = 1e-13


def rates_figure(run: RunData) -> Figure:
    """Draw the relative energies of a sweep over time, and their decay rates over its values.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If the run is no sweep, or its table cannot be read.
    """
    if run.config.sweep is None:
        raise InputError('The figure "rates" needs a [sweep] in the run file.')
    figure = new_figure(height=4.4, width=11.0)
    energies, rates = figure.subplots(1, 2)
    _draw_energies(energies, run, [variant.name for variant in run.config.sweep.variants])
    _draw_rates(rates, run, run.config.sweep.label)
    return figure


def _draw_energies(axes: Axes, run: RunData, names: list[str]) -> None:
    runs = [item for item in run.variants if item.name in names]
    for item, shade in zip(runs, sequence(len(runs)), strict=True):
        curve = item.relative_energy
        if not curve.from_steady:  # relative to its own end it would seem to fall to zero
            continue
        visible = np.where(curve.value > _DEEPEST * curve.value[0], curve.value, np.nan)
        axes.plot(curve.time, visible, color=shade, linewidth=1.8, label=symbol(item.name))
    axes.set_yscale("log")
    axes.set_xlabel(TIME)
    axes.set_ylabel(r"relative energy $E - E_\infty$")
    if axes.get_lines():
        legend(axes)
    plain(axes)


def _draw_rates(axes: Axes, run: RunData, label: str) -> None:
    table = run.table(layout.SWEEP, _COLUMNS, "the sweep has not come to its end; run the run file again")
    value, rate, quotient = (table[name] for name in (next(iter(table)), "rate", "minimal_quotient"))
    entry = run.summary.get("sweep") or {}
    reference, slope = entry.get("reference_rate"), entry.get("K")
    axes.plot(value, rate, "o", color=colour(0), label="decay rate")
    look: Look = {"marker": "s", "linestyle": "", "markerfacecolor": "none", "markeredgecolor": colour(1)}
    axes.plot(value, 2.0 * quotient, **look, label=r"least $|\partial E|^2 / E$")
    if reference is not None:
        look = {"color": "0.5", "linewidth": 1.0, "linestyle": "--"}
        axes.axhline(reference, **look, label=f"{reference:g} (no coupling)")
        if slope is not None:
            ends = np.array([0.0, np.nanmax(value)])
            text = f"{reference:g} (1 - K {symbol(label)}), K = {slope:.3g}"
            axes.plot(ends, reference * (1.0 - slope * ends), color="black", linewidth=1.0, label=text)
    axes.set_ylim(bottom=0.0)
    unknown = value[~np.isfinite(rate)]
    if len(unknown):
        where = np.zeros_like(unknown)
        axes.plot(unknown, where, "x", color="black", clip_on=False, label="no rate (see sweep.csv)")
    axes.set_xlabel(f"{symbol(label)}")
    axes.set_ylabel("rate")
    legend(axes)
    plain(axes)
