"""Energies over time: how fast the relative energy decays, and what the energy is made of."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fem_models.plotting.style import (
    TIME,
    Look,
    colour,
    columns_of,
    dashes,
    legend,
    new_figure,
    note,
    plain,
    symbol,
)
from fem_models.results.run_data import RelativeEnergy, RunData

# Below this share of the largest relative energy there is nothing but round-off, and below a steady energy
# by this share of the energies nothing but Newton's tolerance.
_DEEPEST, _BELOW = 1e-14, 1e-9
_FEW = 30
_COLUMNS = 3
_LESS_WORK = "energy_less_work"


def energy_figure(run: RunData) -> Figure:
    """Draw the energy of the run and its variants over time, and relative to their steady states.

    The relative energy is on a log axis, with the fitted rates; where a run is below its steady state, which
    is no minimum then, the size of the difference is drawn with crosses. Where potentials change in time
    there is no steady state, and the energy less their work, which falls, is drawn instead.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If a series or a summary cannot be read.
    """
    if _LESS_WORK in run.series:
        figure = new_figure(height=4.8, width=8.6)
        _draw_energy(figure.subplots(), run)
        return figure
    figure = new_figure(height=7.6, width=8.6)
    energy, decay = figure.subplots(2, 1, sharex=True)
    _draw_energy(energy, run)
    draw_decay(decay, run)
    energy.set_xlabel("")
    return figure


def _draw_energy(axes: Axes, run: RunData) -> None:
    """The energies, with those of the steady states as thin lines."""
    steady, minimal = None, True
    for number, item in enumerate([run, *run.variants]):
        curve = item.relative_energy
        label = r"$E(t)$" if not run.variants else symbol(item.name)
        axes.plot(curve.time, item.energy, label=label, **_look(number, curve.time))
        if _LESS_WORK in item.series:
            label = r"$E(t)$ less the work" if not run.variants else f"{symbol(item.name)}, less the work"
            look = _look(number, curve.time) | {"linewidth": 1.0}
            axes.plot(curve.time, item.series[_LESS_WORK], label=label, **look)
        if curve.from_steady:
            level = float(item.energy[-1] - curve.value[-1])
            minimal = minimal and curve.is_minimum
            steady = axes.axhline(level, color=colour(number), linewidth=0.9, linestyle=(0, (1, 1.5)))
    if steady is not None:
        steady.set_label(r"$E_\infty$" + ("" if minimal else "\n(stationary, no minimum)"))
    axes.set_ylabel("energy $E$")
    axes.set_xlabel(TIME)
    legend(axes)
    plain(axes)


def _look(number: int, time: np.ndarray) -> Look:
    # Variants are dashed: curves that agree stay visible below each other.
    look: Look = {"color": colour(number), "linestyle": dashes(number), "linewidth": 2.2}
    return look | {"marker": "." if len(time) <= _FEW else None}


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
    largest = max((float(np.nanmax(np.abs(curve.value))) for curve in curves), default=0.0)
    if not largest > 0.0:
        note(axes, "The energy is steady from the start.")
        return
    fit = below = None
    for number, (item, curve) in enumerate(zip(runs, curves, strict=True)):
        visible = np.where(curve.value > _DEEPEST * largest, curve.value, np.nan)
        look = _look(number, curve.time)
        axes.plot(curve.time, visible, label=_label(item, curve, alone=len(runs) == 1), **look)
        negative = -curve.value > _BELOW * np.nanmax(np.abs(item.energy))
        if curve.from_steady and negative.any():
            look = {"color": colour(number), "marker": "x", "markersize": 4, "linestyle": ""}
            (below,) = axes.plot(curve.time[negative], -curve.value[negative], **look)
        if curve.decay is not None:
            ends = np.array(curve.decay.used)
            (fit,) = axes.plot(ends, curve.decay(ends), color="black", linewidth=0.9)
    if below is not None:
        below.set_label(r"$E_\infty - E$, where $E$ is" + "\nbelow the steady energy")
    if fit is not None:
        fit.set_label("exponential fit")
    axes.set_yscale("log")
    axes.set_xlabel(TIME)
    axes.set_ylabel(r"relative energy $E - E_\infty$")
    legend(axes)
    plain(axes)


def _label(run: RunData, curve: RelativeEnergy, alone: bool) -> str:
    parts = [r"$E(t) - E_\infty$" if curve.from_steady else r"$E(t) - \min E$"]
    if not alone:
        parts = [symbol(run.name)] if curve.from_steady else [symbol(run.name), *parts]
    if curve.decay is not None:
        parts.append(f"rate {curve.decay.rate:.4g}")
    return ", ".join(parts) + ("" if curve.from_steady else "\n(steady energy not known)")


def terms_figure(run: RunData) -> Figure:
    """Draw the energy of each term and their total over time, a panel for the run and each variant.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If the series cannot be read.
    """
    runs = [run, *run.variants]
    columns = columns_of(len(runs), _COLUMNS)
    rows = -(-len(runs) // columns)
    figure = new_figure(height=1.2 + 3.6 * rows, width=8.6 if columns == 1 else 2.0 + 4.0 * columns)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    colours: dict[str, str] = {}
    for axes, item in zip(panels, runs, strict=False):
        _draw_terms(axes, item, colours)
        if len(runs) > 1:
            axes.set_title(symbol(item.name), fontsize="medium")
        axes.label_outer()
    for number, axes in enumerate(panels):
        if number >= len(runs):
            axes.remove()
        elif number + columns >= len(runs):  # the lowest of its column
            axes.set_xlabel(TIME)
            axes.tick_params(labelbottom=True)
    # Each label once, the total last.
    found = {text: line for axes in panels[: len(runs)] for line, text in zip(*_entries(axes), strict=True)}
    texts = [text for text in found if text != _TOTAL] + [_TOTAL] * (_TOTAL in found)
    figure.legend([found[text] for text in texts], texts, loc="outside right upper", frameon=False)
    return figure


_TOTAL = "total"


def _entries(axes: Axes) -> tuple[list, list[str]]:
    return axes.get_legend_handles_labels()


def _draw_terms(axes: Axes, run: RunData, colours: dict[str, str]) -> None:
    time = run.series["time"]
    terms = {name: values for name, values in run.energy_terms.items() if np.any(values != 0.0)}
    marker = "." if len(time) <= _FEW else None
    for name, values in terms.items():
        shade = colours.setdefault(name, colour(len(colours)))
        axes.plot(time, values, color=shade, linewidth=1.8, marker=marker, label=symbol(name))
    if len(terms) != 1:  # a single term is the total, too
        axes.plot(time, run.energy, color="black", linewidth=2.2, marker=marker, label=_TOTAL)
    axes.set_xlabel(TIME)
    axes.set_ylabel("energy")
    plain(axes)
