"""The command line: `fem-models run`, `plot`, `show`, `list`, `lbb` and `distance`.

Exit codes: 0 all is well, 2 bad input (one sentence, nothing left behind), 3 a failed solve and 128 plus the
number of the signal that interrupted a run (everything computed so far is kept), 1 a fault of the program.
What takes long to import is imported by the command that needs it.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fem_models import __version__
from fem_models.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from fem_models.run.config_io import Entry
    from fem_models.run.runner import Outcome, Outcomes

BAD_INPUT, FAILED_SOLVE, SIGNALLED = 2, 3, 128

# Wrong usage of any kind; typer's own name for it depends on its version.
_UsageError = typer.BadParameter.__base__

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Finite-element gradient flows in the Wasserstein metric.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; that of this process by default.

    Returns:
        The exit code, the same on every rank.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return app(given, prog_name="fem-models", standalone_mode=False) or 0
    except InputError as error:
        return _refuse(str(error))
    except _UsageError as error:
        problem = error.format_message().rstrip(".")
        return _refuse(
            f"{problem} (`fem-models --help` tells what is allowed; options of PETSc come after `--`)."
        )
    except KeyboardInterrupt:
        return _end_all(SIGNALLED + 2, "Interrupted.")
    except Exception:
        return _end_all(1, traceback.format_exc())


def _refuse(sentence: str) -> int:
    from mpi4py import MPI

    if MPI.COMM_WORLD.rank == 0:
        print(sentence, file=sys.stderr, flush=True)
    return BAD_INPUT


def _end_all(code: int, text: str) -> int:
    """End this rank, and with it the others, which would wait for it forever."""
    from mpi4py import MPI

    print(text, file=sys.stderr, flush=True)
    if MPI.COMM_WORLD.size > 1:
        MPI.COMM_WORLD.Abort(code)
    return code


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="The run file (.toml).")],
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
) -> int:
    """Run a run file and write a run directory."""
    given = _petsc_options(options or [])
    import petsc4py

    # Before anything else initialises PETSc: some options, such as -log_view, are read only then.
    petsc4py.init(["fem-models", *(options or [])])
    from mpi4py import MPI
    from rich.console import Console

    from fem_models.run.config_io import load
    from fem_models.run.config_tables import PETSC_PREFIXES
    from fem_models.run.layout import default_directory
    from fem_models.run.ranks import on_rank_zero
    from fem_models.run.runner import run as run_all

    comm = MPI.COMM_WORLD
    # PETSc has the options; here they become part of what run.toml repeats.
    recorded = [f"solver.{name}={value}" for name, value in given if name.startswith(PETSC_PREFIXES)]
    config = on_rank_zero(comm, lambda: load(file, [*(set_ or ()), *recorded]))
    directory = out or default_directory(file)
    console = Console() if comm.rank == 0 else None
    outcomes = run_all(config, directory, overwrite, comm, console)
    if console is not None:
        _tell(console, outcomes)
    if outcomes.failure is not None:
        return FAILED_SOLVE
    stop = outcomes.runs[-1].stop
    return SIGNALLED + stop.signal if stop.signal else 0


def _petsc_options(arguments: list[str]) -> list[tuple[str, str]]:
    """Pairs of a name without dash and a value (empty for none), by PETSc's rule for what is a name.

    Raises:
        InputError: Something that is neither an option nor the value of one.
    """
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
        again = f"`fem-models plot {outcomes.runs[0].directory}` draws it"
        print(f"What was computed is in {failed.directory}; {again}.", file=sys.stderr, flush=True)


def _block(outcome: "Outcome") -> list[str]:
    """The numbers of a run, for people."""
    summary = outcome.summary
    energy, species = summary["energy"], summary["species"]
    steady = "" if energy["steady"] is None else f", steady {energy['steady']:.8g}"
    rate = "" if energy["rate"] is None else f", decay rate {energy['rate']:.6g}"
    densities = {name: s for name, s in species.items() if s["mass_drift"] is not None}
    lines = [
        str(outcome.directory),
        _line("energy", f"{energy['initial']:.8g} to {energy['final']:.8g}{steady}{rate}"),
        _line("mass drift", ", ".join(f"{name} {s['mass_drift']:.1e}" for name, s in densities.items())),
        _line("minimum", ", ".join(f"{name} {s['min']:.3g}" for name, s in species.items())),
    ]
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
    lines.append(_line("seconds", f"{summary['wall_seconds']['total']:.2f} on {summary['ranks']} ranks"))
    return lines


def _line(key: str, text: str) -> str:
    return f"  {key:<11}{text}"


@app.command()
def plot(directory: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Draw the figures of a run directory again."""
    from fem_models import plotting

    for figure in plotting.draw(directory):
        print(figure)


@app.command()
def show(
    file: Annotated[Path | None, typer.Argument(help="A run file; without one, all keys there are.")] = None,
) -> None:
    """List every key of a run file with its value, its default and its meaning."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fem_models.run.config_io import Entry, describe, load

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


@app.command("list")
def list_() -> None:
    """List what a run file can name, and the meshes and run files that are here."""
    from fem_models.run.catalogue import catalogue_text

    print(catalogue_text())


@app.command()
def lbb(
    pair: Annotated[
        list[str] | None, typer.Option(help="A pair potential-flux, such as P1-DG0; all by default.")
    ] = None,
    cells: Annotated[
        list[str] | None, typer.Option(help="Cells across the domain, one number a mesh: 4,8,12,16.")
    ] = None,
    domain: Annotated[str, typer.Option(help="interval, rectangle, box, disk or ball.")] = "rectangle",
    weight: Annotated[
        str,
        typer.Option(
            help="q, an expression in x, y, z; by default 0.05 + exp(-20 d**2), d the way from the centre."
        ),
    ] = "",
    slabs: Annotated[int, typer.Option(help="Slabs of the whole constraint.")] = 1,
    transport: Annotated[str, typer.Option(help="φ of the transport h∇φ, an expression in x, y, z.")] = "0",
    duration: Annotated[float, typer.Option(help="Δt of the whole constraint.")] = 1.0,
    out: Annotated[
        Path | None, typer.Option(help="The directory; runs/output/lbb where there is a folder runs.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results there.")] = False,
) -> int:
    """Compute inf-sup (LBB) constants of element pairs for the linearised JKO problem."""
    from mpi4py import MPI
    from rich.console import Console

    from fem_models.run import lbb as constants
    from fem_models.run.layout import default_directory

    comm = MPI.COMM_WORLD
    console = Console() if comm.rank == 0 else None
    counts = constants.counts_of(cells or ["4,8,12,16"])
    request = constants.Request(tuple(pair or ()), counts, domain, weight, slabs, transport, duration)
    directory = out or default_directory(Path("lbb"))
    return _told(
        console, lambda: constants.compute(request, directory, overwrite, comm, console), constants.tell
    )


@app.command()
def distance(
    first: Annotated[Path, typer.Argument(metavar="DIR_A", help="A run directory.")],
    second: Annotated[Path, typer.Argument(metavar="DIR_B", help="Another, or the same.")],
    time_a: Annotated[
        float | None, typer.Option(help="A written time of DIR_A; the last by default.")
    ] = None,
    time_b: Annotated[
        float | None, typer.Option(help="A written time of DIR_B; the last by default.")
    ] = None,
    species: Annotated[str | None, typer.Option(help="The density, where a run has several.")] = None,
    slabs: Annotated[int, typer.Option(help="Slabs of the geodesic, 2 or more.")] = 8,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The directory; runs/output/distance_A_B where there is a folder runs, else in output."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results there.")] = False,
) -> int:
    """Compute the Wasserstein distance between densities of two runs, and the geodesic."""
    from mpi4py import MPI
    from rich.console import Console

    from fem_models.run import distance as distances

    comm = MPI.COMM_WORLD
    console = Console() if comm.rank == 0 else None
    ends = (distances.Request(first, time_a, species), distances.Request(second, time_b, species))
    options = {"slabs": slabs, "out": out, "overwrite": overwrite}
    return _told(console, lambda: distances.compute(*ends, comm, console, **options), distances.tell)


def _told[T](
    console: "Console | None", compute: Callable[[], T], tell: "Callable[[Console, T], None]"
) -> int:
    """Compute something, on all ranks, and tell what came out, or why nothing did; the exit code."""
    from fem_models.errors import SolveError

    try:
        findings = compute()
    except SolveError as error:
        if console is not None:
            print(error, file=sys.stderr, flush=True)
        return FAILED_SOLVE
    if console is not None:
        tell(console, findings)
    return 0
