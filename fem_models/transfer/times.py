"""The times of fields in run directories and files, on one process."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fem_models.core.errors import InputError
from fem_models.core.run_names import FIELDS

XDMF = (".xdmf", ".xmf")


def last_time(path: Path) -> float | None:
    """The last time of fields.

    Args:
        path: A run directory or a file.

    Returns:
        The time; None where there are no times.

    Raises:
        InputError: The file is damaged.
    """
    file = path / FIELDS if path.is_dir() else path
    if not file.is_file():
        return None
    if file.suffix.lower() == ".pvd":
        return list(times_of_pvd(file))[-1]
    times = times_of_xdmf(file) if file.suffix.lower() in XDMF else []
    return times[-1] if times else None


def times_of_pvd(path: Path) -> dict[float, list[Path]]:
    """The times of a .pvd file with the files that belong to them.

    Args:
        path: The file.

    Returns:
        Files by time, in the order of time.

    Raises:
        InputError: It is damaged, or names no time.
    """
    found: dict[float, list[Path]] = {}
    try:
        for entry in ElementTree.parse(path).iter("DataSet"):
            time = float(entry.attrib["timestep"])
            found.setdefault(time, []).append(path.parent / entry.attrib["file"])
    except (OSError, ElementTree.ParseError, KeyError, ValueError, LookupError):
        raise InputError(f"{path} is missing or damaged: it is no .pvd file.") from None
    if not found or not all(map(math.isfinite, found)):
        raise InputError(f"{path} names no time: there are no fields to start from.")
    return dict(sorted(found.items()))


def times_of_xdmf(path: Path) -> list[float]:
    """The times of an XDMF file.

    Args:
        path: The file.

    Returns:
        The times of its grids in increasing order; none where it has no times.

    Raises:
        InputError: It is damaged.
    """
    return sorted({time for time, _ in attributes(path) if time is not None})


def attributes(path: Path) -> list[tuple[float | None, Any]]:
    """The fields in an XDMF file.

    Args:
        path: The file.

    Returns:
        The elements of XML, each with the time of its grid.

    Raises:
        InputError: It is damaged.
    """
    found = []
    try:
        for grid in ElementTree.parse(path).iter("Grid"):
            time = grid.find("Time")
            value = None if time is None else float(time.attrib["Value"])
            if value is not None and not math.isfinite(value):
                raise ValueError(value)
            found += [(value, attribute) for attribute in grid.findall("Attribute")]
    except (OSError, ElementTree.ParseError, KeyError, ValueError, LookupError):
        raise InputError(f"{path} is missing or damaged: it is no XDMF file.") from None
    return found
