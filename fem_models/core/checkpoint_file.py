"""The file of a checkpoint: arrays in an order that does not depend on the ranks, and what goes with them.

All ranks write it through MPI: the arrays one after the other as they are in memory, 8 bytes for a number,
row by row. Behind them are the facts of the run and the places of the arrays as JSON, where it begins, its
length and its sum, and a mark: a file that was cut off has no mark, and sums tell whether a bit has changed.
The file takes its name when it is whole and on the disk. HDF5 would end the process where the disk is full.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zlib import crc32

import numpy as np
import numpy.typing as npt
from mpi4py import MPI
from petsc4py import PETSc

from fem_models.core.errors import InputError, OutputError
from fem_models.core.files import draft_of, put_in_place, unwritten
from fem_models.core.parallel import on_rank_zero

_Array = npt.NDArray[np.float64]
_Keys = npt.NDArray[np.int64]

FORMAT = 1
"""The number of this format; files with a larger one are refused."""

_MARK = b"fem-models checkpoint\n"
_LENGTH = struct.Struct("<Q")
_TAIL = 3 * _LENGTH.size + len(_MARK)

# An odd number with many bits, by whose multiples the entries of an array are weighted in its sum.
_MIXER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file has.

    Attributes:
        arrays: By name, entries of this rank in the order of its keys, shape (keys,) or (keys, columns).
        facts: What goes with them, as JSON has it.
    """

    arrays: Mapping[str, _Array]
    facts: Mapping[str, Any]


def write_checkpoint(comm: MPI.Comm, path: Path, keys: _Keys, saved: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all. Collective.

    Args:
        comm: The ranks.
        path: The file; its directory exists.
        keys: Numbers of this rank's entries, which do not depend on the ranks, each on one rank.
        saved: What to write.

    Raises:
        InputError: The file system refuses the path.
        OutputError: There is no room for the file; an earlier one stays as it is.
    """
    draft = draft_of(path)
    places, size = _places(comm, keys)
    table: dict[str, dict[str, int]] = {}
    offset = 0
    on_rank_zero(comm, lambda: _begin(draft, path))
    failures = _Failures()
    with failures.noted():
        file = MPI.File.Open(cast("MPI.Intracomm", comm), str(draft), MPI.MODE_WRONLY)
        for name, array in saved.arrays.items():
            columns = 1 if array.ndim == 1 else array.shape[1]
            vector = PETSc.Vec().createMPI(size * columns, comm=comm)
            vector.setValues(_entries(places, columns), np.ascontiguousarray(array).ravel())
            vector.assemble()
            with failures.noted():
                file.Write_at_all(offset + 8 * vector.getOwnershipRange()[0], vector.array_r.copy())
            table[name] = {"offset": offset, "columns": columns, "sum": _sum(vector, comm)}
            offset += 8 * size * columns
            vector.destroy()
        with failures.noted():
            file.Sync()
        file.Close()
    if reason := comm.allreduce(failures.first, op=MPI.MAX):
        on_rank_zero(comm, lambda: _drop(draft))
        raise OutputError(f"{path} cannot be written: {reason}.")
    facts = {"format": FORMAT, "size": size, "arrays": table, "facts": dict(saved.facts)}
    text = json.dumps(facts, ensure_ascii=False).encode()
    on_rank_zero(comm, lambda: _finish(draft, path, offset, text))


def read_checkpoint(comm: MPI.Comm, path: Path, keys: _Keys | None = None) -> Checkpoint:
    """Read a checkpoint, on any number of ranks. Collective.

    Args:
        comm: The ranks.
        path: The file.
        keys: Numbers of this rank's entries; without them the facts alone are read.

    Returns:
        Its arrays and facts.

    Raises:
        InputError: It is no checkpoint, is damaged or of a newer version, or has another number of entries.
    """
    table = on_rank_zero(comm, lambda: _facts(path))
    if keys is None:
        return Checkpoint({}, table["facts"])
    places, size = _places(comm, keys)
    if size != table["size"]:
        raise InputError(
            f"{path} is of another mesh: it has {table['size']} entries for each field, and the mesh {size}."
        )
    arrays: dict[str, _Array] = {}
    try:
        file = MPI.File.Open(cast("MPI.Intracomm", comm), str(path), MPI.MODE_RDONLY)
        try:
            for name, entry in table["arrays"].items():
                vector = PETSc.Vec().createMPI(size * entry["columns"], comm=comm)
                start, end = vector.getOwnershipRange()
                values = np.empty(end - start)
                file.Read_at_all(entry["offset"] + 8 * start, values)
                vector.array_w[:] = values
                if _sum(vector, comm) != entry["sum"]:
                    raise _damaged(path)
                arrays[name] = _values(vector, places, entry["columns"])
                vector.destroy()
        finally:
            file.Close()
    except MPI.Exception:
        raise _damaged(path) from None
    return Checkpoint(arrays, table["facts"])


def _places(comm: MPI.Comm, keys: _Keys) -> tuple[_Keys, int]:
    """The places of this rank's keys among all keys in increasing order, and the number of all."""
    largest = comm.allreduce(int(keys.max(initial=0)), op=MPI.MAX)
    # Each rank sorts a range of keys and tells the others where theirs are.
    sorters = keys * comm.size // (largest + 1)
    order = np.argsort(sorters, kind="stable")
    counts = np.bincount(sorters, minlength=comm.size)
    received = np.empty(comm.size, dtype=counts.dtype)
    comm.Alltoall(counts, received)
    here = np.empty(received.sum(), dtype=np.int64)
    comm.Alltoallv([keys[order], counts], [here, received])
    first = sum(comm.allgather(len(here))[: comm.rank])
    places = np.empty_like(here)
    places[np.argsort(here)] = first + np.arange(len(here))
    answers = np.empty_like(keys)
    comm.Alltoallv([places, received], [answers, counts])
    found = np.empty_like(keys)
    found[order] = answers
    return found, comm.allreduce(len(here))


def _entries(places: _Keys, columns: int) -> npt.NDArray[Any]:
    """The numbers of the entries of an array with some columns, row by row."""
    return (places[:, None] * columns + np.arange(columns)).ravel().astype(PETSc.IntType)


def _values(vector: PETSc.Vec, places: _Keys, columns: int) -> _Array:
    """The rows of a vector at some places."""
    entries = _entries(places, columns)
    local = PETSc.Vec().createSeq(len(entries))
    wanted = PETSc.IS().createGeneral(entries, comm=PETSc.COMM_SELF)
    scatter = PETSc.Scatter().create(vector, wanted, local, None)
    scatter.scatter(vector, local, mode=PETSc.ScatterMode.FORWARD)
    found = np.array(local.array_r, dtype=float)
    scatter.destroy()
    return found if columns == 1 else found.reshape(len(places), columns)


def _sum(vector: PETSc.Vec, comm: MPI.Comm) -> int:
    """A sum over the bits of a vector that does not depend on the ranks, and that any bit changes."""
    start, end = vector.getOwnershipRange()
    weights = (2 * np.arange(start, end, dtype=np.uint64) + np.uint64(1)) * _MIXER
    with np.errstate(over="ignore"):
        local = np.array([(vector.array_r.view(np.uint64) * weights).sum(dtype=np.uint64)])
        total = np.zeros_like(local)
        comm.Allreduce(local, total, op=MPI.SUM)
    return int(total[0])


class _Failures:
    """What MPI could not write, on this rank: the others go on, and so must this one, until all can be told.

    Attributes:
        first: What the first failure says; empty if there is none.
    """

    def __init__(self) -> None:
        self.first = ""

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note a failure of the block in place of raising it."""
        try:
            yield
        except MPI.Exception as error:
            self.first = self.first or error.Get_error_string().strip().splitlines()[-1]


def _begin(draft: Path, path: Path) -> None:
    try:
        draft.write_bytes(b"")
    except OSError as error:
        raise unwritten(path, error) from None


def _finish(draft: Path, path: Path, length: int, facts: bytes) -> None:
    """Write the facts behind the arrays, see to it that all is on the disk, and give the file its name."""
    try:
        if draft.stat().st_size != length:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with draft.open("ab") as file:
            numbers = (length, len(facts), crc32(facts))
            file.write(facts + b"".join(map(_LENGTH.pack, numbers)) + _MARK)
        put_in_place(draft, path)
    except OSError as error:
        _drop(draft)
        raise unwritten(path, error) from None


def _drop(draft: Path) -> None:
    with suppress(OSError):
        draft.unlink(missing_ok=True)


def _facts(path: Path) -> dict[str, Any]:
    """The facts behind the arrays, once the file is known to be whole."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - _TAIL, 0))
            last = file.read(_TAIL)
            places = range(0, _TAIL - len(_MARK), _LENGTH.size)
            length, size, known_sum = (_LENGTH.unpack_from(last.ljust(_TAIL), k)[0] for k in places)
            marked = len(last) == _TAIL and last.endswith(_MARK)
            fits = length + size + _TAIL == end
            if marked and fits:
                file.seek(length)
                text = file.read(size)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    if not marked:
        raise InputError(f"{path} is no checkpoint of fem-models, or the end of it is missing.")
    if not fits or crc32(text) != known_sum:
        raise _damaged(path)
    try:
        table: dict[str, Any] = json.loads(text)
        known = int(table["format"])
    except (ValueError, KeyError, TypeError):
        raise _damaged(path) from None
    if known > FORMAT:
        raise InputError(f"{path} was written by a newer version of fem-models: update this one to read it.")
    return table


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged: an earlier checkpoint may be whole.")
