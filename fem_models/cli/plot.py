"""`fem-models plot`."""

from pathlib import Path
from typing import Annotated

import typer


def plot(
    directory: Annotated[Path, typer.Argument(help="A run directory, of a run that goes on, too.")],
) -> None:
    """Draw the figures of a run directory again."""
    from fem_models import plotting
    from fem_models.results.run_data import RunData

    drawn = plotting.drawn(directory)
    for figure in drawn.paths:
        print(figure)
    run = RunData(directory)
    for sentence in [] if run.stopped else [run.standing, *drawn.left_out]:
        print(sentence)
