"""UFL expressions at the vertices of a mesh, and sums over vertices: what mass lumping needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numba
import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from ufl.core.expr import Expr


@numba.njit(cache=True)
def _cover(dofs: npt.NDArray[np.int32], nodes: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Cells whose vertices are all nodes, few of them, and the row of each node in their flattened table."""
    cells, vertices = dofs.shape
    row = np.full(nodes, -1, dtype=np.int64)
    chosen = np.empty(cells, dtype=np.int32)
    count = 0
    # Cells that add many nodes come first.
    for wanted in range(vertices, 0, -1):
        for cell in range(cells):
            new = 0
            for k in range(vertices):
                new += row[dofs[cell, k]] < 0
            if new < wanted:
                continue
            for k in range(vertices):
                if row[dofs[cell, k]] < 0:
                    row[dofs[cell, k]] = count * vertices + k
            chosen[count] = cell
            count += 1
    return chosen[:count].copy(), row


class NodalCover:
    """A small set of cells that touches every vertex of a P1 space, to evaluate expressions there once each.

    Args:
        space: The scalar P1 space.
    """

    def __init__(self, space: fem.FunctionSpace) -> None:
        dofmap = space.dofmap
        nodes = dofmap.index_map.size_local + dofmap.index_map.num_ghosts
        self.mesh = space.mesh
        self.cells, self.rows = _cover(np.ascontiguousarray(dofmap.list), nodes)
        # Reference vertices in the order of the P1 basis functions.
        self.points = space.element.interpolation_points


class NodalExpression:
    """UFL scalars evaluated at the nodes of a P1 space, ghosts included.

    Args:
        cover: Where to evaluate.
        expressions: k UFL scalars; compiled once, together and collectively.
    """

    def __init__(self, cover: NodalCover, expressions: Sequence[Expr]) -> None:
        self._cover = cover
        # A coordinate comes along, because DOLFINx does not find the mesh of expressions that are constant.
        x = ufl.SpatialCoordinate(cover.mesh)
        vector = ufl.as_vector([*expressions, x[0]])
        self._compiled = fem.Expression(vector, cover.points, comm=cover.mesh.comm)

    def __call__(self) -> npt.NDArray[np.float64]:
        """Values of shape (nodes, k) at the present values of the functions in the expressions."""
        values = cast("npt.NDArray[np.float64]", self._compiled.eval(self._cover.mesh, self._cover.cells))
        return values.reshape(-1, values.shape[-1])[self._cover.rows, :-1]
