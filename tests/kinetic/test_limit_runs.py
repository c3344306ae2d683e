"""The diffusive limit beside runs of kinetic equations: distances, going on, and what is refused."""

import math

import numpy as np
import pytest
from mpi4py import MPI

import fem_models as fm
from fem_models.config.io import from_dict
from fem_models.core.errors import InputError
from fem_models.run.resume import resume
from fem_models.run.runner import run

COMM = MPI.COMM_WORLD


def tables(epsilon=1e-2, odd=0.0, end=0.2, **system):
    return {
        "mesh": {"domain": "torus", "lengths": [2 * math.pi], "cells": [16]},
        "system": {"name": "bgk", "alpha": 1.0, "epsilon": epsilon, "modes": 3} | system,
        "initial": {"rho": "1 + 0.2*cos(x)", "odd_x": f"{odd}*sin(x)"},
        "time": {"end": end, "step": 0.04},
        "limit": {"compare": True},
        "output": {"figures": []},
        "solver": {"tolerance": 1e-12},
    }


@pytest.mark.parallel
def test_the_distance_falls_with_the_square_of_epsilon_and_with_an_odd_part_linearly(shared_tmp_path):
    for odd, slope in ((0.0, 2.0), (0.3, 1.0)):
        found = []
        for epsilon in (1e-2, 1e-4):
            directory = shared_tmp_path / f"{odd}-{epsilon}"
            done = fm.run_file(tables(epsilon, odd, degree=2), directory)
            table = done.table("study.csv")
            assert table["distance_to_limit"][0] == 0.0 and np.all(table["distance2"] > 0.0)
            found.append([table[name][-1] for name in ("distance_to_limit", "distance_to_limit_f")])
            limit = done.summary["limit"]
            assert [limit["final_distance"], limit["final_distance_f"]] == pytest.approx(found[-1], rel=1e-14)
            assert limit["largest_distance"] == table["distance_to_limit"].max()
        slopes = np.log10(np.array(found[0]) / np.array(found[1])) / 2.0
        assert slopes == pytest.approx([slope, 1.0], abs=0.05)


@pytest.mark.parallel
def test_the_limit_goes_on_from_a_checkpoint_on_other_ranks(shared_tmp_path):
    whole, part = shared_tmp_path / "whole", shared_tmp_path / "part"
    if COMM.rank == 0:
        run(from_dict(tables(0.1, 0.3)), whole, comm=MPI.COMM_SELF)
        run(from_dict(tables(0.1, 0.3, end=0.08)), part, comm=MPI.COMM_SELF)
    COMM.Barrier()
    resume(part, end=0.2, comm=COMM)
    expected, found = (fm.open_run(path) for path in (whole, part))
    for name in ("distance_to_limit", "distance_to_limit_f"):
        column = expected.table("study.csv")[name]
        assert found.table("study.csv")[name] == pytest.approx(column, rel=1e-9) and len(column) == 6
    assert found.summary["limit"] == pytest.approx(expected.summary["limit"], rel=1e-9)


def test_other_systems_have_no_limit_and_false_leaves_it_out(tmp_path):
    other = {
        "mesh": {"domain": "interval", "cells": [4]},
        "system": {"name": "fokker-planck"},
        "initial": {"rho": "1"},
        "time": {"end": 0.1, "step": 0.1},
        "limit": {"compare": True},
    }
    with pytest.raises(InputError, match=r'\[limit\] does not go with .*"fokker-planck", but with "bgk"'):
        from_dict(other)
    with pytest.raises(InputError, match=r"\[limit\] compare is missing"):
        from_dict(tables() | {"limit": {}})
    done = fm.run_file(tables(end=0.04) | {"limit": {"compare": False}}, tmp_path / "out")
    assert "limit" not in done.summary and "distance_to_limit" not in done.table("study.csv")
