import math

import numpy as np
import pytest
from references import flow_of, mesh_of, quadratic_potential

from fem_models.core.errors import InputError
from fem_models.energies import (
    Boltzmann,
    Density,
    Dirichlet,
    Electrostatic,
    Interaction,
    Potential,
    PowerLaw,
    Quadratic,
)
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.flow.log_density import LogDensityFlow

each_degree = pytest.mark.parametrize("degree", [1, 2])
ENTROPY = Boltzmann(coefficient=0.7)


def exponential(x):
    return np.exp(x[0])


def with_signal(domain, coupling, **keys):
    """E = .7 ∫ρ log ρ + coupling + ½∫|∇c|² + c²."""
    square = Density(lambda f, x: 0.5 * f["c"] ** 2, of=("c",), name="square")
    energy = ENTROPY + coupling + square + Dirichlet()
    return GradientFlow(mesh_of(domain, **keys), (Species(), Species("c", "l2")), energy)


def charged(mesh, fixed=None, doping=0.0):
    energy = Boltzmann("u", name="entropy u") + Boltzmann("v", name="entropy v")
    energy = energy + Electrostatic({"u": 1.0, "v": -2.0}, doping=doping)
    return GradientFlow(mesh, (Species("u"), Species("v"), Species("psi", "static")), energy, fixed=fixed)


# Integrals


@pytest.mark.parallel
@each_degree
@pytest.mark.parametrize(
    ("domain", "keys"),
    [
        ("interval", {"cells": 10}),
        ("rectangle", {"cells": (8, 3)}),
        ("box", {"cells": (5, 2, 2)}),
    ],
)
def test_integrals_of_a_density_whose_logarithm_is_affine(domain, keys, degree):
    # exp(x₀) is in the space: only the quadrature errs, with a term of order 6 or more.
    flow = LogDensityFlow(flow_of(domain, ENTROPY + Potential(lambda x: 1.0 - 2.0 * x[0]), **keys), degree)
    state = flow.state(exponential)
    terms, others = flow.energy_terms(state), len(keys["cells"]) - 1 if domain != "interval" else 0
    assert flow.volume == pytest.approx(1.0)
    assert flow.masses(state)["rho"] == pytest.approx(math.e - 1.0, rel=1e-7)
    moment = math.e - 2.0 + others / 3.0 * (math.e - 1.0)
    assert flow.second_moments(state)["rho"] == pytest.approx(moment, rel=1e-7)
    assert terms["boltzmann"] == pytest.approx(0.7, rel=1e-7)
    assert terms["potential"] == pytest.approx(math.e - 3.0, rel=1e-7)
    assert flow.energy(state) == pytest.approx(0.7 + math.e - 3.0, rel=1e-7)
    # ∇μ = (.7 - 2, 0, …).
    assert flow.dissipation(state) == pytest.approx(1.3**2 * (math.e - 1.0), rel=1e-7)
    np.testing.assert_allclose(flow.potentials(state)[:, 0], 1.7 - 1.3 * flow.points[:, 0], rtol=1e-12)
    assert flow.minima(state)["rho"] == pytest.approx(1.0)
    assert flow.maxima(state)["rho"] == pytest.approx(math.e)


@pytest.mark.parallel
@each_degree
def test_potentials_are_interpolated(degree):
    # For ρ = 1 and V = x², ∫ I_h V is the trapezoidal rule: 1/3 + h²/6 for P1, exact for P2.
    flow = LogDensityFlow(flow_of("interval", ENTROPY + Potential(lambda x: x[0] ** 2), cells=8), degree)
    expected = 1.0 / 3.0 + (1.0 / 8**2 / 6.0 if degree == 1 else 0.0)
    assert flow.energy_terms(flow.state({"rho": 1.0}))["potential"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parallel
def test_dissipation_of_a_signal():
    # δE/δc = (π² + 1) cos πx - .3 exp(x), and ∇μ = .7 + .3 π sin πx. ∫ exp(x) cos πx = -(1 + e)/(1 + π²).
    coupling = Density(lambda f, x: -0.3 * f["c"] * f["rho"], of=("rho", "c"))
    found = []
    for cells in (16, 32):
        flow = LogDensityFlow(with_signal("interval", coupling, cells=cells), 2)
        state = flow.state({"rho": exponential, "c": lambda x: np.cos(np.pi * x[0])})
        found.append(flow.dissipation(state))
    x, weights = np.polynomial.legendre.leggauss(40)
    x, weights = 0.5 * (1.0 + x), 0.5 * weights
    force = (np.pi**2 + 1.0) * np.cos(np.pi * x) - 0.3 * np.exp(x)
    slope = 0.7 + 0.3 * np.pi * np.sin(np.pi * x)
    expected = weights @ (np.exp(x) * slope**2 + force**2)
    errors = np.abs(np.array(found) - expected)
    assert errors[1] < 1e-3 * expected
    # The represented force errs by O(h²) in L² at least; at 4⁻¹ less the error falls by 3 or more.
    assert errors[1] < errors[0] / 3.0


@pytest.mark.parallel
@each_degree
def test_potentials_of_a_signal_represent_the_derivative_of_the_energy(degree):
    coupling = Density(lambda f, x: -0.3 * f["c"] * f["rho"], of=("rho", "c"))
    flow = LogDensityFlow(with_signal("rectangle", coupling, cells=(4, 4)), degree)
    state = flow.state({"rho": exponential, "c": lambda x: 1.0 + x[0]})
    # Along constants: ∫δE/δc = ∫(c - .3 ρ).
    potential = flow.potentials(state)[:, 1]
    total = flow.masses(np.column_stack([np.ones(flow.nodes), potential]))["c"]
    assert total == pytest.approx(1.5 - 0.3 * (math.e - 1.0), rel=1e-7)


@pytest.mark.parallel
@each_degree
def test_charges_and_their_size(degree):
    flow = LogDensityFlow(charged(mesh_of("rectangle", cells=(4, 4)), doping=0.5), degree)
    state = flow.nodal_values({"u": 1.0, "v": 1.0})
    # u - 2v + .5 = -.5 everywhere.
    np.testing.assert_allclose(flow.charges(state), [[0.0, 0.0, -0.5], [0.0, 0.0, 0.5]], atol=1e-13)
    np.testing.assert_array_equal(flow.free_constants, [False, False, True])


# States


@pytest.mark.parallel
@each_degree
def test_states_are_scaled_to_the_mass_of_the_exponential(degree):
    flow = LogDensityFlow(flow_of("disk", ENTROPY, h=0.4), degree)
    state = flow.state(lambda x: np.exp(-3.0 * x[0] ** 2), 2.5)
    assert flow.masses(state)["rho"] == pytest.approx(2.5, rel=1e-13)
    doubled = flow.with_masses_of(2.0 * state, state)
    np.testing.assert_allclose(doubled, 2.0 * state, rtol=1e-13)


@pytest.mark.parallel
@each_degree
def test_nodes_weights_and_functions(degree):
    flow = LogDensityFlow(flow_of("disk", ENTROPY, h=0.4), degree)
    state = flow.state(lambda x: 1.0 + x[0] ** 2)
    assert state.shape == (flow.nodes, 1)
    np.testing.assert_array_equal(flow.space.dofmap.list, flow.fields.dofmap.list)
    np.testing.assert_allclose(flow.functions(state)["rho"].x.array, 1.0 + flow.points[:, 0] ** 2)
    assert flow.geometry.volumes.min() > 0.0
    assert flow.inside.all()


@pytest.mark.parallel
@each_degree
def test_fixed_values_fill_the_facets_between_fixed_vertices(degree):
    mesh = mesh_of("rectangle", cells=(4, 4))
    vertices = GradientFlow(mesh, Species("u"), Boltzmann("u")).points
    chosen = np.flatnonzero((vertices[:, 0] < 1e-9) & (vertices[:, 1] < 0.6)).astype(np.int32)
    flow = LogDensityFlow(charged(mesh, {"psi": (chosen, 1.0 + 3.0 * vertices[chosen, 1])}), degree)
    nodes, values = flow.fixed[2]
    expected = np.flatnonzero((flow.points[:, 0] < 1e-9) & (flow.points[:, 1] < 0.51))
    np.testing.assert_array_equal(np.sort(nodes), expected)
    np.testing.assert_allclose(values, 1.0 + 3.0 * flow.points[nodes, 1])
    assert not flow.free_constants.any()


@pytest.mark.parallel
@each_degree
def test_values_fixed_at_one_vertex_stay_there(degree):
    mesh = mesh_of("box", cells=(2, 2, 2))
    vertices = GradientFlow(mesh, Species("u"), Boltzmann("u")).points
    middle = np.flatnonzero(np.all(np.abs(vertices - 0.5) < 1e-9, axis=1)).astype(np.int32)
    flow = LogDensityFlow(charged(mesh, {"psi": (middle, 3.0)}), degree)
    nodes, values = flow.fixed[2]
    np.testing.assert_allclose(flow.points[nodes], 0.5 * np.ones((len(nodes), 3)))
    np.testing.assert_allclose(values, 3.0)
    assert flow.comm.allreduce(int(np.count_nonzero(nodes < flow.owned))) == 1


# What is refused


@pytest.mark.parametrize("degree", [0, 3])
def test_orders_that_are_not_offered(degree):
    with pytest.raises(InputError, match=f"must be 1 or 2, not {degree}"):
        LogDensityFlow(flow_of("interval", ENTROPY, cells=4), degree)


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        (PowerLaw(2), "power-law, for the potential of rho depends on the density rho"),
        (Quadratic(), "quadratic, for the potential of rho depends on the density rho"),
        (Interaction(lambda z: np.exp(-(z**2).sum(axis=0))), "interaction, for it is a non-local"),
        (Density(lambda f, x: f["rho"] * f["c"] ** 2, of=("rho", "c")), "density, .* is not affine in c"),
        (Density(lambda f, x: f["rho"] * f["c"] * x[0], of=("rho", "c")), "density, .* is not affine in c"),
        (Density(lambda f, x: f["c"] * f["rho"] ** 2, of=("rho", "c")), "depends on the density rho"),
    ],
)
def test_terms_that_it_cannot_treat(term, reason):
    with pytest.raises(InputError, match=reason):
        LogDensityFlow(with_signal("interval", term, cells=4), 1)


def test_terms_that_it_can_treat():
    affine = Density(lambda f, x: (x[0] - 2.0 * f["c"]) * (1.0 + f["rho"]) + f["c"] ** 4, of=("rho", "c"))
    flow = LogDensityFlow(with_signal("interval", affine, cells=4), 1)
    state = flow.state({"rho": 1.0, "c": 3.0})
    assert flow.energy_terms(state)["density"] == pytest.approx(2.0 * (0.5 - 6.0) + 81.0)


def test_a_density_without_an_entropy():
    with pytest.raises(InputError, match="an entropy of every density, but rho has none"):
        LogDensityFlow(flow_of("interval", quadratic_potential(1.0), cells=4), 1)


@pytest.mark.parallel
def test_densities_on_a_part_of_the_mesh():
    mesh = mesh_of("rectangle", cells=(4, 4))
    index_map = mesh.topology.index_map(2)
    middles = mesh.geometry.x[mesh.geometry.dofmaps[0]].mean(axis=1)
    part = np.flatnonzero(middles[: index_map.size_local + index_map.num_ghosts, 0] < 0.5).astype(np.int32)
    with pytest.raises(InputError, match="densities on the whole mesh"):
        LogDensityFlow(GradientFlow(mesh, Species(), ENTROPY, part), 1)


@pytest.mark.parallel
def test_vacuum():
    flow = LogDensityFlow(flow_of("rectangle", ENTROPY, cells=(4, 4)), 1)
    with pytest.raises(InputError, match="initial rho is zero somewhere, but the log-density needs positive"):
        flow.state(lambda x: np.maximum(x[0] - 0.3, 0.0))
    with pytest.raises(InputError, match="negative"):
        flow.state(lambda x: x[0] - 0.3)
    with pytest.raises(InputError, match="mass of rho must be a positive"):
        flow.state({"rho": 1.0}, -1.0)
