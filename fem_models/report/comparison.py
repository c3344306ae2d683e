"""What is different in several runs: keys of their run files, what came of them, and their curves in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fem_models.config.description import describe
from fem_models.core.errors import InputError
from fem_models.report.charts import Chart, begun, charts
from fem_models.report.names import number
from fem_models.results.run_data import RunData
from fem_models.results.verdicts import verdicts

# So many runs fit beside each other in a table and in a chart.
_MOST = 12

_FOUND = (
    ("stop_reason", "stopped by"),
    ("time", "time reached"),
    ("steps", "steps"),
    ("rejected_steps", "rejected steps"),
    ("ranks", "ranks"),
    ("cells", "cells"),
    ("dofs", "unknowns"),
    ("newton_iterations", "Newton iterations"),
    ("linear_iterations", "linear iterations"),
    ("wall_seconds.total", "seconds"),
    ("memory_megabytes.sum", "memory in megabytes"),
    ("energy.final", "last energy"),
    ("energy.steady", "energy of the steady state"),
    ("energy.rate", "decay rate"),
    ("error.l1", "error in L¹"),
    ("error.l2", "error in L²"),
)


@dataclass(frozen=True)
class Comparison:
    """Several runs beside each other.

    Attributes:
        names: What the runs are called.
        keys: Keys of run files that are not the same in all of them, with their values.
        found: What came of them, with its values.
        laws: The laws that they have, and whether each run kept it.
        charts: Their curves in the same charts.
        left_out: How many runs there are beyond those that are shown.
    """

    names: list[str]
    keys: list[tuple[str, list[str]]]
    found: list[tuple[str, list[str]]]
    laws: list[tuple[str, list[str]]]
    charts: list[Chart]
    left_out: int


def comparison(runs: Sequence[RunData]) -> Comparison | None:
    """Put runs and their variants beside each other.

    Args:
        runs: The runs.

    Returns:
        The comparison; None where there is one run alone.

    Raises:
        InputError: A summary or a series is damaged.
    """
    items = []
    for run in runs:
        items += [run] * (not run.is_sweep) + _named(run, len(runs) > 1)
    if len(items) < 2:
        return None
    shown = items[:_MOST]
    there = begun(shown)
    return Comparison(
        names=[item.name for item in shown],
        keys=_different(shown),
        found=[(title, row) for key, title in _FOUND if any(row := _row(shown, key))],
        laws=_laws(shown),
        charts=charts(there) if there else [],
        left_out=len(items) - len(shown),
    )


def _named(run: RunData, several: bool) -> list[RunData]:
    """The variants of a run, with the name of the run where there are several."""
    if not several:
        return run.variants
    return [RunData(item.directory, f"{run.name}: {item.name}") for item in run.variants]


def _different(runs: Sequence[RunData]) -> list[tuple[str, list[str]]]:
    tables = [{entry.key: entry.value for entry in describe(run.config)} for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = [(key, [table.get(key) or "–" for table in tables]) for key in keys]
    # The variants of a run are listed in its run file, and not in theirs.
    return [(key, row) for key, row in rows if len(set(row)) > 1 and not key.startswith(("compare", "sweep"))]


def _row(runs: Sequence[RunData], key: str) -> list[str]:
    """An entry of the summaries; empty where no run has it."""
    values = [_entry(run.summary, key) for run in runs]
    return [number(value) for value in values] if any(value is not None for value in values) else []


def _entry(summary: Mapping[str, Any], key: str) -> Any:
    entry: Any = summary
    for part in key.split("."):
        entry = entry.get(part) if isinstance(entry, Mapping) else None
    return entry


def _laws(runs: Sequence[RunData]) -> list[tuple[str, list[str]]]:
    told: list[dict[str, str]] = []
    for run in runs:
        try:
            found = verdicts(run)
        except InputError:
            found = []
        told.append({f"{v.subject}: {v.law}": _word(v.kept, v.measured) for v in found})
    names = dict.fromkeys(name for row in told for name in row)
    return [(name, [row.get(name, "–") for row in told]) for name in names]


def _word(kept: bool, measured: float) -> str:
    return f"{'✓ kept' if kept else '✗ not kept'} ({measured:.1e})"
