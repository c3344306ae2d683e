"""`fem-models show`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fem_models.cli.completion import run_files

if TYPE_CHECKING:
    from fem_models.config.description import Entry


def show(
    file: Annotated[
        Path | None,
        typer.Argument(help="A run file; without one, all keys there are.", autocompletion=run_files),
    ] = None,
) -> None:
    """List every key of a run file with its value, its default and its meaning."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fem_models.config.description import Entry, describe
    from fem_models.config.io import load

    entries = describe(None if file is None else load(file))
    console = Console()
    heading = Entry("key", "value", "default", "meaning")
    if not console.is_terminal:
        print("\n".join(_aligned([heading, *entries])))
        return
    table = Table(*heading, box=None, header_style="bold")
    for entry in entries:
        table.add_row(*map(Text, entry))
    console.print(table)


def _aligned(entries: "Sequence[Entry]") -> list[str]:
    """Rows of text in columns; a longer value shifts the rest of its row only."""
    widths = [min(40, max(len(entry[column]) for entry in entries)) for column in range(3)]
    return [
        "  ".join([*(entry[i].ljust(width) for i, width in enumerate(widths)), entry[3]]).rstrip()
        for entry in entries
    ]
