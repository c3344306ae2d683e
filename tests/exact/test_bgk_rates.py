"""Rates of linear kinetic equations."""

import numpy as np
import pytest
from kinetic_problems import moments

from fem_models.exact.bgk import LARGEST, bgk_eigenvalue, fokker_planck_density


@pytest.mark.parametrize(
    ("k", "epsilon", "expected"),
    [
        (1.0, 0.5, -0.8562846),
        (1.0, 0.2, -0.9651154),
        (1.0, 0.1, -0.9903752),
        (2.0 * np.pi, 0.1, -31.988466),
    ],
)
def test_eigenvalues_are_those_of_many_moments(k, epsilon, expected):
    assert bgk_eigenvalue(k, epsilon) == pytest.approx(expected, rel=1e-7)
    # In units with the rate 2 time is half as long and ε twice as large.
    assert bgk_eigenvalue(k, 2.0 * epsilon, 2.0) == pytest.approx(0.5 * expected, rel=1e-7)
    if epsilon * k < 0.3:
        first = np.eye(40)[0]
        late = [moments(first, epsilon, t, k)[0].real for t in (2.0, 3.0)]
        assert np.log(late[1] / late[0]) == pytest.approx(expected, rel=1e-6)


def test_short_waves_have_no_eigenvalue():
    assert bgk_eigenvalue(1.0, LARGEST) is None
    assert bgk_eigenvalue(1.0, 0.999 * LARGEST) < 0.0


def test_the_density_of_the_kinetic_fokker_planck_equation_is_that_of_its_moments():
    found = moments(np.eye(40)[0], 0.3, 0.2, 2.0, fokker_planck=True)[0]
    assert fokker_planck_density(2.0, 0.3, 0.2) == pytest.approx(found.real, rel=1e-10)
