"""Whether functions of the position are functions on a torus: at its seam they have the same values twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI
from ufl.algorithms.analysis import extract_type
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.linalg.exchange import with_ghosts
from fem_models.meshes.torus import Torus, node_points
from fem_models.nodal.convolution import Kernel

# Jumps up to this share of the range of a function are tails that do not matter.
_TAIL = 1e-6
# Places where a kernel is looked at.
_SAMPLES = 64


class Seam:
    """The nodes of a space at the seam of a torus, where expressions must have one value. Collective.

    Args:
        space: The scalar space in whose nodes they are evaluated; any where the mesh is no torus.
        expressions: What each is, to begin a sentence with, and a UFL scalar.
    """

    def __init__(self, space: fem.FunctionSpace, expressions: Sequence[tuple[str, Expr]]) -> None:
        placed = [(what, e) for what, e in expressions if extract_type(e, ufl.classes.SpatialCoordinate)]
        self._space, self._names = space, [what for what, _ in placed]
        self._compiled = None
        if isinstance(space.mesh, Torus) and placed:
            vector = ufl.as_vector([*(e for _, e in placed), ufl.SpatialCoordinate(space.mesh)[0]])
            points = space.element.interpolation_points
            self._compiled = fem.Expression(vector, points, comm=space.mesh.comm)

    def jump(self) -> str:
        """A sentence on an expression with other values on one side of a node than on another. Collective.

        Returns:
            The sentence, empty where there is none; values that may change are read anew.
        """
        torus, dofs = self._space.mesh, self._space.dofmap.list
        if self._compiled is None or not isinstance(torus, Torus):
            return ""
        values = self._compiled.eval(torus, np.arange(len(dofs), dtype=np.int32)).reshape(*dofs.shape, -1)
        index_map = self._space.dofmap.index_map
        for k, what in enumerate(self._names):
            once = np.zeros(index_map.size_local + index_map.num_ghosts)
            once[dofs] = values[..., k]
            once = with_ghosts(index_map, once[: index_map.size_local])
            with np.errstate(invalid="ignore"):
                jumps = np.nan_to_num(np.abs(values[..., k] - once[dofs]), nan=0.0, posinf=0.0)
            finite = once[np.isfinite(once)]
            ends = [(-finite).max(initial=-np.inf), finite.max(initial=-np.inf), jumps.max(initial=0.0)]
            largest = np.array(ends)
            torus.comm.Allreduce(MPI.IN_PLACE, largest, op=MPI.MAX)
            jump, extent = largest[2], largest[0] + largest[1]
            if jump > _TAIL * extent:
                cell, node = np.unravel_index(jumps.argmax(), jumps.shape)
                place = node_points(self._space)[dofs[cell, node], : len(torus.lengths)].tolist()
                _, place = max(torus.comm.allgather((float(ends[2]), place)))
                where = ", ".join(f"{coordinate:.6g}" for coordinate in place)
                return (
                    f"{what} is not periodic: from one side of the torus to the other it jumps by "
                    f"{jump:.3g} at ({where}); use functions of the position such as cos(2*pi*x)."
                )
        return ""


def check_expressions(space: fem.FunctionSpace, expressions: Sequence[tuple[str, Expr]]) -> Seam:
    """Refuse expressions with other values on one side of a node at the seam than on another. Collective.

    Args:
        space: As for `Seam`.
        expressions: As for `Seam`.

    Returns:
        The seam, to look at again when values in the expressions have changed.

    Raises:
        InputError: There is one.
    """
    seam = Seam(space, expressions)
    if jump := seam.jump():
        raise InputError(jump)
    return seam


def check_kernel(torus: Torus, kernel: Kernel) -> None:
    """Refuse kernels that are not periodic.

    Args:
        torus: The torus.
        kernel: K as a function of x - y, shape (dim, n), with n values.

    Raises:
        InputError: K(z) and K(z + L) differ.
    """
    lengths = np.array(torus.lengths)[:, None]
    z = -lengths * np.random.default_rng(1).random((len(lengths), _SAMPLES))
    with np.errstate(all="ignore"):
        here = np.asarray(kernel(z), dtype=float)
        for axis in range(len(lengths)):
            moved = z.copy()
            moved[axis] += torus.lengths[axis]
            there = np.asarray(kernel(moved), dtype=float)
            if np.abs(there - here).max() <= _TAIL * np.abs(here).max():
                continue
            raise InputError(
                "The kernel is not periodic with the lengths of the torus: it must have the same values at z "
                "and at z plus a length, as cos(2*pi*z) has where the length is 1."
            )
