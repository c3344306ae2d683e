"""Checks of what users give for q, φ and the loads of a linearised problem."""

from __future__ import annotations

import numpy as np
import ufl
from dolfinx.mesh import Mesh
from ufl.algorithms import extract_coefficients
from ufl.classes import (
    Conditional,
    Curl,
    Div,
    GeometricQuantity,
    Grad,
    NablaDiv,
    NablaGrad,
    ScalarValue,
    Zero,
)
from ufl.core.expr import Expr
from ufl.corealg.traversal import unique_pre_traversal

from fem_models.core.errors import InputError
from fem_models.expressions.functions import require_mesh

_SLOPES = (Grad, NablaGrad, Div, NablaDiv, Curl)


def require_shape(expression: Expr, mesh: Mesh, name: str, shape: tuple[int, ...] = ()) -> None:
    """Refuse data of another shape, or on another mesh.

    Args:
        expression: The data as UFL.
        mesh: The mesh of the problem.
        name: Of the data, for the message.
        shape: What it must have: () for a scalar.

    Raises:
        InputError: It has another shape, or functions of another mesh.
    """
    if expression.ufl_shape != shape:
        what = f"a vector of {shape[0]} components" if shape else "a scalar"
        raise InputError(f"{name} must be {what}: its shape is {expression.ufl_shape}, not {shape}.")
    require_mesh(expression, mesh, name)


def require_continuous(expression: Expr, name: str) -> None:
    """Refuse data that jump at facets, by what is in their formula.

    Args:
        expression: The data, a UFL scalar; compositions of the coordinates are taken for continuous.
        name: Of the data, for the message.

    Raises:
        InputError: It has a function of a discontinuous space, a derivative of a function of finite elements,
            a geometric quantity of cells, or two different constants by a condition.
    """
    if reason := _jump(expression):
        raise InputError(f"{name} must be continuous, for the problem needs its gradient: it has {reason}.")


def _jump(expression: Expr) -> str:
    """What jumps at facets, in words; nothing where all is continuous."""
    for part in unique_pre_traversal(expression):
        if isinstance(part, _SLOPES) and extract_coefficients(part):
            return "a derivative of a function of finite elements, which jumps at facets"
        if isinstance(part, GeometricQuantity) and not isinstance(part, ufl.classes.SpatialCoordinate):
            return f"the {type(part).__name__} of cells, which jumps at facets"
        if isinstance(part, Conditional) and _constants_differ(*part.ufl_operands[1:]):
            return "two different constants by a condition, which jumps where the condition changes"
        if isinstance(part, ufl.Coefficient) and part.ufl_element() not in ufl.H1:
            return "a function of a discontinuous space; interpolate it in one of Lagrange elements"
    return ""


def _constants_differ(one: Expr, other: Expr) -> bool:
    """Whether two expressions are numbers, and different ones."""
    return isinstance(one, ScalarValue | Zero) and isinstance(other, ScalarValue | Zero) and one != other


def require_positive(least: float, what: str, where: str) -> None:
    """Refuse a value that must be positive.

    Args:
        least: The least value, the same on all ranks.
        what: It is, for the message.
        where: It is, for the message.

    Raises:
        InputError: It is not positive, or not finite.
    """
    if not 0.0 < least < np.inf:
        found = f"its least value is {least:.3g}" if np.isfinite(least) else "it is not finite"
        raise InputError(f"{what} must be positive at every point: {where}, {found}.")
