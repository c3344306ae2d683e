"""Functions of the position at the nodes of a space, however they are given."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from ufl.core.expr import Expr

from fem_models.expressions.functions import FunctionOfX, WrittenInUflError, as_ufl, at_points, require_mesh
from fem_models.nodal.evaluation import NodalCover, NodalExpression


def nodal_values(
    given: FunctionOfX | npt.NDArray[np.float64],
    space: fem.FunctionSpace,
    what: str,
    nodes: npt.NDArray[np.int32] | None = None,
) -> npt.NDArray[np.float64]:
    """The values of a function at nodes of a scalar Lagrange space. Collective.

    Args:
        given: A number, text, a UFL expression or DOLFINx function on the mesh of the space, a function of x
            with UFL or NumPy functions, or the values themselves.
        space: The space.
        what: What it is for the user, to begin messages with.
        nodes: Local nodes; all of this rank, ghosts included, by default.

    Returns:
        Values of shape (nodes,), dimensionless; not a number where the function is none.

    Raises:
        InputError: It is something else, or cannot be evaluated.
    """
    points = space.tabulate_dof_coordinates()[:, : space.mesh.geometry.dim].T
    if isinstance(given, np.ndarray):
        return at_points(given, points, what)
    if not isinstance(given, Expr):
        try:
            return at_points(given, points if nodes is None else points[:, nodes], what)
        except WrittenInUflError:
            pass
    expression = as_ufl(given, ufl.SpatialCoordinate(space.mesh), what)
    require_mesh(expression, space.mesh, what)
    values = NodalExpression(NodalCover(space), [expression])()[:, 0]
    return values if nodes is None else values[nodes]
