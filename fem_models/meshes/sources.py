"""Where whole meshes come from, on rank 0: gmsh's geometries, scripts, and the files that it reads.

The modules `xdmf` and `meshio_files` read those that it does not.

`fem_models.meshes.domains` calls these functions on one rank and shares the cells out.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fem_models.core.errors import InputError
from fem_models.core.extras import require
from fem_models.meshes.checks import flatness
from fem_models.meshes.joints import without_copies
from fem_models.meshes.simplices import Simplices, check_simplex, checked

# The shell that stands for the rest of space, in the domain "space": its outer radius over that of the ball
# in it, and the thickness of its layers of cells over the cell size in the ball.
_SHELL_RATIO, _SHELL_LAYER = 1.5, 1.5

# What is worth another try with gmsh (see `mesh_checks.flatness`).
_FLAT = 1e-6
# Bounding boxes of gmsh's geometry are wider by 1e-7.
_ON_SIDE = 1e-5
_SIZE_ATTEMPTS = 8

# Formats whose reference numbers gmsh takes for the numbers of curves, surfaces and volumes.
_NUMBERED = (".mesh", ".bdf")
# What whole files of a format end with; gmsh takes what is there without it.
_ENDS = {".mesh": b"End", ".bdf": b"ENDDATA"}

# gmsh's number of the first-order simplex of each dimension.
_GMSH_SIMPLEX = {1: 1, 2: 2, 3: 4}

# The parallel Delaunay mesher (10) without optimisation keeps the Voronoi coefficients of 3D meshes
# non-negative; the optimisers trade that property for better-shaped cells. In 2D Frontal-Delaunay does.
_GMSH_OPTIONS = {
    "General.Terminal": 0,
    "General.Verbosity": 1,
    "Mesh.Algorithm": 6,
    "Mesh.Algorithm3D": 10,
    "Mesh.Optimize": 0,
    "Mesh.OptimizeNetgen": 0,
}


@contextlib.contextmanager
def _gmsh_session(origin: str) -> Iterator[Any]:
    """The gmsh module with our options and an empty model; its bare exceptions become input errors."""
    # Loads graphics libraries, which only rank 0 of a run with such a mesh needs.
    gmsh: Any = require("gmsh", extra="mesh", what="Meshes from gmsh")
    if gmsh.isInitialized():
        # Its variables and options would leak into our mesh, and finalising would destroy its models.
        raise InputError("gmsh is already in use in this process: call gmsh.finalize() first.")
    # The user's own gmsh settings are not read, so that a run gives the same mesh everywhere.
    gmsh.initialize([], readConfigFiles=False, run=False, interruptible=False)
    try:
        for name, value in _GMSH_OPTIONS.items():
            gmsh.option.setNumber(name, value)
        gmsh.model.add("mesh")
        yield gmsh
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{origin} cannot be used; gmsh says: {str(error).rstrip('.')}.") from error
    finally:
        gmsh.finalize()


def generate_domain(
    domain: str, corner: npt.NDArray[np.float64], extents: npt.NDArray[np.float64], size: float
) -> Simplices:
    """Mesh a domain with gmsh, given its bounding box and the cell size; for "space", those of the ball.

    Args:
        domain: "rectangle", "box", "disk", "ball" or "space".
        corner: The lower corner of the bounding box, shape (dim,).
        extents: Its side lengths, shape (dim,).
        size: The target size of the cells, in the units of the box.

    Returns:
        The whole mesh.

    Raises:
        InputError: gmsh is missing, in use, or refuses.
    """
    # The largest extent is scaled to one: the geometry kernel has an absolute tolerance of 1e-7.
    scale = float(extents.max())
    sides = extents / scale
    origin = f"The mesh domain {domain!r}"
    with _gmsh_session(origin) as gmsh:
        if domain == "rectangle":
            gmsh.model.occ.addRectangle(0.0, 0.0, 0.0, *sides)
        elif domain == "box":
            gmsh.model.occ.addBox(0.0, 0.0, 0.0, *sides)
        elif domain == "disk":
            gmsh.model.occ.addDisk(0.5, 0.5, 0.0, 0.5, 0.5)
        else:
            _add_ball(gmsh.model.geo)
        gmsh.model.occ.synchronize()
        gmsh.model.geo.synchronize()
        gmsh.option.setNumber("Mesh.MeshSizeMin", size / scale)
        gmsh.option.setNumber("Mesh.MeshSizeMax", size / scale)
        unit = _generate(gmsh, origin)
    if domain == "space":
        unit = _with_shell(unit, size / scale)
    points = unit.points * scale
    points[:, : len(corner)] += corner
    return unit._replace(points=points)


def generate_torus(lengths: npt.NDArray[np.float64], size: float) -> Simplices:
    """Mesh a rectangle or box with gmsh so that opposite sides have the same nodes.

    Args:
        lengths: Side lengths, shape (dim,).
        size: The target size of the cells, in the units of the lengths.

    Returns:
        The whole mesh, with the pairs of nodes that are one.

    Raises:
        InputError: gmsh is missing, in use, or refuses.
    """
    scale = float(lengths.max())
    sides, dim = lengths / scale, len(lengths)
    with _gmsh_session(origin := 'The mesh domain "torus"') as gmsh:
        occ, model = gmsh.model.occ, gmsh.model
        (occ.addRectangle if dim == 2 else occ.addBox)(0.0, 0.0, 0.0, *sides)
        occ.synchronize()
        for axis in range(dim):
            low, high = (_side(model, dim, axis, level) for level in (0.0, sides[axis]))
            shift = np.eye(4)
            shift[axis, 3] = sides[axis]
            model.mesh.setPeriodic(dim - 1, high, low, shift.ravel().tolist())
        gmsh.option.setNumber("Mesh.MeshSizeMin", size / scale)
        gmsh.option.setNumber("Mesh.MeshSizeMax", size / scale)
        unit = _generate(gmsh, origin)
    return unit._replace(points=unit.points * scale)


def _side(model: Any, dim: int, axis: int, level: float) -> list[int]:
    """The side of a brick where a coordinate has a value."""
    ends = (model.getBoundingBox(dim - 1, tag) for _, tag in model.getEntities(dim - 1))
    tags = [tag for _, tag in model.getEntities(dim - 1)]
    return [
        tag
        for tag, box in zip(tags, ends, strict=True)
        if max(abs(box[axis] - level), abs(box[axis + 3] - level)) < _ON_SIDE
    ]


def _pairs(mesh: Any, entities: list[tuple[int, int]], index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Nodes of periodic entities with their partners, shape (pairs, 2)."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for dim, tag in entities:
        _, nodes, partners, _ = mesh.getPeriodicNodes(dim, tag)
        if len(nodes):
            found.append(index[np.stack([nodes, partners], axis=1).astype(np.int64)])
    return np.concatenate(found)


def _add_ball(geo: Any) -> None:
    """Ball of diameter one in the unit cube, its sphere in eight octants.

    The sphere of the geometry kernel has poles, where bad triangles make Voronoi coefficients negative.
    """
    center = geo.addPoint(0.5, 0.5, 0.5)
    tips = {
        (axis, side): geo.addPoint(*(0.5 + 0.5 * side * (axis == k) for k in range(3)))
        for axis, side in product(range(3), (1, -1))
    }
    arcs = {
        (a, b): geo.addCircleArc(tips[a], center, tips[b]) for a, b in combinations(tips, 2) if a[0] != b[0]
    }
    octants = []
    for sides in product((1, -1), repeat=3):
        x, y, z = enumerate(sides)
        loop = geo.addCurveLoop([arcs[x, y], arcs[y, z], -arcs[x, z]])
        octants.append(geo.addSurfaceFilling([loop], sphereCenterTag=center))
    geo.addVolume([geo.addSurfaceLoop(octants)])


def _with_shell(ball: Simplices, size: float) -> Simplices:
    """The ball of diameter one around (½, ½, ½) with layers of cells around it, between concentric spheres.

    With all nodes on spheres a function of the radius alone has an interpolant whose gradient is normal to
    the layers, on which the accuracy at the outer sphere rests (see `whole_space.space_coefficient`).
    """
    facets = np.sort(np.concatenate([np.delete(ball.cells, k, axis=1) for k in range(4)]), axis=1)
    facets, count = np.unique(facets, axis=0, return_counts=True)
    surface, triangles = np.unique(facets[count == 1], return_inverse=True)
    triangles = np.sort(triangles.reshape(-1, 3), axis=1)

    layers = math.ceil(0.5 * (_SHELL_RATIO - 1.0) / (_SHELL_LAYER * size))
    factors = np.linspace(1.0, _SHELL_RATIO, layers + 1)[1:]
    rays = ball.points[surface] - 0.5
    outside = 0.5 + (factors[:, None, None] * rays).reshape(-1, 3)
    # Numbers of the nodes over each node of the surface, level by level.
    numbers = np.vstack([surface, len(ball.points) + np.arange(len(outside)).reshape(layers, -1)])
    low, high = numbers[:-1][:, triangles], numbers[1:][:, triangles]
    a, b, c = (low[..., k] for k in range(3))
    d, e, f = (high[..., k] for k in range(3))
    # Each prism in three: the diagonals of its sides start at the smaller number, on both sides alike.
    prisms = np.stack([np.stack(corners, axis=-1) for corners in ((a, b, c, f), (a, b, e, f), (a, d, e, f))])
    shell = prisms.reshape(-1, 4)
    rows = np.arange(len(ball.cells) + len(shell))
    return Simplices(
        np.vstack([ball.points, outside]),
        np.vstack([ball.cells, shell]),
        {"infinity": numbers[-1][triangles]},
        {"ball": rows[: len(ball.cells)], "shell": rows[len(ball.cells) :]},
    )


def run_script(path: Path, settings: dict[str, float]) -> Simplices:
    """Mesh a gmsh script.

    Args:
        path: The script.
        settings: Values of numbers that it sets with `DefineConstant`.

    Returns:
        The whole mesh, with the physical groups of the script as its named parts.

    Raises:
        InputError: An unknown number, or a script that gmsh refuses or that makes no mesh of simplices.
    """
    known = _script_parameters(path, set())
    if unknown := sorted(set(settings) - set(known)):
        has = f"its parameters are {', '.join(known)}" if known else "it defines none with DefineConstant"
        raise InputError(f"The gmsh script {path} has no parameter {', '.join(unknown)}: {has}.")
    origin = f"The gmsh script {path}"
    if path.read_text(errors="replace").rpartition("\n")[2].count(";") > 1:
        raise InputError(f"{origin} does not end with a newline, and gmsh would skip the end of it: add one.")
    with _gmsh_session(origin) as gmsh:
        for name, value in settings.items():
            gmsh.parser.setNumber(name, [value])
        # `gmsh.open` would forget the numbers just set; `gmsh.merge` into the empty model keeps them.
        gmsh.merge(str(path))
        return _generate(gmsh, origin)


def read_mesh(path: Path) -> Simplices:
    """Read a mesh in a format that gmsh reads: MSH, MED, UNV, Medit's MESH or Nastran's BDF.

    Args:
        path: The file; its ending says the format.

    Returns:
        The whole mesh, with the physical groups of the file as its named parts; for MESH and BDF with the
        parts that their reference numbers make.

    Raises:
        InputError: The file is in another format, or has no mesh of straight-sided simplices.
    """
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        if suffix == ".msh" and file.read(1) != b"$":
            # gmsh would take such a file for a script and run it.
            raise InputError(f"The mesh file {path} is not in gmsh's MSH format: write it again.")
        if (mark := _ENDS.get(suffix)) is not None:
            file.seek(max(file.seek(0, 2) - 200, 0))
            if mark not in file.read():
                raise InputError(f"The mesh file {path} has no {mark.decode()} at its end: write it again.")
    origin = f"The mesh file {path}"
    with _gmsh_session(origin) as gmsh:
        gmsh.merge(str(path))
        return checked(_extract(gmsh, origin, numbered=suffix in _NUMBERED), origin)


def _script_parameters(path: Path, seen: set[Path]) -> list[str]:
    """Names of the numbers that a script and the scripts it includes set with DefineConstant."""
    path = path.resolve()
    if path in seen or not path.is_file():
        return []
    seen.add(path)
    keep_strings = re.compile(r'("[^"\n]*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
    text = keep_strings.sub(lambda found: found[1] or " ", path.read_text(errors="replace"))
    names: list[str] = []
    for included in re.findall(r'\bInclude\s*"([^"]+)"', text):
        names += _script_parameters(path.parent / included, seen)
    for found in re.finditer(r"\bDefineConstant\s*\[", text):
        for item in _bracket_items(text, found.end()):
            # A default in quotes makes a string, which is not a number to set.
            match = re.fullmatch(r'\s*(\w+)\s*(?:=\s*(?!\{?\s*").*)?', item, re.DOTALL)
            names += [match[1]] if match else []
    return list(dict.fromkeys(names))


def _bracket_items(text: str, start: int) -> list[str]:
    """Comma-separated items from `start`, just behind a bracket, to the one that closes it."""
    items, depth, begin = [], 0, start
    for found in re.compile(r'"[^"\n]*"|[\[({,\])}]').finditer(text, start):
        token = found[0]
        if depth == 0 and token in ",])}":
            items.append(text[begin : found.start()])
            begin = found.end()
        if depth == 0 and token in "])}":
            break
        depth += (token in "[({") - (token in "])}")
    return items


def _generate(gmsh: Any, origin: str) -> Simplices:
    """Mesh the current model, unless a script has done so itself, and take its cells.

    Without optimisation gmsh leaves some flat tetrahedra where its points lie on a regular pattern, as in
    the unit box with size 0.1. With a size a few per cent smaller the pattern is gone.
    """
    dim = gmsh.model.getDimension()
    if dim <= 0 or len(gmsh.model.mesh.getElements(dim)[0]):
        return checked(_extract(gmsh, origin), origin)
    # A model of discrete entities (from an STL file) is lost when its mesh is cleared: one attempt only.
    discrete = any("Discrete" in gmsh.model.getType(*entity) for entity in gmsh.model.getEntities())
    factor = gmsh.option.getNumber("Mesh.MeshSizeFactor")
    attempts = []
    for attempt in range(1 if discrete or dim < 3 else _SIZE_ATTEMPTS):
        if attempt > 0:
            gmsh.model.mesh.clear()
            gmsh.option.setNumber("Mesh.MeshSizeFactor", factor * 0.98**attempt)
        gmsh.model.mesh.generate(dim)
        whole = _extract(gmsh, origin)
        attempts.append((float(flatness(whole.points, whole.cells).min()), whole))
        if attempts[-1][0] > _FLAT:
            break
    return checked(max(attempts, key=lambda pair: pair[0])[1], origin)


def _extract(gmsh: Any, origin: str, numbered: bool = False) -> Simplices:
    """Cells of the top dimension of the current gmsh model, and its groups: physical ones, or entities."""
    groups_of = _numbered_parts if numbered else _physical_groups
    mesh = gmsh.model.mesh
    dim = next((d for d in (3, 2, 1) if len(mesh.getElements(d)[0])), 0)
    groups = groups_of(gmsh, dim)
    entities = {entity for members in groups.values() for entity in members}
    blocks, rows, count = [], {}, 0
    for entity in (sorted(entities) or [-1]) if dim > 0 else []:
        start = count
        kinds, _, corners = mesh.getElements(dim, entity)
        for kind, nodes in zip(kinds, corners, strict=True):
            name, _, order, *_ = mesh.getElementProperties(kind)
            check_simplex(origin, name, order, kind == _GMSH_SIMPLEX[dim])
            blocks.append(nodes.reshape(-1, dim + 1))
            count += len(blocks[-1])
        rows[entity] = np.arange(start, count)
    if not blocks:
        raise InputError(f"{origin} has no cells: it needs intervals, triangles or tetrahedra.")
    if dim < 3 and any(gmsh.model.getEntities(above) for above in range(dim + 1, 4)):
        what, parts = ("volume", "Volume") if gmsh.model.getEntities(3) else ("surface", "Surface")
        raise InputError(
            f"{origin} has a {what} but no cells of it, only of its boundary: give it a group (Physical "
            f"{parts}), or let gmsh save all (Mesh.SaveAll = 1), and write the mesh again."
        )
    tags, coordinates, _ = mesh.getNodes()
    index = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    index[tags] = np.arange(len(tags))
    facets = {
        name: np.concatenate(
            [corners for entity in members for corners in mesh.getElements(dim - 1, entity)[2]]
        )
        for name, members in groups_of(gmsh, dim - 1).items()
    }
    cells, numbers = without_copies(index[np.concatenate(blocks)])
    regions = {name: np.concatenate([rows[entity] for entity in members]) for name, members in groups.items()}
    return Simplices(
        coordinates.reshape(-1, 3),
        cells,
        {name: index[corners.reshape(-1, dim)] for name, corners in facets.items()},
        {name: np.unique(numbers[members]) for name, members in regions.items()},
        pairs=_pairs(mesh, gmsh.model.getEntities(), index),
    )


def _physical_groups(gmsh: Any, dim: int) -> dict[str, list[int]]:
    """Entities of the physical groups of a dimension by name; one without a name goes by its number."""
    groups: dict[str, list[int]] = {}
    for _, tag in gmsh.model.getPhysicalGroups(dim) if dim >= 0 else []:
        # Some formats fill names up with blanks.
        name = gmsh.model.getPhysicalName(dim, tag).strip("\0 ") or str(tag)
        members = groups.setdefault(name, [])
        members += [int(entity) for entity in gmsh.model.getEntitiesForPhysicalGroup(dim, tag)]
    return groups


def _numbered_parts(gmsh: Any, dim: int) -> dict[str, list[int]]:
    """Entities of a dimension by their numbers, which are the reference numbers of some formats."""
    entities = gmsh.model.getEntities(dim) if dim >= 0 else []
    return {str(tag): [int(tag)] for _, tag in entities}
