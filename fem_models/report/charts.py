"""Curves of runs over time as charts of Plotly: energies, dissipation, masses, extremes, iterations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from fem_models.core.errors import InputError
from fem_models.plotting.style import colour
from fem_models.report.names import label, number, symbol
from fem_models.results.run_data import RunData
from fem_models.results.verdicts import verdicts

_Array = npt.NDArray[np.float64]

_TIME = "time t (dimensionless)"
# A curve has so many points at most: more than a screen has columns.
_MOST_POINTS = 1500
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_HEAD = ("step", "time", "dt", "newton", "linear")


@dataclass(frozen=True)
class Chart:
    """A chart of a page.

    Attributes:
        title: What it shows.
        text: What the curves do, in words, for those who do not see them.
        json: The chart, as Plotly reads it.
    """

    title: str
    text: str
    json: str


@dataclass(frozen=True)
class _Curve:
    time: _Array
    values: _Array
    name: str
    colour: str
    dash: str = "solid"


def charts(runs: Sequence[RunData]) -> list[Chart]:
    """The curves of a run, or of several in the same charts.

    Args:
        runs: The runs that have written a row; one or more.

    Returns:
        The charts that there is something to show in.

    Raises:
        InputError: A series or a summary is damaged.
    """
    found = [
        _chart("Energy", _energies(runs)),
        _chart("Energy over that of the steady state, E - E∞", _relative(runs), log=True),
        _chart("Dissipation", _columns(runs, ["dissipation"]), log=True),
        _chart("Relative change of what is conserved", _drifts(runs)),
        _chart("Least values", _columns(runs, _named(runs, "min_"))),
        _chart("Largest values", _columns(runs, _named(runs, "max_"))),
        *(_chart(symbol(name), _columns(runs, [name])) for name in _others(runs)),
        _chart("Iterations in a step", _columns(runs, ["newton", "linear"])),
        _chart("Step size", _steps(runs)),
    ]
    return [chart for chart in found if chart is not None]


def _energies(runs: Sequence[RunData]) -> Iterator[_Curve]:
    """The energy, of a single run with its terms."""
    for index, run in enumerate(runs):
        if "energy" not in run.series:
            continue
        name = run.name if len(runs) > 1 else "total"
        yield _Curve(run.series["time"], run.energy, name, colour(index))
        terms = run.energy_terms if len(runs) == 1 else {}
        for number_, (term, values) in enumerate(terms.items() if len(terms) > 1 else ()):
            yield _Curve(run.series["time"], values, term, colour(number_ + 1), "dash")


def _relative(runs: Sequence[RunData]) -> Iterator[_Curve]:
    for index, run in enumerate(runs):
        if "energy" in run.series and run.relative_energy.from_steady:
            relative = run.relative_energy
            fit = "" if relative.decay is None else f"rate {relative.decay.rate:.4g}"
            name = ", ".join(part for part in (run.name if len(runs) > 1 else "", fit) if part)
            yield _Curve(relative.time, relative.value, name or "energy", colour(index))


def _drifts(runs: Sequence[RunData]) -> Iterator[_Curve]:
    """The relative change of what is conserved, which is rounding where all is well."""
    for curve in _columns(runs, _conserved(runs)):
        first = float(curve.values[0]) or 1.0
        yield _Curve(
            curve.time, (curve.values - curve.values[0]) / first, curve.name, curve.colour, curve.dash
        )


def _steps(runs: Sequence[RunData]) -> Iterator[_Curve]:
    """The step sizes, where they change by more than a clock adjusts."""
    sizes = np.concatenate([run.series["dt"][1:] for run in runs if "dt" in run.series] or [np.empty(0)])
    if sizes.size and np.ptp(sizes) > 0.1 * sizes.max():
        for curve in _columns(runs, ["dt"]):
            yield _Curve(curve.time[1:], curve.values[1:], curve.name, curve.colour, curve.dash)


def _named(runs: Sequence[RunData], prefix: str) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.series if name.startswith(prefix)))


def _others(runs: Sequence[RunData]) -> list[str]:
    """Columns that no other chart shows."""
    names = []
    for run in runs:
        shown = {*_HEAD, "energy", "dissipation", *run.energy_terms, *_conserved(runs)}
        names += [name for name in run.series if name not in shown]
    return [name for name in dict.fromkeys(names) if not name.startswith(("min_", "max_"))]


def _conserved(runs: Sequence[RunData]) -> list[str]:
    laws = [verdict for run in runs for verdict in verdicts(run) if verdict.law == "conserved"]
    return list(dict.fromkeys(verdict.observable for verdict in laws))


def _columns(runs: Sequence[RunData], names: Sequence[str]) -> Iterator[_Curve]:
    """Columns: of one run a colour each, of several runs a colour for each run, and dashes for columns."""
    for index, run in enumerate(runs):
        for kind, name in enumerate(name for name in names if name in run.series):
            short = name.partition("_")[2] if name.startswith(("mass_", "min_", "max_")) else name
            told = [run.name] * (len(runs) > 1) + [short] * (len(runs) == 1 or len(names) > 1)
            look = (colour(kind), _DASHES[0]) if len(runs) == 1 else (colour(index), _dash(kind))
            yield _Curve(run.series["time"], run.series[name], ", ".join(map(symbol, told)), *look)


def _dash(kind: int) -> str:
    return _DASHES[kind % len(_DASHES)]


def _chart(title: str, curves: Iterator[_Curve], log: bool = False) -> Chart | None:
    found = [curve for curve in map(_thinned, curves) if np.isfinite(curve.values).any()]
    if log:
        found = [curve for curve in found if (curve.values > 0.0).any()]
    if not found:
        return None
    figure = go.Figure()
    for curve in found:
        values = np.where(curve.values > 0.0, curve.values, np.nan) if log else curve.values
        figure.add_scatter(
            x=curve.time,
            y=values,
            name=label(curve.name),
            mode="lines+markers" if len(values) <= 30 else "lines",
            line={"color": curve.colour, "dash": curve.dash, "width": 2},
            showlegend=len(found) > 1,
        )
    figure.update_layout(
        xaxis={"title": {"text": _TIME}, "exponentformat": "power", "automargin": True},
        yaxis={"type": "log" if log else "linear", "exponentformat": "power", "automargin": True},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 60, "r": 12, "t": 10, "b": 46},
        hovermode="x unified",
    )
    return Chart(title, _words(title, found), str(figure.to_json()))


def _thinned(curve: _Curve) -> _Curve:
    if len(curve.time) <= _MOST_POINTS:
        return curve
    chosen = np.unique(np.linspace(0, len(curve.time) - 1, _MOST_POINTS).round().astype(int))
    return _Curve(curve.time[chosen], curve.values[chosen], curve.name, curve.colour, curve.dash)


def _words(title: str, curves: Sequence[_Curve]) -> str:
    """The curves in words: where each begins and ends."""
    told = []
    for curve in curves:
        first, last = (
            f"{number(float(curve.values[end]))} at t = {number(float(curve.time[end]))}" for end in (0, -1)
        )
        told.append(f"{symbol(curve.name)} goes from {first} to {last}")
    return f"{title} over time: {'; '.join(told)}."


def begun(runs: Sequence[RunData]) -> list[RunData]:
    """Those runs that have written a row.

    Args:
        runs: The runs.

    Returns:
        Those that `charts` can show.
    """
    found = []
    for run in runs:
        try:
            found += [run] * run.begun
        except InputError:  # a run that failed before its first row
            continue
    return found
