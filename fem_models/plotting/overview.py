"""Four panels: potential, densities, steady states, decay (Bruna, Burger and Carrillo, figures 1 to 4)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fem_models.plotting.energy import draw_decay
from fem_models.plotting.lines import Segment, comparable, draw_curves, segment_of
from fem_models.plotting.panels import colour_range, limits, paint, triangles
from fem_models.plotting.style import (
    WIDTH,
    Look,
    axis_label,
    colour,
    dashes,
    legend,
    new_figure,
    plain,
    symbol,
)
from fem_models.results.fields import POTENTIAL, STEADY, Snapshot
from fem_models.results.run_data import RunData

_LEVELS = np.linspace(0.1, 0.9, 5)


def overview_figure(run: RunData) -> Figure:
    """Draw potential, densities, steady states and decay of the run and its variants.

    In 2D with one density and without [output] profile, potential and steady states are maps of the plane;
    otherwise they are curves along the profile, or along x through the middle of the domain.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If fields or series cannot be read, or the profile does not meet the domain.
    """
    segment = segment_of(run)
    flat = segment.dimension == 2 and run.config.output.profile is None and len(run.fields.species) == 1
    names = _potentials(run)
    places = ["potential", "density", "steady", "decay"][0 if names else 1 :]
    size = (0.76 * WIDTH, 1.3 * WIDTH) if names else (0.34 * WIDTH, 1.3 * WIDTH)
    figure = new_figure(*size)
    axes = figure.subplots(*((2, 2) if names else (1, 3))).ravel()
    panels = dict(zip(places, axes, strict=True))
    densities, steady, decay = (panels[name] for name in ("density", "steady", "decay"))
    if names:
        _draw_potential(panels["potential"], run, segment, flat, names)
    draw_curves(densities, run, segment, run.fields.species)
    densities.set_ylabel(_density_label(run))
    legend(densities)
    if flat:
        _draw_steady_map(steady, run)
    else:
        _draw_steady_curves(steady, run, segment)
    draw_decay(decay, run)
    titles = {"potential": "potential", "density": "density", "steady": _steady_title(run)}
    titles["decay"] = "relative energy"
    for letter, name in zip("abcd", places, strict=False):
        panels[name].set_title(f"({letter}) {titles[name]}", loc="left", fontsize="medium")
    return figure


def _density_label(run: RunData) -> str:
    labels = [axis_label(run, name) for name in run.fields.species]
    return ", ".join([labels[0], *(label.removeprefix("density ") for label in labels[1:])])


def _is_steady(snapshot: Snapshot, run: RunData) -> bool:
    return all(name + STEADY in snapshot.values for name in run.fields.species)


def _steady_title(run: RunData) -> str:
    known = all(_is_steady(item.fields.last, item) for item in comparable(run))
    return "steady state" if known else "steady state, or last density where it is not known"


def _steady_name(run: RunData, name: str) -> str:
    return name + STEADY if _is_steady(run.fields.last, run) else name


def _potentials(run: RunData) -> dict[str, str]:
    """The external potentials of a run, with the densities that they are of."""
    names = {f"{POTENTIAL}_{name}": symbol(name) for name in run.fields.species} | {POTENTIAL: ""}
    return {name: label for name, label in names.items() if name in run.fields.last.values}


def _draw_potential(axes: Axes, run: RunData, segment: Segment, flat: bool, found: dict[str, str]) -> None:
    snapshot = run.fields.last
    if flat:
        picture = paint(axes, snapshot, POTENTIAL, colour_range([snapshot.values[POTENTIAL]]))
        axes.figure.colorbar(picture, ax=axes, label="V")
        axes.set(xlabel="x", ylabel="y")
    else:
        for number, (name, label) in enumerate(found.items()):
            look: Look = {"color": "black", "linestyle": dashes(number), "linewidth": 1.6}
            axes.plot(*segment.sample(snapshot, name), label=f"of {label}", **look)
        if len(found) > 1:
            legend(axes)
        axes.set(xlabel=segment.label, ylabel="V")
        plain(axes)


def _draw_steady_curves(axes: Axes, run: RunData, segment: Segment) -> None:
    for number, item in enumerate(comparable(run)):
        for kind, name in enumerate(item.fields.species):
            where, values = segment.sample(item.fields.last, _steady_name(item, name))
            label = symbol(item.name) + (f", {symbol(name)}" if len(item.fields.species) > 1 else "")
            # One run has a colour for each species, several have one each.
            shade = kind if len(comparable(run)) == 1 else number
            style = dashes(kind if len(item.fields.species) > 1 else number)
            look: Look = {"color": colour(shade), "linestyle": style, "linewidth": 1.8}
            axes.plot(where, values, label=label, **look)
    axes.set(xlabel=segment.label, ylabel=_density_label(run))
    if len(axes.get_lines()) > 1:
        legend(axes)
    plain(axes)


def _draw_steady_map(axes: Axes, run: RunData) -> None:
    """Colours for the run; lines at the same few levels for the run and the variants."""
    (species,) = run.fields.species
    runs = comparable(run)
    states = [item.fields.last.values[_steady_name(item, species)] for item in runs]
    scale = colour_range(states[:1])
    low, high = limits(scale)
    picture = paint(axes, run.fields.last, _steady_name(run, species), scale)
    axes.figure.colorbar(picture, ax=axes, label=_density_label(run))
    axes.set(xlabel="x", ylabel="y")
    if len(runs) == 1:
        return
    axes.autoscale(False)
    handles = []
    for number, (item, values) in enumerate(zip(runs, states, strict=True)):
        snapshot, shade = item.fields.last, "white" if number == 0 else colour(number)
        if np.ptp(values) > 0.0:
            axes.tricontour(
                triangles(snapshot), values, low + _LEVELS * (high - low), colors=shade, linewidths=1.2
            )
        handles.append(Line2D([], [], color=shade, label=symbol(item.name)))
    look: Look = {"facecolor": "0.35", "labelcolor": "white", "loc": "upper center", "ncols": 3}
    axes.legend(handles=handles, fontsize="small", bbox_to_anchor=(0.5, -0.2), **look)
