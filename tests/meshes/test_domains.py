import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mesh_files import two_grids
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.meshes import domains as meshes
from fem_models.meshes import sources as mesh_sources

import dolfinx  # isort: skip
import ufl  # isort: skip
from dolfinx import fem  # isort: skip
from dolfinx.io import XDMFFile  # isort: skip

COMM = MPI.COMM_WORLD
GEO = Path(__file__).parents[2] / "meshes"
SIZES = {1: 2, 2: 3, 3: 4}
LINE, TRIANGLE, QUADRILATERAL, TETRAHEDRON, HEXAHEDRON, TRIANGLE_6, POINT = 1, 2, 3, 4, 5, 9, 15


def owned_corners(mesh):
    """Corner coordinates of the cells of this rank, shape (cells, vertices, 3)."""
    tdim = mesh.topology.dim
    count = mesh.topology.index_map(tdim).size_local
    return mesh.geometry.x[mesh.geometry.dofmaps[0][:count]]


def cell_volumes(mesh):
    corners = owned_corners(mesh)[:, :, : mesh.geometry.dim]
    edges = corners[:, 1:] - corners[:, :1]
    return np.abs(np.linalg.det(edges)) / math.factorial(mesh.topology.dim)


def volume(mesh):
    return COMM.allreduce(float(cell_volumes(mesh).sum()))


def cell_count(mesh):
    return mesh.topology.index_map(mesh.topology.dim).size_global


def bounds(mesh):
    corners = owned_corners(mesh).reshape(-1, 3)
    low = np.array(COMM.allreduce(corners.min(axis=0), op=_MIN))
    return low[: mesh.geometry.dim], COMM.allreduce(corners.max(axis=0), op=_MAX)[: mesh.geometry.dim]


_MIN = MPI.Op.Create(lambda a, b, _: np.minimum(a, b), commute=True)
_MAX = MPI.Op.Create(lambda a, b, _: np.maximum(a, b), commute=True)


def boundary_points(mesh):
    tdim = mesh.topology.dim
    mesh.topology.create_connectivity(tdim - 1, tdim)
    mesh.topology.create_connectivity(tdim - 1, 0)
    facets = dolfinx.mesh.exterior_facet_indices(mesh.topology)
    nodes = dolfinx.mesh.entities_to_geometry(mesh, tdim - 1, facets)
    return mesh.geometry.x[np.unique(nodes)]


def write(path, text):
    """Write a file on rank 0; returns its path on all ranks when it is there."""
    if COMM.rank == 0:
        path.write_text(text)
    COMM.Barrier()
    return path


def msh_text(points, elements):
    """Text of a file in version 2.2 of the MSH format; elements are (kind, physical group, vertices)."""
    lines = ["$MeshFormat", "2.2 0 8", "$EndMeshFormat", "$Nodes", str(len(points))]
    lines += [f"{i} {x} {y} {z}" for i, (x, y, z) in enumerate(points, start=1)]
    lines += ["$EndNodes", "$Elements", str(len(elements))]
    for i, (kind, group, vertices) in enumerate(elements, start=1):
        lines.append(f"{i} {kind} 2 {group} {max(group, 1)} {' '.join(map(str, vertices))}")
    return "\n".join([*lines, "$EndElements", ""])


def refused(match, call, *args, **kwargs):
    """The call raises the same InputError on every rank; returns its message."""
    with pytest.raises(InputError, match=match) as caught:
        call(COMM, *args, **kwargs)
    messages = COMM.allgather(str(caught.value))
    assert set(messages) == {messages[0]}
    return messages[0]


SQUARE = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)]
TWO_TRIANGLES = [(TRIANGLE, 0, (1, 2, 3)), (TRIANGLE, 0, (2, 4, 3))]
# Enough cells for three ranks: the square in four triangles around its centre.
CENTRED = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 0.5, 0)]
FOUR_TRIANGLES = [(TRIANGLE, 0, (a, b, 5)) for a, b in [(1, 2), (2, 3), (3, 4), (4, 1)]]


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("domain", "cells", "lower", "upper", "count"),
    [
        ("interval", 7, -1.0, 2.5, 7),
        ("interval", [7], [-1.0], [2.5], 7),
        ("rectangle", [3, 4], [-1.0, 2.0], [0.5, 4.0], 24),
        ("box", [2, 3, 2], [0.0, -1.0, 2.0], [1.0, 1.0, 2.5], 72),
    ],
)
def test_structured(domain, cells, lower, upper, count):
    mesh = meshes.build(COMM, domain, cells=cells, lower=lower, upper=upper).mesh
    low, high = np.atleast_1d(lower), np.atleast_1d(upper)
    assert mesh.geometry.dim == mesh.topology.dim == len(low)
    assert cell_count(mesh) == count
    assert volume(mesh) == pytest.approx(np.prod(high - low), rel=1e-13)
    np.testing.assert_allclose(bounds(mesh), (low, high), rtol=1e-14)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("domain", "lower", "upper", "h"),
    [
        ("rectangle", [-1.0, 2.0], [2.0, 3.0], 0.15),
        ("rectangle", [5.0, 5.0], [5.0 + 1e-8, 5.0 + 2e-8], 2e-9),
        ("box", [-1.0, 0.0, 3.0], [0.0, 0.7, 4.0], 0.2),
    ],
)
def test_unstructured_bricks_fill_the_domain(domain, lower, upper, h):
    mesh = meshes.build(COMM, domain, lower=lower, upper=upper, h=h).mesh
    low, high = np.array(lower), np.array(upper)
    dim = len(low)
    # Coordinates near 5 are resolved to 1e-15 only.
    assert volume(mesh) == pytest.approx(np.prod(high - low), rel=1e-6 if h < 1e-6 else 1e-12)
    np.testing.assert_allclose(bounds(mesh), (low, high), rtol=1e-14)
    mean = volume(mesh) / cell_count(mesh)
    regular = {2: math.sqrt(3) / 4, 3: 1 / (6 * math.sqrt(2))}[dim] * h**dim
    assert 0.5 * regular < mean < 2.0 * regular


@pytest.mark.parallel
def test_default_domains_and_sizes():
    exact = {"interval": 1.0, "rectangle": 1.0, "box": 1.0, "disk": math.pi, "ball": 4 * math.pi / 3}
    across = {"interval": 32, "rectangle": 32, "box": 12, "disk": 32, "ball": 12}
    for domain, value in exact.items():
        mesh = meshes.build(COMM, domain).mesh
        extent = 2.0 if domain in ("disk", "ball") else 1.0
        assert volume(mesh) == pytest.approx(value, rel=1.5e-2)
        given = meshes.build(COMM, domain, h=extent / across[domain]).mesh
        assert cell_count(mesh) == cell_count(given)
        assert mesh.geometry.x.dtype == np.float64
        assert mesh.ufl_domain().ufl_coordinate_element().degree == 1


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("length", "h", "count"), [(1.1, 0.1, 11), (1.0, 0.3, 4), (0.3, 0.1, 3), (1.0, 1 / 3, 3)]
)
def test_interval_cells_are_equal_and_not_longer_than_h(length, h, count):
    mesh = meshes.build(COMM, "interval", upper=length, h=h).mesh
    assert cell_count(mesh) == count
    np.testing.assert_allclose(cell_volumes(mesh), length / count, rtol=1e-12)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("domain", "center", "exact", "sizes"),
    [
        ("disk", [1.0, -2.0], math.pi * 0.25, [0.1, 0.05, 0.025]),
        ("ball", [1.0, -2.0, 0.5], 4 / 3 * math.pi * 0.125, [0.2, 0.1, 0.05]),
    ],
)
def test_round_domains_converge_with_order_two(domain, center, exact, sizes):
    errors = []
    for h in sizes:
        mesh = meshes.build(COMM, domain, radius=0.5, center=center, h=h).mesh
        errors.append(exact - volume(mesh))
        distance = np.linalg.norm(boundary_points(mesh)[:, : len(center)] - center, axis=1)
        np.testing.assert_allclose(distance, 0.5, rtol=1e-6)
    assert errors[-1] > 0.0  # inscribed
    assert errors[-1] < 1e-2 * exact
    rate = math.log2(errors[0] / errors[-1]) / (len(sizes) - 1)
    assert 1.7 < rate < 2.3


@pytest.mark.parametrize(
    ("domain", "h"),
    [("box", 0.1), ("box", 0.2), ("box", 0.3), ("box", 0.08), ("ball", 0.99), ("ball", 0.495)],
)
def test_no_flat_cells_where_gmsh_makes_some(domain, h):
    mesh = meshes.build(MPI.COMM_SELF, domain, h=h).mesh
    corners = mesh.geometry.x[mesh.geometry.dofmaps[0]]
    edges = np.stack([corners[:, j] - corners[:, i] for i, j in itertools.combinations(range(4), 2)], axis=1)
    longest = np.linalg.norm(edges, axis=2).max(axis=1)
    assert np.min(cell_volumes(mesh) / longest**3) > 1e-8


@pytest.mark.parallel
def test_ranks_agree_with_one_rank():
    for domain, h in [("interval", 0.05), ("rectangle", 0.1), ("box", 0.3), ("disk", 0.2), ("ball", 0.4)]:
        mesh, alone = meshes.build(COMM, domain, h=h).mesh, meshes.build(MPI.COMM_SELF, domain, h=h).mesh
        local = alone.topology.index_map(alone.topology.dim).size_local
        assert cell_count(mesh) == local
        assert volume(mesh) == pytest.approx(cell_volumes(alone).sum(), rel=1e-13)
        totals = COMM.allgather((local, alone.geometry.x.tobytes()))
        assert all(total == totals[0] for total in totals)  # deterministic, also between processes


@pytest.mark.parallel
def test_facets_between_ranks_have_ghost_cells():
    mesh = meshes.build(COMM, "disk", h=0.2).mesh
    mesh.topology.create_connectivity(1, 2)
    cells_of = mesh.topology.connectivity(1, 2)
    owned = mesh.topology.index_map(1).size_local
    exterior = {int(f) for f in dolfinx.mesh.exterior_facet_indices(mesh.topology)}
    assert all(len(cells_of.links(f)) == (1 if f in exterior else 2) for f in range(owned))
    ghosts = COMM.allreduce(mesh.topology.index_map(2).num_ghosts)
    assert (ghosts > 0) == (COMM.size > 1)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (
            {"domain": "cube"},
            "Unknown mesh domain 'cube': choose one of interval, rectangle, box, disk, ball",
        ),
        ({"domain": "rectangle", "radius": 1.0}, "does not take `radius`.*`lower`, `upper`, `cells`, `h`"),
        ({"domain": "disk", "lower": [0, 0]}, "does not take `lower`: its keys are `center`, `radius`, `h`"),
        ({"domain": "box", "parameters": {"a": 1}}, "does not take `parameters`"),
        ({"domain": "disk", "cells": [4, 4]}, "no structured mesh: give `h`"),
        ({"domain": "ball", "cells": 4}, "no structured mesh: give `h`"),
        ({"domain": "rectangle", "cells": [4, 4], "h": 0.1}, "either `cells`.*or `h`"),
        ({"domain": "rectangle", "cells": 4}, "`cells` .* a list of 2 whole numbers, not 4"),
        ({"domain": "box", "cells": [4, 4]}, "a list of 3 whole numbers"),
        ({"domain": "interval", "cells": [4, 4]}, "one whole number"),
        ({"domain": "rectangle", "cells": [4, 0]}, "`cells` .* positive whole numbers"),
        ({"domain": "rectangle", "cells": [4, 2.5]}, "`cells` .* positive whole numbers"),
        ({"domain": "interval", "cells": True}, "positive whole number"),
        ({"domain": "rectangle", "lower": [0, 0, 0]}, "`lower` .* a list of 2 numbers"),
        ({"domain": "rectangle", "upper": "ab"}, "`upper` .* a list of 2 numbers"),
        ({"domain": "ball", "center": [0, 0]}, "`center` .* a list of 3 numbers"),
        ({"domain": "rectangle", "lower": [0, 2]}, "`lower` .* below `upper`"),
        ({"domain": "interval", "lower": 1.0}, "`lower` .* below `upper`"),
        ({"domain": "interval", "upper": math.inf}, "`upper` .* finite number, not inf"),
        ({"domain": "disk", "center": [math.nan, 0]}, "`center` .* finite number, not nan"),
        ({"domain": "disk", "center": [True, 0]}, "`center` .* finite number, not True"),
        ({"domain": "disk", "radius": 0}, "`radius` .* positive finite number, not 0"),
        ({"domain": "disk", "radius": "1"}, "`radius` .* finite number, not '1'"),
        ({"domain": "disk", "h": -0.1}, "`h` .* positive finite number, not -0.1"),
        ({"domain": "disk", "h": math.nan}, "`h` .* finite number, not nan"),
        ({"domain": "disk", "h": 2.1}, "larger than the domain, whose largest extent is 2"),
        ({"domain": "interval", "h": 1.1}, "larger than the domain, whose largest extent is 1"),
    ],
)
def test_bad_input_to_build(arguments, match):
    domain = arguments.pop("domain") if "domain" in (arguments := dict(arguments)) else None
    refused(match, meshes.build, domain, **arguments)


@pytest.mark.parallel
@pytest.mark.skipif(COMM.size == 1, reason="needs more than one rank")
def test_more_ranks_than_cells(shared_tmp_path):
    cells = COMM.size - 1
    refused(f"{cells} cells, fewer than the {COMM.size} ranks", meshes.build, "interval", cells=cells)
    points = [(x, 0, 0) for x in range(COMM.size)]
    path = write(
        shared_tmp_path / "few.msh", msh_text(points, [(LINE, 0, (i, i + 1)) for i in range(1, COMM.size)])
    )
    refused("fewer than the", meshes.from_file, path)
    assert cell_count(meshes.build(COMM, "interval", cells=COMM.size).mesh) == COMM.size


SCRIPT_VOLUMES = {
    "disk": math.pi,
    # Two disks and the channel less the two circular segments that the channel shares with them.
    "dumbbell": 2 * math.pi
    + 0.4 * (3 - 2 * math.sqrt(1 - 0.04))
    - 2 * (math.asin(0.2) - 0.2 * math.sqrt(1 - 0.04)),
    "square_with_holes": 1 - 16 * math.pi * 0.06**2,
    "ball": 4 * math.pi / 3,
}


@pytest.mark.parallel
@pytest.mark.parametrize("name", SCRIPT_VOLUMES)
def test_scripts_with_their_defaults(name):
    mesh = meshes.from_file(COMM, GEO / f"{name}.geo").mesh
    assert mesh.geometry.dim == mesh.topology.dim == (3 if name == "ball" else 2)
    assert volume(mesh) == pytest.approx(SCRIPT_VOLUMES[name], rel=8e-3)
    low, high = (5000, 10000) if name == "ball" else (2000, 6000)
    assert low <= cell_count(mesh) <= high


@pytest.mark.parallel
def test_script_parameters_change_the_geometry():
    ball = meshes.from_file(COMM, GEO / "ball.geo", h=0.5, parameters={"radius": 2}).mesh
    np.testing.assert_allclose(bounds(ball), ([-2] * 3, [2] * 3), atol=1e-9)

    # The hole alone has radius 0.3, so the area is known.
    square = meshes.from_file(
        COMM, GEO / "square_with_holes.geo", h=0.1, parameters={"side": 2, "holes": 1, "hole_radius": 0.3}
    ).mesh
    assert volume(square) == pytest.approx(4 - math.pi * 0.09, rel=3e-3)

    wide, narrow = (
        meshes.from_file(COMM, GEO / "dumbbell.geo", h=0.1, parameters={"distance": 4, "width": width}).mesh
        for width in (0.6, 0.2)
    )
    for mesh, half in ((wide, 0.3), (narrow, 0.1)):
        middle = [x for x in boundary_points(mesh) if abs(x[0]) < 0.9]
        heights = COMM.allreduce([abs(float(x[1])) for x in middle])
        np.testing.assert_allclose(heights, half, rtol=1e-9)
        np.testing.assert_allclose(bounds(mesh)[1][0], 3.0, rtol=1e-9)


@pytest.mark.parallel
def test_mesh_size_of_a_script():
    coarse, fine = (meshes.from_file(COMM, GEO / "disk.geo", h=h).mesh for h in (0.2, 0.1))
    assert 3.0 < cell_count(fine) / cell_count(coarse) < 5.0
    assert math.pi - volume(coarse) > 3.0 * (math.pi - volume(fine)) > 0.0


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("name", "settings", "match"),
    [
        ("disk", {"radius": -1}, "radius and h must be positive"),
        ("ball", {"h": 3}, "radius and h must be positive, and h at most 2 radius"),
        ("dumbbell", {"distance": 1.5}, "distance must be larger than 2 radius"),
        ("dumbbell", {"width": 2}, "width must lie between 0 and 2 radius"),
        ("square_with_holes", {"holes": 1.5}, "holes must be a whole number"),
        ("square_with_holes", {"hole_radius": 0.2}, "hole_radius must lie between"),
        ("square_with_holes", {"side": 0}, "side and h must be positive"),
        ("dumbbell", {"widht": 1}, "no parameter widht: its parameters are radius, distance, width, h"),
        ("disk", {"radius": "big"}, "`parameters.radius` .* finite number, not 'big'"),
        ("disk", {"radius": math.inf}, "`parameters.radius` .* finite number"),
        ("disk", [1], "`parameters` .* a table of numbers"),
    ],
)
def test_bad_parameters_of_a_script(name, settings, match):
    refused(match, meshes.from_file, GEO / f"{name}.geo", parameters=settings)


@pytest.mark.parallel
def test_bad_mesh_size_of_a_script(shared_tmp_path):
    refused("given twice", meshes.from_file, GEO / "disk.geo", h=0.1, parameters={"h": 0.2})
    refused("`h` .* positive", meshes.from_file, GEO / "disk.geo", h=0)
    path = write(shared_tmp_path / "fixed.geo", "size = 0.5;\n")
    refused("no parameter h: it defines none", meshes.from_file, path, h=0.1)


@pytest.mark.parallel
def test_all_ways_to_define_a_parameter(shared_tmp_path):
    write(shared_tmp_path / "sizes.geo", "DefineConstant[ depth = 0.5 ];\n")
    text = """
    // DefineConstant[ commented = 1 ];
    /* DefineConstant[ out = 1 ]; */
    Include "sizes.geo";
    DefineConstant[ a = 1, b = {1, Name "Sizes, [all]/b", Choices{1, 2}}, title = "x" ];
    DefineConstant [ c ] ;
    d = 2;
    If (c == 0)
      c = 1;
    EndIf
    Point(1) = {0, 0, 0, 1}; Point(2) = {a * b * c * depth, 0, 0, 1};
    Line(1) = {1, 2};
    Mesh.MeshSizeMax = a / 10;
    """
    path = write(shared_tmp_path / "ways.geo", text)
    assert volume(meshes.from_file(COMM, path).mesh) == pytest.approx(0.5)
    settings = {"a": 3, "b": 2, "c": 5, "depth": 7}
    mesh = meshes.from_file(COMM, path, parameters=settings).mesh
    assert mesh.geometry.dim == 1
    assert volume(mesh) == pytest.approx(210.0)
    assert volume(meshes.from_file(COMM, path).mesh) == pytest.approx(0.5)  # nothing is left over
    for unknown in ("d", "commented", "out", "title", "Name"):
        message = refused("no parameter", meshes.from_file, path, parameters={unknown: 1})
        assert message.endswith("its parameters are depth, a, b, c.")


UNGROUPED = """
SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 1, 1};
Rectangle(2) = {1, 0, 0, 2, 1};
Coherence;
Mesh.MeshSizeMax = 0.25;
"""


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("groups", "area"),
    [
        ("", 3.0),
        ('Physical Curve("left") = {4};', 3.0),
        ('Physical Surface("right") = {2};', 2.0),
        ('Physical Surface("both") = {1, 2}; Physical Surface("right") = {2};', 3.0),
    ],
)
def test_physical_groups(shared_tmp_path, groups, area):
    path = write(shared_tmp_path / "groups.geo", UNGROUPED + groups + "\n")
    assert volume(meshes.from_file(COMM, path).mesh) == pytest.approx(area)


@pytest.mark.parallel
def test_options_of_a_script_win(shared_tmp_path):
    box = 'SetFactory("OpenCASCADE"); Box(1) = {0, 0, 0, 1, 1, 1}; Mesh.MeshSizeMax = 0.25;\n'
    ours = meshes.from_file(COMM, write(shared_tmp_path / "ours.geo", box)).mesh
    same = "Mesh.Algorithm3D = 10; Mesh.Optimize = 0; Mesh.OptimizeNetgen = 0; Mesh.Algorithm = 6;"
    stated = meshes.from_file(COMM, write(shared_tmp_path / "stated.geo", same + box)).mesh
    optimised = meshes.from_file(COMM, write(shared_tmp_path / "opt.geo", "Mesh.Optimize = 1;" + box)).mesh
    frontal = meshes.from_file(
        COMM, write(shared_tmp_path / "frontal.geo", "Mesh.Algorithm3D = 4;" + box)
    ).mesh
    assert cell_count(ours) == cell_count(stated)
    assert len({cell_count(ours), cell_count(optimised), cell_count(frontal)}) == 3


@pytest.mark.parallel
def test_script_that_meshes_itself(shared_tmp_path):
    path = write(shared_tmp_path / "own.geo", UNGROUPED + "Mesh 2;\nRefineMesh;\n")
    twice = cell_count(meshes.from_file(COMM, path).mesh)
    once = cell_count(meshes.from_file(COMM, write(shared_tmp_path / "plain.geo", UNGROUPED)).mesh)
    assert twice == 4 * once


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("\nDisk(1) = {0, 0, ;\n", "gmsh says: .*line 2: syntax error"),
        ("a = 1;", "has no cells"),
        ("Point(1) = {0, 0, 0};", "has no cells"),
        (UNGROUPED + "Mesh.RecombineAll = 1;", "not simplices: use triangles or tetrahedra"),
        (UNGROUPED + "Mesh.ElementOrder = 2;", "curved cells of order 2"),
        (UNGROUPED + "Rotate {{1, 0, 0}, {0, 0, 0}, 0.5} { Surface{1, 2}; }\n", "in the plane z = 0"),
        ("Point(1) = {0, 0, 0, 1}; Point(2) = {1, 1, 0, 1}; Line(1) = {1, 2};\n", "on the x axis"),
        ("Point(1) = {0, 0, 0, 1}; Point(2) = {1, 0, 0, 1}; Line(1) = {1, 2};", "end with a newline"),
    ],
)
def test_bad_scripts(shared_tmp_path, text, match):
    path = write(shared_tmp_path / "bad.geo", text)
    assert str(path) in refused(match, meshes.from_file, path)
    # gmsh is left in order for the next mesh.
    assert volume(meshes.build(COMM, "rectangle", h=0.5).mesh) == pytest.approx(1.0)


@pytest.mark.parallel
def test_msh_file(shared_tmp_path):
    # Point 6 belongs to no cell, and the line and the point are not of the top dimension.
    elements = [(POINT, 0, (1,)), (LINE, 0, (1, 2)), *FOUR_TRIANGLES]
    path = write(shared_tmp_path / "square.msh", msh_text([*CENTRED, (9, 9, 9)], elements))
    mesh = meshes.from_file(COMM, path).mesh
    assert (mesh.geometry.dim, cell_count(mesh)) == (2, 4)
    assert mesh.geometry.index_map().size_global == 5
    np.testing.assert_allclose(COMM.allreduce(cell_volumes(mesh).tolist()), 0.25)


@pytest.mark.parallel
def test_msh_file_of_other_dimensions(shared_tmp_path):
    line = msh_text([(x, 0, 0) for x in (0, 1, 3, 7)], [(LINE, 0, (i, i + 1)) for i in (1, 2, 3)])
    mesh = meshes.from_file(COMM, write(shared_tmp_path / "line.msh", line)).mesh
    assert (mesh.geometry.dim, volume(mesh)) == (1, pytest.approx(7.0))

    # An octahedron of volume 4/3, in four tetrahedra around its axis, with a boundary triangle.
    points = [(0, 0, 1), (0, 0, -1), (1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0)]
    tetrahedra = [(TETRAHEDRON, 0, (1, 2, a, b)) for a, b in [(3, 4), (4, 5), (5, 6), (6, 3)]]
    text = msh_text(points, [(TRIANGLE, 0, (1, 3, 4)), *tetrahedra])
    mesh = meshes.from_file(COMM, write(shared_tmp_path / "octahedron.msh", text)).mesh
    assert (mesh.geometry.dim, volume(mesh)) == (3, pytest.approx(4 / 3))


@pytest.mark.parallel
def test_msh_file_written_by_gmsh(shared_tmp_path):
    path = shared_tmp_path / "dumbbell.msh"
    if COMM.rank == 0:
        import gmsh

        gmsh.initialize(interruptible=False)
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.open(str(GEO / "dumbbell.geo"))
        gmsh.option.setNumber("Mesh.Binary", 1)
        gmsh.model.mesh.generate(2)
        gmsh.write(str(path))
        gmsh.finalize()
    COMM.Barrier()
    mesh = meshes.from_file(COMM, path).mesh
    direct = meshes.from_file(COMM, GEO / "dumbbell.geo").mesh
    assert cell_count(mesh) == cell_count(direct)
    assert volume(mesh) == pytest.approx(volume(direct), rel=1e-12)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("hello world\n", "not in gmsh's MSH format"),
        (msh_text(SQUARE, TWO_TRIANGLES)[:120], "gmsh says"),
        (msh_text(SQUARE, []), "has no cells"),
        (msh_text(SQUARE, [(POINT, 0, (1,))]), "has no cells"),
        (msh_text(SQUARE, [(TRIANGLE, 0, (1, 2, 7))]), "gmsh says: .*7"),
        (msh_text(SQUARE, [(QUADRILATERAL, 0, (1, 2, 4, 3))]), "Quadrilateral 4, which are not simplices"),
        (
            msh_text(
                [*SQUARE, *((x, y, 1) for x, y, _ in SQUARE)], [(HEXAHEDRON, 0, (1, 2, 4, 3, 5, 6, 8, 7))]
            ),
            "Hexahedron 8, which are not simplices",
        ),
        (
            msh_text(
                [*SQUARE, (0.5, 0, 0), (0.5, 0.5, 0), (0, 0.5, 0)], [(TRIANGLE_6, 0, (1, 2, 3, 5, 6, 7))]
            ),
            "curved cells of order 2",
        ),
        (msh_text([(x, y, 1) for x, y, _ in SQUARE], TWO_TRIANGLES), "in the plane z = 0"),
        (msh_text([(0, 0, 0), (1, 0, 0), (2, 0, 0)], [(TRIANGLE, 0, (1, 2, 3))]), "zero volume"),
        (msh_text([(0, 0, 0), (1, 0, 0), ("nan", 1, 0)], [(TRIANGLE, 0, (1, 2, 3))]), "not finite"),
    ],
)
def test_bad_msh_files(shared_tmp_path, text, match):
    path = write(shared_tmp_path / "bad.msh", text)
    assert str(path) in refused(match, meshes.from_file, path)


@pytest.mark.parallel
@pytest.mark.parametrize("domain", ["interval", "rectangle", "box"])
def test_xdmf_file(shared_tmp_path, domain):
    path = shared_tmp_path / "mesh.xdmf"
    cells = {"interval": 5, "rectangle": [3, 2], "box": [2, 2, 2]}[domain]
    written = meshes.build(COMM, domain, cells=cells).mesh
    written.name = "some name"
    with XDMFFile(COMM, path, "w") as file:
        file.write_mesh(written)
    mesh = meshes.from_file(COMM, path).mesh
    assert mesh.geometry.dim == mesh.topology.dim == written.geometry.dim
    assert cell_count(mesh) == cell_count(written)
    assert volume(mesh) == pytest.approx(1.0)


def xdmf_text(kind, cells, data_format="XML"):
    """Text of an XDMF file with one cell; its corners are written in the file."""
    nodes = len(cells.split())
    return f"""<?xml version="1.0"?>
<Xdmf Version="3.0"><Domain><Grid Name="grid" GridType="Uniform">
<Topology TopologyType="{kind}" NumberOfElements="1" NodesPerElement="{nodes}">
<DataItem Dimensions="1 {nodes}" NumberType="Int" Format="{data_format}">{cells}</DataItem></Topology>
<Geometry GeometryType="XY"><DataItem Dimensions="6 2" Format="XML">0 0 1 0 0 1 1 1 0.5 0 0 0.5</DataItem>
</Geometry></Grid></Domain></Xdmf>
"""


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("hello", "not valid XML"),
        (xdmf_text("Triangle", "0 1 2")[:90], "not valid XML"),
        ("<Xdmf><Domain></Domain></Xdmf>", "has no cells"),
        (xdmf_text("Quadrilateral", "0 1 2 3"), "kind quadrilateral, which are not simplices"),
        (xdmf_text("Triangle_6", "0 1 2 3 4 5"), "curved cells of order 2"),
        (xdmf_text("Blob", "0 1 2"), "kind blob, which are not simplices"),
        (xdmf_text("Triangle", "0 1 8"), "points that do not exist"),
        (xdmf_text("Triangle", "0 1 4"), "zero volume"),
        (xdmf_text("Triangle", "bad.h5:/no/such/data", "HDF"), "damaged or missing"),
    ],
)
def test_bad_xdmf_files(shared_tmp_path, text, match):
    path = shared_tmp_path / "bad.xdmf"
    with XDMFFile(COMM, path, "w") as file:
        file.write_mesh(meshes.build(COMM, "rectangle", cells=[3, 3]).mesh)
    write(path, text)
    assert str(path) in refused(match, meshes.from_file, path)


@pytest.mark.parallel
@pytest.mark.parametrize("damage", ["missing", "cut", "junk"])
def test_bad_hdf5_files(shared_tmp_path, damage):
    path, data = shared_tmp_path / "mesh.xdmf", shared_tmp_path / "mesh.h5"
    with XDMFFile(COMM, path, "w") as file:
        file.write_mesh(meshes.build(COMM, "rectangle", cells=[3, 3]).mesh)
    if COMM.rank == 0:
        whole = data.read_bytes()
        data.unlink()
        if damage != "missing":
            data.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"junk")
    COMM.Barrier()
    refused("or its HDF5 file is damaged or missing", meshes.from_file, path)


@pytest.mark.parallel
def test_files_that_are_not_meshes(shared_tmp_path):
    refused("must end in one of .geo, .xdmf, .inp, .vtk, .msh", meshes.from_file, "mesh.stl")
    for suffix in (".geo", ".msh", ".xdmf"):
        refused("does not exist", meshes.from_file, shared_tmp_path / f"none{suffix}")
    write(shared_tmp_path / "empty.geo", "")
    refused("is empty", meshes.from_file, shared_tmp_path / "empty.geo")
    path = write(shared_tmp_path / "square.msh", msh_text(CENTRED, FOUR_TRIANGLES))
    refused("takes neither `h` nor `parameters`", meshes.from_file, path, h=0.1)
    refused("takes neither `h` nor `parameters`", meshes.from_file, path, parameters={"a": 1})
    assert cell_count(meshes.from_file(COMM, str(path), parameters={}).mesh) == 4


@pytest.mark.parallel
def test_gmsh_in_use_is_left_alone():
    if COMM.rank == 0:
        import gmsh

        gmsh.initialize(interruptible=False)
        gmsh.model.add("mine")
    refused("gmsh is already in use in this process", meshes.build, "disk", h=0.5)
    if COMM.rank == 0:
        assert gmsh.model.getCurrent() == "mine"
        gmsh.finalize()
    assert cell_count(meshes.build(COMM, "disk", h=0.5).mesh) > 10


@pytest.mark.parallel
def test_faults_on_rank_zero_reach_all_ranks(monkeypatch):
    def fail(*_):
        raise KeyError("lost")

    monkeypatch.setattr(mesh_sources, "generate_domain", fail)
    # Rank 0 has the fault itself, with its traceback.
    kind, words = (
        (KeyError, "lost") if COMM.rank == 0 else (RuntimeError, r"rank 0 failed: KeyError\('lost'\)")
    )
    with pytest.raises(kind, match=words):
        meshes.build(COMM, "disk", h=0.5)


def test_gmsh_is_quiet():
    code = (
        "import fem_models; from mpi4py import MPI; from fem_models.meshes import domains as meshes;"
        "meshes.build(MPI.COMM_WORLD, 'ball', h=0.5)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ""


# Files as others write them

TWICE = """$MeshFormat
2.2 0 8
$EndMeshFormat
$PhysicalNames
2
2 1 "all"
2 2 "inner"
$EndPhysicalNames
$Nodes
4
1 0 0 0
2 1 0 0
3 1 1 0
4 0 1 0
$EndNodes
$Elements
3
1 2 2 1 1 1 2 3
2 2 2 1 1 1 3 4
3 2 2 2 2 1 2 3
$EndElements
"""


def test_a_cell_of_two_groups_counts_once(tmp_path):
    (tmp_path / "twice.msh").write_text(TWICE)
    mesh = meshes.from_file(MPI.COMM_SELF, tmp_path / "twice.msh")
    assert mesh.mesh.topology.index_map(2).size_global == 2
    assert {name: len(cells) for name, cells in mesh.regions.items()} == {"all": 2, "inner": 1}


@pytest.mark.parametrize("dim", [2, 3])
def test_a_file_with_nothing_but_the_boundary_says_so(tmp_path, dim):
    import gmsh

    gmsh.initialize([], readConfigFiles=False, run=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.model.occ.addRectangle(0, 0, 0, 1, 1) if dim == 2 else gmsh.model.occ.addBox(0, 0, 0, 1, 1, 1)
        gmsh.model.occ.synchronize()
        gmsh.model.addPhysicalGroup(dim - 1, [1], name="wall")
        gmsh.model.mesh.generate(dim)
        gmsh.write(str(tmp_path / "walls.msh"))
    finally:
        gmsh.finalize()
    what = {
        2: "a surface but no cells of it.*Physical Surface",
        3: "a volume but no cells of it.*Physical Volume",
    }
    with pytest.raises(InputError, match=what[dim]):
        meshes.from_file(MPI.COMM_SELF, tmp_path / "walls.msh")


@pytest.mark.parallel
@pytest.mark.parametrize("length", [1e-16, 1e-9, 1e9])
def test_lengths_may_be_small_or_large(length):
    mesh = meshes.build(COMM, "rectangle", upper=(length, 2.0 * length), cells=(4, 4)).mesh
    area = COMM.allreduce(fem.assemble_scalar(fem.form(fem.Constant(mesh, 1.0) * ufl.dx)))
    assert area == pytest.approx(2.0 * length**2, rel=1e-12)


@pytest.mark.parallel
def test_grids_that_share_no_nodes_are_told_and_may_be_merged(shared_tmp_path):
    path = shared_tmp_path / "two.msh"
    if COMM.rank == 0:
        two_grids(path)
        two_grids(shared_tmp_path / "apart.msh", gap=0.25)
    COMM.Barrier()
    found = meshes.from_file(COMM, path)
    (note,) = found.notes
    assert "two.msh has 2 parts that share no nodes and 2 nodes at the place of another" in note
    assert note.endswith("(merge = true makes them one): no mass passes between them.")
    assert found.mesh.geometry.index_map().size_global == 8
    together = meshes.from_file(COMM, path, merge=True)
    assert together.notes == ()
    assert together.mesh.geometry.index_map().size_global == 6
    (note,) = meshes.from_file(COMM, shared_tmp_path / "apart.msh", merge=True).notes
    assert "2 parts that share no nodes: no mass" in note
    assert meshes.build(COMM, "rectangle", cells=(2, 2)).notes == ()
