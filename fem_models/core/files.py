"""Files of results that are written whole or not at all, on one process: text, JSON and tables.

A reader of a file finds the earlier contents or the new ones, also where the process was killed, or the power
was cut, while it was written.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fem_models.core.errors import InputError, OutputError

# What is no fault of the path: no space, a quota, a size limit, a device that fails.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
# What file systems say that cannot wait for the disk.
_NO_WAITING = {errno.EINVAL, errno.ENOTSUP}


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """A file beside another that takes its place when the block ends without an exception.

    Args:
        path: The file in the end; its directory exists.

    Yields:
        The file to write. It is gone after the block.

    Raises:
        InputError: The file system refuses the path.
        OutputError: There is no room for the file.
    """
    part = draft_of(path)
    try:
        yield part
        put_in_place(part, path)
    except OSError as error:
        raise unwritten(path, error) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """The file in which another is written before it takes its place.

    Args:
        path: The file in the end.

    Returns:
        A hidden file beside it.
    """
    return path.with_name(f".{path.name}.draft")


def put_in_place(part: Path, path: Path) -> None:
    """Give a written file the name of another, when all of it is on the disk.

    Args:
        part: The file that is written.
        path: Its place, in the same directory.

    Raises:
        OSError: The file system refuses.
    """
    sync(part)
    part.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk, where the file system can tell.

    Args:
        path: The file or the directory.

    Raises:
        OSError: They are not.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_WAITING:
            raise
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Make a directory that stays when the power is cut.

    Args:
        path: The directory, which may exist; the one above it exists.

    Raises:
        OSError: The file system refuses.
    """
    if not path.is_dir():
        path.mkdir()
        sync(path.parent)


def unwritten(path: Path, error: OSError) -> InputError | OutputError:
    """Why a file cannot be written.

    Args:
        path: The file.
        error: What the file system says.

    Returns:
        The exception to raise: of the input where the path is at fault, else of the output.
    """
    kind = OutputError if error.errno in _NO_ROOM else InputError
    return kind(f"{path} cannot be written: {error.strerror or error}.")


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, with the line ends that it has.

    Args:
        path: The file; its directory exists.
        text: Its contents.

    Raises:
        InputError: The file system refuses.
    """
    with draft(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, with null for numbers that are not finite.

    Args:
        path: The file; its directory exists.
        mapping: Numbers, texts, lists and mappings by name, at any depth.

    Raises:
        InputError: The file system refuses.
    """
    write_text(path, json.dumps(plain(mapping), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table as CSV: a line with the names of the columns, and one for each row.

    Args:
        path: The file; its directory exists.
        columns: The names, in their order.
        rows: Entries by column, one for each.

    Raises:
        InputError: The file system refuses.
        ValueError: A row has an entry that is no column.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def plain(value: Any) -> Any:
    """A value as JSON has it: what is not finite becomes None, and tuples become lists, at any depth.

    Args:
        value: A number, a text, a list, a tuple or a mapping.

    Returns:
        The same without what JSON does not know.
    """
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
