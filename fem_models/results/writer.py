"""Writing a run directory while the run goes on: what is written is complete at any moment.

Files other than the fields are written on rank 0; the fields by all ranks.
"""

import csv
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, cast

from dolfinx.fem import Function
from mpi4py import MPI

from fem_models.config.tables import LEVELS, Level
from fem_models.core.errors import SENTENCES, InputError, OutputError
from fem_models.core.files import sync, unwritten, write_json, write_text
from fem_models.core.parallel import on_rank_zero
from fem_models.core.protocols import Row
from fem_models.meshes.pvd import PvdFile, Written, write_pvd
from fem_models.meshes.vtx import VtxFile
from fem_models.results import layout
from fem_models.results.fields import written


class RunOutput:
    """The files of one run: the directory is made, files of an earlier run are replaced, run.toml is written.

    Collective.

    Args:
        comm: The ranks of the run.
        directory: The run directory, which `layout.check_free` has let pass.
        run_file: The text of run.toml.
        remark: What fields.pvd says about its fields.
        until: For a run that goes on, the time up to which what is there stays; None for a new one.
        level: The least level of the lines of log.txt.
        vtx: Whether fields are written as VTX, too: of a run that goes on to another file, since VTX is not
            added to.

    Raises:
        InputError: The directory cannot be made, or its files cannot be opened.
        OutputError: There is no room for them.

    Attributes:
        directory: The run directory.
    """

    def __init__(
        self,
        comm: MPI.Comm,
        directory: Path,
        run_file: str,
        remark: str = "",
        until: float | None = None,
        level: Level = "info",
        vtx: bool = False,
    ) -> None:
        self.directory = directory
        self._least = LEVELS.index(level)
        self._comm, self._remark = comm, remark
        self._tables: dict[str, TextIOWrapper] = {}
        self._log: TextIOWrapper | None = None
        self._fields: PvdFile | None = None
        self._wants_vtx = vtx
        self._vtx: VtxFile | None = None
        self._latest: float | None = None
        self._failure: InputError | OutputError | None = None
        self._kept: list[Written] = []
        if until is None:
            on_rank_zero(comm, lambda: self._begin(run_file))
        else:
            self._kept = on_rank_zero(comm, lambda: self._go_on(run_file, until))
            self._latest = self._kept[-1][0] if self._kept else None

    def _begin(self, run_file: str) -> None:
        layout.make(self.directory)
        write_text(self.directory / layout.RUN_FILE, run_file)
        self._log = self._opened(layout.LOG, "w")

    def _opened(self, name: str, mode: str) -> TextIOWrapper:
        path = self.directory / name
        try:
            file = path.open(mode, encoding="utf-8", newline="", buffering=1)
        except OSError as error:
            raise unwritten(path, error) from None
        return cast("TextIOWrapper", file)

    def _go_on(self, run_file: str, until: float) -> list[Written]:
        """Drop what was written after a time; returns the fields that stay."""
        write_text(self.directory / layout.RUN_FILE, run_file)
        (self.directory / layout.SUMMARY).unlink(missing_ok=True)
        self._log = self._opened(layout.LOG, "a")
        for name in (layout.SERIES, layout.STUDY, layout.MOVEMENTS, layout.STEPS):
            path = self.directory / name
            if path.is_file() and path.stat().st_size:
                write_text(path, _rows_until(path.read_text(encoding="utf-8"), until))
                self._tables[name] = self._opened(name, "a")
        try:
            entries = written(self.directory / layout.FIELDS)
        except InputError:  # none were written, or someone has changed the file: numbers go on without them
            return []
        return [entry for entry in entries if entry[0] <= until]

    def log(self, *lines: str, level: Level = "info") -> None:
        """Write lines to log.txt, with the time and the level; `check` tells where there is no room for them.

        Args:
            lines: Without their line ends.
            level: How much they matter; those that matter less than the run wants are left out.
        """
        if self._log is None or LEVELS.index(level) < self._least:
            return
        head = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {level}: "
        with self._noted(layout.LOG):
            self._log.writelines(f"{head}{line}\n" for line in lines)

    def row(self, name: str, row: Row) -> None:
        """Write a row of a table such as series.csv, after the header where it is the first.

        `check` tells where there is no room for it.

        Args:
            name: The file, one of `layout`.
            row: Its columns; nothing is written where there are none.
        """
        if self._comm.rank != 0 or not row:
            return
        with self._noted(name):
            first = name not in self._tables
            if first:
                self._tables[name] = self._opened(name, "w")
            writer = csv.writer(self._tables[name], lineterminator="\n")
            if first:
                writer.writerow(row)
            writer.writerow(row.values())

    @contextmanager
    def _noted(self, name: str) -> Iterator[None]:
        """Keep the first failure to write to a file, on rank 0."""
        try:
            yield
        except OSError as error:
            self._failure = self._failure or unwritten(self.directory / name, error)
        except SENTENCES as error:
            self._failure = self._failure or error

    def check(self) -> None:
        """Check that all rows and lines so far are written, and that the directory is there. Collective.

        Raises:
            InputError: The file system refuses a file.
            OutputError: There is no room for them, or the directory is gone.
        """
        on_rank_zero(self._comm, self._check)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if not self.directory.is_dir():
            raise OutputError(f"The run directory {self.directory} is gone: run its run file again.")

    def settle(self) -> None:
        """Wait until the rows so far are on the disk: a checkpoint tells that they are there. Collective.

        Raises:
            InputError: As for `check`.
            OutputError: As for `check`.
        """
        on_rank_zero(self._comm, self._settle)

    def _settle(self) -> None:
        for name, file in self._tables.items():
            with self._noted(name):
                os.fsync(file.fileno())
        with self._noted(""):
            sync(self.directory)
        self._check()

    def fields(self, at: float, functions: Callable[[], Sequence[Function]]) -> None:
        """Write fields to fields.pvd, and as VTX on request, unless those of this time are there. Collective.

        Args:
            at: The time (dimensionless).
            functions: Gives the fields, all on one mesh.

        Raises:
            InputError: The file system refuses the path.
            OutputError: There is no room for the fields, or the directory is gone.
        """
        if at == self._latest:
            return
        self.check()
        if self._fields is None:
            self._fields = PvdFile(self._comm, self.directory / layout.FIELDS, self._remark, self._kept)
            if self._wants_vtx:
                self._vtx = VtxFile(self._comm, self.directory / layout.vtx_fields(len(self._kept)))
        found = list(functions())
        self._fields.write(at, found)
        if self._vtx is not None:
            self._vtx.write(at, found)
        self._latest = at

    def steady(self, functions: Sequence[Function]) -> None:
        """Write the fields of the steady state to steady.pvd. Collective.

        Args:
            functions: The fields, on the mesh of the run.

        Raises:
            InputError: The file system refuses.
        """
        write_pvd(self._comm, self.directory / layout.STEADY_FIELDS, [(0.0, functions)])

    def summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json. Collective.

        Args:
            summary: Its entries; numbers that are not finite become null.

        Raises:
            InputError: The file system refuses the path.
            OutputError: There is no room for it.
        """
        on_rank_zero(self._comm, lambda: write_json(self.directory / layout.SUMMARY, summary))

    def close(self) -> None:
        """Close the files; what is written stays complete without it. Collective."""
        if self._vtx is not None:
            self._vtx.close()
        for file in (*self._tables.values(), self._log):
            if file is not None:
                with suppress(OSError):  # what could not be written has been told
                    file.close()


def _rows_until(text: str, until: float) -> str:
    """The lines of a table up to a time; a last line that was cut off goes, too."""
    header, *rows = text.splitlines()
    names = header.split(",")
    column = names.index("time")
    kept = []
    for row in rows:
        entries = row.split(",")
        if len(entries) == len(names) and float(entries[column]) <= until:
            kept.append(row)
    return "\n".join([header, *kept, ""])
