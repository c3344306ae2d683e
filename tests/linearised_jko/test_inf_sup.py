"""Inf-sup constants: dense linear algebra on small meshes, the design's table, the controls, and ranks."""

import numpy as np
import pytest
import scipy.linalg
import ufl
from dolfinx import fem
from references import mesh_of

from fem_models.core.errors import InputError
from fem_models.linearised_jko.elements import PAIRS
from fem_models.linearised_jko.inf_sup import InfSup, time_integration

# Measured with another program on the unit square, its fluxes free at the boundary.
TABLE = {
    "P1-DG0": (0.899, 0.956, 0.979, 0.987),
    "P2-DG1": (0.913, 0.965, 0.983, 0.990),
    "DG0-RT1": (1.251, 1.238, 1.222, 1.213),
    "DG1-RT2": (0.709, 0.749, 0.763, 0.769),
    "P2-DG0": (0.0, 0.0, 0.0, 0.0),
    "P1-P1": (0.174, 0.088, 0.065, 0.050),
    "P2-P2": (0.122, 0.067, 0.046, 0.035),
}
# Half a unit of the third digit, after rounding to four.
ROUNDED = 5.5e-4


def weight(x):
    return 0.05 + ufl.exp(-20 * sum((x[i] - 0.5) ** 2 for i in range(x.ufl_shape[0])))


def potential(x):
    return ufl.cos(np.pi * x[0]) + 0.5 * x[0] ** 2


def problem_of(name, domain="rectangle", cells=(3, 2), q=weight, alone=False):
    return InfSup(mesh_of(domain, alone=alone, cells=cells), PAIRS[name], q)


def dense(problem, boundary):
    """K = B G⁻¹ Bᵀ, N and the vector of ∫f, as arrays; the mesh is whole on this rank."""
    fluxes, coupling = problem.flux_matrices(boundary)
    b = coupling[:, :]
    v = ufl.TestFunction(problem.spaces.potentials)
    mean = fem.assemble_vector(fem.form(fem.Constant(problem.mesh, 1.0) * v * ufl.dx)).array
    return b @ np.linalg.solve(fluxes[:, :], b.T), problem.norm[:, :], mean


@pytest.mark.parametrize("name", TABLE)
def test_table_of_the_design(name):
    values = [problem_of(name, cells=(n, n), alone=True).of_fluxes("free") for n in (4, 8, 12, 16)]
    assert values == pytest.approx(TABLE[name], abs=ROUNDED)


@pytest.mark.parametrize("boundary", ["no-flux", "free"])
@pytest.mark.parametrize(
    ("domain", "cells"), [("interval", (5,)), ("rectangle", (3, 2)), ("box", (2, 1, 1))], ids=str
)
@pytest.mark.parametrize("name", ["P1-DG0", "P2-P2", "DG0-RT1", "DG1-RT2"])
def test_fluxes_alone_against_dense_eigenvalues(name, domain, cells, boundary):
    problem = problem_of(name, domain, cells, alone=True)
    stiffness, norm, mean = dense(problem, boundary)
    allowed = scipy.linalg.null_space(mean[None, :])
    values = scipy.linalg.eigh(allowed.T @ stiffness @ allowed, allowed.T @ norm @ allowed, eigvals_only=True)
    assert problem.of_fluxes(boundary) == pytest.approx(np.sqrt(values[0]), rel=1e-7)


def supremum_over_h(problem, norm, mean, duration, slabs):
    """The Gram matrix of the supremum over h constant in space, on all f_k together.

    Written down from (2.14) slab by slab, with the dual norm of each slab, without splitting in time.
    """
    count, delta = len(mean), duration / slabs
    inside = 1.0 if slabs == 1 else 0.5
    x, v = ufl.SpatialCoordinate(problem.mesh), ufl.TestFunction(problem.spaces.potentials)
    form = ufl.dot(ufl.grad(potential(x)), ufl.grad(v)) * ufl.dx(degree=10)
    if not problem.pair.conforming:
        n = ufl.FacetNormal(problem.mesh)
        form -= ufl.dot(ufl.grad(potential(x))("+"), n("+")) * (v("+") - v("-")) * ufl.dS(degree=10)
    moved = fem.assemble_vector(fem.form(form)).array
    rows = np.zeros((slabs, slabs, count))  # h_j = 1 at slab ends: what it does to f_k
    for j in range(slabs):
        for k in range(slabs):
            now, before = float(j == k), float(j == k - 1)
            h = inside * now + (1.0 - inside) * before
            rows[j, k] = (now - before) * mean - delta * h * moved
    dual = np.linalg.inv(norm + np.outer(mean, mean))
    gram = np.einsum("ika,ab,jkb->ij", rows, dual, rows) / delta
    flat = rows.reshape(slabs, -1)
    return flat.T @ np.linalg.solve(gram, flat)


@pytest.mark.parametrize("slabs", [1, 3])
@pytest.mark.parametrize("name", ["P1-DG0", "DG1-RT2"])
def test_whole_constraint_against_dense_eigenvalues_in_space_and_time(name, slabs):
    duration = 0.7
    problem = problem_of(name, alone=True)
    stiffness, norm, mean = dense(problem, "no-flux")
    slab, delta = np.eye(slabs), duration / slabs
    left = delta * np.kron(slab, stiffness) + supremum_over_h(problem, norm, mean, duration, slabs)
    right = delta * np.kron(slab, norm + np.outer(mean, mean))
    value = scipy.linalg.eigh(left, right, eigvals_only=True)[0]
    # The two quadratures of ∇φ differ a little.
    assert problem.of_constraint(duration, slabs, potential) == pytest.approx(np.sqrt(value), rel=1e-5)
    fluxes_alone = min(1.0, problem.of_fluxes())
    assert np.sqrt(value) < 0.9 * fluxes_alone  # so that the transport matters here


@pytest.mark.parametrize("name", ["P2-DG1", "DG0-RT1", "P2-DG0"])
def test_without_transport_constants_are_controlled_and_slabs_do_not_matter(name):
    problem = problem_of(name, cells=(3, 3))
    expected = min(1.0, problem.of_fluxes())
    for slabs in (1, 4):
        assert problem.of_constraint(0.5, slabs, lambda x: ufl.as_ufl(2.0)) == pytest.approx(
            expected, rel=1e-7
        )


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["P1-P1", "DG1-RT2"])
def test_constants_do_not_depend_on_ranks(name):
    shared, whole = (problem_of(name, alone=alone) for alone in (False, True))
    assert shared.of_fluxes("free") == pytest.approx(whole.of_fluxes("free"), rel=1e-8)
    values = [problem.of_constraint(0.7, 3, potential) for problem in (shared, whole)]
    assert values[0] == pytest.approx(values[1], rel=1e-8)


def test_stable_pairs_are_bounded_in_three_dimensions_and_controls_are_not():
    def values(name):
        return [problem_of(name, "box", (n, n, n), alone=True).of_fluxes() for n in (1, 2, 4)]

    assert min(values("P1-DG0")) > 0.5
    assert min(values("DG0-RT1")) > 0.5
    assert values("P2-DG0") == [0.0, 0.0, 0.0]
    falling = values("P1-P1")
    assert falling[2] < 0.6 * falling[1]


def test_constant_weights_give_one_for_gradients_that_are_fluxes():
    """For q constant, ∇f is q times a flux of the pair: the supremum is the norm of f."""
    for name in ("P1-DG0", "P2-DG1"):
        assert problem_of(name, q=lambda x: ufl.as_ufl(3.0)).of_fluxes() == pytest.approx(1.0, rel=1e-8)


def test_time_integration():
    assert time_integration(0.5, 1) == pytest.approx(np.array([[0.5]]))
    # Trapezoidal sums of the rates 1, 2 in slabs of length 2: h = 2, 6 at the ends, 1, 4 in the middle.
    assert time_integration(4.0, 2) @ [1.0, 2.0] == pytest.approx([1.0, 4.0])


@pytest.mark.parallel
@pytest.mark.parametrize(
    "q", [lambda x: x[0] - 0.5, lambda x: 1 / x[0], lambda x: ufl.ln(x[0]), lambda x: ufl.as_ufl(0.0)]
)
def test_weights_that_are_not_positive_are_refused_on_all_ranks(q):
    with pytest.raises(InputError, match="weight q must be positive"):
        problem_of("P1-DG0", q=q)


@pytest.mark.parallel
def test_bad_transports_are_refused_on_all_ranks():
    problem = problem_of("P1-DG0")
    for duration, slabs, phi, message in (
        (0.0, 1, potential, "duration must be positive"),
        (1.0, 0, potential, "at least one slab"),
        (1.0, 1, lambda x: ufl.sqrt(x[0] - 0.5), "not finite on the mesh"),
    ):
        with pytest.raises(InputError, match=message):
            problem.of_constraint(duration, slabs, phi)
