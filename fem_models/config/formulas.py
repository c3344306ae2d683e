"""The expressions of run files: in which variables they are, and how they become functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fem_models.expressions import Expression

COORDINATES = ("x", "y", "z", "r")

COORDINATES_AND_TIME = (*COORDINATES, "t")
"""The variables of potentials that may change in time."""

SPECIES = ("(species)",)
"""Stands for the names of the species in the variables of an expression."""

Formulas = Iterator[tuple[str, str, tuple[str, ...]]]
"""Key, text and variables of expressions."""


def formula(
    text: str, where: str, constants: Mapping[str, float], variables: tuple[str, ...] = ()
) -> Expression:
    """An expression in the coordinates and other variables.

    Args:
        text: As it is written.
        where: The beginning of sentences about it.
        constants: Numbers that it may name.
        variables: Names besides the coordinates.

    Returns:
        The expression.

    Raises:
        InputError: It is no expression, or names something else.
    """
    from fem_models.expressions import Expression  # here: it brings UFL, which takes a while to import

    return Expression(text, (*COORDINATES, *variables), constants, where=where)
