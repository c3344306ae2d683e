import math

import numpy as np
import pytest
from references import DIRECT, mesh_of, total

from fem_models.core.errors import InputError
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.systems.excluded_volume import excluded_volume


@pytest.mark.parallel
def test_terms_and_potentials():
    flow = excluded_volume(mesh_of("disk", h=0.3), lambda x: x[0], 0.7)
    assert flow.names == ("rho",)
    assert [term.name for term in flow.terms] == ["boltzmann", "excluded-volume", "potential"]
    rho = flow.state(lambda x: 1.0 + 0.5 * x[1])
    expected = 1.0 + np.log(rho[:, 0]) + 0.7 * rho[:, 0] + flow.points[:, 0]
    np.testing.assert_allclose(flow.potentials(rho)[:, 0], expected, rtol=1e-12, atol=1e-12)
    terms = flow.energy_terms(rho)
    assert terms["excluded-volume"] == pytest.approx(
        0.35 * total(flow, flow.geometry.volumes * rho[:, 0] ** 2)
    )


@pytest.mark.parametrize("coefficient", [0.0, 0.5])
def test_small_waves_decay_with_the_rate_of_the_linearised_equation(coefficient):
    # ρ = 1 + a cos πx on the unit interval: a' = -π²(1 + c) a, up to h² and a².
    flow = excluded_volume(mesh_of("interval", cells=64), coefficient=coefficient)
    state, end, steps = flow.state(lambda x: 1.0 + 1e-3 * np.cos(np.pi * x[0])), 0.1, 100
    scheme = Bdf2(flow, settings=DIRECT)
    wave = np.cos(np.pi * flow.points[:, 0]) * flow.geometry.volumes
    before = total(flow, state[:, 0] * wave)
    for _ in range(steps):
        state = scheme.step(state, end / steps).state
    rate = -math.log(total(flow, state[:, 0] * wave) / before) / end
    assert rate == pytest.approx(np.pi**2 * (1.0 + coefficient), rel=2e-3)


@pytest.mark.parallel
def test_repulsion_spreads_a_density_faster():
    second_moments = []
    for coefficient in (0.0, 1.0):
        flow = excluded_volume(mesh_of("disk", h=0.15), coefficient=coefficient)
        state = flow.state(lambda x: np.exp(-20.0 * (x**2).sum(axis=0)), 1.0)
        after = BackwardEuler(flow, settings=DIRECT).step(state, 1e-2).state
        second_moments.append(flow.second_moments(after)["rho"])
    assert second_moments[1] > 1.1 * second_moments[0]


def test_bad_coefficients_are_refused():
    with pytest.raises(InputError, match="coefficient of excluded-volume must be a finite number"):
        excluded_volume(mesh_of("interval", cells=8), coefficient=math.nan)
