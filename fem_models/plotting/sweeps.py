"""What a sweep has found, over the values of its keys: curves, and a heat map where two numbers change.

Errors are drawn where the run file names an exact solution, else decay rates, energies at the end, or the
first number that the table has of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fem_models.config.sweeps import Sweep
from fem_models.core.errors import InputError
from fem_models.plotting.style import (
    COLOURS,
    Look,
    colour,
    dashes,
    legend,
    new_figure,
    plain,
    sequence,
    symbol,
)
from fem_models.results import layout
from fem_models.results.orders import ERROR, refining
from fem_models.results.run_data import RunData

_Array = npt.NDArray[Any]

_TITLES = {"rate": "decay rate", "energy": "energy at the end", "seconds": "seconds of computing"}
_NORMS = {"l1": "$L^1$", "l2": "$L^2$", "linf": r"$L^\infty$", "linf_l1": "largest $L^1$ of all steps"}
# Of a table without errors, rates and energies: what is not of the model.
_NOT_OF_MODELS = {
    *("completed", "rate", "steady_energy", "minimal_quotient", "energy", "energy_max_increase"),
    *("time", "steps", "rejected_steps", "newton", "linear", "dofs", "mesh_cells", "mesh_h_max", "seconds"),
    "megabytes",
}
_PANEL = 5.5
# Values that are so far apart, largest over smallest, are drawn on scales of powers.
_FAR = 20.0
_MOST_TICKS, _MOST_NUMBERS, _MOST_CURVES = 9, 64, 10
_SLOPES = (1, 2)


@dataclass(frozen=True)
class _Key:
    """A key that changes: its label, its column, and whether its values are numbers, and sizes."""

    label: str
    values: _Array
    is_number: bool
    refines: bool
    is_log: bool

    def places(self) -> _Array:
        """Where its values are on an axis: texts one beside the other."""
        if self.is_number:
            return self.values
        names = list(dict.fromkeys(self.values))
        return np.array([names.index(value) for value in self.values], dtype=float)


@dataclass(frozen=True)
class _Panel:
    """Columns that share a panel, with their labels."""

    title: str
    columns: dict[str, str]
    is_error: bool


def sweep_figure(run: RunData) -> Figure:
    """Draw what a sweep has found over the values of its keys.

    Args:
        run: The directory of a sweep, or a run with one.

    Returns:
        The figure: curves over one key, one for each value of the others, and a heat map of two numbers.

    Raises:
        InputError: If the run is no sweep, or its table cannot be read.
    """
    sweep = run.config.sweep
    if sweep is None:
        raise InputError('The figure "sweep" needs a [sweep] in the run file.')
    table = run.table(layout.SWEEP, ("completed",), "the sweep has not come to its end; run it again")
    keys = _keys(sweep, table)
    panels = _panels(list(table)[len(sweep.axes) :], table)
    x = _along(keys)
    others = [] if sweep.combine == "zip" else [key for key in keys if key is not x]
    two = len(others) == 1 and x.is_number and others[0].is_number
    figure = new_figure(height=4.4 * len(panels), width=2.0 + _PANEL * (2 if two else 1))
    grid = figure.subplots(len(panels), 2 if two else 1, squeeze=False)
    for row, panel in zip(grid, panels, strict=True):
        _draw_curves(row[-1], x, others, panel, table)
        if two:
            _draw_map(figure, row[0], x, others[0], panel, table)
        if sweep.combine == "zip" and len(keys) > 1:
            with_it = ", ".join(symbol(key.label) for key in keys if key is not x)
            row[-1].set_xlabel(f"{symbol(x.label)} (with {with_it})")
    return figure


def _keys(sweep: Sweep, table: dict[str, _Array]) -> list[_Key]:
    """The keys that have more than one value; the first one where none has."""
    found = []
    for (key, _), label, column in zip(sweep.axes.items(), sweep.labels, list(table), strict=False):
        values = table[column]
        is_number = bool(np.issubdtype(values.dtype, np.number) and np.all(np.isfinite(values)))
        is_log = is_number and bool(values.min() > 0.0)
        refines = is_log and key in refining(sweep)
        if is_log and not refines:
            is_log = bool(values.max() > _FAR * values.min())
        found.append(_Key(label, values, is_number, refines, is_log))
    several = [key for key in found if len(np.unique(key.values)) > 1]
    return several or found[:1]


def _along(keys: Sequence[_Key]) -> _Key:
    """The key that curves run along: one that refines, else a number, with the most values."""
    return max(keys, key=lambda key: (key.refines, key.is_number, len(np.unique(key.values))))


def _panels(columns: Sequence[str], table: dict[str, _Array]) -> list[_Panel]:
    """What is drawn: a panel of errors for each species, or else rates, or else energies."""
    errors = [name for name in columns if name.startswith(ERROR)]
    by_species: dict[str, dict[str, str]] = {}
    for name in errors:
        norm = max((norm for norm in _NORMS if f"{name}_".startswith(f"{ERROR}{norm}_")), key=len, default="")
        species = name.removeprefix(f"{ERROR}{norm}").removeprefix("_")
        by_species.setdefault(species, {})[name] = _NORMS.get(norm, norm)
    if by_species:
        return [
            _Panel(f"error{f' of {symbol(name)}' if name else ''}", found, True)
            for name, found in by_species.items()
        ]
    known = {name for name in columns if np.any(np.isfinite(table[name]))}
    of_model = [name for name in columns if name in known and name not in _NOT_OF_MODELS]
    of_model = [name for name in of_model if not name.startswith("step_control_")]
    of_model.sort(key=lambda name: not name.endswith("_final"))
    chosen = next((name for name in ("rate", "energy", *of_model, "seconds") if name in known), None)
    if chosen is None:
        raise InputError("No point of the sweep has come to its end yet: there is nothing to draw.")
    title = _TITLES.get(chosen, chosen.replace("_", " "))
    return [_Panel(title, {chosen: title}, False)]


def _draw_curves(
    axes: Axes, x: _Key, others: Sequence[_Key], panel: _Panel, table: dict[str, _Array]
) -> None:
    """Curves along one key: of all norms where nothing else changes, else of the first for all else."""
    along = np.argsort(x.places(), kind="stable")
    if others:
        [(column, name), *_] = panel.columns.items()
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index in along:
            groups.setdefault(tuple(key.values[index] for key in others), []).append(int(index))
        # Those of a key keep its order in the run file.
        groups = dict(sorted(groups.items(), key=lambda item: min(item[1])))
        numbers = all(key.is_number for key in others)
        count = len(groups)
        shades = sequence(count) if numbers else [colour(number) for number in range(count)]
        # Of many curves from dark to light some have labels.
        every = -(-count // _MOST_CURVES) if numbers else 1
        for number, (group, indices) in enumerate(groups.items()):
            words = [
                f"{symbol(key.label)} = {_told(value)}" for key, value in zip(others, group, strict=True)
            ]
            style = "-" if numbers else dashes(number // len(COLOURS))
            look: Look = {"color": shades[number], "linestyle": style, "marker": "o", "markersize": 4}
            label = ", ".join(words) if number % every == 0 or number == count - 1 else None
            axes.plot(x.places()[indices], table[column][indices], **look, label=label)
        title = f"{panel.title} in {name}" if panel.is_error else panel.title
    else:
        for number, (column, name) in enumerate(panel.columns.items()):
            look = {"color": colour(number), "marker": "o", "markersize": 4}
            axes.plot(x.places()[along], table[column][along], **look, label=name)
        title = panel.title
    if panel.is_error:
        axes.set_yscale("log")
        if x.refines:
            _draw_slopes(axes)
    axes.set_ylabel(_with_unit(title))
    _scale(axes, x)
    if panel.is_error or others:
        legend(axes)
    plain(axes)


def _draw_slopes(axes: Axes) -> None:
    """Lines of order 1 and 2 below the lowest curve, from its coarsest point."""
    curves: list[_Array] = [np.array(line.get_data(), dtype=float) for line in axes.get_lines()]
    curves = [curve[:, np.isfinite(curve[1]) & (curve[1] > 0.0)] for curve in curves]
    curves = [curve for curve in curves if curve.shape[1] > 1]
    if not curves:
        return
    low, high = min(c[1].min() for c in curves), max(c[1].max() for c in curves)
    where, values = min(curves, key=lambda curve: float(curve[1].min()))
    # Errors fall with sizes, or with numbers of cells.
    falls = values[-1] < values[0]
    start, end = (where[0], where[-1]) if falls else (where[-1], where[0])
    first = 0.6 * (values[0] if falls else values[-1])
    for order, style in zip(_SLOPES, (":", "--"), strict=True):
        ratio = abs(np.log(end / start))
        ends = [first, first * np.exp(-order * ratio)]
        axes.plot([start, end], ends, color="0.5", linewidth=1.0, linestyle=style, label=f"order {order}")
    axes.set_ylim(0.4 * low, 2.0 * high)


def _scale(axes: Axes, key: _Key, of: str = "x") -> None:
    """The scale, the ticks and the label of an axis over a key."""
    axis = axes.xaxis if of == "x" else axes.yaxis
    if key.is_log:
        axes.set(**{f"{of}scale": "log"})
    places, index = np.unique(key.places(), return_index=True)
    if not key.is_number or (key.is_log and len(places) <= _MOST_TICKS):
        axis.set_ticks(places, [_told(key.values[i]) for i in index])
        axis.set_minor_locator(NullLocator())
    axis.set_label_text(symbol(key.label))


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _draw_map(figure: Figure, axes: Axes, x: _Key, y: _Key, panel: _Panel, table: dict[str, _Array]) -> None:
    """A heat map over two keys, with a column and a row for each of their values."""
    [(column, name), *_] = panel.columns.items()
    across, up = np.unique(x.values), np.unique(y.values)
    field = np.full((len(up), len(across)), np.nan)
    field[np.searchsorted(up, y.values), np.searchsorted(across, x.values)] = table[column]
    known = field[np.isfinite(field)]
    is_log = len(known) > 0 and known.min() > 0.0 and known.max() > _FAR * known.min()
    scale: Normalize = LogNorm() if is_log else Normalize()
    image = axes.imshow(field, origin="lower", aspect="auto", cmap="viridis", norm=scale)
    shades = np.ma.filled(np.ma.asarray(scale(np.ma.masked_invalid(field))), 1.0)
    places = np.ndindex(field.shape) if field.size <= _MOST_NUMBERS else ()
    for row, place in places:
        value = float(field[row, place])
        # Dark colours are those of small values.
        look: Look = {"color": "white" if shades[row, place] < 0.6 else "black", "size": "small"}
        text = f"{value:.2g}" if np.isfinite(value) else "×"
        axes.text(place, row, text, ha="center", va="center", **look)
    for axis, key, values in ((axes.xaxis, x, across), (axes.yaxis, y, up)):
        step = -(-len(values) // _MOST_TICKS)
        axis.set_ticks(range(0, len(values), step), [_told(value) for value in values[::step]])
        axis.set_label_text(symbol(key.label))
    bar = figure.colorbar(image, ax=axes)
    bar.set_label(_with_unit(f"{panel.title} in {name}" if panel.is_error else panel.title))


def _with_unit(title: str) -> str:
    return title if title == _TITLES["seconds"] else f"{title} (dimensionless)"
