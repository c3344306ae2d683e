"""Functions on a torus as functions on the brick that it was made of, for output.

Nodes at the seam come twice or more often there, once for each side: whatever draws or reads a mesh sees the
brick, and no cell that is stretched from one side to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from dolfinx import fem, graph
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem_models.linalg.exchange import sums
from fem_models.meshes.parts import Part
from fem_models.meshes.torus import Torus, create_simplices, share

_Array = npt.NDArray[np.float64]


class Unfolded:
    """The brick of a torus, each rank with the cells that it owns, no ghosts. Collective.

    Args:
        space: A scalar Lagrange space on the torus, of degree 1 or 2.

    Attributes:
        mesh: The brick, a DOLFINx mesh.
    """

    def __init__(self, space: fem.FunctionSpace) -> None:
        self._whole = space
        torus = cast("Torus", space.mesh)
        owned = torus.topology.index_map(torus.topology.dim).size_local
        self.mesh = _brick(torus, owned)
        # Its cells are numbered anew; those of each rank came in the order of the torus.
        first = torus.comm.exscan(owned) or 0
        self._origins = np.asarray(self.mesh.topology.original_cell_index, dtype=np.int64) - first
        self._space = fem.functionspace(self.mesh, space.ufl_element())
        index_map = self._space.dofmap.index_map
        self._owned = index_map.size_local
        # Lagrange spaces up to degree 2 have at most one node on an edge: the order in the cell is the same.
        self._sources = np.zeros(self._owned + index_map.num_ghosts, dtype=np.int64)
        self._sources[self._space.dofmap.list] = space.dofmap.list[self._origins]

    def restricted(self, functions: Sequence[fem.Function]) -> list[fem.Function]:
        """Functions on the brick.

        Args:
            functions: Functions of the space on the torus.

        Returns:
            The same functions there, under their names.

        Raises:
            ValueError: A function of another space.
        """
        if any(function.function_space != self._whole for function in functions):
            raise ValueError("Only functions of the space on the torus can be unfolded.")
        found = []
        for function in functions:
            copy = fem.Function(self._space, name=function.name)
            copy.x.array[:] = function.x.array[self._sources]
            found.append(copy)
        return found

    @property
    def copies(self) -> _Array:
        """How often each node of the torus comes, ghosts included, shape (nodes,). Collective."""
        return sums(self._whole.dofmap.index_map, self._sources[: self._owned], 1.0)


def shown_part(space: fem.FunctionSpace, cells: npt.NDArray[np.int32] | None) -> Part | Unfolded | None:
    """Where functions of a space are looked at, if not on its mesh. Collective.

    Args:
        space: A scalar Lagrange space.
        cells: Local cells of the part of the mesh where densities live; None for all.

    Returns:
        The brick of a torus, or that part of another mesh; None for the mesh itself.
    """
    if isinstance(space.mesh, Torus):
        return Unfolded(space)
    return None if cells is None else Part(space, cells)


def _brick(torus: Torus, owned: int) -> dmesh.Mesh:
    """The mesh of the cells of each rank, where vertices at different places are different."""
    dim, comm = torus.topology.dim, torus.comm
    nodes = torus.geometry.dofmaps[0][:owned]
    corners = torus.geometry.x[nodes]
    lower = torus.folded(corners.reshape(-1, 3)).reshape(corners.shape)
    upper = np.abs(corners - lower)[:, :, :dim] > 0.5 * np.asarray(torus.lengths)
    sides = 2**dim
    vertices = torus.geometry.input_global_indices[nodes] * sides + upper @ 2 ** np.arange(dim)
    mine = share(comm, torus.topology.index_map(0).size_global * sides)
    mesh = create_simplices(comm, vertices, np.zeros((len(mine), dim)), _stay)
    first = comm.exscan(owned) or 0
    origins = np.asarray(mesh.topology.original_cell_index, dtype=np.int64) - first
    mesh.geometry.x[mesh.geometry.dofmaps[0]] = corners[origins]
    return mesh


def _stay(comm: MPI.Comm, parts: int, kinds: Sequence[Any], cells: Sequence[npt.NDArray[np.int64]]) -> Any:
    """A partition in which each rank keeps its cells."""
    count = len(cells[0]) // {"interval": 2, "triangle": 3, "tetrahedron": 4}[kinds[0].name]
    ranks = np.full(count, comm.rank, dtype=np.int32)
    return graph.adjacencylist(ranks, np.arange(count + 1, dtype=np.int32))._cpp_object
