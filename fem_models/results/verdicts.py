"""Whether a run kept the laws of its model: masses, signs, the fall of its energy. On one process.

A run that has stopped says so itself, in the entry `laws` of summary.json; of one that goes on, or was
stopped by force, series.csv tells it so far. Everything is dimensionless.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fem_models.core.protocols import Law
from fem_models.results.run_data import RunData

# What is smaller than this share of the sizes of terms is taken for rounding.
ROUNDING = 1e-12
# A conserved quantity that drifts by more, relative, is worth a warning: Newton's tolerance leaves less.
DRIFT = 1e-8
# Columns of gradient flows whose fall is promised where the energy is convex.
_LESS_WORK = "energy_less_work"
_ENERGIES = ("energy", _LESS_WORK)


@dataclass(frozen=True)
class Verdict:
    """Whether a law was kept.

    Attributes:
        observable: The column of series.csv that the law is about.
        law: The law.
        subject: What a sentence calls the observable.
        promised: Whether the scheme promises the law for any step; None where that is not known yet.
        kept: Whether it was kept up to rounding.
        measured: The largest relative drift of what is conserved, the least value of what is non-negative,
            the largest increase in a step of what falls.
        tolerance: Up to which relative size that counts as rounding.
        broken_steps: Of what falls, the number of steps in which it increased by more.
    """

    observable: str
    law: Law
    subject: str
    promised: bool | None
    kept: bool
    measured: float
    tolerance: float
    broken_steps: int | None

    @property
    def sentence(self) -> str:
        """What was measured, and what the scheme promises."""
        return f"{self._finding} {self._promise}"

    @property
    def _finding(self) -> str:
        if self.law == "conserved":
            size = f"its largest relative drift is {self.measured:.1e}"
            if self.kept:
                return f"{self.subject} is conserved: {size}, and up to {self.tolerance:.0e} counts as none."
            return f"{self.subject} is not conserved: {size}, more than {self.tolerance:.0e}."
        if self.law == "non-negative":
            least = f"its least value is {self.measured:.3g}"
            return f"{self.subject} {'is non-negative' if self.kept else 'became negative'}: {least}."
        if self.kept and self.measured <= 0.0:
            return f"{self.subject} did not increase in any step."
        if self.kept:
            return (
                f"{self.subject} did not increase in any step: its largest change upwards is "
                f"{self.measured:.1e}, and up to {self.tolerance:.0e} of the sizes of its terms is rounding."
            )
        return (
            f"{self.subject} increased in {self.broken_steps} steps, at most by {self.measured:.2e}, more "
            f"than the rounding of {self.tolerance:.0e} of the sizes of its terms."
        )

    @property
    def _promise(self) -> str:
        if self.promised is None:
            return "The run has not stopped yet: this is what was measured so far."
        if not self.promised:
            return "The scheme does not promise this; it was measured."
        if self.observable in _ENERGIES:
            return "The scheme promises this for any step where the energy is convex."
        return "The scheme promises this for any step."


def verdicts(run: RunData) -> list[Verdict]:
    """The verdicts on a run.

    Args:
        run: The run, finished or not.

    Returns:
        One for each law of its model; none where nothing was written yet, or the model has no law.

    Raises:
        InputError: The summary or the series is damaged.
    """
    told = run.summary.get("laws")
    if told is not None:
        try:
            found = [Verdict(**entry) for entry in told]
            # Entries that no sentence can be made of are found here.
            assert all(verdict.sentence for verdict in found)
        except (TypeError, ValueError):
            raise run.no_summary() from None
        return found
    return list(_so_far(run)) if run.begun else []


def _so_far(run: RunData) -> Iterator[Verdict]:
    """Verdicts from the columns that series.csv has of every flow."""
    series = run.series
    for name, metric in run.config.fields:
        if metric == "wasserstein" and f"mass_{name}" in series and f"min_{name}" in series:
            yield _conserved(series, name)
            yield _sign(series, name)
    name = _LESS_WORK if _LESS_WORK in series else "energy"
    if name in series:
        subject = "The energy" if name == "energy" else "The energy less the work of the potentials"
        yield _fall(name, subject, series[name], run.energy_terms)


def _conserved(series: Mapping[str, Any], name: str) -> Verdict:
    mass = series[f"mass_{name}"]
    drift = float(np.max(np.abs(mass - mass[0])) / (abs(mass[0]) or 1.0))
    subject = f"The mass of {name}"
    return Verdict(f"mass_{name}", "conserved", subject, None, drift <= DRIFT, drift, DRIFT, None)


def _sign(series: Mapping[str, Any], name: str) -> Verdict:
    least = float(series[f"min_{name}"].min())
    kept = (
        least >= -ROUNDING * float(series[f"max_{name}"].max()) if f"max_{name}" in series else least >= 0.0
    )
    return Verdict(f"min_{name}", "non-negative", f"The density {name}", None, kept, least, ROUNDING, None)


def _fall(name: str, subject: str, values: Any, terms: Mapping[str, Any]) -> Verdict:
    sizes = sum(np.abs(term) for term in terms.values()) if terms else np.abs(values)
    rises = np.diff(values)
    broken = int(np.count_nonzero(rises > ROUNDING * np.maximum(1.0, sizes[1:])))
    largest = max(float(rises.max(initial=0.0)), 0.0)
    return Verdict(name, "falling", subject, None, broken == 0, largest, ROUNDING, broken)
