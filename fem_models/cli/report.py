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
    from rich.console import Console

    from fem_models.report import write_report
    from fem_models.results.layout import REPORT
    from fem_models.results.run_data import opened
    from fem_models.run.progress import LateProgress

    runs = opened(directories)
    with LateProgress(Console(), len(runs)) as progress:

        def tell(done: int, total: int) -> None:
            progress.update(done, "report", f"report: run {done} of {total}")

        print(write_report(runs, out or directories[0] / REPORT, tell))
