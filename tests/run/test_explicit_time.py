"""Potentials that change in time: a trap that moves, whose Gaussian keeps its width and lags behind."""

import math

import numpy as np
import pytest
from mpi4py import MPI

import fem_models as fm
from fem_models.config.io import from_dict
from fem_models.core.errors import InputError
from fem_models.results.fields import WrittenFields

# V = (x - t)² and a Gaussian of variance ½ around m(t), m' = -2(m - t), m(0) = 0.
LAG = "(x - t + (1 - exp(-2*t))/2)"
EXACT = f"exp(-{LAG}**2)/sqrt(pi)"


def work(t):
    """∫∫ρ ∂tV dx dt = ∫ -2(m - t) dt = ∫ (1 - exp(-2t)) dt."""
    return t - (1.0 - math.exp(-2.0 * t)) / 2.0


@pytest.fixture
def moving(tables):
    tables["mesh"] = {"domain": "interval", "lower": -4.0, "upper": 5.0, "cells": [200]}
    tables["system"] = {"name": "fokker-planck", "potential": "(x - t)**2"}
    tables["initial"] = {"rho": "exp(-x**2)/sqrt(pi)"}
    tables["time"] = {"end": 1.0, "step": 0.1}
    tables["exact"] = {"rho": EXACT}
    return tables


SCHEMES = {
    "backward-euler": ({}, 1.0),
    "bdf2": ({}, 2.0),
    "jko": ({}, 1.0),
    "log-density": ({"scheme": "backward-euler", "discretization": "log-density"}, 1.0),
}


@pytest.mark.parallel
@pytest.mark.parametrize("name", SCHEMES)
def test_densities_follow_the_trap_and_the_work_is_counted(moving, run_tables, name):
    changes, order = SCHEMES[name]
    moving["time"] |= changes or {"scheme": name}
    if name == "log-density":
        moving["mesh"]["cells"] = [100]
    errors, works = [], []
    for count in (10, 20, 40):
        moving["time"]["step"] = 1.0 / count
        found = run_tables(moving, f"{count}")
        errors.append(found.summary["error"]["l1"])
        works.append(found.column("work")[-1] - work(1.0))
        balance = np.array(found.column("energy_less_work"))
        np.testing.assert_allclose(balance, np.array(found.column("energy")) - found.column("work"))
        if order == 1.0:
            assert np.all(np.diff(balance) <= 1e-12)
    # In space the errors are of the order of 1e-4.
    assert math.log2((errors[0] - errors[1]) / (errors[1] - errors[2])) == pytest.approx(order, abs=0.35)
    # The work is that on the states before the steps: of first order, with half of ∂tt of it as its constant.
    assert abs(works[-1]) < 0.6 / 40 and abs(works[-1]) < 0.6 * abs(works[-2])


@pytest.mark.parallel
def test_the_potential_of_each_time_is_written_and_there_is_no_steady_state(moving, run_tables):
    moving["output"]["field_times"] = [0.0, 1.0]
    found = run_tables(moving)
    fields = WrittenFields(found.path / "fields.pvd", ("rho",))
    for snapshot, time in ((fields.first, 0.0), (fields.last, 1.0)):
        np.testing.assert_allclose(snapshot["V"], (snapshot.points[:, 0] - time) ** 2, atol=1e-12)
    assert found.summary["energy"]["steady"] is None and found.summary["energy"]["rate"] is None
    assert not (found.path / "steady.pvd").exists()
    assert "the potential changes in time" in found.log
    assert found.summary["warnings"] == []


@pytest.mark.parallel
def test_ions_in_a_field_that_oscillates(tables, run_tables):
    tables["mesh"] = {"domain": "rectangle", "cells": [6, 6]}
    ions = [
        {"name": "u", "valence": 1.0, "potential": "x*cos(6*t)"},
        {"name": "v", "valence": -1.0, "potential": "0"},
    ]
    tables["system"] = {"name": "poisson-nernst-planck", "ions": ions}
    tables["initial"] = {"u": "1", "v": "1"}
    found = run_tables(tables)
    assert np.all(np.diff(found.column("energy_less_work")) <= 1e-12)
    assert abs(found.column("work")[-1]) > 1e-3


def test_what_does_not_go_with_it_is_refused(moving, run_tables):
    moving["time"]["stop_when_steady"] = True
    with pytest.raises(InputError, match="stop_when_steady does not go with a potential that changes"):
        run_tables(moving)
    moving["time"]["stop_when_steady"] = False
    moving["system"]["potential"] = "x/(1 - t)"
    with pytest.raises(InputError, match=r"potential = 'x/\(1 - t\)' is not finite .* at t = 1"):
        run_tables(moving)
    moving["system"] = {"name": "poisson-nernst-planck", "permittivity": "1 + t"}
    moving["initial"] = {"u": "1", "v": "1"}
    del moving["exact"]
    with pytest.raises(InputError, match=r"\[system\] permittivity.*unknown name 't'"):
        from_dict(moving)


@pytest.mark.parallel
def test_in_python_an_evolution_moves_it_too():
    mesh = fm.mesh("interval", lower=-4.0, upper=5.0, cells=200, comm=MPI.COMM_WORLD)
    flow = fm.Flow(mesh, fm.Boltzmann() + fm.Potential("(x - t)**2"))
    state = flow.state(lambda x: np.exp(-(x[0] ** 2)) / math.sqrt(math.pi))
    last = None
    for _ in range(2):  # a second evolution begins anew
        for moment in fm.evolve(flow, state, fm.Bdf2(), step=0.02, until=1.0):
            last = moment
        assert last.observables["work"] == pytest.approx(work(1.0), abs=0.012)


@pytest.mark.parallel
def test_variants_begin_at_the_first_time(moving, run_tables):
    moving["time"]["end"] = 0.5
    fast = {"system.potential": "(x - 4*t)**2"}
    moving["compare"] = [{"name": "fast", "set": fast}]
    found = run_tables(moving)
    moving["system"]["potential"] = fast["system.potential"]
    del moving["compare"]
    alone = run_tables(moving, "alone")
    variant = type(alone)(found.path / "compare" / "fast")
    assert variant.rows == alone.rows


@pytest.mark.parallel
def test_flows_on_one_mesh_do_not_disturb_each_other():
    mesh = fm.mesh("interval", lower=-4.0, upper=5.0, cells=60, comm=MPI.COMM_WORLD)
    flows = [fm.Flow(mesh, fm.Boltzmann() + fm.Potential(f"(x - {k}*t)**2")) for k in (1, 4)]
    states = [flow.state(lambda x: np.exp(-(x[0] ** 2)), 1.0) for flow in flows]
    settings = {"step": 0.1, "until": 0.5}
    alone = [list(fm.evolve(*pair, fm.Bdf2(), **settings)) for pair in zip(flows, states, strict=True)]
    both = zip(
        *(fm.evolve(*pair, fm.Bdf2(), **settings) for pair in zip(flows, states, strict=True)), strict=True
    )
    for moments, expected in zip(both, zip(*alone, strict=True), strict=True):
        for moment, other in zip(moments, expected, strict=True):
            assert moment.observables == pytest.approx(other.observables, rel=1e-12)


def test_a_potential_that_is_infinite_at_a_time_is_told(moving, run_tables):
    moving["system"]["potential"] = "x*log(abs(t - 0.6) - 0.05)"
    found = run_tables(moving)
    assert found.summary["stop_reason"] == "failed"
    assert "The energy of the density is not finite at t = 0.6: look at the potentials." in found.log
