"""The least curvature of an energy with interactions, against closed forms and runs that leave a saddle."""

import numpy as np
import pytest
from references import flow_of

from fem_models.energies import Boltzmann, Interaction, PowerLaw
from fem_models.steady.curvature import least_curvature


def variance(flow, state):
    """Of the first coordinate, over the density."""
    owned = slice(0, flow.owned)
    weights, x = flow.geometry.volumes[owned] * state[owned, 0], flow.points[owned, 0]
    sums = flow.comm.allreduce(np.array([weights.sum(), weights @ x, weights @ x**2]))
    return sums[2] / sums[0] - (sums[1] / sums[0]) ** 2


# δ²E = ∫hη² - 4k(∫xη)² for the kernel kz² and η without mass, where h = θ/ρ of an entropy, or 2 of ∫ρ²: least
# in the direction of ρ(x - mean), or of x - mean, where ∫xη has the variance of ρ, or of 1, as a factor.
@pytest.mark.parallel
@pytest.mark.parametrize("strength", [0.5, 20.0])
@pytest.mark.parametrize("entropy", [True, False])
def test_of_quadratic_kernels(strength, entropy):
    local = Boltzmann(coefficient=2.0) if entropy else PowerLaw(2)
    flow = flow_of("interval", local + Interaction(lambda z: strength * z[0] ** 2), cells=40)
    even = flow.state(lambda x: 1.0 + 0.0 * x[0], 1.0)
    state = flow.state(lambda x: np.exp(-x[0]), 1.0) if entropy else even
    expected = 1.0 - 4.0 * strength * variance(flow, state) / 2.0
    assert least_curvature(flow, state) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parallel
def test_aggregation_in_two_places_is_a_saddle():
    energy = Boltzmann(coefficient=0.05) + Interaction(lambda z: -np.exp(-2.0 * (z**2).sum(axis=0)))
    flow = flow_of("interval", energy, lower=-2.0, upper=2.0, cells=80)
    places = flow.state(lambda x: np.exp(-8 * (np.abs(x[0]) - 1.0) ** 2), 1.0)
    assert least_curvature(flow, places) < -1.0
    # Repulsion adds to the curvature.
    flow = flow_of(
        "interval", Boltzmann() + Interaction(lambda z: np.exp(-2.0 * (z**2).sum(axis=0))), cells=40
    )
    assert least_curvature(flow, flow.state(lambda x: 1.0 + x[0], 1.0)) == pytest.approx(1.0, abs=1e-3)
