"""The command line."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; that of this process by default.

    Returns:
        The exit code, the same on every rank.
    """
    try:
        from fem_models.cli import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sentence = f"The command line needs {error.name}: pip install 'fem-models[run]'."
        print(sentence, file=sys.stderr, flush=True)
        return 2
    return app.main(arguments)
