"""Meshes by the name of a domain or of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mpi4py import MPI

from fem_models.core.checks import named
from fem_models.core.errors import InputError
from fem_models.core.suggestions import choices
from fem_models.meshes import domains
from fem_models.meshes.domain_names import DOMAINS
from fem_models.meshes.marks import MarkedMesh


def mesh(
    source: str | Path,
    *,
    lower: Sequence[float] | float | None = None,
    upper: Sequence[float] | float | None = None,
    radius: float | None = None,
    center: Sequence[float] | None = None,
    lengths: Sequence[float] | float | None = None,
    cells: Sequence[int] | int | None = None,
    h: float | None = None,
    parameters: Mapping[str, float] | None = None,
    merge: bool = False,
    comm: MPI.Comm = MPI.COMM_WORLD,
) -> MarkedMesh:
    """Build or read a mesh. Collective.

    Args:
        source: A domain, one of "interval", "rectangle", "box", "disk", "ball", "torus" and "space", or a
            mesh file: a gmsh script (.geo), .msh or .xdmf. A file with periodic sides is a torus.
        lower: Lower corner of an interval, rectangle or box, 0 by default (lengths are dimensionless).
        upper: Its upper corner, 1 by default.
        radius: Of a disk, ball or of the ball in space, 1 by default.
        center: Its centre, the origin by default.
        lengths: Side lengths of a torus, one for each dimension, 1 by default for each of `cells`.
        cells: Number of cells along each axis of an interval, rectangle, box or torus.
        h: The target length of edges.
        parameters: Of a gmsh script, by name.
        merge: Whether nodes of a file that lie at one place are made one; see `.notes` of the mesh.
        comm: The ranks that share it.

    Returns:
        The mesh with its named boundaries and regions; `.mesh` is the DOLFINx mesh.

    Raises:
        InputError: No such domain or file, or keys that do not go with it.
    """
    if isinstance(source, str) and source in DOMAINS:
        return domains.build(
            comm,
            source,
            lower=lower,
            upper=upper,
            radius=radius,
            center=center,
            lengths=lengths,
            cells=cells,
            h=h,
            parameters=parameters,
        )
    if not isinstance(source, str | Path):
        raise InputError(f"A mesh is the name of a domain or of a file, not {named(source)}.")
    if not Path(source).suffix:
        raise InputError(f'There is no domain "{source}"; {choices(str(source), DOMAINS)}.')
    keys = {"lower": lower, "upper": upper, "radius": radius, "center": center}
    keys |= {"lengths": lengths, "cells": cells}
    for key, value in keys.items():
        if value is not None:
            raise InputError(f"{key} does not go with a mesh file, which takes h and parameters.")
    return domains.from_file(comm, source, h=h, parameters=parameters, merge=merge)
