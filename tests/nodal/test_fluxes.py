import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import exprel

from fem_models.nodal.fluxes import FLUXES, bernoulli, dissipation, edge_flux

UPWIND, AVERAGE = FLUXES["upwind"], FLUXES["average"]
KAPPA = 1.0

densities = st.one_of(st.just(0.0), st.floats(1e-12, 1e6))
positive = st.floats(1e-3, 1e3)
drops = st.floats(-100.0, 100.0)
fluxes = st.sampled_from([UPWIND, AVERAGE])
thetas = st.sampled_from([0.0, 1e-3, 1.0, 50.0])


def potential_drop(theta, a, b, d):
    """μ_i - μ_j = θ log(a/b) + d."""
    return d if theta == 0.0 else theta * math.log(a / b) + d


def size(theta, a, b, d):
    """An upper bound for the terms that cancel in a flux."""
    return (a + b) * (theta + abs(d)) + 1e-300


# Bernoulli's function


@given(st.floats(-1e3, 690.0))
def test_bernoulli_is_one_over_exprel(z):
    assert bernoulli(z)[0] == pytest.approx(1.0 / exprel(z), rel=2e-15, abs=1e-300)


@given(st.one_of(st.floats(-1.0, 1.0), st.floats(-600.0, 600.0)))
def test_bernoulli_derivative_has_the_digits_of_a_decimal_evaluation(z):
    getcontext().prec = 80
    if abs(z) < 1e-20:
        assert bernoulli(z)[1] == -0.5
        return
    exact = Decimal(z)
    e = exact.exp()
    derivative = float((e - 1 - exact * e) / (e - 1) ** 2)
    # Near zero the derivative is 1 - B(z)(…) over a small number: some digits cancel just above the series.
    assert bernoulli(z)[1] == pytest.approx(derivative, rel=1e-12, abs=1e-300 if abs(z) > 1 else 1e-12)


@given(st.floats(-1e8, 1e8))
def test_bernoulli_is_finite_positive_and_steps_by_its_argument(z):
    value, slope = bernoulli(z)
    mirrored = bernoulli(-z)[0]
    assert value >= 0.0
    assert -1.0 <= slope <= 0.0
    assert mirrored - value == pytest.approx(z, rel=1e-14, abs=2e-15)


def test_bernoulli_at_zero():
    assert bernoulli(0.0) == (1.0, -0.5)


# One edge


@given(fluxes, thetas, densities, densities, drops)
def test_flux_goes_down_the_potential(flux, theta, a, b, d):
    value = edge_flux(flux, theta, KAPPA, a, b, d)[0]
    assert math.isfinite(value)
    # The potential of an empty node is -∞ where there is an entropy.
    empty = theta > 0.0 and min(a, b) == 0.0
    direction = float(a > 0.0) - float(b > 0.0) if empty else potential_drop(theta, a, b, d)
    assert value * np.sign(direction) >= -1e-14 * size(theta, a, b, d)


@given(st.sampled_from([-1.0, 1.0]), fluxes, thetas, st.floats(0.0, 1e6), drops)
def test_nothing_flows_out_of_vacuum(kappa, flux, theta, b, d):
    # On an edge with κ < 0, κ F has the other sign, but nothing may flow at all.
    value = edge_flux(flux, theta, kappa, 0.0, b, d)[0]
    if kappa > 0.0:
        assert value <= 0.0
    else:
        assert value == 0.0


@given(st.sampled_from([-1.0, 1.0]), fluxes, thetas, densities, densities, drops)
def test_flux_changes_its_sign_with_the_direction_of_the_edge(kappa, flux, theta, a, b, d):
    forth = edge_flux(flux, theta, kappa, a, b, d)[0]
    back = edge_flux(flux, theta, kappa, b, a, -d)[0]
    assert forth == pytest.approx(-back, rel=1e-13, abs=1e-14 * size(theta, a, b, d))


@given(
    st.sampled_from([-1.0, 1.0]),
    fluxes,
    st.sampled_from([0.0, 0.1, 1.0, 50.0]),
    positive,
    positive,
    st.floats(-20.0, 20.0),
)
def test_derivatives_agree_with_central_differences(kappa, flux, theta, a, b, d):
    step = 1e-6
    # Not across the kinks, at d = 0 (θ = 0) and a = b.
    if abs(d) < 1e-3 or abs(a - b) < 1e-3 * max(a, b):
        return
    point = np.array([a, b, d])
    found = edge_flux(flux, theta, kappa, *point)[1:]
    for k in range(3):
        shift = np.zeros(3)
        shift[k] = step * abs(point[k])
        up, down = (edge_flux(flux, theta, kappa, *(point + s * shift))[0] for s in (1, -1))
        expected = (up - down) / (2.0 * shift[k])
        # Round-off of the difference, and its third-order term.
        allowed = 1e-9 * size(theta, a, b, d) / abs(point[k])
        assert found[k] == pytest.approx(expected, rel=1e-6, abs=allowed)


@given(st.sampled_from([1e-2, 1.0, 50.0]), positive, st.floats(-600.0, 600.0))
def test_entropic_flux_vanishes_in_equilibrium(theta, a, d_over_theta):
    # ρ = exp(-ψ/θ) up to a factor: b = a exp((ψ_i - ψ_j)/θ).
    b = a * math.exp(d_over_theta)
    d = theta * d_over_theta
    value = edge_flux(UPWIND, theta, KAPPA, a, b, d)[0]
    terms = theta * bernoulli(-d_over_theta)[0] * a
    assert abs(value) <= 1e-13 * (1.0 + abs(d_over_theta)) * terms


@given(positive, positive, st.floats(1.0, 1e3), st.sampled_from([1.0, -1.0]))
def test_entropic_flux_tends_to_the_upwind_flux(a, b, d, sign):
    # B(-d/θ) = d/θ + exponentially small terms, which vanish in double precision for d/θ = 1000.
    with_little, without = (edge_flux(UPWIND, theta, KAPPA, a, b, sign * d)[0] for theta in (1e-3 * d, 0.0))
    assert with_little == pytest.approx(without, rel=1e-13)


@pytest.mark.parametrize(
    ("flux", "theta", "kappa", "a", "b", "d", "expected"),
    [
        (UPWIND, 0.0, 1.0, 3.0, 1.0, 2.0, 6.0),
        (UPWIND, 0.0, 1.0, 3.0, 1.0, -2.0, -2.0),
        (AVERAGE, 0.0, 1.0, 3.0, 1.0, 2.0, 4.0),
        (AVERAGE, 0.0, 1.0, 3.0, 1.0, -2.0, -3.0),  # harmonic mean 2·3/4
        (AVERAGE, 0.0, 1.0, 1.0, 3.0, 2.0, 3.0),
        (UPWIND, 0.5, 1.0, 3.0, 1.0, 0.0, 1.0),  # θ (a - b)
        (
            AVERAGE,
            1.0,
            1.0,
            3.0,
            1.0,
            math.log(2.0),
            5.0 * math.log(2.0),
        ),  # B(-log 2) = 2 log 2, B(log 2) = log 2
        (UPWIND, 0.0, -1.0, 3.0, 1.0, 2.0, 2.0),
        (AVERAGE, 0.0, -1.0, 1.0, 3.0, 2.0, 2.0),
        (UPWIND, 2.0, -1.0, 3.0, 1.0, 2.0, 2.0 + 2.0 * math.log(3.0)),
    ],
)
def test_flux_values_by_hand(flux, theta, kappa, a, b, d, expected):
    assert edge_flux(flux, theta, kappa, a, b, d)[0] == pytest.approx(expected, rel=1e-14)


@given(positive, positive, drops)
def test_average_differs_from_the_mean_by_the_square_of_the_difference(a, b, d):
    value = edge_flux(AVERAGE, 0.0, KAPPA, a, b, d)[0]
    assert abs(value - 0.5 * (a + b) * d) <= (a - b) ** 2 / (a + b) * abs(d) * (1.0 + 1e-12)


# Dissipation


def edge_dissipation(theta, a, b, d):
    rho, psi = np.array([[a], [b]]), np.array([[d], [0.0]])
    pairs, kappa = np.array([[0, 1]], dtype=np.int32), np.array([1.0])
    return dissipation(np.array([theta]), np.array([True]), pairs, kappa, rho, psi)


@given(thetas, positive, positive, drops)
def test_dissipation_is_flux_times_potential_drop(theta, a, b, d):
    drop = potential_drop(theta, a, b, d)
    expected = edge_flux(UPWIND, theta, KAPPA, a, b, d)[0] * drop
    allowed = 1e-13 * size(theta, a, b, d) * (theta * 10 + abs(d))
    assert edge_dissipation(theta, a, b, d) == pytest.approx(expected, rel=1e-12, abs=allowed)
    assert edge_dissipation(theta, a, b, d) >= -allowed


@given(st.sampled_from([1e-3, 1.0, 50.0]), densities, drops)
def test_dissipation_is_finite_in_vacuum(theta, b, d):
    value = edge_dissipation(theta, 0.0, b, d)
    assert math.isfinite(value)
    assert value >= 0.0
    assert (value > 0.0) == (edge_flux(UPWIND, theta, KAPPA, 0.0, b, d)[0] != 0.0)
