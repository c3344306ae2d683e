import math

import numpy as np
import pytest
from references import bump, mesh_of

from fem_models.core.errors import InputError
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.systems.fokker_planck import fokker_planck


def potential(x):
    return 3.0 * x[0] ** 2


def flow_of(**keys):
    return fokker_planck(mesh_of("disk", h=0.3), **keys)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("keys", "terms", "by_hand"),
    [
        ({}, ["boltzmann", "potential"], lambda r: np.log(r) + 1.0),
        ({"diffusion": 0.5}, ["boltzmann", "potential"], lambda r: 0.5 * (np.log(r) + 1.0)),
        ({"m": 2}, ["power-law", "potential"], lambda r: 2.0 * r),
        ({"m": 3.0, "diffusion": 2.0}, ["power-law", "potential"], lambda r: 3.0 * r**2),
        ({"m": 0.5}, ["power-law", "potential"], lambda r: -(r**-0.5)),
        ({"diffusion": 0.0}, ["potential"], lambda r: 0.0 * r),
    ],
)
def test_terms_and_potentials(keys, terms, by_hand):
    flow = flow_of(potential=potential, **keys)
    assert flow.names == ("rho",)
    assert [term.name for term in flow.terms] == terms
    density = flow.state(lambda x: 1.0 + 0.5 * x[0])
    expected = by_hand(density[:, 0]) + 3.0 * flow.points[:, 0] ** 2
    np.testing.assert_allclose(flow.potentials(density)[:, 0], expected, rtol=1e-12, atol=1e-12)


def test_transport_without_diffusion_keeps_mass_and_sign():
    flow = flow_of(diffusion=0.0, potential=potential)
    state = flow.state(bump((0.3, 0.1), 0.2), 1.0)
    after = BackwardEuler(flow).step(state, 0.1).state
    assert flow.masses(after)["rho"] == pytest.approx(1.0, rel=1e-13)
    assert flow.minima(after)["rho"] >= 0.0
    assert flow.energy(after) < flow.energy(state)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"diffusion": -1.0}, "diffusion must be zero or more and finite, not -1.0"),
        ({"diffusion": math.nan}, "diffusion must be zero or more and finite, not nan"),
        ({"m": 0.0}, "exponent m of power-law"),
        ({"m": -2.0}, "exponent m of power-law"),
        ({"m": math.nan}, "exponent m of power-law"),
        ({"diffusion": math.inf}, "diffusion must be zero or more and finite, not inf"),
    ],
)
def test_bad_parameters_are_refused(keys, message):
    with pytest.raises(InputError, match=message):
        flow_of(**keys)
