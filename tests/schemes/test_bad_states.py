"""States from which no step can be taken are refused by every scheme, on all ranks together."""

import numpy as np
import pytest
from references import COMM, mesh_of

from fem_models.core.errors import InputError
from fem_models.energies import Boltzmann, PowerLaw
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.flow.log_density import LogDensityFlow
from fem_models.jko.jko_bdf2 import JkoBdf2
from fem_models.jko.jko_step import Jko
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.schemes.log_density_euler import LogDensity


def flow():
    mesh = mesh_of("rectangle", cells=(4, 4))
    return GradientFlow(mesh, [Species("u"), Species("v")], Boltzmann("u") + PowerLaw(2, "v"))


def log_density():
    mesh = mesh_of("rectangle", cells=(4, 4))
    energy = Boltzmann("u") + Boltzmann("v", name="other")
    return LogDensityFlow(GradientFlow(mesh, [Species("u"), Species("v")], energy), 2)


SCHEMES = {
    "backward-euler": (flow, BackwardEuler),
    "bdf2": (flow, Bdf2),
    "jko": (flow, Jko),
    "jko-bdf2": (flow, JkoBdf2),
    "log-density": (log_density, LogDensity),
}


def with_nan(state):
    state = state.copy()
    # On one rank only.
    if COMM.rank == COMM.size - 1:
        state[0, 0] = np.nan
    return state


@pytest.mark.parallel
@pytest.mark.parametrize("name", SCHEMES)
def test_bad_states_are_refused_and_good_ones_still_taken(name):
    build, scheme = SCHEMES[name]
    model = build()
    taken = scheme(model)
    state = model.state({"u": lambda x: 1.0 + 0.1 * x[0], "v": 1.0})
    good = taken.step(state, 1e-3)
    for bad, message in (
        (
            state[:, 0],
            r"The state before the step must be an array of shape \(\d+, 2\), .* of shape \(\d+,\)",
        ),
        (state[:-1], "The state before the step must be an array of shape"),
        (good, r"not a \w*Step: take its `state`"),
        (with_nan(state), "The state before the step is not finite everywhere"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            taken.step(bad, 1e-3)
        assert len(set(COMM.allgather(str(caught.value)))) == 1
    for tau in (0.0, -1.0, np.nan, np.inf, "1"):
        with pytest.raises(InputError, match="The time step must be a positive finite number"):
            taken.step(state, tau)
    assert np.isfinite(taken.step(good.state, 1e-3).state).all()
