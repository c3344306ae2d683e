import functools
from types import SimpleNamespace

import numpy as np
import pytest
from mpi4py import MPI
from references import mesh_of, orders, waves
from scipy.spatial import cKDTree
from scipy.special import erf

from fem_models.core.errors import InputError
from fem_models.nodal.convolution import Convolution
from fem_models.nodal.edges import EdgeGeometry

from dolfinx import fem  # isort: skip

MESHES = {
    "interval": ("interval", {"lower": -1.0, "upper": 2.0, "cells": 40}),
    "long rectangle": ("rectangle", {"lower": (0.0, 1.0), "upper": (2.0, 1.5), "h": 0.12}),
    "disk": ("disk", {"h": 0.2}),
    "box": ("box", {"h": 0.25}),
}


def square(z):
    return (z**2).sum(axis=0)


KERNELS = {
    "Gaussian": lambda z: np.exp(-0.5 * square(z)),
    "skew": lambda z: np.exp(-0.5 * square(z)) * (1.0 + z[0]),
    "cosine": lambda z: np.cos(3.0 * z[0] - z[-1]),
    "constant": lambda z: 2.5,
}


def nodes_on(domain, alone=False, **keys):
    space = fem.functionspace(mesh_of(domain, alone, **keys), ("Lagrange", 1))
    return SimpleNamespace(
        points=space.tabulate_dof_coordinates()[:, : space.mesh.geometry.dim],
        volumes=EdgeGeometry(space).volumes,
        owned=space.dofmap.index_map.size_local,
        comm=space.mesh.comm,
    )


@functools.cache
def nodes_of(name, alone=False):
    domain, keys = MESHES[name]
    return nodes_on(domain, alone, **keys)


def convolution_on(nodes, kernel):
    return Convolution(nodes.points, nodes.volumes, nodes.owned, nodes.comm, kernel)


def cloud(dim, count=150, seed=5):
    """Nodes on one rank, in a cube of side 2 and denser towards its boundary, with equal volumes."""
    points = np.cos(np.pi * np.random.default_rng(seed).random((count, dim)))
    points[:2] = [[-1.0] * dim, [1.0] * dim]
    return SimpleNamespace(
        points=points, volumes=np.full(count, 2.0**dim / count), owned=count, comm=MPI.COMM_SELF
    )


def density_on(nodes, seed):
    """A density between 0 and 1, with ghosts that nobody may use."""
    values = waves(nodes.points, seed)[:, 0]
    values[nodes.owned :] = np.nan
    return values


def everywhere(nodes, values):
    """The values of owned nodes, of all ranks."""
    return np.concatenate(nodes.comm.allgather(values[: nodes.owned]))


def kernel_between(kernel, x, y):
    """K(x_i - y_j), shape (len(x), len(y))."""
    z = (x[:, None] - y[None]).reshape(-1, x.shape[1]).T
    return np.broadcast_to(kernel(z), z.shape[1:]).reshape(len(x), len(y))


def inner(nodes, a, b):
    return nodes.comm.allreduce(float((nodes.volumes * a * b)[: nodes.owned].sum()))


# Against sums over all pairs


@pytest.mark.parallel
@pytest.mark.parametrize("name", MESHES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_sums_over_all_pairs(name, kernel):
    nodes, kernel = nodes_of(name), KERNELS[kernel]
    convolution = convolution_on(nodes, kernel)
    density = density_on(nodes, 4)
    points, masses = everywhere(nodes, nodes.points), everywhere(nodes, nodes.volumes * density)
    there, back = kernel_between(kernel, nodes.points, points), kernel_between(kernel, points, nodes.points)
    assert convolution.error <= 1e-10
    # |Σ_j (K - K̂)_ij m_j ρ_j| ≤ max |K - K̂| Σ_j m_j ρ_j, and the sample misses the maximum by a little.
    size = nodes.comm.allreduce(np.abs(there).max(), op=MPI.MAX)
    allowed = (4.0 * convolution.error + 1e-14) * size * masses.sum()
    np.testing.assert_allclose(convolution.apply(density), there @ masses, rtol=0.0, atol=allowed)
    np.testing.assert_allclose(convolution.adjoint(density), masses @ back, rtol=0.0, atol=allowed)


@pytest.mark.parallel
@pytest.mark.parametrize("name", MESHES)
def test_constant_kernel_gives_the_mass(name):
    nodes = nodes_of(name)
    convolution = convolution_on(nodes, lambda z: np.ones(z.shape[1]))
    density = density_on(nodes, 2)
    mass = inner(nodes, density, np.ones_like(density))
    assert convolution.points_per_direction == 1
    for found in (convolution.apply(density), convolution.adjoint(density)):
        np.testing.assert_allclose(found, mass, rtol=1e-14)


def product_of_gaussians(x, a, b, center, lower, upper):
    """∫ exp(-(x-y)²/2a) exp(-(y-center)²/2b) dy from lower to upper."""
    variance = a * b / (a + b)
    mean, width = (b * x + a * center) / (a + b), np.sqrt(2.0 * variance)
    share = 0.5 * (erf((upper - mean) / width) - erf((lower - mean) / width))
    return np.exp(-((x - center) ** 2) / (2.0 * (a + b))) * np.sqrt(2.0 * np.pi * variance) * share


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("domain", "cells"), [("interval", (16, 32, 64)), ("rectangle", (8, 16, 32)), ("box", (6, 12))]
)
def test_gaussian_of_a_gaussian_to_second_order(domain, cells):
    # The density does not vanish at the boundary: nodal sums of one that does converge faster than any order.
    a, b, center = 0.4, 0.5, (0.3, 0.6, 0.5)
    errors = []
    for count in cells:
        dim = {"interval": 1, "rectangle": 2, "box": 3}[domain]
        nodes = nodes_on(domain, cells=(count,) * dim)
        centers = np.array(center[:dim])
        convolution = convolution_on(nodes, lambda z: np.exp(-square(z) / (2.0 * a)))
        found = convolution.apply(np.exp(-((nodes.points - centers) ** 2).sum(axis=1) / (2.0 * b)))
        exact = product_of_gaussians(nodes.points, a, b, centers, 0.0, 1.0).prod(axis=1)
        errors.append(nodes.comm.allreduce(np.abs(found - exact).max(), op=MPI.MAX))
    # The trapezoidal rule per direction, h²/12 max|f''| with the variance ab/(a+b), and the uneven corners.
    assert errors[-1] < dim / (12.0 * cells[-1] ** 2) * ((a + b) / (a * b) + 2.0)
    np.testing.assert_allclose(orders(errors), 2.0, atol=0.1)


# Structure


@pytest.mark.parallel
@pytest.mark.parametrize("name", MESHES)
@pytest.mark.parametrize("exponent", [1.0, 6.0])
def test_adjoint_is_exact_whatever_the_interpolation_error(name, exponent):
    nodes = nodes_of(name)
    convolution = convolution_on(nodes, lambda z: np.exp(-exponent * square(z)) * (1.0 + z[0]))
    one, two = (waves(nodes.points, seed)[:, 0] for seed in (7, 8))
    first = inner(nodes, one, convolution.apply(two))
    second = inner(nodes, convolution.adjoint(one), two)
    assert first > 1e-3
    assert first == pytest.approx(second, rel=1e-13)
    if name == "box" and exponent > 1.0:
        assert convolution.error > 1e-8


@pytest.mark.parallel
@pytest.mark.parametrize("name", MESHES)
def test_even_kernels_are_symmetric_and_odd_ones_skew(name):
    nodes = nodes_of(name)
    density = density_on(nodes, 3)
    for kernel, sign in (
        (KERNELS["Gaussian"], 1.0),
        (lambda z: z[0] * KERNELS["Gaussian"](z), -1.0),
    ):
        convolution = convolution_on(nodes, kernel)
        found, mirrored = convolution.apply(density), convolution.adjoint(density)
        assert np.abs(found).max(initial=0.0) > 1e-3
        np.testing.assert_allclose(found, sign * mirrored, rtol=0.0, atol=1e-13)


@pytest.mark.parallel
def test_only_differences_of_positions_count():
    nodes = nodes_of("disk")
    density = density_on(nodes, 6)
    moved = SimpleNamespace(**vars(nodes) | {"points": nodes.points + np.array([3.0, -8.0])})
    here, there = (convolution_on(where, KERNELS["skew"]) for where in (nodes, moved))
    np.testing.assert_allclose(there.apply(density), here.apply(density), rtol=1e-12)


@pytest.mark.parallel
@pytest.mark.parametrize("name", MESHES)
def test_same_on_any_number_of_ranks(name):
    shared, whole = nodes_of(name), nodes_of(name, alone=True)
    parts, reference = (convolution_on(nodes, KERNELS["skew"]) for nodes in (shared, whole))
    assert parts.points_per_direction == reference.points_per_direction
    distance, same = cKDTree(whole.points).query(shared.points)
    assert distance.max(initial=0.0) < 1e-12
    for method in ("apply", "adjoint"):
        found = getattr(parts, method)(density_on(shared, 9))
        expected = getattr(reference, method)(density_on(whole, 9))
        np.testing.assert_allclose(found, expected[same], rtol=1e-12)


# Accuracy and what is refused


@pytest.mark.parametrize(("degree", "dim"), [(1, 1), (3, 1), (3, 2), (2, 3)])
def test_polynomials_take_a_point_more_than_their_degree(degree, dim):
    convolution = convolution_on(cloud(dim), lambda z: z[-1] ** degree + z[0])
    assert convolution.points_per_direction == degree + 1
    assert convolution.error < 1e-14


@pytest.mark.parametrize(
    ("dim", "kernel"),
    [
        (1, lambda z: np.exp(-square(z))),
        (1, lambda z: np.sqrt(square(z) + 1e-4)),
        (1, lambda z: np.exp(-100.0 * (z[0] - 1.0) ** 2)),
        (2, lambda z: np.exp(-40.0 * square(z))),
        (2, lambda z: np.sqrt(square(z)) ** 3),
        (3, lambda z: np.exp(-2.0 * square(z)) * (1.0 + z[0])),
    ],
)
def test_error_is_the_largest_one_between_nodes(dim, kernel):
    nodes = cloud(dim)
    convolution = convolution_on(nodes, kernel)
    exact = kernel_between(kernel, nodes.points, nodes.points)
    units = np.eye(nodes.owned) / nodes.volumes
    found = np.stack([convolution.apply(unit) for unit in units], axis=1)
    largest = np.abs(found - exact).max() / np.abs(exact).max()
    assert convolution.error / 3.0 < largest < 3.0 * convolution.error


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["interval", "disk", "box"])
@pytest.mark.parametrize(
    "kernel",
    [lambda z: np.exp(-1e5 * square(z)), lambda z: np.where(z[0] < 0.1, 1.0, 0.0)],
    ids=["narrow", "step"],
)
def test_kernels_that_are_not_smooth_are_refused(name, kernel):
    with pytest.raises(InputError, match=r"not smooth .* relative error of \d\.\de[+-]\d\d at best"):
        convolution_on(nodes_of(name), kernel)


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["interval", "disk", "box"])
@pytest.mark.parametrize(
    "kernel",
    [
        lambda z: np.log(square(z)),
        lambda z: 1.0 / np.sqrt(square(z)),
        lambda z: np.sin(z[0]) / z[0],
        lambda z: np.sqrt(0.5 - square(z)),
        lambda z: np.exp(1e3 * z[0] ** 2),
    ],
    ids=["logarithm", "Newton", "only at zero", "short range", "overflow"],
)
def test_kernels_that_are_not_finite_are_refused(name, kernel):
    with pytest.raises(InputError, match="finite at all differences"):
        convolution_on(nodes_of(name), kernel)
