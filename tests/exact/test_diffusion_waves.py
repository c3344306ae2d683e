"""Closed forms of fast diffusion, and references of spectral accuracy, against each other."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j0, jn_zeros

from fem_models.core.errors import InputError
from fem_models.exact.barenblatt import SourceSolution
from fem_models.exact.fast_diffusion import DiffusionWave, on_disk, on_interval

X = np.linspace(0.0, 1.0, 101)


@pytest.mark.parametrize(("alpha", "degree", "bound"), [(1.0, 40, 1e-11), (2.0, 60, 1e-9)])
def test_waves_are_what_the_spectral_method_finds(alpha, degree, bound):
    wave = DiffusionWave(alpha, (math.pi,), 1.3, 10.0)
    first = wave(X[None], 0.0)
    assert first.max() / first.min() == pytest.approx(10.0, rel=1e-12)
    found = on_interval(alpha, lambda x: wave(x[None], 0.0), 0.05, degree)
    assert np.abs(found(X)[:, 0] - wave(X[None], 0.05)).max() < bound
    # Equal points of a period integrate smooth periodic functions to all digits.
    period = np.arange(200)[None] / 100
    assert wave(period, 0.05).mean() == pytest.approx(1.3, rel=1e-12)


def test_a_wave_depends_on_its_direction_alone():
    straight, oblique = DiffusionWave(1.0, (5.0,)), DiffusionWave(1.0, (3.0, 4.0))
    points = np.array([3.0, 4.0])[:, None] / 25.0 * X
    np.testing.assert_allclose(oblique(5.0 * points, 0.01), straight(X[None], 0.01), rtol=1e-13)


def test_the_radial_method_follows_a_mode_of_the_heat_equation():
    k = jn_zeros(1, 1)[0]
    found = on_disk(0.0, lambda q: 1.0 + 0.5 * j0(k * np.sqrt(q)), 0.05)
    exact = 1.0 + 0.5 * j0(k * np.sqrt(X)) * math.exp(-(k**2) * 0.05)
    assert np.abs(found(X)[:, 0] - exact).max() < 1e-11


def test_the_radial_method_follows_a_source_solution_far_from_the_wall():
    """∂tρ = div(ρ^{-½}∇ρ) is ∂tρ = Δρ^½ in twice the time; tails r^{-4} meet the wall from the beginning."""
    source = SourceSolution.of_radius(0.5, 2, 0.2, 1.0)
    found = on_disk(0.5, lambda q: source(np.stack([np.sqrt(q), 0 * q]), 1.0), 0.05, 80)
    near = np.linspace(0.0, 0.3, 31)
    np.testing.assert_allclose(found(near**2)[:, 0], source(np.stack([near, 0 * near]), 1.1), rtol=1e-7)


@pytest.mark.parametrize(("m", "dim"), [(0.5, 1), (0.5, 2), (0.6, 3)])
def test_source_solutions_of_fast_diffusion_keep_their_mass_and_solve_the_equation(m, dim):
    source = SourceSolution.of_radius(m, dim, 0.7, 1.0)

    def radial(r, time):
        return float(source(np.array([[r], [0.0], [0.0]])[:dim], time)[0])

    def weighted(r, time):
        return r ** (dim - 1) * radial(r, time)

    masses = [quad(weighted, 0, np.inf, args=(time,))[0] for time in (1.0, 2.0)]
    assert masses[0] == pytest.approx(masses[1], rel=1e-7)
    step, r, time = 1e-3, 0.6, 1.5
    rate = (radial(r, time + step) - radial(r, time - step)) / (2 * step)
    flux = [
        x ** (dim - 1) * (radial(x + step / 2, time) ** m - radial(x - step / 2, time) ** m) / step
        for x in (r - step / 2, r + step / 2)
    ]
    assert (flux[1] - flux[0]) / step / r ** (dim - 1) == pytest.approx(rate, rel=1e-4)
    # At this radius the two terms of the profile are equal.
    assert radial(0.7, 1.0) == pytest.approx(radial(0.0, 1.0) * 0.5 ** (1 / (1 - m)), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiffusionWave(0.5, (1.0,)), "closed form for alpha = 1 and 2, not for 0.5"),
        (lambda: DiffusionWave(1.0, (1.0,), contrast=1.0), "Contrasts less 1 of waves"),
        (lambda: SourceSolution(0.3, 3, 1.0), "exponent of more than 0.333333, not 0.3"),
        (lambda: SourceSolution(0.5, 2, 1.0).profile(1.0), "needs an exponent m > 1"),
    ],
)
def test_what_is_not_known_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
