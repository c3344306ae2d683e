"""Formulas given as text, in run files and to builders: parsed with a whitelist, for UFL and NumPy."""

from fem_models.expressions.expression import Expression

__all__ = ["Expression"]
