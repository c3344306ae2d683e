"""When PETSc's objects that Python has let go are freed, in parallel.

To free an object is collective, and Python drops objects at different times on different ranks: petsc4py
keeps what was dropped in parallel until all ranks ask for it with the communicator of the objects. Those of a
mesh that is gone have no such communicator left, and hold several: MPI has about two thousand. So one object
is kept on the communicator of each mesh, and whatever builds solvers or matrices calls `collect` first.

That does not reach everything. DOLFINx makes vectors on the communicator of their index map, not of the mesh:
`ghosted_vector` makes them on that of the mesh. And what goes while PETSc collects is lost: objects in Python
that hold solvers must not be held by PETSc alone (see `fem_models.linalg.callbacks.weak`).
"""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass

from dolfinx import fem
from dolfinx.mesh import Mesh
from mpi4py import MPI
from petsc4py import PETSc


@dataclass(frozen=True)
class _Kept:
    """A mesh, and an object that keeps PETSc's communicator of it alive."""

    mesh: weakref.ref[Mesh]
    object: PETSc.IS


# What is to be freed belongs to the process, as PETSc's own list of it does.
_kept: list[_Kept] = []


def collect(mesh: Mesh) -> None:
    """Free what was dropped on the ranks of a mesh, of this one and of those that are gone. Collective.

    Args:
        mesh: The mesh whose communicator new solvers or matrices will have.
    """
    if mesh.comm.size == 1:
        return
    gc.collect()
    for kept in _kept[:]:
        comm = kept.object.comm.tompi4py()
        if MPI.Comm.Compare(comm, mesh.comm) not in (MPI.IDENT, MPI.CONGRUENT):
            continue
        PETSc.garbage_cleanup(comm)
        if mesh.comm.allreduce(kept.mesh() is None, op=MPI.LAND):
            kept.object.destroy()
            _kept.remove(kept)
    if not any(kept.mesh() is mesh for kept in _kept):
        _kept.append(_Kept(weakref.ref(mesh), PETSc.IS().createStride(0, comm=mesh.comm)))


def ghosted_vector(form: fem.Form) -> PETSc.Vec:
    """A vector of zeros for a linear form, with room for the entries of ghosts. Collective.

    Args:
        form: The compiled form; its test functions are of one space.

    Returns:
        The vector, on the communicator of the mesh.
    """
    dofs = form.function_spaces[0].dofmap
    numbers, block = dofs.index_map, dofs.index_map_bs
    sizes = numbers.size_local * block, numbers.size_global * block
    ghosts = numbers.ghosts.astype(PETSc.IntType)
    return PETSc.Vec().createGhost(ghosts, sizes, bsize=block, comm=form.mesh.comm)
