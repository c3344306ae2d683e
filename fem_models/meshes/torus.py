"""Tori: meshes of simplices without a boundary, whose opposite sides are one.

DOLFINx has no periodic spaces, but a mesh there is a topology and a geometry. The topology is that of cells
with identified vertices; in the geometry every cell has corners of its own, so that a cell at the seam lies
beside one side of the brick that the torus was made of, and not across the whole of it. All spaces and forms
follow from these two. Lengths are in the units of the mesh, dimensionless in the examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import basix.ufl
import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import cpp, fem
from dolfinx import mesh as dmesh
from dolfinx.common import IndexMap
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.meshes.simplices import CELL_NAME, check_cell_count

_Array = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int64]
_Numbers = Sequence[float] | _Array
_Corners = Callable[[_Indices], _Array]

FEWEST = 3
"""Cells around a torus, at least: with fewer, two cells have the same vertices."""

# Of messages between the ranks that set up the numbering of the corners.
_TAG = 1205

# Points that close to a side, relative to the length, are at it.
_AT_SIDE = 1e-10


class Torus(dmesh.Mesh):
    """A mesh without a boundary: a brick whose opposite sides are one.

    Args:
        plain: The mesh with identified vertices and a geometry of its own for each cell.
        corner: Lower corner of the brick, shape (dim,).
        lengths: Its side lengths, shape (dim,).

    Attributes:
        corner: The lower corner.
        lengths: The side lengths, in the units of the mesh.
    """

    def __init__(self, plain: dmesh.Mesh, corner: _Numbers, lengths: _Numbers) -> None:
        super().__init__(plain._cpp_object, plain.ufl_domain())
        self.corner = tuple(map(float, corner))
        self.lengths = tuple(map(float, lengths))

    def folded(self, points: _Array) -> _Array:
        """Points with those at upper sides moved to the lower ones, so that what is one is at one place.

        Args:
            points: Coordinates in the brick, shape (points, 3) or (points, dim).

        Returns:
            New coordinates, of the same shape.
        """
        moved, corner, lengths = points.copy(), np.array(self.corner), np.array(self.lengths)
        inside = moved[:, : len(corner)]
        near = _AT_SIDE * lengths
        at_side = (np.abs(inside - corner) <= near) | (np.abs(inside - corner - lengths) <= near)
        moved[:, : len(corner)] = np.where(at_side, corner, inside)
        return moved


def lengths_of(mesh: dmesh.Mesh) -> tuple[float, ...] | None:
    """The lengths of a torus.

    Args:
        mesh: A mesh.

    Returns:
        Its lengths, shape (dim,); None where it is no torus.
    """
    return mesh.lengths if isinstance(mesh, Torus) else None


def node_points(space: fem.FunctionSpace) -> _Array:
    """The coordinates of the nodes of a space, on a torus those at the lower sides of its brick.

    Args:
        space: A scalar Lagrange space.

    Returns:
        Shape (nodes, 3), ghosts included; the same place for a node on all ranks.
    """
    points = space.tabulate_dof_coordinates()
    return space.mesh.folded(points) if isinstance(space.mesh, Torus) else points


def differences(mesh: dmesh.Mesh, points: _Array, pairs: npt.NDArray[np.int32]) -> _Array:
    """The differences of the positions of neighbours, on a torus along the shorter way.

    Args:
        mesh: The mesh.
        points: Coordinates of nodes, shape (nodes, dim).
        pairs: Numbers of neighbours, shape (pairs, 2).

    Returns:
        Shape (pairs, dim).
    """
    found = points[pairs[:, 0]] - points[pairs[:, 1]]
    if isinstance(mesh, Torus):
        found -= np.round(found / mesh.lengths) * mesh.lengths
    return found


def inside_brick(mesh: dmesh.Mesh, points: _Array, pairs: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Those pairs of neighbours between which a straight line runs, without crossing the seam of a torus.

    Args:
        mesh: The mesh.
        points: Coordinates of nodes, shape (nodes, dim).
        pairs: Numbers of neighbours, shape (pairs, 2).

    Returns:
        Pairs of the same kind; all of them where the mesh is no torus.
    """
    if not isinstance(mesh, Torus):
        return pairs
    # Cells are shorter than half of the way around.
    apart = np.abs(points[pairs[:, 0]] - points[pairs[:, 1]]) > 0.5 * np.array(mesh.lengths)
    return pairs[~apart.any(axis=1)]


def structured_torus(comm: MPI.Comm, lengths: _Numbers, counts: Sequence[int]) -> Torus:
    """A torus of equal bricks, each split into d! simplices along its diagonal. Collective.

    Every rank makes its share of the cells.

    Args:
        comm: The ranks that share it.
        lengths: Side lengths, shape (dim,).
        counts: Numbers of bricks around, at least `FEWEST` in each direction.

    Returns:
        The torus, with ghost cells across shared facets.

    Raises:
        InputError: Fewer bricks around, or fewer cells than ranks.
    """
    if min(counts) < FEWEST:
        raise InputError(
            f"A torus needs at least {FEWEST} cells around in each direction, but `cells` is {list(counts)}: "
            "take more."
        )
    dim = len(counts)
    around, sides = np.asarray(counts, dtype=np.int64), np.asarray(lengths, dtype=float)
    steps = _kuhn(dim)
    total = len(steps) * math.prod(counts)
    check_cell_count(comm, total)
    strides = np.cumprod([1, *around[:-1]])

    def lattice(numbers: _Indices) -> _Indices:
        """Lattice points of the corners of cells, not identified: shape (cells, dim + 1, dim)."""
        brick, kind = np.divmod(numbers, len(steps))
        return (brick[:, None] // strides % around)[:, None, :] + steps[kind]

    def corners(numbers: _Indices) -> _Array:
        # Products of whole numbers come first: the last lattice point is then at the length, in all digits.
        return lattice(numbers) * sides / around

    cells = (lattice(share(comm, total)) % around) @ strides
    return with_corners(create_folded(comm, cells, int(around.prod())), corners, np.zeros(dim), sides)


def create_simplices(
    comm: MPI.Comm, cells: _Indices, points: _Array, partitioner: Callable[..., Any] | None = None
) -> dmesh.Mesh:
    """A mesh of simplices. Collective.

    Args:
        comm: The ranks that share it.
        cells: This rank's share of the cells, numbers of vertices, shape (cells, dim + 1).
        points: This rank's share of the vertices, shape (vertices, dim).
        partitioner: What shares the cells out; the usual one without it, with ghost cells across facets.

    Returns:
        The mesh.
    """
    dim = points.shape[1]
    if partitioner is None:
        # Its stub asks for an argument of another overload.
        partitioner = dmesh.create_cell_partitioner(dmesh.GhostMode.shared_facet, 2)  # type: ignore[call-arg]
    return dmesh.create_mesh(comm, cells, ufl.Mesh(_element(dim)), points, partitioner)


def create_folded(comm: MPI.Comm, cells: _Indices, vertices: int) -> dmesh.Mesh:
    """A mesh of cells with identified vertices, whose coordinates mean nothing. Collective.

    Args:
        comm: The ranks that share it.
        cells: This rank's share of the cells, numbers of identified vertices, shape (cells, dim + 1).
        vertices: The number of all identified vertices.

    Returns:
        The mesh, with ghost cells across shared facets.
    """
    return create_simplices(comm, cells, np.zeros((len(share(comm, vertices)), cells.shape[1] - 1)))


def with_corners(folded: dmesh.Mesh, corners: _Corners, corner: _Numbers, lengths: _Numbers) -> Torus:
    """A torus from a mesh of cells with identified vertices. Collective.

    Args:
        folded: The mesh, from `create_folded`; the torus has its cells, facets and vertices.
        corners: Gives the corners of cells, shape (cells, dim + 1, dim), for the numbers in the order in
            which the cells were given; collective.
        corner: Lower corner of the brick, shape (dim,).
        lengths: Its side lengths, shape (dim,).

    Returns:
        The torus.
    """
    topology, comm, dim = folded.topology, folded.comm, folded.topology.dim
    cell_map = topology.index_map(dim)
    count = cell_map.size_local + cell_map.num_ghosts
    ghosts = (cell_map.ghosts[:, None] * (dim + 1) + np.arange(dim + 1)).ravel()
    owners = np.repeat(cell_map.owners, dim + 1)
    nodes = IndexMap(comm, cell_map.size_local * (dim + 1), ghosts, owners, _TAG)
    numbers = np.asarray(topology.original_cell_index[:count], dtype=np.int64)
    geometry = dmesh.create_geometry(
        nodes,
        np.arange(count * (dim + 1), dtype=np.int32).reshape(count, dim + 1),
        folded.geometry.cmaps[0],
        np.ascontiguousarray(corners(numbers).reshape(-1, dim)),
        # The numbers of the identified vertices, by which nodes of spaces know themselves on any ranks.
        np.ascontiguousarray(folded.geometry.input_global_indices[folded.geometry.dofmaps[0]].ravel()),
    )
    made = cpp.mesh.Mesh_float64(comm, topology._cpp_object, geometry._cpp_object)
    # Of its own: a domain of UFL knows the mesh that it belongs to.
    return Torus(dmesh.Mesh(made, ufl.Mesh(_element(dim))), corner, lengths)


def _element(dim: int) -> Any:
    return basix.ufl.element("Lagrange", CELL_NAME[dim], 1, shape=(dim,), dtype=np.float64)


def share(comm: MPI.Comm, total: int) -> _Indices:
    """Numbers of this rank's share of so many things, in the order of the ranks.

    Args:
        comm: The ranks.
        total: How many things there are.

    Returns:
        The numbers, from 0.
    """
    return np.arange(total * comm.rank // comm.size, total * (comm.rank + 1) // comm.size, dtype=np.int64)


def _kuhn(dim: int) -> _Indices:
    """Corners of the simplices of a unit brick that share its diagonal, shape (dim!, dim + 1, dim)."""
    paths = []
    for axes in permutations(range(dim)):
        path = np.zeros((dim + 1, dim), dtype=np.int64)
        for step, axis in enumerate(axes):
            path[step + 1 :, axis] = 1
        paths.append(path)
    return np.array(paths)
