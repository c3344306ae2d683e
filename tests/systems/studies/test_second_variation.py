"""Second variations along translations and lines, against differences of energies on a fine grid."""

import numpy as np
import pytest
import ufl
from references import mesh_of

from fem_models.core.errors import InputError
from fem_models.energies import Boltzmann, Dirichlet, Energy
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.systems.studies.second_variation import second_variations
from fem_models.systems.two_component import quadratic_potentials, two_component

AMPLITUDE, EPSILON, CENTER, CONVEXITY = 0.5, 0.3, 0.4, 1.5
PROFILES = {
    "rho1": lambda x: ufl.exp(-((x[0] - 0.2) ** 2)),
    "rho2": lambda x: ufl.exp(-((x[0] + 0.1) ** 2)),
}
GRID = np.linspace(-7.0, 7.0, 60_001)


def flow_of_two(m=2.0, cells=800, **coupling):
    mesh = mesh_of("interval", lower=(-7.0,), upper=(7.0,), cells=(cells,))
    return two_component(
        mesh, quadratic_potentials(CONVEXITY, [(CENTER,), (-CENTER,)]), m, EPSILON, **coupling
    )


def densities(x, k, amplitude=AMPLITUDE):
    waves = 1 + amplitude * np.sin(k * x)
    return np.exp(-((x - 0.2) ** 2)) * waves, np.exp(-((x + 0.1) ** 2)) * waves


def energy(a, b, m):
    """E^ε by the rectangle rule, spectrally accurate for smooth densities that vanish at the ends."""
    internal = a * np.log(a) + b * np.log(b) if m == 1 else (a**m + b**m) / (m - 1)
    V = [0.5 * CONVEXITY * (GRID - side * CENTER) ** 2 for side in (1, -1)]
    density = internal + V[0] * a + V[1] * b + EPSILON * (a * b / (1 + a + b)) ** m
    return density.sum() * (GRID[1] - GRID[0])


def second_difference(function, h):
    """The second derivative at 0 to fourth order."""
    return np.array([-1, 16, -30, 16, -1]) @ [function(n * h) for n in range(-2, 3)] / (12 * h**2)


@pytest.mark.parametrize("m", [1.0, 2.0, 3.0])
def test_against_differences(m):
    rows = second_variations(flow_of_two(m), PROFILES, [2.0, 20.0, 80.0], AMPLITUDE)
    for row in rows:
        k = row["k"]

        def moved(s, k=k):
            return energy(densities(GRID - s, k)[0], densities(GRID, k)[1], m)

        def on_line(s, k=k):
            return energy(*densities(GRID, k, AMPLITUDE * (1 + s)), m)

        assert row["displacement"] == pytest.approx(second_difference(moved, 0.02 / k), rel=1e-5, abs=1e-4)
        assert row["flat"] == pytest.approx(second_difference(on_line, 1e-2), rel=1e-5)
        assert row["displacement_over_k2"] == pytest.approx(row["displacement"] / k**2)


def test_the_lemma():
    # Like -k² along the translation, for any ε; positive along lines, for this one.
    frequencies = [1.0, 16.0, 32.0, 64.0]
    rows = second_variations(flow_of_two(), PROFILES, frequencies, AMPLITUDE)
    assert rows[0]["displacement"] > 0.0
    slopes = [row["displacement"] - rows[1]["displacement"] for row in rows[2:]]
    assert slopes[0] < 0.0
    assert slopes[1] / slopes[0] == pytest.approx((64**2 - 16**2) / (32**2 - 16**2), rel=1e-6)
    assert all(row["flat"] > 0.0 and row["flat_least"] > 0.9 for row in rows)


@pytest.mark.parallel
def test_a_smooth_kernel_keeps_semiconvexity():
    # For K = exp(-z²) the translation gives ∫∫ K''(x - y) ρ₁ρ₂, bounded by 2 masses, whatever the frequency.
    flow = flow_of_two(kernel=lambda z: np.exp(-(z[0] ** 2)))
    for row in second_variations(flow, PROFILES, [2.0, 60.0], AMPLITUDE):
        x = GRID[::40]
        a, b = densities(x, row["k"])
        z = np.subtract.outer(x, x)
        h = x[1] - x[0]
        coupling = h**2 * a @ ((4 * z**2 - 2) * np.exp(-(z**2))) @ b
        assert row["displacement"] == pytest.approx(CONVEXITY * a.sum() * h + EPSILON * coupling, rel=2e-3)
        wave = AMPLITUDE * np.sin(row["k"] * x)
        first, second = (base * wave for base in densities(x, 0.0))
        along = 2 * h * (first @ first + second @ second)
        along += 2 * EPSILON * h**2 * first @ np.exp(-(z**2)) @ second
        assert row["flat"] == pytest.approx(along, rel=1e-4)


@pytest.mark.parallel
def test_a_plane():
    # ρ_j = exp(-|x|²)(1 + a sin kx): the second coordinate changes nothing but the coupling.
    mesh = mesh_of("rectangle", lower=(-4.0, -4.0), upper=(4.0, 4.0), cells=(40, 40))
    flow = two_component(
        mesh, quadratic_potentials(1.0, [(0, 0), (0, 0)]), 2.0, 1.0, lambda f: f["rho1"] * f["rho2"]
    )
    profile = dict.fromkeys(flow.names, lambda x: ufl.exp(-ufl.dot(x, x)))
    (row,) = second_variations(flow, profile, [3.0], 0.5)
    x = np.linspace(-6, 6, 4001)
    h = x[1] - x[0]
    slope = np.exp(-(x**2)) * (-2 * x * (1 + 0.5 * np.sin(3 * x)) + 1.5 * np.cos(3 * x))
    mass = np.pi  # the part with the sine is odd
    expected = mass - (slope**2).sum() * h * np.sqrt(np.pi / 2)
    # The densities are e^-16 at the boundary.
    assert row["displacement"] == pytest.approx(expected, rel=1e-5)


def test_bad_input():
    flow = flow_of_two(cells=100)
    with pytest.raises(InputError, match=r"at most 11\.22, which edges of 0\.14 resolve; they"):
        second_variations(flow, PROFILES, [1.0, 50.0], AMPLITUDE)
    with pytest.raises(InputError, match="must be positive"):
        second_variations(flow, PROFILES, [-1.0], AMPLITUDE)
    energy = Energy([Boltzmann("rho1"), Dirichlet("rho2")])
    other = GradientFlow(flow.mesh, [Species("rho1"), Species("rho2", "l2")], energy)
    with pytest.raises(InputError, match=r"this flow has rho1 \(wasserstein\), rho2 \(l2\)"):
        second_variations(other, PROFILES, [1.0], AMPLITUDE)
