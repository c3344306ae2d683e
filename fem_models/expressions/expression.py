"""Expressions in run files: parsed with a whitelist, evaluated in UFL and in NumPy.

A run file can never run code: the text goes through Python's parser (`ast`), every node of the tree must be
on the whitelist of `operations`, and the tree is walked there; nothing is ever passed to `eval`.
"""

import ast
import math
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Real
from typing import Any, NoReturn, SupportsFloat

import numpy as np
import ufl
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.core.suggestions import nearest
from fem_models.expressions.operations import (
    FUNCTIONS,
    OPERATORS,
    Call,
    Name,
    Number,
    Tree,
    evaluate,
    numpy_call,
    ufl_call,
    ufl_number,
)

MAX_LENGTH = 10_000
MAX_DEPTH = 200

_COORDINATES = ("x", "y", "z")
_DIMENSIONS = {1: "one dimension", 2: "two dimensions", 3: "three dimensions"}
_CONSTANTS = {"pi": math.pi, "e": math.e}


# What people write instead, and what to write here.
_REFUSED = {
    ast.BitXor: "'^' is not a power here, write '**'",
    ast.BitAnd: "'&' is not allowed, write 'and'",
    ast.BitOr: "'|' is not allowed, write 'or'",
    ast.Invert: "'~' is not allowed, write 'not'",
    ast.IfExp: "'a if c else b' is not allowed, write 'where(c, a, b)'",
    ast.Tuple: "commas only separate the arguments of a function, and decimals take a point",
    ast.Attribute: "attributes (a dot after a name) are not allowed",
    ast.Subscript: "subscripts are not allowed",
    ast.NamedExpr: "':=' is not allowed",
    ast.Lambda: "'lambda' is not allowed",
    ast.JoinedStr: "strings are not allowed",
}


def _parse(text: str) -> ast.expr:
    """Parse one Python expression without compiling it.

    Raises:
        SyntaxError: The text is not one expression, or is nested too deeply for the parser.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "invalid escape sequence": refused below anyway
            return ast.parse(text, mode="eval").body
    except (ValueError, MemoryError, RecursionError) as error:
        raise SyntaxError(str(error)) from error


def _depth(root: ast.AST) -> int:
    """The depth of a syntax tree, without recursion."""
    level, depth = [root], 0
    while level:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        depth += 1
    return depth


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


class _Builder:
    """Turns a syntax tree into a tree of whitelisted operations; every refusal is an InputError."""

    def __init__(self, text: str, where: str, variables: Collection[str], constants: Mapping[str, float]):
        self.text = text
        self.where = where
        self.variables = tuple(dict.fromkeys(variables))
        self.constants = {**_CONSTANTS, **constants}
        self.used: set[str] = set()

    def fail(self, problem: str) -> NoReturn:
        """Raise the InputError that names the key and says what is allowed."""
        variables = ", ".join(self.variables) or "none"
        raise InputError(
            f"{self.where}: {problem}; allowed are numbers, the variables {variables}, the constants "
            f"{', '.join(self.constants)}, + - * / **, comparisons, and, or, not, and the functions "
            f"{', '.join(FUNCTIONS)}."
        )

    def source(self, node: ast.AST) -> str:
        start, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", None)
        return self.text.encode()[start:end].decode()  # the offsets count bytes

    def nearest(self, name: str, known: Iterable[str]) -> str:
        close = nearest(name.lower(), known)
        return f" (the nearest known name is '{close}')" if close else ""

    def build(self, node: ast.expr) -> Tree:
        """Dispatch on the node's type."""
        match node:
            case ast.Constant():
                return self.number(node)
            case ast.Name():
                return self.name(node)
            case ast.Call():
                return self.function(node)
            case ast.BinOp(left, op, right):
                return self.apply(node, op, [self.build(left), self.build(right)])
            case ast.UnaryOp(op, operand):
                return self.apply(node, op, [self.build(operand)])
            case ast.BoolOp(op, values):
                return self.apply(node, op, [self.build(value) for value in values])
            case ast.Compare():
                return self.comparison(node)
        self.refuse(node, node)

    def refuse(self, node: ast.AST, culprit: ast.AST) -> NoReturn:
        reason = _REFUSED.get(type(culprit), "this Python syntax is not allowed")
        self.fail(f"{reason}, in {_quote(self.source(node))}")

    def number(self, node: ast.Constant) -> Tree:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            kind = "complex numbers" if isinstance(node.value, complex) else "strings and Python's constants"
            self.fail(f"{kind} are not allowed, in {_quote(self.source(node))}")
        value = _as_float(node.value)
        if not math.isfinite(value):
            self.fail(f"the number {_quote(self.source(node))} is too large")
        return Number(value, self.source(node))

    def name(self, node: ast.Name) -> Tree:
        if node.id in self.variables:
            self.used.add(node.id)
            return Name(node.id)
        if node.id in self.constants:
            return Number(float(self.constants[node.id]), node.id)
        if node.id in FUNCTIONS:
            self.fail(f"the function '{node.id}' needs arguments in parentheses")
        known = [*self.variables, *self.constants, *FUNCTIONS]
        self.fail(f"unknown name {_quote(node.id)}{self.nearest(node.id, known)}")

    def function(self, node: ast.Call) -> Tree:
        if not isinstance(node.func, ast.Name):
            if type(node.func) in _REFUSED:
                self.refuse(node, node.func)
            self.fail(f"{_quote(self.source(node))} calls something that is no function, a product needs '*'")
        name = node.func.id
        if name in self.variables or name in self.constants:
            self.fail(f"'{name}' is not a function, a product needs '*'")
        if name not in FUNCTIONS:
            self.fail(f"unknown function {_quote(name)}{self.nearest(name, FUNCTIONS)}")
        if node.keywords:
            self.fail(f"'{name}' takes no keyword arguments")
        least, most = FUNCTIONS[name].arity
        if not least <= len(node.args) <= most:
            wanted = f"{least} or more arguments" if most > least else f"{least} argument{'s'[: least > 1]}"
            self.fail(f"'{name}' takes {wanted}, not {len(node.args)}")
        return self.call(name, [self.build(argument) for argument in node.args], node)

    def comparison(self, node: ast.Compare) -> Tree:
        """A chain a < b < c is (a < b) and (b < c)."""
        terms = [self.build(term) for term in (node.left, *node.comparators)]
        parts = [self.apply(node, op, [terms[i], terms[i + 1]]) for i, op in enumerate(node.ops)]
        return parts[0] if len(parts) == 1 else self.call("and", parts, node)

    def apply(self, node: ast.expr, op: ast.AST, arguments: list[Tree]) -> Tree:
        if type(op) not in OPERATORS:
            self.refuse(node, op)
        return self.call(OPERATORS[type(op)][0], arguments, node)

    def call(self, name: str, arguments: list[Tree], node: ast.expr) -> Tree:
        """An operation, folded where it has a constant value.

        Constants are folded in double precision, so that towers of powers overflow instead of growing.
        """
        constants = [argument.value for argument in arguments if isinstance(argument, Number)]
        if len(constants) == len(arguments):
            with np.errstate(all="ignore"):
                value = numpy_call(name, constants)
            return Number(float(value), self.source(node))
        zeros = [isinstance(argument, Number) and argument.value == 0 for argument in arguments]
        if name == "/" and zeros[1]:
            self.fail(f"{_quote(self.source(node))} divides by zero")
        if (name == "*" and any(zeros)) or (name == "/" and zeros[0]):
            return Number(
                0.0, self.source(node)
            )  # UFL drops such terms, even where the other factor is infinite
        return self.finite(Call(name, tuple(arguments)))

    def finite(self, tree: Tree) -> Tree:
        """Refuse constants without a finite value next to the variables: no C code can be made of them."""
        for part in (tree, *getattr(tree, "arguments", ())):
            if isinstance(part, Number) and not math.isfinite(part.value):
                self.fail(f"{_quote(part.source)} has no finite value")
        return tree


def _as_float(value: SupportsFloat) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


class Expression:
    """A scalar formula from a run file.

    Attributes:
        text: The formula as written.
        names: The variables it really uses.
    """

    def __init__(
        self,
        text: str | float | int,
        variables: Collection[str] = ("x", "y", "z", "r", "t"),
        constants: Mapping[str, float] | None = None,
        where: str = "",
    ) -> None:
        """Parse a formula and check every name in it.

        Formulas have numbers, `variables`, `constants`, pi, e, `+ - * / **`, comparisons (also chained),
        `and`, `or`, `not`, `where(condition, a, b)` and the functions of mathematics. A comparison is 0 or 1
        where a number is expected; a number is true where it is not zero. All numbers are floats.

        Args:
            text: The formula, or a number.
            variables: The names it may use: coordinates x, y, z, the distance r from the origin, the time t,
                and names of fields that are handed over at evaluation.
            constants: Named numbers.
            where: The run file's key, to begin messages with, such as "[system] potential".

        Raises:
            InputError: The formula is not one of the above, or a name is unknown or taken.
        """
        self._where = where or "expression"
        self._constants_checked(constants or {}, variables)
        if isinstance(text, Real) and not isinstance(text, bool | np.bool_):
            text = repr(_as_float(text))
            if text in ("inf", "-inf", "nan"):
                raise InputError(
                    f"{self._where}: {text} is not allowed, give a finite number or an expression."
                )
        if not isinstance(text, str):
            raise InputError(
                f"{self._where}: give a number or an expression in quotes, not {_quote(repr(text))}."
            )
        self.text = text
        builder = _Builder(" ".join(text.split()), self._where, variables, constants or {})
        self._tree = builder.finite(builder.build(self._checked_syntax(builder.text)))
        self.names = frozenset(builder.used)

    @property
    def uses_time(self) -> bool:
        """Whether the formula depends on the time t."""
        return "t" in self.names

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def ufl(self, x: Expr, fields: Mapping[str, Expr] | None = None, t: Expr | float | None = None) -> Expr:
        """The formula as a UFL scalar.

        Args:
            x: The coordinates, a UFL vector of the geometric dimension (1, 2 or 3).
            fields: Scalar UFL expressions by name; they come before coordinates of the same name.
            t: The time, a number or a UFL constant.

        Returns:
            A scalar UFL expression; a literal, without a mesh, where nothing in the formula varies.

        Raises:
            InputError: The mesh lacks a coordinate, the time or a field is missing, or a part that is
                constant at this `t` has no finite value.
        """
        components = [x[i] for i in range(x.ufl_shape[0])]
        try:
            with np.errstate(all="ignore"):
                return ufl_number(
                    evaluate(self._tree, self._lookup(components, fields, t, ufl.sqrt), ufl_call)
                )
        except InputError:
            raise
        except (ValueError, ArithmeticError) as error:
            raise InputError(f"{self._where}: {_quote(self.text)} cannot be evaluated: {error}.") from error

    def numpy(
        self, x: np.ndarray, fields: Mapping[str, np.ndarray] | None = None, t: float | None = None
    ) -> np.ndarray:
        """The formula at points.

        Args:
            x: The coordinates, shape (1, n), (2, n) or (3, n), one row per coordinate.
            fields: Values by name, each of shape (n,) or a number; they come before coordinates of the same
                name.
            t: The time.

        Returns:
            Values of shape (n,), float64; infinite and NaN where the formula is, without a warning.

        Raises:
            InputError: `x` lacks a coordinate, or the time or a field is missing.
        """
        x = np.atleast_2d(np.asarray(x, dtype=np.float64))
        with np.errstate(all="ignore"):
            values = evaluate(self._tree, self._lookup(list(x), fields, t, np.sqrt), numpy_call)
        return np.array(np.broadcast_to(np.asarray(values, dtype=np.float64), x.shape[1:]))

    def _lookup(
        self, components: list[Any], fields: Mapping[str, Any] | None, t: Any, sqrt: Callable
    ) -> Callable[[str], Any]:
        """The value of a variable, by name."""

        def value(name: str) -> Any:
            if fields and name in fields:
                return fields[name]
            if name in _COORDINATES:
                index = _COORDINATES.index(name)
                if index < len(components):
                    return components[index]
                dimension = _DIMENSIONS[len(components)]
                raise InputError(f"{self._where}: '{name}' cannot be used, the mesh has {dimension}.")
            if name == "r":
                return sqrt(sum(component * component for component in components))
            if name == "t" and t is not None:
                return t
            what = "the time 't'" if name == "t" else f"the field '{name}'"
            raise InputError(f"{self._where}: {what} is not available here, leave it out of the expression.")

        return value

    def _constants_checked(self, constants: Mapping[str, float], variables: Collection[str]) -> None:
        for name, value in constants.items():
            if not name.isidentifier() or name in {*variables, *FUNCTIONS, *_CONSTANTS}:
                raise InputError(
                    f"{self._where}: the constant '{name}' needs another name, this one is taken."
                )
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(_as_float(value)):
                raise InputError(
                    f"{self._where}: the constant '{name}' must be a finite number, not {value!r}."
                )
        for name in variables:
            if name in FUNCTIONS or name in _CONSTANTS:
                raise InputError(
                    f"{self._where}: the variable '{name}' needs another name, expressions use this one."
                )

    def _checked_syntax(self, text: str) -> ast.expr:
        if not text:
            raise InputError(f"{self._where}: the expression is empty, write a number or a formula.")
        if len(text) > MAX_LENGTH:
            raise InputError(
                f"{self._where}: the expression is longer than {MAX_LENGTH} characters, shorten it."
            )
        if "#" in text:
            raise InputError(f"{self._where}: '#' is not allowed, put comments outside the quotes.")
        try:
            node = _parse(text)
        except SyntaxError as error:
            place = f" near column {error.offset}" if error.offset else ""
            raise InputError(
                f"{self._where}: {_quote(text)} cannot be read{place}, check its operators, "
                "parentheses and nesting."
            ) from None
        if _depth(node) > MAX_DEPTH:
            raise InputError(
                f"{self._where}: the expression is nested more than {MAX_DEPTH} levels deep, group "
                "the terms of long sums in parentheses."
            )
        return node
