"""Exact steps of minimising movements: what they minimise, found again without their formulas."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize, minimize_scalar

from fem_models.core.errors import InputError
from fem_models.exact.distances import gaussian_square, radial_square
from fem_models.exact.jko_steps import fokker_planck_step, linear_potential_step, porous_medium_step
from fem_models.exact.profiles import Barenblatt, Gaussian

STEPS = (1e-3, 1e-2, 0.1, 1.0)


def test_the_step_that_tells_jko_from_backward_euler():
    step = fokker_planck_step(Gaussian.isotropic([1.0, 0.0], 1.0), 4.0, 0.5)
    # 3σ² - σ - ½ = 0.
    width = (1.0 + math.sqrt(7.0)) / 6.0
    assert width**2 == pytest.approx(0.36921, abs=5e-6)
    np.testing.assert_allclose(step.state.covariance, width**2 * np.eye(2), rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(step.state.mean, [1.0 / 3.0, 0.0], rtol=1e-15)


@pytest.mark.parametrize("tau", STEPS)
@pytest.mark.parametrize("convexity", [4.0, 0.0, -0.5])
def test_gaussian_steps_minimise(convexity, tau):
    # Among all Gaussians of mass M in the plane, by SciPy, with Bures' distance and the energy by quadrature
    # of the marginals: ∫ρ log ρ = M log M + M (h₁ + h₂) along the principal axes of the second Gaussian.
    mass = 1.5
    rho = Gaussian([0.7, -0.3], [[0.5, 0.2], [0.2, 0.4]], mass)

    def entropy(variance):
        def term(y):
            p = math.exp(-0.5 * y * y) / math.sqrt(2.0 * math.pi * variance)
            return p * math.sqrt(variance) * math.log(p)

        return quad(term, -12.0, 12.0)[0]

    def functional(numbers):
        factor = np.array([[math.exp(numbers[2]), 0.0], [numbers[4], math.exp(numbers[3])]])
        other = Gaussian(numbers[:2], factor @ factor.T, mass)
        spread = np.trace(other.covariance) + numbers[:2] @ numbers[:2]
        entropies = sum(entropy(v) for v in np.linalg.eigvalsh(other.covariance))
        energy = mass * (math.log(mass) + entropies + 0.5 * convexity * spread)
        return energy + gaussian_square(rho, other) / (2.0 * tau)

    def numbers_of(density):
        root = np.linalg.cholesky(density.covariance)
        return np.array([*density.mean, math.log(root[0, 0]), math.log(root[1, 1]), root[1, 0]])

    step = fokker_planck_step(rho, convexity, tau)
    assert step.energy_before == pytest.approx(functional(numbers_of(rho)), rel=1e-9)
    found = minimize(functional, numbers_of(rho), method="BFGS", options={"gtol": 1e-7})
    assert step.value == pytest.approx(found.fun, rel=1e-9)
    assert step.value == pytest.approx(functional(numbers_of(step.state)), rel=1e-9)
    assert step.value < step.energy_before
    assert step.square == pytest.approx(gaussian_square(rho, step.state), rel=1e-9)


def test_gaussian_steps_tend_to_the_flow():
    # ∂tρ = Δρ + div(λxρ): a = a₀ e^{-λt}, σ² = 1/λ + (σ₀² - 1/λ) e^{-2λt}. First order in τ.
    errors = []
    for count in (100, 200):
        rho = Gaussian.isotropic([1.0], 2.0)
        for _ in range(count):
            rho = fokker_planck_step(rho, 3.0, 0.5 / count).state
        exact = 1.0 / 3.0 + (4.0 - 1.0 / 3.0) * math.exp(-3.0)
        errors.append([rho.covariance[0, 0] - exact, rho.mean[0] - math.exp(-1.5)])
    np.testing.assert_allclose(errors[1], 0.0, atol=5e-3)
    np.testing.assert_allclose(np.divide(*errors), 2.0, atol=0.05)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("m", [2.0, 4.0])
@pytest.mark.parametrize("tau", STEPS)
def test_porous_medium_steps_solve_the_euler_lagrange_equation(tau, m, d):
    rho = Barenblatt(m, d, 1.3, 0.6, (0.1, -0.2, 0.3)[:d])
    step = porous_medium_step(rho, tau)
    new = step.state

    # The radial map keeps the mass inside: found by quadrature and root finding, not by the dilation.
    def inside(profile, r):
        def ray(q):
            return q ** (d - 1) * profile(np.array(profile.center)[:, None] + q * np.eye(d, 1))[0]

        return quad(ray, 0.0, r, epsabs=1e-13)[0]

    for share in (0.2, 0.5, 0.9):
        r = share * new.radius
        origin = brentq(lambda q, r=r: inside(rho, q) - inside(new, r), 0.0, rho.radius, xtol=1e-13)
        # The pressure m/(m-1) ρ^{m-1} is quadratic: central differences are exact.
        ends = np.array(new.center)[:, None] + np.eye(d, 1) * (r + np.array([-0.01, 0.01]))
        pressure = m / (m - 1.0) * new(ends) ** (m - 1.0)
        force = (pressure[0] - pressure[1]) / 0.02
        assert (r - origin) / tau == pytest.approx(force, rel=1e-8, abs=1e-11 / tau)
    assert new.mass == pytest.approx(rho.mass, rel=1e-13)
    assert (step.energy_before, step.energy) == (rho.energy, new.energy)
    assert step.value < step.energy_before


@pytest.mark.parametrize(("m", "d"), [(2.0, 1), (2.0, 3), (4.0, 2)])
def test_distance_and_energy_of_a_porous_medium_step(m, d):
    rho = Barenblatt(m, d, 0.8, 1.2)
    step = porous_medium_step(rho, 0.3)
    # Radii that are fine at the edge, where ρ^{m-1} is linear.
    radii = 1.0 - np.linspace(1.0, 0.0, 2001) ** (4.0 if m > 2.0 else 2.0)
    rays = [radii * profile.radius for profile in (rho, step.state)]
    before, after = (
        (ray, profile(np.vstack([ray, np.zeros((2, len(ray)))])))
        for ray, profile in zip(rays, (rho, step.state), strict=True)
    )
    square = radial_square(before, after, d)
    assert step.square == pytest.approx(square, rel=1e-4)

    def value(s):
        return rho.energy * s ** (-d * (m - 1.0)) + (s - 1.0) ** 2 * rho.second_moment / 0.6

    best = minimize_scalar(value, bounds=(1.0, 5.0), method="bounded", options={"xatol": 1e-9})
    assert step.value == pytest.approx(best.fun, rel=1e-12)
    assert step.state.radius / rho.radius == pytest.approx(best.x, rel=1e-6)


def test_a_step_minimises_among_all_densities_of_the_line():
    # N equal shares of the mass between positions X: ∫ρ² = Σ (M/N)²/(X_{i+1} - X_i), a convex problem in X
    # whose minimum tends to the exact one, with no profile assumed.
    rho = Barenblatt(2.0, 1, 1.0, 1.0)
    tau = 0.5
    step = porous_medium_step(rho, tau)
    errors = []
    for count in (40, 80, 160):
        shares = np.arange(count + 1) / count
        # ρ = (1 - x²)₊ has the mass 4/3 and up to x the share ½ + (3x - x³)/4.
        start = np.array([brentq(lambda x, s=s: 0.5 + 0.25 * (3 * x - x**3) - s, -1.0, 1.0) for s in shares])
        share = 4.0 / 3.0 / count
        weights = np.full(count + 1, share)
        weights[[0, -1]] *= 0.5
        X = 1.3 * start
        for _ in range(30):
            gaps = np.diff(X)
            slope = weights * (X - start) / tau
            slope[:-1] += share**2 / gaps**2
            slope[1:] -= share**2 / gaps**2
            stiff = 2.0 * share**2 / gaps**3
            hessian = np.diag(weights / tau) - np.diag(stiff, 1) - np.diag(stiff, -1)
            hessian += np.diag(np.append(stiff, 0.0) + np.append(0.0, stiff))
            X = X - np.linalg.solve(hessian, slope)
        assert np.abs(slope).max() < 1e-12
        value = (share**2 / np.diff(X)).sum() + weights @ (X - start) ** 2 / (2.0 * tau)
        quartile = 3 * count // 4
        dilation = X[quartile] / start[quartile]
        errors.append([value / step.value - 1.0, dilation / (step.state.radius / rho.radius) - 1.0])
    assert np.abs(errors[2]).max() < 1e-3
    assert np.all(np.divide(errors[:-1], errors[1:]) > 1.8)


@pytest.mark.parametrize("tau", STEPS)
def test_linear_potentials_translate(tau):
    # A Gaussian in V = b·x: the functional of all other translations is higher by what a quadratic is.
    slope, mean = np.array([2.0, -1.0, 0.5]), np.array([0.3, 0.0, 1.0])
    step = linear_potential_step(mean, slope, tau, 0.7)
    np.testing.assert_allclose(step.state, mean - tau * slope, rtol=1e-15)
    square = gaussian_square(Gaussian(mean, np.eye(3), 0.7), Gaussian(step.state, np.eye(3), 0.7))
    assert step.square == pytest.approx(square, rel=1e-11)
    assert step.energy == pytest.approx(0.7 * slope @ step.state, rel=1e-14)
    assert step.energy_before == pytest.approx(0.7 * slope @ mean, rel=1e-14)
    for direction in np.vstack([np.eye(3), -np.eye(3)]):
        other = step.state + 0.1 * direction
        moved = gaussian_square(Gaussian(mean, np.eye(3), 0.7), Gaussian(other, np.eye(3), 0.7))
        expected = step.value + 0.5 * 0.7 / tau * 0.01
        assert 0.7 * slope @ other + moved / (2.0 * tau) == pytest.approx(expected, rel=1e-10)


def test_bad_steps_are_refused():
    with pytest.raises(InputError, match="Time steps must be positive and finite, not 0"):
        fokker_planck_step(Gaussian.isotropic([0.0], 1.0), 1.0, 0.0)
    with pytest.raises(InputError, match=r"minimum only for steps below 0\.5: 0\.5 is too long"):
        fokker_planck_step(Gaussian.isotropic([0.0], 1.0), -2.0, 0.5)
    with pytest.raises(InputError, match="Time steps must be positive"):
        porous_medium_step(Barenblatt(2.0, 1, 1.0, 1.0), -1.0)
    with pytest.raises(InputError, match="Masses must be positive"):
        linear_potential_step([0.0], [1.0], 0.1, 0.0)
