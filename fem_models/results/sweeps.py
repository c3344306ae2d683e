"""The points of a sweep, and the table of what their summaries say: a row for each point, with orders."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fem_models.config.sweeps import Sweep, Value
from fem_models.core.checks import is_number
from fem_models.results import layout
from fem_models.results.orders import ERROR, orders_of

Row = dict[str, Any]

ENDED = ("end", "steady")
# Of decay, in the order of the columns.
_OF_DECAY = ("rate", "steady_energy", "minimal_quotient")
_COMPLETED = "completed"
# What the table has under names of its own, or leaves out.
_NAMED = {
    *(
        "version",
        "system",
        "scheme",
        "ranks",
        "steps",
        "rejected_steps",
        "time",
        "stop_reason",
        "cells",
        "dofs",
    ),
    *("mesh", "newton_iterations", "linear_iterations", "wall_seconds", "energy", "species", "error"),
    *("warnings", "sweep", "phases", "memory_megabytes", "versions"),
}
# The quotient D/(2(E - E_steady)) counts while the relative energy is above this share of its first value.
_RELATIVE_FLOOR = 1e-6


@dataclass(frozen=True)
class Point:
    """A point of a sweep.

    Attributes:
        number: Counted from 1.
        name: Its values, in words.
        directory: Its run directory.
        values: Of the keys, in their order.
    """

    number: int
    name: str
    directory: Path
    values: tuple[Value, ...]


def points_of(sweep: Sweep, directory: Path) -> list[Point]:
    """The points of a sweep.

    Args:
        sweep: The table [sweep].
        directory: The directory of the sweep.

    Returns:
        The points, in the order of the table.
    """
    named = enumerate(zip(sweep.variants, sweep.points, strict=True), start=1)
    return [
        Point(number, variant.name, layout.variant_directory(directory, variant.name), values)
        for number, (variant, values) in named
    ]


def summary_of(directory: Path) -> Mapping[str, Any]:
    """The summary of a run.

    Args:
        directory: The run directory.

    Returns:
        Its entries; none where the run has not stopped by itself, or the file is damaged.
    """
    try:
        found = json.loads((directory / layout.SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def sweep_table(sweep: Sweep, directory: Path) -> tuple[tuple[str, ...], list[Row]]:
    """The table of a sweep. On one process.

    Args:
        sweep: The table [sweep].
        directory: The directory of the sweep.

    Returns:
        Columns, those of the keys first, and a row for each point; what a point has not got is NaN.
    """
    points = points_of(sweep, directory)
    summaries = [summary_of(point.directory) for point in points]
    found = [dict(_found(summary, point)) for summary, point in zip(summaries, points, strict=True)]
    # A point that has completed has all columns, in their order.
    others = dict.fromkeys(name for row in sorted(found, key=lambda row: -row[_COMPLETED]) for name in row)
    errors = [name for name in others if name.startswith(ERROR)]
    columns_of_errors = {name: [row.get(name, math.nan) for row in found] for name in errors}
    orders = orders_of(sweep, summaries, columns_of_errors)
    values = [point.values for point in points]
    if sweep.values is not None:
        keys, values = ["value"], [(value,) for value in sweep.values]
        columns = [*keys, *_OF_DECAY, _COMPLETED]
    else:
        # A name that the table has for something else is that of no key.
        taken = {_COMPLETED, *others}
        short = zip(sweep.axes, sweep.labels, strict=True)
        keys = [key if label in taken else label for key, label in short]
        decay = [name for name in _OF_DECAY if any(math.isfinite(row.get(name, math.nan)) for row in found)]
        columns = [*keys, _COMPLETED, *decay]
    columns += [*errors, *orders]
    columns += [name for name in others if name not in columns and name not in _OF_DECAY]
    rows: list[Row] = []
    for index, (row, at) in enumerate(zip(found, values, strict=True)):
        entries = {name: row.get(name, math.nan) for name in columns}
        entries |= dict(zip(keys, map(_entry, at), strict=True))
        entries |= {name: column[index] for name, column in orders.items()}
        rows.append(entries)
    return tuple(columns), rows


def _entry(value: Value) -> Any:
    """A value as the table has it: numbers of cells along several axes as 8x4."""
    return "x".join(f"{number:g}" for number in value) if isinstance(value, tuple) else value


def _found(summary: Mapping[str, Any], point: Point) -> Iterator[tuple[str, float]]:
    """What a point has, by column."""
    energy = summary.get("energy") or {}
    steady = _number(energy.get("steady"))
    completed = summary.get("stop_reason") in ENDED
    yield _COMPLETED, int(completed)
    yield "rate", _number(energy.get("rate"))
    yield "steady_energy", steady
    yield "minimal_quotient", _minimal_quotient(point.directory / layout.SERIES, steady)
    if completed:
        yield from _at_the_end(summary)
    if "max_increase" in energy:
        yield "energy_max_increase", _number(energy["max_increase"])
    for name, entry in (summary.get("species") or {}).items():
        for key in ("mass_drift", "min", "max"):
            yield f"{key}_{name}", _number(entry.get(key))
    for key in ("time", "steps", "rejected_steps", "newton_iterations", "linear_iterations", "dofs"):
        if key in summary:
            yield key.removesuffix("_iterations"), _number(summary[key])
    for key, value in (summary.get("mesh") or {}).items():
        if key in ("cells", "h_max"):
            yield f"mesh_{key}", _number(value)
    if "wall_seconds" in summary:
        yield "seconds", _number(summary["wall_seconds"].get("total"))
    if "memory_megabytes" in summary:
        yield "megabytes", _number(summary["memory_megabytes"].get("largest"))


def _at_the_end(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What can be compared between points only at the same time: errors, the energy, numbers of the model."""
    for key, entry in (summary.get("error") or {}).items():
        if isinstance(entry, dict):  # of one of several species
            for norm, value in entry.items():
                yield f"{ERROR}{norm}_{key}", _number(value)
        else:
            yield f"{ERROR}{key}", _number(entry)
    if "final" in (energy := summary.get("energy") or {}):
        yield "energy", _number(energy["final"])
    for key, value in summary.items():
        if key not in _NAMED:
            yield from _numbers(key, value)


def _number(value: Any) -> float:
    return value if is_number(value) else math.nan


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """The numbers in an entry of a summary, by their keys joined."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _numbers(f"{name}_{key}", entry)
    elif is_number(value) or value is None:
        yield name, _number(value)


def _minimal_quotient(series: Path, steady: float) -> float:
    """The least D/(2(E - E_steady)) of a run, the λ of |∂E|² ≥ 2λE that it shows."""
    if not math.isfinite(steady):
        return math.nan
    try:
        table = np.atleast_1d(np.genfromtxt(series, delimiter=",", names=True))
        excess, dissipation = table["energy"] - steady, table["dissipation"]
    except (OSError, ValueError):
        return math.nan
    used = (excess > _RELATIVE_FLOOR * excess[0]) & np.isfinite(dissipation)
    return float(np.min(dissipation[used] / (2.0 * excess[used]))) if used.any() else math.nan
