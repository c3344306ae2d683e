import math

import numpy as np
import pytest
import ufl
from mpi4py import MPI
from petsc4py import PETSc
from references import COMM, DIRECT, bump, mesh_of, orders, total
from scipy.integrate import solve_bvp
from scipy.optimize import root

from fem_models.core.errors import InputError, SolveError
from fem_models.meshes import domains as meshes
from fem_models.meshes.marks import MarkedMesh
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.steady.steady_state import steady_state
from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.poisson_nernst_planck import IONS, Ion, poisson_nernst_planck
from fem_models.systems.two_component import NAMES, quadratic_potentials, two_component

CENTERS = (-0.3, 0.4)
STRENGTH = 4.0
MASSES = {"rho1": 1.0, "rho2": 0.6}


def interval(cells, lower=-2.0, upper=2.0, alone=False):
    return mesh_of("interval", alone, lower=lower, upper=upper, cells=cells)


def square(cells, alone=False):
    return mesh_of("rectangle", alone, lower=(-2, -2), upper=(2, 2), cells=(cells, cells))


def pair(mesh, m=2.0, epsilon=0.0, **keys):
    dim = mesh.geometry.dim
    centers = [(a, 0.0, 0.0)[:dim] for a in CENTERS]
    return two_component(mesh, quadratic_potentials(STRENGTH, centers), m, epsilon, **keys)


def product(fields):
    return fields["rho1"] * fields["rho2"]


def trapezoid(x):
    """Weights of the trapezoidal rule at equidistant points in any order."""
    h = (x.max() - x.min()) / (len(x) - 1)
    return np.where((x == x.min()) | (x == x.max()), 0.5 * h, h)


def wells(x):
    return [0.5 * STRENGTH * (x - a) ** 2 for a in CENTERS]


# Two components


@pytest.mark.parallel
@pytest.mark.parametrize("dim", [1, 2])
def test_without_coupling_both_densities_are_barenblatt_profiles(dim):
    # 2ρ + V = λ: ρ = (κ/4)(R² - |x - a|²)₊ with mass κR³/3 in 1D and πκR⁴/8 in 2D.
    errors = []
    for cells in (40, 80, 160) if dim == 1 else (24, 48, 96):
        flow = pair(interval(cells) if dim == 1 else square(cells))
        state = steady_state(flow, MASSES)
        error = 0.0
        for s, (name, a) in enumerate(zip(NAMES, CENTERS, strict=True)):
            M = MASSES[name]
            squared = (3 * M / STRENGTH) ** (2 / 3) if dim == 1 else math.sqrt(8 * M / (math.pi * STRENGTH))
            x = flow.points - np.array([a, 0.0])[:dim]
            exact = STRENGTH / 4 * np.maximum(squared - (x**2).sum(axis=1), 0.0)
            error += total(flow, flow.geometry.volumes * np.abs(state[:, s] - exact))
        errors.append(error)
    assert np.mean(orders(errors)) > 1.8
    assert errors[-1] < (5e-4 if dim == 1 else 5e-3)


def by_bisection(potential, most=50.0):
    """The zero ρ ≥ 0 of an increasing function at all points at once; zero where it is positive there."""
    low = np.zeros_like(potential(0.0))
    high = np.full_like(low, most)
    for _ in range(60):
        middle = 0.5 * (low + high)
        up = potential(middle) < 0.0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return np.where(potential(0.0) >= 0.0, 0.0, 0.5 * (low + high))


def relatively_bounded_derivative(m):
    """∂H/∂ρ of H = (ρσ/(1+ρ+σ))^m: m (ρσ/(1+ρ+σ))^(m-1) σ(1+σ)/(1+ρ+σ)²."""
    return lambda rho, other: (
        m * (rho * other / (1 + rho + other)) ** (m - 1) * other * (1 + other) / (1 + rho + other) ** 2
    )


def algebraic(x, m, epsilon, derivative):
    """Both densities from the Euler–Lagrange system, by bisection, sweeps, and SciPy for the multipliers."""

    def slope(rho):
        if m == 1.0:
            with np.errstate(divide="ignore"):
                return np.log(rho) + 1.0
        return m / (m - 1.0) * rho ** (m - 1.0)

    def densities(multipliers):
        found = [np.zeros_like(x), np.zeros_like(x)]
        for _ in range(25):
            for s in (0, 1):
                known, V = found[1 - s], wells(x)[s] - multipliers[s]
                found[s] = by_bisection(
                    lambda rho, known=known, V=V: (
                        slope(rho) + V + epsilon * derivative(rho, known) + 0.0 * known
                    )
                )
        return found

    weights = trapezoid(x)
    solution = root(
        lambda multipliers: [
            weights @ rho - M for rho, M in zip(densities(multipliers), MASSES.values(), strict=True)
        ],
        [1.5, 1.5],
        tol=1e-13,
    )
    return np.stack(densities(solution.x), axis=1)


COUPLED = {
    "product": (2.0, 1.0, product, lambda rho, other: other),
    "m = 2": (2.0, 1.5, None, relatively_bounded_derivative(2.0)),
    "m = 3": (3.0, 1.0, None, relatively_bounded_derivative(3.0)),
    "m = 1": (1.0, 1.0, None, relatively_bounded_derivative(1.0)),
    "m = 1.5": (1.5, 1.0, product, lambda rho, other: other),
}


@pytest.mark.parametrize("name", COUPLED)
def test_coupled_densities_solve_the_algebraic_system(name):
    m, epsilon, coupling, derivative = COUPLED[name]
    flow = pair(interval(40), m, epsilon, coupling=coupling)
    found = steady_state(flow, MASSES)
    expected = algebraic(flow.points[:, 0], m, epsilon, derivative)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
    # The supports {V_i + ε∂_iH < λ_i} are the same, and vacuum is a true zero.
    np.testing.assert_array_equal(found == 0.0, expected == 0.0)
    assert (found == 0.0).any() == (m > 1.0)
    for name, mass in flow.masses(found).items():
        assert mass == pytest.approx(MASSES[name], rel=1e-14)


def test_non_local_coupling_solves_the_dense_system():
    flow = pair(interval(60), 2.0, 2.0, kernel=lambda z: np.exp(-((z[0] - 0.2) ** 2)))
    x = flow.points[:, 0]
    K = np.exp(-((x[:, None] - x - 0.2) ** 2)) * trapezoid(x)
    adjoint = np.exp(-((x - x[:, None] - 0.2) ** 2)) * trapezoid(x)
    V, n = wells(x), len(x)

    def densities(y):
        return [np.maximum(y[2 * n + s] - V[s] - y[s * n : (s + 1) * n], 0.0) / 2.0 for s in (0, 1)]

    def residual(y):
        first, second = densities(y)
        gaps = [trapezoid(x) @ rho - M for rho, M in zip((first, second), MASSES.values(), strict=True)]
        return np.concatenate([y[:n] - 2.0 * K @ second, y[n : 2 * n] - 2.0 * adjoint @ first, gaps])

    solution = root(residual, np.append(np.full(2 * n, 0.5), [2.5, 2.5]), tol=1e-13)
    assert np.abs(residual(solution.x)).max() < 1e-11
    found = steady_state(flow, MASSES)
    np.testing.assert_allclose(found, np.stack(densities(solution.x), axis=1), atol=1e-8)


# Chemotaxis


@pytest.mark.parametrize("m", [1.0, 2.0])
@pytest.mark.parametrize(
    ("phi", "value", "slope"),
    [
        (ufl.tanh, np.tanh, lambda c: 1.0 / np.cosh(c) ** 2),
        (lambda c: -c, np.negative, lambda c: -np.ones_like(c)),
    ],
    ids=["tanh", "classical"],
)
def test_chemotaxis_solves_the_finite_differences(m, phi, value, slope):
    epsilon, kappa, mass = 0.8, 0.5, 1.5
    flow = chemotaxis(interval(80), lambda x: 2.0 * x[0] ** 2, m, epsilon, kappa, phi)
    order = np.argsort(flow.points[:, 0])
    x = flow.points[order, 0]
    h, weights = x[1] - x[0], trapezoid(x)

    def density(c, multiplier):
        drive = multiplier - 2.0 * x**2 - epsilon * value(c)
        return np.exp(drive - 1.0) if m == 1.0 else np.maximum(drive, 0.0) / 2.0

    def residual(y):
        c, rho = y[:-1], density(y[:-1], y[-1])
        flux = np.diff(c) / h
        stiff = np.append(0.0, flux) - np.append(flux, 0.0)
        return np.append(stiff + weights * (kappa * c + epsilon * slope(c) * rho), weights @ rho - mass)

    solution = root(residual, np.append(np.zeros_like(x), 1.0), tol=1e-13)
    assert np.abs(residual(solution.x)).max() < 1e-11
    found = steady_state(flow, mass)[order]
    np.testing.assert_allclose(found[:, 1], solution.x[:-1], atol=1e-9)
    np.testing.assert_allclose(found[:, 0], density(solution.x[:-1], solution.x[-1]), atol=1e-9)
    np.testing.assert_array_equal(found[:, 0] == 0.0, density(solution.x[:-1], solution.x[-1]) == 0.0)


# Poisson–Nernst–Planck


def unit_interval(cells):
    """The unit interval with its ends named."""
    return meshes.build(COMM, "interval", cells=cells)


def poisson_boltzmann(x, boundary, charge=5.0):
    """ψ at x from -ψ'' = u - v with u = exp(λ - 3x - ψ), v = exp(μ + ψ) of given charges, by collocation."""

    def ions(x, y, p):
        return np.exp(p[0] - 3.0 * x - y[0]), np.exp(p[1] + y[0])

    def slopes(x, y, p):
        u, v = ions(x, y, p)
        return np.stack([y[1], v - u, u, v])

    def ends(a, b, p):
        return np.array([*boundary(a, b), a[2], a[3], b[2] - charge, b[3] - charge])

    mesh = np.linspace(0.0, 1.0, 41)
    start = np.stack([0.0 * mesh, 0.0 * mesh, charge * mesh, charge * mesh])
    solution = solve_bvp(slopes, ends, mesh, start, p=[1.0, 1.0], tol=1e-9, max_nodes=20_000)
    assert solution.success
    y = solution.sol(x)
    return np.stack([*ions(x, y, solution.p), y[0]], axis=1)


@pytest.mark.parallel
@pytest.mark.parametrize("electrodes", [False, True], ids=["insulated", "electrodes"])
def test_ions_of_linear_diffusion_are_in_poisson_boltzmann_equilibrium(electrodes):
    def boundary(a, b):
        return (a[0] + 1.0, b[0] - 2.0) if electrodes else (a[1], a[0] + b[0])

    errors = []
    for cells in (20, 40, 80):
        mesh = unit_interval(cells)
        given = {"left": -1.0, "right": 2.0} if electrodes else None
        ions = (Ion("u", 1.0, lambda x: 3.0 * x[0]), Ion("v", -1.0))
        flow = poisson_nernst_planck(mesh, ions, electrodes=given)
        found = steady_state(flow, {"u": 5.0, "v": 5.0})
        exact = poisson_boltzmann(flow.points[:, 0], boundary)
        errors.append(COMM.allreduce(float(np.abs(found - exact).max()), op=MPI.MAX))
    assert orders(errors).min() > 1.9
    assert errors[-1] < 0.05


def test_a_charged_wall_is_screened_over_the_debye_length():
    # ψ'' = ψ/ℓ² for small ψ, with ℓ² = 1/(u + v).
    flow = poisson_nernst_planck(unit_interval(400), electrodes={"left": 1e-2, "right": 0.0})
    state = steady_state(flow, {"u": 200.0, "v": 200.0})
    length = math.sqrt(1.0 / 400.0)
    x, psi = flow.points[:, 0], state[:, 2]
    bulk = psi[np.argmin(np.abs(x - 0.6))]
    layer = (x > 0.5 * length) & (x < 3.0 * length)
    slope = np.polyfit(x[layer], np.log(psi[layer] - bulk), 1)[0]
    assert -1.0 / slope == pytest.approx(length, rel=0.02)


@pytest.mark.parametrize("charge", [1e2, 1e4, 1e6])
def test_strong_charges_screen_the_doping(charge):
    # Quasi-neutral: u - v = -C up to ψ'', and ψ is of the order of log(charge).
    flow = poisson_nernst_planck(interval(200), doping=lambda x: charge * ufl.sin(0.25 * math.pi * x[0]))
    state = steady_state(flow, {"u": 2.0 * charge, "v": 2.0 * charge})
    # At a node C counts by its mean: of a wave of k over the hat function of width h that is a factor.
    kh = 0.25 * math.pi * flow.geometry.h_max
    C = charge * np.sin(0.25 * math.pi * flow.points[:, 0]) * 2.0 * (1.0 - math.cos(kh)) / kh**2
    assert np.abs(state[:, 0] - state[:, 1] + C).max() < 10.0
    # Equilibrium: uv is constant.
    np.testing.assert_allclose(state[:, 0] * state[:, 1], state[0, 0] * state[0, 1], rtol=1e-9)


@pytest.mark.parallel
def test_ions_stay_in_their_part_of_the_mesh():
    ends = unit_interval(40)
    mesh = ends.mesh
    dim = mesh.topology.dim
    cells = np.arange(mesh.topology.index_map(dim).size_local + mesh.topology.index_map(dim).num_ghosts)
    middle = mesh.geometry.x[mesh.geometry.dofmaps[0][cells]][:, :, 0].mean(axis=1)
    parts = MarkedMesh(mesh, ends.boundaries, {"membrane": cells[middle < 0.5].astype(np.int32)})
    flow = poisson_nernst_planck(parts, region="membrane", electrodes={"left": 0.0, "right": 1.0})
    state = steady_state(flow, {"u": 2.0, "v": 1.0})
    x = flow.points[:, 0]
    assert np.all(state[x > 0.5 + 1e-9, :2] == 0.0)
    assert np.all(state[x < 0.5 - 1e-9, :2] > 0.0)
    # No charges: ψ is linear up to the electrode, with the field that all charges and the left wall leave.
    outside = x > 0.5 - 1e-9
    at_half = COMM.allreduce(float(state[np.abs(x - 0.5) < 1e-9, 2].max(initial=-math.inf)), op=MPI.MAX)
    np.testing.assert_allclose(state[outside, 2], at_half + (1 - at_half) * (2 * x[outside] - 1), atol=1e-12)


# All systems


def systems(name, alone=False, cells=16):
    mesh = square(cells, alone)

    def well(x):
        return 2.0 * ufl.dot(x, x)

    if name == "two components":
        return pair(mesh, 2.0, 0.5), MASSES
    if name == "kernel":
        return pair(mesh, 1.0, 0.5, kernel=lambda z: np.exp(-(z**2).sum(axis=0))), MASSES
    if name == "chemotaxis":
        return chemotaxis(mesh, well, 2.0, 1.0, 1.0, ufl.tanh), {"rho": 1.0}
    ions = (Ion("u", 2.0, well), Ion("v", -1.0, well))
    return poisson_nernst_planck(mesh, ions, 2.0 if name == "PNP, m = 2" else 1.0), {"u": 1.0, "v": 2.0}


SYSTEMS = ["two components", "kernel", "chemotaxis", "PNP, m = 1", "PNP, m = 2"]


@pytest.mark.parallel
@pytest.mark.parametrize("name", SYSTEMS)
def test_ranks_find_the_same_energy(name):
    (flow, masses), (whole, _) = systems(name), systems(name, alone=True)
    energy = whole.energy(steady_state(whole, masses))
    assert flow.energy(steady_state(flow, masses)) == pytest.approx(energy, rel=1e-10)


@pytest.mark.parallel
@pytest.mark.parametrize("name", SYSTEMS)
def test_steady_states_are_fixed_points_of_the_flow(name):
    flow, masses = systems(name)
    state = steady_state(flow, masses)
    for flux in ("upwind", "average"):
        after = BackwardEuler(flow, flux, DIRECT).step(state, 10.0).state
        np.testing.assert_allclose(after, state, atol=1e-9)


@pytest.mark.parametrize("name", SYSTEMS)
def test_flows_tend_to_the_steady_state(name):
    flow, masses = systems(name, cells=12)
    initial = {
        n: bump((0.2, -0.1), 9.0) if w else 0.0 for n, w in zip(flow.names, flow.transported, strict=True)
    }
    state = flow.state(initial, masses)
    scheme = BackwardEuler(flow, "upwind", DIRECT)
    for _ in range(12):
        state = scheme.step(state, 10.0).state
    expected = steady_state(flow, masses)
    assert flow.energy(state) == pytest.approx(flow.energy(expected), rel=1e-11)
    np.testing.assert_allclose(state, expected, atol=1e-8)


@pytest.mark.parametrize("name", SYSTEMS)
def test_another_guess_leads_to_the_same_state(name):
    flow, masses = systems(name)
    state = steady_state(flow, masses)
    x = flow.points.T
    guess = flow.state({n: lambda x: np.maximum(np.sin(3 * x[0] + x[1]), 0.0) for n in flow.names}, masses)
    guess[:, ~flow.transported] = np.cos(x[0])[:, None]
    np.testing.assert_allclose(steady_state(flow, masses, guess), state, atol=1e-9)


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["chemotaxis", "PNP, m = 1"])
def test_multigrid_finds_the_same_state(name):
    flow, masses = systems(name)
    state = steady_state(flow, masses)
    options = {"steady_ksp_type": "gmres", "steady_pc_type": "gamg", "steady_ksp_rtol": 1e-8}
    for key, value in options.items():
        PETSc.Options()[key] = value
    try:
        np.testing.assert_allclose(steady_state(flow, masses), state, atol=1e-9)
    finally:
        for key in options:
            PETSc.Options().delValue(key)


# Refusals


@pytest.mark.parametrize(
    ("masses", "message"),
    [
        ({"rho1": 1.0}, "masses of its densities"),
        ({"rho1": 1.0, "rho2": 1.0, "rho3": 1.0}, "masses of its densities"),
        (
            {"rho1": 1.0, "rho2": 0.0},
            "mass of rho2 in a steady state must be .* not 0.0",
        ),
        (
            {"rho1": math.nan, "rho2": 1.0},
            "mass of rho1 in a steady state must be .* not nan",
        ),
        (1.0, "masses by name for rho1, rho2"),
    ],
)
def test_bad_masses_are_refused(masses, message):
    with pytest.raises(InputError, match=message):
        steady_state(pair(interval(8)), masses)


def test_charges_that_do_not_balance_are_refused():
    flow = poisson_nernst_planck(interval(8), IONS)
    with pytest.raises(InputError, match=r"make psi add up to 0\.5"):
        steady_state(flow, {"u": 1.5, "v": 1.0})


def test_couplings_beyond_convexity_are_refused():
    # ρ₁² + ρ₂² + ερ₁ρ₂ is convex up to ε = 2.
    steady_state(pair(interval(40), 2.0, 1.9, coupling=product), MASSES)
    with pytest.raises(SolveError, match="not convex"):
        steady_state(pair(interval(40), 2.0, 2.1, coupling=product), MASSES)


@pytest.mark.parametrize("mass", [2.0, 4.0, 12.0, 20.0])
def test_keller_segel_has_a_steady_state_below_the_critical_mass_only(mass):
    # In units of π: 8 in the plane, while a well keeps the mass from the boundary.
    flow = chemotaxis(mesh_of("disk", h=0.15), lambda x: 5.0 * ufl.dot(x, x), m=1.0)
    if mass < 8.0:
        state = steady_state(flow, mass * math.pi)
        np.testing.assert_allclose(
            BackwardEuler(flow, "upwind", DIRECT).step(state, 1.0).state, state, atol=1e-5
        )
    else:
        with pytest.raises(SolveError, match=r"concentrates|not convex|not be convex"):
            steady_state(flow, mass * math.pi)


def test_a_stationary_point_that_is_no_minimum_is_refused():
    # Without a well the even density is stationary; the first mode of cos(πx) loses stability at M = 1 + π².
    flow = chemotaxis(interval(40, 0.0, 1.0), m=1.0)
    stable = steady_state(flow, 0.97 * (1 + math.pi**2))
    np.testing.assert_allclose(stable, 0.97 * (1 + math.pi**2), rtol=1e-10)
    with pytest.raises(SolveError, match="no minimum"):
        steady_state(flow, 1.03 * (1 + math.pi**2))


def test_fields_whose_sources_never_balance_have_no_steady_state():
    # ∂tc = Δc + ρ: without decay the signal grows for ever.
    flow = chemotaxis(interval(20), lambda x: x[0] ** 2, kappa=0.0)
    with pytest.raises(SolveError, match="No steady state was found"):
        steady_state(flow, 1.0)


def test_charges_that_cancel_everywhere_are_neutral():
    flow = poisson_nernst_planck(interval(20), (Ion("u", 1.0),), doping=-0.25)
    np.testing.assert_allclose(steady_state(flow, {"u": 1.0}), [[0.25, 0.0]] * flow.nodes, atol=1e-12)
