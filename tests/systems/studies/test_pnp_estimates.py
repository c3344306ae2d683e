"""What is reported of a Poisson–Nernst–Planck run, against closed forms."""

import math

import numpy as np
import pytest
import ufl
from pnp_problems import in_space, marked_mesh
from references import DIRECT

from fem_models.core.errors import InputError
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.systems.poisson_nernst_planck import Ion, poisson_nernst_planck
from fem_models.systems.studies.pnp_estimates import (
    Estimates,
    debye_length,
    hoelder_bound,
    total_distance,
    total_distance_bound,
)


def interval(cells=16):
    return marked_mesh("interval", cells=cells)


def begin(flow, densities, start=0.0):
    state = flow.state(densities)
    return Estimates(flow, state, start), state


def two(u=0.0, v=0.0):
    """Two ions in these external potentials."""
    return [Ion("u", 1.0, u), Ion("v", -1.0, v)]


@pytest.mark.parallel
def test_norms_of_waves():
    # Trapezoidal sums of these powers of a cosine are exact.
    flow = poisson_nernst_planck(interval())
    densities = {"u": lambda x: 1.0 + 0.5 * np.cos(np.pi * x[0]), "v": 3.0}
    estimates = Estimates(flow, flow.state(densities), 0.0)
    found = estimates.columns(0.0, flow.state(densities))
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
    found = estimates.columns(0.0, state)
    assert found["debye_length"] == pytest.approx(math.sqrt(0.3 / 3.0), rel=1e-12)
    volume = flow.volume
    assert found["norm_2"] == pytest.approx(3.0 * math.sqrt(volume), rel=1e-12)


@pytest.mark.parallel
def test_bounds_of_unequal_densities():
    flow = poisson_nernst_planck(
        interval(), two(lambda x: 0.15 * x[0] ** 2), electrodes=None, doping=0.0, permittivity=2.0
    )
    estimates = Estimates(flow, flow.state({"u": 1.0, "v": 2.0}), start=1.0)
    growth = math.exp(0.3 * 0.5)
    assert estimates.bound(2.0, 1.5) == pytest.approx(math.sqrt(2.0 * 5.0) * growth, rel=1e-13)
    assert estimates.bound(4.0, 1.5) == pytest.approx(2.0**0.75 * 17.0**0.25 * growth, rel=1e-13)
    assert estimates.bound(math.inf, 1.5) == pytest.approx(4.0 * growth, rel=1e-13)
    found = estimates.columns(1.5, flow.state({"u": 1.0, "v": 2.0}))
    assert found["bound_2"] == estimates.bound(2.0, 1.5)


def test_bounds_of_equal_densities_have_the_constant_one():
    flow = poisson_nernst_planck(interval())
    estimates, state = begin(flow, {"u": 1.5, "v": 1.5})
    found = estimates.columns(7.0, state)
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
    first = estimates.columns(0.0, state)
    for step in range(1, 21):
        state = scheme.step(state, 5e-3).state
        found = estimates.columns(5e-3 * step, state)
    assert estimates.rate == pytest.approx(8.0)
    for p in ("2", "4", "inf"):
        assert 1.05 * first[f"norm_{p}"] < found[f"norm_{p}"] < found[f"bound_{p}"]
    assert estimates.warnings() == []


def test_mass_pressed_onto_the_boundary_breaks_the_bounds():
    # ΔU = 0, but the force -∇U points out of the interval: u tends to e^{4x} 4/(e⁴ - 1).
    flow = poisson_nernst_planck(interval(100), two(lambda x: -4.0 * x[0], lambda x: -4.0 * x[0]))
    estimates, state = begin(flow, {"u": 1.0, "v": 1.0})
    estimates.columns(0.0, state)
    scheme = BackwardEuler(flow, "upwind", DIRECT)
    for step in range(1, 6):
        state = scheme.step(state, 1.0).state
        estimates.columns(float(step), state)
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
    state = flow.state(dict.fromkeys(flow.names, 1.0))
    estimates = Estimates(flow, state, 0.0)
    found = estimates.columns(0.0, state)
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
    found = estimates.columns(0.0, state)
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
    found = estimates.columns(0.0, state)
    assert found["energy_drop"] == found["dissipated"] == 0.0
    scheme = BackwardEuler(flow, "upwind", DIRECT)
    for step in range(1, 25):
        state = scheme.step(state, tau).state
        found = estimates.columns(step * tau, state)
    assert found["energy_drop"] == pytest.approx(0.5 * epsilon**2, rel=1e-5)
    assert found["dissipated"] == pytest.approx(epsilon**2 / (2.0 + k * tau), rel=1e-5)


@pytest.mark.parametrize(("m", "curvature"), [(1.0, 1.0 / 0.5), (2.0, 2.0), (3.0, 3.0 * 0.5)])
def test_debye_length_of_the_mean_densities(m, curvature):
    flow = poisson_nernst_planck(interval(), m=m, permittivity=0.02)
    estimates, state = begin(flow, {"u": lambda x: x[0], "v": lambda x: 1.0 - x[0]})
    found = estimates.columns(0.0, state)["debye_length"]
    assert found == pytest.approx(math.sqrt(0.02 * curvature / 2.0), rel=1e-12)


def test_debye_length_of_valences():
    assert debye_length(0.5, [2.0, -1.0], [0.5, 1.0]) == pytest.approx(math.sqrt(0.5 / 9.0), rel=1e-14)
    assert debye_length(1.0, [0.0], [1.0]) == math.inf


@pytest.mark.parametrize(("tau", "ratio"), [(1e-3, 0.5), (0.5, None)])
def test_total_distance_of_gaussians_in_closed_form(tau, ratio):
    # Minimising movements of ∫ρ log ρ + λ/2|x|²ρ: a' = a/(1 + λτ) and (1 + λτ)σ'² - σσ' - τ = 0 in every
    # dimension d, with W² = |a - a'|² + d(σ - σ')². As τ → 0 the sum tends to half of E⁰ - inf E.
    convexity, d = 4.0, 3
    a, sigma = 1.5, 2.0

    def energy(a, sigma):
        entropy = -0.5 * d * math.log(2.0 * math.pi * math.e * sigma**2)
        return entropy + 0.5 * convexity * (a**2 + d * sigma**2)

    drop = energy(a, sigma) - energy(0.0, 1.0 / math.sqrt(convexity))
    squares = []
    for _ in range(math.ceil(6.0 / tau)):
        mean = a / (1.0 + convexity * tau)
        width = (sigma + math.sqrt(sigma**2 + 4.0 * (1.0 + convexity * tau) * tau)) / (
            2.0 * (1.0 + convexity * tau)
        )
        squares.append((a - mean) ** 2 + d * (sigma - width) ** 2)
        a, sigma = mean, width
    found = total_distance(squares, tau)
    assert found < drop
    assert total_distance(squares, np.full(len(squares), tau)) == pytest.approx(found, rel=1e-12)
    if ratio is not None:
        assert found / drop == pytest.approx(ratio, rel=1e-2)


def test_bad_distances_are_refused():
    with pytest.raises(InputError, match="Squared distances must be 0 or more"):
        total_distance([1.0, -1e-3], 0.1)
    with pytest.raises(InputError, match="steps of a total distance must be positive"):
        total_distance([1.0], 0.0)


def moving_gaussians(steps, convexity=4.0, d=2):
    """Minimising movements of ∫ρ log ρ + λ/2|x|²ρ from a Gaussian: times, means, widths and energies."""
    rows, time = [], 0.0
    a, sigma = 1.5, 2.0
    for tau in [0.0, *steps]:
        time += tau
        stiff = 1.0 + convexity * tau
        a, sigma = a / stiff, (sigma + math.sqrt(sigma**2 + 4.0 * stiff * tau)) / (2.0 * stiff)
        entropy = -0.5 * d * math.log(2.0 * math.pi * math.e * sigma**2)
        rows.append((time, a, sigma, entropy + 0.5 * convexity * (a**2 + d * sigma**2)))
    return np.array(rows).T


def gaussian_squares(a, sigma, first, second, d=2):
    return (a[first] - a[second]) ** 2 + d * (sigma[first] - sigma[second]) ** 2


@pytest.mark.parametrize("steps", [np.full(80, 0.02), np.geomspace(1e-3, 0.3, 40)], ids=["equal", "growing"])
def test_bounds_of_minimising_movements(steps):
    times, a, sigma, energies = moving_gaussians(steps)
    count = len(steps)
    squares = gaussian_squares(a, sigma, np.arange(count), np.arange(1, count + 1))
    # The infimum is that of N(0, 1/λ) in the plane.
    infimum = -math.log(2.0 * math.pi * math.e / 4.0) + 1.0
    bound = total_distance_bound(squares, steps, energies, infimum)
    assert bound.holds
    assert bound.left == total_distance(squares, steps)
    assert bound.right == pytest.approx(energies[0] - infimum, rel=1e-14)
    sharper = total_distance_bound(squares, steps, energies)
    assert sharper.holds
    assert sharper.right == pytest.approx(energies[0] - energies[-1], rel=1e-14)
    # All pairs of states, the first at the end of the time for which it lasts.
    first, second = np.triu_indices(count, k=1)
    pairs = np.stack([np.nextafter(times[first + 1], 0.0), times[second]], axis=1)
    hoelder = hoelder_bound(pairs, gaussian_squares(a, sigma, first, second), steps.max(), bound)
    assert hoelder.holds
    # The estimate is of the right size: some pair has a third of what is allowed.
    assert (hoelder.left / hoelder.right).max() > 1.0 / 3.0


def test_bounds_of_a_translation_in_closed_form():
    # E = ∫b·x ρ moves every density by -τb: E falls by τ|b|² a step and half of it is in the distance. In N
    # steps C² = 2Nτ|b|², and the distance of the ends is Nτ|b|.
    b, tau, count = 3.0, 0.1, 10
    squares = np.full(count, (tau * b) ** 2)
    energies = 5.0 - tau * b**2 * np.arange(count + 1)
    bound = total_distance_bound(squares, tau, energies)
    assert bound.left == pytest.approx(0.5 * count * tau * b**2, rel=1e-12)
    assert bound.right == pytest.approx(count * tau * b**2, rel=1e-12)
    times = [[1.0, 0.0], [0.35, 0.45]]
    hoelder = hoelder_bound(times, [(count * tau * b) ** 2, (tau * b) ** 2], tau, bound)
    np.testing.assert_allclose(hoelder.left, [count * tau * b, tau * b], rtol=1e-14)
    wanted = math.sqrt(2.0 * count * tau) * b * np.sqrt([1.1, 0.2])
    np.testing.assert_allclose(hoelder.right, wanted, rtol=1e-8)
    assert hoelder.holds


def test_bounds_that_fail_say_so():
    # Twice the distance that the energy pays for.
    bound = total_distance_bound([0.4], 0.1, [1.0, 0.0])
    assert bound.left == pytest.approx(2.0)
    assert not bound.holds
    assert not total_distance_bound([0.0], 0.1, [1.0, 1.1]).holds
    # Rounding of the energies is forgiven where nothing moves, and a distance is not.
    still = total_distance_bound([0.0, 0.0], 0.1, [1.0, 1.0, 1.0 + 1e-15])
    assert still.holds
    assert hoelder_bound([[0.0, 0.2]], [0.0], 0.1, still).holds
    assert not hoelder_bound([[0.0, 0.1], [0.0, 0.2]], [0.0, 0.1], 0.1, still).holds


def test_bad_bounds_are_refused():
    bound = total_distance_bound([0.1], 0.1, [1.0, 0.0])
    with pytest.raises(InputError, match="energies of all states, one more than there are steps"):
        total_distance_bound([0.1], 0.1, [1.0])
    with pytest.raises(InputError, match=r"infimum 0\.5 is above the energy 0 of a state"):
        total_distance_bound([0.1], 0.1, [1.0, 0.0], 0.5)
    with pytest.raises(InputError, match="two times for each squared distance"):
        hoelder_bound([0.0, 1.0], [0.1], 0.1, bound)
    with pytest.raises(InputError, match="one for each pair of times"):
        hoelder_bound([[0.0, 1.0]], [-0.1], 0.1, bound)
    with pytest.raises(InputError, match="step of the Hölder bound must be positive, not 0"):
        hoelder_bound([[0.0, 1.0]], [0.1], 0.0, bound)
