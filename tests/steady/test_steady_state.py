import math

import numpy as np
import pytest
import ufl
from mpi4py import MPI
from references import COMM, DIRECT, bump, flow_of, l1_distance, march, mesh_of, quadratic_potential, total
from scipy.optimize import brentq
from scipy.special import lambertw

from fem_models.core.errors import InputError, SolveError
from fem_models.energies import Boltzmann, Density, Energy, Potential, PowerLaw, Quadratic
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.steady.steady_state import steady_state

STRENGTH = 4.0


def gibbs(mu, V):
    return np.exp(mu - V)


def lambert(mu, V):
    """log ρ + 10ρ + V = μ."""
    return lambertw(10.0 * np.exp(mu - V)).real / 10.0


def porous(m):
    """m/(m-1) ρ^(m-1) + V = μ."""
    return lambda mu, V: ((m - 1) / m * np.maximum(mu - V, 0.0)) ** (1 / (m - 1))


def fast(mu, V):
    """-ρ^(-1/2) + V = μ."""
    return (V - mu) ** -2.0


# Energy but for the potential, density at the multiplier μ, bracket of μ at mass .3.
CLOSED_FORMS = {
    "boltzmann": (Boltzmann(), gibbs, (-20.0, 20.0)),
    "excluded volume": (Boltzmann() + Quadratic(10.0), lambert, (-20.0, 50.0)),
    "m = 2": (PowerLaw(2), porous(2), (0.0, 20.0)),
    "m = 3": (PowerLaw(3), porous(3), (0.0, 20.0)),
    "m = 1.5": (PowerLaw(1.5), porous(1.5), (0.0, 20.0)),
    "m = 0.5": (PowerLaw(0.5), fast, (-1e3, -1e-6)),
}


def problem(name, **keys):
    term, density, bracket = CLOSED_FORMS[name]
    flow = flow_of("disk", Energy() + term + quadratic_potential(STRENGTH), **(keys or {"h": 0.15}))
    V = 0.5 * STRENGTH * (flow.points**2).sum(axis=1)
    return flow, lambda mu: density(mu, V), bracket


def by_closed_form(name, mass):
    """The flow and the densities, with the multiplier from the mass by bisection."""
    flow, density, bracket = problem(name)
    mu = brentq(lambda mu: total(flow, flow.geometry.volumes * density(mu)) - mass, *bracket, xtol=1e-14)
    return flow, density(mu)


@pytest.mark.parallel
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_steady_states_equal_their_closed_forms(name):
    flow, expected = by_closed_form(name, 0.3)
    found = steady_state(flow, 0.3)
    assert found.shape == (flow.nodes, 1)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-10, atol=1e-11)
    assert flow.masses(found)["rho"] == pytest.approx(0.3, rel=1e-14)


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["m = 2", "m = 3"])
def test_support_is_exact_and_vacuum_is_zero(name):
    flow, expected = by_closed_form(name, 0.3)
    found = steady_state(flow, 0.3)[:, 0]
    np.testing.assert_array_equal(found == 0.0, expected == 0.0)
    assert COMM.allreduce(int((found == 0.0)[: flow.owned].sum())) > 20


@pytest.mark.parallel
def test_radius_of_the_support_is_that_of_the_continuous_problem_up_to_h():
    # 2ρ + λr²/2 = μ with mass πμ²/(2λ): R² = 2μ/λ.
    mu = math.sqrt(2 * STRENGTH * 0.3 / math.pi)
    radius = math.sqrt(2 * mu / STRENGTH)
    flow, _, _ = problem("m = 2", h=0.06)
    state = steady_state(flow, 0.3)
    distance = np.linalg.norm(flow.points, axis=1)
    reach = COMM.allreduce(float(np.where(state[:, 0] > 0.0, distance, 0.0).max()), op=MPI.MAX)
    assert abs(reach - radius) < 0.06
    exact = np.maximum(mu - 0.5 * STRENGTH * distance**2, 0.0) / 2.0
    assert l1_distance(flow, state, exact) < 0.02 * 0.3


@pytest.mark.parametrize("name", ["boltzmann", "excluded volume", "m = 2", "m = 3"])
@pytest.mark.parametrize("flux", ["upwind", "average"])
@pytest.mark.parametrize("scheme", [BackwardEuler, Bdf2], ids=["backward-euler", "bdf2"])
def test_flows_tend_to_the_steady_state(scheme, flux, name):
    flow, _, _ = problem(name)
    state = march(flow, flow.state(bump((0.3, 0.1)), 0.3), 150.0, 30, scheme, flux)
    assert l1_distance(flow, state, steady_state(flow, 0.3)[:, 0]) < 1e-11


@pytest.mark.parametrize("mass", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("name", ["excluded volume", "m = 2", "m = 1.5", "m = 0.5"])
def test_conditions_hold_for_small_and_large_masses(name, mass):
    flow, _, _ = problem(name)
    state = steady_state(flow, mass)
    assert flow.masses(state)["rho"] == pytest.approx(mass, rel=1e-13)
    mu = flow.potentials(state)[: flow.owned, 0]
    occupied = state[: flow.owned, 0] > 0.0
    low, high = (
        COMM.allreduce(float(f(mu[occupied], initial=s * np.inf)), op=op)
        for f, s, op in ((np.min, 1, MPI.MIN), (np.max, -1, MPI.MAX))
    )
    scale = max(abs(low), abs(high), STRENGTH)
    assert high - low < 1e-10 * scale
    assert np.all(mu[~occupied] >= low - 1e-10 * scale)


@pytest.mark.parallel
def test_steady_state_is_a_fixed_point_of_both_fluxes():
    for name in ("excluded volume", "m = 2", "m = 1.5"):
        flow, _, _ = problem(name)
        state = steady_state(flow, 0.3)
        for flux in ("upwind", "average"):
            after = BackwardEuler(flow, flux, DIRECT).step(state, 10.0).state
            assert l1_distance(flow, after, state[:, 0]) < 1e-9


@pytest.mark.parallel
def test_steep_potentials():
    # All the mass in the lowest node or two: exp(-V) over 20 orders of magnitude and more.
    flow = flow_of("disk", Boltzmann() + quadratic_potential(2e4), h=0.15)
    state = steady_state(flow, 1.0)
    V = 1e4 * (flow.points**2).sum(axis=1)
    least = COMM.allreduce(float(V.min()), op=MPI.MIN)
    weights = np.exp(least - V)
    expected = weights / total(flow, flow.geometry.volumes * weights)
    np.testing.assert_allclose(state[:, 0], expected, rtol=1e-9, atol=1e-250)


@pytest.mark.parametrize("mass", [0.0, -1.0, math.nan, math.inf])
def test_bad_masses_are_refused(mass):
    with pytest.raises(InputError, match="in a steady state must be a positive"):
        steady_state(problem("m = 2")[0], mass)


@pytest.mark.parametrize(
    ("species", "energy"),
    [
        ((Species("u"), Species("v")), PowerLaw(2, of="u")),
        (Species("u", "l2"), Quadratic(of="u")),
    ],
    ids=["two species", "L²"],
)
def test_other_flows_than_those_of_one_density_are_refused(species, energy):
    flow = GradientFlow(mesh_of("interval", cells=8), species, energy)
    with pytest.raises(InputError, match="one density with the Wasserstein metric only"):
        steady_state(flow, 1.0)


@pytest.mark.parametrize(
    "energy",
    [
        Boltzmann() + Quadratic(-20.0) + quadratic_potential(2.0),
        PowerLaw(2) + Quadratic(-3.0) + quadratic_potential(2.0),
        Density(lambda f, x: (f["rho"] ** 2 - 1.0) ** 2) + Potential(lambda x: x[0]),
        Energy((quadratic_potential(2.0),)),
    ],
    ids=["attraction", "concave", "double well", "no diffusion"],
)
def test_energies_that_are_not_convex_are_reported(energy):
    flow = flow_of("disk", energy, h=0.3)
    with pytest.raises(SolveError, match="convex"):
        steady_state(flow, 1.0)


@pytest.mark.parallel
def test_mean_density_where_there_is_no_potential():
    for term in (Boltzmann(), PowerLaw(2), PowerLaw(0.5), Density(lambda f, x: ufl.exp(f["rho"]))):
        flow = flow_of("disk", term, h=0.3)
        np.testing.assert_allclose(steady_state(flow, 2.0), 2.0 / flow.volume, rtol=1e-12)


@pytest.mark.parallel
def test_the_search_ends_in_time():
    flow = flow_of("interval", PowerLaw(2) + quadratic_potential(4.0), cells=20)
    with pytest.raises(SolveError, match="The search was ended after 0 seconds"):
        steady_state(flow, 1.0, seconds=0.0)
