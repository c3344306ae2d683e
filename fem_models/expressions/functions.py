"""Functions of the position that users give: numbers, text, UFL or NumPy, turned into what is needed.

Two things are needed of such a function: an expression in UFL, where it becomes a part of an energy, or
values at points, as for initial densities and kernels. Text has both, and so do functions that use arithmetic
alone.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any

import basix.ufl
import numpy as np
import numpy.typing as npt
import ufl
from ufl.core.expr import Expr
from ufl.domain import extract_domains

from fem_models.core.checks import named
from fem_models.core.errors import InputError
from fem_models.expressions.explicit_time import time_on
from fem_models.expressions.expression import Expression

if TYPE_CHECKING:
    from dolfinx.mesh import Mesh

COORDINATES = ("x", "y", "z", "r")
"""The names of the coordinates in text, and of the distance r from the origin."""

FunctionOfX = float | str | Expression | Expr | Callable[[Any], Any]
"""A number; text such as "where(x > 0.5, 1, 0)" (see `Expression`); a UFL expression; or a function of x,
with UFL functions (x is a UFL vector) or with NumPy functions (x has the shape (dim, n))."""

_Values = npt.NDArray[np.float64]

_CELLS = {1: "interval", 2: "triangle", 3: "tetrahedron"}


class WrittenInUflError(InputError):
    """A function is written in UFL, but values at points are needed."""


def as_ufl(given: FunctionOfX, x: Expr, what: str, scalar: bool = True) -> Expr:
    """A function of the position as a UFL expression.

    Args:
        given: A number, text, a UFL expression, or a function of x with UFL functions or arithmetic alone;
            the time t in text is that of the mesh, see `fem_models.expressions.explicit_time`.
        x: The coordinates, a UFL vector.
        what: What it is for the user, to begin messages with.
        scalar: Whether tensors are refused.

    Returns:
        A UFL expression, dimensionless.

    Raises:
        InputError: It is something else, or cannot be evaluated.
    """
    value: Any = given
    if isinstance(given, str):
        given = Expression(given, (*COORDINATES, "t"), where=what)
    if isinstance(given, Expression):
        value = given.ufl(x, t=time_on(x) if given.uses_time else None)
    elif callable(given) and not isinstance(given, Expr):
        value = _called(given, x, what)
    if isinstance(value, Real) and not isinstance(value, bool):
        value = ufl.as_ufl(value if isinstance(value, int | float) else float(value))
    if not isinstance(value, Expr):
        got = "gives" if callable(given) else "is"
        raise InputError(
            f"{what} must be a number, text, or a function of x in UFL, but it {got} {named(value)}."
        )
    if scalar and value.ufl_shape != ():
        raise InputError(f"{what} must be a scalar, but it has the shape {value.ufl_shape}.")
    return value


def require_mesh(expression: Expr, mesh: Mesh, what: str) -> None:
    """Refuse an expression with functions or coordinates of another mesh.

    Args:
        expression: In UFL.
        mesh: The mesh.
        what: What it is for the user, to begin messages with.

    Raises:
        InputError: It has some.
    """
    if any(domain != mesh.ufl_domain() for domain in extract_domains(expression)):
        raise InputError(
            f"{what} has functions of another mesh: interpolate them on this one first, as "
            "DOLFINx's interpolate_nonmatching does."
        )


def at_points(given: FunctionOfX | _Values, points: _Values, what: str) -> _Values:
    """The values of a function of the position at points.

    Args:
        given: A number, text, a function of x with NumPy functions or arithmetic alone, or the values.
        points: Shape (dim, n).
        what: What it is for the user, to begin messages with.

    Returns:
        Values of shape (n,), dimensionless; not a number where the function is none.

    Raises:
        WrittenInUflError: It is a UFL expression, or a function of x in UFL.
        InputError: It is something else, or cannot be evaluated.
    """
    value: Any = given
    if isinstance(given, str):
        return Expression(given, COORDINATES, where=what).numpy(points)
    if isinstance(given, Expression):
        return given.numpy(points)
    if callable(given) and not isinstance(given, Expr):
        value = _called(given, points, what)
    if isinstance(value, Expr):
        raise _written_in_ufl(what)
    values = _array(value)
    if values is None or values.dtype.kind not in "biuf":
        got = "gives" if callable(given) else "is"
        raise InputError(
            f"{what} must be a number, text, or a function of x in NumPy, but it {got} {named(value)}."
        )
    count = points.shape[1]
    if values.shape not in ((), (1,), (count,)):
        raise InputError(
            f"{what} must have one value for each of {count} points, but its values have the shape "
            f"{values.shape}."
        )
    return np.array(np.broadcast_to(values, (count,)), dtype=np.float64)


def _array(value: Any) -> npt.NDArray[Any] | None:
    """A value as an array; None where it is ragged."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return None


def _called(function: Callable[[Any], Any], x: Any, what: str) -> Any:
    """The function of x; where that fails, a sentence that says which functions it would have to use."""
    try:
        return function(x)
    except InputError:
        raise
    except Exception as error:
        dim = x.ufl_shape[0] if isinstance(x, Expr) else len(x)
        if isinstance(x, Expr) and _works(function, np.full((dim, 2), 0.5), np.ndarray):
            raise InputError(
                f"{what} is a function with NumPy functions, but it is needed in UFL: write for example "
                'ufl.sin(x[0]), or text such as "sin(x)".'
            ) from None
        if not isinstance(x, Expr) and _works(function, _coordinates(dim), Expr):
            raise _written_in_ufl(what) from None
        raise InputError(f"{what} cannot be evaluated: {type(error).__name__}: {error}.") from error


def _written_in_ufl(what: str) -> WrittenInUflError:
    return WrittenInUflError(
        f"{what} is written in UFL, but its values at points are needed: write it with NumPy functions, for "
        'example np.sin(x[0]), or as text such as "sin(x)".'
    )


def _works(function: Callable[[Any], Any], x: Any, kind: type) -> bool:
    """Whether a function gives something of a kind, or a number."""
    try:
        return isinstance(function(x), kind | Real)
    except Exception:
        return False


def _coordinates(dim: int) -> Expr:
    """The coordinates of some mesh, in UFL."""
    element = basix.ufl.element("Lagrange", _CELLS[dim], 1, shape=(dim,))
    return ufl.SpatialCoordinate(ufl.Mesh(element))
