"""Orders of convergence between the points of a sweep.

The order between two points with errors e₁, e₂ and sizes s₁ > s₂ of one key that refines, with the other keys
fixed, is log(e₁/e₂)/log(s₁/s₂). Edge lengths, steps and tolerances of steps are sizes as they are written,
numbers of cells and slabs by their reciprocals; of mesh files and their parameters the longest edge of the
mesh is measured.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fem_models.config.sweeps import Sweep, Value
from fem_models.core.checks import is_number

ERROR, ORDER = "error_", "order_"

_SIZES = ("mesh.h", "time.step", "time.tolerance")
_COUNTS = ("mesh.cells", "time.slabs")
_MEASURED = ("mesh.file", "mesh.parameters.")


def refining(sweep: Sweep) -> tuple[str, ...]:
    """The keys of a sweep that refine the mesh or the steps.

    Args:
        sweep: The table [sweep].

    Returns:
        Those whose values have sizes, see the top of the module.
    """
    return tuple(key for key in sweep.axes if key in _SIZES or key in _COUNTS or key.startswith(_MEASURED))


def orders_of(
    sweep: Sweep, summaries: Sequence[Mapping[str, Any]], errors: Mapping[str, Sequence[float]]
) -> dict[str, list[float]]:
    """The orders of errors, from each point to the next finer one.

    Args:
        sweep: The table [sweep].
        summaries: The summary of each point.
        errors: Columns by name, `error_NORM`, each with an entry for each point (NaN where there is none).

    Returns:
        Columns `order_NORM`, or `order_NORM_KEY` where several keys refine, NaN at the coarsest points. Where
        keys are combined by zip, those that refine do so together, and the size is that of the first.
    """
    names = refining(sweep)
    together = sweep.combine == "zip"
    columns: dict[str, list[float]] = {}
    for key in names[:1] if together else names:
        at = list(sweep.axes).index(key)
        free = names if together else (key,)
        groups = _groups(sweep, free)
        sizes = [
            _size(key, point[at], summary) for point, summary in zip(sweep.points, summaries, strict=True)
        ]
        suffix = f"_{sweep.labels[at]}" if len(names) > 1 and not together else ""
        for name, values in errors.items():
            columns[f"{ORDER}{name.removeprefix(ERROR)}{suffix}"] = _successive(groups, sizes, values)
    return columns


def _groups(sweep: Sweep, free: Sequence[str]) -> list[list[int]]:
    """The points in groups that differ in some keys only, by their indices."""
    fixed = [index for index, key in enumerate(sweep.axes) if key not in free]
    groups: dict[tuple[Value, ...], list[int]] = {}
    for number, point in enumerate(sweep.points):
        groups.setdefault(tuple(point[index] for index in fixed), []).append(number)
    return list(groups.values())


def _size(key: str, value: Any, summary: Mapping[str, Any]) -> float:
    if key in _SIZES:
        return float(value)
    if key in _COUNTS:
        counts = value if isinstance(value, tuple) else (value,)
        return math.prod(counts) ** (-1.0 / len(counts))
    measured = (summary.get("mesh") or {}).get("h_max")
    return float(measured) if is_number(measured) else math.nan


def _successive(
    groups: Iterable[Sequence[int]], sizes: Sequence[float], errors: Sequence[float]
) -> list[float]:
    """The order at each point, from the next coarser one of its group."""
    found = [math.nan] * len(sizes)
    for group in groups:
        refined = sorted((index for index in group if sizes[index] > 0.0), key=lambda index: -sizes[index])
        for coarse, fine in itertools.pairwise(refined):
            if errors[coarse] > 0.0 and errors[fine] > 0.0 and sizes[coarse] > sizes[fine]:
                ratio = math.log(errors[coarse] / errors[fine])
                found[fine] = ratio / math.log(sizes[coarse] / sizes[fine])
    return found
