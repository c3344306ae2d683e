import math

import numpy as np
import pytest
import ufl
from mpi4py import MPI
from references import COMM, flow_of, mesh_of, quadratic_potential, total, waves

from fem_models.core.errors import InputError
from fem_models.energies import Boltzmann, Density, Energy, Potential, PowerLaw, Quadratic
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.systems.poisson_nernst_planck import poisson_nernst_planck

from dolfinx import fem  # isort: skip

TWO = (Species("u"), Species("v"))


def many_terms(mesh):
    """A flow of two densities with every kind of term."""
    energy = (
        Boltzmann(of="u", coefficient=0.7)
        + PowerLaw(1.5, of="u", name="three halves")
        + PowerLaw(0.5, of="v", name="fast")
        + PowerLaw(3, of="v", coefficient=2.0, name="cubic")
        + Quadratic(-0.3, of="u")
        + Potential(lambda x: ufl.cos(3 * x[0]), of="v")
        + Density(lambda f, x: (f["u"] * f["v"] / (1 + f["u"] + f["v"])) ** 2 * x[0], of=("u", "v"))
    )
    return GradientFlow(mesh, TWO, energy)


@pytest.fixture
def flow():
    return many_terms(mesh_of("disk", h=0.3))


def state_of(flow, seed):
    return 0.1 + waves(flow.points, seed, len(flow.names))


# Potentials


@pytest.mark.parallel
def test_potentials_are_the_derivative_of_the_energy(flow):
    # E'(ρ)v = Σ m_i μ_i v_i for any v, by differences of fourth order.
    rho, step = state_of(flow, 1), 1e-3
    mu = flow.potentials(rho)
    for seed in (2, 3, 4):
        v = state_of(flow, seed) - 0.6
        e = [flow.energy(rho + k * step * v) for k in (-2, -1, 1, 2)]
        expected = (e[0] - 8 * e[1] + 8 * e[2] - e[3]) / (12 * step)
        found = total(flow, (flow.geometry.volumes[:, None] * mu * v).sum(axis=1))
        assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parallel
def test_potential_of_each_node_is_the_derivative_by_its_density(flow):
    rho, step = state_of(flow, 1), 1e-3
    mu = flow.potentials(rho)
    radius = np.linalg.norm(flow.points - [0.3, 0.2], axis=1)
    nearest = COMM.allreduce(float(radius[: flow.owned].min(initial=9.0)), op=MPI.MIN)
    for s in range(2):
        v = np.zeros_like(rho)
        v[radius == nearest, s] = 1.0
        e = [flow.energy(rho + k * step * v) for k in (-2, -1, 1, 2)]
        expected = (e[0] - 8 * e[1] + 8 * e[2] - e[3]) / (12 * step)
        assert total(flow, flow.geometry.volumes * mu[:, s] * v[:, s]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parallel
def test_hessian_is_the_derivative_of_the_smooth_potentials(flow):
    rho, v, step = state_of(flow, 1), state_of(flow, 2) - 0.6, 1e-4
    found = np.einsum("nst,nt->ns", flow.hessian(rho), v)
    p = [flow.smooth_potentials(rho + k * step * v) for k in (-2, -1, 1, 2)]
    expected = (p[0] - 8 * p[1] + 8 * p[2] - p[3]) / (12 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(flow.hessian(rho)[:, 0, 1], flow.hessian(rho)[:, 1, 0], rtol=1e-12)


@pytest.mark.parallel
def test_potentials_by_hand():
    energy = Boltzmann(coefficient=2.0) + PowerLaw(3) + Quadratic(0.5) + quadratic_potential(4.0)
    flow = flow_of("disk", energy, h=0.3)
    rho = state_of(flow, 1)
    psi = 1.5 * rho**2 + 0.5 * rho + 2.0 * (flow.points**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(flow.smooth_potentials(rho), psi, rtol=1e-13)
    np.testing.assert_allclose(flow.potentials(rho), psi + 2.0 * np.log(rho) + 2.0, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(flow.hessian(rho)[:, 0], 3.0 * rho + 0.5, rtol=1e-13)
    np.testing.assert_array_equal(flow.theta, [2.0])


@pytest.mark.parallel
def test_potentials_in_vacuum():
    entropic, porous = (flow_of("interval", term, cells=8) for term in (Boltzmann(), PowerLaw(1.5)))
    empty = np.zeros((entropic.nodes, 1))
    assert np.all(entropic.potentials(empty) == -np.inf)
    assert np.all(porous.potentials(empty) == 0.0)


@pytest.mark.parallel
def test_hessian_of_linear_energies_is_zero():
    flow = flow_of("interval", Boltzmann() + quadratic_potential(1.0), cells=8)
    np.testing.assert_array_equal(flow.hessian(np.ones((flow.nodes, 1))), 0.0)


# Dissipation


@pytest.mark.parallel
def test_dissipation_of_a_gaussian():
    # N(0, s²) in V = λ|x|²/2 in d dimensions: ∇μ = (λ - 1/s²)x, D = d s² (λ - 1/s²)².
    s2, strength = 0.5, 3.0
    errors = []
    for cells in (60, 120):
        flow = flow_of(
            "rectangle",
            Boltzmann() + quadratic_potential(strength),
            lower=(-4, -4),
            upper=(4, 4),
            cells=(cells,) * 2,
        )
        state = flow.state(lambda x: np.exp(-(x**2).sum(axis=0) / (2 * s2)), 1.0)
        errors.append(abs(flow.dissipation(state) - 2 * s2 * (strength - 1 / s2) ** 2))
    assert errors[1] < 2e-2
    assert math.log2(errors[0] / errors[1]) > 0.8


@pytest.mark.parallel
@pytest.mark.parametrize("cells", [50, 200])
def test_dissipation_of_a_porous_medium(cells):
    # ρ = 1 + cos(πx)/2, μ = 2ρ: D = 4 ∫ρ ρ'² = π²/2 for the mean of ρ on each edge; upwind adds
    # Σ h |ρ'|³ · 4 h/2 = 2h (π/2)³ 4/(3π).
    flow = flow_of("interval", PowerLaw(2), cells=cells)
    state = flow.state(lambda x: 1.0 + 0.5 * np.cos(np.pi * x[0]))
    upwind = 2.0 / cells * (np.pi / 2) ** 3 * 4 / (3 * np.pi)
    assert flow.dissipation(state) == pytest.approx(np.pi**2 / 2 + upwind, rel=3.0 / cells**2)


@pytest.mark.parallel
def test_dissipation_of_an_l2_species_is_the_square_of_its_potential():
    energy = Density(lambda f, x: 0.5 * f["c"] ** 2 - f["c"] * x[0], of="c")
    flow = GradientFlow(mesh_of("interval", cells=16), Species("c", "l2"), energy)
    # μ = c - x = -2x for c = -x: ∫4x² = 4/3 + 4 h²/6.
    state = flow.state({"c": lambda x: -x[0]})
    assert flow.dissipation(state) == pytest.approx(4 / 3 + 4 / 6 / 16**2, rel=1e-12)


@pytest.mark.parallel
@pytest.mark.parametrize(
    "energy", [Boltzmann() + quadratic_potential(9.0), PowerLaw(2) + quadratic_potential(9.0)]
)
def test_dissipation_with_vacuum_is_finite_and_not_negative(energy):
    flow = flow_of("disk", energy, h=0.3)
    state = flow.state(lambda x: np.where(x[0] > 0.2, 1.0, 0.0))
    found = flow.dissipation(state)
    assert math.isfinite(found)
    assert found > 0.0


@pytest.mark.parallel
def test_dissipation_of_fast_diffusion_with_vacuum_is_infinite():
    flow = flow_of("disk", PowerLaw(0.5), h=0.3)
    assert flow.dissipation(flow.state(lambda x: np.where(x[0] > 0.2, 1.0, 0.0))) == math.inf


@pytest.mark.parallel
def test_equilibrium_does_not_dissipate():
    flow = flow_of("disk", Boltzmann() + quadratic_potential(3.0), h=0.3)
    state = flow.state(lambda x: np.exp(-1.5 * (x**2).sum(axis=0)), 2.0)
    assert abs(flow.dissipation(state)) < 1e-25


# Integrals and extrema


@pytest.mark.parallel
def test_mass_moments_and_extrema_of_a_gaussian():
    flow = flow_of("rectangle", Boltzmann(), lower=(-5, -5), upper=(5, 5), cells=(60, 60))
    state = flow.state({"rho": lambda x: 3.0 * np.exp(-(x**2).sum(axis=0) / 0.8) / (0.8 * np.pi)})
    # The trapezoidal rule is spectrally accurate here.
    assert flow.masses(state)["rho"] == pytest.approx(3.0, rel=1e-9)
    assert flow.second_moments(state)["rho"] == pytest.approx(3.0 * 0.8, rel=1e-9)
    assert flow.maxima(state)["rho"] == pytest.approx(3.0 / (0.8 * np.pi), rel=1e-12)
    assert flow.minima(state)["rho"] == pytest.approx(3.0 / (0.8 * np.pi) * math.exp(-50 / 0.8), rel=1e-10)
    np.testing.assert_array_equal(flow.scale(state), [flow.maxima(state)["rho"]])
    assert flow.volume == pytest.approx(100.0, rel=1e-13)


@pytest.mark.parallel
def test_second_moments_are_sums_over_directions():
    # ∫(1+x)(x²+y²) over the unit square is 1/3 + 1/3 + 1/4 + 1/6, and the mass 3/2; sums at nodes err by h².
    flow = flow_of("rectangle", PowerLaw(2), cells=(32, 32))
    state = flow.state("1 + x", 1.0)
    assert flow.second_moments(state)["rho"] == pytest.approx(13.0 / 18.0, rel=2e-3)


@pytest.mark.parallel
def test_quantities_are_named_by_species(flow):
    state = flow.state({"u": 1.0, "v": 2.0}, {"v": 5.0})
    assert flow.names == ("u", "v")
    assert (
        list(flow.masses(state)) == list(flow.second_moments(state)) == list(flow.minima(state)) == ["u", "v"]
    )
    assert flow.masses(state)["u"] == pytest.approx(flow.volume, rel=1e-13)
    assert flow.masses(state)["v"] == pytest.approx(5.0, rel=1e-13)


@pytest.mark.parallel
def test_functions_hold_the_nodal_values(flow):
    state = flow.state({"u": lambda x: x[0] + 2, "v": lambda x: x[1] ** 2})
    functions = flow.functions(state)
    assert list(functions) == ["u", "v"]
    assert [f.name for f in functions.values()] == ["u", "v"]
    # A linear function is itself in P1.
    x = ufl.SpatialCoordinate(flow.mesh)
    error = fem.assemble_scalar(fem.form((functions["u"] - x[0] - 2) ** 2 * ufl.dx))
    assert COMM.allreduce(error) < 1e-25
    state[:] = 0.0
    assert np.abs(functions["u"].x.array).min() > 0.9


# Initial densities


@pytest.mark.parallel
@pytest.mark.parametrize(
    "initial", [2.0, lambda x: 1.0 + x[0] ** 2, lambda x: np.ones(x.shape[1], dtype=int)]
)
def test_initial_densities_are_scaled_to_their_mass(initial):
    flow = flow_of("disk", PowerLaw(2), h=0.3)
    plain, scaled = flow.state({"rho": initial}), flow.state({"rho": initial}, 7.0)
    assert flow.masses(scaled)["rho"] == pytest.approx(7.0, rel=1e-14)
    np.testing.assert_allclose(scaled / plain, scaled[0, 0] / plain[0, 0], rtol=1e-13)
    assert scaled.shape == (flow.nodes, 1)


@pytest.mark.parallel
def test_initial_values_may_have_either_sign_in_the_l2_metric():
    flow = GradientFlow(mesh_of("disk", h=0.3), Species("c", "l2"), Quadratic(of="c"))
    state = flow.state({"c": lambda x: x[0]})
    np.testing.assert_array_equal(state[:, 0], flow.points[:, 0])


# Near one point only, so that under mpiexec one rank alone sees it.
def near_corner(value):
    return lambda x: np.where(np.hypot(x[0] - 1.0, x[1] - 1.0) < 0.1, value, 1.0)


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("initial", "mass", "message"),
    [
        (near_corner(np.nan), 1.0, "rho is not finite everywhere"),
        (near_corner(np.inf), 1.0, "rho is not finite everywhere"),
        (near_corner(-0.5), 1.0, "rho is negative, its minimum is -0.5"),
        (0.0, 1.0, "rho is zero at every vertex"),
        (1.0, 0.0, "mass of rho must be a positive finite number, not 0.0"),
        (1.0, -2.0, "mass of rho must be a positive"),
        (1.0, math.nan, "mass of rho must be a positive"),
        (1.0, math.inf, "mass of rho must be a positive"),
    ],
)
def test_bad_initial_densities_are_refused_by_all_ranks(initial, mass, message):
    flow = flow_of("rectangle", PowerLaw(2), cells=(10, 10))
    with pytest.raises(InputError, match=message):
        flow.state({"rho": initial}, mass)


# Construction


@pytest.mark.parametrize(
    ("species", "energy", "message"),
    [
        ((Species("u"), Species("u")), Boltzmann(of="u"), "u, u need names of their own"),
        (Species("u"), Boltzmann(), "boltzmann is of 'rho', which is not a species: they are u"),
        (TWO, Density(lambda f, x: f["u"], of=("u", "w")), "'w', which is not a species: they are u, v"),
        (Species("c", "l2"), Boltzmann(of="c"), "boltzmann needs the Wasserstein metric"),
    ],
)
def test_bad_flows_are_refused(species, energy, message):
    with pytest.raises(InputError, match=message):
        GradientFlow(mesh_of("interval", cells=8), species, energy)


def test_unknown_metrics_are_refused():
    with pytest.raises(InputError, match="metric of u must be one of wasserstein, l2, static, not 'h1'"):
        Species("u", "h1")


@pytest.mark.parallel
def test_potentials_may_use_functions_and_expressions_of_the_mesh():
    mesh = mesh_of("disk", h=0.3)
    x = ufl.SpatialCoordinate(mesh)
    space = fem.functionspace(mesh, ("Lagrange", 1))
    height = fem.Function(space)
    height.interpolate(lambda x: 2.0 * x[0] + x[1])
    by_function = GradientFlow(mesh, Species(), Energy((Potential(height),)))
    by_expression = GradientFlow(mesh, Species(), Energy((Potential(2.0 * x[0] + x[1]),)))
    one = np.ones((by_function.nodes, 1))
    np.testing.assert_allclose(by_function.potentials(one), by_expression.potentials(one), atol=1e-14)
    expected = 2.0 * by_function.points[:, 0] + by_function.points[:, 1]
    np.testing.assert_allclose(by_function.potentials(one)[:, 0], expected, atol=1e-14)


@pytest.mark.parallel
def test_nodal_volumes_are_those_that_are_asked_for():
    flow = GradientFlow(mesh_of("ball", h=0.6), Species(), PowerLaw(2))
    shares = flow.with_lumping("cells")
    assert flow.geometry.voronoi_volumes and not shares.geometry.voronoi_volumes
    assert flow.with_lumping("voronoi") is flow
    assert shares.with_lumping("cells") is shares
    assert shares.volume == pytest.approx(flow.volume, rel=1e-12)
    assert shares.names == flow.names and shares.terms is flow.terms
    back = shares.with_lumping("voronoi")
    np.testing.assert_array_equal(back.geometry.volumes, flow.geometry.volumes)
    # In fewer dimensions the volumes are the same.
    plane = GradientFlow(mesh_of("disk", h=0.6), Species(), PowerLaw(2))
    assert plane.with_lumping("cells") is plane


@pytest.mark.parallel
def test_states_have_static_fields_in_equilibrium():
    flow = poisson_nernst_planck(mesh_of("interval", cells=20))
    densities = {"u": lambda x: 1.0 + np.cos(np.pi * x[0]), "v": 1.0}
    masses = {"u": 1.0, "v": 1.0}
    before, state = flow.nodal_values(densities, masses), flow.state(densities, masses)
    np.testing.assert_array_equal(state[:, :2], before[:, :2])
    assert not before[:, 2].any()
    # -ψ'' = cos πx without flux, with mean zero over the ends: ψ = cos(πx)/π².
    np.testing.assert_allclose(state[:, 2], np.cos(np.pi * flow.points[:, 0]) / np.pi**2, atol=5e-4)
    with pytest.raises(InputError, match="the field lines have nowhere to end"):
        flow.state(densities, {"u": 1.0, "v": 2.0})
