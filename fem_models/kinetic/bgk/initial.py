"""Initial states from functions of x, or of x and v."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.expressions import Expression
from fem_models.expressions.functions import FunctionOfX, at_points
from fem_models.kinetic.bgk.model import KineticModel
from fem_models.kinetic.bgk.modes import gauss_hermite
from fem_models.kinetic.bgk.state import KineticState

_Array = npt.NDArray[np.float64]

FunctionOfXAndV = Expression | Callable[[_Array, _Array], _Array]
"""An expression in the coordinates and v, w, u; or a NumPy function of x and v, of shape (d, n) each."""

VELOCITIES = ("v", "w", "u")
"""The names of the components of the velocity in expressions."""

# Gauss–Hermite nodes in each direction for the projection to modes, by the dimension; more where modes need
# more.
_NODES = {1: 64, 2: 24, 3: 12}
# So many values at a time.
_SOME = 1_000_000
# What is outside of the bounds by rounding alone.
_SLACK = 1e-12


def state_of_moments(
    model: KineticModel, density: FunctionOfX, odd: Mapping[int, FunctionOfX] | None = None
) -> KineticState:
    """F = (ρ(x) + Σ_a g_a(x) v_a) M, with the density and a part that is odd in v. Collective.

    Args:
        model: The kinetic equation.
        density: ρ: a number, text or NumPy function of x.
        odd: g_a by the axis a.

    Returns:
        The state, with nodal values of ρ and values of g at the points for odd modes; within the bounds
        where the model has any.

    Raises:
        InputError: A function that is not finite, a density for which the rate is none, or values outside of
            the bounds.
    """
    space = model.space
    points = space.node_points()
    inside = space.odd_points()
    found = _finite(model, at_points(density, points.T, "rho"), "rho")
    even = np.zeros((len(points), len(space.modes.even)))
    even[:, 0] = found
    table = np.zeros((len(inside), len(space.modes.odd)))
    size = np.zeros(len(points))
    largest = float(space.modes.nodes[0].max())
    for axis, given in (odd or {}).items():
        name = f"odd_{'xyz'[axis]}"
        table[:, axis] = _finite(model, at_points(given, inside.T, name), name)
        size += largest * np.abs(_finite(model, at_points(given, points.T, name), name))
    _check_bounds(model, found - size, found + size, "rho")
    return _started(model, even, table)


def state_of_function(model: KineticModel, given: FunctionOfXAndV, what: str = "f_over_M") -> KineticState:
    """f/M = g(x, v), projected to the Hermite modes by Gauss–Hermite quadrature. Collective.

    With bounds the quadrature has the nodes at which they are kept.

    Args:
        model: The kinetic equation.
        given: g.
        what: What it is for the user, to begin messages with.

    Returns:
        As for `state_of_moments`: even modes from the nodes, odd ones from the points for odd modes.

    Raises:
        InputError: As for `state_of_moments`.
    """
    space = model.space
    dim, degree = space.modes.dimension, space.modes.degree
    count = degree + 1 if model.bounds is not None else max(_NODES[dim], degree + 1)
    velocities, weights = gauss_hermite(dim, count)
    even, odd = space.modes.values(velocities)
    tables = []
    for points, values in ((space.node_points(), even), (space.odd_points(), odd)):
        table = np.zeros((len(points), values.shape[1]))
        least, most = np.full(len(points), np.inf), np.full(len(points), -np.inf)
        chunk = max(1, _SOME // max(len(points), 1))
        for begin in range(0, len(velocities), chunk):
            some = slice(begin, begin + chunk)
            found = _evaluated(given, points, velocities[some], what)
            table += found @ (weights[some, None] * values[some])
            least, most = np.minimum(least, found.min(axis=1)), np.maximum(most, found.max(axis=1))
        _check_bounds(model, least, most, what)
        tables.append(_finite(model, table, what))
    return _started(model, tables[0], tables[1])


def _started(model: KineticModel, even: _Array, odd: _Array) -> KineticState:
    """The state of tables, whose density the rate must allow."""
    space = model.space
    shape = (len(space.cells), len(space.weights), len(space.modes.odd))
    state = KineticState(space.with_ghosts(even[: space.owned]), odd.reshape(shape))
    if problem := model.rate_problem(model.densities(state)):
        raise InputError(f"[initial] {problem}; change the initial data or the rate.")
    return model.bounded(state)


def _evaluated(given: FunctionOfXAndV, points: _Array, velocities: _Array, what: str) -> _Array:
    """G at all pairs, shape (points, velocities)."""
    x = np.repeat(points, len(velocities), axis=0).T
    v = np.tile(velocities, (len(points), 1)).T
    if isinstance(given, Expression):
        values = given.numpy(x, fields=dict(zip(VELOCITIES, v, strict=False)))
    else:
        values = np.asarray(given(x, v), dtype=np.float64)
        if values.shape not in ((), (x.shape[1],)):
            raise InputError(f"{what} must give one value for each of {x.shape[1]} points and velocities.")
    return np.broadcast_to(values, x.shape[1:]).reshape(len(points), len(velocities))


def _finite(model: KineticModel, values: _Array, what: str) -> _Array:
    """The values, all finite. Collective."""
    if not model.comm.allreduce(bool(np.isfinite(values).all()), op=MPI.LAND):
        raise InputError(f"[initial] {what} is not finite everywhere; change the expression.")
    return values


def _check_bounds(model: KineticModel, least: _Array, most: _Array, what: str) -> None:
    """Refuse values outside of the bounds. Collective."""
    if model.bounds is None:
        return
    low = model.comm.allreduce(float(least.min(initial=np.inf)), op=MPI.MIN)
    high = model.comm.allreduce(float(most.max(initial=-np.inf)), op=MPI.MAX)
    level = model.bounds
    if low < 1.0 / level - _SLACK or high > level + _SLACK:
        raise InputError(
            f"[initial] {what} gives f/M from {low:.6g} to {high:.6g} at the Gauss–Hermite nodes, "
            f"outside of 1/A to A for bounds = A = {level:g}; take a larger A or other data."
        )
