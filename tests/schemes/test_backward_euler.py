import math

import numpy as np
import pytest
from references import COMM, DIRECT, SCHEMES, bump, flow_of, quadratic_potential

from fem_models.core.protocols import Memory
from fem_models.energies import Boltzmann, Potential, PowerLaw
from fem_models.jko.jko_bdf2 import JkoBdf2
from fem_models.jko.jko_step import Jko
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2

serial = pytest.mark.skipif(COMM.size > 1, reason="a mesh of one cell")


def test_schemes_by_name():
    assert list(SCHEMES.values()) == [BackwardEuler, Bdf2, Jko, JkoBdf2]
    assert list(SCHEMES) == ["backward-euler", "bdf2", "jko", "jko-bdf2"]


# One cell of length 1: m = ½ at both nodes, κ = 1.


@serial
@pytest.mark.parametrize("tau", [1e-3, 0.3, 100.0])
def test_a_step_of_diffusion_between_two_nodes(tau):
    flow = flow_of("interval", Boltzmann(coefficient=0.7), cells=1)
    state = BackwardEuler(flow).step(np.array([[3.0], [1.0]]), tau).state
    # ½ (ρ₀ - 3) + .7 τ (ρ₀ - ρ₁) = 0, ρ₀ + ρ₁ = 4.
    half = 1.0 / (1.0 + 4.0 * 0.7 * tau)
    np.testing.assert_allclose(state[:, 0], [2.0 + half, 2.0 - half], rtol=1e-9)


@serial
@pytest.mark.parametrize("flux", ["upwind", "average"])
def test_a_step_of_a_porous_medium_between_two_nodes(flux):
    flow, tau = flow_of("interval", PowerLaw(2), cells=1), 0.3
    state = BackwardEuler(flow, flux, DIRECT).step(np.array([[3.0], [0.0]]), tau).state[:, 0]
    # r = ρ₀: ½ (r - 3) + τ w 2 (2r - 3) = 0 with w = r (upwind) or w = 3/2 (average).
    if flux == "upwind":
        r = (6 * tau - 0.5 + math.sqrt((6 * tau - 0.5) ** 2 + 24 * tau)) / (8 * tau)
    else:
        r = (1.5 + 9 * tau) / (0.5 + 6 * tau)
    np.testing.assert_allclose(state, [r, 3.0 - r], rtol=1e-9)


@serial
def test_a_step_of_transport_between_two_nodes():
    flow, tau = flow_of("interval", Potential(lambda x: -2.0 * x[0]), cells=1), 0.3
    state = BackwardEuler(flow, "upwind", DIRECT).step(np.array([[3.0], [1.0]]), tau).state[:, 0]
    np.testing.assert_allclose(state, [3.0 / (1.0 + 4.0 * tau), 4.0 - 3.0 / (1.0 + 4.0 * tau)], rtol=1e-9)


@pytest.mark.parametrize("tau", [pytest.param(1e-3, marks=pytest.mark.parallel), 0.1, 10.0])
@pytest.mark.parametrize("term", [PowerLaw(2), PowerLaw(3), Boltzmann()], ids=["m=2", "m=3", "m=1"])
def test_a_step_lowers_the_energy_by_its_dissipation(term, tau):
    flow = flow_of("disk", term + quadratic_potential(4.0), h=0.15)
    scheme, old = BackwardEuler(flow, "upwind", DIRECT), flow.state(bump((0.3, 0.1), 0.3), 1.0)
    for _ in range(4):
        new = scheme.step(old, tau).state
        lost, owed = flow.energy(old) - flow.energy(new), tau * flow.dissipation(new)
        assert owed >= 0.0
        assert lost >= owed - 1e-11 * abs(flow.energy(old))
        old = new


@pytest.mark.parallel
def test_reports_of_a_step():
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.15)
    scheme, old = BackwardEuler(flow, settings=DIRECT), flow.state(bump((0.3, 0.1)), 1.0)
    before = old.copy()
    step = scheme.step(old, 1e-2)
    np.testing.assert_array_equal(old, before)
    assert step.newton >= 2
    assert step.linear == step.newton
    assert step.clipped == 0.0
    assert set(scheme.seconds) == {"assemble", "solve"}
    assert all(value > 0.0 for value in scheme.seconds.values())


@pytest.mark.parallel
def test_steps_do_not_depend_on_those_before():
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.15)
    start = flow.state(bump((0.3, 0.1)), 1.0)
    scheme = BackwardEuler(flow, settings=DIRECT)
    first = scheme.step(start, 1e-2).state
    scheme.step(first, 1.0)
    # Up to the order of sums over ranks.
    np.testing.assert_allclose(scheme.step(start, 1e-2).state, first, rtol=1e-11)
    scheme.restore(Memory())
    np.testing.assert_allclose(scheme.step(start, 1e-2).state, first, rtol=1e-11)


@pytest.mark.parallel
def test_ghosts_of_a_new_state_are_up_to_date():
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.15)
    state = BackwardEuler(flow, settings=DIRECT).step(flow.state(bump((0.3, 0.1)), 1.0), 1e-2).state
    vector = flow.vector()
    vector.array[: flow.owned] = state[: flow.owned, 0]
    vector.scatter_forward()
    np.testing.assert_array_equal(vector.array, state[:, 0])
