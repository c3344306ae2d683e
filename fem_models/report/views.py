"""Densities in space as scenes of Plotly that can be turned: surfaces over the plane, slices of a body.

In 1D the surface is that of the density over space and time. Everything is dimensionless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pyvista as pv

from fem_models.core.errors import InputError
from fem_models.plotting.panels import colour_range, limits
from fem_models.plotting.rows import curve
from fem_models.report.names import label, number, symbol
from fem_models.results.fields import Snapshot
from fem_models.results.run_data import RunData

# What a page holds of a field.
_MOST_NODES = 30_000
_MOST_TIMES, _MOST_PLACES = 60, 300
_MOST_FACETS = 30_000
_HEIGHT = 0.6
_COLOURS = "Viridis"

Range = tuple[float, float]


@dataclass(frozen=True)
class View:
    """A scene of a page.

    Attributes:
        fields: Names of the fields; one is seen at a time.
        text: What is seen, in words.
        json: The scene, as Plotly reads it; the `meta` of a trace is the field that it is of.
    """

    fields: tuple[str, ...]
    text: str
    json: str


def ranges(runs: Sequence[RunData]) -> dict[str, Range]:
    """The values that the last fields of some runs have, for one colour scale.

    Args:
        runs: The runs.

    Returns:
        The least and the largest value by field; without those that cannot be read.
    """
    values: dict[str, list[npt.NDArray[np.float64]]] = {}
    for run in runs:
        try:
            fields = run.fields
            times = fields.some_times(_MOST_TIMES) if fields.first.dimension == 1 else fields.times[-1:]
            for snapshot in map(fields.at, times):
                for name in fields.species:
                    values.setdefault(name, []).append(np.array([snapshot[name].min(), snapshot[name].max()]))
        except InputError:
            continue
    return {name: limits(colour_range(found)) for name, found in values.items()}


def view(run: RunData, scales: Mapping[str, Range]) -> View:
    """The last fields of a run; in 1D those of all times.

    Args:
        run: The run.
        scales: The ends of the colour scale by field, see `ranges`.

    Returns:
        The scene.

    Raises:
        InputError: The fields cannot be read.
    """
    fields = run.fields
    last = fields.last
    names = tuple(name for name in fields.species if name in last.values)
    if not names:
        raise InputError(f"{fields.path} has no field with values at points.")
    figure = go.Figure()
    draw = {1: _add_history, 2: _add_surface, 3: _add_body}[last.dimension]
    for number_, name in enumerate(names):
        before = len(figure.data)
        draw(figure, run, name, scales[name])
        for trace in figure.data[before:]:
            trace.update(meta=name, visible=number_ == 0)
    figure.update_layout(
        scene=_scene(last, names[0], scales[names[0]]),
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        meta={"rises": last.dimension < 3},
        showlegend=False,
    )
    return View(names, _words(run, names), str(figure.to_json()))


def _words(run: RunData, names: Sequence[str]) -> str:
    times, last = run.fields.times, run.fields.last
    what = ", ".join(map(symbol, names))
    if last.dimension == 1:
        how = f"as a surface over space and time, from t = {number(times[0])} to t = {number(times[-1])}"
    elif last.dimension == 2:
        how = f"as a surface over the plane, at t = {number(times[-1])}"
    else:
        how = f"on three slices through the middle of the domain, at t = {number(times[-1])}"
    told = []
    for name in names:
        low, high = (number(float(value), 4) for value in (last[name].min(), last[name].max()))
        told.append(f"{symbol(name)} is between {low} and {high}")
    return f"{what} {how}; in the end {', '.join(told)}."


def _scene(last: Snapshot, name: str, scale: Range) -> dict[str, Any]:
    titles = {1: ("x", "t", label(name)), 2: ("x", "y", label(name)), 3: ("x", "y", "z")}[last.dimension]
    axes = ("xaxis", "yaxis", "zaxis")
    scene: dict[str, Any] = {
        axis: {"title": {"text": title}, "exponentformat": "power"}
        for axis, title in zip(axes, titles, strict=True)
    }
    if last.dimension == 3:
        return scene | {"aspectmode": "data"}
    low, high = last.bounds
    size = high - low
    depth = float(size[1] / size[0]) if last.dimension == 2 else 1.0
    longest = max(1.0, depth)
    ratio = {"x": 1.0 / longest, "y": depth / longest, "z": _HEIGHT}
    camera = {"eye": {"x": 1.12, "y": -1.28, "z": 0.9}}
    return scene | {"aspectmode": "manual", "aspectratio": ratio, "camera": camera}


def _bar(name: str, scale: Range) -> dict[str, Any]:
    """The colour scale of a trace."""
    bar = {"title": {"text": label(name)}, "thickness": 12, "len": 0.75, "exponentformat": "power"}
    return {"colorscale": _COLOURS, "cmin": scale[0], "cmax": scale[1], "colorbar": bar}


def _hover(*names: str) -> str:
    rows = [f"{name} = %{{{key}:.4g}}" for name, key in zip(names, ("x", "y", "z"), strict=False)]
    return "<br>".join(rows) + "<extra></extra>"


def _single(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Numbers as a page holds them: more digits than a screen shows."""
    return np.asarray(values, dtype=np.float32)


def _add_history(figure: go.Figure, run: RunData, name: str, scale: Range) -> None:
    """A density of an interval over space and time."""
    times = run.fields.some_times(_MOST_TIMES)
    curves = [curve(run.fields.at(time), name) for time in times]
    low, high = curves[0][0][0], curves[0][0][-1]
    places = curves[0][0] if len(curves[0][0]) <= _MOST_PLACES else np.linspace(low, high, _MOST_PLACES)
    values = np.array([np.interp(places, *found) for found in curves])
    hover = _hover("x", "t", label(name))
    if len(times) == 1:
        line = {"width": 5}
        figure.add_scatter3d(
            x=_single(places),
            y=np.full(len(places), times[0]),
            z=_single(values[0]),
            mode="lines",
            line=line,
            hovertemplate=hover,
        )
        return
    figure.add_surface(
        x=_single(places), y=np.array(times), z=_single(values), hovertemplate=hover, **_bar(name, scale)
    )


def _add_surface(figure: go.Figure, run: RunData, name: str, scale: Range) -> None:
    """A density of the plane as the surface of its values."""
    last = run.fields.last
    points = np.column_stack([last.points[:, :2], last[name]])
    points, cells = _thinned(points, last.cells) if len(points) > _MOST_NODES else (points, last.cells)
    x, y, values = map(_single, points.T)
    _add_triangles(figure, x, y, values, cells, values, name, scale, _hover("x", "y", label(name)))


def _thinned(points: npt.NDArray[Any], cells: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A surface with fewer of its nodes: most where it is curved, and all at the boundary of the domain."""
    # Heights count as much as widths do.
    size = np.ptp(points, axis=0)
    units = np.array([1.0, 1.0, max(size[0], size[1]) / (size[2] or 1.0)])
    faces = np.column_stack([np.full(len(cells), 3), cells]).ravel()
    surface = pv.PolyData(points * units, faces)
    thin = surface.decimate_pro(
        1.0 - _MOST_NODES / len(points), preserve_topology=True, boundary_vertex_deletion=False
    )
    return np.asarray(thin.points) / units, thin.faces.reshape(-1, 4)[:, 1:]


def _add_body(figure: go.Figure, run: RunData, name: str, scale: Range) -> None:
    """A density of a body on three slices, in the grey shape of the domain."""
    last = run.fields.last
    grid = last.grid()
    for normal in np.eye(3):
        cut = grid.slice(normal=normal, origin=last.centre).triangulate()
        if cut.n_cells:
            values = _single(cut.point_data[name])
            x, y, z = np.asarray(cut.points).T
            cells = cut.faces.reshape(-1, 4)[:, 1:]
            hover = (
                _hover("x", "y", "z")[: -len("<extra></extra>")]
                + f"<br>{label(name)} = %{{intensity:.4g}}<extra></extra>"
            )
            _add_triangles(figure, x, y, z, cells, values, name, scale, hover)
    shell = grid.extract_surface(algorithm=None).triangulate()
    if shell.n_cells > _MOST_FACETS:
        shell = shell.decimate(1.0 - _MOST_FACETS / shell.n_cells)
    x, y, z = map(_single, np.asarray(shell.points).T)
    i, j, k = shell.faces.reshape(-1, 4)[:, 1:].astype(np.int32).T
    figure.add_mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, color="#999999", opacity=0.12, hoverinfo="skip")


def _add_triangles(
    figure: go.Figure,
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    z: npt.NDArray[Any],
    cells: npt.NDArray[Any],
    values: npt.NDArray[Any],
    name: str,
    scale: Range,
    hover: str,
) -> None:
    i, j, k = cells.astype(np.int32).T
    light = {"ambient": 0.85, "diffuse": 0.3, "specular": 0.05}
    figure.add_mesh3d(
        x=_single(x),
        y=_single(y),
        z=_single(z),
        i=i,
        j=j,
        k=k,
        intensity=values,
        lighting=light,
        hovertemplate=hover,
        showscale=True,
        **_bar(name, scale),
    )
