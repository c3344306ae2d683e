"""`fem-models compile`."""

from pathlib import Path
from typing import Annotated

import typer

from fem_models.cli.completion import run_files


def compile_(
    file: Annotated[Path, typer.Argument(help="The run file (.toml).", autocompletion=run_files)],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key, as in time.step=0.1.")
    ] = None,
) -> None:
    """Compile the forms of a run file on one process, before many ranks or jobs need them at once."""
    import time

    from fem_models.config.io import load
    from fem_models.core.durations import duration

    config = load(file, set_ or ())
    print(f"compiling the forms of {file}", flush=True)
    from fem_models.run.compilation import compile_forms

    begin = time.monotonic()
    count, folder = compile_forms(config)
    print(f"{count} forms compiled in {duration(time.monotonic() - begin)}, kept in {folder}")
