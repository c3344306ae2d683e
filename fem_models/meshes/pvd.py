"""Functions over time as a .pvd file, for ParaView and PyVista."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dolfinx import fem
from dolfinx.io import VTKFile
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.core.parallel import on_rank_zero

Frame = tuple[float, Sequence[fem.Function]]
"""A time, and the functions of that time: those that are not constant on cells are of one element."""


def write_pvd(comm: MPI.Comm, path: Path | str, frames: Iterable[Frame]) -> None:
    """Write functions over time. Collective.

    Args:
        comm: The ranks that share the mesh.
        path: Of the file, which ends in .pvd; its pieces are written next to it. Older ones are replaced.
        frames: The functions by time, in the order of time, with the same names at every time.

    Raises:
        InputError: A path that does not end in .pvd, or one in a directory that does not exist.
    """
    path = Path(path)
    on_rank_zero(comm, lambda: _check(path))
    with VTKFile(comm, path, "w") as file:
        for time, functions in frames:
            file.write_function(list(functions), time)
    # Rank 0 writes the list of pieces when the file is closed: no rank reads it earlier.
    comm.Barrier()


def _check(path: Path) -> None:
    if path.suffix != ".pvd":
        raise InputError(f"The path of functions over time must end in .pvd, not {path.name!r}.")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no directory {path.parent}.")
