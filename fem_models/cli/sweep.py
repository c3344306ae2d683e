"""`fem-models sweep`."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fem_models.cli.completion import run_files
from fem_models.cli.outcomes import FAILED, SIGNALLED
from fem_models.cli.run import draw, petsc_options, time_limit, told_of
from fem_models.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from fem_models.run.sweep_jobs import Swept


def sweep(
    file: Annotated[Path, typer.Argument(help="A run file with [sweep].", autocompletion=run_files)],
    out: Annotated[
        Path | None,
        typer.Option(help="The directory; runs/output/STEM where there is a folder runs, else output/STEM."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="How many points run at a time; one by default.")
    ] = None,
    ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of each point.")] = 1,
    point: Annotated[int | None, typer.Option(min=1, help="Run this point only, counted from 1.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key, as in time.step=0.1.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Run points again that are there.")] = False,
    walltime: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop in time, as in 3600 or 1:00:00.")
    ] = None,
) -> int:
    """Run the points of a sweep, each as a process of its own; those that have ended are not run again."""
    petsc_options([])
    from mpi4py import MPI
    from rich.console import Console

    from fem_models.config.io import load
    from fem_models.core.parallel import on_rank_zero
    from fem_models.results.layout import default_directory

    comm = MPI.COMM_WORLD
    _check(jobs, ranks, point, comm.size)
    if point is not None and ranks > comm.size:
        words = ["--point", str(point), *(["--out", str(out)] if out else []), *["--overwrite"] * overwrite]
        words += [word for text in set_ or () for word in ("--set", text)]
        return _on_ranks(ranks, [str(file), *words, *(["--walltime", walltime] if walltime else [])])
    # A point among thousands need not check the others.
    config = on_rank_zero(comm, lambda: load(file, set_ or (), check_variants=point is None))
    directory = out or default_directory(file)
    console = Console() if comm.rank == 0 else None
    limit = time_limit(walltime, console)
    if point is None:
        from fem_models.run.sweep_jobs import run_sweep

        found = run_sweep(config, directory, jobs or 1, ranks, overwrite, console, draw, limit)
        return _told(Console(), directory, found)
    from fem_models.run.points import run_point

    outcomes = run_point(config, directory, point, overwrite, comm, console, limit)
    if outcomes is not None:
        return told_of(console, outcomes)
    if console is not None:
        _say(console, f"point {point} has come to its end before")
    return 0


def _check(jobs: int | None, ranks: int, point: int | None, size: int) -> None:
    """Refuse options that do not go together."""
    if point is not None and jobs is not None:
        raise InputError("--jobs does not go with --point, which runs one point only: leave one of them out.")
    if size > 1 and point is None:
        raise InputError(
            f"A sweep starts its own processes: call it without mpiexec, with --ranks {size} for each point."
        )
    if size > 1 and ranks not in (1, size):
        raise InputError(f"--ranks {ranks} does not go with mpiexec on {size} processes: leave it out.")


def _on_ranks(ranks: int, words: Sequence[str]) -> int:
    """Call this command again, on several ranks."""
    from fem_models.run.sweep_jobs import launcher

    command = [*launcher(ranks), sys.executable, "-m", "fem_models", "sweep", *words]
    # Signals come from here alone: whoever types Ctrl-C means both.
    process = subprocess.Popen(command, env=dict(os.environ), start_new_session=True)

    def hand_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    usual: dict[int, Any] = {number: signal.signal(number, hand_on) for number in handled}
    try:
        return process.wait()
    finally:
        for known, handler in usual.items():
            signal.signal(known, handler)


def _told(console: "Console", directory: Path, found: "Swept") -> int:
    """Say what came of a sweep; returns the exit code."""
    from fem_models.results.layout import RUN_FILE, SWEEP

    counts = [f"{len(found.those(how))} {how}" for how in ("ended", "failed", "stopped") if found.those(how)]
    _say(console, str(directory))
    _say(console, f"  {'points':<11}{', '.join(counts)}")
    _say(console, f"  {'table':<11}{directory / SWEEP}")
    if found.figures:
        _say(console, f"  {'pictures':<11}{', '.join(map(str, found.figures))}")
    if found.note:
        _say(console, f"warning: {found.note}")
    if found.those("stopped"):
        again = f"{quote(str(directory / RUN_FILE))} --out {quote(str(directory))}"
        _say(console, f"`fem-models sweep {again}` goes on")
    for item in found.those("failed"):
        # Sentences; what is none is a fault of the program, to be seen whole.
        text = item.report if "Traceback" in item.report else item.report.splitlines()[0]
        print(f"{item.point.directory}: {text}", file=sys.stderr, flush=True)
    if found.signal and found.signal != signal.SIGUSR1:
        return SIGNALLED + found.signal
    return FAILED if found.those("failed") else 0


def _say(console: "Console", text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
