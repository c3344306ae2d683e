"""Meshes from XDMF files, read on rank 0."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from dolfinx import io
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.meshes.simplices import CELL_NAME, Simplices, check_simplex, checked


def read_xdmf(path: Path) -> Simplices:
    """Read the first named uniform grid of an XDMF file.

    Args:
        path: The file.

    Returns:
        The whole mesh, without named parts.

    Raises:
        InputError: The file is damaged, or has no mesh of straight-sided simplices.
    """
    origin = f"The mesh file {path}"
    try:
        grids = ElementTree.parse(path).getroot().findall("./Domain/Grid")
    except ElementTree.ParseError as error:
        raise InputError(f"{origin} is damaged: it is not valid XML ({error}).") from error
    name = next((grid.get("Name") for grid in grids if grid.find("Topology") is not None), None)
    if name is None:
        raise InputError(f"{origin} has no cells: it needs a named uniform grid with a topology.")
    try:
        with io.XDMFFile(MPI.COMM_SELF, path, "r") as file:
            kind, order = file.read_cell_type(name)
            cells = file.read_topology_data(name)
            points = file.read_geometry_data(name)
    except Exception as error:
        raise InputError(
            f"{origin} or its HDF5 file is damaged or missing: {str(error).rstrip('.')}."
        ) from error
    check_simplex(origin, kind.name, order, kind.name in CELL_NAME.values())
    if not len(cells):
        raise InputError(f"{origin} has no cells: it needs intervals, triangles or tetrahedra.")
    if cells.min() < 0 or cells.max() >= len(points):
        raise InputError(f"{origin} is damaged: cells refer to points that do not exist.")
    padded = np.zeros((len(points), 3))
    padded[:, : points.shape[1]] = points
    return checked(Simplices(padded, cells), origin)
