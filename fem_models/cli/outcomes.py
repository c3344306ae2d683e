"""Exit codes, and how a command that computes something ends."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

BAD_INPUT, FAILED, SIGNALLED = 2, 3, 128


def told[T](console: "Console | None", compute: Callable[[], T], tell: "Callable[[Console, T], None]") -> int:
    """Compute something, on all ranks, and tell what came out, or why nothing did.

    Args:
        console: Where to tell it; None on all ranks but one.
        compute: What computes; it may raise SolveError.
        tell: What prints that.

    Returns:
        The exit code.
    """
    from fem_models.core.errors import SolveError

    try:
        findings = compute()
    except SolveError as error:
        if console is not None:
            print(error, file=sys.stderr, flush=True)
        return FAILED
    if console is not None:
        tell(console, findings)
    return 0
