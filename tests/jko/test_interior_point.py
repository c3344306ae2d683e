"""Newton's method with complementarity and along the barrier, for paths of least action."""

import numpy as np
import pytest
from references import COMM, bump, mesh_of, quadratic_potential, waves

from fem_models.energies import Boltzmann, PowerLaw
from fem_models.exact.profiles import Barenblatt, Gaussian
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.jko.path_ends import EnergyEnd, FixedEnd
from fem_models.jko.path_solver import PathSolver
from fem_models.jko.paths import PathEquations
from fem_models.linalg import mumps
from fem_models.linalg.newton import NewtonSettings
from fem_models.nodal.mobilities import mobility

TAU = 5e-3


def flow_of(energy, domain="disk", **keys):
    return GradientFlow(mesh_of(domain, **(keys or {"h": 0.2})), Species(), energy).with_lumping("cells")


def problem(flow, slabs=1, flux="average", end=None, settings=None):
    form = mobility(flux, flow.space, flow.geometry, None)
    weight = 1.0 if slabs == 1 and end is None else 0.5
    end = end or EnergyEnd(flow)
    path = PathEquations(flow.space, flow.geometry.volumes, form, slabs, weight, end)
    return path, PathSolver(path, settings or NewtonSettings(linear="direct"))


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("m", "flux", "slabs"),
    [
        *((2.0, "upwind", 1), (4.0, "upwind", 1), (2.0, "average", 1), (4.0, "average", 1)),
        *((2.0, "average", 3), (4.0, "average", 3)),
    ],
)
def test_all_starts_lead_to_the_same_minimiser(m, flux, slabs):
    # With vacuum; the functional is convex, and so there is one.
    flow = flow_of(PowerLaw(m) + quadratic_potential(1.0))
    old = flow.state(bump((0.3, 0.1), 0.3), 1.0)
    path, solver = problem(flow, slabs, flux)
    rest = flow.potentials(old)
    flat = flow.state(lambda x: 1.0 + 0.0 * x[0], 1.0)
    found = []
    for densities, potentials in (
        (old, rest),
        (0.7 * old + 0.3 * flat, 0.0 * rest),
        (old, rest + 0.1 * waves(flow.points, 4)),
    ):
        guess = path.constant(densities, potentials)
        outcome = solver.newton(guess, old, TAU, 30)
        # Inside several slabs vacuum has no energy that would help.
        assert outcome.converged or slabs > 1, outcome.report
        if not outcome.converged:
            along = solver.interior_point(guess, old, TAU)
            outcome = solver.newton(along.unknowns, old, TAU, 30)
        assert outcome.converged, outcome.report
        found.append(path.final(outcome.unknowns)[: flow.owned])
    along = solver.interior_point(path.constant(old, rest), old, TAU)
    assert along.converged, along.report
    assert COMM.allreduce(along.newton) == COMM.size * along.newton <= 25 * COMM.size
    last = solver.newton(along.unknowns, old, TAU, 30)
    assert last.converged, last.report
    found.append(path.final(last.unknowns)[: flow.owned])
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-8)
    # What the barrier leaves in vacuum is little already.
    np.testing.assert_allclose(path.final(along.unknowns)[: flow.owned], found[0], atol=1e-3)
    # Vacuum is exact, and the minimiser conserves mass before anything is scaled.
    new = path.final(last.unknowns)
    assert flow.minima(new)["rho"] == 0.0
    assert flow.masses(new)["rho"] == pytest.approx(1.0, rel=1e-9)
    assert max(solver.optimality(last.unknowns, old, TAU)) < 1e-6


@pytest.mark.parallel
def test_fronts_of_flat_energies_do_not_cycle():
    # The slope of the potential vanishes with the density, and nodes at the front are held and freed.
    flow = flow_of(PowerLaw(4), "rectangle", lower=(-1, -1), upper=(1, 1), cells=(24, 24))
    old = flow.state(bump((0.0, 0.0), 0.2), 1.0)
    path, solver = problem(flow)
    for tau in (1e-4, 1e-3, 1e-2):
        outcome = solver.newton(path.constant(old, flow.potentials(old)), old, tau, 25)
        assert outcome.converged, outcome.report


@pytest.mark.parametrize("tau", [1e4, 1e10])
def test_long_steps_end_at_the_minimum_of_the_energy(tau):
    # Fluxes are the differences of potentials times τ, and say little for rounding.
    flow = flow_of(PowerLaw(2) + quadratic_potential(1.0), "interval", lower=-1.0, upper=1.0, cells=40)
    old = flow.state(lambda x: 1.0 + 0.3 * x[0], 2.0)
    path, solver = problem(flow)
    along = solver.interior_point(path.constant(old, flow.potentials(old)), old, tau)
    assert along.converged, along.report
    outcome = solver.newton(along.unknowns, old, tau, 25)
    assert outcome.converged, outcome.report
    # 2ρ + x²/2 is constant.
    x = flow.points[:, 0]
    even = -0.25 * x**2
    even += (2.0 - flow.geometry.volumes @ even) / flow.volume
    np.testing.assert_allclose(path.final(outcome.unknowns)[:, 0], even, atol=max(20.0 / tau, 1e-8))


def distance(flow, first, second, slabs):
    """W₂ between two densities, and the path."""
    end = FixedEnd(second, flow.geometry.volumes, flow.owned)
    path, solver = problem(flow, slabs, end=end)
    guess = path.constant(first, np.zeros((flow.nodes, 1)))
    for k in range(slabs):
        share = (k + 1) / slabs
        path.densities(guess)[:, 0, k] = ((1.0 - share) * first + share * second)[:, 0]
    outcome = solver.interior_point(guess, first, 1.0)
    assert outcome.converged, outcome.report
    return float(np.sqrt(2.0 * path.action(outcome.unknowns, first, 1.0)[0])), path, outcome


def test_distances_of_gaussians_converge_in_slabs():
    flow = flow_of(Boltzmann(), "interval", lower=-1.0, upper=1.0, cells=128)
    first, second = (flow.state(Gaussian.isotropic([0.0], width), 1.0) for width in (0.1, 0.2))
    errors = [abs(distance(flow, first, second, slabs)[0] / 0.1 - 1.0) for slabs in (1, 2, 4)]
    assert errors[2] < 0.01
    assert errors[2] < 0.6 * errors[1] < 0.6 * errors[0]


@pytest.mark.parallel
def test_distances_with_vacuum_are_symmetric_and_paths_keep_mass():
    flow = flow_of(Boltzmann(), "rectangle", lower=(-1, -1), upper=(1, 1), cells=(16, 16))
    profile = Barenblatt(2.0, 2, 1.0, 0.4)
    first, second = (flow.state(rho, 1.0) for rho in (profile, profile.dilated(1.75)))
    there, path, outcome = distance(flow, first, second, 3)
    back = distance(flow, second, first, 3)[0]
    assert there == pytest.approx(back, rel=1e-6)
    exact = 0.75 * np.sqrt(profile.second_moment / profile.mass)
    assert there == pytest.approx(exact, rel=0.04)
    for k in range(3):
        nodal = flow.geometry.volumes * path.densities(outcome.unknowns)[:, 0, k]
        assert COMM.allreduce(nodal[: flow.owned].sum()) == pytest.approx(1.0, rel=1e-9)
    assert COMM.allreduce(path.densities(outcome.unknowns).min()) > -1e-12 * COMM.size


@pytest.mark.parallel
def test_systems_that_krylov_does_not_solve_are_factorised_and_noted():
    flow = flow_of(PowerLaw(2))
    old = flow.state(bump((0.3, 0.1), 0.3), 1.0)
    states = []
    for petsc in ({}, {"ksp_max_it": 1}):
        path, solver = problem(flow, settings=NewtonSettings(linear="krylov", petsc=petsc))
        outcome = solver.newton(path.constant(old, flow.potentials(old)), old, TAU, 25)
        assert outcome.converged, outcome.report
        states.append(path.final(outcome.unknowns))
        assert bool(solver.notes) == bool(petsc)
    assert "factorised by MUMPS" in solver.notes[0]
    np.testing.assert_allclose(states[0], states[1], atol=1e-9)


@pytest.mark.parallel
def test_factorisations_are_given_more_memory(monkeypatch):
    # Negative percentages are too little for any system.
    monkeypatch.setattr(mumps, "MEMORY", (-99, 100))
    flow = flow_of(PowerLaw(2))
    old = flow.state(bump((0.3, 0.1), 0.3), 1.0)
    path, solver = problem(flow, 2)
    outcome = solver.newton(path.constant(old, flow.potentials(old)), old, TAU, 25)
    assert outcome.converged, outcome.report


def test_failures_are_reported_with_their_history():
    flow = flow_of(PowerLaw(2))
    old = flow.state(bump((0.3, 0.1), 0.3), 1.0)
    path, solver = problem(flow)
    outcome = solver.newton(path.constant(old, flow.potentials(old)), old, 0.1, 1)
    assert not outcome.converged
    assert "failed with step 0.1, 1 iterations" in outcome.report
    assert "0: continuity (2.9a)" in outcome.report
    assert "densities: minimum" in outcome.report
