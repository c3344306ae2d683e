"""Fields of XDMF files, on one process: what DOLFINx and meshio write, at one time or at several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fem_models.core.errors import InputError
from fem_models.meshes.xdmf import data_item, read_xdmf_grid
from fem_models.transfer.pieces import Piece
from fem_models.transfer.times import attributes
from fem_models.transfer.vtk_files import columns, damaged


def read_xdmf_fields(path: Path, names: Sequence[str], time: float | None) -> Piece:
    """The cells of an XDMF file with some of its fields.

    Args:
        path: The file.
        names: The fields, which have a number at every point.
        time: One of its times; None where it has none.

    Returns:
        The mesh.

    Raises:
        InputError: The file or its HDF5 file is missing or damaged, its cells are no simplices of the first
            order, or it has no such field.
    """
    points, cells = read_xdmf_grid(path)
    items = {}
    for its, attribute in attributes(path):
        if its == time and attribute.get("Center") == "Node":
            items[attribute.get("Name", "")] = attribute.find("DataItem")
    try:
        fields = {name: items[name] if name not in names else data_item(items[name], path) for name in items}
    except InputError:
        raise
    except Exception:
        raise damaged(path, "or its HDF5 file is") from None
    return Piece(points, cells, cells.shape[1] - 1, columns(path, fields, names, len(points)))
