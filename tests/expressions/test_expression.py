import math
import time

import numpy as np
import pytest
import ufl
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.expressions import Expression

# DOLFINx and what belongs to it come after the package, which loads its libraries.
import basix.ufl  # isort: skip
from dolfinx import fem, mesh  # isort: skip

KEY = "[system] potential"
PLANE = ufl.Mesh(basix.ufl.element("Lagrange", "triangle", 1, shape=(2,)))  # a mesh without points
X, Y, R = 0.3, -0.7, math.hypot(0.3, -0.7)

# Formulas with their values at (0.3, -0.7), t = 0.25, written down with Python's own functions.
VALUES = {
    "1/2": 0.5,
    "7": 7.0,
    "x + 2*y - 3": X + 2 * Y - 3,
    "-x**2": -(X**2),
    "y**2": 0.49,
    "y**3 + y**-1": -0.343 - 1 / 0.7,
    "2**-x": 2**-X,
    "x**0": 1.0,
    "+x/y": X / Y,
    "r": R,
    "r**2 - x**2": Y**2,
    "pi*e*t": math.pi * math.e * 0.25,
    "exp(x)*log(r)*ln(2)": math.exp(X) * math.log(R) * math.log(2),
    "sqrt(x) + sin(y) + cos(y) + tan(x)": math.sqrt(X) + math.sin(Y) + math.cos(Y) + math.tan(X),
    "asin(x) + acos(y) + atan(y)": math.asin(X) + math.acos(Y) + math.atan(Y),
    "atan2(y, -x)": math.atan2(Y, -X),
    "atan2(0, y) + atan2(y, 0)": math.pi - math.pi / 2,
    "sinh(x) + cosh(x) + tanh(y)": math.sinh(X) + math.cosh(X) + math.tanh(Y),
    "abs(y) + erf(x)": 0.7 + math.erf(X),
    "sign(x) + 10*sign(y) + 100*sign(x - x) + 1000*sign(0)": 1.0 - 10.0,
    "min(x, y) + 10*max(x, y)": Y + 10 * X,
    "max(min(x, 0.1, 2), y, -3)": 0.1,
    "(0.2 <= x)*(x <= 0.4)": 1.0,
    "3*(0.31 <= x) - (x < 1) + (y > 0)": -1.0,
    "-(x < 1) + +(y < 1)": 0.0,
    "0.1 <= x <= 0.3": 1.0,
    "0.1 <= x < y <= 0.3": 0.0,
    "1 > x > y >= -1": 1.0,
    "where(x < y, 1/0.5, where(0.2 < x < 0.4, 5, 6))": 5.0,
    "where(x, 1, 2) + where(x - x, 10, 20)": 21.0,
    "where(x > 0 and y > 0, 1, 2)": 2.0,
    "where(x > 0 or y > 0, 1, 2)": 1.0,
    "where(not (x > 0 and y > 0) and (x == x) and x != y and 1, 1, 2)": 1.0,
    "(x and y) + (0 or x) + (not x) + (x and 0)": 2.0,
    "(x < 1) == (y < 1)": 1.0,
    "min(x < y, 0.5) + sin(x > y)": math.sin(1.0),
    "(x > y)**2 / (x > y)": 1.0,
    "1 < 2": 1.0,
    "where(1 < 2, x, y)": X,
    "a*x + b": 2 * X - 1e-3,
    "rho*x + 2*c**2": 0.25 * X + 18.0,
    "0*x + 0/y": 0.0,
    "where(x > 0, 1/(x - x), 4)*0": 0.0,
    "1e3*x\n  + 1": 301.0,
}
OPTIONS = {
    "variables": ("x", "y", "z", "r", "t", "rho", "c"),
    "constants": {"a": 2, "b": -1e-3},
    "where": KEY,
}


def compiled(expressions, domain, cell_point, **arguments):
    """Values of many expressions with one compilation: shape (cells, expressions)."""
    x = ufl.SpatialCoordinate(domain)
    vector = ufl.as_vector([expression.ufl(x, **arguments) for expression in expressions])
    cells = np.arange(domain.topology.index_map(domain.topology.dim).size_local, dtype=np.int32)
    return fem.Expression(vector, np.atleast_2d(cell_point)).eval(domain, cells).reshape(len(cells), -1)


def points(domain, cell_point):
    expression = fem.Expression(ufl.SpatialCoordinate(domain), np.atleast_2d(cell_point))
    cells = np.arange(domain.topology.index_map(domain.topology.dim).size_local, dtype=np.int32)
    return expression.eval(domain, cells).reshape(len(cells), -1).T


@pytest.mark.parametrize("text", VALUES)
def test_numpy_values(text):
    values = Expression(text, **OPTIONS).numpy(
        np.array([[X, X], [Y, Y]]), fields={"rho": np.array([0.25, 0.5]), "c": 3}, t=0.25
    )
    assert values.shape == (2,)
    assert values.dtype == np.float64
    assert values[0] == pytest.approx(VALUES[text], rel=1e-14, abs=1e-15)


@pytest.mark.parallel
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_compiled_ufl_equals_numpy(dimension):
    kinds = {1: mesh.CellType.interval, 2: mesh.CellType.triangle, 3: mesh.CellType.tetrahedron}
    corners = [np.full(dimension, -1.0), np.full(dimension, 1.0)]
    if dimension == 1:
        domain = mesh.create_interval(MPI.COMM_WORLD, 12, [-1.0, 1.0])
    else:
        create = {2: mesh.create_rectangle, 3: mesh.create_box}[dimension]
        domain = create(MPI.COMM_WORLD, corners, [3] * dimension, kinds[dimension])
    expressions = [Expression(text, **OPTIONS) for text in VALUES]
    expressions = [e for e in expressions if not ({"y", "z"} & e.names and dimension == 1)]
    if dimension == 3:
        expressions += [Expression("z*x - atan2(z, y) + (z < r)", **OPTIONS)]
    assert len(expressions) > 15
    cell_point = np.array([0.31, 0.17, 0.23][:dimension])
    field = fem.Function(fem.functionspace(domain, ("Lagrange", 1)))
    field.interpolate(lambda x: 1 + x[0] / 2)
    fields = {"rho": field, "c": fem.Constant(domain, 3.0)}
    time_constant = fem.Constant(domain, 0.25)
    found = compiled(expressions, domain, cell_point, fields=fields, t=time_constant)
    x = points(domain, cell_point)
    for column, expression in zip(found.T, expressions, strict=True):
        wanted = expression.numpy(x, fields={"rho": 1 + x[0] / 2, "c": 3.0}, t=0.25)
        np.testing.assert_allclose(column, wanted, rtol=1e-12, atol=1e-13, err_msg=expression.text)


numbers = st.sampled_from(["0", "1", "2", "0.5", "3", "pi", "1e-3"])
leaves = st.one_of(numbers, st.sampled_from(["x", "y", "r", "t"]))


def extend(inner):
    one = st.sampled_from(
        ["sin({})", "exp(-abs({}))", "sqrt(abs({}))", "sign({})", "-({})", "tanh({})", "not ({})"]
    )
    signs = ["+", "-", "*", "/", "<", ">=", "==", " and ", " or "]
    two = st.sampled_from(
        [f"({{}}){sign}({{}})" for sign in signs]
        + ["min({}, {})", "max({}, {})", "atan2({}, {})", "abs({})**({})"]
    )
    three = st.sampled_from(["where({}, {}, {})", "({}) < ({}) <= ({})", "max({}, {}, {})"])
    return st.one_of(
        st.builds(str.format, one, inner),
        st.builds(str.format, two, inner, inner),
        st.builds(str.format, three, inner, inner, inner),
    )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=st.recursive(leaves, extend, max_leaves=12), x=st.floats(-1, 1), y=st.floats(-1, 1))
def test_both_back_ends_agree_on_random_formulas(text, x, y):
    try:
        expression = Expression(text)
    except InputError as error:  # a constant part such as 1/0
        assert "finite value" in str(error) or "divides by zero" in str(error)
        return
    wanted = expression.numpy(np.array([[x], [y]]), t=0.5)[0]
    coordinates = ufl.SpatialCoordinate(PLANE)
    try:
        found = expression.ufl(coordinates, t=0.5)((x, y))
    except (ZeroDivisionError, OverflowError):  # UFL evaluates with Python's floats
        assert not np.isfinite(wanted) or "/" in text
        return
    if np.isfinite(wanted) and np.isfinite(found):
        assert found == pytest.approx(wanted, rel=1e-12, abs=1e-13)


MALICIOUS = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "x.__class__",
    "x.T",
    "x[0]",
    "(lambda: 1)()",
    "[x for x in (1, 2)]",
    "{x: y}",
    "(a := x)",
    "'text'",
    "b'text'",
    "f'{x}'",
    "1j",
    "x + 2j*y",
    "True",
    "None",
    "...",
    "eval(x)",
    "exec(x)",
    "open(x)",
    "max(x, y, key=abs)",
    "max(*x)",
    "sin(**x)",
    "exp(x)(y)",
    "x if y else z",
    "x in y",
    "x is y",
    "x % 2",
    "x // 2",
    "x @ y",
    "x << 99",
    "x & y",
    "~x",
    "await x",
    "yield x",
    "x, y",
    "x; y",
    "x = 1",
    "import os",
    "x # y",
    "x \\",
    "x\0y",
    "\ud800",
    "",
    "   ",
    "x +",
    ")",
    "9" * 400,
    "9" * 5000,
    "1e999",
    "(" * 150 + "x" + ")" * 149,
    "(" * 4000 + "x" + ")" * 4000,
    "-" * 9000 + "x",
    "not " * 2000 + "x",
    "+".join(["x"] * 400),
    "x" * 10_001,
    "2**" * 300 + "x",
    "9**9**9**9",
    "x**9**9**9**9",
    "x + 1/0",
    "x/0",
    "x/(1 - 1)",
    "x*log(0)",
    "sqrt(-1) + x",
    True,
    None,
    [1.0],
    float("nan"),
    float("inf"),
    10**400,
]


@pytest.mark.parametrize(
    "text", MALICIOUS, ids=lambda text: repr(text)[:20].encode("ascii", "replace").decode()
)
def test_what_is_not_a_formula_is_refused_in_one_short_sentence(text):
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        Expression(text, where=KEY)
    assert time.perf_counter() - start < 1.0
    message = str(caught.value)
    assert message.startswith(f"{KEY}: ")
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 450


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet="xyrt0123456789.+-*/<>=() ,[]{}'_\"\\:lambdinoe", max_size=30))
def test_any_text_is_a_formula_or_an_input_error(text):
    try:
        expression = Expression(text)
    except InputError:
        return
    assert expression.numpy(np.ones((3, 2)), t=1.0).shape == (2,)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sine(x)", ["unknown function 'sine'", "'sin'", "variables x, y, z, r, t", "atan2"]),
        ("xpo(x)", ["'xpo'", "'exp'"]),
        ("raduis + 1", ["unknown name 'raduis'", "'radius'"]),
        ("qqqq + 1", ["unknown name 'qqqq';", "radius"]),
        ("x^2", ["'^'", "write '**'"]),
        ("2(x + 1)", ["'2(x + 1)'", "a product needs '*'"]),
        ("x(y + 1)", ["'x' is not a function", "a product needs '*'"]),
        ("0,5", ["decimals take a point"]),
        ("x if y else z", ["where(c, a, b)"]),
        ("sin", ["'sin' needs arguments"]),
        ("sin(x, y)", ["'sin' takes 1 argument, not 2"]),
        ("where(x, y)", ["'where' takes 3 arguments, not 2"]),
        ("max(x)", ["'max' takes 2 or more arguments, not 1"]),
        ("x +* y", ["near column 4"]),
        ("é + x.real", ["unknown name 'é'"]),
        ("1 + x.real", ["'x.real'"]),
    ],
)
def test_messages_name_key_culprit_and_remedy(text, parts):
    with pytest.raises(InputError) as caught:
        Expression(text, constants={"radius": 0.5}, where=KEY)
    for part in [KEY, *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["x", "t", "sin", "where", "pi", "e", "two words", ""])
def test_constants_shadow_nothing(name):
    with pytest.raises(InputError, match=f"constant '{name}'"):
        Expression("1", constants={name: 1.0}, where=KEY)


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", True, None, 10**400])
def test_constants_are_finite_numbers(value):
    with pytest.raises(InputError, match="'a' must be a finite number"):
        Expression("1", constants={"a": value})


def test_variables_cannot_be_named_like_functions():
    with pytest.raises(InputError, match="'exp'"):
        Expression("1", variables=("x", "exp"))


def test_names_and_time():
    expression = Expression("where(r < 1, x, radius)", constants={"radius": 2.0})
    assert expression.names == {"r", "x"}
    assert not expression.uses_time
    assert Expression("0*t").uses_time
    assert Expression(3).text == "3.0"
    assert Expression(3).names == frozenset()


def test_missing_coordinates_time_and_fields():
    line, plane = np.zeros((1, 4)), np.zeros((2, 4))
    for text, x, message in [
        ("y", line, "one dimension"),
        ("z", line, "one dimension"),
        ("z", plane, "two dimensions"),
    ]:
        expression = Expression(text, where=KEY)
        with pytest.raises(InputError, match=f"'{text}'.*{message}"):
            expression.numpy(x)
        with pytest.raises(InputError, match=f"'{text}'.*{message}"):
            expression.ufl(ufl.as_vector([ufl.as_ufl(1.0)] * len(x)))
    for name in ("t", "rho"):
        expression = Expression(f"x + {name}", variables=("x", "t", "rho"))
        with pytest.raises(InputError, match=f"'{name}' is not available"):
            expression.numpy(plane)
        with pytest.raises(InputError, match=f"'{name}' is not available"):
            expression.ufl(ufl.SpatialCoordinate(PLANE))


def test_time_as_a_number_in_ufl():
    x = ufl.SpatialCoordinate(PLANE)
    assert Expression("x*t**2").ufl(x, t=3.0)((2.0, 0.0)) == 18.0
    with pytest.raises(InputError, match="cannot be evaluated"):
        Expression("x/t", where=KEY).ufl(x, t=0)
    with pytest.raises(InputError, match="cannot be evaluated"):
        Expression("x + (-t)**0.5", where=KEY).ufl(x, t=1.0)


def test_a_field_that_is_not_scalar_is_an_input_error():
    x = ufl.SpatialCoordinate(PLANE)
    with pytest.raises(InputError, match="cannot be evaluated"):
        Expression("rho + 1", variables=("rho",)).ufl(x, fields={"rho": x})


def test_whole_exponents_stay_integers_in_ufl():
    x = ufl.SpatialCoordinate(PLANE)
    exponent = Expression("x**2").ufl(x).ufl_operands[1]
    assert isinstance(exponent, ufl.constantvalue.IntValue)
    # d/dx x**3 at a negative point, which a logarithm in the derivative would turn into NaN
    derivative = ufl.diff(Expression("v**3", variables=("v",)).ufl(x, {"v": (v := ufl.variable(x[0]))}), v)
    assert ufl.algorithms.expand_derivatives(derivative)((-2.0, 0.0)) == 12.0


def test_no_warnings_and_no_aliasing(recwarn):
    x = np.array([[-1.0, 0.0, 1.0]])
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(Expression("1/x").numpy(x), [-1, np.inf, 1])
        np.testing.assert_array_equal(Expression("log(x)").numpy(x), [np.nan, -np.inf, 0])
        np.testing.assert_array_equal(Expression("exp(1e3*x)").numpy(x), [0, 1, np.inf])
        np.testing.assert_array_equal(Expression("(x**3)**0.5").numpy(x), [np.nan, 0, 1])
    values = Expression("x").numpy(x)
    values[:] = 7
    assert x[0, 0] == -1
    Expression("2").numpy(x)[0] = 3  # writable although it is broadcast
    assert not recwarn.list


def test_nested_chains_do_not_multiply():
    text = "x"
    for _ in range(18):
        text = f"(0 < {text} < 1)"
    start = time.perf_counter()
    assert Expression(text).numpy(np.array([[0.5, 2.0]])).tolist() == [0.0, 0.0]
    Expression(text).ufl(ufl.SpatialCoordinate(PLANE))
    assert time.perf_counter() - start < 2.0


def test_deep_but_allowed():
    text = "+".join(["x"] * 190)
    assert Expression(text).numpy(np.array([[2.0]])) == 380.0
    assert Expression(text).ufl(ufl.SpatialCoordinate(PLANE))((2.0, 0.0)) == 380.0
