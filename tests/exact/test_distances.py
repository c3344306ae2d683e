"""Closed forms of the Wasserstein distance, against each other, quadrature and discrete optimal transport."""

import itertools
import math

import numpy as np
import ot
import pytest
from scipy.integrate import quad
from scipy.linalg import expm, sqrtm
from scipy.optimize import brentq

from fem_models.core.errors import InputError
from fem_models.exact.distances import (
    dilation_square,
    gaussian_square,
    interval_square,
    radial_square,
    same_mass,
    translation_square,
)
from fem_models.exact.profiles import Barenblatt, Gaussian


def covariance(seed, d):
    factor = np.random.default_rng(seed).normal(size=(d, d))
    return factor @ factor.T + 0.1 * np.eye(d)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_gaussians_by_the_formula_with_matrix_roots(d):
    A, B = covariance(1, d), covariance(2, d)
    root = sqrtm(A)
    bures = np.trace(A + B - 2.0 * sqrtm(root @ B @ root))
    shift = np.arange(1.0, d + 1.0)
    found = gaussian_square(Gaussian(np.zeros(d), A, 2.5), Gaussian(shift, B, 2.5))
    assert found == pytest.approx(2.5 * (shift @ shift + bures), rel=1e-11)


def test_gaussians_moved_by_a_symmetric_map():
    # T = exp(εS) with S symmetric is the gradient of a convex function: W² = tr (1 - T) A (1 - T). The usual
    # formula with traces has no correct digit left at ε = 1e-8.
    A, S = covariance(3, 3), covariance(4, 3)
    for epsilon in (1.0, 1e-4, 1e-8):
        T = expm(epsilon * S)
        move = epsilon * S + (0.5 * epsilon**2 * S @ S if epsilon < 1e-3 else T - np.eye(3) - epsilon * S)
        found = gaussian_square(Gaussian(np.zeros(3), A), Gaussian(np.zeros(3), T @ A @ T))
        assert found == pytest.approx(np.trace(move @ A @ move), rel=max(1e-11, 1e-14 / epsilon))


def test_flat_gaussians():
    # A line segment and a point: no inverse and no determinant.
    line = Gaussian([0.0, 1.0], [[4.0, 0.0], [0.0, 0.0]])
    point = Gaussian([3.0, 1.0], np.zeros((2, 2)))
    assert gaussian_square(line, point) == pytest.approx(9.0 + 4.0, rel=1e-14)


def test_gaussians_against_an_assignment():
    # A cloud whose mean and covariance are exactly 0 and 1, and its image under an affine map with a
    # symmetric positive matrix. That map is the gradient of a convex function, and so it is optimal for the
    # cloud too.
    rng = np.random.default_rng(5)
    cloud = rng.normal(size=(300, 2))
    cloud -= cloud.mean(axis=0)
    cloud = np.linalg.solve(np.linalg.cholesky(np.cov(cloud.T, bias=True)), cloud.T).T
    stretch = covariance(6, 2)
    shift = np.array([0.4, -1.0])
    weights = np.full(300, 1.0 / 300)
    cost = ot.dist(cloud, cloud @ stretch.T + shift)
    found = gaussian_square(Gaussian([0.0, 0.0], np.eye(2)), Gaussian(shift, stretch @ stretch.T))
    assert found == pytest.approx(ot.emd2(weights, weights, cost), rel=1e-10)


def test_translations_and_dilations_of_gaussians():
    rho = Gaussian([1.0, -2.0], covariance(7, 2), 3.0)
    moved = Gaussian([1.5, -1.0], rho.covariance, 3.0)
    assert gaussian_square(rho, moved) == pytest.approx(translation_square([0.5, 1.0], 3.0), rel=1e-12)
    wide = Gaussian(rho.mean, 0.49 * rho.covariance, 3.0)
    assert gaussian_square(rho, wide) == pytest.approx(dilation_square(0.7, rho.second_moment), rel=1e-12)
    # About the origin: the mean moves as well, and so |a|² belongs to the moment.
    about_origin = Gaussian(0.7 * rho.mean, wide.covariance, 3.0)
    moment = rho.second_moment + 3.0 * 5.0
    assert gaussian_square(rho, about_origin) == pytest.approx(dilation_square(0.7, moment), rel=1e-12)


def test_intervals_of_constant_density():
    # Quantiles 2u and 1 + u/2.
    found = interval_square(([0.0, 2.0], [0.5, 0.5]), ([1.0, 1.2, 1.5], [2.0, 2.0, 2.0]))
    assert found == pytest.approx(quad(lambda u: (1.0 - 1.5 * u) ** 2, 0.0, 1.0)[0], rel=1e-12)


def test_triangles_of_density():
    # ρ = 2x has the quantile √u, its mirror image 1 - √(1-u): W² = ∫ (√u + √(1-u) - 1)² du = 2 - 8/3 + π/4.
    found = interval_square(([0.0, 1.0], [0.0, 2.0]), ([0.0, 1.0], [2.0, 0.0]))
    assert found == pytest.approx(math.pi / 4.0 - 2.0 / 3.0, rel=1e-9)


def random_density(seed, points):
    """Nodal values with vacuum inside and at an end, and the mass 1.7."""
    values = np.random.default_rng(seed).uniform(0.0, 1.0, len(points))
    values[:2] = values[5:8] = 0.0
    return values * 1.7 / np.trapezoid(values, points)


def test_translated_and_dilated_densities():
    points = np.sort(np.random.default_rng(8).uniform(-1.0, 2.0, 24))
    values = random_density(9, points)
    shifted = interval_square((points, values), (points + 0.3, values))
    assert shifted == pytest.approx(translation_square(0.3, 1.7), rel=1e-11)
    s, c = 1.6, 0.2
    # Simpson's rule is exact for (x - c)² times a linear density.
    middle, lengths = 0.5 * (points[1:] + points[:-1]), np.diff(points)
    ends = (points - c) ** 2 * values
    inner = (middle - c) ** 2 * 0.5 * (values[1:] + values[:-1])
    moment = float(lengths @ (ends[1:] + ends[:-1] + 4.0 * inner) / 6.0)
    dilated = interval_square((points, values), (c + s * (points - c), values / s))
    assert dilated == pytest.approx(dilation_square(s, moment), rel=1e-9)


def test_densities_on_different_nodes_against_quantiles_by_scipy():
    def quantile(points, values, u):
        sums = np.concatenate([[0.0], np.cumsum(np.diff(points) * 0.5 * (values[1:] + values[:-1]))])

        def excess(x):
            k = min(np.searchsorted(points, x, side="right") - 1, len(points) - 2)
            value = np.interp(x, points, values)
            return sums[k] + 0.5 * (x - points[k]) * (values[k] + value) - u * sums[-1]

        return brentq(excess, points[0], points[-1], xtol=1e-14)

    first = np.array([0.0, 0.4, 1.0]), np.array([1.0, 0.2, 2.0])
    second = np.array([-1.0, 0.0, 2.0, 2.5]), np.array([0.3, 1.0, 0.1, 0.8])
    first = first[0], first[1] / np.trapezoid(first[1], first[0])
    second = second[0], second[1] / np.trapezoid(second[1], second[0])
    expected = quad(lambda u: (quantile(*first, u) - quantile(*second, u)) ** 2, 0, 1, limit=200)[0]
    assert interval_square(first, second) == pytest.approx(expected, rel=1e-8)


def test_densities_on_an_interval_against_a_discrete_plan():
    # Atoms at the midpoints of 400 equal cells.
    edges = np.linspace(0.0, 1.0, 401)
    middle = 0.5 * (edges[1:] + edges[:-1])
    points = np.linspace(0.0, 1.0, 5)
    first, second = np.array([0.0, 1.0, 3.0, 1.0, 0.0]), np.array([2.0, 0.5, 0.0, 0.0, 4.0])
    first, second = (values / np.trapezoid(values, points) for values in (first, second))
    a, b = (np.interp(middle, points, values) / 400.0 for values in (first, second))
    discrete = math.sqrt(ot.emd2_1d(middle, middle, a / a.sum(), b / b.sum()))
    found = math.sqrt(interval_square((points, first), (points, second)))
    # To move a cell's mass to its center costs about h²/12 of it: by the triangle inequality W is off by no
    # more than twice h/√12. The densities inside of cells are not uniform, for which h/2 leaves room.
    assert abs(found - discrete) <= 1.0 / 400.0
    assert found > 0.1


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_a_ball_and_a_shell(d):
    # With u the share of the mass, the radii are u^{1/d} and (1 + 2u)^{1/d} for the shell 1 < r < 3^{1/d}.
    volume = math.pi ** (0.5 * d) / math.gamma(0.5 * d + 1.0)
    outer = 3.0 ** (1.0 / d)
    expected = quad(lambda u: (u ** (1.0 / d) - (1.0 + 2.0 * u) ** (1.0 / d)) ** 2, 0.0, 1.0)[0]
    found = radial_square(([0.0, 1.0], [4.0, 4.0]), ([1.0, 1.3, outer], [2.0, 2.0, 2.0]), d)
    assert found == pytest.approx(4.0 * volume * expected, rel=1e-8)


@pytest.mark.parametrize("d", [2, 3])
def test_radial_dilations(d):
    radii = np.array([0.0, 0.3, 0.5, 0.6, 1.0])
    values = np.array([1.0, 2.0, 0.0, 0.0, 0.7])
    sphere = 2.0 * math.pi ** (0.5 * d) / math.gamma(0.5 * d)

    def density(r):
        return sphere * r ** (d + 1) * np.interp(r, radii, values)

    moment = sum(quad(density, a, b)[0] for a, b in itertools.pairwise(radii))
    found = radial_square((radii, values), (0.4 * radii, values / 0.4**d), d)
    assert found == pytest.approx(dilation_square(0.4, moment), rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("m", [2.0, 4.0])
def test_moments_of_barenblatt_profiles(m, d):
    profile = Barenblatt(m, d, 1.3, 0.8)
    sphere = 2.0 * math.pi ** (0.5 * d) / math.gamma(0.5 * d)

    def integral(power, moment):
        def shell(r):
            return sphere * r ** (d - 1 + moment) * profile(np.array([[r], [0.0], [0.0]]))[0] ** power

        return quad(shell, 0.0, 0.8)[0]

    assert profile.mass == pytest.approx(integral(1, 0), rel=1e-7)
    assert profile.second_moment == pytest.approx(integral(1, 2), rel=1e-7)
    assert profile.energy == pytest.approx(integral(m, 0) / (m - 1.0), rel=1e-7)
    assert profile.dilated(1.7).mass == pytest.approx(profile.mass, rel=1e-13)


def test_interpolated_barenblatt_profiles():
    # Interpolation moves each of the densities by O(h²) in W: second order.
    errors = []
    for cells in (20, 40, 80):
        radii = np.linspace(0.0, 1.0, cells + 1)
        values = Barenblatt(2.0, 2, 1.0, 1.0)(np.array([radii, 0.0 * radii]))
        wide = Barenblatt(2.0, 2, 1.0, 1.0).dilated(2.0)(np.array([2.0 * radii, 0.0 * radii]))
        found = radial_square((radii, values), (2.0 * radii, wide), 2)
        errors.append(abs(found / Barenblatt(2.0, 2, 1.0, 1.0).second_moment - 1.0))
    assert errors[2] < 1e-3
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2.0, abs=0.1)


def test_values_of_gaussians():
    rho = Gaussian([0.2, -0.1], [[0.5, 0.2], [0.2, 0.3]], 2.0)
    grid = np.linspace(-6.0, 6.0, 241)
    x = np.array(np.meshgrid(grid, grid)).reshape(2, -1)
    values = rho(np.vstack([x, np.zeros((1, x.shape[1]))])) * 0.05**2
    # The trapezoidal rule is exact to rounding for Gaussians that the grid resolves.
    assert values.sum() == pytest.approx(2.0, rel=1e-12)
    assert values @ x[0] == pytest.approx(0.4, rel=1e-12)
    assert values @ (x[0] * x[1]) == pytest.approx(2.0 * (0.2 - 0.02), rel=1e-12)
    assert rho.entropy == pytest.approx(values @ np.log(values / 0.05**2), rel=1e-11)
    assert rho.second_moment == pytest.approx(1.6)


def test_different_masses_are_named():
    wanted = "masses 1 and 1.25, and only densities of the same mass"
    with pytest.raises(InputError, match=wanted):
        same_mass(1.0, 1.25)
    with pytest.raises(InputError, match=wanted):
        interval_square(([0.0, 1.0], [1.0, 1.0]), ([0.0, 1.0], [1.25, 1.25]))
    with pytest.raises(InputError, match=wanted):
        gaussian_square(Gaussian([0.0], [[1.0]]), Gaussian([0.0], [[1.0]], 1.25))
    with pytest.raises(InputError, match=r"masses 3\.14159\d+ and 12\.56637\d+"):
        radial_square(([0.0, 1.0], [1.0, 1.0]), ([0.0, 2.0], [1.0, 1.0]), 2)
    assert same_mass(1.0, 1.0 + 1e-12) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: interval_square(([0.0, 0.0], [1.0, 1.0]), ([0.0, 1.0], [1.0, 1.0])), "increasing order"),
        (lambda: interval_square(([0.0, 1.0], [1.0, -1.0]), ([0.0, 1.0], [1.0, 1.0])), "0 or more at all"),
        (lambda: interval_square(([0.0, 1.0], [1.0]), ([0.0, 1.0], [1.0, 1.0])), "as many values"),
        (lambda: interval_square(([0.0, 1.0], [0.0, 0.0]), ([0.0, 1.0], [1.0, 1.0])), "must be positive"),
        (lambda: interval_square(([0.0, 1.0], [1.0, np.nan]), ([0.0, 1.0], [1.0, 1.0])), "finite"),
        (lambda: radial_square(([-1.0, 1.0], [1.0, 1.0]), ([0.0, 1.0], [1.0, 1.0]), 2), "Radii must"),
        (lambda: radial_square(([0.0, 1.0], [1.0, 1.0]), ([0.0, 1.0], [1.0, 1.0]), 0), "dimension of 1"),
        (lambda: translation_square([1.0], -1.0), "Masses must be positive"),
        (lambda: dilation_square(-0.1, 1.0), "factor and a second moment of 0 or more"),
        (lambda: Gaussian([0.0, 0.0], [[1.0, 0.1], [0.0, 1.0]]), "symmetric"),
        (lambda: Gaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "no negative eigenvalue"),
        (lambda: Gaussian([0.0, 0.0], [[1.0]]), r"shape \(d, d\)"),
        (lambda: Gaussian([np.inf], [[1.0]]), "must be finite"),
        (lambda: gaussian_square(Gaussian([0.0], [[1.0]]), Gaussian([0.0] * 2, np.eye(2))), "1 and 2"),
        (lambda: Barenblatt(1.0, 2, 1.0, 1.0), "m > 1"),
        (lambda: Barenblatt(2.0, 0, 1.0, 1.0), "dimension of 1 or more"),
        (lambda: Barenblatt(2.0, 2, 1.0, 0.0), "Heights and radii must be positive"),
        (lambda: Barenblatt(2.0, 2, 1.0, 1.0, (0.5,)), "no center with 1 numbers"),
    ],
)
def test_bad_input_is_refused(act, message):
    with pytest.raises(InputError, match=message):
        act()
