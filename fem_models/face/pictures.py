"""Pictures of fields that live on several ranks: the ranks write files, and one of them draws."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dolfinx.fem import Function
from mpi4py import MPI

from fem_models.core.parallel import on_rank_zero
from fem_models.meshes.pvd import write_pvd


@contextmanager
def scratch_file(comm: MPI.Comm, name: str) -> Iterator[Path]:
    """A file in a directory that all ranks see, and that is gone after the block. Collective.

    Args:
        comm: The ranks.
        name: Of the file.

    Yields:
        Its path.
    """
    # Beside the results of the user: a directory for temporary files may be local to a machine.
    folder = Path(on_rank_zero(comm, lambda: tempfile.mkdtemp(prefix=".fem-models-", dir=Path())))
    try:
        yield folder / name
        comm.Barrier()
    finally:
        # Where one rank failed in the block, no rank waits for the others here.
        if comm.rank == 0:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch_pvd(comm: MPI.Comm, frames: Sequence[tuple[float, Sequence[Function[Any]]]]) -> Iterator[Path]:
    """Functions over time in files that are gone after the block. Collective.

    Args:
        comm: The ranks that share the mesh.
        frames: Functions by time.

    Yields:
        The .pvd file, in a directory that all ranks see.
    """
    with scratch_file(comm, "fields.pvd") as path:
        write_pvd(comm, path, frames)
        comm.Barrier()
        yield path
