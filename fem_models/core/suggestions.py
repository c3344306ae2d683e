"""What was probably meant by a name that is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like another one.

    Args:
        name: The other one.
        known: The known names.

    Returns:
        The nearest of them; None if none is near.
    """
    close = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def choices(name: str, known: Iterable[str]) -> str:
    """Which name was probably meant, and which ones there are.

    Args:
        name: The unknown name.
        known: The known names.

    Returns:
        The end of a sentence, without its full stop.
    """
    known = sorted(known)
    guess = nearest(name, known)
    listing = f"llowed: {', '.join(known)}"
    return f"did you mean {guess}? A{listing}" if guess else f"a{listing}"
