"""The operations that expressions of run files are made of, in UFL and in NumPy.

A formula is a tree of numbers, names and calls of these operations; both back ends walk the same tree.
"""

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import scipy.special
import ufl
from ufl.conditional import Condition
from ufl.constantvalue import ScalarValue
from ufl.core.expr import Expr


def _ufl_power(base: Expr, exponent: Expr) -> Expr:
    """Power; whole exponents stay integers, which keeps degree estimates and derivatives exact."""
    if isinstance(exponent, ScalarValue):
        value = float(exponent)
        if value.is_integer() and abs(value) <= 1000:
            return base ** int(value)
    return base**exponent


def _ufl_sign(a: Expr) -> Expr:
    """Sign as nested conditions: FFCx has no sign; the last branch is 0 (or NaN) itself."""
    return ufl.conditional(ufl.gt(a, 0), 1.0, ufl.conditional(ufl.lt(a, 0), -1.0, a))


def _fold(function: Callable) -> Callable:
    return lambda *arguments: reduce(function, arguments)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation in both back ends.

    Attributes:
        numpy: The NumPy function.
        ufl: The UFL function.
        arity: The least and the largest number of arguments.
        conditions: How many leading arguments are read as conditions (-1: all of them).
    """

    numpy: Callable
    ufl: Callable
    arity: tuple[int, float] = (1, 1)
    conditions: int = 0


# fmin and fmax are what FFCx generates for UFL's minimum and maximum.
FUNCTIONS = {
    "abs": Operation(np.abs, abs),
    "acos": Operation(np.arccos, ufl.acos),
    "asin": Operation(np.arcsin, ufl.asin),
    "atan": Operation(np.arctan, ufl.atan),
    "atan2": Operation(np.arctan2, ufl.atan2, (2, 2)),
    "cos": Operation(np.cos, ufl.cos),
    "cosh": Operation(np.cosh, ufl.cosh),
    "erf": Operation(scipy.special.erf, ufl.erf),
    "exp": Operation(np.exp, ufl.exp),
    "ln": Operation(np.log, ufl.ln),
    "log": Operation(np.log, ufl.ln),
    "max": Operation(_fold(np.fmax), _fold(ufl.max_value), (2, math.inf)),
    "min": Operation(_fold(np.fmin), _fold(ufl.min_value), (2, math.inf)),
    "sign": Operation(np.sign, _ufl_sign),
    "sin": Operation(np.sin, ufl.sin),
    "sinh": Operation(np.sinh, ufl.sinh),
    "sqrt": Operation(np.sqrt, ufl.sqrt),
    "tan": Operation(np.tan, ufl.tan),
    "tanh": Operation(np.tanh, ufl.tanh),
    "where": Operation(np.where, ufl.conditional, (3, 3), 1),
}
OPERATORS: dict[type, tuple[str, Operation]] = {
    ast.Add: ("+", Operation(np.add, operator.add)),
    ast.Sub: ("-", Operation(np.subtract, operator.sub)),
    ast.Mult: ("*", Operation(np.multiply, operator.mul)),
    ast.Div: ("/", Operation(np.divide, operator.truediv)),
    ast.Pow: ("**", Operation(np.power, _ufl_power)),
    ast.USub: ("unary -", Operation(np.negative, operator.neg)),
    ast.UAdd: ("unary +", Operation(np.positive, operator.pos)),
    ast.Not: ("not", Operation(np.logical_not, ufl.Not, conditions=-1)),
    ast.And: ("and", Operation(_fold(np.logical_and), _fold(ufl.And), conditions=-1)),
    ast.Or: ("or", Operation(_fold(np.logical_or), _fold(ufl.Or), conditions=-1)),
    ast.Lt: ("<", Operation(np.less, ufl.lt)),
    ast.LtE: ("<=", Operation(np.less_equal, ufl.le)),
    ast.Gt: (">", Operation(np.greater, ufl.gt)),
    ast.GtE: (">=", Operation(np.greater_equal, ufl.ge)),
    ast.Eq: ("==", Operation(np.equal, ufl.eq)),
    ast.NotEq: ("!=", Operation(np.not_equal, ufl.ne)),
}
_OPERATIONS = FUNCTIONS | dict(OPERATORS.values())


@dataclass(frozen=True, slots=True)
class Number:
    """A constant.

    Args:
        value: Its value.
        source: The text it comes from.
    """

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Name:
    """A variable.

    Args:
        name: Its name.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operation applied to arguments.

    Args:
        operation: Its name or sign.
        arguments: Constants, variables and operations.
    """

    operation: str
    arguments: tuple["Number | Name | Call", ...]


Tree = Number | Name | Call


def numpy_call(name: str, arguments: list[Any]) -> Any:
    """Apply an operation in NumPy; comparisons count as 0 and 1 among numbers.

    Args:
        name: The name or sign of the operation.
        arguments: Floats and arrays of shape (n,).

    Returns:
        A float or an array of shape (n,).
    """
    operation = _OPERATIONS[name]
    count = len(arguments) if operation.conditions < 0 else operation.conditions
    conditions = [np.not_equal(a, 0) for a in arguments[:count]]
    return operation.numpy(*conditions, *[np.asarray(a, dtype=np.float64) for a in arguments[count:]])


def ufl_number(value: Expr | float) -> Expr:
    """A UFL scalar from a float, a UFL scalar or a condition (0 or 1).

    Args:
        value: The float, scalar or condition.

    Returns:
        The UFL scalar.

    Raises:
        ValueError: An infinite or NaN float, of which no C code can be made.
    """
    if isinstance(value, Condition):
        return ufl.conditional(value, 1.0, 0.0)
    if not isinstance(value, Expr) and not math.isfinite(value):
        raise ValueError("a part of it has no finite value")
    return ufl.as_ufl(value)


def _ufl_condition(value: Expr | float) -> Condition:
    return value if isinstance(value, Condition) else ufl.ne(ufl_number(value), 0.0)


def ufl_call(name: str, arguments: list[Any]) -> Expr | float:
    """Apply an operation to floats and UFL expressions; what is constant stays a float.

    UFL would fold constants with Python's numbers: integer towers, complex roots, exceptions for overflow.

    Args:
        name: The name or sign of the operation.
        arguments: Floats, UFL scalars and conditions.

    Returns:
        A float, a UFL scalar or a condition.

    Raises:
        ValueError: An argument without a finite value, or one that UFL refuses.
    """
    if not any(isinstance(argument, Expr) for argument in arguments):
        return float(numpy_call(name, arguments))
    operation = _OPERATIONS[name]
    count = len(arguments) if operation.conditions < 0 else operation.conditions
    conditions = [_ufl_condition(argument) for argument in arguments[:count]]
    return operation.ufl(*conditions, *[ufl_number(argument) for argument in arguments[count:]])


def evaluate(tree: Tree, lookup: Callable[[str], Any], call: Callable[[str, list[Any]], Any]) -> Any:
    """Walk a tree with one of the two back ends.

    Args:
        tree: The formula.
        lookup: The value of a variable, by name.
        call: `numpy_call` or `ufl_call`.

    Returns:
        What the back end makes of it: a float, an array, a UFL expression or a condition.
    """
    known: dict[int, Any] = {}  # chained comparisons share their middle terms: evaluate those once

    def value(node: Tree) -> Any:
        if isinstance(node, Number):
            return node.value
        if isinstance(node, Name):
            return lookup(node.name)
        if id(node) not in known:
            known[id(node)] = call(node.operation, [value(argument) for argument in node.arguments])
        return known[id(node)]

    return value(tree)
