"""`fem-models run` and `fem-models resume`."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from fem_models.cli.completion import run_files
from fem_models.cli.outcomes import FAILED, SIGNALLED
from fem_models.core.durations import duration, left_of_job, walltime_seconds
from fem_models.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from fem_models.run.runner import Outcome, Outcomes


def run(
    file: Annotated[Path, typer.Argument(help="The run file (.toml).", autocompletion=run_files)],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- PETSC OPTIONS]", help="Options for PETSc, such as -snes_monitor."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run directory; runs/output/STEM where there is a folder runs, else output/STEM."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key, as in time.step=0.1.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run there.")] = False,
    walltime: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Stop in time, as in 3600 or 1:00:00; unless given, as the job's scheduler says.",
        ),
    ] = None,
) -> int:
    """Run a run file and write a run directory."""
    given = petsc_options(options or [])
    from mpi4py import MPI
    from rich.console import Console

    from fem_models.config.io import load
    from fem_models.config.tables import PETSC_PREFIXES
    from fem_models.core.parallel import on_rank_zero
    from fem_models.results.layout import default_directory
    from fem_models.run.runner import run as run_all

    comm = MPI.COMM_WORLD
    # PETSc has the options; here they become part of what run.toml repeats.
    recorded = [f"solver.{name}={value}" for name, value in given if name.startswith(PETSC_PREFIXES)]
    config = on_rank_zero(comm, lambda: load(file, [*(set_ or ()), *recorded]))
    directory = out or default_directory(file)
    console = Console() if comm.rank == 0 else None
    outcomes = run_all(config, directory, overwrite, comm, console, draw, time_limit(walltime, console))
    return told_of(console, outcomes)


def resume(
    directory: Annotated[Path, typer.Argument(help="The run directory.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- PETSC OPTIONS]", help="Options for PETSc, such as -snes_monitor."),
    ] = None,
    end: Annotated[float | None, typer.Option(help="A later time to go on to, dimensionless.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a key, as in time.step=0.1 or output.dpi=300."
        ),
    ] = None,
    walltime: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Stop in time, as in 3600 or 1:00:00; unless given, as the job's scheduler says.",
        ),
    ] = None,
) -> int:
    """Go on with a run that was stopped, from its latest checkpoint, on any number of ranks."""
    petsc_options(options or [])
    from mpi4py import MPI
    from rich.console import Console

    from fem_models.run.resume import resume as resume_all

    comm = MPI.COMM_WORLD
    console = Console() if comm.rank == 0 else None
    limit = time_limit(walltime, console)
    return told_of(console, resume_all(directory, end, comm, console, draw, limit, set_ or ()))


def told_of(console: "Console | None", outcomes: "Outcomes") -> int:
    """Say what came of a run.

    Args:
        console: Where to say it; None on all ranks but one.
        outcomes: What came of it.

    Returns:
        The exit code.
    """
    if console is not None:
        _tell(console, outcomes)
    if outcomes.failure is not None:
        return FAILED
    stop = outcomes.runs[-1].stop
    return SIGNALLED + stop.signal if stop.signal else 0


def time_limit(walltime: str | None, console: "Console | None") -> float | None:
    """The seconds a run may take: by `--walltime`, or else by what the scheduler of its job says.

    Args:
        walltime: What was given, if it was.
        console: Where a limit by the scheduler is announced; None on all ranks but one.

    Returns:
        Seconds; None where nothing limits them.

    Raises:
        InputError: What was given is no time.
    """
    if walltime is not None:
        return walltime_seconds(walltime)
    if (found := left_of_job(os.environ, time.time())) is None:
        return None
    seconds, variable = found
    if console is not None:
        text = f"time limit: {duration(seconds)}, by {variable} of the job; --walltime sets another"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    return seconds


def draw(directory: Path) -> Sequence[Path]:
    """Draw the figures of a run directory. On one process.

    Args:
        directory: The directory.

    Returns:
        The pictures.
    """
    # Drawing takes long to import, and only one process draws.
    from fem_models import plotting

    return plotting.draw(directory)


def petsc_options(arguments: list[str]) -> list[tuple[str, str]]:
    """Hand options to PETSc, before anything else initialises it.

    Args:
        arguments: The words of the command line.

    Returns:
        Pairs of a name without dash and a value (empty for none), by PETSc's rule for what is a name.

    Raises:
        InputError: Something that is neither an option nor the value of one.
    """
    found = _pairs(arguments)
    import petsc4py

    # Some options, such as -log_view, are read only now.
    petsc4py.init(["fem-models", *arguments])
    # PETSc would abort where whoever reads its output, such as `head`, has had enough of it.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return found


def _pairs(arguments: list[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    wants_value = False
    for argument in arguments:
        name = argument.lstrip("-")
        if argument.startswith("-") and name[:1].isalpha():
            found.append((name, ""))
            wants_value = True
        elif wants_value:
            found[-1] = (found[-1][0], argument)
            wants_value = False
        else:
            raise InputError(
                f'"{argument}" is one argument too many; give one run file, and PETSc options after `--`, '
                "as in `-- -ksp_type gmres`."
            )
    return found


def _tell(console: "Console", outcomes: "Outcomes") -> None:
    """Say what came of a run and where it is."""

    def say(text: str, stream: "Console" = console) -> None:
        stream.print(text, markup=False, highlight=False, soft_wrap=True)

    for outcome in outcomes.runs:
        for text in outcome.summary["warnings"]:
            say(f"warning: {text}")
        say("\n".join(_block(outcome)))
    if outcomes.figures:
        say(_line("pictures", ", ".join(map(str, outcomes.figures))))
    if outcomes.note:
        say(f"warning: {outcomes.note}")
    if (failed := outcomes.failure) is not None:
        print(failed.stop.report, file=sys.stderr)
        if failed.directory.is_dir():
            again = f"`fem-models plot {quote(str(outcomes.runs[0].directory))}` draws it"
            print(f"What was computed is in {failed.directory}; {again}.", file=sys.stderr, flush=True)
    elif outcomes.runs[-1].stop.reason in ("walltime", "interrupted"):
        say(f"`fem-models resume {quote(str(outcomes.runs[0].directory))}` goes on")


def _block(outcome: "Outcome") -> list[str]:
    """The numbers of a run, for people."""
    from fem_models.results.layout import LOG

    summary = outcome.summary
    lines = [str(outcome.directory)]
    # Other models than gradient flows need have no energy and no species.
    if energy := summary.get("energy"):
        steady = "" if energy["steady"] is None else f", steady {energy['steady']:.8g}"
        rate = "" if energy["rate"] is None else f", decay rate {energy['rate']:.6g}"
        lines.append(_line("energy", f"{energy['initial']:.8g} to {energy['final']:.8g}{steady}{rate}"))
    if species := summary.get("species"):
        drifts = {name: s["mass_drift"] for name, s in species.items() if s["mass_drift"] is not None}
        lines.append(_line("mass drift", ", ".join(f"{name} {drift:.1e}" for name, drift in drifts.items())))
        lines.append(_line("minimum", ", ".join(f"{name} {s['min']:.3g}" for name, s in species.items())))
    if "error" in summary:
        errors = summary["error"]
        by_name = {"": errors} if "l1" in errors else errors
        texts = [
            f"{name} {', '.join(f'{norm} {value:.3g}' for norm, value in norms.items())}".strip()
            for name, norms in by_name.items()
        ]
        lines.append(_line("error", "; ".join(texts)))
    steps = f"{summary['steps']} to t = {summary['time']:g} ({summary['stop_reason']})"
    iterations = f"{summary['newton_iterations']} Newton, {summary['linear_iterations']} linear iterations"
    lines.append(_line("steps", f"{steps}, {iterations}"))
    if outcome.stop.reason == "failed":
        lines.append(_line("failed", f"{outcome.directory / LOG} says why"))
    lines.append(_line("seconds", f"{summary['wall_seconds']['total']:.2f} on {summary['ranks']} ranks"))
    return lines


def _line(key: str, text: str) -> str:
    return f"  {key:<11}{text}"
