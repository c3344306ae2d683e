"""Mass, sign, energy and vacuum, for steps of any size."""

from pathlib import Path

import numpy as np
import pytest
import ufl
from references import COMM, DIRECT, bump, mesh_of, quadratic_potential

from fem_models.energies import Boltzmann, Density, PowerLaw
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes import domains as meshes
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2

GEO = Path(__file__).parents[2] / "meshes"
STEPS = (1e-4, 1e-2, 1.0, 10.0)

# Mesh, parameters, centre of the initial density.
MESHES = {
    "disk": ("disk.geo", {"h": 0.12}, (0.2, 0.1)),
    "dumbbell": ("dumbbell.geo", {"h": 0.2}, (-1.5, 0.0)),
    "square with holes": ("square_with_holes.geo", {"h": 0.05}, (0.5, 0.5)),
    "ball": ("ball.geo", {"h": 0.17}, (-0.7, 0.1, 0.0)),
    "ball with negative edges": ("ball.geo", {"h": 0.2, "parameters": {"optimize": 1}}, (-0.7, 0.1, 0.0)),
}
ENERGIES = {
    "square": lambda: PowerLaw(2),
    "cube": lambda: PowerLaw(3),
    "square with potential": lambda: PowerLaw(2) + quadratic_potential(4.0),
    "entropy with potential": lambda: Boltzmann() + quadratic_potential(4.0),
}
_MESHES = {}

# Large steps take their time on several ranks: there, one size is enough.
each_step = pytest.mark.parametrize(
    "tau", [pytest.param(tau, marks=[pytest.mark.parallel] * (tau == 1e-2)) for tau in STEPS]
)


def flow_on(mesh, energy):
    if mesh not in _MESHES:
        file, keys, _ = MESHES[mesh]
        _MESHES[mesh] = meshes.from_file(COMM, GEO / file, **keys).mesh
    return GradientFlow(_MESHES[mesh], Species(), ENERGIES[energy]())


def history(flow, state, scheme, tau, steps):
    """States after each step, the first included."""
    states = [state]
    for _ in range(steps):
        states.append(scheme.step(states[-1], tau).state)
    return states


def check_mass_and_sign(flow, states):
    before = np.array(list(flow.masses(states[0]).values()))[flow.transported]
    for state in states:
        now = np.array(list(flow.masses(state).values()))[flow.transported]
        np.testing.assert_allclose(now, before, rtol=1e-12)
        assert state[:, flow.transported].min(initial=0.0) >= 0.0


def check_energy(flow, states):
    energies = np.array([flow.energy(state) for state in states])
    # Round-off, and what Newton's tolerance leaves where nothing moves any more.
    assert np.all(np.diff(energies) <= 1e-11 * np.abs(energies).max())
    assert energies[-1] < energies[0]


@pytest.mark.parallel
def test_negative_shares_of_the_meshes():
    shares = {name: flow_on(name, "square").geometry.negative_share for name in MESHES}
    assert 0.0 < shares.pop("ball with negative edges") < 0.1
    assert set(shares.values()) == {0.0}


@pytest.mark.parametrize("flux", ["upwind", "average"])
@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("mesh", MESHES)
def test_mass_sign_and_energy_for_steps_of_any_size(mesh, energy, flux):
    flow = flow_on(mesh, energy)
    scheme = BackwardEuler(flow, flux, DIRECT)
    state = flow.state(bump(MESHES[mesh][2]), 1.0)
    for tau in STEPS:
        states = history(flow, state, scheme, tau, 3)
        check_mass_and_sign(flow, states)
        check_energy(flow, states)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("mesh", "energy", "flux"),
    [
        ("disk", "entropy with potential", "upwind"),
        ("disk", "square with potential", "average"),
        ("ball with negative edges", "square", "upwind"),
    ],
)
def test_mass_sign_and_energy_on_several_ranks(mesh, energy, flux):
    flow = flow_on(mesh, energy)
    state = flow.state(bump(MESHES[mesh][2]), 1.0)
    for tau in (1e-2, 10.0):
        states = history(flow, state, BackwardEuler(flow, flux, DIRECT), tau, 2)
        check_mass_and_sign(flow, states)
        check_energy(flow, states)


@pytest.mark.parametrize("flux", ["upwind", "average"])
@pytest.mark.parametrize("energy", ["square", "cube", "square with potential"])
@pytest.mark.parametrize("mesh", MESHES)
def test_vacuum_stays_zero_away_from_the_front(mesh, energy, flux):
    flow = flow_on(mesh, energy)
    center = MESHES[mesh][2]
    state = flow.state(bump(center, 0.04), 1.0)
    step = BackwardEuler(flow, flux, DIRECT).step(state, 1e-7)
    after, distance = step.state[:, 0], np.linalg.norm(flow.points - center, axis=1)
    assert step.newton in (1, 2, 3)
    # Mass passes a layer of cells in an iteration of Newton's method where diffusion drives it. Down the
    # potential it reaches all nodes at once, as in every implicit scheme, with densities that do not count.
    far = distance > 0.2 + step.newton * flow.geometry.h_max
    downhill = (
        far & ("potential" in energy) & (np.linalg.norm(flow.points, axis=1) < np.linalg.norm(center) + 0.2)
    )
    exact = far & ~downhill
    assert COMM.allreduce(int(exact[: flow.owned].sum())) > 10
    assert np.all(after[exact] == 0.0)
    assert np.all(after[downhill] < 1e-8 * flow.scale(state))
    assert COMM.allreduce(float(np.abs(after - state[:, 0]).sum())) > 0.0


@pytest.mark.parametrize("mesh", ["disk", "ball with negative edges"])
@pytest.mark.parametrize("energy", ["square with potential", "entropy with potential"])
def test_bdf2_keeps_mass_and_sign(energy, mesh):
    flow = flow_on(mesh, energy)
    state = flow.state(bump(MESHES[mesh][2]), 1.0)
    for tau in STEPS:
        check_mass_and_sign(flow, history(flow, state, Bdf2(flow, "upwind", DIRECT), tau, 4))


@pytest.mark.parametrize("flux", ["upwind", "average"])
@each_step
def test_two_coupled_species_keep_the_promises(tau, flux):
    # The Hessian of the coupling term is bounded by .3 in each direction, those of the squares are 2: convex.
    energy = PowerLaw(2, of="u", name="a") + PowerLaw(2, of="v", name="b")
    energy = (
        energy + quadratic_potential(4.0, of="u") + Density(lambda f, x: 0.3 * f["u"] * f["v"], of=("u", "v"))
    )
    flow = GradientFlow(mesh_of("disk", h=0.15), (Species("u"), Species("v")), energy)
    state = flow.state({"u": bump((0.4, 0.0)), "v": bump((-0.3, 0.1))}, {"u": 1.0, "v": 20.0})
    states = history(flow, state, BackwardEuler(flow, flux, DIRECT), tau, 4)
    check_mass_and_sign(flow, states)
    check_energy(flow, states)


@each_step
def test_a_signal_in_the_l2_metric_lowers_the_energy_with_the_density(tau):
    # E = ∫ρ² + c²/2 + cρ/2, convex in both; c may have either sign.
    coupled = Density(
        lambda f, x: 0.5 * f["c"] ** 2 + 0.5 * f["c"] * f["rho"] - f["c"] * ufl.sin(x[0]), of=("rho", "c")
    )
    flow = GradientFlow(mesh_of("disk", h=0.15), (Species("rho"), Species("c", "l2")), PowerLaw(2) + coupled)
    state = flow.state({"rho": bump((0.3, 0.0)), "c": lambda x: np.sin(3.0 * x[1])}, {"rho": 1.0})
    states = history(flow, state, BackwardEuler(flow, "upwind", DIRECT), tau, 4)
    check_mass_and_sign(flow, states)
    check_energy(flow, states)
    assert flow.minima(states[1])["c"] < 0.0
