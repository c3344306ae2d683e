import numpy as np
import pytest
from references import COMM, DIRECT, bump, flow_of, quadratic_potential

from fem_models.core.errors import SolveError
from fem_models.core.protocols import Memory
from fem_models.energies import Boltzmann, PowerLaw
from fem_models.linalg.newton import NewtonSettings
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2

STEPS = (0.02, 0.05, 0.01, 0.01, 0.2)


def porous():
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.15)
    return flow, flow.state(bump((0.3, 0.1)), 1.0)


@pytest.mark.skipif(COMM.size > 1, reason="a mesh of one cell")
def test_variable_steps_follow_the_recurrence_of_a_decay():
    # Two nodes: the difference of the densities obeys δ' = -4δ. The formula with variable steps:
    # ((1+2ω)/(1+ω) δ - (1+ω) δ_n + ω²/(1+ω) δ_{n-1})/τ = -4δ, ω = τ/τ_n.
    flow = flow_of("interval", Boltzmann(), cells=1)
    scheme, state = Bdf2(flow, settings=DIRECT), np.array([[3.0], [1.0]])
    differences = [2.0]
    for n, tau in enumerate(STEPS):
        if n == 0:
            expected = differences[0] / (1.0 + 4.0 * tau)
        else:
            w = tau / STEPS[n - 1]
            known = (1 + w) * differences[-1] - w**2 / (1 + w) * differences[-2]
            expected = known / ((1 + 2 * w) / (1 + w) + 4.0 * tau)
        differences.append(expected)
        state = scheme.step(state, tau).state
        assert state[0, 0] - state[1, 0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parallel
def test_first_step_and_the_one_after_a_reset_are_those_of_backward_euler():
    flow, start = porous()
    scheme, euler = Bdf2(flow, settings=DIRECT), BackwardEuler(flow, settings=DIRECT)
    first = scheme.step(start, 0.01).state
    np.testing.assert_allclose(first, euler.step(start, 0.01).state, rtol=1e-11)
    second = scheme.step(first, 0.01).state
    by_euler = euler.step(first, 0.01).state
    assert np.abs(second - by_euler).max() > 1e-3 * np.abs(by_euler).max()
    scheme.restore(Memory())
    np.testing.assert_allclose(scheme.step(first, 0.01).state, by_euler, rtol=1e-11)


@pytest.mark.parallel
@pytest.mark.parametrize("flux", ["upwind", "average"])
def test_clipping_at_a_front_that_recedes_is_reported_and_keeps_mass_and_sign(flux):
    # The density moves from its place towards the origin, and the next step is much larger.
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(40.0), h=0.1)
    start = flow.state(bump((0.6, 0.0)), 1e-2)
    scheme = Bdf2(flow, flux, DIRECT)
    first = scheme.step(start, 1e-2)
    assert first.clipped == 0.0
    second = scheme.step(first.state, 3e-2)
    # What the extrapolation ρ + ω²/(1+2ω) (ρ - ρ_old) has below zero, with ω = 3.
    below = np.minimum(first.state + 9.0 / 7.0 * (first.state - start), 0.0)
    expected = -flow.masses(below)["rho"]
    assert expected > 1e-4
    assert second.clipped == pytest.approx(expected, rel=1e-9)
    assert flow.masses(second.state)["rho"] == pytest.approx(1e-2, rel=1e-13)
    assert flow.minima(second.state)["rho"] >= 0.0


def test_mass_is_exact_over_many_steps_of_changing_size():
    flow, state = porous()
    scheme = Bdf2(flow, "average", DIRECT)
    for tau in STEPS * 4:
        state = scheme.step(state, tau).state
        assert flow.masses(state)["rho"] == pytest.approx(1.0, rel=1e-13)


@pytest.mark.parallel
def test_a_failed_step_leaves_the_history_unchanged():
    flow, start = porous()
    # Too few iterations for large steps, enough for small ones.
    tight = NewtonSettings(linear="direct", max_iterations=2)
    scheme, undisturbed = Bdf2(flow, settings=tight), Bdf2(flow, settings=tight)
    state = scheme.step(start, 1e-6).state
    undisturbed.step(start, 1e-6)
    with pytest.raises(SolveError):
        scheme.step(state, 10.0)
    found, expected = (s.step(state, 1e-6).state for s in (scheme, undisturbed))
    np.testing.assert_allclose(found, expected, rtol=1e-11)
