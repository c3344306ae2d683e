import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx import mesh as dmesh
from mpi4py import MPI

import fem_models as fm
from fem_models.core.errors import InputError
from fem_models.meshes.torus import lengths_of, structured_torus
from fem_models.nodal.numbering import original_numbers

COMM = MPI.COMM_WORLD
GEO = """
lc = 0.2;
Point(1) = {0, 0, 0, lc}; Point(2) = {1, 0, 0, lc}; Point(3) = {2, 0, 0, lc};
Point(4) = {0, 1, 0, lc}; Point(5) = {1, 1, 0, lc}; Point(6) = {2, 1, 0, lc};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {4, 5}; Line(4) = {5, 6};
Line(5) = {1, 4}; Line(6) = {2, 5}; Line(7) = {3, 6};
Curve Loop(1) = {1, 6, -3, -5}; Curve Loop(2) = {2, 7, -4, -6};
Plane Surface(1) = {1}; Plane Surface(2) = {2};
Periodic Curve {3, 4} = {1, 2} Translate {0, 1, 0};
Periodic Curve {7} = {5} Translate {2, 0, 0};
Physical Curve("side") = {5}; Physical Curve("middle") = {6};
Physical Surface("left") = {1}; Physical Surface("right") = {2};
"""
TORI = {1: ([1.5], [7]), 2: ([1.0, 2.0], [5, 4]), 3: ([1.0, 2.0, 1.5], [3, 4, 5])}


def total(form):
    return COMM.allreduce(fem.assemble_scalar(fem.form(form)))


@pytest.mark.parallel
@pytest.mark.parametrize("dim", TORI)
def test_every_facet_of_a_structured_torus_has_two_cells(dim):
    lengths, counts = TORI[dim]
    torus = fm.mesh("torus", lengths=lengths, cells=counts).mesh
    bricks = int(np.prod(counts))
    torus.topology.create_entities(dim - 1)
    torus.topology.create_connectivity(dim - 1, dim)
    assert len(dmesh.exterior_facet_indices(torus.topology)) == 0
    sizes = [torus.topology.index_map(k).size_global for k in (0, dim - 1, dim)]
    # Euler's characteristic of a torus is zero: bricks · (1 - 7 + 12 - 6) of corners, edges, sides, cells.
    assert sizes == [bricks, {1: 1, 2: 3, 3: 12}[dim] * bricks, {1: 1, 2: 2, 3: 6}[dim] * bricks]
    assert lengths_of(torus) == tuple(lengths)
    assert total(fem.Constant(torus, 1.0) * ufl.dx) == pytest.approx(np.prod(lengths), rel=1e-14)


@pytest.mark.parallel
@pytest.mark.parametrize("degree", [1, 2])
def test_a_function_that_crosses_the_seam_is_continuous_and_of_full_order(degree):
    """The interpolation error of sin(2πx/L + 1) cos(2πy/L') in L² falls with the power degree + 1."""

    def wave(x, sin, cos):
        return sin(2 * np.pi * x[0] + 1) * cos(np.pi * x[1])

    errors = []
    for count in (8, 16):
        torus = structured_torus(COMM, [1.0, 2.0], [count, 2 * count])
        f = fem.Function(fem.functionspace(torus, ("Lagrange", degree)))
        f.interpolate(lambda x: wave(x, np.sin, np.cos))
        exact = wave(ufl.SpatialCoordinate(torus), ufl.sin, ufl.cos)
        assert total(ufl.jump(f) ** 2 * ufl.dS) < 1e-28
        errors.append(total((f - exact) ** 2 * ufl.dx) ** 0.5)
    assert np.log2(errors[0] / errors[1]) == pytest.approx(degree + 1, abs=0.1)


@pytest.mark.parallel
def test_nodes_have_the_numbers_of_the_lattice_on_any_ranks():
    torus = structured_torus(COMM, [1.0, 2.0], [5, 4])
    space = fem.functionspace(torus, ("Lagrange", 1))
    numbers = original_numbers(space)
    assert sorted(np.concatenate(COMM.allgather(numbers))) == list(range(20))
    points = torus.folded(space.tabulate_dof_coordinates())[: len(numbers)]
    lattice = np.stack([numbers % 5 / 5, numbers // 5 * 0.5], axis=1)
    assert np.allclose(points[:, :2], lattice, atol=1e-14)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cells": [4, 2]}, "at least 3 cells around"),
        ({"lengths": [1.0, 0.0], "cells": [4, 4]}, "positive"),
        ({"lengths": [1.0], "cells": [4, 4]}, "`cells`"),
        ({"h": 0.1}, "needs `lengths`"),
        ({"lengths": [1.0] * 4}, "1, 2 or 3 dimensions"),
        ({"cells": [4], "lower": [0.0]}, "does not take `lower`"),
        ({"cells": [4], "h": 0.1}, "either `cells`"),
        ({"lengths": [1.0, 1.0], "h": 0.4}, "too large for a torus"),
        ({"lengths": [1.0, 1.0, 1.2], "h": 0.285}, "two cells with the same vertices"),
    ],
)
def test_what_makes_no_torus_is_refused_in_a_sentence(keys, message):
    with pytest.raises(InputError, match=message):
        fm.mesh("torus", **keys)


@pytest.mark.parallel
def test_a_periodic_mesh_file_is_a_torus_whose_groups_keep_their_places(tmp_path):
    path = COMM.bcast(tmp_path / "periodic.geo")
    if COMM.rank == 0:
        path.write_text(GEO)
    COMM.barrier()
    marked = fm.mesh(path)
    assert marked.lengths == pytest.approx((2.0, 1.0))
    assert not marked.boundaries and list(marked.interfaces) == ["side", "middle"]
    for name, place in (("side", {0.0, 2.0}), ("middle", {1.0})):
        facets = marked.interfaces[name]
        nodes = dmesh.entities_to_geometry(marked.mesh, 1, facets)
        assert {round(float(x), 9) for x in marked.mesh.geometry.x[nodes][..., 0].ravel()} <= place
        assert COMM.allreduce(len(facets)) == 5
    cells = marked.regions["right"]
    corners = marked.mesh.geometry.x[marked.mesh.geometry.dofmaps[0][cells]]
    assert corners[..., 0].min(initial=2.0) >= 1.0 - 1e-12


@pytest.mark.parallel
def test_a_mesh_that_is_periodic_in_one_direction_only_is_refused(tmp_path):
    path = COMM.bcast(tmp_path / "cylinder.geo")
    if COMM.rank == 0:
        path.write_text("\n".join(line for line in GEO.splitlines() if "{0, 1, 0}" not in line) + "\n")
    COMM.barrier()
    with pytest.raises(InputError, match="periodic in some directions only"):
        fm.mesh(path)
