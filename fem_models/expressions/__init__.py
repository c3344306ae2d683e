"""Formulas given as text, in run files and to builders: parsed with a whitelist, for UFL and NumPy."""

from fem_models.expressions.expression import Expression
from fem_models.expressions.functions import COORDINATES, FunctionOfX, as_ufl, at_points

__all__ = ["COORDINATES", "Expression", "FunctionOfX", "as_ufl", "at_points"]
