"""Functions over time as a .pvd file, for ParaView and PyVista.

Every rank writes the cells that it owns, so that slices and clips of the whole have no seams.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from dolfinx import fem
from mpi4py import MPI

from fem_models.core.errors import InputError, OutputError
from fem_models.core.files import write_text
from fem_models.core.parallel import on_rank_zero
from fem_models.meshes.vtu import Pieces, write_list, write_piece

Frame = tuple[float, Sequence[fem.Function]]
"""A time, and the functions of that time: those that are not constant on cells are of one element."""

Written = tuple[float, str]
"""A time in a .pvd file, and the name of the file with its fields."""


class PvdFile:
    """A .pvd file that is complete after every time. Collective.

    Args:
        comm: The ranks that share the mesh.
        path: Of the file, which ends in .pvd; its pieces are written next to it. Older ones are replaced.
        remark: What the file says about its fields, for those who read it as text.
        kept: Times with their pieces that the file has and keeps; what came later leaves it.

    Raises:
        InputError: A path that does not end in .pvd, or one in a directory that does not exist.
    """

    def __init__(
        self, comm: MPI.Comm, path: Path | str, remark: str = "", kept: Sequence[Written] = ()
    ) -> None:
        self._comm, self._path, self._remark = comm, Path(path), remark
        self._sets: list[Written] = list(kept)
        self._kept = len(kept)
        on_rank_zero(comm, lambda: _check(self._path))
        # Pieces are numbered from 0: what is added to others needs another name.
        self._stem = f"{self._path.stem}-{self._kept}" if kept else self._path.stem
        self._pieces = Pieces()

    def write(self, time: float, functions: Sequence[fem.Function]) -> None:
        """Write the functions of a time. Collective.

        Args:
            time: The time (dimensionless), later than those before.
            functions: The functions, with the same names at every time.

        Raises:
            InputError: The directory is gone.
            OutputError: The fields cannot be written; what there is of this time is removed.
        """
        on_rank_zero(self._comm, lambda: _check(self._path))
        number = f"{len(self._sets) - self._kept:06d}"
        directory, all_ranks = self._path.parent, f"{self._stem}{number}.pvtu"
        files = [f"{self._stem}_p{rank}_{number}.vtu" for rank in range(self._comm.size)]
        mine = directory / files[self._comm.rank]
        piece = self._pieces(functions)
        written = True
        try:
            write_piece(mine, piece)
            if self._comm.rank == 0:
                write_list(directory / all_ranks, piece, files)
        except (InputError, OutputError):
            written = False
        if not self._comm.allreduce(written, op=MPI.LAND):
            with suppress(OSError):
                mine.unlink(missing_ok=True)
                (directory / all_ranks).unlink(missing_ok=True)
            raise OutputError(
                f"The fields could not be written to {directory}: there is no room for them on the disk, or "
                "it is out of reach."
            )
        self._sets.append((time, all_ranks))
        on_rank_zero(self._comm, self._write_list)

    def _write_list(self) -> None:
        head = ['<?xml version="1.0"?>', '<VTKFile type="Collection" version="1.0">']
        head += [f"  <!-- {self._remark} -->"] if self._remark else []
        sets = [f'    <DataSet timestep="{time!r}" part="0" file="{piece}" />' for time, piece in self._sets]
        lines = [*head, "  <Collection>", *sets, "  </Collection>", "</VTKFile>", ""]
        write_text(self._path, "\n".join(lines))


def write_pvd(comm: MPI.Comm, path: Path | str, frames: Iterable[Frame]) -> None:
    """Write functions over time. Collective.

    Args:
        comm: The ranks that share the mesh.
        path: Of the file, which ends in .pvd; its pieces are written next to it. Older ones are replaced.
        frames: The functions by time, in the order of time, with the same names at every time.

    Raises:
        InputError: A path that does not end in .pvd, or one in a directory that does not exist.
    """
    file = PvdFile(comm, path)
    for time, functions in frames:
        file.write(time, functions)


def _check(path: Path) -> None:
    if path.suffix != ".pvd":
        raise InputError(f"The path of functions over time must end in .pvd, not {path.name!r}.")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no directory {path.parent}.")
