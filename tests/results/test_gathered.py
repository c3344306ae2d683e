"""Functions of all ranks on one process: their values, their jumps, and what is refused."""

import numpy as np
import pytest
from mpi4py import MPI
from references import COMM, mesh_of

from fem_models.core.errors import InputError
from fem_models.results.gathered import GatheredFields, gathered

from dolfinx import fem, mesh  # isort: skip


def function(on, element, formula, name="rho"):
    found = fem.Function(fem.functionspace(on, element), name=name)
    found.interpolate(formula)
    return found


def measure(snapshot):
    dim = snapshot.dimension
    corners = snapshot.points[snapshot.cells][:, :, :dim]
    return np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / [1, 1, 2, 6][dim]


@pytest.mark.parallel
@pytest.mark.parametrize(("domain", "cells"), [("interval", 9), ("rectangle", (5, 4)), ("box", (3, 2, 2))])
@pytest.mark.parametrize("degree", [1, 2])
def test_continuous_functions_at_the_vertices(domain, cells, degree):
    on = mesh_of(domain, cells=cells)
    linear = function(on, ("Lagrange", degree), lambda x: 1.0 + 2.0 * x[0] - x[1])
    found = gathered([linear])
    if COMM.rank:
        assert found is None
        return
    assert len(found.cells) == {"interval": 9, "rectangle": 40, "box": 72}[domain]
    assert measure(found).sum() == pytest.approx(1.0, rel=1e-12)
    expected = 1.0 + 2.0 * found.points[:, 0] - found.points[:, 1]
    np.testing.assert_allclose(found.values["rho"], expected, atol=1e-12)


@pytest.mark.parallel
def test_functions_with_jumps_keep_them_and_vectors_are_there_by_their_length():
    on = mesh_of("rectangle", cells=(4, 4))
    steps = function(on, ("DG", 0), lambda x: np.where(x[0] < 0.5, 1.0, 3.0))
    flux = function(on, ("RT", 1), lambda x: np.array([3.0 + 0.0 * x[0], 4.0 + 0.0 * x[0]]), "g")
    found = gathered([steps, flux])
    if COMM.rank:
        return
    # Each cell has points of its own.
    assert len(found.points) == 3 * len(found.cells) == 96
    middles = found.points[found.cells].mean(axis=1)[:, 0]
    np.testing.assert_allclose(
        found.values["rho"][found.cells], np.where(middles < 0.5, 1.0, 3.0)[:, None] * np.ones(3)
    )
    np.testing.assert_allclose(found.values["|g|"], 5.0, rtol=1e-12)


@pytest.mark.parallel
def test_functions_at_several_times():
    on = mesh_of("interval", cells=8)
    series = GatheredFields({s: [function(on, ("Lagrange", 1), lambda x, s=s: s + x[0])] for s in (1.0, 0.0)})
    assert series.times == (0.0, 1.0) and series.species == ("rho",)
    if COMM.rank == 0:
        np.testing.assert_allclose(series.last["rho"], 1.0 + series.last.points[:, 0], atol=1e-12)


def test_what_cannot_be_drawn_is_refused():
    on, other = mesh_of("interval", cells=8), mesh_of("interval", cells=9)
    first = function(on, ("Lagrange", 1), lambda x: x[0])
    squares = mesh.create_unit_square(MPI.COMM_WORLD, 2, 2, mesh.CellType.quadrilateral)
    for functions, message in (
        ([], "no functions to draw"),
        ([first, first], "different names"),
        ([first, function(other, ("Lagrange", 1), lambda x: x[0], "u")], "on one mesh"),
        ([function(squares, ("Lagrange", 1), lambda x: x[0])], "not on a quadrilateral"),
    ):
        with pytest.raises(InputError, match=message):
            gathered(functions)
    with pytest.raises(InputError, match="at least one time"):
        GatheredFields({})
