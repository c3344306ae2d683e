"""The total squared distance of minimising movements and its bounds, against closed forms."""

import math

import numpy as np
import pytest

from fem_models.core.errors import InputError
from fem_models.jko.total_distance import hoelder_bound, total_distance, total_distance_bound


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
