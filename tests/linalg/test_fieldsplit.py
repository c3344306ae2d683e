"""Field splits of coupled systems: iterations on finer and finer meshes, and what users may change."""

import functools

import numpy as np
import pytest
import ufl
from references import COMM, mesh_of

from fem_models.flow.edge_averaged import EdgeAveraged
from fem_models.flow.unknowns import Unknowns
from fem_models.linalg.linear_solver import linear_options
from fem_models.linalg.newton import Newton, NewtonSettings
from fem_models.meshes import domains as meshes
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.poisson_nernst_planck import poisson_nernst_planck
from fem_models.systems.two_component import quadratic_potentials, two_component

SPLIT = {"pc_type": "fieldsplit"}


def blob(x, center):
    """A Gaussian whose tails are cut off: there is vacuum around it."""
    return np.maximum(np.exp(-2.0 * ((x[0] - center[0]) ** 2 + (x[1] - center[1]) ** 2)) - 1e-2, 0.0)


def two_densities(cells):
    mesh = mesh_of("rectangle", lower=(-3.0, -3.0), upper=(3.0, 3.0), cells=(cells, cells))
    flow = two_component(mesh, quadratic_potentials(1.0, [(0.5, 0.0), (-0.5, 0.0)]), epsilon=0.3)
    initial = {"rho1": lambda x: blob(x, (1.0, 0.0)), "rho2": lambda x: blob(x, (-1.0, 0.3))}
    return flow, flow.state(initial, {"rho1": 1.0, "rho2": 1.0})


def with_signal(cells):
    mesh = mesh_of("rectangle", lower=(-3.0, -3.0), upper=(3.0, 3.0), cells=(cells, cells))
    flow = chemotaxis(mesh, lambda x: 0.5 * ufl.dot(x, x), epsilon=0.5, phi=ufl.tanh)
    return flow, flow.state({"rho": lambda x: blob(x, (1.0, 0.0)), "c": 0.0}, {"rho": 1.0})


def charged(cells, m=1.0, electrodes=None):
    mesh = meshes.build(COMM, "rectangle", cells=(cells, cells))
    flow = poisson_nernst_planck(mesh, m=m, electrodes=electrodes)
    # A Debye length of a tenth of the domain.
    initial = {
        "u": lambda x: 1.0 + 0.9 * np.cos(np.pi * x[0]),
        "v": lambda x: 1.0 - 0.9 * np.cos(np.pi * x[1]),
    }
    return flow, flow.state(initial, {"u": 50.0, "v": 50.0})


def between_electrodes(cells):
    return charged(cells, electrodes={"left": 0.0, "right": 1.0})


def nonlinear_ions(cells):
    return charged(cells, m=2.0)


SYSTEMS = [two_densities, with_signal, charged, between_electrodes, nonlinear_ions]


@functools.cache
def problem(system, cells):
    return system(cells)


def one_step(system, cells, tau, settings):
    flow, state = problem(system, cells)
    return BackwardEuler(flow, settings=settings).step(state, tau)


@pytest.mark.parallel
@pytest.mark.parametrize("tau", [1e-2, 1.0])
@pytest.mark.parametrize("system", SYSTEMS)
def test_iterations_hardly_grow_with_the_number_of_unknowns(system, tau):
    settings = NewtonSettings(linear="krylov", petsc={**SPLIT, "ksp_rtol": 1e-6})
    steps = [one_step(system, cells, tau, settings) for cells in (20, 40, 80)]
    means = [step.linear / step.newton for step in steps]
    # On the coarsest mesh a small step moves mass by less than a cell, and nearly nothing is left to iterate.
    assert means[-1] < 1.5 * max(means[0], 3.0)
    assert max(means) < 20.0


@pytest.mark.parallel
@pytest.mark.parametrize("tau", [1e-3, 1.0, 10.0])
@pytest.mark.parametrize("pc", ["fieldsplit", None])
@pytest.mark.parametrize("system", SYSTEMS)
def test_steps_are_those_of_the_direct_solver(system, pc, tau):
    flow, _ = problem(system, 24)
    petsc = {"pc_type": pc} if pc else {}
    found = one_step(system, 24, tau, NewtonSettings(tolerance=1e-12, linear="krylov", petsc=petsc)).state
    expected = one_step(system, 24, tau, NewtonSettings(tolerance=1e-12, linear="direct")).state
    largest = np.maximum(flow.scale(np.abs(expected)), 1.0)
    # A static field answers to the net charge that round-off leaves in 24² residuals of size up to 1e-11.
    tolerances = np.where(flow.static, 1e-6, 1e-8)
    assert np.all(np.abs(found - expected) <= tolerances * largest)
    assert min(flow.minima(found)[s.name] for s in flow.species if s.metric == "wasserstein") >= 0.0


@pytest.mark.parallel
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_change_of_unknowns_is_that_of_the_jacobian(system):
    flow, state = problem(system, 8)
    equations = EdgeAveraged(flow, "upwind")
    change = Unknowns(flow)(state, 0.1)
    y = flow.vector()
    y.array[:] = np.sin(7.0 * flow.points @ np.ones((2, 1)) + np.arange(len(flow.names))).ravel()
    products = []
    for matrices, vector in ((change, y.array), (None, None)):
        matrix = equations.new_matrix()
        arguments = () if matrices is None else (0.0, matrices)
        equations.jacobian(state, 0.1, matrix, *arguments)
        x, out = matrix.createVecs()
        if vector is None:
            vector = np.einsum("nst,nt->ns", change, y.array.reshape(state.shape)).ravel()
        x.array_w[:] = vector[: x.getLocalSize()]
        matrix.mult(x, out)
        products.append(out.array_r.copy())
    np.testing.assert_allclose(products[0], products[1], atol=1e-12 * np.abs(products[1]).max(initial=1.0))


def settings_of(newton):
    """Types of the preconditioner and of those of its splits, after a step."""
    pc = newton._snes.ksp.pc
    return pc.getType(), [solver.pc.getType() for solver in pc.getFieldSplitSubKSP()]


@pytest.mark.parallel
def test_options_of_users_change_single_splits():
    flow, state = problem(charged, 20)
    petsc = {"fieldsplit_psi_pc_type": "jacobi", "pc_fieldsplit_type": "additive", "ksp_type": "fgmres"}
    newton = Newton(EdgeAveraged(flow, "upwind"), NewtonSettings(linear="krylov", petsc=petsc))
    assert newton.solve(state, state, 1e-2).converged
    assert settings_of(newton) == ("fieldsplit", ["lu", "lu", "jacobi"])
    assert newton._snes.ksp.getType() == "fgmres"


@pytest.mark.parallel
def test_splits_from_the_command_line(database):
    flow, state = problem(charged, 20)
    database["pc_fieldsplit_0_fields"] = "0,1"
    database["pc_fieldsplit_1_fields"] = "2"
    database["fieldsplit_0_pc_type"] = "bjacobi"
    database["fieldsplit_1_pc_type"] = "gamg"
    newton = Newton(EdgeAveraged(flow, "upwind"), NewtonSettings(linear="krylov"))
    assert newton.solve(state, state, 1e-2).converged
    assert settings_of(newton) == ("fieldsplit", ["bjacobi", "gamg"])


@pytest.mark.parallel
@pytest.mark.parametrize("pc", ["bjacobi", "gamg"])
def test_the_type_from_the_command_line_wins(database, pc):
    flow, state = problem(with_signal, 20)
    database["pc_type"] = pc
    newton = Newton(EdgeAveraged(flow, "upwind"), NewtonSettings(linear="krylov"))
    assert newton.solve(state, state, 1e-2).converged
    assert newton._snes.ksp.pc.getType() == pc


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("system", "tau", "kind"), [(with_signal, 1e-4, "bjacobi"), (charged, 1e-4, "fieldsplit")]
)
def test_small_steps_keep_block_ilu_where_no_field_is_static(system, tau, kind):
    flow, state = problem(system, 40)
    newton = Newton(EdgeAveraged(flow, "upwind"), NewtonSettings(linear="krylov"))
    newton.solve(state, state, tau)
    assert newton._snes.ksp.pc.getType() == kind


@pytest.mark.parallel
def test_large_steps_turn_to_splits_in_their_midst():
    flow, state = problem(two_densities, 60)
    outcomes = []
    for petsc in ({}, {"pc_type": "bjacobi", "ksp_max_it": 1000}):
        settings = NewtonSettings(linear="krylov", petsc={"ksp_rtol": 1e-6, **petsc})
        newton = Newton(EdgeAveraged(flow, "upwind"), settings)
        outcomes.append(newton.solve(state, state, 10.0))
        assert outcomes[-1].converged
        assert newton._snes.ksp.pc.getType() == petsc.get("pc_type", "fieldsplit")
    by_splits, by_ilu = (outcome.linear / outcome.newton for outcome in outcomes)
    assert by_splits < 0.7 * by_ilu


def test_direct_solvers_have_no_splits():
    options = linear_options("direct", 100, 2, 1, ("u", "v"))
    assert not any("fieldsplit" in name for name in options)
