"""Functions on a part of a mesh, for output: where densities live, without the shell around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from dolfinx import mesh as dmesh


class Part:
    """A part of a mesh as a mesh of its own. Collective.

    Args:
        space: A scalar space on the whole mesh.
        cells: Local cells of the part, ghosts included.

    Attributes:
        mesh: The part as a DOLFINx mesh.
    """

    def __init__(self, space: fem.FunctionSpace, cells: npt.NDArray[np.int32]) -> None:
        dim = space.mesh.topology.dim
        self.mesh, entities = dmesh.create_submesh(space.mesh, dim, cells)[:2]
        topology_map = self.mesh.topology.index_map(dim)
        self._cells = np.arange(topology_map.size_local + topology_map.num_ghosts, dtype=np.int32)
        self._origins = entities.sub_topology_to_topology(self._cells, inverse=False)
        self._whole = space
        self._space = fem.functionspace(self.mesh, space.ufl_element())

    def restricted(self, functions: Sequence[fem.Function]) -> list[fem.Function]:
        """Functions on the part.

        Args:
            functions: Functions of the space on the whole mesh.

        Returns:
            Their restrictions, under their names.

        Raises:
            ValueError: A function of another space.
        """
        # DOLFINx reads out of bounds where the cells are not those of the functions' mesh.
        if any(function.function_space != self._whole for function in functions):
            raise ValueError(
                "Only functions of the space on the whole mesh can be restricted to a part of it."
            )
        found = []
        for function in functions:
            copy = fem.Function(self._space, name=function.name)
            copy.interpolate(function, cells0=self._origins, cells1=self._cells)
            found.append(copy)
        return found
