"""What the forms of the linearised JKO problem share: quadrature, matrices and vectors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import basix
import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from mpi4py import MPI
from petsc4py import PETSc
from ufl.core.expr import Expr

from fem_models.linalg.garbage import ghosted_vector
from fem_models.linearised_jko.elements import MixedSpaces

_Array = npt.NDArray[np.float64]


class Measures:
    """Integrals over cells and interior facets with one quadrature, which all forms here share.

    Args:
        spaces: The spaces of a pair.

    Attributes:
        dx: Over cells.
        facets: Over interior facets.
    """

    def __init__(self, spaces: MixedSpaces) -> None:
        self.mesh = spaces.mesh
        self.degree = 2 * spaces.pair.potential[1] + 2
        metadata = {"quadrature_degree": self.degree}
        self.dx = ufl.Measure("dx", self.mesh, metadata=metadata)
        self.facets = ufl.Measure("dS", self.mesh, metadata=metadata)

    @cached_property
    def _points(self) -> _Array:
        return np.asarray(basix.make_quadrature(self.mesh.basix_cell(), self.degree)[0])

    def least(self, expression: Expr) -> Callable[[], float]:
        """The least value of a UFL scalar over all points; -∞ if one of its values is not finite.

        Args:
            expression: The scalar.

        Returns:
            A function that evaluates it; collective, as building it is.
        """
        # A coordinate comes along, because DOLFINx does not find the mesh of expressions that are constant.
        vector = ufl.as_vector([expression, ufl.SpatialCoordinate(self.mesh)[0]])
        compiled = fem.Expression(vector, self._points, comm=self.mesh.comm)
        cells = np.arange(self.mesh.topology.index_map(self.mesh.topology.dim).size_local, dtype=np.int32)

        def evaluate() -> float:
            values = compiled.eval(self.mesh, cells)[..., 0]
            local = np.where(np.isfinite(values), values, -np.inf).min(initial=np.inf)
            return self.mesh.comm.allreduce(float(local), op=MPI.MIN)

        return evaluate


class Assembled:
    """A bilinear form and the matrices assembled from it, one for each slab.

    Args:
        form: The bilinear form.
        count: The number of matrices.
        conditions: Unknowns to hold, with 1 on the diagonal.
    """

    def __init__(self, form: ufl.Form, count: int, conditions: list[fem.DirichletBC] | None = None) -> None:
        self._form, self._conditions = fem.form(form), conditions or []
        self.matrices = [fem_petsc.create_matrix(self._form) for _ in range(count)]

    def assemble(self, k: int) -> None:
        """Assemble matrix k with the present values of what is in the form.

        Args:
            k: The number of the matrix, from 0.
        """
        matrix = self.matrices[k]
        matrix.zeroEntries()
        # The types of DOLFINx know one of the two functions of this name only.
        fem_petsc.assemble_matrix(matrix, self._form, bcs=self._conditions)  # type: ignore
        matrix.assemble()


def assembled(form: ufl.Form) -> PETSc.Mat:
    """The matrix of a bilinear form.

    Args:
        form: The form.

    Returns:
        A new matrix.
    """
    single = Assembled(form, 1)
    single.assemble(0)
    return single.matrices[0]


def assembled_vector(form: fem.Form) -> PETSc.Vec:
    """The vector of a compiled linear form.

    Args:
        form: The form.

    Returns:
        A new vector, with the parts of all ranks.
    """
    vector = ghosted_vector(form)
    cast("Any", fem_petsc.assemble_vector)(vector, form)
    vector.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)
    return vector


def cell_blocks(entries: _Array, rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int32]) -> _Array:
    """The blocks of a matrix whose rows belong to one cell each.

    Args:
        entries: Of the rows, one after the other, each in the order of its columns.
        rows: The rows of each cell, shape (cells, n).
        columns: The columns of each cell, shape (cells, m).

    Returns:
        Blocks in the order of nodes on the cell, shape (cells, n, m).
    """
    cells, nodes = rows.shape
    width = columns.shape[1]
    found = entries[: cells * nodes * width].reshape(-1, width)[rows]
    # A row has its columns by number, which need not be the order of nodes on the cell.
    position = np.argsort(np.argsort(columns, axis=1), axis=1)
    return np.take_along_axis(found, position[:, None, :].repeat(nodes, axis=1), axis=2)
