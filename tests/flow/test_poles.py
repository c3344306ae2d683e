"""Poles between nodes are found, and nothing else is taken for one."""

import numpy as np
import pytest

from fem_models.flow.poles import pole

POLES = {
    "1/x": (lambda x: 1 / x, 0.0),
    "odd": (lambda x: 1 / (x - 0.0133) ** 3, 0.0133),
    "even": (lambda x: 1 / (x - 0.0133) ** 2, 0.0133),
    "tan": (lambda x: np.tan(3 * x), np.pi / 6),
    "a zero beside it": (lambda x: (x - 0.02) / (x - 0.01), 0.01),
}
FINE = {
    "log": lambda x: np.log(np.abs(x - 0.0133)),
    "cusp": lambda x: np.sqrt(np.abs(x)),
    "jump": lambda x: np.where(x > 0.0133, 1.0, -1.0),
    "peak": lambda x: np.exp(-1e4 * (x - 0.0133) ** 2),
    "zeros": lambda x: np.sin(200 * x),
    "zero": lambda x: 0.0 * x,
    "steep": lambda x: 1e9 * x**3 - 1e-9,
}


def line(cells, dim):
    points = np.zeros((cells + 1, dim))
    points[:, -1] = np.linspace(-1.0, 1.0, cells + 1)
    return points, np.column_stack([np.arange(cells), np.arange(1, cells + 1)])


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("name", POLES)
def test_poles_are_found_where_they_are(name, dim):
    function, place = POLES[name]
    with np.errstate(divide="ignore"):
        found = pole(lambda x: function(x[-1]), *line(61, dim))
    assert found is not None and abs(abs(found[-1]) - place) < 1e-7


@pytest.mark.parametrize("name", FINE)
@pytest.mark.parametrize("cells", [1, 3, 61])
def test_other_functions_have_none(name, cells):
    assert pole(lambda x: FINE[name](x[0]), *line(cells, 1)) is None
