"""Two coupled densities: guarantees, orders against a spectral solution, steady supports, ranks."""

import numpy as np
import pytest
import ufl
from coupled import two_hills
from references import DIRECT, march, mesh_of, orders, total

from fem_models.core.errors import InputError
from fem_models.exact.spectral import LegendreElement, evolve
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.systems.two_component import quadratic_potentials, two_component

END = 0.05
KERNEL = {"kernel": lambda z: np.exp(-(z**2).sum(axis=0))}


@pytest.mark.parametrize("flux", ["upwind", "average"])
@pytest.mark.parametrize("m", [1.0, pytest.param(2.0, marks=pytest.mark.parallel), 3.0])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_guarantees(dim, m, flux):
    flow, start = two_hills(dim, m)
    before = np.array(list(flow.masses(start).values()))
    scheme = BackwardEuler(flow, flux, DIRECT)
    for tau in (1e-3, 1e-1, 10.0):
        state, energy = start, flow.energy(start)
        for _ in range(3):
            state = scheme.step(state, tau).state
            np.testing.assert_allclose(list(flow.masses(state).values()), before, rtol=1e-12)
            assert min(flow.minima(state).values()) >= 0.0
            assert flow.energy(state) <= energy + 1e-13 * abs(energy)
            energy = flow.energy(state)


@pytest.mark.parametrize("tau", [1e-3, 1e-1, pytest.param(10.0, marks=pytest.mark.parallel)])
def test_guarantees_with_a_kernel(tau):
    flow, state = two_hills(2, 2.0, 0.3, **KERNEL)
    before = np.array(list(flow.masses(state).values()))
    scheme = BackwardEuler(flow, "upwind", DIRECT)
    energy = flow.energy(state)
    for _ in range(3):
        state = scheme.step(state, tau).state
        np.testing.assert_allclose(list(flow.masses(state).values()), before, rtol=1e-12)
        assert state.min(initial=0.0) >= 0.0
        assert flow.energy(state) <= energy + 1e-13 * abs(energy)
        energy = flow.energy(state)


@pytest.mark.parallel
@pytest.mark.parametrize("flux", ["upwind", "average"])
def test_vacuum_is_zero_ahead_of_the_fronts(flux):
    # Without drift nothing moves but at the front of the support, one edge in a step at the most.
    mesh = mesh_of("interval", lower=(-2.0,), upper=(2.0,), cells=(60,))
    flow = two_component(mesh, (0.0, 0.0), 2.0, 0.5)
    # The supports reach from .4 - r to .4 + r and from -.6 - r to -.6 + r.
    r, steps, h = np.sqrt(0.4), 3, 4.0 / 60
    first = flow.state(
        {
            "rho1": lambda x: np.maximum(0.4 - (x[0] - 0.4) ** 2, 0.0),
            "rho2": lambda x: np.maximum(0.4 - (x[0] + 0.6) ** 2, 0.0),
        }
    )
    state = march(flow, first, steps * 1e-3, steps, flux=flux)
    x = flow.points[:, 0]
    away = np.column_stack([np.abs(x - 0.4) > r + (steps + 1) * h, np.abs(x + 0.6) > r + (steps + 1) * h])
    assert total(flow, away.sum(axis=1)) > 60
    np.testing.assert_array_equal(state[away], 0.0)


def test_the_flow_ends_in_the_steady_state_without_coupling():
    # ρ̄ = (C - V)₊/2 for m = 2, with ∫ρ̄ = 2R³λ/6 for V = λ|x - x_j|²/2 and C = λR²/2 in one dimension.
    flow, state = two_hills(1, 2.0, 0.0)
    state = march(flow, state, 300.0, 30)
    for s, (center, mass) in enumerate(((-0.25, 1.0), (0.25, 2.0))):
        radius = (3.0 * mass) ** (1 / 3)
        distance = np.abs(flow.points[:, 0] - center)
        exact = 0.25 * np.maximum(radius**2 - distance**2, 0.0)
        assert np.abs(state[:, s] - exact).max(initial=0.0) < 5e-3
        np.testing.assert_array_equal(state[distance > radius + 4.0 / 60, s], 0.0)


def smooth_problem(cells, m):
    """Positive densities on [0, 1], with potentials that are flat at both ends."""
    mesh = mesh_of("interval", cells=(cells,))
    potentials = (lambda x: 0.5 * ufl.cos(np.pi * x[0]), lambda x: -0.3 * ufl.cos(2 * np.pi * x[0]))
    flow = two_component(mesh, potentials, m, 0.2, lambda f: f["rho1"] ** 2 * f["rho2"])
    return flow, flow.state({"rho1": lambda x: INITIAL[0](x[0]), "rho2": lambda x: INITIAL[1](x[0])})


INITIAL = (lambda x: 1.0 + 0.5 * np.cos(np.pi * x), lambda x: 1.0 - 0.4 * np.cos(2 * np.pi * x))


@pytest.fixture(scope="module", params=[1.0, 2.0, 3.0])
def smooth(request):
    """The exponent, and the solution for H = ρ₁²ρ₂ and ε = .2 by a spectral method."""
    m, line = request.param, LegendreElement()
    V = np.array([0.5 * np.cos(np.pi * line.x), -0.3 * np.cos(2 * np.pi * line.x)])

    def rate(u):
        coupling = 0.2 * np.array([2 * u[0] * u[1], u[0] ** 2])
        internal = np.log(u) if m == 1.0 else m / (m - 1) * u ** (m - 1)
        return [
            line.divergence(rho * (line.D @ mu)) for rho, mu in zip(u, internal + V + coupling, strict=True)
        ]

    return m, evolve(line, INITIAL, rate, END)


def measured_orders(smooth, cells, scheme, flux, steps):
    m, reference = smooth
    errors = []
    for count in cells:
        flow, state = smooth_problem(count, m)
        state = march(flow, state, END, steps(count), scheme, flux)
        errors.append(np.abs(state - reference(flow.points[:, 0])).max())
    assert errors[-1] < 0.01
    return orders(errors)


@pytest.mark.parametrize(
    ("scheme", "steps", "order"),
    [
        pytest.param(Bdf2, lambda n: n // 2, 2.0, id="second order in h and τ"),
        pytest.param(BackwardEuler, lambda n: n**2 // 40, 2.0, id="first in τ, second in h"),
        pytest.param(BackwardEuler, lambda n: n // 2, 1.0, id="first order in τ"),
    ],
)
def test_orders(smooth, scheme, steps, order):
    found = measured_orders(smooth, (20, 40, 80), scheme, "average", steps)
    np.testing.assert_allclose(found, order, rtol=0.12)


def test_upwind_fluxes_are_of_first_order_but_for_entropies(smooth):
    (found,) = measured_orders(smooth, (80, 160), Bdf2, "upwind", lambda n: n // 2)
    assert found == pytest.approx(2.0 if smooth[0] == 1.0 else 1.0, abs=0.15)


@pytest.mark.parallel
@pytest.mark.parametrize("coupling", [{}, KERNEL], ids=["local", "kernel"])
@pytest.mark.parametrize("scheme", [BackwardEuler, Bdf2])
def test_energies_are_those_of_one_rank(scheme, coupling):
    found = []
    for alone in (False, True):
        flow, state = two_hills(2, 2.0, 0.5, alone, **coupling)
        found.append([flow.energy(march(flow, state, 0.05, n, scheme, "average")) for n in (1, 5)])
    assert found[0] == pytest.approx(found[1], rel=1e-9)


@pytest.mark.parametrize("m", [1.0, 2.0, 3.0])
def test_potentials_are_those_of_the_slides(m):
    flow, _ = two_hills(2, m, 0.7)
    a, b = 0.3 + flow.points[:, 0] ** 2, 1.0 + flow.points[:, 1] ** 2
    q = 1.0 + a + b
    slopes = m * (a * b / q) ** (m - 1) * np.array([b * (1 + b), a * (1 + a)]) / q**2
    V = [0.5 * ((flow.points - [side * 0.25, 0.0]) ** 2).sum(axis=1) for side in (-1, 1)]
    for s, rho in enumerate((a, b)):
        internal = np.log(rho) + 1.0 if m == 1.0 else m / (m - 1) * rho ** (m - 1)
        found = flow.potentials(np.column_stack([a, b]))[:, s]
        np.testing.assert_allclose(found, internal + V[s] + 0.7 * slopes[s], rtol=1e-12)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"m": 0.5}, "exponent m"),
        ({"epsilon": -1.0}, "coupling ε"),
        ({"epsilon": np.inf}, "coupling ε"),
        ({"coupling": lambda f: f["rho1"], "kernel": lambda z: z[0]}, "not by both"),
    ],
)
def test_bad_input(keys, message):
    mesh = mesh_of("interval", cells=(4,))
    with pytest.raises(InputError, match=message):
        two_component(mesh, quadratic_potentials(1.0, [(0.0,), (0.0,)]), **keys)
