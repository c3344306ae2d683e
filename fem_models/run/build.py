"""The mesh of a run file."""

from mpi4py import MPI

from fem_models.config.tables import Mesh
from fem_models.meshes import domains
from fem_models.meshes.marks import MarkedMesh


def build_mesh(comm: MPI.Comm, table: Mesh) -> MarkedMesh:
    """Build or read the mesh of a run file. Collective.

    Args:
        comm: The communicator over which the cells are shared out.
        table: The table [mesh].

    Returns:
        A mesh of simplices with its named parts.

    Raises:
        InputError: The mesh cannot be made, or has fewer cells than there are ranks.
    """
    if table.file is not None:
        return domains.from_file(comm, table.file, h=table.h, parameters=table.parameters, merge=table.merge)
    keys = ("lower", "upper", "radius", "center", "lengths", "cells", "h")
    return domains.build(comm, str(table.domain), **{key: getattr(table, key) for key in keys})
