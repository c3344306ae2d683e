"""Functions over time as a .pvd file, for ParaView and PyVista.

Every rank writes the cells that it owns, so that slices and clips of the whole have no seams.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from os import SEEK_END
from pathlib import Path
from types import TracebackType
from typing import Self

from dolfinx import fem
from dolfinx.io import VTKFile
from mpi4py import MPI

from fem_models.core.errors import InputError, OutputError
from fem_models.core.files import sync, write_text
from fem_models.core.parallel import on_rank_zero
from fem_models.meshes.owned_cells import OwnedCells

Frame = tuple[float, Sequence[fem.Function]]
"""A time, and the functions of that time: those that are not constant on cells are of one element."""

Written = tuple[float, str]
"""A time in a .pvd file, and the name of the file with its fields."""


class PvdFile:
    """A .pvd file that is complete after every time. Collective; a context manager that closes it.

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
        # VTKFile numbers its pieces from 0: what is added to others needs another name.
        self._stem = f"{self._path.stem}-{self._kept}" if kept else self._path.stem
        # VTKFile writes its own list when it is closed, over what is there: nobody reads this one.
        self._list = self._path.with_name(f"{self._stem}.pvd~")
        self._file: VTKFile | None = VTKFile(comm, self._list, "w")
        self._owned = OwnedCells()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, time: float, functions: Sequence[fem.Function]) -> None:
        """Write the functions of a time. Collective.

        Args:
            time: The time (dimensionless), later than those before.
            functions: The functions, with the same names at every time.

        Raises:
            InputError: The file system refuses the path.
            OutputError: There is no room for the fields; what there is of this time is removed.
        """
        assert self._file is not None
        # VTKFile would make a directory that is gone once more, and those who removed it would not know.
        on_rank_zero(self._comm, lambda: _check(self._path))
        self._file.write_function([self._owned.restricted(function) for function in functions], time)
        number = len(self._sets) - self._kept
        self._check_pieces(number)
        self._sets.append((time, f"{self._stem}{number:06d}.pvtu"))
        # VTKFile writes its list of pieces when it is closed; a killed run needs it before.
        on_rank_zero(self._comm, self._write_list)

    def close(self) -> None:
        """Close the file. Collective; nothing happens where it is closed."""
        if self._file is None:
            return
        gone = not self._path.parent.is_dir()
        self._comm.Barrier()
        self._file.close()
        # Its destructor writes its list of pieces once more, and makes a directory that is gone.
        self._file = None
        self._comm.Barrier()
        if self._comm.rank == 0:
            with suppress(OSError):
                self._list.unlink(missing_ok=True)
                if gone:
                    self._path.parent.rmdir()

    def _check_pieces(self, number: int) -> None:
        """Remove what has been written of a time unless it is whole on all ranks: VTKFile says nothing."""
        directory, stem = self._path.parent, self._stem
        pieces = [directory / f"{stem}_p{self._comm.rank}_{number:06d}.vtu"]
        if self._comm.rank == 0:
            pieces.append(directory / f"{stem}{number:06d}.pvtu")
        if self._comm.allreduce(all(map(_is_whole, pieces)), op=MPI.LAND):
            return
        with suppress(OSError):
            for piece in pieces:
                piece.unlink(missing_ok=True)
        raise OutputError(
            f"The fields could not be written to {directory}: there is no room for them on the disk, or it "
            "is out of reach."
        )

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
    with PvdFile(comm, path) as file:
        for time, functions in frames:
            file.write(time, functions)


def _is_whole(piece: Path) -> bool:
    """Whether a file of VTK has its end, and is on the disk."""
    try:
        with piece.open("rb") as file:
            file.seek(max(file.seek(0, SEEK_END) - 20, 0))
            ended = b"</VTKFile>" in file.read()
        sync(piece)
        return ended
    except OSError:
        return False


def _check(path: Path) -> None:
    if path.suffix != ".pvd":
        raise InputError(f"The path of functions over time must end in .pvd, not {path.name!r}.")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no directory {path.parent}.")
