"""DOLFINx functions of all ranks on one process, in the form in which written fields are read.

Everything is dimensionless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from basix import SobolevSpace
from dolfinx import fem
from dolfinx.mesh import Mesh

from fem_models.core.errors import InputError
from fem_models.results.fields import FieldSeries, Snapshot, joined

_Array = npt.NDArray[np.float64]


class GatheredFields(FieldSeries):
    """Functions at some times, on rank 0. Collective.

    Args:
        functions: By time the functions of that time, under the same names at each.

    Raises:
        InputError: As for `gathered`, or no time.
    """

    def __init__(self, functions: Mapping[float, Sequence[fem.Function]]) -> None:
        if not functions:
            raise InputError("There are no functions to draw: at least one time is needed.")
        self._snapshots = {time: gathered(found) for time, found in functions.items()}
        super().__init__(functions, [_label(function) for function in next(iter(functions.values()))])

    def at(self, time: float) -> Snapshot:
        """The fields at one of the times. On rank 0.

        Args:
            time: One of `times`.

        Returns:
            The fields of the whole domain.
        """
        found = self._snapshots[time]
        assert found is not None, "only rank 0 has the fields"
        return found


def gathered(functions: Sequence[fem.Function]) -> Snapshot | None:
    """Functions as one snapshot on rank 0. Collective.

    Continuous functions are taken at the vertices; if one of them is not continuous, all are linear on each
    cell, with points of its own. A vector function g is there by its length, as "|g|".

    Args:
        functions: Scalar or vector functions on one mesh of simplices, with different names.

    Returns:
        The snapshot on rank 0, None on the others.

    Raises:
        InputError: No function, functions on several meshes or with equal names, or cells that are no
            simplices.
    """
    _check(functions)
    mesh = functions[0].function_space.mesh
    smooth = all(_is_continuous(function) for function in functions)
    parts = mesh.comm.gather(_owned(mesh, functions, "Lagrange" if smooth else "DG"), root=0)
    return None if parts is None else joined([part for part in parts if len(part.cells)])


def _check(functions: Sequence[fem.Function]) -> None:
    if not functions:
        raise InputError("There are no functions to draw.")
    names = [function.name for function in functions]
    if len(set(names)) < len(names):
        raise InputError(f"Functions that are drawn together need different names, not {', '.join(names)}.")
    mesh = functions[0].function_space.mesh
    if any(function.function_space.mesh is not mesh for function in functions):
        raise InputError("Functions that are drawn together must live on one mesh.")
    if mesh.basix_cell().name not in ("interval", "triangle", "tetrahedron"):
        raise InputError(f"Only functions on simplices can be drawn, not on a {mesh.basix_cell().name}.")


def _is_continuous(function: fem.Function) -> bool:
    return function.function_space.ufl_element().basix_sobolev_space == SobolevSpace.H1


def _owned(mesh: Mesh, functions: Sequence[fem.Function], family: str) -> Snapshot:
    """The cells of this rank."""
    space = fem.functionspace(mesh, (family, 1))
    count = mesh.topology.index_map(mesh.topology.dim).size_local
    used, numbers = np.unique(space.dofmap.list[:count], return_inverse=True)
    values = {_label(function): _values(mesh, function, family)[used] for function in functions}
    points = space.tabulate_dof_coordinates()[used]
    return Snapshot(points, numbers.reshape(count, -1).astype(np.int64), values)


def _label(function: fem.Function) -> str:
    """The name of a function in a snapshot, where vectors are there by their length."""
    return f"|{function.name}|" if function.function_space.value_shape else function.name


def _values(mesh: Mesh, function: fem.Function, family: str) -> _Array:
    """Nodal values of a function in the space of its picture; of a vector its length."""
    shape = function.function_space.value_shape
    copy = fem.Function(fem.functionspace(mesh, (family, 1, shape) if shape else (family, 1)))
    copy.interpolate(function)
    values: _Array = np.array(copy.x.array, dtype=float)
    if shape:
        values = np.asarray(np.linalg.norm(values.reshape(-1, *shape), axis=1))
    return values
