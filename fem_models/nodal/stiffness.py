"""The P1 stiffness of -div(a ∇·) along the edges of a simplicial mesh.

The gradients of the P1 basis functions of a cell sum to zero, so that with k_ij = -∫ a∇λ_i·∇λ_j the stiffness
acts as (Kc)_i = Σ_j k_ij (c_i - c_j), and ½ ∫ a∇c·∇c = ½ Σ_edges k_ij (c_i - c_j)². The same holds on any
number of ranks, and constants are in the kernel to round-off by construction.
"""

from __future__ import annotations

from typing import Any, cast

import basix
import numba
import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh
from mpi4py import MPI
from ufl.algorithms import extract_coefficients
from ufl.algorithms.analysis import extract_constants
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.nodal.edges import (
    EDGE_VERTICES,
    basis_gradients,
    cell_corners,
    cell_edges,
    cell_volumes,
    edge_nodes,
    round_off,
    sum_over_edges,
)

_Array = npt.NDArray[np.float64]

_ASYMMETRY = 1e-10


class Stiffness:
    """The stiffness of a coefficient at the edges of this rank. Collective to build.

    Args:
        space: The scalar P1 space, of dimension d.
        coefficient: a, symmetric: a number, a UFL scalar or a UFL tensor of shape (d, d). The values of
            DOLFINx's constants and functions in it are read anew where they have changed.
        degree: Degree up to which the quadrature of a on each cell is exact; its points are inside the cell.

    Attributes:
        pairs: Local nodes i, j of the edges, shape (edges, 2), int32; edges with k_ij = 0 are left out, but
            where the coefficient may change.

    Raises:
        InputError: A coefficient of another shape, not symmetric, or not finite on some cell.
    """

    def __init__(self, space: fem.FunctionSpace, coefficient: float | Expr, degree: int = 2) -> None:
        mesh = self._mesh = space.mesh
        dim = mesh.topology.dim
        self._cells = np.arange(mesh.topology.index_map(dim).size_local, dtype=np.int32)
        a = _tensor(coefficient, dim)
        self._means = _CellMeans(mesh, a, self._cells, degree)
        self._data: list[Any] = [*extract_constants(a), *extract_coefficients(a)]
        self._known = self._values()
        k = self._assembled()
        used = np.ones(len(k), dtype=bool) if self._data else ~round_off(mesh.comm, k)[0]
        self.pairs = np.ascontiguousarray(edge_nodes(space)[used])
        self._k = np.ascontiguousarray(k[used])

    @property
    def k(self) -> _Array:
        """k_ij = -∫ a∇λ_i·∇λ_j over all cells of all ranks, shape (edges,), in units of a times length^(d-2).

        Collective where the coefficient may change.
        """
        if self._data:
            values = self._values()
            same = all(map(np.array_equal, values, self._known))
            if not self._mesh.comm.allreduce(same, op=MPI.LAND):
                self._known, self._k = values, self._assembled()
        return self._k

    def _values(self) -> list[_Array]:
        """The values of the constants and functions in the coefficient."""
        return [
            np.array(item.x.array if isinstance(item, fem.Function) else item.value) for item in self._data
        ]

    def _assembled(self) -> _Array:
        mesh, cells = self._mesh, self._cells
        corners = cell_corners(mesh, cells)
        gradients = basis_gradients(corners)
        fluxes = np.einsum("c,ckl,cjl->cjk", cell_volumes(corners), self._means(), gradients)
        edges = EDGE_VERTICES[mesh.topology.dim]
        parts = np.stack([-np.einsum("ck,ck->c", gradients[:, a], fluxes[:, b]) for a, b in edges], axis=1)
        return sum_over_edges(mesh, cell_edges(mesh, cells), parts)


def _tensor(coefficient: float | Expr, dim: int) -> Expr:
    a = ufl.as_ufl(coefficient)
    if a.ufl_shape == ():
        return a * ufl.Identity(dim)
    if a.ufl_shape != (dim, dim):
        raise InputError(
            f"The coefficient of the stiffness has shape {a.ufl_shape}: "
            f"give a scalar or a tensor of shape {(dim, dim)}."
        )
    return a


class _CellMeans:
    """Means of a tensor over cells."""

    def __init__(self, mesh: dmesh.Mesh, a: Expr, cells: npt.NDArray[np.int32], degree: int) -> None:
        self._mesh, self._cells, dim = mesh, cells, mesh.topology.dim
        points, weights = cast(
            "tuple[_Array, _Array]",
            basix.make_quadrature(getattr(basix.CellType, mesh.topology.cell_name()), degree),
        )
        self._weights = weights / weights.sum()
        entries = [a[k, m] for k in range(dim) for m in range(dim)]
        # A coordinate comes along, because DOLFINx does not find the mesh of expressions that are constant.
        self._compiled = fem.Expression(
            ufl.as_vector([*entries, ufl.SpatialCoordinate(mesh)[0]]), points, comm=mesh.comm
        )

    def __call__(self) -> _Array:
        """The means, shape (cells, d, d). Collective."""
        mesh, dim, count = self._mesh, self._mesh.topology.dim, len(self._cells)
        values = self._compiled.eval(mesh, self._cells).reshape(count, len(self._weights), -1)[:, :, :-1]
        mean = np.einsum("q,cqe->ce", self._weights, values).reshape(-1, dim, dim)
        finite = mesh.comm.allreduce(bool(np.all(np.isfinite(mean))), op=MPI.LAND)
        if not finite:
            raise InputError(
                "The coefficient of the stiffness is not finite everywhere: check its expression."
            )
        skew = np.abs(mean - mean.transpose(0, 2, 1)).max(initial=0.0)
        sizes = np.abs(mean).max(initial=0.0), skew
        largest, skew = (mesh.comm.allreduce(float(x), op=MPI.MAX) for x in sizes)
        if skew > _ASYMMETRY * largest:
            raise InputError("The coefficient of the stiffness must be a symmetric tensor: symmetrise it.")
        return mean


@numba.njit(cache=True, error_model="numpy")
def add_differences(pairs: npt.NDArray[np.int32], k: _Array, values: _Array, out: _Array) -> None:
    """Add Σ_j k_ij (c_i - c_j) to `out`; nodes of other ranks get their part too.

    Args:
        pairs: Nodes of the edges, shape (edges, 2).
        k: Coefficients, shape (edges,).
        values: c, ghosts included, shape (nodes,).
        out: Result, shape (nodes,).
    """
    for e in range(len(k)):
        i, j = pairs[e, 0], pairs[e, 1]
        flux = k[e] * (values[i] - values[j])
        out[i] += flux
        out[j] -= flux
