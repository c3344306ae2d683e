"""Hermite modes."""

import numpy as np
import pytest

from fem_models.core.errors import InputError
from fem_models.kinetic.bgk.modes import HermiteModes, gauss_hermite


@pytest.mark.parametrize(("dim", "degree", "count"), [(1, 3, 4), (2, 3, 10), (3, 3, 20), (2, 7, 36)])
def test_modes_are_orthonormal_and_couple_by_the_velocity(dim, degree, count):
    modes = HermiteModes(dim, degree)
    assert len(modes) == count and not modes.even[0].any() and np.array_equal(modes.odd[:dim], np.eye(dim))
    nodes, weights = gauss_hermite(dim, degree + 2)
    even, odd = modes.values(nodes)
    both = np.hstack([even, odd])
    assert np.abs((both * weights[:, None]).T @ both - np.eye(count)).max() < 1e-12
    where, values = modes.couplings
    for a in range(dim):
        b = np.zeros((len(modes.even), len(modes.odd)))
        mine = where[:, 0] == a
        b[where[mine, 1], where[mine, 2]] = values[mine]
        assert np.abs((even * (weights * nodes[:, a])[:, None]).T @ odd - b).max() < 1e-12


def test_every_even_mode_of_an_odd_degree_diffuses_in_every_direction_and_even_degrees_are_refused():
    modes = HermiteModes(2, 3)
    where, _ = modes.couplings
    assert {(a, n) for a, n, _ in where.tolist()} == {
        (a, n) for a in range(2) for n in range(len(modes.even))
    }
    with pytest.raises(InputError, match="must be odd and positive, not 4"):
        HermiteModes(2, 4)


def test_damping_is_alike_for_relaxation_and_by_degree_for_fokker_planck():
    modes = HermiteModes(1, 5)
    assert [table.tolist() for table in modes.damping("relaxation")] == [[0, 1, 1], [1, 1, 1]]
    assert [table.tolist() for table in modes.damping("fokker-planck")] == [[0, 2, 4], [1, 3, 5]]


def test_with_a_tensor_product_modes_and_values_at_gauss_nodes_are_the_same():
    modes = HermiteModes(2, 3, tensor=True)
    nodes, weights = modes.nodes
    both = np.hstack(modes.values(nodes))
    assert both.shape == (16, 16)
    assert np.abs((both * weights[:, None]).T @ both - np.eye(16)).max() < 1e-12
