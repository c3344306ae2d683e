"""The perturbation h, the multiplier f and the flux g of the linearised JKO problem over its slabs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from fem_models.core.errors import InputError
from fem_models.plotting.panels import colour_range, signed_range
from fem_models.plotting.rows import FRAME, SIDE, curve, draw_row, row_height
from fem_models.plotting.style import WIDTH, new_figure, plain, save, sequence, time_labels
from fem_models.results.fields import FieldSeries, WrittenFields

_MOST_PANELS = 5
_MOST_CURVES = 9
_HEIGHT = 2.6  # inches, of a row of curves

_SIGNED = "RdBu_r"
# Names of fields, and what the axes say. The flux is drawn by its length, but in 1D.
_SCALARS = {"h": "perturbation $h$", "f": "multiplier $f$"}
_FLUXES = {1: ("g", "flux $g$"), 2: ("|g|", "flux $|g|$"), 3: ("|g|", "flux $|g|$")}


def draw_perturbation(fields: Path | str, path: Path | str) -> Path:
    """Write the picture of a solution of the linearised JKO problem. Call it on one process.

    Args:
        fields: The .pvd file with the scalar fields h and f and the flux g over time, written by any
            number of ranks.
        path: The picture, a .png file.

    Returns:
        The picture.

    Raises:
        InputError: If the fields cannot be read or one is missing, or the picture cannot be written.
    """
    return save(perturbation_figure(WrittenFields(Path(fields), tuple(_SCALARS))), Path(path))


def perturbation_figure(fields: FieldSeries) -> Figure:
    """Draw h, f and g at some times, a row for each, on one scale.

    In 1D the rows are curves, dark to light. In 2D they are coloured panels and in 3D scenes cut open, with
    |g| for the flux; the colours of h and f, which have either sign, are white at zero.

    Args:
        fields: The fields h, f, and g in 1D or else |g|, over time (dimensionless).

    Returns:
        The figure.

    Raises:
        InputError: If the fields cannot be read, or there is no flux.
    """
    first = fields.first
    name, label = _FLUXES[first.dimension]
    if name not in first.names:
        raise InputError(f"There is no vector field g to draw: the fields are {', '.join(first.names)}.")
    rows = {**_SCALARS, name: label}
    return _curves(fields, rows) if first.dimension == 1 else _panels(fields, rows)


def _curves(fields: FieldSeries, rows: Mapping[str, str]) -> Figure:
    figure = new_figure(height=_HEIGHT * len(rows))
    grid = figure.subplots(len(rows), 1, sharex=True)
    times = fields.some_times(_MOST_CURVES)
    for axes, (name, label) in zip(grid, rows.items(), strict=True):
        for time, text, colour in zip(times, time_labels(times), sequence(len(times)), strict=True):
            axes.plot(*curve(fields.at(time), name), color=colour, linewidth=1.6, label=text)
        axes.set_ylabel(label)
        plain(axes)
    grid[-1].set_xlabel("x")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _panels(fields: FieldSeries, rows: Mapping[str, str]) -> Figure:
    times = fields.some_times(_MOST_PANELS)
    snapshots = [fields.at(time) for time in times]
    height = row_height(snapshots[0], len(times)) + FRAME
    figure = new_figure(height=height * len(rows), width=WIDTH + SIDE)
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, (name, label) in zip(parts, rows.items(), strict=True):
        arrays = [snapshot[name] for snapshot in snapshots]
        if name not in _SCALARS:
            draw_row(part, snapshots, time_labels(times), name, colour_range(arrays), label)
        else:
            draw_row(part, snapshots, time_labels(times), name, signed_range(arrays), label, _SIGNED)
    return figure
