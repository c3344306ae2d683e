"""∂tρ = div(ρ^{-α}∇ρ), (1.3) of Evans, Morris and Yoldaş, on tori and bounded domains."""

import math
from functools import cache

import numpy as np
import pytest
from mpi4py import MPI

import fem_models as fm
from fem_models.core.errors import InputError
from fem_models.exact.barenblatt import SourceSolution
from fem_models.exact.fast_diffusion import DiffusionWave, on_disk, on_interval

COMM = MPI.COMM_WORLD
ALPHAS = (-2.0, -1.0, 0.5, 1.0, 2.0)
END = 0.02


@cache
def circle(count):
    """A circle of length 2."""
    return fm.mesh("torus", lengths=[2.0], cells=[count])


@cache
def torus(h):
    return fm.mesh("torus", lengths=[1.0, 1.0], h=h)


def even(x):
    """A density of the period 2 with the contrast 4."""
    return np.exp(math.log(2.0) * np.cos(math.pi * x))


def evolved(flow, rho, scheme, steps, end=END):
    *_, moment = fm.evolve(flow, rho, scheme, step=end / steps, until=end)
    return moment


def distance(state, exact, where=None):
    """Σ_i m_i |ρ_i - exact_i| over the mass, at the nodes where it is asked for."""
    weights = state.flow.discrete.geometry.volumes[: len(exact)]
    weights = weights if where is None else np.where(where, weights, 0.0)
    gap, mass = (
        COMM.allreduce(float(weights @ values)) for values in (np.abs(state.array[:, 0] - exact), exact)
    )
    return gap / mass


@pytest.mark.parallel
@pytest.mark.parametrize("alpha", ALPHAS)
def test_order_two_on_a_circle_against_a_spectral_method(alpha):
    """A half period of the solution is that on an interval without flux; the other one is its mirror."""
    found = on_interval(alpha, even, END, 28)
    errors = []
    for count in (32, 64):
        flow = fm.fast_diffusion(circle(count), alpha)
        rho = flow.state(lambda x: even(x[0] - 0.3))
        moment = evolved(flow, rho, fm.Bdf2(flux="average"), count // 2)
        offset = np.abs((moment.state.points[:, 0] + 0.7) % 2.0 - 1.0)
        errors.append(distance(moment.state, found(offset)[:, 0]))
        mass = rho.masses()["rho"]
        assert abs(moment.masses["rho"] - mass) <= 1e-13 * mass
    assert errors[1] < 1e-3
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.15)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("alpha", "scheme"), [(2.0, fm.BackwardEuler), (0.5, fm.BackwardEuler), (2.0, fm.Bdf2)]
)
def test_orders_in_time(alpha, scheme):
    """Against many steps of BDF2 on one mesh: one for backward Euler, and two for BDF2."""
    flow = fm.fast_diffusion(circle(32), alpha)
    rho = flow.state(lambda x: even(x[0]))
    reference = evolved(flow, rho, fm.Bdf2(flux="average"), 256).state.array[:, 0]
    errors = [distance(evolved(flow, rho, scheme(flux="average"), n).state, reference) for n in (8, 16)]
    order = {fm.BackwardEuler: 1.0, fm.Bdf2: 2.0}[scheme]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15 * order)


@pytest.mark.parallel
@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_order_two_on_an_unstructured_torus_against_oblique_waves_in_closed_form(alpha):
    wave = DiffusionWave(alpha, (2.0 * math.pi, 2.0 * math.pi), 1.0, 2.0)
    errors = []
    for h, steps in ((0.1, 6), (0.05, 12)):
        flow = fm.fast_diffusion(torus(h), alpha)
        moment = evolved(flow, flow.state(lambda x: wave(x, 0.0)), fm.Bdf2(flux="average"), steps, 0.01)
        errors.append(distance(moment.state, wave(moment.state.points.T, 0.01)))
    assert errors[1] < 3e-3
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.3)


@pytest.mark.parallel
def test_a_source_solution_on_a_disk_until_its_tails_meet_the_wall():
    """α = ½ is ∂tρ = Δρ^½ in twice the time.

    The tails r^{-4} meet the wall r = 1 at once, and their return is below 1e-7 for r < 0.3 (see the tests of
    the exact solutions); with the wall, a spectral method is exact.
    """
    source = SourceSolution.of_radius(0.5, 2, 0.2, 1.0)
    found = on_disk(0.5, lambda q: source(np.stack([np.sqrt(q), 0.0 * q]), 1.0), 0.05, 80)
    near, whole = [], []
    for h, steps in ((0.1, 10), (0.05, 20)):
        flow = fm.fast_diffusion(fm.mesh("disk", h=h), 0.5)
        rho = flow.state(lambda x: source(x, 1.0))
        moment = evolved(flow, rho, fm.Bdf2(flux="average"), steps, 0.05)
        r = np.hypot(*moment.state.points.T)
        near.append(distance(moment.state, source(moment.state.points.T, 1.1), r < 0.3))
        whole.append(distance(moment.state, found(np.minimum(r**2, 1.0))[:, 0]))
        mass = rho.masses()["rho"]
        assert abs(moment.masses["rho"] - mass) <= 1e-13 * mass
    assert near[1] < 0.02 and whole[1] < 0.02
    for errors in (near, whole):
        assert math.log2(errors[0] / errors[1]) > 1.7


@pytest.mark.parallel
@pytest.mark.parametrize("alpha", ALPHAS)
def test_contrasts_of_a_thousand_keep_mass_and_lose_energy_for_any_step(alpha):
    """From a jump, with steps from those of the mesh to those that reach the mean at once."""
    flow = fm.fast_diffusion(circle(64), alpha)
    rho = flow.state("where(abs(x - 0.7) < 0.45, 1, 1e-3)", mass=1)
    for step in (1e-4, 1e-2, 1e2):
        energies = [rho.energy()]
        for moment in fm.evolve(flow, rho, fm.BackwardEuler(flux="average"), step=step, until=3 * step):
            energies.append(moment.energy)
            assert moment.step.rejected == 0
            assert abs(moment.masses["rho"] - 1.0) <= 1e-13
        assert max(np.diff(energies)) <= 1e-14 * abs(energies[-1])
        assert moment.state.minima()["rho"] > 0.0
    assert np.abs(moment.state.array - 0.5).max() < 1e-6
    assert np.abs(flow.steady_state(rho).array - 0.5).max() < 1e-12


@pytest.mark.parallel
def test_vacuum_is_filled_where_the_energy_is_finite_and_refused_where_it_is_not():
    vacuum = "max(0, cos(pi*x))"
    flow = fm.fast_diffusion(circle(32), 0.5)
    rho = flow.state(vacuum, mass=1)
    assert evolved(flow, rho, fm.BackwardEuler(), 2).state.minima()["rho"] > 0.0
    for alpha, name in ((1.0, "diffusion"), (2.0, "diffusion")):
        with pytest.raises(
            InputError, match=f"initial rho is zero somewhere, where the energy {name} is infin"
        ):
            fm.fast_diffusion(circle(32), alpha).state(vacuum)


@pytest.mark.parallel
def test_the_log_density_is_for_the_heat_equation_alone(tmp_path):
    out = COMM.bcast(tmp_path)
    tables = {
        "mesh": {"domain": "torus", "cells": [8]},
        "system": {"name": "fast-diffusion", "alpha": 0},
        "initial": {"rho": "1 + 0.5*cos(2*pi*x)"},
        "time": {"end": 0.002, "step": 0.001, "discretization": "log-density"},
        "output": {"figures": False, "steady": False},
    }
    run = fm.run_file(tables, out / "heat")
    assert run.summary["species"]["rho"]["mass_drift"] <= 1e-13
    with pytest.raises(InputError, match="log-density needs an entropy of every density, but rho has none"):
        fm.run_file(tables | {"system": {"name": "fast-diffusion", "alpha": 1}}, out / "other")


@pytest.mark.parametrize("alpha", [math.nan, math.inf])
def test_exponents_that_are_none_are_refused(alpha):
    with pytest.raises(InputError, match="exponent alpha of diffusion must be a finite number"):
        fm.fast_diffusion(circle(8), alpha)
