"""`fem-models status`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fem_models.jobs.status import RunStatus

_COLUMNS = ("run", "state", "time", "steps", "last write", "time left", "job")


def status(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Run directories, or folders of them.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: a list of objects.")] = False,
) -> None:
    """Tell where runs stand: waiting, running, ended, steady, walltime, interrupted, failed or dead."""
    import time

    from fem_models.jobs.status import look

    found = look(directories)
    if as_json:
        print(_json(found))
        return
    now = time.time()
    rows = [_row(entry, now) for entry in found]
    notes = [f"{entry.directory}: {entry.note}" for entry in found if entry.note]
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
        for row in (_COLUMNS, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    else:
        table = Table(*_COLUMNS, box=None, header_style="bold")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
    for note in notes:
        print(note)


def _row(entry: "RunStatus", now: float) -> tuple[str, ...]:
    """The cells of a run; times of the run are dimensionless, the others as people read them."""
    from fem_models.core.durations import duration

    end = "" if entry.end is None else f" of {entry.end:g}"
    return (
        str(entry.directory),
        entry.state,
        "-" if entry.time is None else f"{entry.time:g}{end}",
        str(entry.steps),
        "-" if entry.last_write is None else f"{duration(max(0.0, now - entry.last_write))} ago",
        "-" if entry.left is None else duration(entry.left),
        entry.job or "-",
    )


def _json(found: "list[RunStatus]") -> str:
    """Seconds left, and times of writing in seconds since 1970."""
    import json
    from dataclasses import asdict

    from fem_models.core.files import plain

    entries = [asdict(entry) | {"directory": str(entry.directory)} for entry in found]
    return json.dumps(plain(entries), indent=2)
