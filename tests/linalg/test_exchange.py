"""Sums over ranks at nodes, values of ghosts, and matrices with a pattern of coordinates."""

import numpy as np
import pytest
from dolfinx import fem
from references import COMM, mesh_of

from fem_models.linalg.coordinates import block_coordinates, coordinate_matrix, global_numbers
from fem_models.linalg.exchange import Exchange, sums, with_ghosts

pytestmark = pytest.mark.parallel


@pytest.fixture
def index_map():
    return fem.functionspace(mesh_of("rectangle", cells=(4, 3)), ("Lagrange", 1)).dofmap.index_map


def test_sums_are_those_of_the_shares_of_all_ranks(index_map):
    nodes = index_map.size_local + index_map.num_ghosts
    numbers = global_numbers(index_map)
    # How many ranks know each node.
    known = COMM.allgather(set(numbers.tolist()))
    expected = np.array([sum(number in others for others in known) for number in numbers], dtype=float)
    np.testing.assert_array_equal(sums(index_map, np.arange(nodes), 1.0), expected)
    # Entries that come repeatedly, and shares that are spread over entries of another shape.
    twice = np.stack([np.arange(nodes), np.arange(nodes)])
    np.testing.assert_allclose(sums(index_map, twice, np.full(nodes, 0.5)), expected)
    np.testing.assert_allclose(sums(index_map, twice.T, np.full((nodes, 1), 0.5)), expected)


def test_ghosts_are_told_the_values_of_their_owners(index_map):
    numbers = global_numbers(index_map)
    found = with_ghosts(index_map, numbers[: index_map.size_local].astype(float))
    np.testing.assert_array_equal(found, numbers)
    exchange = Exchange(index_map, 2)
    pairs = np.stack([numbers, -numbers], axis=1)
    np.testing.assert_array_equal(exchange.with_ghosts(pairs[: exchange.owned].ravel()), pairs)
    exchange.cleared()[:] = 1.0
    everywhere = exchange.summed_everywhere()
    np.testing.assert_array_equal(everywhere[:, 0], sums(index_map, np.arange(len(numbers)), 1.0))
    assert not exchange.cleared().any()


def test_values_at_one_place_are_added(index_map):
    numbers = global_numbers(index_map)
    unknowns = numbers[:, None] * 2 + np.arange(2)
    rows, columns = (places.ravel() for places in block_coordinates(unknowns, unknowns))
    matrix = coordinate_matrix(COMM, index_map, index_map, rows, columns, 2)
    matrix.setValuesCOO(np.ones(len(rows)))
    assert matrix.getBlockSize() == 2
    ones, product = matrix.createVecs()
    ones.set(1.0)
    matrix.mult(ones, product)
    owned = index_map.size_local
    expected = 2.0 * sums(index_map, np.arange(len(numbers)), 1.0)[:owned]
    np.testing.assert_allclose(product.array_r.reshape(owned, 2), expected[:, None] * np.ones(2))
