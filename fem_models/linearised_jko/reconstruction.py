"""Linear reconstruction of piecewise constants from their neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from petsc4py import PETSc

from fem_models.linalg.coordinates import coordinate_matrix, global_numbers

# Directions to neighbours count as dependent below this ratio of singular values: there the slope is that in
# the other directions alone, as it is on cells with few neighbours at the boundary.
_SMALLEST_RATIO = 0.2


def linear_reconstruction(constants: fem.FunctionSpace, linears: fem.FunctionSpace) -> PETSc.Mat:
    """The matrix R of u → u_T + G_T u·(x - x_T) on each cell T, with its centroid x_T. Collective.

    The slope G_T u is that of the least squares fit through u_T to the values at the centroids of the
    neighbours over facets, each divided by its distance: it is exact for affine u wherever the neighbours lie
    in all directions, the mean of a cell is kept, and so are constants.

    Args:
        constants: DG_0 on a mesh of simplices whose ghosts are the neighbours over facets.
        linears: DG_1 there.

    Returns:
        A sparse matrix with rows of `linears` and columns of `constants`.
    """
    neighbours = _neighbours(constants)
    cells = len(neighbours)
    mesh = constants.mesh
    corners = mesh.geometry.x[mesh.geometry.dofmaps[0]][:, :, : mesh.geometry.dim]
    centers = corners.mean(axis=1)
    exists = neighbours >= 0
    steps = np.where(exists[:, :, None], centers[neighbours] - centers[:cells, None], 0.0)
    lengths = np.where(exists, np.linalg.norm(steps, axis=2), 1.0)
    # Slope from differences to the neighbours, shape (cells, dim, neighbours).
    slopes = np.linalg.pinv(steps / lengths[:, :, None], rcond=_SMALLEST_RATIO) / lengths[:, None, :]
    points = linears.tabulate_dof_coordinates()[linears.dofmap.list[:cells]][:, :, : mesh.geometry.dim]
    weights = (points - centers[:cells, None]) @ slopes
    weights = np.concatenate([1.0 - weights.sum(axis=2, keepdims=True), weights], axis=2)
    sources = np.concatenate([np.arange(cells)[:, None], np.where(exists, neighbours, -1)], axis=1)
    numbers = np.append(
        global_numbers(constants.dofmap.index_map, constants.dofmap.list[:, 0]), PETSc.IntType(-1)
    )
    columns = np.broadcast_to(numbers[sources][:, None, :], weights.shape)
    rows = np.broadcast_to(
        global_numbers(linears.dofmap.index_map, linears.dofmap.list[:cells])[:, :, None], weights.shape
    )

    # Negative numbers, of neighbours that do not exist, are left out.
    height, width = linears.dofmap.index_map, constants.dofmap.index_map
    matrix = coordinate_matrix(mesh.comm, height, width, rows.ravel(), columns.ravel())
    matrix.setValuesCOO(weights.ravel())
    return matrix


def _neighbours(space: fem.FunctionSpace) -> npt.NDArray[np.int64]:
    """The cells over the facets of owned cells, -1 at the boundary; shape (owned cells, facets)."""
    topology = space.mesh.topology
    dimension = topology.dim
    topology.create_connectivity(dimension, dimension - 1)
    topology.create_connectivity(dimension - 1, dimension)
    owned = topology.index_map(dimension).size_local
    facets = topology.connectivity(dimension, dimension - 1).array.reshape(-1, dimension + 1)[:owned]
    beside = topology.connectivity(dimension - 1, dimension)
    first = beside.array[beside.offsets[:-1]]
    last = beside.array[beside.offsets[1:] - 1]
    this = np.arange(owned)[:, None]
    # Facets of the boundary have one cell: it is the first and the last.
    other = np.where(first[facets] == this, last[facets], first[facets])
    return np.where(other == this, -1, other)
