"""`fem-models movie`."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def _path(directory: Path, format_: str | None, out: Path | None) -> Path:
    from fem_models.core.errors import InputError
    from fem_models.results.layout import movie_file

    if out is None:
        return movie_file(directory, format_ or "mp4")
    if format_ is not None and out.suffix != f".{format_}":
        raise InputError(f"--format {format_} does not go with --out {out}; leave one of them out.")
    return out


def movie(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="A run directory, or several to see side by side.")
    ],
    format_: Annotated[
        Literal["mp4", "gif"] | None, typer.Option("--format", help="mp4 unless --out says otherwise.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(help="A field, once for each; by default those of the run file, or f(x, v)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The film; by default figures/movie.mp4 in the first directory.")
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, max=60, help="Pictures per second; by default a film of four seconds or more."),
    ] = None,
) -> None:
    """Make a film of a run from the fields that it has written, with one colour scale for all times."""
    from rich.console import Console

    from fem_models.plotting.movie import movie as write
    from fem_models.results.run_data import opened
    from fem_models.run.progress import LateProgress

    runs = opened(directories)
    path = _path(directories[0], format_, out)
    with LateProgress(Console()) as progress:

        def tell(done: int, total: int) -> None:
            progress.update(done, f"picture {done} of {total}", f"movie: picture {done} of {total}")

        print(write(runs, path, field or (), fps, tell))
