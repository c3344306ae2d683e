"""The distribution over x and v from the files of a run in one dimension."""

import math

import numpy as np
import pytest
from mpi4py import MPI
from PIL import Image

import fem_models as fm
from fem_models.config.io import from_dict
from fem_models.core.errors import InputError
from fem_models.results.phase_space import PhaseSpaceRun, has_phase_space
from fem_models.results.run_data import RunData

COMM = MPI.COMM_WORLD


def tables(modes=5, **given):
    return {
        "mesh": {"domain": "torus", "lengths": [2.0], "cells": [8]},
        "system": {"name": "bgk", "alpha": 1.0, "epsilon": 0.3, "modes": modes, "degree": 2},
        "initial": {"f_over_M": "1 + 0.1*cos(pi*x)*(v + v**2 + v**3 - v**4/10 + v**5/10)"},
        "time": {"end": 0.02, "step": 0.01},
    } | given


@pytest.mark.parallel
def test_the_written_modes_make_up_the_distribution(shared_tmp_path):
    fm.run_file(tables(output={"figures": []}), shared_tmp_path / "out")
    run = RunData(shared_tmp_path / "out")
    assert has_phase_space(run)
    fields = PhaseSpaceRun(run.directory).fields
    found = fields.first
    x, v, _ = found.points.T
    assert (v.min(), v.max(), x.min(), x.max()) == (-4.0, 4.0, 0.0, 2.0)
    maxwellian = np.exp(-(v**2) / 2) / math.sqrt(2 * math.pi)
    wave = 0.1 * np.cos(math.pi * x)
    even, odd = (1.0 + wave * (v**2 - v**4 / 10)) * maxwellian, wave * (v + v**3 + v**5 / 10) * maxwellian
    # Velocities come one after the other at each point, from the least to the largest.
    f = found["f"].reshape(-1, 81)
    assert 0.5 * (f + f[:, ::-1]).ravel() == pytest.approx(even, abs=1e-13)
    # Odd modes are linear between the two Gauss points of a cell, and beyond: h²/6 · π²/2 of their waves.
    error = np.abs(0.5 * (f - f[:, ::-1]).ravel() - odd).max()
    assert 0.5 < error / (0.25**2 / 12.0 * math.pi**2 * np.abs(odd).max()) < 1.01
    triangles = found.points[found.cells, :2]
    area = 0.5 * np.abs(np.linalg.det(triangles[:, 1:] - triangles[:, :1]))
    assert area.sum() == pytest.approx(16.0, rel=1e-12)
    mass = area @ found["f"][found.cells].mean(axis=1)
    assert mass == pytest.approx(2.0, rel=1e-3)
    assert fields.last.cells is found.cells


def test_figure_and_film_show_phase_space_and_a_field_is_still_a_curve(tmp_path):
    done = fm.run_file(tables(modes=1, initial={"rho": "1 + 0.5*cos(pi*x)"}), tmp_path / "out")
    assert "phase_space.png" in [path.name for path in done.plot()]
    films = done.movie(tmp_path / "f.gif"), done.movie(tmp_path / "rho.gif", fields=["rho"])
    shades = []
    for path in films:
        with Image.open(path) as film:
            assert film.n_frames == 3
            shades.append(len(np.unique(np.array(film.convert("RGB")).reshape(-1, 3), axis=0)))
    assert shades[0] > 1.5 * shades[1]


def test_it_is_for_one_dimension():
    plane = tables(mesh={"domain": "torus", "lengths": [1.0, 1.0], "cells": [4, 4]})
    assert "phase_space" not in from_dict(plane).output.figures
    assert "phase_space" in from_dict(tables()).output.figures
    with pytest.raises(InputError, match=r'"phase_space", which needs .* in one dimension'):
        from_dict(plane | {"output": {"figures": ["phase_space"]}})
