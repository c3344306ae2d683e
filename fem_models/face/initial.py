"""States from elsewhere: files, fields of runs, and DOLFINx functions on other meshes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from dolfinx.fem import Function

from fem_models.config.problem import NODAL_VOLUME
from fem_models.core.checks import finite, named
from fem_models.core.errors import InputError
from fem_models.flow.checks import checked_initial, checked_masses
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.flow.species import State
from fem_models.results.fields import Snapshot
from fem_models.transfer.interpolation import values_from
from fem_models.transfer.masses import keep_masses
from fem_models.transfer.sources import FileSource, MeshSource, Source


def from_file(
    path: Path | str, field: str | None = None, time: float | None = None, *, invert: bool = False
) -> FileSource:
    """A density in a run directory or a file, for `flow.state`; it is read there.

    Args:
        path: A run directory; a .pvd, .vtu, .pvtu or .xdmf file with fields at the points of simplices; a
            .npy array on the box around the mesh, its first axis along x; a .npz file with such an array
            `values` and its positions `x`, `y`, `z` along the axes; or a .png image in grey, which fills the
            box around a mesh in 2D, black for 0 and white for 1.
        field: Name of the field or array; that of the density by default.
        time: One of the times there; the last by default (dimensionless).
        invert: Whether white is 0 in an image, and black 1.

    Returns:
        The source.

    Raises:
        InputError: An argument of another kind.
    """
    if not isinstance(path, Path | str):
        raise InputError(f"path must be the path of a run directory or a file, not {named(path)}.")
    if field is not None and not isinstance(field, str):
        raise InputError(f"field must be the name of a field, not {named(field)}.")
    when = None if time is None else finite(time, "time")
    return FileSource(Path(path), field, when, bool(invert))


def nodal_state(flow: GradientFlow, initial: Any, mass: Mapping[str, float] | float | None) -> State:
    """The nodal values of a state, of which some may be from elsewhere. Collective.

    Args:
        flow: The flow.
        initial: As for `fem_models.face.flow.Flow.state`.
        mass: Likewise.

    Returns:
        Shape (nodes, fields), with static fields in equilibrium.

    Raises:
        InputError: As for `fem_models.face.flow.Flow.state`.
    """
    if isinstance(initial, FileSource | Snapshot):
        free = zip(flow.names, flow.static.tolist(), strict=True)
        initial = {name: initial for name, static in free if not static}
    given = checked_initial(flow.names, flow.static.tolist(), initial)
    sources = {name: _source(value, name) for name, value in given.items() if _is_source(value, flow)}
    if not sources:
        return flow.state(initial, mass)
    scaled = checked_masses(flow.names, flow.kept, mass)
    found = values_from(flow, sources)
    state = flow.nodal_values({**given, **{name: one.values for name, one in found.items()}}, mass)
    state, _, sentences = keep_masses(flow, state, found, scaled)
    for sentence in sentences if flow.comm.rank == 0 else ():
        warnings.warn(sentence, stacklevel=3)
    return flow.settled(state)


def _is_source(value: Any, flow: GradientFlow) -> bool:
    if isinstance(value, Function):
        return value.function_space.mesh is not flow.mesh
    return isinstance(value, FileSource | Snapshot)


def _source(value: FileSource | Snapshot | Function[Any], name: str) -> Source:
    if not isinstance(value, Snapshot):
        return value
    if name in value.cell_values:
        raise InputError(f'The field "{name}" is constant on cells: a state needs values at points.')
    values, volumes = value[name], value.values.get(NODAL_VOLUME)
    # In three dimensions the mass of a run is that of its nodal volumes.
    mass = None if volumes is None else float(np.sum(volumes * values))
    return MeshSource(value.points, value.cells, values, mass)
