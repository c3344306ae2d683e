"""`fem-models report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="A run directory, or several to see side by side.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The page; by default report.html in the first directory.")
    ] = None,
) -> None:
    """Write one HTML page on a run: verdicts, curves, pictures and densities to turn; it works offline."""
    from fem_models.report import write_report
    from fem_models.results.layout import REPORT
    from fem_models.results.run_data import opened

    print(write_report(opened(directories), out or directories[0] / REPORT))
