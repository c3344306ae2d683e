"""What a run directory says in numbers: its run file, summary, series and variants."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fem_models.config.io import load, to_dict
from fem_models.config.run_file import RunConfig
from fem_models.core.errors import InputError
from fem_models.results import layout
from fem_models.results.fields import WrittenFields
from fem_models.steady.decay import Decay, fit_decay

_Array = npt.NDArray[np.float64]


# The name of a run beside its variants has so many values at most, of so many characters.
_MOST_KEYS, _LONGEST = 2, 24
# How a run stopped, by the reason in its summary.
_STOPPED = {
    "end": "came to its end",
    "steady": "came to rest",
    "walltime": "stopped at its time limit",
    "interrupted": "was interrupted",
    "failed": "failed",
}


@dataclass(frozen=True)
class RelativeEnergy:
    """Energy over its steady value, E(t) - E_steady, and its decay.

    Attributes:
        time: times, shape (n,) (dimensionless).
        value: relative energy at these times, shape (n,) (dimensionless).
        from_steady: whether the steady energy is known; otherwise the least energy of the run stands for it.
        is_minimum: whether nothing says that the steady state is no minimum.
        decay: the fitted decay, or None where no part of it is exponential.
    """

    time: _Array
    value: _Array
    from_steady: bool
    is_minimum: bool
    decay: Decay | None


class RunData:
    """A run directory, read piece by piece as it is needed.

    Args:
        directory: The run directory.
        name: What the run is called in a figure; by default by the values of what its variants change,
            or by its system.

    Raises:
        InputError: If it has no run file, or one that is wrong.
    """

    def __init__(self, directory: Path, name: str = "") -> None:
        if not (directory / layout.RUN_FILE).is_file():
            raise InputError(f"{directory} is not a run directory: it has no {layout.RUN_FILE}.")
        self.directory = directory
        # The variants, of which there may be thousands, were checked when it was written.
        self.config: RunConfig = load(directory / layout.RUN_FILE, check_variants=False)
        self.name = name or _name(self.config)

    @cached_property
    def fields(self) -> WrittenFields:
        """The written fields: those that the run file names, or all where it names none.

        Raises:
            InputError: If there are none, or one that the run file names is missing.
        """
        beside = self.directory / layout.STEADY_FIELDS
        return WrittenFields(self.directory / layout.FIELDS, self.config.species_names, beside)

    @cached_property
    def variants(self) -> list["RunData"]:
        """The variants of [[compare]] and [sweep] that have been run, in the order of the run file."""
        names = [item.name for item in self.config.variants]
        places = [(name, layout.variant_directory(self.directory, name)) for name in names]
        return [RunData(place, name) for name, place in places if (place / layout.SERIES).is_file()]

    @property
    def is_sweep(self) -> bool:
        """Whether the directory has the points of a sweep alone, and no run of its own."""
        return self.config.sweep is not None and not (self.directory / layout.SERIES).is_file()

    @property
    def stopped(self) -> bool:
        """Whether the run has said how it stopped: not yet, or never where it was stopped by force."""
        return bool(self.summary)

    @property
    def standing(self) -> str:
        """A sentence on how far the run is, and how it stopped.

        Raises:
            InputError: The summary is damaged.
        """
        end = self.config.time.end
        if self.is_sweep:
            ended = sum(point.stopped for point in self.variants)
            return f"The sweep has {len(self.config.variants)} points; {ended} of them have stopped."
        if self.stopped:
            reached, reason = self.summary.get("time", math.nan), self.summary.get("stop_reason", "")
            how = _STOPPED.get(str(reason), f"stopped ({reason})")
            try:
                return f"The run {how} at t = {reached:.6g}" + ("." if reason == "end" else f" of {end:g}.")
            except (TypeError, ValueError):
                raise self.no_summary() from None
        if not self.begun:
            return "The run has just begun, or was stopped by force before its first step."
        reached = self.series["time"][-1]
        return f"The run goes on, or was stopped by force: it has reached t = {reached:.6g} of {end:g}."

    @property
    def begun(self) -> bool:
        """Whether there is a row of the series."""
        try:
            return len(self.series["time"]) > 0
        except InputError:
            if self.stopped:
                raise
            return False

    @cached_property
    def series(self) -> dict[str, _Array]:
        """The columns of series.csv by name, each of shape (steps,).

        Raises:
            InputError: If there is no such file, no row, or an entry that is not a number.
        """
        path = self.directory / layout.SERIES
        if not self.stopped and not _has_row(path):
            raise InputError(f"{path} has no row yet: the run has just begun, or was stopped by force.")
        columns = _table(path, ("time",))
        if len(columns["time"]) == 0:
            raise InputError(f"{path} has no row: the run took no step, and there is nothing to draw.")
        return columns

    def table(self, name: str, needed: Sequence[str], purpose: str) -> dict[str, _Array]:
        """The columns of a table beside series.csv, each of shape (rows,).

        Args:
            name: The file, one of `layout`.
            needed: Columns that it must have.
            purpose: What writes it, for the message where it is not there.

        Returns:
            The columns by name; those of a sweep's keys are texts where not all values are numbers.

        Raises:
            InputError: If there is no such file, or it has not got the columns.
        """
        path = self.directory / name
        if not path.is_file():
            raise InputError(f"{path} does not exist: {purpose}.")
        # Only keys of a sweep may have texts for values; theirs are the first columns.
        sweep = self.config.sweep
        return _table(path, needed, len(sweep.axes) if sweep and name == layout.SWEEP else 0)

    @property
    def energy(self) -> _Array:
        """The energy at the times of the series, shape (steps,) (dimensionless).

        Raises:
            InputError: If the model of the run has none.
        """
        if "energy" not in self.series:
            path = self.directory / layout.SERIES
            raise InputError(f"{path} has no column energy, and nothing of an energy can be drawn.")
        return self.series["energy"]

    @property
    def energy_terms(self) -> dict[str, _Array]:
        """The energy of each term, by its name, each of shape (steps,), dimensionless."""
        names = list(self.series)
        if "energy" not in names:
            return {}
        end = names.index("dissipation") if "dissipation" in names else len(names)
        return {name: self.series[name] for name in names[names.index("energy") + 1 : end]}

    @cached_property
    def relative_energy(self) -> RelativeEnergy:
        """The energy relative to that of the steady state.

        Raises:
            InputError: If the series or the summary cannot be read.
        """
        time, energy = self.series["time"], self.energy
        steady = self._steady_energy()
        value = energy - (np.nanmin(energy) if steady is None else steady)
        curvature = self.summary.get("energy", {}).get("least_curvature") if steady is not None else None
        is_minimum = curvature is None or curvature > -1e-3
        decay = fit_decay(time, value) if is_minimum else None
        return RelativeEnergy(time, value, steady is not None, is_minimum, decay)

    def _steady_energy(self) -> float | None:
        """Energy of the steady state, None where the run has not computed it."""
        try:
            steady = self.summary.get("energy", {}).get("steady")
            number = math.nan if steady is None else float(steady)
        except (AttributeError, TypeError, ValueError):
            raise self.no_summary() from None
        return number if math.isfinite(number) else None

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """The summary; empty for a run that still goes on, or was stopped by force.

        Raises:
            InputError: If it cannot be read.
        """
        path = self.directory / layout.SUMMARY
        if not path.exists():
            return {}
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise self.no_summary() from None
        if not isinstance(summary, dict):
            raise self.no_summary()
        return summary

    def no_summary(self) -> InputError:
        """The error to raise where an entry of the summary is none that a run writes."""
        path = self.directory / layout.SUMMARY
        return InputError(f"{path} is not a summary of a run; run the run file again.")


def opened(directories: Sequence[Path]) -> list[RunData]:
    """Runs that are looked at beside each other.

    Args:
        directories: Their run directories.

    Returns:
        The runs, each with the name of its directory; of directories with one name, by their paths.

    Raises:
        InputError: One of them is not a run directory, or is there twice.
    """
    places = [directory.resolve() for directory in directories]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise InputError(f"{directories[number]} is there twice; name every run directory once.")
    short = [place.name for place in places]
    names = [
        name if short.count(name) == 1 else str(path) for name, path in zip(short, directories, strict=True)
    ]
    return [RunData(directory, name) for directory, name in zip(directories, names, strict=True)]


def _name(config: RunConfig) -> str:
    """What a run is called beside its variants: the values of the few keys that they change."""
    if not config.variants:
        return "this run"
    keys = list(dict.fromkeys(key for variant in config.variants for key in variant.set))
    texts = []
    for key in keys:
        *tables, last = key.split(".")
        value: Any = to_dict(config)
        for table in tables:
            value = value.get(table, {}) if isinstance(value, dict) else {}
        value = value.get(last) if isinstance(value, dict) else None
        if not isinstance(value, bool | int | float | str) or len(str(value)) > _LONGEST:
            return config.system.name
        texts.append(f"{last} = {value:g}" if isinstance(value, float) else f"{last} = {value}")
    return ", ".join(texts) if 0 < len(texts) <= _MOST_KEYS else config.system.name


def _has_row(path: Path) -> bool:
    """Whether a table has a whole line below its header."""
    try:
        return path.read_text(encoding="utf-8").count("\n") > 1
    except OSError:
        return False


def _table(path: Path, needed: Sequence[str], texts: int = 0) -> dict[str, npt.NDArray[Any]]:
    """The columns of a table of numbers by name, each of shape (rows,); an empty entry is not a number.

    The first `texts` columns need not be numbers. A last line without its end is left out: a run is about to
    write it, or was stopped by force there.
    """
    try:
        text = path.read_text(encoding="utf-8")
        header, *rows = [row for row in csv.reader(io.StringIO(text)) if row]
        if rows and not text.endswith("\n"):
            rows.pop()
        if any(len(row) != len(header) for row in rows):
            raise ValueError
        entries = [[row[number] or "nan" for row in rows] for number in range(len(header))]
        columns = {
            name: _column(column, number < texts)
            for number, (name, column) in enumerate(zip(header, entries, strict=True))
        }
    except OSError:
        raise InputError(f"{path} cannot be read; run the run file again to write it.") from None
    except ValueError:  # no header, rows of unequal length, or words for numbers
        raise InputError(f"{path} is not a table of numbers; run the run file again.") from None
    if missing := set(needed) - columns.keys():
        raise InputError(f"{path} has no column {min(missing)}; run the run file again.")
    return columns


def _column(entries: Sequence[str], may_be_texts: bool) -> npt.NDArray[Any]:
    try:
        return np.array(entries, dtype=float)
    except ValueError:
        if may_be_texts:
            return np.array(entries)
        raise
