"""Formulas given as text, by run files and to builders: parsed with a whitelist, evaluated in UFL and NumPy."""

from fem_models.expressions.expression import Expression

__all__ = ["Expression"]
