"""What a [sweep] says in the end: its table, and how decay rates depend on the key.

For energies with a small coupling ε the theory has rates r(ε) = r₀ (1 - Kε) with r₀ = 2λ (Matthes: 2λ(1 - Kε)
for two densities, 2(κ - Kε) for chemotaxis up to the factor in K). K is fitted by least squares through r₀ at
ε = 0.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fem_models._version import __version__
from fem_models.config.run_file import RunConfig
from fem_models.core.files import write_json, write_table
from fem_models.results import layout
from fem_models.results.sweeps import summary_of, sweep_table

# A measured rate without coupling that is this far from the theory's, relative, has other assumptions.
_AGREEMENT = 0.05
# The share of the uncoupled rate above which the coupling counts as small.
_SMALL_COUPLING = 0.75


def conclude(directory: Path, config: RunConfig) -> None:
    """Write sweep.csv, and the entry "sweep" of summary.json, from the runs in a directory. On one process.

    Args:
        directory: The run directory, with its variants; where it has no run of its own, summary.json is new.
        config: Its run file.
    """
    sweep = config.sweep
    if sweep is None:
        return
    columns, rows = sweep_table(sweep, directory)
    write_table(directory / layout.SWEEP, columns, rows)
    entry: dict[str, Any] = {"key": None, "reference_rate": None, "K": None}
    if len(sweep.axes) == 1:
        [key] = sweep.axes
        rates = [row.get("rate", math.nan) for row in rows]
        entry = {"key": key} | _coupling(config, key, [row[columns[0]] for row in rows], rates)
    entry |= {
        "keys": list(sweep.axes),
        "points": len(rows),
        "completed": sum(row["completed"] for row in rows),
    }
    summary = dict(summary_of(directory)) or {"version": __version__, "system": config.system.name}
    write_json(directory / layout.SUMMARY, summary | {"sweep": entry})


def _coupling(
    config: RunConfig, key: str, values: Sequence[Any], rates: Sequence[float]
) -> dict[str, float | None]:
    """The rate of the theory and the fitted slope, which is about the coupling alone."""
    reference = config.system.exponential_rate if key == "system.epsilon" else None
    uncoupled = [rate for value, rate in zip(values, rates, strict=True) if value == 0.0]
    if reference is not None and any(abs(rate / reference - 1.0) > _AGREEMENT for rate in uncoupled):
        reference = None
    slope = None if reference is None else fitted_slope(values, rates, reference)
    return {"reference_rate": reference, "K": slope}


def fitted_slope(values: Sequence[float], rates: Sequence[float], reference: float | None) -> float | None:
    """K of r = r₀ (1 - Kε), by least squares over small ε: where the rate is above 3/4 of r₀.

    Args:
        values: ε ≥ 0, dimensionless.
        rates: r; NaN where it is not known.
        reference: r₀ > 0; None where the theory has none.

    Returns:
        K, or None where it is not determined.
    """
    epsilon, rate = np.array(values), np.array(rates, dtype=float)
    if reference is None:
        return None
    known = np.isfinite(rate) & (epsilon > 0.0) & (rate > _SMALL_COUPLING * reference)
    if not known.any():
        return None
    epsilon, loss = epsilon[known], 1.0 - rate[known] / reference
    return float(epsilon @ loss / (epsilon @ epsilon))
