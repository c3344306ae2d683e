"""Densities that runs have written, at the nodes of a mesh: found, read in parallel, and interpolated.

A run may have had any number of ranks. Every number is dimensionless.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from mpi4py import MPI
from scipy.spatial import cKDTree

from fem_models.config.run_file import RunConfig
from fem_models.core.errors import InputError
from fem_models.meshes.marks import MarkedMesh
from fem_models.meshes.torus import node_points
from fem_models.meshes.whole_space import BALL, SHELL
from fem_models.nodal.edges import EdgeGeometry
from fem_models.results import layout

if TYPE_CHECKING:
    from fem_models.results.run_data import RunData

# Times are written with all digits, and asked for with fewer.
_SAME_TIME = 1e-9
# Written coordinates have all digits; this share of the domain allows for the rounding of other machines.
_SAME_POINT = 1e-9
# Interpolation changes the mass by this share at most where both meshes are of one domain.
_LOSS = 0.05
# Nodes that lie outside of the other mesh by this share of its cell size take values from the next cell: the
# facets of round domains lie inside of the circle by no more.
_OVERHANG = 0.125

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DensityRequest:
    """One density of a run.

    Attributes:
        directory: The run directory.
        time: One of the times of fields.pvd; None for the last.
        species: Name of the density; None for the only one.
    """

    directory: Path
    time: float | None = None
    species: str | None = None


@dataclass(frozen=True)
class Source:
    """A density that is there.

    Attributes:
        request: With its time and name filled in.
        config: The run file.
        mass: The mass at that time, as the run has measured it.
    """

    request: DensityRequest
    config: RunConfig
    mass: float


def find(request: DensityRequest) -> Source:
    """Find a density. Call it on one process.

    Args:
        request: What is asked for.

    Returns:
        The density, with the time and the name that were meant.

    Raises:
        InputError: A directory that is no run directory or holds no fields, or a density or a time that is
            not there.
    """
    from fem_models.results.run_data import RunData  # here: it takes a while to import

    run = RunData(request.directory)
    name = _species(run, request.species)
    time = _time(run, request.time)
    series = run.series
    if (column := f"mass_{name}") not in series:
        raise InputError(f"{run.directory / layout.SERIES} has no column {column}; run the run file again.")
    mass = float(series[column][np.argmin(np.abs(series["time"] - time))])
    return Source(DensityRequest(request.directory, time, name), run.config, mass)


def _species(run: "RunData", name: str | None) -> str:
    """The name of a density of a run: the given one, or the only one."""
    densities = [field for field, metric in run.config.fields if metric == "wasserstein"]
    known = ", ".join(densities) or "none"
    if name is None and len(densities) == 1:
        return densities[0]
    if name is None:
        raise InputError(f"{run.directory} has several densities, {known}: choose one by --species.")
    if name not in densities:
        raise InputError(f"{run.directory} has no density {name}: its densities are {known}.")
    return name


def _time(run: "RunData", wanted: float | None) -> float:
    """The written time that is meant."""
    times = run.fields.times
    if wanted is None:
        return times[-1]
    nearest = min(times, key=lambda time: abs(time - wanted))
    if not abs(nearest - wanted) <= _SAME_TIME * max(abs(time) for time in times):
        raise InputError(
            f"{run.fields.path} has no fields of the time {wanted:g}: the nearest that it has is {nearest!r}."
        )
    return nearest


def domain_cells(marked: MarkedMesh) -> npt.NDArray[np.int32] | None:
    """The cells where densities live.

    Args:
        marked: The mesh of a run.

    Returns:
        Those cells, ghosts included, shape (cells,); None for all.
    """
    return marked.regions[BALL] if SHELL in marked.regions else None


def nodal(source: Source, space: fem.FunctionSpace, cells: npt.NDArray[np.int32] | None) -> _Array:
    """Written values at the nodes of this rank.

    Collective. Every rank reads the written pieces one after the other and keeps what lies at its own nodes.

    Args:
        source: The density, from `find`.
        space: The P1 space on the mesh of the run.
        cells: As from `domain_cells`.

    Returns:
        Values at the nodes, ghosts included, shape (nodes,); 0 outside of `cells`.

    Raises:
        InputError: Pieces that are missing or damaged, or that are not on this mesh.
    """
    dofmap = space.dofmap
    points = node_points(space)
    used = np.arange(len(points)) if cells is None else np.unique(dofmap.list[cells])
    values = np.zeros(len(points))
    failure = None
    try:
        found = _pick(source.request, points[used])
        values[used] = np.maximum(found, 0.0)
        missing = int(np.isnan(found).sum())
    except InputError as error:
        failure, missing = str(error), 0
    comm = space.mesh.comm
    if failures := [text for text in comm.allgather(failure) if text is not None]:
        raise InputError(failures[0])
    if comm.allreduce(missing):
        raise InputError(
            f"The fields of {source.request.directory} are not on the mesh of its {layout.RUN_FILE}, whose "
            "mesh file has changed since: run it again."
        )
    return values


def _pick(request: DensityRequest, points: _Array) -> _Array:
    """Written values at points, shape (points,), not a number where none is."""
    from fem_models.results.fields import WrittenFields

    name = str(request.species)
    values = np.full(len(points), np.nan)
    tree = cKDTree(points)
    for part in WrittenFields(request.directory / layout.FIELDS, [name]).parts(float(request.time or 0.0)):
        near = _SAME_POINT * float(np.ptp(part.points, axis=0).max())
        _, index = tree.query(part.points, distance_upper_bound=near)
        met = index < len(points)
        values[index[met]] = part.values[name][met]
    return values


def interpolated(
    values: _Array,
    source: fem.FunctionSpace,
    target: fem.FunctionSpace,
    cells: npt.NDArray[np.int32] | None,
) -> tuple[_Array, str]:
    """Nodal values on another mesh, with the mass that comes out. Collective.

    Args:
        values: At the nodes of `source`, ghosts included, shape (nodes,).
        source: The P1 space that they are from.
        target: The P1 space on the other mesh.
        cells: As from `domain_cells`, of the other mesh.

    Returns:
        Values at the nodes of `target`, ghosts included, shape (nodes,), and a sentence on their mass.

    Raises:
        InputError: Meshes of other dimensions, or domains so different that mass is lost.
    """
    dimensions = [space.mesh.geometry.dim for space in (target, source)]
    if dimensions[0] != dimensions[1]:
        raise InputError(
            f"The densities live in dimensions {dimensions[0]} and {dimensions[1]}: only densities in the "
            "same space have a distance."
        )
    given, found = fem.Function(source), fem.Function(target)
    given.x.array[:] = values
    mesh, dim = source.mesh, source.mesh.topology.dim
    owned = np.arange(mesh.topology.index_map(dim).size_local, dtype=np.int32)
    size = mesh.comm.allreduce(float(mesh.h(dim, owned).max(initial=0.0)), op=MPI.MAX)
    mine = np.arange(target.mesh.topology.index_map(dim).size_local, dtype=np.int32)
    data = fem.create_interpolation_data(target, source, mine, padding=_OVERHANG * size)
    found.interpolate_nonmatching(given, mine, data)
    found.x.scatter_forward()
    # Outside of the other mesh linear functions may fall below zero.
    nodal = np.maximum(found.x.array, 0.0)
    before, after = _integral(source, values, None), _integral(target, nodal, cells)
    change = after / before - 1.0
    if not abs(change) <= _LOSS:
        raise InputError(
            f"On the mesh of the first run the density of the second has the mass {after:.6g} in place of "
            f"{before:.6g}: use runs on the same domain, or a finer mesh in the first."
        )
    return nodal, (
        "The runs have different meshes: the second density was interpolated on the mesh of the first, and "
        f"its mass, {100.0 * change:+.2g} % off after that, scaled back."
    )


def _integral(space: fem.FunctionSpace, values: _Array, cells: npt.NDArray[np.int32] | None) -> float:
    volumes = EdgeGeometry(space, cells, lumping="cells").volumes
    owned = space.dofmap.index_map.size_local
    return float(space.mesh.comm.allreduce(float(volumes[:owned] @ values[:owned])))
