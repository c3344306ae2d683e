import numpy as np
import pytest
import ufl

from fem_models.core.errors import InputError
from fem_models.expressions import Expression, as_ufl, at_points
from fem_models.expressions.functions import WrittenInUflError

import basix.ufl  # isort: skip

PLANE = ufl.SpatialCoordinate(ufl.Mesh(basix.ufl.element("Lagrange", "triangle", 1, shape=(2,))))
POINTS = np.array([[0.0, 0.5, 1.0], [2.0, 0.25, -1.0]])

GIVEN = {
    "number": (2.5, lambda x: 2.5 + 0.0 * x[0]),
    "whole number": (3, lambda x: 3.0 + 0.0 * x[0]),
    "text": ("x**2 + y", lambda x: x[0] ** 2 + x[1]),
    "distance": ("r", lambda x: np.hypot(*x)),
    "formula": (Expression("a*x", ("x",), {"a": 2.0}), lambda x: 2.0 * x[0]),
    "arithmetic": (lambda x: x[0] * x[1] - 1.0, lambda x: x[0] * x[1] - 1.0),
    "constant function": (lambda x: -1.0, lambda x: -1.0 + 0.0 * x[0]),
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_has_values_and_an_expression(name):
    given, exact = GIVEN[name]
    np.testing.assert_allclose(at_points(given, POINTS, "V"), exact(POINTS), rtol=1e-15)
    expression = as_ufl(given, PLANE, "V")
    assert expression.ufl_shape == ()
    for k, point in enumerate(POINTS.T):
        assert expression(tuple(point)) == pytest.approx(exact(POINTS)[k], abs=1e-15)


def test_functions_of_numpy_have_values_only():
    np.testing.assert_allclose(at_points(lambda x: np.sin(x[0]), POINTS, "V"), np.sin(POINTS[0]))
    for function in (
        lambda x: np.sin(x[0]),
        lambda x: np.maximum(x[0], 0.0),
        lambda x: np.where(x[0] > 0.5, 1.0, 0.0),
        lambda x: (x**2).sum(axis=0),
    ):
        with pytest.raises(InputError, match=r"V is a function with NumPy functions, .* ufl\.sin"):
            as_ufl(function, PLANE, "V")


def test_functions_of_ufl_have_an_expression_only():
    for given in (lambda x: ufl.exp(x[0]), lambda x: ufl.dot(x, x), lambda x: ufl.as_ufl(1.0), PLANE[0]):
        assert as_ufl(given, PLANE, "V").ufl_shape == ()
        with pytest.raises(WrittenInUflError, match="V is written in UFL, but its values"):
            at_points(given, POINTS, "V")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "V must be a number, text, or a function of x in UFL, but it is None"),
        (True, "V must be a number"),
        ([1.0], "but it is a list"),
        (lambda x: None, "but it gives None"),
        (lambda x: np.ones(3), "but it gives an ndarray"),
        (lambda x: x, r"V must be a scalar, but it has the shape \(2,\)"),
        (lambda x: x[0] / None, "V cannot be evaluated: TypeError"),
        ("x +", "V: 'x \\+' cannot be read"),
        ("z", "V: 'z' cannot be used, the mesh has two dimensions"),
    ],
)
def test_what_is_no_expression_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        as_ufl(given, PLANE, "V")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a", "V: unknown name 'a'"),
        (lambda x: x, r"V must have one value for each of 3 points, but its values have the shape \(2, 3\)"),
        (lambda x: x[:1].T, r"shape \(3, 1\)"),
        (np.ones((3, 1)), r"shape \(3, 1\)"),
        (lambda x: None, "V must be a number, text, or a function of x in NumPy, but it gives None"),
        (lambda x: [None] * 3, "but it gives a list"),
        ({"a": 1}, "but it is a dict"),
        (lambda x: x[5], "V cannot be evaluated: IndexError"),
    ],
)
def test_what_has_no_values_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        at_points(given, POINTS, "V")


def test_tensors_only_where_they_are_asked_for():
    def tensor(x):
        return x[0] * ufl.Identity(2)

    assert as_ufl(tensor, PLANE, "a", scalar=False).ufl_shape == (2, 2)
    with pytest.raises(InputError, match="a must be a scalar"):
        as_ufl(tensor, PLANE, "a")
