"""Numbers of nodes that depend on the mesh alone, and not on the ranks that share it."""

from __future__ import annotations

import basix
import numpy as np
import numpy.typing as npt
from dolfinx import fem


def original_numbers(space: fem.FunctionSpace) -> npt.NDArray[np.int64]:
    """The numbers of this rank's own nodes by the order in which the vertices of the mesh were given.

    A node at a vertex has the number of that vertex among N; one on the edge between the vertices a < b has
    N (a + 1) + b.

    Args:
        space: A scalar space of continuous polynomials of degree 1 or 2 on affine simplices.

    Returns:
        Shape (owned nodes,); each number occurs once over all ranks.
    """
    geometry, cells = space.mesh.geometry, space.dofmap.list
    vertices = geometry.input_global_indices[geometry.dofmaps[0]]
    numbers = np.empty(space.dofmap.index_map.size_local + space.dofmap.index_map.num_ghosts, dtype=np.int64)
    corners = vertices.shape[1]
    numbers[cells[:, :corners]] = vertices
    if cells.shape[1] > corners:
        total = geometry.index_map().size_global
        edges = np.array(basix.topology(space.mesh.basix_cell())[1])
        ends = np.sort(vertices[:, edges], axis=2)
        numbers[cells[:, corners:]] = total * (ends[..., 0] + 1) + ends[..., 1]
    return numbers[: space.dofmap.index_map.size_local]
