"""Meshes of affine simplices: simple domains, gmsh scripts and mesh files, distributed over all ranks.

gmsh and the file readers run on rank 0 only. What goes wrong there is broadcast, so that every rank
raises the same :class:`~fem_models.core.errors.InputError`. All lengths are in the units of the mesh,
dimensionless in the examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from dolfinx import mesh as dmesh
from mpi4py import MPI

from fem_models.core.checks import finite, positive
from fem_models.core.errors import InputError
from fem_models.core.parallel import on_rank_zero
from fem_models.meshes import marks
from fem_models.meshes import sources as mesh_sources
from fem_models.meshes.checks import check_overlaps
from fem_models.meshes.domain_names import DOMAINS
from fem_models.meshes.joints import hanging, parts, places
from fem_models.meshes.meshio_files import read_by_meshio
from fem_models.meshes.periodic import Folded, fold
from fem_models.meshes.simplices import CELL_NAME, Simplices, check_cell_count, merged
from fem_models.meshes.torus import FEWEST, create_folded, create_simplices, structured_torus, with_corners
from fem_models.meshes.xdmf import read_xdmf

_Vector = npt.NDArray[np.float64]

WHOLE_SPACE = "space"
"""The domain that is a ball in a shell that stands for the rest of space."""

# The largest cell size on a torus, over its shortest length.
_LARGEST_ON_TORUS = {2: 1 / FEWEST, 3: 0.29}

TORUS = "torus"
"""The domain whose opposite sides are one."""

_DIMENSION = {name: domain.dimension for name, domain in DOMAINS.items() if domain.dimension}
_BRICKS = ("interval", "rectangle", "box")
_KEYS = {name: domain.keys for name, domain in DOMAINS.items()}
_SMALL = 1e-10
_CELLS_ACROSS = {1: 32, 2: 32, 3: 12}
_READERS: dict[str, Callable[[Path], Simplices]] = {
    ".xdmf": read_xdmf,
    **dict.fromkeys((".inp", ".vtk"), read_by_meshio),
    **dict.fromkeys((".msh", ".med", ".unv", ".mesh", ".bdf"), mesh_sources.read_mesh),
}
_SUFFIXES = (".geo", *_READERS)


def build(
    comm: MPI.Comm,
    domain: str,
    *,
    lower: Sequence[float] | float | None = None,
    upper: Sequence[float] | float | None = None,
    radius: float | None = None,
    center: Sequence[float] | None = None,
    lengths: Sequence[float] | float | None = None,
    cells: Sequence[int] | int | None = None,
    h: float | None = None,
    parameters: Mapping[str, float] | None = None,
) -> marks.MarkedMesh:
    """Build a mesh of a simple domain, with its parts named. Collective.

    Args:
        comm: communicator over which the cells are distributed.
        domain: "interval", "rectangle", "box", "disk", "ball", "torus": a brick from the origin on whose
            opposite sides are one (see `fem_models.meshes.torus`), or "space": a ball in a shell that stands
            for the rest of space (see `fem_models.meshes.whole_space`).
        lower: lower corner of an interval, rectangle or box, one number per dimension (default 0).
        upper: upper corner, one number per dimension (default 1).
        radius: radius of a disk or ball, also of the ball in space (default 1).
        center: centre of a disk or ball, one number per dimension (default 0).
        lengths: side lengths of a torus, whose number is its dimension (default 1 for each of `cells`).
        cells: cells per direction of a structured mesh; each rectangle of the grid is split into two
            triangles, each box into six tetrahedra. At least 3 around a torus. Not for a
            disk, a ball or space.
        h: target cell size of an unstructured mesh; an interval gets equal cells not longer than `h`. In
            3D it may be taken some per cent smaller, to avoid flat cells. In space it is the size in the
            ball, and the layers of the shell are 1.5 times as thick.
            Without `cells` and `h`: the largest extent over 32 (1D, 2D) or over 12 (3D).
        parameters: belongs to mesh files (see `from_file`); any entry is refused here.

    Returns:
        A mesh of affine simplices whose geometric and topological dimension agree, with ghost cells
        across shared facets. Its boundaries are "boundary" (all of it), for an interval, rectangle or box
        also "left", "right" (low and high x), "bottom", "top" (y), "front", "back" (z), and for space
        "infinity" (the outer sphere); a torus has none. Space has the regions "ball" and "shell",
        the others none.

    Raises:
        InputError: an unknown domain, a key that does not belong to it, a value out of range, both
            `cells` and `h`, or fewer cells than ranks.
    """
    if domain not in DOMAINS:
        raise InputError(f"Unknown mesh domain {domain!r}: choose one of {', '.join(DOMAINS)}.")
    keys = {"lower": lower, "upper": upper, "radius": radius, "center": center, "lengths": lengths}
    _check_keys(domain, keys | {"cells": cells, "h": h, "parameters": parameters or None})
    if domain == TORUS:
        return _torus(comm, lengths, cells, h)
    corner, extents = _bounding_box(domain, lower, upper, radius, center)
    size = _target_size(h, float(extents.max()), _DIMENSION[domain])
    if cells is not None or domain == "interval":
        counts = _around(extents, size) if cells is None else _counts(cells, _DIMENSION[domain], domain)
        return marks.mark_sides(_structured(comm, corner, extents, counts), corner, extents)
    marked = _distribute(comm, lambda: mesh_sources.generate_domain(domain, corner, extents, size))
    return marks.mark_sides(marked.mesh, corner, extents) if domain in _BRICKS else marked


def _torus(comm: MPI.Comm, lengths: Any, cells: Any, h: Any) -> marks.MarkedMesh:
    sides, counts = (_listed(value) for value in (lengths, cells))
    if sides is None and counts is None:
        raise InputError("A torus needs `lengths`, one number for each dimension, or `cells`.")
    dim = len(counts or [] if sides is None else sides)
    if dim not in CELL_NAME:
        raise InputError(f"A torus has 1, 2 or 3 dimensions, but {dim} `lengths` or `cells` are given.")
    sides = [1.0] * dim if sides is None else sides
    sides = [positive(x, "`lengths` of the mesh") for x in _entries("lengths", sides, dim, TORUS, "number")]
    size = _target_size(h, max(sides), dim)
    if counts is None and dim > 1:
        largest = _LARGEST_ON_TORUS[dim] * min(sides)
        if size > largest:
            raise InputError(
                f"`h` = {size:g} is too large for a torus: take at most {largest:g}, so that there are "
                "enough cells around."
            )
        return _distribute(comm, lambda: mesh_sources.generate_torus(np.array(sides), size))
    if counts is None:
        counts = [max(FEWEST, count) for count in _around(sides, size)]
    return marks.MarkedMesh(structured_torus(comm, sides, _counts(counts, dim, TORUS)), {}, {})


def _listed(value: Any) -> list[Any] | None:
    """A list of what is one number, a list or an array."""
    return None if value is None else np.atleast_1d(value).tolist()


def from_file(
    comm: MPI.Comm,
    path: str | Path,
    *,
    h: float | None = None,
    parameters: Mapping[str, float] | None = None,
    merge: bool = False,
) -> marks.MarkedMesh:
    """Read a mesh file or mesh a gmsh script, with its parts named. Collective.

    Where the file has physical groups of the top dimension, their cells make up the mesh (as in the
    files that gmsh writes); otherwise all cells of the top dimension do. Triangles must lie in the
    plane z = 0 and intervals on the x axis. The options of `build` (mesh algorithms) apply to a script
    unless the script sets its own; where a 3D mesh comes out with flat cells, its sizes are reduced by some
    per cent.

    Args:
        comm: communicator over which the cells are distributed.
        path: a `.geo` script, or a mesh of intervals, triangles or tetrahedra: `.msh`, `.xdmf`, `.med`,
            `.unv`, `.vtk`, `.mesh`, `.bdf` or `.inp`.
        h: value for the script's parameter `h`; only with `.geo`.
        parameters: values for other `DefineConstant` parameters of the script; only with `.geo`.
        merge: whether nodes at one place are made one node, as where two grids touch.

    Returns:
        A mesh of affine simplices whose geometric and topological dimension agree, with ghost cells
        across shared facets. Its boundaries are "boundary" (all of it, unless a group has this name) and the
        physical groups of facets, its regions the physical groups of cells: by name, or by number where the
        format has numbers only.

    Raises:
        InputError: a file that is missing, unreadable or empty, cells that are not straight-sided
            simplices, that have no volume or overlap, an unknown parameter, or fewer cells than ranks.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(f"The mesh file {path} must end in one of {', '.join(_SUFFIXES)}.")
    settings = _script_settings(h, parameters)
    if settings and suffix != ".geo":
        raise InputError(
            f"The mesh file {path} takes neither `h` nor `parameters`: only a .geo script does; remove them."
        )

    def read() -> Simplices:
        _check_readable(path)
        whole = mesh_sources.run_script(path, settings) if suffix == ".geo" else _READERS[suffix](path)
        if merge:
            whole = merged(whole)
        check_overlaps(whole.points, whole.cells, f"The mesh file {path}")
        return whole._replace(notes=_joints(whole, path))

    return _distribute(comm, read)


def _joints(whole: Simplices, path: Path) -> tuple[str, ...]:
    """A sentence where parts of a mesh do not hang together, or nodes at one place are not one."""
    count = parts(len(whole.points), whole.cells)
    doubled = int((places(whole.points) != np.arange(len(whole.points))).sum())
    between = hanging(whole.points, whole.cells) if whole.cells.shape[1] > 2 else 0
    if count == 1 and not doubled and not between:
        return ()
    what = [f"{count} parts that share no nodes"] if count > 1 else []
    nodes = "1 node" if between == 1 else f"{between} nodes"
    what += [f"{nodes} hanging on the side of a cell"] if between else []
    what += [f"{doubled} nodes at the place of another"] if doubled else []
    cure = " (merge = true makes them one)" if doubled else ""
    where = "between them" if count > 1 or doubled else "through those sides"
    return (f"The mesh file {path} has {' and '.join(what)}{cure}: no mass passes {where}.",)


def _check_keys(domain: str, keys: Mapping[str, Any]) -> None:
    """Refuse keys that the domain does not have, parameters, and `cells` together with `h`."""
    given = {key for key, value in keys.items() if value is not None}
    if "cells" in given and "cells" not in _KEYS[domain]:
        raise InputError(f"The mesh domain {domain!r} has no structured mesh: give `h` instead of `cells`.")
    if foreign := sorted(given - set(_KEYS[domain])):
        names = ", ".join(f"`{key}`" for key in foreign)
        allowed = ", ".join(f"`{key}`" for key in _KEYS[domain])
        raise InputError(f"The mesh domain {domain!r} does not take {names}: its keys are {allowed}.")
    if {"cells", "h"} <= given:
        raise InputError("Give either `cells` (a structured mesh) or `h` (an unstructured one), not both.")


def _entries(key: str, value: Any, dim: int, domain: str, kind: str) -> list[Any]:
    """List with one entry per dimension; a scalar stands for a list of one."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    entries = [value] if dim == 1 and isinstance(value, Real) else value
    if not isinstance(entries, list | tuple) or len(entries) != dim:
        what = f"a list of {dim} {kind}s" if dim > 1 else f"one {kind}"
        raise InputError(f"`{key}` of the mesh domain {domain!r} must be {what}, not {value!r}.")
    return list(entries)


def _vector(key: str, value: Any, dim: int, domain: str) -> _Vector:
    return np.array([finite(x, f"`{key}` of the mesh") for x in _entries(key, value, dim, domain, "number")])


def _counts(value: Any, dim: int, domain: str) -> list[int]:
    counts = _entries("cells", value, dim, domain, "whole number")
    if any(isinstance(n, bool) or not isinstance(n, Integral) or n <= 0 for n in counts):
        raise InputError(f"`cells` of the mesh must be positive whole numbers, not {value!r}.")
    return [int(n) for n in counts]


def _bounding_box(domain: str, lower: Any, upper: Any, radius: Any, center: Any) -> tuple[_Vector, _Vector]:
    """Lower corner and extents of the domain, each of shape (dim,)."""
    dim = _DIMENSION[domain]
    if "radius" in _KEYS[domain]:
        r = positive(1.0 if radius is None else radius, "`radius` of the mesh")
        middle = np.zeros(dim) if center is None else _vector("center", center, dim, domain)
        return middle - r, np.full(dim, 2.0 * r)
    low = np.zeros(dim) if lower is None else _vector("lower", lower, dim, domain)
    high = np.ones(dim) if upper is None else _vector("upper", upper, dim, domain)
    if np.any(low >= high):
        raise InputError(
            "`lower` of the mesh must be below `upper` in every direction, "
            f"but they are {low.tolist()} and {high.tolist()}."
        )
    return low, high - low


def _around(sides: Sequence[float] | _Vector, size: float) -> list[int]:
    """Numbers of equal cells along the sides that are not longer than `size`."""
    # The small slack keeps rounding in L/h from adding a cell (1.1/0.1 > 11).
    return [math.ceil(float(side) / size * (1.0 - 1e-12)) for side in sides]


def _target_size(h: Any, largest: float, dim: int) -> float:
    if h is None:
        return largest / _CELLS_ACROSS[dim]
    size = positive(h, "`h` of the mesh")
    if size > largest:
        raise InputError(f"`h` = {size:g} is larger than the domain, whose largest extent is {largest:g}.")
    return size


def _script_settings(h: Any, parameters: Any) -> dict[str, float]:
    """Values for the parameters of a gmsh script."""
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InputError(f"`parameters` of the mesh must be a table of numbers, not {parameters!r}.")
    settings = {
        str(name): finite(x, f"`parameters.{name}` of the mesh") for name, x in (parameters or {}).items()
    }
    if h is not None:
        if "h" in settings:
            raise InputError("The mesh size is given twice: remove either `h` or `parameters.h`.")
        settings["h"] = positive(h, "`h` of the mesh")
    return settings


def _check_readable(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"The mesh file {path} does not exist: check the path and the working directory.")
    try:
        with path.open("rb") as file:
            start = file.read(1)
    except OSError as error:
        raise InputError(f"The mesh file {path} cannot be read: {error.strerror}.") from error
    if not start:
        raise InputError(f"The mesh file {path} is empty: write it again.")


def _structured(comm: MPI.Comm, corner: _Vector, extents: _Vector, counts: list[int]) -> dmesh.Mesh:
    check_cell_count(comm, math.factorial(len(counts)) * math.prod(counts))
    if extents.min() < _SMALL:
        # DOLFINx takes such lengths for zero.
        mesh = _structured(comm, np.zeros_like(corner), np.ones_like(extents), counts)
        mesh.geometry.x[:, : len(corner)] = corner + extents * mesh.geometry.x[:, : len(corner)]
        return mesh
    ends = [corner, corner + extents]
    mode = dmesh.GhostMode.shared_facet
    if len(counts) == 1:
        points = [float(end[0]) for end in ends]
        return dmesh.create_interval(comm, counts[0], points, dtype=np.float64, ghost_mode=mode)
    if len(counts) == 2:
        return dmesh.create_rectangle(comm, ends, counts, dtype=np.float64, ghost_mode=mode)
    return dmesh.create_box(comm, [*ends], counts, dtype=np.float64, ghost_mode=mode)


def _distribute(comm: MPI.Comm, make: Callable[[], Simplices]) -> marks.MarkedMesh:
    """Run `make` on rank 0 and share its cells out; its failure is raised on all ranks."""
    whole: Simplices | None = None
    folds: Folded | None = None

    def on_one() -> tuple[int, tuple[str, ...], int]:
        nonlocal whole, folds
        whole = make()
        check_cell_count(comm, len(whole.cells))
        if len(whole.pairs):
            folds = fold(whole, "The mesh")
            whole = folds.whole
        return whole.cells.shape[1] - 1, whole.notes, folds.vertices if folds else 0

    dim, notes, vertices = on_rank_zero(comm, on_one)
    cells = np.empty((0, dim + 1), dtype=np.int64) if whole is None else whole.cells
    if vertices:
        return replace(_shared_torus(comm, cells, vertices, whole, folds), notes=notes)
    points = np.empty((0, dim)) if whole is None else np.ascontiguousarray(whole.points[:, :dim])
    return replace(marks.mark_groups(create_simplices(comm, cells, points), whole), notes=notes)


def _shared_torus(
    comm: MPI.Comm, cells: npt.NDArray[np.int64], vertices: int, whole: Simplices | None, folds: Folded | None
) -> marks.MarkedMesh:
    """A torus whose cells rank 0 has."""
    folded = create_folded(comm, cells, vertices)
    # DOLFINx finds groups by vertices, and the folded mesh has all facets and cells of the torus.
    parts = marks.mark_groups(folded, whole)

    def corners(numbers: npt.NDArray[np.int64]) -> _Vector:
        wanted = comm.gather(numbers)
        return comm.scatter(None if folds is None or wanted is None else [folds.corners[n] for n in wanted])

    corner, lengths = comm.bcast(None if folds is None else (folds.corner, folds.lengths))
    boundaries = {name: facets for name, facets in parts.boundaries.items() if name != "boundary"}
    return replace(parts, mesh=with_corners(folded, corners, corner, lengths), boundaries=boundaries)
