"""The edges of a simplicial mesh with the Voronoi coefficients of the Laplacian, and the nodal volumes.

For an edge ij the coefficient is κ_ij = |face between the Voronoi cells of i and j| / |x_i - x_j|, summed
from signed parts of the cells around the edge: each part runs from the edge's midpoint over the circumcentres
of the cell's faces to the circumcentre of the cell. In 1D and 2D this is the P1 stiffness -∫ ∇λ_i·∇λ_j; in 3D
the stiffness has negative entries on most meshes, the Voronoi coefficients have none on a Delaunay mesh whose
boundary cells are not too flat. Where they are ≥ 0, sign and energy of the edge-averaged scheme are promises.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem_models.linalg.exchange import sums

_Array = npt.NDArray[np.float64]

Lumping = Literal["voronoi", "cells"]

# Coefficients below this share of their mean are round-off: of opposite right angles in 2D (the diagonals of
# structured meshes), of faces of zero area in 3D.
_ROUND_OFF = 1e-12

# Vertices of the edges of a cell, in the order of its edges (basix).
EDGE_VERTICES = {
    1: ((0, 1),),
    2: ((1, 2), (0, 2), (0, 1)),
    3: ((2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1)),
}


class EdgeGeometry:
    """Edges, coefficients and volumes for the nodes of a P1 space. Collective to build.

    Args:
        space: The scalar P1 space.
        cells: Local cells of a region, ghosts among them or not, int32. Only these count then: edges outside
            are left out, and nodes that touch none of the cells have volume 0. Without it, all cells.
        lumping: "voronoi" for the volumes of Voronoi cells in 3D, if all are positive; "cells" for a share
            1/(d+1) of every cell.

    Attributes:
        pairs: Local node numbers i, j of this rank's edges, shape (edges, 2), int32.
        kappa: Their coefficients κ_ij, shape (edges,); in units of length^(d-2).
        volumes: Nodal volumes m_i, ghosts included, shape (nodes,); Σ_i m_i is the volume of the domain.
            Those of the Voronoi cells in 3D (see `lumping`), a share 1/(d+1) of every cell otherwise.
        lengths: Edge lengths, shape (edges,).
        negative_share: Share of edges of the whole mesh (or region) whose coefficient is negative.
        voronoi_volumes: Whether `volumes` are those of Voronoi cells.
        h_min, h_max: Shortest and longest edge of the whole mesh (or region).
    """

    def __init__(
        self,
        space: fem.FunctionSpace,
        cells: npt.NDArray[np.int32] | None = None,
        lumping: Lumping = "voronoi",
    ) -> None:
        mesh = space.mesh
        comm = mesh.comm
        owned = mesh.topology.index_map(mesh.topology.dim).size_local
        cells = np.arange(owned, dtype=np.int32) if cells is None else cells[cells < owned]
        corners = cell_corners(mesh, cells)
        parts, shares = _CELL_PARTS[mesh.topology.dim](corners)

        of_cell = cell_edges(mesh, cells)
        inside = sum_over_edges(mesh, of_cell, np.ones_like(parts)) > 0.0
        kappa = sum_over_edges(mesh, of_cell, parts)[inside]
        pairs = edge_nodes(space)[inside]
        lengths = _edge_lengths(mesh)[inside]

        tiny, count = round_off(comm, kappa)
        negative = comm.allreduce(int(np.count_nonzero((kappa < 0.0) & ~tiny)))
        self.negative_share = float(negative / count)
        self.h_min = comm.allreduce(float(lengths.min(initial=math.inf)), op=MPI.MIN)
        self.h_max = comm.allreduce(float(lengths.max(initial=0.0)), op=MPI.MAX)
        # Edges without a coefficient carry no flux and are left out.
        self.pairs = np.ascontiguousarray(pairs[~tiny])
        self.kappa = np.ascontiguousarray(kappa[~tiny])
        self.lengths = np.ascontiguousarray(lengths[~tiny])
        self._set_volumes(space, space.dofmap.list[cells], corners, shares if lumping == "voronoi" else None)

    def _set_volumes(
        self, space: fem.FunctionSpace, dofs: npt.NDArray[np.int32], corners: _Array, shares: _Array | None
    ) -> None:
        """Voronoi volumes if they are positive at all nodes of the cells, and otherwise equal shares."""
        comm = space.mesh.comm
        dim = corners.shape[2]
        equal = np.repeat(cell_volumes(corners)[:, None] / (dim + 1), dim + 1, axis=1)
        self.voronoi_volumes = False
        self.volumes = sums(space.dofmap.index_map, dofs, equal)
        if shares is not None:
            volumes = sums(space.dofmap.index_map, dofs, shares)
            positive = bool(np.all(volumes[self.volumes > 0.0] > 0.0))
            if comm.allreduce(positive, op=MPI.LAND):
                self.volumes = volumes
                self.voronoi_volumes = True


def cell_corners(mesh: dmesh.Mesh, cells: npt.NDArray[np.int32]) -> _Array:
    """Corners of cells, shape (cells, dim + 1, dim).

    Args:
        mesh: The mesh.
        cells: Local cells, int32.

    Returns:
        Shape (cells, dim + 1, dim).
    """
    return mesh.geometry.x[mesh.geometry.dofmaps[0][cells]][:, :, : mesh.topology.dim]


def cell_volumes(corners: _Array) -> _Array:
    """Volumes of cells with these corners, shape (cells,).

    Args:
        corners: Corners, shape (cells, dim + 1, dim).

    Returns:
        Shape (cells,), positive.
    """
    dim = corners.shape[2]
    return np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / math.factorial(dim)


def basis_gradients(corners: _Array) -> _Array:
    """The gradients ∇λ of the P1 basis functions of cells.

    Args:
        corners: Corners of the cells, shape (cells, d + 1, d).

    Returns:
        Shape (cells, d + 1, d), in units of one over length.
    """
    # Rows of the inverse are the gradients of the barycentric coordinates but the first.
    others = np.linalg.inv(corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1)
    return np.concatenate([-others.sum(axis=1, keepdims=True), others], axis=1)


def cell_edges(mesh: dmesh.Mesh, cells: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Local edges of cells in the order of `EDGE_VERTICES`, shape (cells, edges of a cell). Collective.

    Args:
        mesh: The mesh.
        cells: Local cells, int32.

    Returns:
        Shape (cells, edges of a cell).
    """
    dim = mesh.topology.dim
    mesh.topology.create_entities(1)
    if dim == 1:  # The edges are the cells, and no connectivity between them is needed.
        return cells[:, None]
    mesh.topology.create_connectivity(dim, 1)
    return mesh.topology.connectivity(dim, 1).array.reshape(-1, len(EDGE_VERTICES[dim]))[cells]


def sum_over_edges(mesh: dmesh.Mesh, of_cell: npt.NDArray[np.int32], parts: _Array) -> _Array:
    """Sum the parts of cells over all ranks at the edges of this rank, shape (edges,). Collective.

    Args:
        mesh: The mesh.
        of_cell: Edges of cells of this rank (no ghosts), as from `cell_edges`.
        parts: A number for each, of the same shape.

    Returns:
        Shape (edges of this rank,).
    """
    edge_map = mesh.topology.index_map(1)
    return sums(edge_map, of_cell, parts)[: edge_map.size_local]


def edge_nodes(space: fem.FunctionSpace) -> npt.NDArray[np.int32]:
    """The two nodes of a P1 space at each edge of this rank, shape (edges, 2). Collective.

    Args:
        space: The scalar P1 space.

    Returns:
        Local nodes, ghosts among them, shape (edges, 2).
    """
    mesh = space.mesh
    # All cells, ghosts too: an edge of this rank may lie in no cell of this rank but in a ghost.
    dofs = space.dofmap.list
    of_cell = cell_edges(mesh, np.arange(len(dofs), dtype=np.int32))
    edges = mesh.topology.index_map(1).size_local
    pairs = np.empty((edges, 2), dtype=np.int32)
    for k, vertices in enumerate(EDGE_VERTICES[mesh.topology.dim]):
        mine = of_cell[:, k] < edges
        pairs[of_cell[mine, k]] = dofs[mine][:, vertices]
    return pairs


def _edge_lengths(mesh: dmesh.Mesh) -> _Array:
    """The lengths of this rank's edges, from the corners of cells: nodes of a torus have several places."""
    # All cells, as in `edge_nodes`.
    every = np.arange(len(mesh.geometry.dofmaps[0]), dtype=np.int32)
    corners, of_cell = cell_corners(mesh, every), cell_edges(mesh, every)
    lengths = np.empty(mesh.topology.index_map(1).size_local)
    for k, (a, b) in enumerate(EDGE_VERTICES[mesh.topology.dim]):
        mine = of_cell[:, k] < len(lengths)
        lengths[of_cell[mine, k]] = np.linalg.norm(corners[mine, a] - corners[mine, b], axis=1)
    return lengths


def round_off(comm: MPI.Comm, values: _Array) -> tuple[npt.NDArray[np.bool_], float]:
    """Which coefficients of this rank's edges are round-off, and the number of all edges. Collective.

    Args:
        comm: The ranks.
        values: Coefficients of this rank's edges, shape (edges,).

    Returns:
        Whether each is round-off, and the number of edges on all ranks.
    """
    count, total = comm.allreduce(np.array([len(values), np.abs(values).sum()]))
    return np.abs(values) <= _ROUND_OFF * total / max(count, 1.0), float(count)


def _interval_parts(corners: _Array) -> tuple[_Array, None]:
    return 1.0 / np.abs(corners[:, 1] - corners[:, 0]), None


def _triangle_parts(corners: _Array) -> tuple[_Array, None]:
    """Half the cotangent of the angle opposite to each edge: the circumcentre's distance over the length."""
    return np.stack(
        [
            0.5 * _cotangent(corners[:, k], corners[:, a], corners[:, b])
            for k, (a, b) in enumerate(EDGE_VERTICES[2])
        ],
        axis=1,
    ), None


def _tetrahedron_parts(corners: _Array) -> tuple[_Array, _Array]:
    """Dual face of each edge over its length, and the volume around each vertex.

    The dual face of an edge in a cell is made of two right triangles, one for each face f at the edge, with
    the legs s_f (from the edge's midpoint to the circumcentre of f) and h_f (from there to that of the cell),
    both signed.
    """
    origin = corners[:, 0]
    sides = corners[:, 1:] - origin[:, None]
    center = origin + np.linalg.solve(2.0 * sides, (sides**2).sum(axis=2)[..., None])[..., 0]
    height = np.empty(corners.shape[:2])  # of the circumcentre above the face opposite to each vertex
    for d in range(4):
        p, q, r = (corners[:, k] for k in range(4) if k != d)
        normal = np.cross(q - p, r - p)
        normal /= np.linalg.norm(normal, axis=1)[:, None]
        inside = np.sign(np.einsum("ij,ij->i", corners[:, d] - p, normal))
        height[:, d] = inside * np.einsum("ij,ij->i", center - p, normal)

    parts = np.empty((len(corners), 6))
    shares = np.zeros(corners.shape[:2])
    for e, (a, b) in enumerate(EDGE_VERTICES[3]):
        squared = ((corners[:, a] - corners[:, b]) ** 2).sum(axis=1)
        c, d = (k for k in range(4) if k not in (a, b))
        # Area / length: s_f = |ab|/2 cot(angle opposite to ab in f), and the face abc is opposite to d.
        parts[:, e] = 0.25 * (
            _cotangent(corners[:, c], corners[:, a], corners[:, b]) * height[:, d]
            + _cotangent(corners[:, d], corners[:, a], corners[:, b]) * height[:, c]
        )
        # The pyramid over the dual face with its tip in either end: area · (|ab|/2) / 3.
        for end in (a, b):
            shares[:, end] += parts[:, e] * squared / 6.0
    return parts, shares


def _cotangent(tip: _Array, a: _Array, b: _Array) -> _Array:
    """Cotangent of the angle at `tip` in the triangle with a and b, shape (cells,)."""
    u, v = a - tip, b - tip
    dot = np.einsum("ij,ij->i", u, v)
    square = np.einsum("ij,ij->i", u, u) * np.einsum("ij,ij->i", v, v)
    return dot / np.sqrt(np.maximum(square - dot**2, np.finfo(float).tiny))


_CELL_PARTS = {1: _interval_parts, 2: _triangle_parts, 3: _tetrahedron_parts}
