"""What a page says of one run: what was run and what came of it, verdicts, warnings, pictures, curves."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fem_models.config.schemes import GRADIENT_FLOW
from fem_models.core.errors import InputError
from fem_models.report.charts import Chart, begun, charts
from fem_models.report.names import number, symbol
from fem_models.report.views import Range, View, view
from fem_models.results import layout
from fem_models.results.run_data import RunData
from fem_models.results.verdicts import Verdict, verdicts

Row = tuple[str, str]
"""What is told, and its value."""

# Films and pictures that are larger stay beside the page.
_LARGEST = 12_000_000
_KINDS = {".png": "image/png", ".svg": "image/svg+xml", ".gif": "image/gif", ".mp4": "video/mp4"}
_LOG_LINES = 25
# Seconds of a phase that are told.
_LEAST = 0.01


@dataclass(frozen=True)
class Picture:
    """A picture or a film of a run, inside of the page.

    Attributes:
        title: What it shows.
        text: The same in words, for those who do not see it.
        source: Its bytes, as an address.
        film: Whether it is a film with controls.
    """

    title: str
    text: str
    source: str
    film: bool


@dataclass(frozen=True)
class Section:
    """What a page says of one run.

    Attributes:
        key: Its name in the page.
        name: What the run is called.
        directory: Its run directory.
        standing: How far it is and how it stopped, a sentence.
        state: The same in a word: "ended", "stopped", "failed" or "unfinished".
        equation: What is solved; empty where that is not known.
        facts: What was run.
        outcome: What came of it.
        species: A row of numbers for each species, under `species_head`.
        verdicts: On masses, signs and the energy.
        warnings: Of the run.
        missing: What a report would have and is not there, a sentence each.
        view: The last densities in space; None where there are none.
        charts: Curves over time.
        pictures: Its figures and its film.
        run_file: The text of run.toml.
        log: The last lines of log.txt.
    """

    key: str
    name: str
    directory: str
    standing: str
    state: str
    equation: str
    facts: list[Row]
    outcome: list[Row]
    species: list[list[str]]
    verdicts: list[Verdict]
    warnings: list[str]
    missing: list[str]
    view: View | None
    charts: list[Chart]
    pictures: list[Picture]
    run_file: str
    log: str

    @property
    def species_head(self) -> tuple[str, ...]:
        """The head of the table of species."""
        return ("", "mass, first", "mass, last", "least value", "largest value", "second moment")


def section(run: RunData, key: str, scales: Mapping[str, Range]) -> Section:
    """Gather what a page says of a run, finished or not.

    Args:
        run: The run.
        key: Its name in the page.
        scales: The ends of colour scales, see `views.ranges`.

    Returns:
        The section.

    Raises:
        InputError: The summary is damaged.
    """
    missing: list[str] = []

    def there[T](found: Callable[[], T], otherwise: T) -> T:
        """What can be read, and a sentence on what cannot."""
        try:
            return found()
        except InputError as error:
            missing.append(str(error))
            return otherwise

    try:
        facts, outcome = list(_facts(run)), list(_outcome(run.summary))
        species = list(_species(run.summary))
        warnings = [str(text) for text in run.summary.get("warnings", ())]
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError):
        raise run.no_summary() from None
    pictures = list(_pictures(run))
    if not pictures and not run.is_sweep:
        missing.append(f"There are no pictures: `fem-models plot {run.directory}` draws them.")
    return Section(
        key=key,
        name=run.name,
        directory=str(run.directory),
        standing=there(lambda: run.standing, "The run has written no row."),
        state=_state(run),
        equation=run.config.system.equation,
        facts=facts,
        outcome=outcome,
        species=species,
        verdicts=[] if run.is_sweep else there(lambda: verdicts(run), []),
        warnings=warnings,
        missing=missing,
        view=None if run.is_sweep else there(lambda: view(run, scales), None),
        charts=there(lambda: charts(begun([run])) if begun([run]) else [], []),
        pictures=pictures,
        run_file=(run.directory / layout.RUN_FILE).read_text(encoding="utf-8"),
        log=_log(run.directory / layout.LOG),
    )


def _state(run: RunData) -> str:
    if run.is_sweep:
        done = sum(point.stopped for point in run.variants) == len(run.config.variants)
        return "ended" if done else "unfinished"
    if not run.stopped:
        return "unfinished"
    reason = run.summary.get("stop_reason")
    return {"end": "ended", "steady": "ended", "failed": "failed"}.get(str(reason), "stopped")


def _facts(run: RunData) -> Iterator[Row]:
    """What was run: system, scheme, time, mesh, and on what."""
    config, summary = run.config, run.summary
    table = config.time
    yield "system", config.system.name
    fields = [f"{symbol(name)} ({metric})" for name, metric in config.fields]
    yield "fields and their metrics", ", ".join(fields)
    parts = [table.scheme]
    if config.system.model == GRADIENT_FLOW:
        degree = f" of degree {table.degree}" if table.discretization == "log-density" else ""
        parts += [f"{table.flux} flux", table.discretization + degree]
    if table.minimises:
        parts.append(f"{table.slabs} slab{'s' * (table.slabs > 1)}")
    yield "scheme", ", ".join(parts)
    steps = f"with steps of {table.step:g}"
    if table.control == "adaptive":
        steps = f"with steps by their errors, the first of {table.step:g}"
    yield "time", f"from {table.start:g} to {table.end:g} {steps}"
    where = config.mesh.file if config.mesh.file is not None else config.mesh.domain
    yield "mesh", str(where)
    mesh = summary.get("mesh", {})
    if "h_min" in mesh:
        yield "cells and vertices", f"{mesh.get('cells')} and {mesh.get('vertices')}"
        yield "edges", f"from {mesh['h_min']:.4g} to {mesh['h_max']:.4g}"
    if mesh.get("negative_edges") is not None:
        yield "edges with a negative coefficient", f"{100.0 * mesh['negative_edges']:.2g} %"
    for key, title in (("dofs", "unknowns"), ("ranks", "ranks"), ("version", "version of fem-models")):
        if key in summary:
            yield title, number(summary[key])
    if versions := summary.get("versions"):
        yield "versions of others", ", ".join(f"{name} {version}" for name, version in versions.items())


def _outcome(summary: Mapping[str, Any]) -> Iterator[Row]:
    """What came of it: steps, energies, errors, seconds."""
    if "time" in summary:
        yield "time reached", number(summary["time"])
        rejected = f", and {summary['rejected_steps']} rejected" if summary.get("rejected_steps") else ""
        yield "steps", f"{summary.get('steps')}{rejected}"
    if summary.get("steps"):
        steps = summary["steps"]
        newton, linear = summary.get("newton_iterations", 0), summary.get("linear_iterations", 0)
        yield "Newton iterations", f"{newton}, {newton / steps:.2g} in a step"
        yield "linear iterations", f"{linear}, {linear / steps:.2g} in a step"
    energy = summary.get("energy", {})
    for key, title in (("initial", "first"), ("final", "last"), ("steady", "of the steady state")):
        if energy.get(key) is not None:
            yield f"energy, {title}", number(energy[key], 8)
    if energy.get("rate") is not None:
        yield "decay rate of the energy", number(energy["rate"])
    errors = summary.get("error", {})
    for name, norms in ({"": errors} if "l1" in errors else errors).items():
        told = ", ".join(f"{norm} {number(value, 3)}" for norm, value in norms.items())
        yield f"error {symbol(name)}".strip(), told
    if "total" in (seconds := summary.get("wall_seconds", {})):
        parts = {name: spent["largest"] for name, spent in summary.get("phases", {}).items()}
        told = ", ".join(f"{phase} {spent:.3g}" for phase, spent in parts.items() if spent >= _LEAST)
        yield "seconds", f"{seconds['total']:.4g}" + (f" ({told})" if told else "")
    if "largest" in (memory := summary.get("memory_megabytes", {})):
        yield "memory in megabytes", f"{memory['sum']:.4g}, at most {memory['largest']:.4g} of a rank"


def _species(summary: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, found in summary.get("species", {}).items():
        keys = ("mass_initial", "mass_final", "min", "max", "second_moment")
        yield [symbol(name), *(number(found.get(key)) for key in keys)]


def _pictures(run: RunData) -> Iterator[Picture]:
    """The figures in the order of the run file, and what else is there."""
    folder = run.directory / layout.FIGURES
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    wanted = list(run.config.output.figures)
    there.sort(key=lambda path: wanted.index(path.stem) if path.stem in wanted else len(wanted))
    for path in there:
        if path.suffix in _KINDS and not path.name.startswith(".") and path.stat().st_size <= _LARGEST:
            kind = _KINDS[path.suffix]
            source = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
            title = path.stem.replace("_", " ")
            yield Picture(title, f"Figure {title} of the run {run.name}.", source, kind.startswith("video"))


def _log(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_LOG_LINES:])
