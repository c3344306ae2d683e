"""A density and its signal: guarantees, orders against a spectral solution, ranks."""

import numpy as np
import pytest
import ufl
from coupled import hill_with_signal
from references import DIRECT, march, mesh_of, orders

from fem_models.core.errors import InputError
from fem_models.exact.spectral import LegendreElement, evolve
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.systems.chemotaxis import chemotaxis

END = 0.05


@pytest.mark.parametrize("flux", ["upwind", "average"])
@pytest.mark.parametrize("m", [1.0, pytest.param(2.0, marks=pytest.mark.parallel), 3.0])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_guarantees(dim, m, flux):
    flow, start = hill_with_signal(dim, m)
    scheme = BackwardEuler(flow, flux, DIRECT)
    for tau in (1e-3, 1e-1, 10.0):
        state, energy = start, flow.energy(start)
        for _ in range(3):
            state = scheme.step(state, tau).state
            assert flow.masses(state)["rho"] == pytest.approx(1.0, rel=1e-12)
            assert flow.minima(state)["rho"] >= 0.0
            assert flow.energy(state) <= energy + 1e-13 * abs(energy)
            energy = flow.energy(state)


def test_the_signal_may_have_either_sign():
    flow, state = hill_with_signal(1, epsilon=0.0)
    assert flow.minima(state)["c"] < 0.0
    # Without coupling the lowest even mode of a signal in [-2, 2] decays alone, at the rate κ + (π/2)².
    state[:, 1] = np.cos(0.5 * np.pi * (flow.points[:, 0] + 2.0))
    later = march(flow, state, 0.2, 20, Bdf2)
    factor = np.exp(-0.2 * (1.0 + (0.5 * np.pi) ** 2))
    assert flow.minima(later)["c"] == pytest.approx(-factor, rel=2e-3)
    assert flow.maxima(later)["c"] == pytest.approx(factor, rel=2e-3)


INITIAL = (lambda x: 1.0 + 0.5 * np.cos(np.pi * x), lambda x: 0.3 * np.cos(2 * np.pi * x))


@pytest.fixture(scope="module", params=[1.0, 2.0])
def smooth(request):
    """The exponent, and the solution for φ = -tanh c, ε = ½ and κ = 2 by a spectral method."""
    m, line = request.param, LegendreElement()

    def rate(u):
        rho, c = u
        internal = np.log(rho) if m == 1.0 else m / (m - 1) * rho ** (m - 1)
        potential = internal + 0.5 * np.cos(np.pi * line.x) - 0.5 * np.tanh(c)
        of_rho = line.divergence(rho * (line.D @ potential))
        of_c = line.divergence(line.D @ c) - 2.0 * c + 0.5 / np.cosh(c) ** 2 * rho
        return [of_rho, of_c]

    return m, evolve(line, INITIAL, rate, END)


@pytest.mark.parametrize(
    ("scheme", "steps", "least", "most"),
    [
        pytest.param(Bdf2, lambda n: n // 2, 1.85, 2.3, id="second order in h and τ"),
        pytest.param(BackwardEuler, lambda n: n**2 // 40, 1.85, 2.3, id="first in τ, second in h"),
        pytest.param(BackwardEuler, lambda n: n // 2, 0.85, 1.3, id="first order in τ"),
    ],
)
def test_orders(smooth, scheme, steps, least, most):
    m, reference = smooth
    errors = []
    for cells in (20, 40, 80):
        flow = chemotaxis(
            mesh_of("interval", cells=(cells,)),
            lambda x: 0.5 * ufl.cos(np.pi * x[0]),
            m,
            0.5,
            2.0,
            lambda c: -ufl.tanh(c),
        )
        state = flow.state({"rho": lambda x: INITIAL[0](x[0]), "c": lambda x: INITIAL[1](x[0])})
        state = march(flow, state, END, steps(cells), scheme, "average")
        errors.append(np.abs(state - reference(flow.points[:, 0])).max(axis=0))
    for of_field in np.transpose(errors):
        assert np.all((orders(of_field) > least) & (orders(of_field) < most))
        assert of_field[-1] < 0.02


@pytest.mark.parallel
@pytest.mark.parametrize("scheme", [BackwardEuler, Bdf2])
def test_energies_are_those_of_one_rank(scheme):
    found = []
    for alone in (False, True):
        flow, state = hill_with_signal(2, 2.0, 0.5, alone)
        found.append([flow.energy(march(flow, state, 0.05, n, scheme, "average")) for n in (1, 5)])
    assert found[0] == pytest.approx(found[1], rel=1e-9)


@pytest.mark.parametrize(
    ("keys", "message"),
    [({"m": 0.9}, "exponent m"), ({"epsilon": -1.0}, "number ε"), ({"kappa": -1.0}, "number κ")],
)
def test_bad_input(keys, message):
    with pytest.raises(InputError, match=message):
        chemotaxis(mesh_of("interval", cells=(4,)), **keys)
