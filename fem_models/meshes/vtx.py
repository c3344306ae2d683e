"""Functions over time as VTX, which ParaView reads in parallel: one directory of ADIOS2 for all times."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dolfinx import fem, has_adios2, io
from mpi4py import MPI

from fem_models.core.errors import InputError, OutputError
from fem_models.core.parallel import on_rank_zero
from fem_models.meshes.owned_cells import OwnedCells

# Every release of ParaView with VTX reads this version, and what is written is whole after every time.
_ENGINE = "BP4"


def check_vtx() -> None:
    """Check that VTX can be written.

    Raises:
        InputError: This DOLFINx was built without ADIOS2.
    """
    if not has_adios2:
        raise InputError(
            "[output] vtx = true needs a DOLFINx with ADIOS2, as its wheel and conda-forge's have: install "
            "one of them, or remove the key; fields.pvd is written in any case."
        )


class VtxFile:
    """A VTX file that is complete after every time. Collective.

    Args:
        comm: The ranks that share the mesh.
        path: Of the directory, which ends in .bp; an older one is replaced.

    Raises:
        InputError: This DOLFINx was built without ADIOS2.
    """

    def __init__(self, comm: MPI.Comm, path: Path) -> None:
        check_vtx()
        self._comm, self._path = comm, path
        self._owned = OwnedCells()
        self._writer: io.VTXWriter | None = None
        self._written: list[fem.Function[Any]] = []
        on_rank_zero(comm, lambda: shutil.rmtree(path, ignore_errors=True))

    def write(self, time: float, functions: Sequence[fem.Function[Any]]) -> None:
        """Write the functions of a time. Collective.

        Args:
            time: The time (dimensionless), later than those before.
            functions: The functions, with the same names at every time: those that are not constant on cells
                are of one element.

        Raises:
            OutputError: There is no room for the fields; the times before are still there.
        """
        found = [self._owned.restricted(function) for function in functions]
        failure = ""
        try:
            if self._writer is None:
                # The writer keeps its functions: later times are put into these.
                self._written = [function.copy() for function in found]
                for function, given in zip(self._written, functions, strict=True):
                    function.name = given.name
                self._writer = io.VTXWriter(self._comm, self._path, self._written, engine=_ENGINE)
            for function, given in zip(self._written, found, strict=True):
                function.x.array[:] = given.x.array
            self._writer.write(time)
        except RuntimeError as error:
            failure = str(error)
        if any(self._comm.allgather(failure)):
            self._abandon()
            raise OutputError(
                f"The fields could not be written to {self._path}: there is no room for them on the disk, or "
                "it is out of reach."
            )

    def close(self) -> None:
        """Close the file. Collective; nothing happens where it is closed.

        Where there is no room for what comes last, such as times of its own, the fields are there without it.
        """
        if self._writer is None:
            return
        try:
            self._writer.close()
            self._writer = None
        except RuntimeError:
            self._abandon()

    def _abandon(self) -> None:
        """Leave the file as it is, with one reference too many.

        The writer's destructor would close it once more, and end the process where that fails.
        """
        if self._writer is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._writer._cpp_object))
            self._writer = None
