"""Potentials of charges and decay rates against their equations, limits and known values."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from fem_models.core.errors import InputError
from fem_models.exact.coulomb import gaussian_interaction, gaussian_potential
from fem_models.exact.poisson_boltzmann import poisson_boltzmann
from fem_models.exact.profiles import Gaussian
from fem_models.exact.rates import slowest_rate, steady_density

CENTER, WIDTH = (0.2, -0.1, 0.3), 0.4


def test_gaussian_potentials_obey_poissons_equation():
    point, d = np.array(CENTER)[:, None] + np.array([[0.3], [0.1], [-0.2]]), 1e-3
    around = [point + sign * d * e[:, None] for e in np.eye(3) for sign in (1, -1)]
    psi, others = (
        gaussian_potential(point, CENTER, WIDTH, 2.0),
        gaussian_potential(np.hstack(around), CENTER, WIDTH, 2.0),
    )
    assert (6.0 * psi - others.sum()) / d**2 == pytest.approx(
        Gaussian.isotropic(CENTER, WIDTH, 2.0)(point), rel=1e-4
    )


def test_gaussian_potentials_far_away_and_at_the_center():
    far, center = np.array(CENTER)[:, None] + np.array([[30.0], [0.0], [0.0]]), np.array(CENTER)[:, None]
    assert gaussian_potential(far, CENTER, WIDTH, 3.0) == pytest.approx(
        3.0 / (4.0 * math.pi * 30.0), rel=1e-12
    )
    at_center = 1.0 / ((2.0 * math.pi) ** 1.5 * WIDTH)
    assert gaussian_potential(center, CENTER, WIDTH) == pytest.approx(at_center, rel=1e-12)


@pytest.mark.parametrize("distance", [0.0, 0.5])
def test_gaussian_interactions_are_integrals_of_a_density_times_a_potential(distance):
    # In cylindrical coordinates around the line through the centres, one at 0 and one at the distance.
    t, weights = np.polynomial.legendre.leggauss(80)
    z, s = 3.0 * t, 1.5 * (1.0 + t)
    x = np.stack(np.meshgrid(z, s, indexing="ij")).reshape(2, -1)
    x = np.vstack([x, np.zeros(x.shape[1])])
    density = Gaussian.isotropic((0.0, 0.0, 0.0), 0.3)(x)
    potential = gaussian_potential(x, (distance, 0.0, 0.0), 0.4)
    measure = np.outer(3.0 * weights, 1.5 * weights * 2.0 * math.pi * s).ravel()
    assert gaussian_interaction(distance, 0.3, 0.4) == pytest.approx(
        measure @ (density * potential), rel=1e-8
    )


@pytest.mark.parametrize("ends", [None, (0.0, 3.0), (1.5, -1.5)])
def test_steady_ions_obey_poissons_equation_and_have_their_masses(ends):
    ions = poisson_boltzmann((2.0, -1.0), (0.5, 1.0), 0.05, ends, (lambda x: 2.0 * x, np.zeros_like))
    x, d = np.linspace(0.05, 0.95, 10), 1e-3
    second = (ions.potential(x + d) - 2.0 * ions.potential(x) + ions.potential(x - d)) / d**2
    charge = np.array([2.0, -1.0]) @ ions.densities(x)
    np.testing.assert_allclose(-0.05 * second, charge, rtol=1e-3, atol=1e-3 * np.abs(charge).max())
    for k, mass in enumerate((0.5, 1.0)):
        found, _ = quad(lambda s, k=k: ions.densities([s])[k, 0], 0.0, 1.0)
        assert found == pytest.approx(mass, rel=1e-7)
    # The steady state has a constant potential z ψ + V + log u of each density.
    potentials = np.log(ions.densities(x)) + np.outer([2.0, -1.0], ions.potential(x)) + [2.0 * x, 0.0 * x]
    np.testing.assert_allclose(potentials, np.log(ions.constants)[:, None] + 0.0 * x, atol=1e-12)
    low, high = ions.potential([0.0, 1.0])
    if ends is None:
        assert ions.slope([0.0, 1.0]) == pytest.approx([0.0, 0.0], abs=1e-8)
        assert low + high == pytest.approx(0.0, abs=1e-10)
    else:
        assert (low, high) == pytest.approx(ends, abs=1e-10)


def test_weak_fields_are_screened_over_the_debye_length():
    # ψ = V sinh((1 - 2x)/(2λ))/sinh(1/(2λ)), λ² = ε/Σ z²M, up to the cube of V.
    a, V = 0.01, 1e-4
    ions = poisson_boltzmann((1.0, -1.0), (1.0, 1.0), a, (V, -V))
    length, x = math.sqrt(a / 2.0), np.linspace(0.0, 1.0, 21)
    exact = V * np.sinh((1.0 - 2.0 * x) / (2.0 * length)) / math.sinh(1.0 / (2.0 * length))
    np.testing.assert_allclose(ions.potential(x), exact, atol=1e-6 * V)
    energy, _ = quad(lambda s: 0.5 * a * ions.slope([s])[0] ** 2, 0.0, 1.0)
    assert ions.field_energy == pytest.approx(energy, rel=1e-8)


def test_charges_that_do_not_balance_have_no_steady_state_without_electrodes():
    with pytest.raises(InputError, match="add up to zero, not to -1"):
        poisson_boltzmann((1.0, -1.0), (1.0, 2.0), 0.1)


@pytest.mark.parametrize("coefficient", [0.0, 0.31385, 4.0])
def test_without_a_potential_the_slowest_mode_is_a_cosine(coefficient):
    # q = 1: ∂t h = (1 + c) h'', and the energy decays at twice the rate (1 + c)π².
    found = slowest_rate(np.zeros_like, coefficient, points=401)
    assert found == pytest.approx(2.0 * (1.0 + coefficient) * math.pi**2, rel=1e-4)


def test_in_a_quadratic_potential_the_slowest_mode_is_linear():
    # V = λx²/2 on the line: the modes are Hermite's polynomials with the rates λ, 2λ, ...
    found = slowest_rate(lambda x: 0.5 * 3.0 * x**2, points=801, interval=(-4.0, 4.0))
    assert found == pytest.approx(2.0 * 3.0, rel=1e-3)


@pytest.mark.parametrize("coefficient", [0.0, 0.4])
def test_steady_densities_have_mass_one_and_a_constant_potential(coefficient):
    x, weights = np.polynomial.legendre.leggauss(30)
    q = steady_density(lambda x: np.sin(3.0 * x), coefficient, x, weights)
    assert weights @ q == pytest.approx(1.0, rel=1e-12)
    assert np.ptp(np.log(q) + coefficient * q + np.sin(3.0 * x)) < 1e-12
