"""Fields from elsewhere at the nodes of a flow, on any number of ranks.

Rank 0 reads a file piece by piece and hands it on in blocks; each rank keeps what concerns its own nodes. Of
a DOLFINx function every rank hands on its own cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from mpi4py import MPI
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import cKDTree

from fem_models.core.checkpoint_file import read_checkpoint
from fem_models.core.errors import InputError
from fem_models.core.parallel import on_rank_zero
from fem_models.flow.nodal_fields import NodalFields
from fem_models.meshes.torus import Torus, lengths_of
from fem_models.nodal.unfolded import shown_part
from fem_models.transfer.grids import Box, Grid, reached
from fem_models.transfer.location import Located
from fem_models.transfer.pieces import Block, Piece, blocks, check_piece
from fem_models.transfer.sources import (
    FileSource,
    MeshSource,
    Opened,
    Source,
    check,
    is_grid,
    opened,
    opened_grid,
)

_Array = npt.NDArray[np.float64]

# Coordinates in files have all digits; this share of the domain allows for the rounding of other machines.
_SAME_POINT = 1e-9
# Fields in files have sixteen digits, and those of checkpoints all.
_SAME_VALUE = 1e-14
# A mesh fills the box around it where its volume is that of the box, but for rounding.
_SAME_VOLUME = 1e-9


class Found(NamedTuple):
    """A field at the nodes of a flow.

    Attributes:
        values: At the nodes, ghosts included, shape (nodes,), dimensionless; zero where no densities live.
        mass: The mass of the source, where it is to be kept: as it was measured there, or the integral of
            the interpolant, which is not asked for where the nodes are the same.
        exact: Whether the values are those of the source, on the same nodes.
        origin: What they are of.
        note: A sentence on what was made of the source; empty for none.
    """

    values: _Array
    mass: float | None
    exact: bool
    origin: str
    note: str = ""


class Target:
    """The nodes of a flow where its densities live. Collective.

    Args:
        fields: The flow.
    """

    def __init__(self, fields: NodalFields) -> None:
        self.fields, self.comm = fields, fields.comm
        self.used = np.arange(fields.nodes) if fields.cells is None else np.flatnonzero(fields.inside)
        self.points: _Array = fields.points[self.used]
        self.dim = self.points.shape[1]
        lower, upper = (
            fields.reduce(self.points.min(axis=0, initial=math.inf), MPI.MIN),
            fields.reduce(self.points.max(axis=0, initial=-math.inf), MPI.MAX),
        )
        # Nodes of a torus are those at its lower sides.
        self.box = Box(lower, lower + lengths if (lengths := lengths_of(fields.mesh)) else upper)

    def folded(self, points: _Array) -> _Array:
        """Points with those at the upper sides of a torus moved to the lower ones.

        Args:
            points: Shape (points, dim).

        Returns:
            The points at which nodes are.
        """
        return self.fields.mesh.folded(points) if isinstance(self.fields.mesh, Torus) else points

    def all(self, mine: npt.NDArray[np.bool_]) -> bool:
        """Whether something is true at the nodes of all ranks.

        Args:
            mine: Of this rank, any shape.

        Returns:
            Whether it is.
        """
        return bool(self.comm.allreduce(bool(mine.all()), op=MPI.LAND))

    def everywhere(self, values: _Array) -> _Array:
        """Values at the nodes of the flow from those where densities live.

        Args:
            values: Shape (used nodes, any).

        Returns:
            Shape (nodes, any), zero elsewhere.
        """
        found = np.zeros((self.fields.nodes, values.shape[1]))
        found[self.used] = values
        return found

    def check_reached(self, missed: npt.NDArray[np.bool_], origin: str) -> None:
        """Refuse nodes that a source does not reach.

        Args:
            missed: Which of the used nodes, shape (used nodes,).
            origin: The source.

        Raises:
            InputError: There are some; the same on all ranks.
        """
        mine = np.flatnonzero(missed & (self.used < self.fields.owned))
        first = tuple(map(float, self.points[mine[0]])) if len(mine) else None
        places = [place for place in self.comm.allgather(first) if place is not None]
        if places:
            point = ", ".join(f"{coordinate:.6g}" for coordinate in min(places))
            raise InputError(
                f"{origin} does not reach {self.comm.allreduce(len(mine))} of the nodes of the mesh, for "
                f"example ({point}): take a mesh inside of its domain."
            )


def values_from(fields: NodalFields, sources: Mapping[str, Source]) -> dict[str, Found]:
    """The values of sources at the nodes of a flow. Collective.

    On simplices they are those of the linear interpolant, and on grids of the multilinear one, so that none
    is less than the least of the source. Points that lie outside by less than an eighth of a cell, or half
    the spacing of a grid, take the nearest value. Where the nodes are those of the source, the values are,
    too.

    Args:
        fields: The flow.
        sources: By the name of the field.

    Returns:
        What was found, by the name of the field.

    Raises:
        InputError: A file is missing or damaged, does not go with the mesh or does not reach all of it. All
            ranks raise it.
    """
    target = Target(fields)
    found: dict[str, Found] = {}
    together: dict[FileSource, dict[str, str]] = {}
    for name, source in sources.items():
        if isinstance(source, FileSource):
            on_rank_zero(target.comm, lambda source=source: check(source))  # type: ignore[misc]
            if on_rank_zero(target.comm, lambda source=source: is_grid(source)):  # type: ignore[misc]
                found[name] = _from_grid(target, source, name)
            else:
                # Species of one file are read together.
                file = FileSource(source.path, None, source.time)
                together.setdefault(file, {})[name] = source.field or name
        elif isinstance(source, MeshSource):
            found[name] = _from_mesh(target, source, name)
        else:
            found[name] = _from_function(target, source, name)
    for file, wanted in together.items():
        found |= _from_file(target, file, wanted)
    return found


def _from_file(target: Target, file: FileSource, wanted: Mapping[str, str]) -> dict[str, Found]:
    names = list(dict.fromkeys(wanted.values()))
    source = on_rank_zero(target.comm, lambda: opened(file, names))
    values, integrals, exact = _at_nodes(target, _handed_on(target, source.pieces, source.origin), len(names))
    target.check_reached(np.isnan(values).any(axis=1), source.origin)
    nodal = target.everywhere(values)
    if exact and source.checkpoints:
        nodal = _with_all_digits(target, source, nodal)
    found = {}
    for name, field in wanted.items():
        k = names.index(field)
        mass = source.masses.get(field, None if exact else float(integrals[k]))
        found[name] = Found(nodal[:, k].copy(), mass, exact, source.origin)
    return found


def _from_mesh(target: Target, source: MeshSource, name: str) -> Found:
    dim = source.cells.shape[1] - 1
    piece = Piece(source.points, source.cells, dim, source.values.reshape(-1, 1))
    origin = f"The field for {name}"
    values, integrals, exact = _at_nodes(target, _handed_on(target, lambda: iter([piece]), origin), 1)
    target.check_reached(np.isnan(values).any(axis=1), origin)
    mass = source.mass
    if mass is None and not exact:
        mass = float(integrals[0])
    return Found(target.everywhere(values)[:, 0], mass, exact, "fields")


def _from_function(target: Target, function: fem.Function, name: str) -> Found:
    origin = f"The function for {name}"
    mesh = function.function_space.mesh
    if function.ufl_shape != ():
        raise InputError(f"{origin} must be scalar, not of shape {function.ufl_shape}.")
    if MPI.Comm.Compare(mesh.comm, target.comm) not in (MPI.IDENT, MPI.CONGRUENT):
        raise InputError(
            f"{origin} must live on the ranks of the flow: make its mesh with the same communicator."
        )
    linear = fem.Function(fem.functionspace(mesh, ("Lagrange", 1)))
    linear.interpolate(function)
    if (part := shown_part(linear.function_space, None)) is not None:
        linear = part.restricted([linear])[0]
    space = linear.function_space
    owned = space.mesh.topology.index_map(mesh.topology.dim).size_local
    points, cells = space.tabulate_dof_coordinates(), space.dofmap.list[:owned].astype(np.int64)
    piece = Piece(points, cells, mesh.topology.dim, np.asarray(linear.x.array, dtype=float).reshape(-1, 1))

    def all_blocks() -> Iterator[Block]:
        for root in range(target.comm.size):
            mine = blocks([piece], target.dim, origin) if root == target.comm.rank else iter(())
            yield from _from_rank(target.comm, root, mine)

    _agree(target, piece, origin)
    values, _, exact = _at_nodes(target, all_blocks(), 1)
    target.check_reached(np.isnan(values).any(axis=1), origin)
    mass = float(target.comm.allreduce(fem.assemble_scalar(fem.form(function * ufl.dx))))
    return Found(target.everywhere(values)[:, 0], None if exact else mass, exact, "a function")


def _agree(target: Target, piece: Piece, origin: str) -> None:
    """Raise on all ranks what is wrong with the piece of any."""
    failure = ""
    try:
        check_piece(piece, target.dim, origin)
    except InputError as error:
        failure = str(error)
    if failures := [text for text in target.comm.allgather(failure) if text]:
        raise InputError(failures[0])


def _handed_on(target: Target, pieces: Callable[[], Iterable[Piece]], origin: str) -> Iterator[Block]:
    """The blocks of what rank 0 reads, on all ranks."""

    def read() -> Iterator[Block]:
        # Opened with the first block, so that what goes wrong there is told to all ranks, too.
        yield from blocks(pieces(), target.dim, origin)

    mine = read()
    while (block := on_rank_zero(target.comm, lambda: next(mine, None))) is not None:
        yield block


def _from_rank(comm: MPI.Comm, root: int, mine: Iterator[Block]) -> Iterator[Block]:
    while (block := comm.bcast(next(mine, None) if comm.rank == root else None, root=root)) is not None:
        yield block


def _at_nodes(target: Target, parts: Iterable[Block], fields: int) -> tuple[_Array, _Array, bool]:
    """Values at the used nodes, not-a-number where there are none, integrals, and whether nodes are the same.

    Nodes of the source that are nodes of the target hand their values on as they are.
    """
    located, integrals = Located(target.points, fields), np.zeros(fields)
    tree = cKDTree(target.points)
    near = _SAME_POINT * float((target.box.upper - target.box.lower).max())
    same = True
    for block in parts:
        _, index = tree.query(target.folded(block.points), distance_upper_bound=near)
        met = index < len(target.points)
        located.values[index[met]] = block.values[met]
        located.distance[index[met]] = -1.0
        if same:
            anywhere = np.empty_like(met)
            target.comm.Allreduce(met, anywhere, op=MPI.LOR)
            same = bool(anywhere.all())
        located.add(block.points, block.cells, block.values)
        integrals += block.integrals
    located.values[np.isinf(located.distance)] = np.nan
    return located.values, integrals, same and target.all(located.distance < 0.0)


def _with_all_digits(target: Target, source: Opened, nodal: _Array) -> _Array:
    """The values of a checkpoint of the same state, where there is one; files have sixteen digits only."""
    fields = target.fields
    for path in reversed(source.checkpoints):
        try:
            if read_checkpoint(target.comm, path).facts.get("time") != source.time:
                continue
            arrays = read_checkpoint(target.comm, path, fields.keys).arrays
        except InputError:
            continue  # it is of another mesh, or damaged
        if not all(f"state.{name}" in arrays for name in source.fields):
            continue
        found = np.column_stack([arrays[f"state.{name}"] for name in source.fields])
        # Copied on purpose: the array of an exchange changes with the next one.
        found = fields.with_ghosts(found).copy()
        size = _SAME_VALUE * np.maximum(np.abs(found), np.abs(nodal))
        if target.all(np.abs(found - nodal)[target.used] <= size[target.used]):
            return found
    return nodal


def _from_grid(target: Target, source: FileSource, name: str) -> Found:
    kept: list[Grid] = []

    def first() -> tuple[Sequence[_Array], str]:
        kept.append(opened_grid(source, (name,), target.box))
        return _rims(kept[0]), kept[0].note

    rims, note = on_rank_zero(target.comm, first)
    origin = str(source.path)
    points = reached(rims, target.points)
    target.check_reached(np.isnan(points).any(axis=1), origin)
    slabs = kept[0].slabs(target.box) if kept else iter(())
    values, integral = np.zeros((len(points), 1)), 0.0
    while (slab := on_rank_zero(target.comm, lambda: next(slabs, None))) is not None:
        here = (points[:, 0] >= slab.axes[0][0]) & (points[:, 0] <= slab.axes[0][-1])
        values[here, 0] = RegularGridInterpolator(slab.axes, slab.values)(points[here])
        integral += slab.integral
    volume = float(np.prod(target.box.upper - target.box.lower))
    fills = abs(target.fields.volume - volume) <= _SAME_VOLUME * volume
    return Found(target.everywhere(values)[:, 0], integral if fills else None, False, origin, note)


def _rims(grid: Grid) -> Sequence[_Array]:
    """The first and the last two positions along each axis."""
    return [axis[[0, 1, -2, -1]] for axis in grid.axes]
