"""What the figures are drawn from: fields, samples along a line, slices and series."""

import json

import numpy as np
import pytest
from dolfinx import fem, io
from mpi4py import MPI
from run_directories import RATE, density, write_fields, write_run

from fem_models.core.errors import InputError
from fem_models.meshes import domains as meshes
from fem_models.plotting.lines import Segment, segment_of
from fem_models.plotting.scene import render, slice_plane
from fem_models.plotting.style import symbol, time_labels
from fem_models.results.fields import WrittenFields
from fem_models.results.run_data import RunData

BRICKS = {
    1: {"domain": "interval", "lower": 0.0, "upper": 2.0, "cells": 8},
    2: {"domain": "rectangle", "upper": (2.0, 1.0), "cells": (8, 6)},
    3: {"domain": "box", "upper": (2.0, 1.0, 1.0), "cells": (6, 4, 4)},
}


def write_linear(path, dimension, degree=1):
    """Write the field 2x + 3y + 5z + t, which every mesh holds exactly, at times 0 and 1."""
    mesh = meshes.build(MPI.COMM_WORLD, **BRICKS[dimension]).mesh
    function = fem.Function(fem.functionspace(mesh, ("Lagrange", degree)), name="rho")
    with io.VTKFile(mesh.comm, path, "w") as file:
        for time in (0.0, 1.0):
            function.interpolate(lambda x, time=time: 2 * x[0] + 3 * x[1] + 5 * x[2] + time)
            file.write_function(function, time)


def linear(points, time=0.0):
    return points @ [2.0, 3.0, 5.0] + time


def volume(snapshot):
    dimension = snapshot.dimension
    corners = snapshot.points[snapshot.cells][:, :, :dimension]
    return np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])).sum() / [1, 1, 2, 6][dimension]


@pytest.mark.parallel
@pytest.mark.parametrize(("dimension", "cells"), [(1, 8), (2, 96), (3, 576)])
def test_cells_of_all_ranks_are_read_once(shared_tmp_path, dimension, cells):
    write_linear(shared_tmp_path / "fields.pvd", dimension)
    MPI.COMM_WORLD.Barrier()
    fields = WrittenFields(shared_tmp_path / "fields.pvd", ("rho",))
    assert fields.times == (0.0, 1.0)
    for time in fields.times:
        snapshot = fields.at(time)
        assert snapshot.cells.shape == (cells, dimension + 1)
        assert volume(snapshot) == pytest.approx(2.0, rel=1e-12)
        np.testing.assert_allclose(snapshot.values["rho"], linear(snapshot.points, time), atol=1e-12)


def test_second_order_fields_are_read_at_the_corners(tmp_path):
    write_linear(tmp_path / "fields.pvd", 2, degree=2)
    snapshot = WrittenFields(tmp_path / "fields.pvd", ("rho",)).first
    assert snapshot.cells.shape == (96, 3) and len(snapshot.points) == 9 * 7
    assert volume(snapshot) == pytest.approx(2.0, rel=1e-12)
    np.testing.assert_allclose(snapshot.values["rho"], linear(snapshot.points), atol=1e-12)


def test_some_times_have_the_first_and_the_last(tmp_path):
    mesh = meshes.build(MPI.COMM_SELF, "interval", cells=4).mesh
    write_fields(tmp_path / "fields.pvd", mesh, np.arange(11) / 10, static=False)
    fields = WrittenFields(tmp_path / "fields.pvd", ("rho",))
    assert fields.some_times(3) == (0.0, 0.5, 1.0)
    assert fields.some_times(20) == fields.times and len(fields.times) == 11


@pytest.mark.parametrize("dimension", [2, 3])
def test_samples_along_an_oblique_line(tmp_path, dimension):
    write_linear(tmp_path / "fields.pvd", dimension)
    snapshot = WrittenFields(tmp_path / "fields.pvd", ("rho",)).first
    start, end = np.array([0.1, 0.2, 0.0]), np.array([1.9, 0.8, 0.5 if dimension == 3 else 0.0])
    segment = Segment(start, end, dimension)
    where, values = segment.sample(snapshot, "rho")
    length = np.linalg.norm(end - start)
    assert where[0] == 0.0 and where[-1] == pytest.approx(length, rel=1e-12)
    points = start + np.outer(where / length, end - start)
    np.testing.assert_allclose(values, linear(points), atol=1e-9)
    assert segment.label.startswith("distance along (0.1, 0.2")


def test_samples_outside_the_domain_are_gaps(tmp_path):
    write_linear(tmp_path / "fields.pvd", 2)
    snapshot = WrittenFields(tmp_path / "fields.pvd", ("rho",)).first
    segment = Segment(np.array([1.0, 0.5, 0.0]), np.array([3.0, 0.5, 0.0]), 2)
    where, values = segment.sample(snapshot, "rho")
    outside = where > 2.0 + 1e-6
    assert np.isnan(values[outside]).all() and np.isfinite(values[where < 2.0 - 1e-6]).all()
    assert segment.label == "x  (at y = 0.5)"
    with pytest.raises(InputError, match="profile does not meet the domain"):
        Segment(np.array([1.0, 5.0, 0.0]), np.array([3.0, 5.0, 0.0]), 2).sample(snapshot, "rho")


def test_samples_of_an_interval_are_its_nodes(tmp_path):
    write_linear(tmp_path / "fields.pvd", 1)
    snapshot = WrittenFields(tmp_path / "fields.pvd", ("rho",)).at(1.0)
    where, values = Segment(np.array([1.6, 0, 0]), np.array([0.4, 0, 0]), 1).sample(snapshot, "rho")
    np.testing.assert_allclose(where, [0.5, 0.75, 1.0, 1.25, 1.5])
    np.testing.assert_allclose(values, 2 * where + 1.0)


def test_the_line_without_a_profile_goes_through_the_middle(tmp_path):
    write_run(tmp_path, 2, mesh=meshes.build(MPI.COMM_SELF, **BRICKS[2]).mesh)
    segment = segment_of(RunData(tmp_path))
    np.testing.assert_allclose([segment.start, segment.end], [[0, 0.5, 0], [2, 0.5, 0]], atol=1e-12)


@pytest.mark.parametrize(("normal", "others"), [(0, (1, 2)), (1, (0, 2)), (2, (0, 1))])
def test_slices_of_a_box(tmp_path, normal, others):
    write_linear(tmp_path / "fields.pvd", 3)
    plane = slice_plane(WrittenFields(tmp_path / "fields.pvd", ("rho",)).first, normal)
    extent, middle = np.array([2.0, 1.0, 1.0]), np.array([1.0, 0.5, 0.5])
    assert volume(plane) == pytest.approx(np.prod(extent[list(others)]), rel=1e-6)
    points = np.tile(middle, (len(plane.points), 1))
    points[:, others] = plane.points[:, :2]
    np.testing.assert_allclose(plane.values["rho"], linear(points), atol=1e-5)


def test_the_scene_shows_the_faces_of_the_cut_in_the_colours_of_the_scale(tmp_path):
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    write_linear(tmp_path / "fields.pvd", 3)
    snapshot = WrittenFields(tmp_path / "fields.pvd", ("rho",)).first
    snapshot.values["rho"][:] = 0.25
    for high in (1.0, 0.5):
        picture = render(snapshot, "rho", Normalize(0.0, high))
        colour = 255 * np.array(colormaps["viridis"](0.25 / high)[:3])
        share = np.mean(np.abs(picture - colour).max(axis=2) < 8)
        assert picture.shape[2] == 3 and 0.15 < share < 0.8


def test_series_and_summary(tmp_path):
    write_run(tmp_path, 1)
    run = RunData(tmp_path)
    assert list(run.energy_terms) == ["entropy", "potential"]
    np.testing.assert_allclose(run.series["energy"], sum(run.energy_terms.values()))
    relative = run.relative_energy
    assert relative.from_steady and relative.value[0] == pytest.approx(2.0)
    assert relative.decay.rate == pytest.approx(RATE, rel=1e-3)


@pytest.mark.parametrize("summary", [None, {}, {"energy": {"steady": None}}])
def test_without_a_steady_energy_the_least_stands_for_it(tmp_path, summary):
    write_run(tmp_path, 1)
    (tmp_path / "summary.json").unlink()
    if summary is not None:
        (tmp_path / "summary.json").write_text(json.dumps(summary))
    relative = RunData(tmp_path).relative_energy
    assert not relative.from_steady
    assert relative.value[-1] == 0.0
    assert relative.decay.rate == pytest.approx(RATE, rel=1e-2)
    assert relative.decay.used[1] < 0.8


def test_variants_that_have_been_run(tmp_path):
    tail = "".join(f'\n[[compare]]\nname = "{name}"\nset = {{}}' for name in ("a/b", "not yet", "c"))
    write_run(tmp_path, 1, tail=tail)
    write_run(tmp_path / "compare" / "a-b", 1, rate=5.0)
    write_run(tmp_path / "compare" / "c", 1)
    variants = RunData(tmp_path).variants
    assert [variant.name for variant in variants] == ["a/b", "c"]
    assert variants[0].relative_energy.decay.rate == pytest.approx(5.0, rel=2e-2)


def test_fields_of_several_species(tmp_path):
    write_run(tmp_path, 2, species=("u", "v"))
    snapshot = RunData(tmp_path).fields.at(0.2)
    for number, name in enumerate(("u", "v")):
        np.testing.assert_allclose(snapshot.values[name], density(snapshot.points.T, 0.2, number), rtol=1e-12)
    assert {"V", "u_steady", "v_steady"} <= snapshot.values.keys()


def test_labels():
    assert time_labels([0.0, 0.1, 1e-3]) == ["t = 0", "t = 0.1", "t = 0.001"]
    assert time_labels([0.100001, 0.100002]) == ["t = 0.100001", "t = 0.100002"]
    assert symbol("rho") == r"$\rho$"
    assert symbol("u") == "u"
    assert symbol("a$b") == r"a\$b"
    assert not symbol("_u").startswith("_")
