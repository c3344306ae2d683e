"""Run files on tori: what they leave, densities handed on from run to run, and what is refused."""

import json

import numpy as np
import pytest
from mpi4py import MPI
from PIL import Image

import fem_models as fm
from fem_models.config.io import from_dict
from fem_models.core.errors import InputError
from fem_models.run.runner import run

COMM = MPI.COMM_WORLD


def tables(initial, cells=(6, 5), **system):
    return {
        "mesh": {"domain": "torus", "cells": list(cells)},
        "system": {"name": "fokker-planck", "m": 2} | system,
        "initial": initial,
        "time": {"end": 0.002, "step": 0.001},
        "output": {"figures": False},
    }


@pytest.mark.parallel
def test_a_density_is_handed_on_as_it_is_to_the_same_torus_and_with_its_mass_to_another(tmp_path):
    out = COMM.bcast(tmp_path)
    run(from_dict(tables({"rho": "1 + sin(2*pi*x)", "mass": 1})), out / "first")
    summary = json.loads((out / "first" / "summary.json").read_text())
    assert "second_moment" not in summary["species"]["rho"]
    assert summary["species"]["rho"]["mass_drift"] <= 1e-13
    fields = fm.open_run(out / "first").fields()
    assert fields.points.max(axis=0)[:2] == pytest.approx([1.0, 1.0])
    assert (fields["rho"] * fields["nodal_volume"]).sum() == pytest.approx(1.0, rel=1e-13)
    for cells, what in (((6, 5), "on the same nodes"), ((7, 8), "interpolated")):
        next_run = out / f"next{cells[0]}"
        run(from_dict(tables({"from": str(out / "first")}, cells)), next_run)
        series = np.genfromtxt(next_run / "series.csv", delimiter=",", names=True)
        assert series["mass_rho"][0] == pytest.approx(1.0, rel=1e-13)
        assert what in (next_run / "log.txt").read_text()


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": [2, 5]}, r"\[mesh\] cells must be at least 3 around"),
        ({"h": 0.1}, "needs lengths"),
        ({"cells": [4], "lengths": [1.0, 1.0]}, "cells must have 2 entries"),
        ({"lengths": [1.0, -1.0]}, "lengths must have one to three positive numbers"),
        ({"cells": [4], "radius": 1.0}, 'radius does not go with domain = "torus"'),
    ],
)
def test_wrong_keys_are_told_in_a_sentence(change, message):
    with pytest.raises(InputError, match=message):
        from_dict(tables({"rho": "1"}) | {"mesh": {"domain": "torus"} | change})


@pytest.mark.parallel
def test_a_potential_that_is_not_periodic_is_refused(tmp_path):
    with pytest.raises(InputError, match="not periodic"):
        run(from_dict(tables({"rho": "1"}, potential="x")), COMM.bcast(tmp_path) / "out")


@pytest.mark.parallel
@pytest.mark.parametrize("discretization", ["edge-averaged", "log-density"])
def test_a_potential_that_ceases_to_be_periodic_stops_the_run_which_keeps_what_it_has(
    tmp_path, discretization
):
    """V = x from t = 0.0015 on: the first step is taken, and the second says where it jumps."""
    out = COMM.bcast(tmp_path) / "out"
    case = tables({"rho": "1"}, cells=(8,), m=1, potential="where(t > 0.0015, x, cos(2*pi*x))")
    case["time"]["discretization"] = discretization
    run(from_dict(case), out)
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["stop_reason"], summary["steps"]) == ("failed", 1)
    assert "At t = 0.002: The energy term potential is not periodic" in (out / "log.txt").read_text()
    case["time"]["start"], case["time"]["end"] = 1.0, 1.002
    with pytest.raises(InputError, match="not periodic"):
        run(from_dict(case), out.with_name("late"))


@pytest.mark.parametrize("cells", [(6,), (5, 6), (3, 4, 3)])
def test_reports_and_films_of_tori(tmp_path, cells):
    """The page has every node of the brick, those at its sides on both of them, and the film every time."""
    case = tables({"rho": "1 + 0.5*cos(2*pi*x)"}, cells) | {"output": {"fields_every": 1}}
    found = fm.run_file(case, tmp_path / "out", figures=False)
    page = found.report(tmp_path / "page.html").read_text()
    assert "kept" in page and "rho" in page
    film = found.movie(tmp_path / "film.gif")
    with Image.open(film) as pictures:
        assert pictures.n_frames == 3
    assert len(found.fields().points) == np.prod(np.array(cells) + 1)
