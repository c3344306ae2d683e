"""The command line: `fem-models run`, `resume`, `submit`, `status` and the others below.

Exit codes: 0 all is well, 2 bad input (one sentence, nothing left behind), 3 a failed solve or a full disk
and 128 plus the number of the signal that interrupted a run (everything computed so far is kept), 1 a fault
of the program.
What takes long to import is imported by the command that needs it.
"""

import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer

from fem_models._version import __version__
from fem_models.cli import ALONE
from fem_models.cli.compile import compile_
from fem_models.cli.distance import distance
from fem_models.cli.lbb import lbb
from fem_models.cli.list import list_
from fem_models.cli.movie import movie
from fem_models.cli.outcomes import BAD_INPUT, FAILED, SIGNALLED
from fem_models.cli.plot import plot
from fem_models.cli.report import report
from fem_models.cli.run import resume, run
from fem_models.cli.show import show
from fem_models.cli.status import status
from fem_models.cli.submit import submit
from fem_models.cli.sweep import sweep
from fem_models.core.errors import InputError, OutputError, SolveError

# Wrong usage of any kind; typer's own name for it depends on its version.
_UsageError = cast("type[BaseException]", typer.BadParameter.__base__)

# Seconds.
_PASSED_ON = 0.2

# One dash, and words joined as PETSc's names are.
_PETSC = re.compile(r"-[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)+")

app = typer.Typer(
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
        return _refuse(str(error), given)
    except (OutputError, SolveError) as error:
        return _refuse(str(error), given, FAILED)
    except _UsageError as error:
        return _refuse(_usage(cast("Any", error), given), given)
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has had enough of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _end_all(SIGNALLED + signal.SIGPIPE, "The reader of the output is gone.", given)
    except KeyboardInterrupt:
        return _end_all(SIGNALLED + 2, "Interrupted.", given)
    except Exception:
        return _end_all(1, traceback.format_exc(), given)


def _usage(error: Any, given: Sequence[str]) -> str:
    """A sentence about wrong usage."""
    before = given[: given.index("--")] if "--" in given else given
    if petsc := next((argument for argument in before if _PETSC.fullmatch(argument)), None):
        return f"{petsc} is an option of PETSc: those come last, after `--`, as in `-- {petsc}`."
    command = error.ctx.command_path if error.ctx is not None else "fem-models"
    return f"{error.format_message().rstrip('.')} (`{command} --help` tells what is allowed)."


def _refuse(sentence: str, given: Sequence[str], code: int = BAD_INPUT) -> int:
    rank, size = _ranks(given)
    if size > 1:
        from mpi4py import MPI

        from fem_models.core.parallel import together

        if not together(MPI.COMM_WORLD):
            return _end_all(code, sentence, given)
    if rank == 0:
        print(sentence, file=sys.stderr, flush=True)
    return code


def _end_all(code: int, text: str, given: Sequence[str]) -> int:
    """End this rank, and with it the others, which would wait for it forever."""
    print(text, file=sys.stderr, flush=True)
    if _ranks(given)[1] > 1:
        from mpi4py import MPI

        # Until the launcher has passed on what was printed.
        time.sleep(_PASSED_ON)
        MPI.COMM_WORLD.Abort(code)
    return code


def _ranks(given: Sequence[str]) -> tuple[int, int]:
    """The rank of this process, and how many there are."""
    if ALONE.intersection(given[:1]):
        return 0, 1
    from mpi4py import MPI

    return MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size


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


for _command in (
    *(run, resume, sweep, submit, status),
    *(plot, movie, report, show, lbb, distance),
):
    app.command()(_command)
app.command("compile")(compile_)
app.command("list")(list_)
