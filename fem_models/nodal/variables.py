"""Variables of UFL to differentiate by, with labels that do not change from one form to the next."""

from __future__ import annotations

from collections.abc import Iterable

from ufl.classes import Label, Variable
from ufl.core.expr import Expr


def variables(expressions: Iterable[Expr]) -> list[Variable]:
    """A variable for each of some expressions.

    `ufl.variable` counts its labels up, and every form with its variables would be compiled anew. Here they
    are numbered from 0: variables of different calls must not meet in one expression.

    Args:
        expressions: UFL expressions.

    Returns:
        The variables, in the same order.
    """
    return [Variable(expression, Label(number)) for number, expression in enumerate(expressions)]
