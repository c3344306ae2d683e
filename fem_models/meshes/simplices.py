"""A whole mesh of simplices on one process, and what is asked of it before its cells are shared out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.meshes.checks import check_volumes
from fem_models.meshes.joints import places

CELL_NAME = {1: "interval", 2: "triangle", 3: "tetrahedron"}

_Indices = npt.NDArray[np.int64]


class Simplices(NamedTuple):
    """A whole mesh on rank 0.

    Args:
        points: Shape (n, 3).
        cells: Indices into `points`, shape (m, dim + 1).
        boundaries: Named sets of facets, indices into `points` of shape (k, dim).
        regions: Named sets of rows of `cells`, shape (k,).
        notes: Sentences about what may not be meant.
        pairs: Indices of points that are one on a torus, shape (k, 2).
    """

    points: npt.NDArray[np.float64]
    cells: _Indices
    boundaries: Mapping[str, _Indices] = MappingProxyType({})
    regions: Mapping[str, _Indices] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    pairs: _Indices = np.empty((0, 2), dtype=np.int64)


def merged(whole: Simplices) -> Simplices:
    """A mesh whose nodes at one place are one node.

    Args:
        whole: The mesh.

    Returns:
        The mesh, without the points that belong to no cell any more.
    """
    first = places(whole.points)
    kept, index = np.unique(first, return_inverse=True)
    return whole._replace(
        points=whole.points[kept],
        cells=index[whole.cells],
        boundaries={name: index[corners] for name, corners in whole.boundaries.items()},
        pairs=index[whole.pairs],
    )


def checked(whole: Simplices, origin: str) -> Simplices:
    """A mesh without its unused points, after checks that its cells span the space they lie in.

    Args:
        whole: The mesh.
        origin: What it is, for messages.

    Returns:
        The mesh without the points that belong to no cell.

    Raises:
        InputError: Points that are not finite or lie off the line or plane, or cells of zero volume.
    """
    used, local = np.unique(whole.cells, return_inverse=True)
    index = np.full(len(whole.points), -1, dtype=np.int64)
    index[used] = np.arange(len(used))
    # A group of facets may reach beyond the cells.
    facets = {name: index[corners] for name, corners in whole.boundaries.items()}
    pairs = index[whole.pairs]
    whole = whole._replace(
        points=whole.points[used],
        cells=local.reshape(whole.cells.shape).astype(np.int64),
        boundaries={name: corners[np.all(corners >= 0, axis=1)] for name, corners in facets.items()},
        pairs=pairs[np.all(pairs >= 0, axis=1)],
    )
    dim = whole.cells.shape[1] - 1
    if not np.all(np.isfinite(whole.points)):
        raise InputError(f"{origin} has points whose coordinates are not finite numbers.")
    extent = float(np.ptp(whole.points, axis=0).max())
    if dim < 3 and np.abs(whole.points[:, dim:]).max() > 1e-10 * extent:
        place = "on the x axis" if dim == 1 else "in the plane z = 0"
        raise InputError(f"{origin} has {CELL_NAME[dim]}s that do not lie {place}: move or project them.")
    check_volumes(whole.points, whole.cells, origin)
    return whole


def check_cell_count(comm: MPI.Comm, cells: int) -> None:
    """Refuse fewer cells than ranks.

    Args:
        comm: The ranks.
        cells: The number of all cells.

    Raises:
        InputError: There are fewer.
    """
    if cells < comm.size:
        raise InputError(
            f"The mesh has {cells} cells, fewer than the {comm.size} ranks: refine it or use fewer ranks."
        )


def check_simplex(origin: str, name: str, order: int, first_order_simplex: bool) -> None:
    """Refuse cells that are no straight-sided simplices.

    Args:
        origin: What the mesh is, for the message.
        name: The kind of its cells, for the message.
        order: Their order.
        first_order_simplex: Whether the kind is an interval, a triangle or a tetrahedron of the first order.

    Raises:
        InputError: They are curved or of another kind.
    """
    if order > 1:
        raise InputError(
            f"{origin} has curved cells of order {order} ({name}): write it with first-order cells."
        )
    if not first_order_simplex:
        raise InputError(
            f"{origin} has cells of kind {name}, which are not simplices: "
            "use triangles or tetrahedra (in gmsh, without Recombine)."
        )
