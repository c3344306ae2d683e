"""The command line."""

import sys
from collections.abc import Sequence

from fem_models.core.errors import InputError
from fem_models.core.extras import require, require_dolfinx

ALONE = {"status", "submit"}
"""Commands of one process, without DOLFINx and without MPI, which may not start on a login node."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; that of this process by default.

    Returns:
        The exit code, the same on every rank.
    """
    # Here `list` is the module of that command.
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    try:
        for library in ("typer", "rich"):
            require(library, extra="run", what="Commands of fem-models")
        # Some commands do without it, on a login node for instance.
        if not ALONE.intersection(given[:1]):
            require_dolfinx()
    except InputError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    from fem_models.cli import app

    return app.main(given)
