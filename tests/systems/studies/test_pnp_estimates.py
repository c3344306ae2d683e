"""What is reported of a Poisson–Nernst–Planck run, against closed forms."""

import math

import numpy as np
import pytest
import ufl
from pnp_problems import in_space, marked_mesh
from references import DIRECT

from fem_models.energies import Boltzmann, Electrostatic
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.systems.poisson_nernst_planck import Ion, poisson_nernst_planck
from fem_models.systems.studies.pnp_estimates import Estimates, debye_length


def interval(cells=16):
    return marked_mesh("interval", cells=cells)


def begin(flow, densities, start=0.0):
    state = flow.state(densities)
    return Estimates(flow, state, start), state


def without_field(flow, densities):
    """A state with psi = 0, whose charges need not balance."""
    state = np.zeros((flow.nodes, len(flow.names)))
    for name, value in densities.items():
        state[:, flow.names.index(name)] = value(flow.points.T) if callable(value) else value
    return state


def two(u=0.0, v=0.0):
    """Two ions in these external potentials."""
    return [Ion("u", 1.0, u), Ion("v", -1.0, v)]


@pytest.mark.parallel
def test_norms_of_waves():
    # Trapezoidal sums of these powers of a cosine are exact.
    flow = poisson_nernst_planck(interval())
    densities = {"u": lambda x: 1.0 + 0.5 * np.cos(np.pi * x[0]), "v": 3.0}
    estimates = Estimates(flow, without_field(flow, densities), 0.0)
    found = estimates.look({"time": 0.0}, without_field(flow, densities), None)
    fourth = 1.0 + 6.0 * 0.25 / 2.0 + 3.0 / 8.0 / 16.0
    assert found["norm_2"] == pytest.approx(math.sqrt(1.125) + 3.0, rel=1e-13)
    assert found["norm_4"] == pytest.approx(fourth**0.25 + 3.0, rel=1e-13)
    assert found["norm_inf"] == pytest.approx(1.5 + 3.0, rel=1e-13)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("potentials", "rate"),
    [
        ((0.0, 2.0), 0.0),
        ((lambda x: 0.75 * ufl.dot(x, x), lambda x: x[0]), 3.0),
        ((lambda x: 0.25 * x[1] ** 2, lambda x: ufl.cos(3.0 * x[0])), 9.0),
    ],
)
def test_rate_is_the_largest_laplacian(potentials, rate):
    flow = poisson_nernst_planck(marked_mesh("rectangle", cells=(4, 4)), two(*potentials))
    estimates, _ = begin(flow, {"u": 1.0, "v": 1.0})
    assert estimates.rate == pytest.approx(rate, abs=1e-12)


@pytest.mark.parallel
def test_only_the_ball_counts_in_space():
    # 12 x² is at most 12 in the ball of radius 1, and 27 in its shell.
    flow = in_space(0.4, ions=two(lambda x: x[0] ** 4), permittivity=0.3)
    estimates, state = begin(flow, {"u": 1.0, "v": 2.0})
    assert estimates.rate == pytest.approx(12.0, rel=1e-10)
    assert estimates.bounded
    found = estimates.look({"time": 0.0}, state, None)
    assert found["debye_length"] == pytest.approx(math.sqrt(0.3 / 3.0), rel=1e-12)
    volume = flow.volume
    assert found["norm_2"] == pytest.approx(3.0 * math.sqrt(volume), rel=1e-12)


@pytest.mark.parallel
def test_bounds_of_unequal_densities():
    flow = poisson_nernst_planck(
        interval(), two(lambda x: 0.15 * x[0] ** 2), electrodes=None, doping=0.0, permittivity=2.0
    )
    estimates = Estimates(flow, without_field(flow, {"u": 1.0, "v": 2.0}), start=1.0)
    growth = math.exp(0.3 * 0.5)
    assert estimates.bound(2.0, 1.5) == pytest.approx(math.sqrt(2.0 * 5.0) * growth, rel=1e-13)
    assert estimates.bound(4.0, 1.5) == pytest.approx(2.0**0.75 * 17.0**0.25 * growth, rel=1e-13)
    assert estimates.bound(math.inf, 1.5) == pytest.approx(4.0 * growth, rel=1e-13)
    found = estimates.look({"time": 1.5}, without_field(flow, {"u": 1.0, "v": 2.0}), None)
    assert found["bound_2"] == estimates.bound(2.0, 1.5)


def test_bounds_of_equal_densities_have_the_constant_one():
    flow = poisson_nernst_planck(interval())
    estimates, state = begin(flow, {"u": 1.5, "v": 1.5})
    found = estimates.look({"time": 7.0}, state, None)
    for p in ("2", "4", "inf"):
        assert found[f"norm_{p}"] == pytest.approx(3.0, rel=1e-13)
        assert found[f"bound_{p}"] == pytest.approx(3.0, rel=1e-13)
    assert estimates.warnings() == []


@pytest.mark.parametrize("m", [1.0, 2.0])
def test_densities_that_are_pressed_together_stay_below_their_bounds(m):
    mesh = marked_mesh("interval", lower=-1.0, upper=1.0, cells=40)
    confine = two(lambda x: 4.0 * x[0] ** 2, lambda x: 2.0 * x[0] ** 2)
    flow = poisson_nernst_planck(mesh, confine, m)
    estimates, state = begin(flow, {"u": 1.0, "v": 1.0})
    scheme = BackwardEuler(flow, "upwind", DIRECT)
    first = estimates.look({"time": 0.0}, state, None)
    for step in range(1, 21):
        state = scheme.step(state, 5e-3).state
        found = estimates.look({"time": 5e-3 * step}, state, None)
    assert estimates.rate == pytest.approx(8.0)
    for p in ("2", "4", "inf"):
        assert 1.05 * first[f"norm_{p}"] < found[f"norm_{p}"] < found[f"bound_{p}"]
    assert estimates.warnings() == []


def test_mass_pressed_onto_the_boundary_breaks_the_bounds():
    # ΔU = 0, but the force -∇U points out of the interval: u tends to e^{4x} 4/(e⁴ - 1).
    flow = poisson_nernst_planck(interval(100), two(lambda x: -4.0 * x[0], lambda x: -4.0 * x[0]))
    estimates, state = begin(flow, {"u": 1.0, "v": 1.0})
    estimates.look({"time": 0.0}, state, None)
    scheme = BackwardEuler(flow, "upwind", DIRECT)
    for step in range(1, 6):
        state = scheme.step(state, 1.0).state
        estimates.look({"time": float(step)}, state, None)
    warnings = estimates.warnings()
    assert len(warnings) == 3
    excess = 4.0 * math.exp(4.0) / (math.exp(4.0) - 1.0) - 1.0
    assert warnings[2].startswith(f"The norm of L^inf was {excess:.2g} (relative) above the bound of (2.12)")


@pytest.mark.parallel
@pytest.mark.parametrize(
    "keys",
    [
        {"doping": lambda x: x[0] - 0.5},
        {"permittivity": lambda x: ufl.conditional(ufl.lt(x[0], 0.5), 1.0, 2.0)},
        {"ions": [Ion("u", 2.0), Ion("v", -1.0)]},
        {"ions": [Ion("u", 1.0), Ion("v", -1.0), Ion("w", -1.0)]},
        {"electrodes": {"left": 0.0}},
    ],
    ids=["doping", "permittivity", "valences", "three ions", "electrode"],
)
def test_there_is_no_bound_where_its_proof_fails(keys):
    flow = poisson_nernst_planck(interval(), **keys)
    state = without_field(flow, dict.fromkeys(flow.names, 1.0))
    estimates = Estimates(flow, state, 0.0)
    found = estimates.look({"time": 0.0}, state, None)
    assert {"norm_2", "field_energy", "debye_length"} <= found.keys()
    assert not any(name.startswith("bound") for name in found)
    assert estimates.warnings() == []


@pytest.mark.parallel
def test_field_energy_of_a_capacitor():
    # Two layers in series: ½ V²/(½/a + ½/b), and the mean permittivity for the screening.
    flow = poisson_nernst_planck(
        interval(),
        permittivity=lambda x: ufl.conditional(ufl.lt(x[0], 0.5), 0.2, 0.6),
        electrodes={"left": 3.0, "right": 0.0},
    )
    estimates, state = begin(flow, {"u": 2.0, "v": 2.0})
    found = estimates.look({"time": 0.0}, state, None)
    assert found["field_energy"] == pytest.approx(0.5 * 9.0 / (0.5 / 0.2 + 0.5 / 0.6), rel=1e-9)
    assert found["debye_length"] == pytest.approx(math.sqrt(0.4 / 4.0), rel=1e-12)


@pytest.mark.parallel
def test_dissipation_of_a_small_wave():
    # u = v = 1 + ε cos πx is neutral and decays by 1 + k τ in a step, k the eigenvalue of the grid: with
    # D = k ε² the drop is ε²/2 in the end, and Σ τ D = ε²/(2 + k τ).
    epsilon, tau, cells = 1e-3, 0.05, 16
    k = (2.0 * cells * math.sin(0.5 * math.pi / cells)) ** 2
    flow = poisson_nernst_planck(interval(cells))
    wave = {name: lambda x: 1.0 + epsilon * np.cos(np.pi * x[0]) for name in "uv"}
    estimates, state = begin(flow, wave)
    found = estimates.look({"time": 0.0}, state, None)
    assert found["energy_drop"] == found["dissipated"] == 0.0
    scheme = BackwardEuler(flow, "upwind", DIRECT)
    for step in range(1, 25):
        state = scheme.step(state, tau).state
        found = estimates.look({"time": step * tau}, state, None)
    assert found["energy_drop"] == pytest.approx(0.5 * epsilon**2, rel=1e-5)
    assert found["dissipated"] == pytest.approx(epsilon**2 / (2.0 + k * tau), rel=1e-5)


@pytest.mark.parametrize(("m", "curvature"), [(1.0, 1.0 / 0.5), (2.0, 2.0), (3.0, 3.0 * 0.5)])
def test_debye_length_of_the_mean_densities(m, curvature):
    flow = poisson_nernst_planck(interval(), m=m, permittivity=0.02)
    estimates, state = begin(flow, {"u": lambda x: x[0], "v": lambda x: 1.0 - x[0]})
    found = estimates.look({"time": 0.0}, state, None)["debye_length"]
    assert found == pytest.approx(math.sqrt(0.02 * curvature / 2.0), rel=1e-12)


def test_debye_length_of_a_multiple_of_the_electric_energy():
    # Of c times the energy, the same ψ pushes ions c times as hard: (a / (c Σ z² ρ))^½.
    energy = Boltzmann("u") + Boltzmann("v", name="other")
    energy += 2.0 * Electrostatic({"u": 1, "v": -1}, permittivity=0.3)
    species = [Species("u"), Species("v"), Species("psi", "static")]
    estimates, state = begin(GradientFlow(interval(), species, energy), {"u": 1.5, "v": 1.5})
    found = estimates.look({"time": 0.0}, state, None)["debye_length"]
    assert found == pytest.approx(math.sqrt(0.3 / (2.0 * 3.0)), rel=1e-12)


def test_debye_length_of_valences():
    assert debye_length(0.5, [2.0, -1.0], [0.5, 1.0]) == pytest.approx(math.sqrt(0.5 / 9.0), rel=1e-14)
    assert debye_length(1.0, [0.0], [1.0]) == math.inf
