"""Functions without the cells that other ranks own, as files want them: slices of the whole have no seams."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from dolfinx.mesh import Mesh, create_submesh
from mpi4py import MPI


class OwnedCells:
    """Functions on the cells that ranks own: a mesh of these alone, and where it takes its values from."""

    def __init__(self) -> None:
        self._mesh: Mesh | None = None
        self._parents: npt.NDArray[np.int32] = np.empty(0, np.int32)
        # The space is kept with its entry: another one may come to lie at the address of one that is gone.
        self._spaces: dict[int, tuple[fem.FunctionSpace, fem.FunctionSpace, npt.NDArray[np.int64]]] = {}

    def restricted(self, function: fem.Function) -> fem.Function:
        """The function on the cells that this rank owns. Collective.

        Args:
            function: The function.

        Returns:
            A new function there, or itself where no rank has ghosts.
        """
        space = function.function_space
        mesh = space.mesh
        cells = mesh.topology.index_map(mesh.topology.dim)
        if mesh.comm.allreduce(cells.num_ghosts, op=MPI.MAX) == 0:
            return function
        if self._mesh is None:
            owned = np.arange(cells.size_local, dtype=np.int32)
            self._mesh, parents, *_ = create_submesh(mesh, mesh.topology.dim, owned)
            self._parents = parents.sub_topology_to_topology(owned, inverse=False)
        if id(space) not in self._spaces:
            self._spaces[id(space)] = (space, *self._space(self._mesh, space))
        _, target, sources = self._spaces[id(space)]
        result = fem.Function(target, name=function.name)
        result.x.array[:] = function.x.array.reshape(-1, space.dofmap.bs)[sources].ravel()
        return result

    def _space(self, mesh: Mesh, space: fem.FunctionSpace) -> tuple[fem.FunctionSpace, npt.NDArray[np.int64]]:
        """The space on the mesh, and the number in the given space of each of its unknowns."""
        target = fem.functionspace(mesh, space.ufl_element())
        sources = np.zeros(len(target.tabulate_dof_coordinates()), dtype=np.int64)
        sources[target.dofmap.list] = space.dofmap.list[self._parents]
        return target, sources
