"""The log-density scheme: its guarantees, its orders, and its equations."""

import functools

import numpy as np
import pytest
import ufl
from mpi4py import MPI
from references import (
    COMM,
    DIRECT,
    flow_of,
    mesh_of,
    orders,
    quadratic_potential,
    waves,
)

from fem_models.core.errors import InputError, SolveError
from fem_models.core.protocols import Memory
from fem_models.energies import Boltzmann, Density, Dirichlet, Electrostatic, Potential
from fem_models.exact.fokker_planck import drift_diffusion
from fem_models.exact.poisson_boltzmann import poisson_boltzmann
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.flow.log_density import LogDensityFlow
from fem_models.flow.log_density_steps import LogDensityEquations
from fem_models.linalg.newton import NewtonSettings
from fem_models.schemes.log_density_euler import LogDensity

from dolfinx import fem  # isort: skip

each_degree = pytest.mark.parametrize("degree", [1, 2])
STEPS = (1e-3, 1e-1, 10.0)


def confined(degree, alone=False, **keys):
    """One density in a potential, on a disk."""
    keys = keys or {"h": 0.3}
    flow = LogDensityFlow(flow_of("disk", Boltzmann() + quadratic_potential(6.0), alone, **keys), degree)
    return flow, flow.state(lambda x: 1e-3 + np.exp(-10.0 * ((x[0] - 0.4) ** 2 + x[1] ** 2)), 2.0)


def charged(degree, electrodes, alone=False, domain="rectangle", permittivity=0.1, voltage=3.0, **keys):
    """Two densities of opposite charge; ψ is 0 and a voltage at the ends, or no field leaves the domain."""
    mesh = mesh_of(domain, alone, **(keys or {"cells": (6, 5)}))
    energy = Boltzmann("u", name="entropy u") + Boltzmann("v", name="entropy v")
    energy = energy + Potential(lambda x: 2.0 * x[0], "u")
    energy = energy + Electrostatic({"u": 1.0, "v": -1.0}, permittivity=permittivity)
    species = (Species("u"), Species("v"), Species("psi", "static"))
    fixed = {}
    if electrodes:
        ends = GradientFlow(mesh, species, energy).points[:, 0]
        nodes = np.flatnonzero((ends < 1e-9) | (ends > 1.0 - 1e-9)).astype(np.int32)
        fixed = {"psi": (nodes, voltage * ends[nodes])}
    flow = LogDensityFlow(GradientFlow(mesh, species, energy, fixed=fixed), degree)
    around = {"u": lambda x: 1e-2 + np.exp(-9.0 * x[0] ** 2), "v": lambda x: 1.0 + 0.9 * np.sin(5.0 * x[0])}
    return flow, flow.state(around, {"u": 1.0, "v": 1.0})


def signalling(degree, alone=False):
    """A density and a signal of the L² metric; the energy is convex where .3² ρ < 1."""
    energy = (
        Boltzmann(coefficient=0.7) + quadratic_potential(2.0) + Dirichlet(coefficient=lambda x: 1.0 + x[0])
    )
    energy = energy + Density(lambda f, x: 0.5 * f["c"] ** 2 + 0.25 * f["c"] ** 4, of=("c",), name="own")
    energy = energy + Density(lambda f, x: -0.3 * f["c"] * f["rho"], of=("rho", "c"), name="signal")
    mesh = mesh_of("rectangle", alone, cells=(5, 5))
    flow = LogDensityFlow(GradientFlow(mesh, (Species(), Species("c", "l2")), energy), degree)
    return flow, flow.state({"rho": lambda x: 1.0 + x[0], "c": lambda x: np.cos(3.0 * x[1])})


PROBLEMS = {
    "confined": confined,
    "insulated": lambda degree, alone=False: charged(degree, False, alone),
    "electrodes": lambda degree, alone=False: charged(degree, True, alone),
    "signalling": signalling,
}
each_problem = pytest.mark.parametrize("problem", PROBLEMS)


@functools.cache
def built(problem, degree, alone=False):
    """The flow of a problem, its initial state with static fields in equilibrium, and the scheme."""
    flow, state = PROBLEMS[problem](degree, alone)
    scheme = LogDensity(flow, DIRECT)
    return flow, flow.settled(state), scheme


# Guarantees


@each_degree
@each_problem
def test_mass_sign_and_energy_for_steps_of_any_size(problem, degree):
    flow, start, scheme = built(problem, degree)
    masses = np.array(list(flow.masses(start).values()))[flow.transported]
    scale = max(map(abs, flow.energy_terms(start).values()))
    for tau in STEPS:
        old = start
        for number in range(3):
            step = scheme.step(old, tau)
            now = np.array(list(flow.masses(step.state).values()))[flow.transported]
            np.testing.assert_allclose(now, masses, rtol=1e-12)
            assert step.state[:, flow.transported].min(initial=1.0) > 0.0
            # Newton's tolerance is a share of 1e-10 of the mass.
            lost, owed = flow.energy(old) - flow.energy(step.state), tau * flow.dissipation(step.state)
            assert lost >= owed - 1e-10 * scale
            assert lost > 0.0 or number > 0
            old = step.state


@each_degree
def test_densities_over_many_orders_of_magnitude(degree):
    # At the end ρ ~ exp(-40 x), far from the constant at the beginning.
    flow = LogDensityFlow(
        flow_of("interval", Boltzmann() + Potential(lambda x: 40.0 * x[0]), cells=40), degree
    )
    scheme, state = LogDensity(flow, DIRECT), flow.state({"rho": 1.0})
    for _ in range(4):
        state = scheme.step(state, 10.0).state
    expected = 40.0 * np.exp(-40.0 * flow.points[:, 0]) / (1.0 - np.exp(-40.0))
    # Log-densities are affine there: exact, but for the quadrature of the mass and Newton's tolerance.
    np.testing.assert_allclose(state[:, 0], expected, rtol=1e-6, atol=1e-9)


def test_steps_over_smaller_ones_where_newton_fails():
    flow, state = charged(1, True, permittivity=1e-3, voltage=20.0)
    scheme = LogDensity(flow, DIRECT)
    state = flow.settled(state)
    step = scheme.step(state, 10.0)
    assert step.newton > 25
    assert flow.energy(state) - flow.energy(step.state) >= 10.0 * flow.dissipation(step.state)


# Orders


def l2_error(flow, computed, exact):
    """The L² norm of the difference of a UFL scalar and a function of points, by P_6."""
    fine = fem.Function(fem.functionspace(flow.mesh, ("Lagrange", 6)))
    fine.interpolate(exact)
    form = fem.form((computed - fine) ** 2 * ufl.dx(metadata={"quadrature_degree": 12}))
    return np.sqrt(COMM.allreduce(fem.assemble_scalar(form)))


def fokker_planck_error(domain, degree, keys):
    """At t = .1 from t = .05, without the first order of the error in time."""
    flow = LogDensityFlow(flow_of(domain, Boltzmann() + Potential(lambda x: -x[0]), **keys), degree)
    scheme, logs = LogDensity(flow, DIRECT), []
    for steps in (32, 64):
        state = flow.state(lambda x: drift_diffusion(x, 0.05))
        for _ in range(steps):
            state = scheme.step(state, 0.05 / steps).state
        logs.append(np.log(state))
    [computed] = flow.densities(flow.logs(np.exp(2.0 * logs[1] - logs[0])))
    return l2_error(flow, computed, lambda x: drift_diffusion(x, 0.1))


@each_degree
@pytest.mark.parametrize(
    ("domain", "meshes"),
    [
        ("interval", [{"cells": n} for n in (4, 8, 16)]),
        ("rectangle", [{"h": h} for h in (0.25, 0.125)]),
    ],
)
def test_order_in_h_is_one_more_than_the_degree(domain, meshes, degree):
    errors = [fokker_planck_error(domain, degree, keys) for keys in meshes]
    assert np.all(np.abs(orders(errors) - (degree + 1)) < 0.25)


@each_degree
@pytest.mark.parametrize("voltage", [None, 3.0])
def test_steady_charges_are_those_of_poisson_and_boltzmann(voltage, degree):
    ends = None if voltage is None else (0.0, voltage)
    exact = poisson_boltzmann((1.0, -1.0), (1.0, 1.0), 0.1, ends, (lambda x: 2.0 * x, np.zeros_like))
    errors = []
    for cells in (16, 32, 64):
        flow, state = charged(degree, voltage is not None, domain="interval", cells=cells, voltage=voltage)
        scheme = LogDensity(flow, DIRECT)
        for _ in range(6):
            state = scheme.step(state, 1e3).state
        u, _, psi = flow.densities(flow.logs(state))
        errors.append(
            [
                l2_error(flow, u, lambda x: exact.densities(x[0])[0]),
                l2_error(flow, psi, lambda x: exact.potential(x[0])),
            ]
        )
    assert np.all(np.abs(orders(errors) - (degree + 1)) < 0.15)


# Equations


@pytest.mark.parallel
@each_degree
@each_problem
def test_jacobian_is_the_derivative_of_the_residual(problem, degree):
    flow, old, _ = built(problem, degree)
    tau = 0.3
    equations = LogDensityEquations(flow)
    matrix = equations.new_matrix()
    x, y = matrix.createVecs()
    state = waves(flow.points, 3, len(flow.names))
    direction = waves(flow.points, 4, len(flow.names)) - 0.4
    for column, (nodes, _) in flow.fixed.items():
        direction[nodes, column] = 0.0
    numbers = flow.space.dofmap.index_map.local_to_global(np.arange(flow.nodes, dtype=np.int32))
    direction[np.ix_(numbers == 0, flow.free_constants)] = 0.0
    equations.jacobian(state, tau, matrix, entropy=0.2)
    x.array_w[:] = direction[: flow.owned].ravel()
    matrix.mult(x, y)
    step = 1e-4
    forth, back = (
        equations.residual(state + sign * step * direction, old, tau, entropy=0.2).copy() for sign in (1, -1)
    )
    found, expected = y.array_r.reshape(forth.shape), (forth - back) / (2.0 * step)
    size = flow.reduce(np.abs(expected).max(axis=0), MPI.MAX)
    np.testing.assert_allclose((found - expected) / size, 0.0, atol=1e-6)


@pytest.mark.parallel
@each_degree
def test_a_free_constant_is_pinned_at_one_node(degree):
    flow, old, _ = built("insulated", degree)
    equations = LogDensityEquations(flow)
    matrix = equations.new_matrix()
    equations.jacobian(flow.logs(old).x.array.reshape(old.shape), 1.0, matrix)
    x, y = matrix.createVecs()
    x.array_w.reshape(-1, 3)[:, 2] = 1.0
    matrix.mult(x, y)
    # But for the pinned node, the constant is seen where its column was taken away: by its neighbours.
    seen = np.abs(y.array_r.reshape(-1, 3)[:, 2]) > 1e-12
    count, exact = COMM.allreduce(np.array([seen.sum(), (y.array_r.reshape(-1, 3)[:, 2] == 1.0).sum()]))
    assert exact == 1
    assert 1 < count < 30


@pytest.mark.parallel
@each_degree
@pytest.mark.parametrize("problem", ["signalling", "electrodes"])
def test_forces_are_the_derivative_of_the_energy(problem, degree):
    flow, old, _ = built(problem, degree)
    column, tau = len(flow.names) - 1, 0.3 if problem == "signalling" else 1.0
    direction = np.zeros_like(old)
    direction[:, column] = waves(flow.points, 5)[:, 0]
    for nodes, _ in flow.fixed.values():
        direction[nodes] = 0.0
    # At the old state nothing but the forces is left of the residual of these fields.
    logs = flow.logs(old).x.array.reshape(old.shape).copy()
    residual = LogDensityEquations(flow).residual(logs, old, tau)
    found = COMM.allreduce(float((residual * direction[: flow.owned])[:, column].sum()))
    step = 1e-3
    energies = [flow.energy(old + k * step * direction) for k in (-2, -1, 1, 2)]
    expected = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)
    assert found == pytest.approx(tau * expected, rel=1e-8)


@each_degree
@each_problem
def test_small_steps_lose_the_dissipation(problem, degree):
    # dE/dt = -D: the loss of a step is τ D to first order; the error halves with τ.
    flow, state, scheme = built(problem, degree)
    state = scheme.step(state, 1e-3).state
    ratios = []
    for tau in (1e-5, 5e-6):
        new = scheme.step(state, tau).state
        ratios.append((flow.energy(state) - flow.energy(new)) / (tau * flow.dissipation(state)))
    errors = np.abs(np.array(ratios) - 1.0)
    assert errors[0] < 2e-2
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parallel
@each_degree
def test_static_fields_are_balanced_without_moving_the_others(degree):
    # On the interval 0 < x < 1 with u = v = 1, -.1 ψ'' = 0: ψ = 3x.
    flow, _ = charged(degree, True, domain="interval", cells=8)
    state = flow.state({"u": 1.0, "v": 1.0})
    state[:, 2] = 7.0
    state = flow.settled(state)
    np.testing.assert_allclose(state[:, :2], 1.0, rtol=1e-10)
    np.testing.assert_allclose(state[:, 2], 3.0 * flow.points[:, 0], atol=1e-9)


@pytest.mark.parallel
def test_potential_has_mean_zero_over_the_boundary_where_no_field_leaves():
    flow, state, scheme = built("insulated", 2)
    after = scheme.step(state, 0.1).state
    psi = flow.functions(after)["psi"]
    assert abs(COMM.allreduce(fem.assemble_scalar(fem.form(psi * ufl.ds)))) < 1e-12
    assert flow.maxima(after)["psi"] > 1e-2


# Ranks, reports, failures


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("problem", "degree"), [("confined", 1), ("insulated", 2), ("electrodes", 1), ("signalling", 2)]
)
def test_energies_are_those_of_each_rank_alone(problem, degree):
    found = []
    for alone in (False, True):
        flow, state, scheme = built(problem, degree, alone)
        for tau in (1e-2, 10.0):
            state = scheme.step(state, tau).state
            found.append((flow.energy(state), flow.dissipation(state), *flow.masses(state).values()))
    np.testing.assert_allclose(found[:2], found[2:], rtol=1e-9, atol=1e-12)


@pytest.mark.parallel
def test_reports_of_a_step():
    flow, old, scheme = built("confined", 1)
    before = old.copy()
    step = scheme.step(old, 1e-2)
    np.testing.assert_array_equal(old, before)
    assert step.linear == step.newton >= 2
    assert set(scheme.seconds) == {"assemble", "solve"}
    vector = flow.vector()
    vector.array[: flow.owned] = step.state[: flow.owned, 0]
    vector.scatter_forward()
    np.testing.assert_array_equal(vector.array, step.state[:, 0])
    scheme.step(step.state, 1.0)
    scheme.restore(Memory())
    np.testing.assert_allclose(scheme.step(old, 1e-2).state, step.state, rtol=1e-10)


@pytest.mark.parallel
@each_degree
def test_krylov_agrees_with_a_factorisation(degree):
    flow, state, _ = built("electrodes", degree)
    krylov = NewtonSettings(linear="krylov")
    one, other = (LogDensity(flow, settings).step(state, 0.1).state for settings in (DIRECT, krylov))
    np.testing.assert_allclose(one, other, atol=1e-7)


def test_failures():
    flow, state, scheme = built("confined", 1)
    with pytest.raises(SolveError, match="Newton's method failed with step"):
        LogDensity(flow, NewtonSettings(linear="direct", max_iterations=1)).step(state, 1.0)
    for tau in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="time step must be a positive finite number"):
            scheme.step(state, tau)
