import math

import numpy as np
import pytest
import ufl
from petsc4py import PETSc
from references import COMM, flow_of, mesh_of, quadratic_potential, waves

from fem_models.core.errors import InputError
from fem_models.energies import Boltzmann, Density, Potential, PowerLaw, Quadratic
from fem_models.flow.edge_averaged import EdgeAveraged
from fem_models.flow.gradient_flow import GradientFlow, Species

TAU = 0.37
# One of them is enough on several ranks.
FLUXES = ["upwind", pytest.param("average", marks=pytest.mark.parallel)]
TWO = (Species("u"), Species("v"))


def coupling(fields, x):
    u, v = fields["u"], fields["v"]
    return u**2 * v + 0.3 * ufl.exp(v) * x[0]


def porous(mesh):
    return GradientFlow(mesh, Species(), PowerLaw(3) + quadratic_potential(4.0))


def entropic(mesh):
    # A drift that is weak, moderate and strong within the cells.
    potential = Potential(lambda x: 8.0 * ufl.sin(5.0 * x[0]) + x[0] ** 2)
    return GradientFlow(mesh, Species(), Boltzmann(coefficient=0.3) + Quadratic(2.0) + potential)


def fast(mesh):
    return GradientFlow(mesh, Species(), PowerLaw(0.6) + quadratic_potential(1.0))


def two_components(mesh):
    energy = PowerLaw(2, of="u", name="a") + Boltzmann(of="v", coefficient=0.5, name="b")
    return GradientFlow(mesh, TWO, energy + Density(coupling, of=("u", "v")))


def chemotaxis(mesh):
    species = (Species("u"), Species("v", "l2"))
    quartic = Density(lambda f, x: 0.25 * f["v"] ** 4, of="v", name="b")
    return GradientFlow(mesh, species, PowerLaw(2, of="u") + quartic + Density(coupling, of=("u", "v")))


FLOWS = [porous, entropic, fast, two_components, chemotaxis]


def smooth_potentials_by_hand(build, rho, x):
    """ψ = δE/δρ - θ log ρ of the flows above, and θ: written anew, without UFL."""
    r2 = (x**2).sum(axis=1)
    if build is porous:
        return (1.5 * rho[:, 0] ** 2 + 2.0 * r2)[:, None], [0.0]
    if build is entropic:
        return (2.0 * rho[:, 0] + 8.0 * np.sin(5.0 * x[:, 0]) + x[:, 0] ** 2)[:, None], [0.3]
    if build is fast:
        return (-1.5 * rho[:, 0] ** -0.4 + 0.5 * r2)[:, None], [0.0]
    u, v = rho.T
    by_u, by_v = 2.0 * u * v, u**2 + 0.3 * np.exp(v) * x[:, 0]
    if build is two_components:
        return np.stack([2.0 * u + by_u, by_v], axis=1), [0.0, 0.5]
    return np.stack([2.0 * u + by_u, v**3 + by_v], axis=1), [0.0, 0.0]


def one_flux(name, theta, kappa, a, b, d):
    """ρ_ij (μ_i - μ_j) as in the descriptions of the fluxes."""
    if kappa < 0.0:
        return min(a, b) * (theta * math.log(a / b) + d)
    if theta > 0.0:
        z = d / theta
        return theta * (z + z / math.expm1(z)) * a - theta * z / math.expm1(z) * b
    upwind, downwind = (a, b) if d > 0.0 else (b, a)
    if name == "upwind":
        return upwind * d
    return d * (0.5 * (a + b) if upwind >= downwind else 2.0 / (1.0 / a + 1.0 / b))


def state_of(flow, seed=1):
    return waves(flow.points, seed, len(flow.names))


def jacobian_times(discretization, state, direction, tau):
    matrix = discretization.new_matrix()
    discretization.jacobian(state, tau, matrix)
    x, y = matrix.createVecs()
    owned = discretization.flow.owned
    x.array_w[:] = direction[:owned].ravel()
    matrix.mult(x, y)
    return y.array_r.reshape(owned, -1).copy()


def with_negative_edges(flow):
    """Turn the sign of some coefficients, chosen by the position of the edge."""
    geometry = flow.geometry
    middle = flow.points[geometry.pairs].mean(axis=1)
    geometry.kappa[np.sin(29.0 * middle[:, 0] + 1.0) > 0.5] *= -1.0
    return flow


@pytest.mark.parametrize("negative", [False, True], ids=["", "negative edges"])
@pytest.mark.parametrize("flux", ["upwind", "average"])
@pytest.mark.parametrize("build", FLOWS)
def test_residual_equals_a_separate_sum_of_its_parts(build, flux, negative):
    # Without MPI: the sums below are over all edges.
    flow = build(mesh_of("disk", alone=True, h=0.3))
    if negative:
        flow = with_negative_edges(flow)
    discretization = EdgeAveraged(flow, flux)
    rho, anchor = state_of(flow), state_of(flow, 2)
    psi, theta = smooth_potentials_by_hand(build, rho, flow.points)
    m, geometry = flow.geometry.volumes, flow.geometry
    expected = m[:, None] * (rho - anchor)
    sizes = np.abs(expected)
    for s, species in enumerate(flow.species):
        if species.metric == "l2":
            expected[:, s] += TAU * m * psi[:, s]
            sizes[:, s] += np.abs(TAU * m * psi[:, s])
            continue
        for (i, j), kappa in zip(geometry.pairs, geometry.kappa, strict=True):
            value = one_flux(flux, theta[s], kappa, rho[i, s], rho[j, s], psi[i, s] - psi[j, s])
            expected[i, s] += TAU * kappa * value
            expected[j, s] -= TAU * kappa * value
            sizes[[i, j], s] += abs(TAU * kappa * value)
    found = discretization.residual(rho, anchor, TAU)
    assert np.all(np.abs(found - expected) <= 1e-12 * sizes)


@pytest.mark.parametrize("negative", [False, True], ids=["", "negative edges"])
@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("build", FLOWS)
def test_jacobian_agrees_with_central_differences(build, flux, negative):
    flow = build(mesh_of("disk", h=0.3))
    if negative:
        flow = with_negative_edges(flow)
    discretization = EdgeAveraged(flow, flux)
    rho, anchor, direction = state_of(flow), state_of(flow, 2), state_of(flow, 3) - 0.5
    # Densities away from zero, where that of chemotaxis may have either sign.
    rho = 0.1 + rho
    step = 1e-6
    up = discretization.residual(rho + step * direction, anchor, TAU).copy()
    down = discretization.residual(rho - step * direction, anchor, TAU).copy()
    expected = (up - down) / (2.0 * step)
    found = jacobian_times(discretization, rho, direction, TAU)
    scale = COMM.allreduce(float((np.abs(expected) ** 2).sum())) ** 0.5
    error = COMM.allreduce(float(((found - expected) ** 2).sum())) ** 0.5
    assert error <= 1e-7 * scale


@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("build", [porous, two_components])
def test_added_entropy_is_in_residual_and_jacobian(build, flux):
    flow = build(mesh_of("disk", h=0.3))
    discretization = EdgeAveraged(flow, flux)
    matrix = discretization.new_matrix()
    rho, direction, step, entropy = 0.1 + state_of(flow), state_of(flow, 3) - 0.5, 1e-6, 0.2
    up = discretization.residual(rho + step * direction, rho, TAU, entropy).copy()
    down = discretization.residual(rho - step * direction, rho, TAU, entropy).copy()
    discretization.jacobian(rho, TAU, matrix, entropy)
    x, y = matrix.createVecs()
    x.array_w[:] = direction[: flow.owned].ravel()
    matrix.mult(x, y)
    expected = ((up - down) / (2.0 * step)).ravel()
    np.testing.assert_allclose(y.array_r, expected, atol=1e-6 * np.abs(expected).max())
    without = discretization.residual(rho, rho, TAU).copy()
    assert (
        np.abs(discretization.residual(rho, rho, TAU, entropy) - without).max() > 1e-3 * np.abs(without).max()
    )


@pytest.mark.parametrize("negative", [False, True], ids=["", "negative edges"])
@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("build", FLOWS)
def test_residual_sums_to_the_change_of_mass(build, flux, negative):
    flow = build(mesh_of("disk", h=0.3))
    if negative:
        flow = with_negative_edges(flow)
    rho, anchor = state_of(flow), state_of(flow, 2)
    residual = EdgeAveraged(flow, flux).residual(rho, anchor, TAU)
    sums = COMM.allreduce(residual.sum(axis=0))
    sizes = COMM.allreduce(np.abs(residual).sum(axis=0))
    for s, name in enumerate(flow.names):
        if flow.species[s].metric == "wasserstein":
            change = flow.masses(rho)[name] - flow.masses(anchor)[name]
            assert sums[s] == pytest.approx(change, abs=1e-13 * sizes[s])


@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("build", FLOWS)
def test_columns_of_the_jacobian_sum_to_the_nodal_volumes(build, flux):
    # The derivative of the mass balance: fluxes leave it alone.
    flow = build(mesh_of("disk", h=0.3))
    discretization = EdgeAveraged(flow, flux)
    matrix = discretization.new_matrix()
    discretization.jacobian(0.1 + state_of(flow), TAU, matrix)
    one, sums = matrix.createVecs()
    for s in np.flatnonzero(flow.transported):
        rows = one.array_w.reshape(flow.owned, -1)
        rows[:] = 0.0
        rows[:, s] = 1.0
        matrix.multTranspose(one, sums)
        expected = np.zeros((flow.owned, len(flow.names)))
        expected[:, s] = flow.geometry.volumes[: flow.owned]
        norm = matrix.norm(PETSc.NormType.INFINITY)
        np.testing.assert_allclose(sums.array_r.reshape(expected.shape), expected, atol=1e-13 * norm)


@pytest.mark.parallel
@pytest.mark.parametrize("build", FLOWS)
def test_residual_is_the_same_on_any_number_of_ranks(build):
    flow, alone = build(mesh_of("disk", h=0.3)), build(mesh_of("disk", alone=True, h=0.3))
    parts = [EdgeAveraged(f, "average").residual(state_of(f), state_of(f, 2), TAU) for f in (flow, alone)]
    found = np.sort(np.concatenate(COMM.allgather(parts[0].copy())), axis=0)
    np.testing.assert_allclose(found, np.sort(parts[1], axis=0), atol=1e-12)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("energy", "singular"),
    [
        (PowerLaw(1.5) + quadratic_potential(1.0), False),
        (PowerLaw(0.5), True),
        (Boltzmann() + Quadratic(1.0), False),
        (Density(lambda f, x: f["rho"] * ufl.ln(f["rho"])), True),
    ],
    ids=["porous", "fast", "entropy", "logarithm"],
)
def test_potentials_that_are_infinite_in_vacuum_are_recognised(energy, singular):
    flow = flow_of("disk", energy, h=0.3)
    np.testing.assert_array_equal(EdgeAveraged(flow, "upwind").singular, [singular])


@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("m", [1.5, 2, 3])
def test_jacobian_is_finite_in_vacuum(m, flux):
    flow = flow_of("disk", PowerLaw(m) + quadratic_potential(1.0), h=0.3)
    rho = np.maximum(state_of(flow) - 0.5, 0.0)
    found = jacobian_times(EdgeAveraged(flow, flux), rho, np.ones_like(rho), TAU)
    assert np.all(np.isfinite(found))


def test_unknown_flux_is_refused():
    with pytest.raises(InputError, match="upwind, average, not 'central'"):
        EdgeAveraged(flow_of("disk", PowerLaw(2), h=0.3), "central")
