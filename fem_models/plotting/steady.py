"""Steady states side by side, for several strengths of a coupling (Matthes, "Steady states")."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from fem_models.core.errors import InputError
from fem_models.plotting.lines import segment_of
from fem_models.plotting.panels import colour_range, paint, triangles
from fem_models.plotting.style import Look, colour, legend, new_figure, plain, symbol
from fem_models.results.fields import STEADY, Snapshot
from fem_models.results.run_data import RunData

_MOST_RUNS = 4
_WIDTH = 3.6
# The share of the largest value at which the edge of a support is drawn: just inside, where it is smooth.
_EDGE = 0.02


def steady_figure(run: RunData) -> Figure:
    """Draw the steady states of the run and its variants side by side, the least coupling first.

    In 2D without [output] profile they are maps, a row for each field, with the edges of both supports;
    otherwise they are curves along the profile, or along x through the middle of the domain.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If no steady state is known.
    """
    runs = _with_steady_states(run)
    if not runs:
        raise InputError('The figure "steady" needs a steady state; none of the runs has found one.')
    segment = segment_of(run)
    if segment.dimension == 2 and run.config.output.profile is None:
        return _maps(runs)
    figure = new_figure(height=3.6, width=1.0 + _WIDTH * len(runs))
    for axes, item in zip(figure.subplots(1, len(runs), sharey=True, squeeze=False)[0], runs, strict=True):
        for number, name in enumerate(item.fields.species):
            where, values = segment.sample(item.fields.last, name + STEADY)
            axes.plot(where, values, color=colour(number), linewidth=2.0, label=symbol(name))
        axes.set_title(_title(item), fontsize="medium")
        axes.set_xlabel(segment.label)
        axes.label_outer()
        plain(axes)
    figure.axes[0].set_ylabel("steady state")
    legend(figure.axes[-1])
    return figure


def _with_steady_states(run: RunData) -> list[RunData]:
    """Some of the runs whose steady states are known, by the strength of their coupling."""
    found = [
        item
        for item in (run, *run.variants)
        if all(name + STEADY in item.fields.last.values for name in run.fields.species)
    ]
    found = sorted(found, key=lambda item: _strength(item) or 0.0)
    chosen = np.linspace(0, len(found) - 1, min(len(found), _MOST_RUNS)).round().astype(int)
    return [found[index] for index in chosen]


def _strength(run: RunData) -> float | None:
    """The coupling ε, where the system has one."""
    return run.config.system.model_dump().get("epsilon")


def _title(run: RunData) -> str:
    strength = _strength(run)
    return symbol(run.name) if strength is None else rf"$\varepsilon$ = {strength:g}"


def _maps(runs: Sequence[RunData]) -> Figure:
    species = runs[0].fields.species
    # Only densities have supports.
    densities = [name for name, metric in runs[0].config.fields if metric == "wasserstein"]
    low, high = runs[0].fields.last.bounds
    height = _WIDTH * float((high[1] - low[1]) / (high[0] - low[0]))
    figure = new_figure(height=0.9 + (height + 0.1) * len(species), width=2.0 + _WIDTH * len(runs))
    grid = figure.subplots(len(species), len(runs), sharex=True, sharey=True, squeeze=False)
    for row, name in zip(grid, species, strict=True):
        scale = colour_range([item.fields.last.values[name + STEADY] for item in runs])
        for axes, item in zip(row, runs, strict=True):
            paint(axes, item.fields.last, name + STEADY, scale)
            for other in densities:
                _draw_edge(axes, item.fields.last, other, "solid" if other == name else "dotted")
            axes.set(xlabel="x", ylabel="y")
            axes.label_outer()
        figure.colorbar(ScalarMappable(scale, "viridis"), ax=row, label=symbol(name))
    for axes, item in zip(grid[0], runs, strict=True):
        axes.set_title(_title(item), fontsize="medium")
    if len(densities) > 1:
        figure.suptitle("white lines: ends of the supports, dotted for the other density", fontsize="small")
    return figure


def _draw_edge(axes: Axes, snapshot: Snapshot, name: str, dashes: str) -> None:
    """The edge of the support of a density, in white; a field without vacuum has none."""
    values = snapshot.values[name + STEADY]
    level = _EDGE * values.max()
    if values.min() < level < values.max():
        look: Look = {"colors": "white", "linewidths": 1.0, "linestyles": dashes}
        axes.tricontour(triangles(snapshot), values, [level], **look)
