"""The spectral method against closed forms: its element, potentials, and solutions in time."""

import numpy as np
import pytest

from fem_models.core.errors import SolveError
from fem_models.exact.fokker_planck import drift_diffusion
from fem_models.exact.spectral import LegendreElement, SpectralFields, evolve

X = np.linspace(0.0, 1.0, 41)


def test_the_element_integrates_and_differentiates_polynomials():
    line, rng = LegendreElement(9), np.random.default_rng(1)
    assert line.x[[0, -1]].tolist() == [0.0, 1.0] and np.all(np.diff(line.x) > 0.0)
    p = np.polynomial.Polynomial(rng.uniform(-1.0, 1.0, 10))
    np.testing.assert_allclose(line.D @ p(line.x), p.deriv()(line.x), atol=1e-11)
    q = np.polynomial.Polynomial(rng.uniform(-1.0, 1.0, 18))  # of degree 2N - 1
    assert line.weights @ q(line.x) == pytest.approx(q.integ()(1.0), rel=1e-12)


def test_the_divergence_keeps_mass_and_is_the_derivative_of_a_flux_without_ends():
    line = LegendreElement(24)
    found = line.divergence(np.sin(np.pi * line.x))
    np.testing.assert_allclose(found, np.pi * np.cos(np.pi * line.x), atol=1e-9)
    assert line.weights @ line.divergence(np.exp(line.x)) == pytest.approx(0.0, abs=1e-12)


def test_potentials_with_and_without_electrodes():
    line = LegendreElement(24)
    # -0.2 ψ'' = cos πx: ψ = cos(πx)/(0.2 π²), which has no slope at the ends and the mean zero over them.
    charge = np.cos(np.pi * line.x)
    exact = charge / (0.2 * np.pi**2)
    np.testing.assert_allclose(line.potential(charge, 0.2), exact, atol=1e-11)
    # With given ends a straight line comes to it.
    ends = (1.0, -0.5)
    straight = exact + (ends[0] - exact[0]) + (ends[1] - ends[0] - exact[-1] + exact[0]) * line.x
    np.testing.assert_allclose(line.potential(charge, 0.2, ends), straight, atol=1e-11)


def test_fields_are_the_functions_of_their_nodal_values():
    line = LegendreElement(30)
    fields = SpectralFields(line, [np.exp(line.x), np.cos(3.0 * line.x)])
    np.testing.assert_allclose(fields(X), np.column_stack([np.exp(X), np.cos(3.0 * X)]), atol=1e-12)
    assert len(fields.series) == 2


def test_evolutions_are_those_of_a_closed_form():
    # ∂tu = ∂x(∂xu - u), and ∂tv = ∂xxv - v from cos 2πx, which decays alone.
    line = LegendreElement()

    def rate(u):
        return [line.divergence(line.D @ u[0] - u[0]), line.divergence(line.D @ u[1]) - u[1]]

    start = (lambda x: drift_diffusion([x], 0.02), lambda x: np.cos(2.0 * np.pi * x))
    found = evolve(line, start, rate, 0.05)(X)
    np.testing.assert_allclose(found[:, 0], drift_diffusion([X], 0.07), rtol=1e-8)
    decayed = np.exp(-0.05 * (4.0 * np.pi**2 + 1.0)) * np.cos(2.0 * np.pi * X)
    np.testing.assert_allclose(found[:, 1], decayed, atol=1e-9)


def test_a_rate_that_is_not_finite_is_one_sentence():
    line = LegendreElement(2)
    with pytest.raises(SolveError, match="rate of the fields is not finite at the time 0"):
        evolve(line, [lambda x: x], lambda u: u * np.nan, 1.0)
