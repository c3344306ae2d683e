"""Films: a picture for each written time, one scale for all of them, and one sentence where there is none."""

import re

import imageio_ffmpeg
import matplotlib
import numpy as np
import pytest
from dolfinx import fem
from mpi4py import MPI
from PIL import Image, ImageSequence
from run_directories import run_file, write_run

import fem_models as fm
from fem_models.cli import main
from fem_models.meshes import domains as meshes
from fem_models.meshes.pvd import write_pvd
from fem_models.plotting.movie import movie
from fem_models.results.run_data import opened

TIMES = (0.0, 0.25, 1.0)


def gif(path):
    """The pictures of a film, and the seconds that each is seen."""
    with Image.open(path) as film:
        found = [
            (np.array(f.convert("RGB")), f.info["duration"] / 1000) for f in ImageSequence.Iterator(film)
        ]
    return [picture for picture, _ in found], [seconds for _, seconds in found]


def constant_in_space(directory, name="rho", times=TIMES):
    """A run whose only field is t, everywhere in a square."""
    directory.mkdir()
    (directory / "run.toml").write_text(run_file(2, "colour_scale = 'linear'"))
    mesh = meshes.build(MPI.COMM_SELF, "rectangle", cells=(2, 2)).mesh
    function = fem.Function(fem.functionspace(mesh, ("Lagrange", 1)), name=name)

    def frames():
        for time in times:
            function.x.array[:] = time
            yield time, [function]

    write_pvd(MPI.COMM_SELF, directory / "fields.pvd", frames())
    return directory


def test_colours_follow_one_scale_through_the_film(tmp_path):
    run = opened([constant_in_space(tmp_path / "run")])
    pictures, seconds = gif(movie(run, tmp_path / "film.gif", fps=2.0))
    assert len(pictures) == 3 and seconds == [0.5, 0.5, 0.5]
    height, width, _ = pictures[0].shape
    for picture, value in zip(pictures, TIMES, strict=True):
        colour = 255 * np.array(matplotlib.colormaps["viridis"](value)[:3])
        np.testing.assert_allclose(picture[int(0.6 * height), int(0.35 * width)], colour, atol=3)
        # The colour bar, and all else at the right, stands still.
        np.testing.assert_array_equal(picture[:, int(0.86 * width) :], pictures[0][:, int(0.86 * width) :])


@pytest.mark.parametrize("dimension", [1, 3])
def test_mp4_has_a_picture_for_each_time_and_runs_beside_each_other(tmp_path, dimension):
    one = write_run(tmp_path / "one", dimension, times=TIMES)
    # The other run has no fields at 0.25: the nearest time of it is shown.
    other = write_run(tmp_path / "other", dimension, times=(0.0, 1.0))
    done = []
    path = movie(opened([one, other]), tmp_path / "film.mp4", tell=lambda *progress: done.append(progress))
    assert done == [(1, 3), (2, 3), (3, 3)]
    reader = imageio_ffmpeg.read_frames(str(path))
    facts = next(reader)
    width, height = facts["source_size"]
    assert facts["codec"] == "h264" and facts["pix_fmt"].startswith("yuv420p")
    assert facts["duration"] == pytest.approx(4.0, abs=0.1)
    assert width % 2 == 0 and height % 2 == 0 and width > 1.5 * height
    pictures = [np.frombuffer(frame, np.uint8).reshape(height, width, 3).astype(int) for frame in reader]
    assert len(pictures) == 3

    def changed(part, first, second):
        # More than what the codec does to a picture that stays the same.
        return np.abs(pictures[first][:, part] - pictures[second][:, part]).max() > 60

    left, right = slice(0, int(0.42 * width)), slice(int(0.55 * width), int(0.85 * width))
    top = int(0.2 * height)
    pictures = [picture[top:] for picture in pictures]
    assert changed(left, 0, 1) and changed(left, 1, 2)
    assert not changed(right, 0, 1) and changed(right, 1, 2)


def test_a_film_from_python_and_from_the_command_line(tmp_path, capsys):
    run = write_run(tmp_path / "run", 1, times=TIMES)
    assert fm.open_run(run).movie(tmp_path / "a.gif", fields=["V"]) == tmp_path / "a.gif"
    # The potential does not move.
    pictures, _ = gif(tmp_path / "a.gif")
    assert [np.array_equal(picture[60:], pictures[0][60:]) for picture in pictures] == [True] * 3
    assert main(["movie", str(run), "--format", "gif", "--fps", "10"]) == 0
    # Where drawing takes long, lines of progress come before.
    assert capsys.readouterr().out.splitlines()[-1].strip() == str(run / "figures" / "movie.gif")
    assert gif(run / "figures" / "movie.gif")[1] == [0.1] * 3


WRONG = {
    "no run": (["none"], "none is not a run directory"),
    "no fields": (["empty"], "has written no fields"),
    "one time": (["once"], r"has fields at one time only, t = 0, .* \[output\] fields_every or field_times"),
    "unknown field": (["run", "--field", "rhoo"], 'No field "rhoo" was written; did you mean rho'),
    "format": (["run", "--format", "avi"], "'avi'"),
    "formats": (["run", "--format", "gif", "--out", "a.mp4"], "--format gif does not go with --out a.mp4"),
    "suffix": (["run", "--out", "a.mov"], r"must end in .mp4 or .gif, not 'a.mov'"),
    "no directory": (["run", "--out", "there/a.mp4"], "there is no directory there"),
    "dimensions": (["run", "plane"], "plane has 2 dimensions and run has 1"),
    "twice": (["run", "./run"], "is there twice"),
    "speed": (["run", "--fps", "0"], "--fps"),
}


def test_what_cannot_be_shown_is_said_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run", 1, times=TIMES)
    write_run(tmp_path / "once", 1, times=(0.0,))
    write_run(tmp_path / "empty", 1)
    (tmp_path / "empty" / "fields.pvd").unlink()
    constant_in_space(tmp_path / "plane")
    for arguments, sentence in WRONG.values():
        assert main(["movie", *arguments]) == 2
        said = capsys.readouterr()
        assert len(said.err.strip().splitlines()) == 1
        assert re.search(sentence, said.err), said.err
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".mp4", ".gif", ".draft", ".mov")]
