"""Checks of what users give: each refusal is one sentence that names the argument."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeGuard

from fem_models.core.errors import InputError
from fem_models.core.suggestions import nearest


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number and no truth value.

    Args:
        value: The candidate.

    Returns:
        Whether it is.
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def finite(value: object, what: str) -> float:
    """Refuse what is no finite number.

    Args:
        value: The candidate.
        what: What it is for the user, to begin the message with.

    Returns:
        The number.

    Raises:
        InputError: It is none.
    """
    if not is_number(value) or not math.isfinite(value):
        raise InputError(f"{what} must be a finite number, not {named(value)}.")
    return value


def positive(value: object, what: str) -> float:
    """Refuse what is no positive finite number.

    Args:
        value: The candidate.
        what: What it is for the user, to begin the message with.

    Returns:
        The number.

    Raises:
        InputError: It is none.
    """
    if not is_number(value) or not 0.0 < value < math.inf:
        raise InputError(f"{what} must be a positive finite number, not {named(value)}.")
    return value


def whole(value: Any, what: str, least: int) -> int:
    """Refuse what is no whole number of some size.

    Args:
        value: The candidate.
        what: What it is for the user, to begin the message with.
        least: The smallest number that passes.

    Returns:
        The number.

    Raises:
        InputError: It is none, or is smaller.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{what} must be a whole number of at least {least}, not {named(value)}.")
    return int(value)


def one_of(value: Any, known: Sequence[str], what: str) -> None:
    """Refuse what is none of some names.

    Args:
        value: The candidate.
        known: The names.
        what: What it is for the user, to begin the message with.

    Raises:
        InputError: It is none of them.
    """
    if value not in known:
        guess = nearest(value, known) if isinstance(value, str) else None
        hint = f"; did you mean {guess}?" if guess else "."
        raise InputError(f"{what} must be one of {', '.join(known)}, not {named(value)}{hint}")


def options(value: Any, what: str) -> None:
    """Refuse what are no options of PETSc by name.

    Args:
        value: The candidate.
        what: What it is for the user, to begin the message with.

    Raises:
        InputError: It is no mapping from texts.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(f'{what} must be options by name, as {{"ksp_type": "cg"}}, not {named(value)}.')


def named(value: object) -> str:
    """A value for a message: itself where that is short, otherwise its kind.

    Args:
        value: Anything.

    Returns:
        A noun.
    """
    if value is None or isinstance(value, str | Real):
        return repr(value)
    kind = type(value).__name__
    return f"the class {value.__name__}" if isinstance(value, type) else f"{_article(kind)} {kind}"


def _article(noun: str) -> str:
    # A name whose first letter is spoken by itself, as that of ndarray, takes "an", too.
    return "an" if noun[:1] in "AEIOaeio" or noun.startswith("nd") else "a"
