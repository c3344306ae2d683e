import re

import numpy as np
import pytest
from references import COMM, DIRECT, bump, flow_of, l1_distance, quadratic_potential

from fem_models.core.errors import InputError, SolveError
from fem_models.energies import Boltzmann, PowerLaw
from fem_models.flow.edge_averaged import EdgeAveraged
from fem_models.linalg.newton import Newton, NewtonSettings
from fem_models.schemes.backward_euler import BackwardEuler


def porous():
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.15)
    return flow, flow.state(bump((0.3, 0.1)), 1.0)


def newton_of(flow, **settings):
    return Newton(EdgeAveraged(flow, "upwind"), NewtonSettings(**settings))


# Failures


@pytest.mark.parallel
def test_report_of_a_failure():
    flow, state = porous()
    before = state.copy()
    petsc = {"snes_max_it": 1}
    with pytest.raises(SolveError, match=r"The step of size 0\.5 could not be taken, nor could its parts"):
        BackwardEuler(flow, settings=NewtonSettings(linear="direct", petsc=petsc)).step(state, 0.5)
    np.testing.assert_array_equal(state, before)
    report = newton_of(flow, linear="direct", petsc=petsc).solve(state, state, 0.5).report
    assert "Newton's method failed with step 0.5, 1 iterations." in report
    assert re.search(r"SNES reason: DIVERGED_MAX_IT \(-5\)", report)
    assert re.search(r"KSP reason: CONVERGED_\w+ \(\d+\)", report)
    norms = re.search(r"Residual norms: (.*)", report)[1].split(", ")
    assert len(norms) == 2
    assert all(float(norm) > 0.0 for norm in norms)
    assert re.search(r"rho: minimum 0, maximum [\d.]+", report)
    tolerance = float(re.search(r"Tolerance: ([^,]*), round-off at most", report)[1])
    assert 0.0 < tolerance < float(norms[-1])


@pytest.mark.parallel
def test_a_failed_linear_solver_is_reported():
    flow, state = porous()
    # One iteration of Richardson's method without a preconditioner, and no patience.
    petsc = {"ksp_type": "richardson", "pc_type": "none", "ksp_max_it": 1, "ksp_rtol": 1e-12}
    settings = NewtonSettings(linear="krylov", petsc={**petsc, "snes_max_linear_solve_fail": 1})
    with pytest.raises(SolveError, match=r"KSP reason: DIVERGED_(ITS|MAX_IT) \(-3\)"):
        BackwardEuler(flow, settings=settings).step(state, 1.0)


@pytest.mark.parallel
def test_infinite_residuals_are_reported():
    flow, state = porous()
    outcome = newton_of(flow, linear="direct").solve(state, np.full_like(state, np.inf), 1.0)
    assert not outcome.converged
    assert "SNES reason: DIVERGED_FUNCTION" in outcome.report


@pytest.mark.parallel
@pytest.mark.parametrize("tau", [0.0, -1.0, np.nan, np.inf])
def test_steps_that_are_not_positive_are_refused(tau):
    flow, state = porous()
    with pytest.raises(InputError, match="time step must be a positive finite number"):
        BackwardEuler(flow, settings=DIRECT).step(state, tau)


@pytest.mark.parallel
def test_a_solver_works_after_a_failure():
    flow, state = porous()
    scheme = BackwardEuler(flow, settings=NewtonSettings(linear="direct", max_iterations=2))
    expected = BackwardEuler(flow, settings=DIRECT).step(state, 1e-6).state
    with pytest.raises(SolveError):
        scheme.step(state, 10.0)
    np.testing.assert_allclose(scheme.step(state, 1e-6).state, expected, atol=1e-9)


# Accuracy


@pytest.mark.parallel
def test_solution_has_a_residual_below_the_tolerance():
    flow, state = porous()
    discretization = EdgeAveraged(flow, "upwind")
    norm = COMM.allreduce(float(((flow.geometry.volumes * state[:, 0])[: flow.owned] ** 2).sum())) ** 0.5
    for tolerance in (1e-3, 1e-6, 1e-10):
        newton = Newton(discretization, NewtonSettings(tolerance=tolerance, linear="direct"))
        outcome = newton.solve(state, state, 1e-2)
        assert outcome.converged
        residual = discretization.residual(outcome.state, state, 1e-2)
        assert COMM.allreduce(float((residual**2).sum())) ** 0.5 <= tolerance * norm


@pytest.mark.parallel
def test_convergence_is_quadratic():
    flow = flow_of("disk", Boltzmann() + PowerLaw(2), h=0.15)
    state = flow.state(lambda x: 1.0 + 0.5 * x[0])
    discretization, norms = EdgeAveraged(flow, "upwind"), []
    for limit in (1, 2, 3):
        newton = Newton(
            discretization, NewtonSettings(tolerance=1e-14, linear="direct", max_iterations=limit)
        )
        end = newton.solve(state, state, 0.1).state
        residual = discretization.residual(end, state, 0.1)
        norms.append(COMM.allreduce(float((residual**2).sum())) ** 0.5)
    # The ratio of successive residuals falls by at least the same factor again.
    assert norms[1] < 0.1 * norms[0]
    assert norms[2] / norms[1] < 3.0 * (norms[1] / norms[0]) ** 2


@pytest.mark.parallel
@pytest.mark.parametrize("flux", ["upwind", "average"])
def test_krylov_and_direct_solvers_agree(flux):
    flow, state = porous()
    tight = 1e-12
    ends = []
    for linear in ("direct", "krylov"):
        scheme, u = BackwardEuler(flow, flux, NewtonSettings(tolerance=tight, linear=linear)), state
        steps = []
        for _ in range(3):
            step = scheme.step(u, 1e-2)
            u = step.state
            steps.append(step)
        assert (sum(s.linear for s in steps) > sum(s.newton for s in steps)) == (linear == "krylov")
        ends.append(u)
    assert l1_distance(flow, ends[0], ends[1][:, 0]) < 1e-9


# Options


@pytest.mark.parallel
def test_user_options_win_over_defaults():
    flow, state = porous()
    newton = newton_of(
        flow, linear="direct", petsc={"-ksp_type": "gmres", "pc_type": "jacobi", "ksp_rtol": 1e-9}
    )
    ksp = newton._snes.ksp
    assert (ksp.getType(), ksp.pc.getType(), ksp.getTolerances()[0]) == ("gmres", "jacobi", 1e-9)
    outcome = newton.solve(state, state, 1e-3)
    assert outcome.converged
    assert outcome.linear > outcome.newton


@pytest.mark.parallel
def test_database_wins_over_user_options(database):
    flow, _ = porous()
    database["ksp_type"] = "cg"
    newton = newton_of(flow, linear="direct", petsc={"ksp_type": "gmres", "snes_max_it": 7})
    assert newton._snes.ksp.getType() == "cg"
    assert newton._snes.max_it == 7


@pytest.mark.parallel
def test_database_is_left_as_it_was(database):
    flow, state = porous()
    database["ksp_rtol"] = "1e-6"
    before = database.getAll()
    settings = NewtonSettings(linear="direct", petsc={"snes_linesearch_type": "basic"})
    scheme = BackwardEuler(flow, settings=settings)
    assert database.getAll() == before
    scheme.step(state, 1e-2)
    assert database.getAll() == before
    with pytest.raises(SolveError):
        BackwardEuler(flow, settings=NewtonSettings(linear="direct", petsc={"snes_max_it": 1})).step(
            state, 1.0
        )
    assert database.getAll() == before


@pytest.mark.parallel
def test_tolerances_of_petsc_replace_the_own_one():
    flow, state = porous()
    loose = newton_of(flow, linear="direct", petsc={"snes_rtol": 1e-1, "snes_atol": 0.0}).solve(
        state, state, 1e-2
    )
    tight = newton_of(flow, linear="direct").solve(state, state, 1e-2)
    assert loose.converged
    assert loose.newton < tight.newton


@pytest.mark.parallel
def test_iteration_limits():
    flow, state = porous()
    newton = newton_of(flow, linear="direct", max_iterations=2)
    outcome = newton.solve(state, state, 1.0)
    assert (outcome.converged, outcome.newton) == (False, 2)
    assert not newton_of(flow, linear="direct").solve(state, state, 1.0, limit=1).converged
