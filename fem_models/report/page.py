"""One HTML page on some runs, with all that it needs inside: no network is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from fem_models._version import __version__
from fem_models.core.errors import InputError
from fem_models.core.files import write_text
from fem_models.report.comparison import comparison
from fem_models.report.sections import section
from fem_models.report.views import ranges
from fem_models.results.run_data import RunData

Tell = Callable[[int, int], None]
"""Is told how many runs of how many are in the page."""


def write_report(runs: Sequence[RunData], path: Path, tell: Tell = lambda done, total: None) -> Path:
    """Write a page on a run, or on several beside each other. Call it on one process.

    The page has what was run, verdicts on masses, signs and the energy, warnings, curves, pictures, and the
    last densities in space, which can be turned. Runs may be finished or not.

    Args:
        runs: The runs; one or more.
        path: The page, a file that ends in .html, in a directory that exists.
        tell: Is told of the progress.

    Returns:
        The page.

    Raises:
        InputError: A run file or a summary is damaged, or the page cannot be written.
        OutputError: There is no room for it.
    """
    if path.suffix not in (".html", ".htm"):
        raise InputError(f"The path of a report must end in .html, not {path.name!r}.")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no directory {path.parent}.")
    write_text(path, page(runs, tell))
    return path


def page(runs: Sequence[RunData], tell: Tell = lambda done, total: None) -> str:
    """The text of a page, see `write_report`.

    Args:
        runs: The runs; one or more.
        tell: Is told of the progress.

    Returns:
        The page.

    Raises:
        InputError: A run file or a summary is damaged.
    """
    environment = Environment(
        loader=PackageLoader("fem_models.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inert"] = _inert
    scales = ranges(runs)
    sections = []
    for number, run in enumerate(runs, start=1):
        sections.append(section(run, f"run-{number}", scales))
        tell(number, len(runs))
    title = f"Report on {runs[0].name}" if len(runs) == 1 else f"Report on {len(runs)} runs"
    return environment.get_template("page.html").render(
        title=title,
        sections=sections,
        comparison=comparison(runs),
        version=__version__,
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
    )


def _inert(json: str) -> Markup:
    """JSON that stands in a page as it is: nothing in it ends its element."""
    return Markup(json.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
