"""What a [sweep] says in the end: a decay rate for each value of its key, and how the rate depends on it.

For energies with a small coupling ε the theory has rates r(ε) = r₀ (1 - Kε) with r₀ = 2λ (Matthes: 2λ(1 - Kε)
for two densities, 2(κ - Kε) for chemotaxis up to the factor in K). K is fitted by least squares through r₀ at
ε = 0.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fem_models.config.run_file import RunConfig
from fem_models.core.files import write_json, write_table
from fem_models.results import layout

COLUMNS = ("value", "rate", "steady_energy", "minimal_quotient", "completed")

# A measured rate without coupling that is this far from the theory's, relative, has other assumptions.
_AGREEMENT = 0.05
# The share of the uncoupled rate above which the coupling counts as small.
_SMALL_COUPLING = 0.75
# The quotient D/(2(E - E_steady)) counts while the relative energy is above this share of its first value.
_RELATIVE_FLOOR = 1e-6


def conclude(directory: Path, config: RunConfig) -> None:
    """Write sweep.csv, and the entry "sweep" of summary.json, from the runs in a directory. On one process.

    Args:
        directory: The run directory, with its variants.
        config: Its run file.
    """
    sweep = config.sweep
    if sweep is None:
        return
    rows = [
        _row(value, layout.variant_directory(directory, variant.name))
        for value, variant in zip(sweep.values, sweep.variants, strict=True)
    ]
    write_table(directory / layout.SWEEP, COLUMNS, rows)
    values, rates = ([row[key] for row in rows] for key in ("value", "rate"))
    # The theory is about the coupling alone.
    reference = config.system.exponential_rate if sweep.key == "system.epsilon" else None
    uncoupled = [rate for value, rate in zip(values, rates, strict=True) if value == 0.0]
    if reference is not None and any(abs(rate / reference - 1.0) > _AGREEMENT for rate in uncoupled):
        reference = None
    slope = fitted_slope(values, rates, reference)
    entry = {"key": sweep.key, "reference_rate": reference, "K": slope}
    path = directory / layout.SUMMARY
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"sweep": entry})


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


def _row(value: float, directory: Path) -> dict[str, Any]:
    """The row of one run; NaN for what it has not got."""
    row: dict[str, Any] = {"value": value, "rate": math.nan, "steady_energy": math.nan}
    row |= {"minimal_quotient": math.nan, "completed": 0}
    summary_file = directory / layout.SUMMARY
    if not summary_file.is_file():
        return row
    summary = json.loads(summary_file.read_text(encoding="utf-8"))
    energy = summary["energy"]
    row["completed"] = int(summary["stop_reason"] in ("end", "steady"))
    if energy["rate"] is not None:
        row["rate"] = energy["rate"]
    if energy["steady"] is not None:
        row["steady_energy"] = energy["steady"]
        row["minimal_quotient"] = _minimal_quotient(directory / layout.SERIES, energy["steady"])
    return row


def _minimal_quotient(series: Path, steady: float) -> float:
    """The least D/(2(E - E_steady)) of a run, the λ of |∂E|² ≥ 2λE that it shows."""
    table = np.atleast_1d(np.genfromtxt(series, delimiter=",", names=True))
    excess, dissipation = table["energy"] - steady, table["dissipation"]
    used = (excess > _RELATIVE_FLOOR * excess[0]) & np.isfinite(dissipation)
    return float(np.min(dissipation[used] / (2.0 * excess[used]))) if used.any() else math.nan
