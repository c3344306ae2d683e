"""The solutions in time: their equations by differences, their masses and supports, and what they refuse."""

import math

import numpy as np
import pytest

from fem_models.core.errors import InputError
from fem_models.exact.barenblatt import SourceSolution
from fem_models.exact.fokker_planck import DECAY, drift_diffusion

CASES = [(1, 2.0), (1, 1.5), (2, 2.0), (2, 3.0), (3, 2.0), (3, 4.0)]


@pytest.mark.parametrize(("dim", "m"), CASES)
@pytest.mark.parametrize("t", [0.01, 0.7])
def test_source_solutions_obey_the_porous_medium_equation(dim, m, t):
    center = (0.5, -0.3, 0.2)[:dim]
    exact = SourceSolution(m, dim, 0.4, center)
    radius = exact.profile(t).radius
    point = np.array(center)[:, None] + 0.3 * radius * np.arange(1, dim + 1)[:, None] / dim
    d, s = 1e-4 * radius, 1e-5 * t
    shifts = d * np.eye(dim)[:, :, None]
    power = [exact(point + k * shift, t) ** m for shift in shifts for k in (-1, 0, 1)]
    laplacian = sum(np.diff(power[3 * i : 3 * i + 3], n=2, axis=0)[0] for i in range(dim)) / d**2
    rate = (exact(point, t + s) - exact(point, t - s)) / (2.0 * s)
    assert exact(point, t) > 0.0
    assert rate == pytest.approx(laplacian, rel=1e-5)


@pytest.mark.parametrize(("dim", "m"), CASES)
def test_source_solutions_keep_their_mass_and_are_their_profiles(dim, m):
    exact = SourceSolution(m, dim, 0.4, (1.0, 0.0, -1.0)[:dim])
    masses = [exact.profile(t).mass for t in (1e-3, 0.1, 2.0)]
    assert masses == pytest.approx([masses[0]] * 3, rel=1e-12)
    x = np.random.default_rng(5).uniform(-3.0, 3.0, (dim, 200))
    for t in (0.1, 2.0):
        np.testing.assert_allclose(exact(x, t), exact.profile(t)(x), rtol=1e-11, atol=1e-14)


def test_the_source_solution_of_the_peers_has_their_mass():
    # ∂tρ = Δρ² in the plane with ρ = t^{-½}(C - |x|²/(16 t^½))₊: the mass is 8πC².
    exact, n = SourceSolution(2.0, 2, 0.05), 1000
    axis = (np.arange(n) + 0.5) / n - 0.5
    x = np.stack(np.meshgrid(axis, axis)).reshape(2, -1)
    np.testing.assert_allclose(
        exact(x, 0.01), np.maximum(0.05 - (x**2).sum(axis=0) / 1.6, 0.0) / 0.1, rtol=1e-12, atol=1e-14
    )
    for t in (0.01, 0.03):
        assert exact(x, t).mean() == pytest.approx(8.0 * math.pi * 0.05**2, rel=1e-5)
        assert exact.profile(t).mass == pytest.approx(8.0 * math.pi * 0.05**2, rel=1e-12)


def test_a_source_solution_of_a_radius_has_it_at_its_time():
    exact = SourceSolution.of_radius(3.0, 2, radius=0.42, time=0.03, center=(0.5, 0.5))
    near, far = (np.array([[0.5 + r], [0.5], [0.0]]) for r in (0.4199, 0.4201))
    assert exact(near, 0.03) > 0.0 == exact(far, 0.03)
    assert exact.profile(0.03).radius == pytest.approx(0.42, rel=1e-14)
    # It grows like t^β with β = 1/(d(m-1) + 2).
    assert exact.profile(0.06).radius == pytest.approx(0.42 * 2.0 ** (1.0 / 6.0), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 2, 0.1), "exponent m > 1"),
        ((2.0, 0, 0.1), "dimension of 1 or more"),
        ((2.0, 2, 0.0), "Constants of source solutions must be positive"),
        ((2.0, 2, 0.1, (0.0,)), "no center with 1 numbers"),
    ],
)
def test_source_solutions_that_do_not_exist_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        SourceSolution(*arguments)
    with pytest.raises(InputError, match="Times of source solutions"):
        SourceSolution(2.0, 2, 0.1).profile(0.0)


def test_drift_and_diffusion_obey_their_equation_without_flux():
    # ∂tu = ∂x(∂xu - u), and ∂xu - u = 0 at both ends.
    x, t, s = np.linspace(0.05, 0.95, 19)[None], 0.07, 1e-3

    def u(shift, at=t):
        return drift_diffusion(x + shift, at)

    by_t = (u(0.0, t + s) - u(0.0, t - s)) / (2 * s)
    by_x = (u(s) - u(-s)) / (2 * s)
    by_xx = (u(s) - 2 * u(0.0) + u(-s)) / s**2
    np.testing.assert_allclose(by_t, by_xx - by_x, rtol=1e-3, atol=1e-3)
    for end in (0.0, 1.0):
        values = drift_diffusion(np.array([[end - s, end, end + s]]), t)
        assert math.isclose((values[2] - values[0]) / (2 * s), values[1], rel_tol=1e-4)


def test_drift_and_diffusion_keep_mass_and_sign_and_tend_to_the_boltzmann_density():
    x, weights = np.polynomial.legendre.leggauss(40)
    x, weights = 0.5 * (x[None] + 1.0), 0.5 * weights
    # ∫ π e^{x - ½} dx.
    mass = math.pi * (math.exp(0.5) - math.exp(-0.5))
    for t in (0.0, 0.05, 1.0):
        assert weights @ drift_diffusion(x, t) == pytest.approx(mass, rel=1e-12)
        assert drift_diffusion(x, t).min() > 0.0
    steady = drift_diffusion(x, 1e3)
    np.testing.assert_allclose(np.log(steady) - x[0], math.log(math.pi) - 0.5, atol=1e-12)
    gaps = [np.abs(drift_diffusion(x, t) - steady).max() for t in (0.1, 0.2)]
    assert math.log(gaps[0] / gaps[1]) == pytest.approx(0.1 * DECAY, rel=1e-10)
