"""Steps of any size: the residual is round-off long before it is small, powers are large, fronts go far."""

import basix.ufl
import numpy as np
import pytest
import ufl
from dolfinx.mesh import create_mesh
from references import COMM, DIRECT, flow_of, mesh_of
from scipy.optimize import brentq

from fem_models.core.errors import SolveError
from fem_models.core.protocols import Step
from fem_models.energies import Boltzmann, Density, Potential, PowerLaw
from fem_models.exact.barenblatt import SourceSolution
from fem_models.flow.density_steps import _switched
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.linalg.continuation import over_smaller_steps
from fem_models.linalg.newton import Outcome
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.schemes.halves import UnsolvedError, in_halves

SCHEMES = {
    "backward Euler": BackwardEuler,
    "BDF2": Bdf2,
    "BDF2, average": lambda flow: Bdf2(flow, "average"),
}
each_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def mean_error(flow, state, density):
    """The L¹ distance to a multiple of a density with the same mass, relative to it."""
    volumes, owned = flow.geometry.volumes[: flow.owned], slice(0, flow.owned)
    exact = density(flow.points[owned].T)
    masses = flow.comm.allreduce(np.array([volumes @ state[owned, 0], volumes @ exact]))
    return flow.comm.allreduce(volumes @ np.abs(state[owned, 0] - exact * masses[0] / masses[1])) / masses[0]


def settled(flow, scheme, tau, steps):
    """The state after some steps, and what they keep."""
    start = state = flow.state(lambda x: 1.0 + np.cos(np.pi * x[0] / x[0].max()), 1.0)
    stepper = SCHEMES[scheme](flow)
    for _ in range(steps):
        step = stepper.step(state, tau)
        assert step.rejected == 0
        state = step.state
        assert flow.minima(state)["rho"] >= 0.0
        assert flow.masses(state)["rho"] == pytest.approx(1.0, rel=1e-14)
    assert flow.energy(state) < flow.energy(start)
    return state


# Of e^{-3x}, a step of size τ leaves 1/(1 + λτ) of a deviation, where λ ≥ π² + 9/4.
@each_scheme
@pytest.mark.parametrize(
    ("cells", "tau", "steps", "tolerance"),
    [
        pytest.param(400, 1e4, 2, 2e-5, marks=pytest.mark.parallel),
        (400, 1e8, 2, 1e-9),
        (10_000, 10.0, 6, 1e-9),
        (40_000, 1.0, 16, 1e-6),
    ],
)
def test_steps_of_linear_diffusion_end_in_its_steady_state(cells, tau, steps, tolerance, scheme):
    flow = flow_of("interval", Boltzmann() + Potential("3*x"), cells=cells)
    assert mean_error(flow, settled(flow, scheme, tau, steps), lambda x: np.exp(-3.0 * x[0])) < tolerance


@pytest.mark.parallel
@pytest.mark.parametrize("linear", ["auto", "direct"])
def test_so_they_do_in_two_dimensions(linear):
    flow = flow_of("rectangle", Boltzmann() + Potential("3*x"), cells=(100, 100))
    state = flow.state(lambda x: 1.0 + np.cos(np.pi * x[0]) * np.cos(np.pi * x[1]), 1.0)
    step = BackwardEuler(flow, settings=type(DIRECT)(linear=linear)).step(state, 1e5)
    # The deviation falls to 1/(1 + τλ) with λ ≥ π² + 9/4.
    assert mean_error(flow, step.state, lambda x: np.exp(-3.0 * x[0])) < 2e-6
    assert step.rejected == 0


# Nothing depends on y, so that a film has the densities of the interval; at the last τ, τ/h² is 1e23.
@pytest.mark.parametrize("tau", [1e-6, 1e-5, 1e-4, 1e-2, 1.0, 1e4])
@pytest.mark.parametrize(
    "scheme", [pytest.param("backward Euler", marks=pytest.mark.parallel), "BDF2", "BDF2, average"]
)
def test_a_film_has_the_densities_of_an_interval(scheme, tau):
    energy = Boltzmann() + Potential("3000*x")
    film = flow_of("rectangle", energy, upper=(1e-3, 1e-9), cells=(50, 4))
    line = flow_of("interval", energy, upper=1e-3, cells=50)
    found = []
    for flow in (film, line):
        stepper, state = SCHEMES[scheme](flow), flow.state(lambda x: 2.0 - 1e3 * x[0], 1.0)
        for _ in range(3):
            step = stepper.step(state, tau)
            assert step.rejected == 0 and step.newton <= 12
            state = step.state
            assert flow.masses(state)["rho"] == pytest.approx(1.0, rel=1e-13)
        found.append((np.round(flow.points[:, 0] / 2e-5).astype(int), state[:, 0]))
    (columns, rho), (numbers, expected) = found
    by_column = dict(zip(COMM.allreduce(list(numbers)), COMM.allreduce(list(expected)), strict=True))
    expected = np.array([by_column[k] for k in columns])
    np.testing.assert_allclose(rho * 1e-9, expected, rtol=1e-7, atol=1e-10 * expected.max())


@pytest.mark.parametrize("tau", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("scheme", ["backward Euler", "BDF2"])
def test_so_they_do_where_cells_are_graded(tau, scheme):
    x = np.concatenate([[0.0], np.cumsum(2e-5 * 1.02 ** np.arange(350))])
    cells = np.stack([np.arange(len(x) - 1), np.arange(1, len(x))], axis=1)
    element = basix.ufl.element("Lagrange", "interval", 1, shape=(1,))
    mesh = create_mesh(COMM, cells if COMM.rank == 0 else cells[:0], ufl.Mesh(element), x[:, None] / x[-1])
    flow = GradientFlow(mesh, Species(), Boltzmann() + Potential("3*x"))
    state = settled(flow, scheme, tau, 12)
    assert mean_error(flow, state, lambda x: np.exp(-3.0 * x[0])) < 1e-5


@pytest.mark.parallel
@pytest.mark.parametrize("tau", [1e-7, 1e-6])
def test_so_they_do_in_a_film(tau):
    # Of length L = 1e-3, and a millionth of that in height: a deviation decays in L²/π² = 1e-7.
    energy = Boltzmann() + Potential("3000*x")
    flow = flow_of("rectangle", energy, upper=(1e-3, 1e-9), cells=(100, 10))
    steps = round(3e-6 / tau) if tau < 1e-6 else 8
    state = settled(flow, "backward Euler", tau, steps)
    assert mean_error(flow, state, lambda x: np.exp(-3000.0 * x[0])) < 1e-6


# Large powers


def mesa(m, cells=400):
    flow = flow_of("interval", PowerLaw(m), lower=-2.0, upper=2.0, cells=cells)
    return flow, flow.state(lambda x: 1.5 * np.maximum(1.0 - x[0] ** 2, 0.0), 2.0)


@each_scheme
@pytest.mark.parametrize("tau", [1e-3, 0.1, 1.0, 1e4])
@pytest.mark.parametrize("m", [5.0, 20.0, 40.0])
def test_densities_with_large_powers_spread(m, tau, scheme):
    spread(m, tau, scheme, cells=200)


@pytest.mark.parallel
@each_scheme
def test_so_they_do_on_any_number_of_ranks(scheme):
    spread(20.0, 0.01, scheme, cells=60)


def spread(m, tau, scheme, cells):
    flow, state = mesa(m, cells)
    stepper, before = SCHEMES[scheme](flow), flow.energy(state)
    for _ in range(3):
        step = stepper.step(state, tau)
        state = step.state
        assert step.rejected == 0
        assert flow.masses(state)["rho"] == pytest.approx(2.0, rel=1e-13)
        assert flow.minima(state)["rho"] >= 0.0
        assert flow.energy(state) < before or "falling" not in stepper.promises
        before = flow.energy(state)


@each_scheme
def test_the_source_solution_of_a_large_power(scheme):
    # The front is a jump of ρ^39 in its slope: an error of one cell of height 1 at the two fronts.
    exact = SourceSolution.of_radius(40.0, 1, radius=1.0, time=1.0)
    flow = flow_of("interval", PowerLaw(40.0), lower=-2.0, upper=2.0, cells=400)
    state = flow.state(lambda x: exact(x, 1.0))
    stepper, newton = SCHEMES[scheme](flow), 0
    for _ in range(50):
        step = stepper.step(state, 0.2)
        state, newton = step.state, newton + step.newton
    volumes, values = flow.geometry.volumes, exact(flow.points.T, 11.0)
    assert volumes @ np.abs(state[:, 0] - values) < 0.01 * (volumes @ values)
    assert newton < 50 * 12


def test_a_mesa_has_its_plateau():
    # As m → ∞ mass spreads at the height 1; at t = .1 the plateau of m = 40 is at .95.
    flow, state = mesa(40.0)
    scheme, newton = BackwardEuler(flow), 0
    for _ in range(100):
        step = scheme.step(state, 1e-3)
        state, newton = step.state, newton + step.newton
    assert flow.maxima(state)["rho"] == pytest.approx(0.95, abs=5e-3)
    assert newton < 600


@pytest.mark.parametrize("height", [0.5, 1.0])
@pytest.mark.parametrize("slope", [0.0, 3.0])
@pytest.mark.parametrize("tau", [1e-2, 1.0, 1e4])
@pytest.mark.parametrize("m", [10.0, pytest.param(20.0, marks=pytest.mark.parallel), 40.0])
def test_densities_with_large_powers_drift(m, tau, slope, height):
    flow = flow_of("interval", PowerLaw(m) + Potential(f"{slope}*x"), cells=100)
    start = state = flow.state(lambda x: np.where(x[0] < 0.5, height, 0.0))
    scheme = BackwardEuler(flow)
    for _ in range(2):
        step = scheme.step(state, tau)
        assert step.rejected == 0
        assert flow.energy(step.state) <= flow.energy(state) + 1e-14
        state = step.state
        assert flow.minima(state)["rho"] >= 0.0
    mass = flow.masses(start)["rho"]
    assert flow.masses(state)["rho"] == pytest.approx(mass, rel=1e-13)
    # At rest m/(m-1) ρ^{m-1} + V is constant where there is mass; without V it takes longer to come there.
    if tau == 1e4 and slope > 0.0:
        x, volumes = flow.points[: flow.owned, 0], flow.geometry.volumes[: flow.owned]

        def rest(level):
            return ((m - 1.0) / m * np.maximum(level - slope * x, 0.0)) ** (1.0 / (m - 1.0))

        level = brentq(
            lambda level: flow.comm.allreduce(volumes @ rest(level)) - mass, -1e-3, 10.0, xtol=1e-14
        )
        gap = flow.comm.allreduce(volumes @ np.abs(state[: flow.owned, 0] - rest(level)))
        # The front is between two nodes, one of which has mass or not.
        assert gap < 0.02 * mass


# ρ^40 from 1e29 to 1e55 at the beginning.
@pytest.mark.parametrize("mass", [1.0, 4.0])
@pytest.mark.parametrize("tau", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("potential", ["0", "100*abs(x-0.3)"])
def test_high_densities_with_large_powers_spread(potential, tau, mass):
    flow = flow_of("interval", PowerLaw(40.0) + Potential(potential), lower=-0.1, upper=0.1, cells=40)
    start = flow.state(lambda x: np.where(x[0] > 0.0, 1.0, 0.0), mass)
    step = BackwardEuler(flow).step(start, tau)
    assert step.rejected == 0 and flow.masses(step.state)["rho"] == pytest.approx(mass, rel=1e-13)
    # The pressure is so high that the density is even, whatever the potential.
    np.testing.assert_allclose(step.state[:, 0], mass / 0.2, rtol=1e-6)


def test_steps_for_the_switched_unknown():
    rho = np.linspace(0.0, 1.6, 17)
    beta, diffusion = np.full_like(rho, 39.0), 5.0 * rho**39
    zero = np.zeros_like(rho)
    assert _switched(rho, zero, beta, diffusion) == pytest.approx(rho, rel=1e-14)
    # To first order the step is Newton's for ρ.
    for small in (1e-7, -1e-7):
        moved = _switched(rho, zero + small, beta, diffusion)
        assert moved[1:] - rho[1:] == pytest.approx(zero[1:] - small, rel=1e-4)
    # Where diffusion rules, ρ^β is what changes linearly: half of its value by a step of ρ/(2β).
    high = np.array([1.6])
    halved = _switched(high, high / 78.0, np.array([39.0]), 5.0 * high**39)
    assert halved**39 == pytest.approx(0.5 * high**39, rel=1e-4)
    # Where mass rules, ρ; and no step leads below zero.
    assert _switched(np.array([0.5]), np.array([0.2]), np.array([39.0]), np.array([1e-12])) == pytest.approx(
        0.3
    )
    assert _switched(np.array([0.5]), np.array([0.7]), np.array([39.0]), np.array([1e-12])) == 0.0


# What cannot be solved as a whole


@pytest.mark.parallel
@pytest.mark.parametrize("scheme", ["backward Euler", "BDF2"])
def test_steps_of_energies_that_are_not_convex_are_taken_in_halves(scheme):
    # Flory and Huggins, with χ beyond 2.
    mixing = Boltzmann("u") + Density("(1-u)*log(1-u) + 3*u*(1-u)", of="u")
    flow = GradientFlow(mesh_of("rectangle", cells=(20, 20)), Species("u"), mixing)
    state = flow.state("0.5 + 0.2*cos(2*pi*x)", 0.5)
    stepper, before, rejected = SCHEMES[scheme](flow), flow.energy(state), 0
    for _ in range(4):
        step = stepper.step(state, 0.01)
        rejected += step.rejected
        state = step.state
    assert rejected > 0
    # What is not convex may rise; here it does not.
    assert flow.energy(state) < before
    assert flow.masses(state)["u"] == pytest.approx(0.5, rel=1e-13)
    assert 0.0 < flow.minima(state)["u"] < flow.maxima(state)["u"] < 1.0


def halved(fails, tau=1.0):
    """A step of u' = 1 in which sizes fail that a function says; with the sizes that were tried."""
    tried = []

    def take(old, size):
        tried.append(size)
        if fails(old, size):
            raise UnsolvedError("It failed.", 3, 5)
        return joined_step(old + size)

    return in_halves(take, 0.0, tau), tried


def joined_step(state):
    return Step(state, newton=1, linear=2, clipped=0.25)


def test_halves_add_up():
    step, tried = halved(lambda old, size: size > 0.25 and old < 0.5)
    assert tried == [1.0, 0.5, 0.25, 0.25, 0.5]
    assert (step.state, step.rejected, step.clipped) == (1.0, 2, 0.75)
    assert (step.newton, step.linear) == (2 * 3 + 3, 2 * 5 + 3 * 2)


def test_what_fails_in_small_parts_too_says_so():
    words = r"step of size 1 could not be taken, nor could its parts, down to the size 0\.015625.*convex"
    with pytest.raises(SolveError, match=words):
        halved(lambda old, size: True)


class Solves:
    """Stands in for Newton's method: it solves steps up to some multiple of the last one."""

    def __init__(self, first, most):
        self.reach, self.most, self.tried = first, most, []

    def solve(self, guess, anchor, tau, limit):
        self.tried.append(tau)
        fine = tau <= self.reach
        self.reach = max(self.reach, self.most * tau) if fine else self.reach
        return Outcome(guess + 1, fine, 1, 1, "" if fine else f"no {tau}")


@pytest.mark.parametrize(("first", "most"), [(1e-4, 20.0), (1e-4, 2.0), (0.5, 1.2)])
def test_growing_steps_reach_the_whole_one(first, most):
    solves = Solves(first, most)
    outcomes, report = over_smaller_steps(solves, np.zeros(1), np.zeros(1), 1.0)
    assert report == ""
    assert outcomes[-1].converged
    assert solves.tried[-1] == 1.0
    assert len(outcomes) == len(solves.tried)


def test_steps_that_cannot_grow_are_reported():
    outcomes, report = over_smaller_steps(Solves(1e-3, 1.0), np.zeros(1), np.zeros(1), 1.0)
    assert report.startswith("no ")
    assert any(outcome.converged for outcome in outcomes)
    assert over_smaller_steps(Solves(0.0, 1.0), np.zeros(1), np.zeros(1), 1.0)[1].startswith("no ")
