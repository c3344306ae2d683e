import math

import numpy as np
import pytest
from references import COMM, mesh_of, quadratic_potential, waves

from fem_models.energies import Boltzmann, Density, Dirichlet, Electrostatic, Interaction, PowerLaw, Quadratic
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.jko.path_ends import EnergyEnd, FixedEnd
from fem_models.jko.paths import PathEquations
from fem_models.nodal.mobilities import mobility

TAU = 0.3


def porous(mesh):
    return GradientFlow(mesh, Species(), PowerLaw(3) + quadratic_potential(4.0)).with_lumping("cells")


def two_components(mesh):
    species = (Species("u"), Species("v"))
    coupled = Density(lambda f, x: f["u"] ** 2 * f["v"] + x[0] * f["v"], of=("u", "v"))
    energy = PowerLaw(2, of="u", name="a") + Boltzmann(of="v", coefficient=0.5, name="b") + coupled
    return GradientFlow(mesh, species, energy).with_lumping("cells")


def chemotaxis(mesh):
    species = (Species("rho"), Species("c", "l2"))
    coupled = Density(lambda f, x: 0.5 * f["c"] ** 2 - 0.3 * f["rho"] * f["c"], of=("rho", "c"))
    energy = Boltzmann(of="rho") + coupled + Dirichlet(of="c", name="d")
    return GradientFlow(mesh, species, energy).with_lumping("cells")


def attracted(mesh):
    energy = Quadratic(1.5) + Interaction(lambda z: np.exp(-0.2 * (z**2).sum(axis=0)), ("rho", "rho"))
    return GradientFlow(mesh, Species(), energy).with_lumping("cells")


def charged(mesh):
    species = (Species("u"), Species("v"), Species("psi", "static"))
    energy = PowerLaw(2, of="u", name="a") + PowerLaw(2, of="v", name="b")
    return GradientFlow(mesh, species, energy + Electrostatic({"u": 1, "v": -1})).with_lumping("cells")


FLOWS = [porous, two_components, chemotaxis, attracted]


def equations(flow, slabs, flux="average"):
    form = mobility(flux, flow.space, flow.geometry, flow.cells)
    weight = 1.0 if slabs == 1 else 0.5
    return PathEquations(flow.space, flow.geometry.volumes, form, slabs, weight, EnergyEnd(flow))


def unknowns_of(path, seed=3):
    """Positive densities and potentials of a few tenths."""
    points = path.space.tabulate_dof_coordinates()[:, : path.space.mesh.geometry.dim]
    return 0.4 + 0.3 * waves(points, seed, path.size)


def lagrangian(flow, path, unknowns, old, flux):
    """L of `fem_models.jko.paths` and Σ m(c - c_old)²/2τ on one rank, by edges or cells."""
    delta, a = TAU / path.slabs, path.weight
    m = flow.geometry.volumes
    densities, potentials = path.densities(unknowns), path.potentials(unknowns)
    value = flow.energy(path.final(unknowns))
    relaxed = flow.relaxed
    value += (m @ (path.final(unknowns) - old)[:, relaxed] ** 2).sum() / (2.0 * TAU)
    x = flow.points
    for s, column in enumerate(np.flatnonzero(flow.transported)):
        before = old[:, column]
        for k in range(path.slabs):
            after, phi = densities[:, s, k], potentials[:, s, k]
            mean = (1.0 - a) * before + a * after
            action = 0.0
            if flux == "average":
                for nodes in flow.space.dofmap.list:
                    # The gradient from values at the corners, by the linear function through them.
                    corners = np.hstack([np.ones((len(nodes), 1)), x[nodes]])
                    gradient = np.linalg.solve(corners, phi[nodes])[1:]
                    size = abs(np.linalg.det(corners)) / math.factorial(x.shape[1])
                    action += size * mean[nodes].mean() * (gradient @ gradient)
            else:
                for (i, j), kappa in zip(flow.geometry.pairs, flow.geometry.kappa, strict=True):
                    source = i if phi[i] > phi[j] else j
                    action += kappa * mean[source] * (phi[i] - phi[j]) ** 2
            value -= m @ ((after - before) * phi) + 0.5 * delta * action
            before = after
    return value


@pytest.mark.parametrize("slabs", [1, 2, 3])
@pytest.mark.parametrize("build", FLOWS)
@pytest.mark.parametrize("flux", ["average", "upwind"])
def test_residual_is_the_gradient_of_the_lagrangian(build, slabs, flux):
    flow = build(mesh_of("disk", True, h=0.9))
    path = equations(flow, slabs, flux)
    unknowns, old = unknowns_of(path), 0.5 + waves(flow.points, 4, len(flow.names))
    residual = path.residual(unknowns, old, TAU)
    c = path.columns
    # (2.9a) is -∂L/∂φ, (2.9b) and (2.9e) are -∂L/∂ρ, and an L² field has τ∂L/∂c.
    expected = np.empty_like(residual)
    expected[:, :c] = -residual[:, c : 2 * c]
    expected[:, c : 2 * c] = -residual[:, :c]
    expected[:, 2 * c :] = residual[:, 2 * c :] / TAU
    h = 1e-6
    rng = np.random.default_rng(1)
    for node in rng.choice(path.nodes, 3, replace=False):
        for place in range(path.size):
            values = []
            for step in (h, -h):
                moved = unknowns.copy()
                moved[node, place] += step
                values.append(lagrangian(flow, path, moved, old, flux))
            difference = (values[0] - values[1]) / (2.0 * h)
            assert difference == pytest.approx(expected[node, place], rel=1e-6, abs=1e-8)


def product(path, matrix, change):
    x, y = matrix.createVecs()
    x.array_w[:] = change[: path.owned].ravel()
    matrix.mult(x, y)
    found = y.array_r.reshape(path.owned, path.size).copy()
    return found + (path.interaction_change(change, TAU) if path.end.interacts else 0.0)


@pytest.mark.parallel
@pytest.mark.parametrize("slabs", [1, 3])
@pytest.mark.parametrize("build", [*FLOWS, charged])
@pytest.mark.parametrize("flux", ["average", "upwind"])
def test_jacobian_is_the_derivative_of_the_residual(build, slabs, flux):
    flow = build(mesh_of("disk", h=0.45))
    path = equations(flow, slabs, flux)
    unknowns, old = unknowns_of(path), 0.5 + waves(flow.points, 4, len(flow.names))
    change = waves(flow.points, 8, path.size) - 0.5
    matrix = path.new_matrix()
    nothing = np.zeros((path.nodes, path.columns))
    path.residual(unknowns, old, TAU)
    path.linearise(unknowns, old, TAU, matrix, nothing[: path.owned], nothing > 0.0)
    h = 1e-6
    upper, lower = (path.residual(unknowns + step * change, old, TAU).copy() for step in (h, -h))
    assert product(path, matrix, change) == pytest.approx((upper - lower) / (2.0 * h), abs=1e-7)


@pytest.mark.parallel
def test_barriers_and_held_densities_enter_their_own_rows_only():
    flow = two_components(mesh_of("disk", h=0.45))
    path = equations(flow, 2)
    unknowns, old = unknowns_of(path), 0.5 + waves(flow.points, 4, 2)
    c, owned = path.columns, path.owned
    nothing = np.zeros((path.nodes, c))
    held = waves(flow.points, 6, c) > 0.6
    barrier = waves(flow.points, 7, c)[:owned]
    change = waves(flow.points, 8, path.size) - 0.5
    products = []
    for b, h in ((nothing[:owned], nothing > 0.0), (barrier, held)):
        matrix = path.new_matrix()
        path.linearise(unknowns, old, TAU, matrix, b, h)
        products.append(product(path, matrix, change))
    plain, limited = products
    expected = plain.copy()
    expected[:, c : 2 * c] -= barrier * change[:owned, :c]
    alone = -flow.geometry.volumes[:owned, None] * change[:owned, :c]
    expected[:, c : 2 * c] = np.where(held[:owned], alone, expected[:, c : 2 * c])
    assert limited == pytest.approx(expected, abs=1e-13)


@pytest.mark.parallel
def test_given_ends_pin_the_constant_of_the_potential():
    flow = porous(mesh_of("disk", h=0.45))
    target = 0.5 + waves(flow.points, 5)
    form = mobility("average", flow.space, flow.geometry, None)
    volumes = flow.geometry.volumes
    path = PathEquations(flow.space, volumes, form, 2, 0.5, FixedEnd(target, volumes, flow.owned))
    unknowns, old = unknowns_of(path), 0.5 + waves(flow.points, 4)
    residual = path.residual(unknowns, old, TAU)
    end = volumes[: flow.owned] * (path.densities(unknowns)[:, 0, 1] - target[:, 0])[: flow.owned]
    assert residual[:, 3] == pytest.approx(end)
    nothing = np.zeros((path.nodes, path.columns))
    matrix = path.new_matrix()
    path.linearise(unknowns, old, TAU, matrix, nothing[: path.owned], nothing > 0.0)
    constant = np.zeros((path.nodes, path.size))
    constant[:, path.columns :] = 1.0
    moved = np.abs(product(path, matrix, constant)).sum(axis=1)
    # Only one row of all sees that both potentials have changed by a constant.
    assert COMM.allreduce(int((moved > 1e-10).sum())) == 1


@pytest.mark.parallel
def test_action_of_a_translation_is_its_distance():
    # φ = -v·x moves any density by v τ: W² = |v|² τ² ∫ρ.
    flow = porous(mesh_of("disk", h=0.3))
    path = equations(flow, 3)
    v = np.array([0.4, -0.7])
    old = 0.5 + waves(flow.points, 4)
    unknowns = path.constant(old, -(flow.points @ v)[:, None])
    mass = flow.masses(old)["rho"]
    assert path.action(unknowns, old, TAU)[0] == pytest.approx(0.5 * TAU * mass * (v @ v), rel=1e-12)


@pytest.mark.parallel
def test_mass_is_conserved_by_the_fluxes():
    flow = two_components(mesh_of("disk", h=0.45))
    path = equations(flow, 2)
    old = 0.5 + waves(flow.points, 4, 2)
    unknowns = unknowns_of(path)
    path.densities(unknowns)[:] = old[:, :, None]
    rows = path.residual(unknowns, old, TAU)[:, : path.columns]
    assert np.abs(rows).max() > 1e-3
    assert COMM.allreduce(rows.sum(axis=0)) == pytest.approx(np.zeros(4), abs=1e-13)
