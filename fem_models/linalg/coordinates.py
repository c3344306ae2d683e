"""Sparse matrices with a pattern of coordinates: rows and columns, given once, and values by their order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from dolfinx.common import IndexMap
from mpi4py import MPI
from petsc4py import PETSc

_Numbers = npt.NDArray[Any]


def global_numbers(index_map: IndexMap, entries: npt.NDArray[np.integer[Any]] | None = None) -> _Numbers:
    """The numbers over all ranks of local entries of an index map.

    Args:
        index_map: The entries.
        entries: Local entries, of any shape; all with ghosts, shape (entries,), by default.

    Returns:
        Numbers of PETSc's type of integers, of the same shape.
    """
    if entries is None:
        entries = np.arange(index_map.size_local + index_map.num_ghosts, dtype=np.int32)
    numbers = index_map.local_to_global(np.ascontiguousarray(entries, dtype=np.int32).ravel())
    return numbers.astype(PETSc.IntType).reshape(entries.shape)


def coordinate_matrix(
    comm: MPI.Comm,
    height: IndexMap,
    width: IndexMap,
    rows: _Numbers,
    columns: _Numbers,
    block_size: int = 1,
) -> PETSc.Mat:
    """A matrix whose values are set by `setValuesCOO`, in the order of the pattern. Collective.

    Args:
        comm: The communicator of the mesh; those of index maps are not freed with it.
        height: The index map of the rows, in blocks.
        width: That of the columns.
        rows: The row of each value, over all ranks, shape (values,); several values may have one place and
            are added. Negative ones are left out.
        columns: The column of each.
        block_size: Number of unknowns at each entry of the index maps.

    Returns:
        The matrix, without values.
    """
    matrix = PETSc.Mat().create(comm)
    sizes = [(m.size_local * block_size, m.size_global * block_size) for m in (height, width)]
    matrix.setSizes(sizes, bsize=block_size)
    matrix.setType(PETSc.Mat.Type.AIJ)
    matrix.setPreallocationCOO(rows.astype(PETSc.IntType), columns.astype(PETSc.IntType))
    return matrix


def block_coordinates(rows: _Numbers, columns: _Numbers) -> tuple[_Numbers, _Numbers]:
    """Rows and columns of the entries of dense blocks.

    Args:
        rows: The rows of each block, shape (blocks, n).
        columns: The columns of each block, shape (blocks, m).

    Returns:
        The row and the column of each entry, shape (blocks, n, m) each.
    """
    shape = (*rows.shape, columns.shape[1])
    return np.broadcast_to(rows[:, :, None], shape), np.broadcast_to(columns[:, None, :], shape)
