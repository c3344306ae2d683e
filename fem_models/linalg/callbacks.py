"""Between PETSc and Python: methods to call back, matrices known by their products, names of reasons."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any

from mpi4py import MPI
from petsc4py import PETSc

Sizes = tuple[tuple[int, int], tuple[int, int]]


def weak(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method or function for PETSc to call, which PETSc does not keep alive.

    Python's garbage collector does not see the references that PETSc holds: an object that hands its own
    methods to a solver of its own would never go, nor would the communicators of its mesh, of which MPI has
    a few thousand. And what PETSc held alone would go with the solver, while `garbage.collect` frees that in
    parallel: PETSc loses what is dropped during a collection, and never frees it.

    Args:
        method: A method, whose object the caller keeps as long as PETSc may call it, or a function that is
            kept likewise.

    Returns:
        A function with the same arguments.
    """
    reference: weakref.ref[Callable[..., Any]]
    reference = weakref.WeakMethod(method) if inspect.ismethod(method) else weakref.ref(method)

    def call(*arguments: Any) -> Any:
        found = reference()
        if found is None:
            raise ReferenceError("PETSc calls a method of an object that is gone.")
        return found(*arguments)

    return call


class _Products:
    """A context of PETSc's matrices of type "python"."""

    def __init__(self, multiply: Callable[..., None]) -> None:
        self.mult = multiply


def product_matrix(
    sizes: Sizes, multiply: Callable[[PETSc.Mat, PETSc.Vec, PETSc.Vec], None], comm: MPI.Comm | PETSc.Comm
) -> PETSc.Mat:
    """A matrix that is known by its products. Collective.

    Args:
        sizes: Local and global numbers of rows, and of columns.
        multiply: Takes the matrix, a vector, and where the product goes; made by `weak`.
        comm: The communicator.

    Returns:
        The matrix, set up.
    """
    matrix = PETSc.Mat().createPython(sizes, _Products(multiply), comm)
    matrix.setUp()
    return matrix


class Applied:
    """A context of PETSc's preconditioners of type "python".

    Args:
        apply: Takes the preconditioner, a vector, and where the result goes; made by `weak`.
    """

    def __init__(self, apply: Callable[[PETSc.PC, PETSc.Vec, PETSc.Vec], None]) -> None:
        self.apply = apply


def reason_name(reasons: type, value: int) -> str:
    """PETSc's name of a reason, with its number.

    Args:
        reasons: `PETSc.KSP.ConvergedReason` or that of SNES.
        value: The number.

    Returns:
        The name and the number, as "DIVERGED_ITS (-3)".
    """
    names = [name for name, number in vars(reasons).items() if number == value and name.isupper()]
    return f"{names[-1] if names else 'unknown'} ({value})"
