"""Arrays and images as densities: against functions that they hold exactly, with their masses."""

import re

import numpy as np
import pytest
from dolfinx import io
from mpi4py import MPI
from PIL import Image

import fem_models as fm
from fem_models.transfer import grids

COMM = MPI.COMM_WORLD


def flow_on(*arguments, **options):
    return fm.Flow(fm.mesh(*arguments, **options), fm.PowerLaw(2), "rho")


def written(path, write):
    """The path of a file that rank 0 writes."""
    if COMM.rank == 0:
        write()
    COMM.Barrier()
    return path


def linear(*x):
    return 2.0 + sum((k + 1) * axis for k, axis in enumerate(x))


BOXES = {
    "interval": ([-1.0], [2.0], [7]),
    "rectangle": ([-1.0, 0.0], [2.0, 1.0], [7, 4]),
    "box": ([0.0, 0.0, 1.0], [2.0, 1.0, 1.5], [6, 3, 4]),
}


@pytest.mark.parallel
@pytest.mark.parametrize("slab", [1, 1 << 20])
@pytest.mark.parametrize("domain", BOXES)
def test_linear_functions_are_exact_with_the_first_axis_along_x(domain, slab, shared_tmp_path, monkeypatch):
    monkeypatch.setattr(grids, "_SLAB", slab)
    lower, upper, counts = BOXES[domain]
    axes = [np.linspace(*ends) for ends in zip(lower, upper, counts, strict=True)]
    values = linear(*np.meshgrid(*axes, indexing="ij"))
    flow = flow_on(domain, lower=lower, upper=upper, cells=[5] * len(lower))
    named = dict(zip("xyz", axes, strict=False))
    folder = shared_tmp_path
    paths = [
        written(folder / "values.npy", lambda: np.save(folder / "values.npy", values)),
        written(folder / "values.npz", lambda: np.savez(folder / "values.npz", values=values, **named)),
        written(folder / "rho.npz", lambda: np.savez(folder / "rho.npz", rho=values, values=-1.0, **named)),
    ]
    mass = np.prod(np.subtract(upper, lower)) * linear(*np.add(upper, lower) / 2.0)
    for path in paths:
        state = flow.state(fm.from_file(path))
        np.testing.assert_allclose(state.array[:, 0], linear(*state.points.T), rtol=1e-13)
        assert state.masses()["rho"] == pytest.approx(mass, rel=1e-14, abs=0.0)
    COMM.Barrier()


def test_values_at_centres_of_cells_reach_the_boundary_and_keep_their_sum(tmp_path):
    x = (np.arange(8) + 0.5) / 8
    values = np.random.default_rng(1).uniform(size=(8, 8))
    np.savez(tmp_path / "cells.npz", x=x, y=x, u=values)
    state = flow_on("rectangle", cells=[30, 30]).state(fm.from_file(tmp_path / "cells.npz", "u"))
    assert state.masses()["rho"] == pytest.approx(values.mean(), rel=1e-14, abs=0.0)
    corner = np.argmin(np.abs(state.points).sum(axis=1))
    # But for the factor that keeps the mass.
    assert state.array[corner, 0] == pytest.approx(values[0, 0], rel=1e-2)
    with pytest.raises(fm.InputError, match=r"does not reach \d+ of the nodes"):
        flow_on("rectangle", lower=[-0.2, 0.0], cells=[30, 30]).state(
            fm.from_file(tmp_path / "cells.npz", "u")
        )


@pytest.mark.parallel
@pytest.mark.parametrize(("kind", "white", "tolerance"), [(np.uint8, 255, 2e-3), (np.uint16, 65535, 1e-5)])
def test_an_image_is_a_ramp_whose_first_row_is_the_top(kind, white, tolerance, shared_tmp_path):
    columns, rows = (np.arange(20) + 0.5) / 20, (np.arange(10) + 0.5) / 10
    ramp = np.round(white * (0.25 * columns[None, :] + 0.5 * (1.0 - rows[:, None]))).astype(kind)
    path = shared_tmp_path / "ramp.png"
    written(path, lambda: Image.fromarray(ramp).save(path))
    flow = flow_on("rectangle", lower=[0.0, 0.0], upper=[2.0, 1.0], cells=[40, 20])
    for invert in (False, True):
        state = flow.state(fm.from_file(path, invert=invert))
        mean = ramp.mean() / white
        mass = 2.0 * (1.0 - mean if invert else mean)
        assert state.masses()["rho"] == pytest.approx(mass, rel=1e-14, abs=0.0)
        x, y = state.points.T
        ramp_there = 0.125 * np.clip(x, 0.05, 1.95) + 0.5 * np.clip(y, 0.05, 0.95)
        expected = 1.0 - ramp_there if invert else ramp_there
        np.testing.assert_allclose(state.array[:, 0], expected, atol=tolerance)
    # On a disk there is no mass to keep: the values are those of the image.
    disk = flow_on("disk", center=[1.0, 0.5], radius=0.5, h=0.1).state(fm.from_file(path))
    x, y = disk.points.T
    np.testing.assert_allclose(
        disk.array[:, 0], 0.25 * np.clip(x - 0.5, 0.025, 0.975) + 0.5 * np.clip(y, 0.05, 0.95), atol=tolerance
    )
    COMM.Barrier()


def test_colours_are_brightness_and_transparency_is_refused(tmp_path):
    flow = flow_on("rectangle", cells=[4, 4])
    pixels = np.full((6, 6, 3), (10, 200, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "green.png")
    grey = (299 * 10 + 587 * 200 + 114 * 30) / 255_000
    found = flow.state(fm.from_file(tmp_path / "green.png")).array
    np.testing.assert_allclose(found, grey, atol=0.5 / 255)
    Image.fromarray(pixels).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_allclose(flow.state(fm.from_file(tmp_path / "palette.png")).array, grey, atol=0.2)
    Image.fromarray(pixels).convert("1").save(tmp_path / "bits.png")
    assert flow.state(fm.from_file(tmp_path / "bits.png")).maxima()["rho"] <= 1.0
    Image.fromarray(pixels).convert("RGBA").save(tmp_path / "clear.png")
    with pytest.raises(fm.InputError, match="transparent pixels"):
        flow.state(fm.from_file(tmp_path / "clear.png"))
    with pytest.raises(fm.InputError, match="is an image, and the mesh has dimension 1"):
        flow_on("interval", cells=4).state(fm.from_file(tmp_path / "green.png"))


def test_files_that_claim_to_be_enormous_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(grids, "LARGEST", 100)
    flow = flow_on("rectangle", cells=[4, 4])
    for size in (11, 20):
        Image.new("L", (size, size), 7).save(tmp_path / "bomb.png")
        with pytest.raises(fm.InputError, match="too large to read"):
            flow.state(fm.from_file(tmp_path / "bomb.png"))
    np.save(tmp_path / "bomb.npy", np.ones((11, 10)))
    with pytest.raises(fm.InputError, match="too many to read"):
        flow.state(fm.from_file(tmp_path / "bomb.npy"))
    np.savez_compressed(tmp_path / "bomb.npz", x=np.arange(20), y=np.arange(20), values=np.ones((20, 20)))
    with pytest.raises(fm.InputError, match="too large to read"):
        flow.state(fm.from_file(tmp_path / "bomb.npz"))


WRONG = [
    ("three axes", lambda p: np.save(p, np.ones((3, 3, 3))), "npy", "has 3 axes of type float64"),
    ("one value", lambda p: np.save(p, np.ones((3, 1))), "npy", "two values or more along each axis"),
    ("complex", lambda p: np.save(p, np.ones((3, 3)) * 1j), "npy", "real numbers"),
    ("objects", lambda p: np.save(p, np.array([["a"] * 3] * 3, object)), "npy", "is missing or damaged"),
    ("infinite", lambda p: np.save(p, np.full((3, 3), np.inf)), "npy", "not finite numbers"),
    ("negative", lambda p: np.save(p, np.full((3, 3), -1.0)), "npy", "is negative"),
    ("empty", lambda p: np.save(p, np.zeros((3, 3))), "npy", "zero at every vertex"),
    ("no axes", lambda p: np.savez(p, values=np.ones((3, 3))), "npz", 'has no array "x"'),
    (
        "shape",
        lambda p: np.savez(p, values=np.ones((3, 2)), x=np.arange(3), y=np.arange(3)),
        "npz",
        "lengths",
    ),
    ("order", lambda p: np.savez(p, values=np.ones((2, 2)), x=[1, 0], y=[0, 1]), "npz", "must increase"),
    ("flat", lambda p: np.savez(p, values=np.ones((2, 2)), x=[[0, 1]], y=[0, 1]), "npz", "two positions"),
    ("no picture", lambda p: p.write_bytes(b"GIF89a"), "png", "is missing or damaged"),
    ("unknown", lambda p: p.write_bytes(b""), "jpg", "no file of a kind that can be read"),
]


@pytest.mark.parallel
@pytest.mark.parametrize(("name", "write", "suffix", "words"), WRONG, ids=[name for name, *_ in WRONG])
def test_wrong_files_are_told_by_all_ranks(name, write, suffix, words, shared_tmp_path):
    path = written(shared_tmp_path / f"{name}.{suffix}", lambda: write(shared_tmp_path / f"{name}.{suffix}"))
    with pytest.raises(fm.InputError, match=words) as caught:
        flow_on("rectangle", cells=[3, 3]).state(fm.from_file(path))
    assert len(set(COMM.allgather(str(caught.value)))) == 1
    COMM.Barrier()


@pytest.mark.parallel
@pytest.mark.parametrize("damage", ["cut off", "nan", "no field", "gone", "cells", "bytes cut off"])
def test_pieces_that_are_damaged_are_told_by_all_ranks(damage, shared_tmp_path):
    flow = flow_on("rectangle", cells=[4, 4])
    state, path = flow.state("1 + x"), shared_tmp_path / "rho.pvd"
    if damage == "bytes cut off":
        state.write(path)
    else:
        # DOLFINx writes numbers as text.
        with io.VTKFile(COMM, path, "w") as file:
            file.write_function(state["rho"])
    COMM.Barrier()

    def change():
        piece = sorted(shared_tmp_path.glob("*.vtu"))[-1]
        if damage == "gone":
            piece.unlink()
            return
        if damage == "bytes cut off":
            data = piece.read_bytes()
            piece.write_bytes(data[: len(data) // 2])
            return
        text = piece.read_text()
        if damage == "cut off":
            piece.write_text(text[: len(text) // 2])
        elif damage == "nan":
            piece.write_text(re.sub(r'(Name="rho"[^>]*>)\S+', r"\1nan", text))
        elif damage == "no field":
            piece.write_text(text.replace('Name="rho"', 'Name="phi"'))
        else:
            piece.write_text(re.sub(r'(Name="connectivity"[^>]*>)\d+', r"\g<1>99999", text))

    written(path, change)
    words = {"nan": "not finite", "no field": 'no field "rho"', "cells": "points that do not exist"}
    with pytest.raises(fm.InputError, match=words.get(damage, "missing or damaged")) as caught:
        flow.state(fm.from_file(path))
    assert len(set(COMM.allgather(str(caught.value)))) == 1
    COMM.Barrier()
