"""Functions of the position at the nodes of a space, however they are given."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem, la
from ufl.core.expr import Expr
from ufl.domain import extract_domains

from fem_models.expressions.functions import FunctionOfX, WrittenInUflError, as_ufl, at_points, require_mesh
from fem_models.meshes.torus import node_points
from fem_models.nodal.evaluation import NodalCover, NodalExpression
from fem_models.nodal.seam import check_expressions

# Of the rule for means, whose points are inside of cells.
_DEGREE = 4


def nodal_means(
    given: FunctionOfX, space: fem.FunctionSpace, what: str, cells: npt.NDArray[np.int32] | None = None
) -> fem.Function:
    """The means ∫fλ_i / ∫λ_i of a function around the nodes of a P1 space, cell by cell. Collective.

    Of a function that jumps between cells they keep the integral, whatever side of a jump the node is on.

    Args:
        given: A number, text, a UFL expression or a function of x with UFL functions.
        space: The scalar P1 space.
        what: What it is for the user, to begin messages with.
        cells: Local cells that count; all by default.

    Returns:
        The means, a function of the space; zero at nodes of no such cell.

    Raises:
        InputError: It is something else, or cannot be evaluated.
    """
    x, test = ufl.SpatialCoordinate(space.mesh), ufl.TestFunction(space)
    f = as_ufl(given, x, what)
    require_mesh(f, space.mesh, what)
    means, weights = fem.Function(space), fem.Function(space)
    if not extract_domains(f):
        means.x.array[:] = NodalExpression(NodalCover(space), [f])()[:, 0]
        return means
    parts = None
    if cells is not None:
        owned = space.mesh.topology.index_map(space.mesh.topology.dim).size_local
        parts = [(1, np.sort(cells[cells < owned]))]
    dx = ufl.Measure("dx", space.mesh, subdomain_data=parts, metadata={"quadrature_degree": _DEGREE})
    dx = dx if parts is None else dx(1)
    for function, factor in ((means, f), (weights, 1.0)):
        fem.assemble_vector(function.x.array, fem.form(factor * test * dx, jit_comm=space.mesh.comm))
        function.x.scatter_reverse(la.InsertMode.add)
        function.x.scatter_forward()
    np.divide(means.x.array, weights.x.array, out=means.x.array, where=weights.x.array > 0.0)
    return means


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
    points = node_points(space)[:, : space.mesh.geometry.dim].T
    if isinstance(given, np.ndarray):
        return at_points(given, points, what)
    if not isinstance(given, Expr):
        try:
            return at_points(given, points if nodes is None else points[:, nodes], what)
        except WrittenInUflError:
            pass
    expression = as_ufl(given, ufl.SpatialCoordinate(space.mesh), what)
    require_mesh(expression, space.mesh, what)
    check_expressions(space, [(what, expression)])
    values = NodalExpression(NodalCover(space), [expression])()[:, 0]
    return values if nodes is None else values[nodes]
