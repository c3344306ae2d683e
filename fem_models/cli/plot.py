"""`fem-models plot`."""

from pathlib import Path
from typing import Annotated

import typer


def plot(directory: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Draw the figures of a run directory again."""
    from fem_models import plotting

    for figure in plotting.draw(directory):
        print(figure)
