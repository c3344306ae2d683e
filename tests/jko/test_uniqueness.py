"""The Lasry–Lions identity on a small mesh, with steps that SciPy solves and steps that the scheme takes."""

import math

import numpy as np
import pytest
from mpi4py import MPI
from references import COMM, mesh_of, quadratic_potential, waves
from scipy.optimize import root

from fem_models.core.errors import InputError
from fem_models.energies import Boltzmann, PowerLaw
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.jko.path_ends import EnergyEnd
from fem_models.jko.path_solver import PathSolver
from fem_models.jko.paths import PathEquations
from fem_models.jko.uniqueness import Candidate, lasry_lions
from fem_models.linalg.newton import NewtonSettings
from fem_models.nodal.mobilities import mobility

FLUXES = ("average", "upwind")
RECTANGLE = {"cells": (2, 1)}


class Problem:
    """A step of E = Σ m (ρ log ρ + Vρ) on a mesh of one rank, its functional written out."""

    def __init__(self, slabs, flux, seed=0):
        flow = GradientFlow(mesh_of("rectangle", True, **RECTANGLE), Species(), Boltzmann()).with_lumping(
            "cells"
        )
        rng = np.random.default_rng(seed)
        self.slabs, self.flux, self.delta = slabs, flux, 0.05 / slabs
        self.volumes, self.nodes = flow.geometry.volumes, flow.nodes
        self.mobility = mobility(flux, flow.space, flow.geometry, None)
        self.cells = flow.space.dofmap.list
        corners = np.concatenate([np.ones((*self.cells.shape, 1)), flow.points[self.cells]], axis=2)
        self.sizes = np.abs(np.linalg.det(corners)) / math.factorial(flow.points.shape[1])
        self.gradients = np.linalg.inv(corners)[:, 1:]
        self.pairs, self.kappa = flow.geometry.pairs, flow.geometry.kappa
        self.initial = rng.uniform(0.3, 2.0, self.nodes)
        self.V = rng.uniform(-2.0, 2.0, self.nodes)

    def form(self, mean, phi):
        """a(ρ̄; φ), by cells or edges."""
        if self.flux == "average":
            slopes = np.einsum("cdv,cv->cd", self.gradients, phi[self.cells])
            return self.sizes @ (mean[self.cells].mean(axis=1) * (slopes**2).sum(axis=1))
        i, j = self.pairs.T
        D = phi[i] - phi[j]
        return self.kappa @ (np.where(D.real > 0.0, mean[i], mean[j]) * D**2)

    def lagrangian(self, rho, phi):
        last = rho[-1]
        value = self.volumes @ (last * np.log(last) + self.V * last)
        new = 1.0 if self.slabs == 1 else 0.5
        for k in range(self.slabs):
            mean = (1.0 - new) * rho[k] + new * rho[k + 1]
            value = value - self.volumes @ ((rho[k + 1] - rho[k]) * phi[k])
            value = value - 0.5 * self.delta * self.form(mean, phi[k])
        return value

    def gradients_of_l(self, rho, phi):
        """∂L/∂ρ and ∂L/∂φ by steps in the imaginary direction, which are exact to rounding."""
        found = []
        for which, values in enumerate((rho, phi)):
            gradient = np.empty_like(values)
            for index in np.ndindex(*values.shape):
                moved = [rho.astype(complex), phi.astype(complex)]
                moved[which][index] += 1e-30j
                gradient[index] = self.lagrangian(*moved).imag / 1e-30
            found.append(gradient)
        return found

    def terminal(self, rho):
        return np.log(rho[-1]) + 1.0 + self.V

    def solution(self, seed=1):
        """The densities and potentials where both gradients vanish, from a random start."""
        half = self.slabs * self.nodes

        def unpack(numbers):
            rho = np.exp(numbers[:half]).reshape(self.slabs, self.nodes)
            return np.vstack([self.initial, rho]), numbers[half:].reshape(self.slabs, self.nodes)

        def residual(numbers):
            by_rho, by_phi = self.gradients_of_l(*unpack(numbers))
            return np.concatenate([by_rho[1:].ravel(), by_phi.ravel()])

        start = 0.3 * np.random.default_rng(seed).normal(size=2 * half)
        found = root(residual, start, method="hybr", options={"xtol": 1e-13})
        assert np.abs(found.fun).max() < 1e-11
        rho, phi = unpack(found.x)
        return Candidate(rho, phi, self.terminal(rho))

    def identity(self, first, second):
        return lasry_lions(first, second, self.volumes, self.mobility, self.delta, MPI.COMM_SELF)


def candidate(problem, seed):
    rng = np.random.default_rng(seed)
    rho = rng.uniform(0.0, 2.0, (problem.slabs + 1, problem.nodes))
    return Candidate(rho, rng.normal(size=(problem.slabs, problem.nodes)), problem.terminal(rho))


def distance(problem, mean, phi, other):
    """a(ρ̄; φ') - a(ρ̄; φ) - ∂a/∂φ·(φ' - φ), the derivative along a step in the imaginary direction."""
    slope = problem.form(mean, phi + 1e-30j * (other - phi)).imag / 1e-30
    return problem.form(mean, other) - problem.form(mean, phi) - slope


@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("slabs", [1, 2, 4])
def test_all_terms_for_arbitrary_data(slabs, flux):
    problem = Problem(slabs, flux)
    first, second = candidate(problem, 2), candidate(problem, 3)
    found = problem.identity(first, second)
    by_rho, by_phi = (
        one - two
        for one, two in zip(
            problem.gradients_of_l(first.densities, first.potentials),
            problem.gradients_of_l(second.densities, second.potentials),
            strict=True,
        )
    )
    density, potential = first.densities - second.densities, first.potentials - second.potentials
    left = -problem.volumes @ ((first.terminal - second.terminal) * density[-1])
    new = 1.0 if slabs == 1 else 0.5
    means = [(1.0 - new) * c.densities[:-1] + new * c.densities[1:] for c in (first, second)]
    right = sum(
        distance(problem, means[0][k], first.potentials[k], second.potentials[k])
        + distance(problem, means[1][k], second.potentials[k], first.potentials[k])
        for k in range(slabs)
    )
    assert found.left == pytest.approx(left, rel=1e-13)
    assert found.right == pytest.approx(0.5 * problem.delta * right, rel=1e-12)
    assert found.continuity == pytest.approx(-(by_phi * potential).sum(), rel=1e-11)
    assert found.hamilton_jacobi == pytest.approx((by_rho[1:] * density[1:]).sum(), rel=1e-11)
    assert found.initial == pytest.approx(by_rho[0] @ density[0], rel=1e-11)
    assert found.rounding < 1e-14
    assert found.left == pytest.approx(found.right - found.defect, abs=1e-13 * found.scale)


@pytest.mark.parametrize("slabs", [1, 3])
def test_the_action_of_the_average_is_that_of_the_paper(slabs):
    # ½ ∫∫ (p₁ + p₂)|∇φ₁ - ∇φ₂|² with the mean density of each cell.
    problem = Problem(slabs, "average")
    first, second = candidate(problem, 4), candidate(problem, 5)
    new = 1.0 if slabs == 1 else 0.5
    both = first.densities + second.densities
    both = (1.0 - new) * both[:-1] + new * both[1:]
    gap = first.potentials - second.potentials
    expected = 0.5 * problem.delta * sum(problem.form(both[k], gap[k]) for k in range(slabs))
    assert problem.identity(first, second).right == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("slabs", [1, 2])
def test_solutions_of_different_energies_satisfy_it_without_defects(slabs, flux):
    # Different potentials V and the same initial density: neither side vanishes.
    problem, other = Problem(slabs, flux), Problem(slabs, flux)
    other.V = -0.5 * problem.V
    found = problem.identity(problem.solution(), other.solution())
    assert found.right > 1e-2
    assert abs(found.defect) < 1e-9
    assert found.left == pytest.approx(found.right, abs=1e-9)


def test_solutions_from_different_densities():
    problem, other = Problem(2, "average"), Problem(2, "average")
    other.initial = problem.initial[::-1].copy()
    found = problem.identity(problem.solution(), other.solution())
    assert abs(found.initial) > 1e-2
    assert max(abs(found.continuity), abs(found.hamilton_jacobi)) < 1e-9
    # The energy is convex.
    assert found.left < 0.0 < found.right
    assert found.left == pytest.approx(found.right - found.initial, abs=1e-9)


def computed(flow, slabs, flux, old, tau, start):
    """A computed step as a candidate, from densities and potentials that `start` changes."""
    form = mobility(flux, flow.space, flow.geometry, None)
    weight = 1.0 if slabs == 1 else 0.5
    path = PathEquations(flow.space, flow.geometry.volumes, form, slabs, weight, EnergyEnd(flow))
    guess = path.constant(old + start, flow.potentials(old + start) + start)
    found = PathSolver(path, NewtonSettings(linear="direct")).newton(guess, old, tau, 25)
    assert found.converged
    densities = np.concatenate([old.T, path.densities(found.unknowns)[:, 0].T])
    terminal = flow.potentials(path.final(found.unknowns))[:, 0]
    return form, Candidate(densities, path.potentials(found.unknowns)[:, 0].T.copy(), terminal)


@pytest.mark.parallel
@pytest.mark.parametrize(("slabs", "flux"), [(1, "upwind"), (1, "average"), (3, "average")])
def test_computed_steps(slabs, flux):
    # PME without vacuum: the conditions hold as equations at every node.
    mesh = mesh_of("disk", h=0.35)
    flow, steeper = (
        GradientFlow(mesh, Species(), PowerLaw(2) + quadratic_potential(strength)).with_lumping("cells")
        for strength in (0.5, 1.0)
    )
    old = 1.0 + 0.3 * waves(flow.points, 6)
    form, first = computed(flow, slabs, flux, old, 0.05, 0.0)
    _, same = computed(flow, slabs, flux, old, 0.05, 0.2 * waves(flow.points, 7))
    _, other = computed(steeper, slabs, flux, old, 0.05, 0.0)
    owned = flow.geometry.volumes[: flow.owned]
    # From another start: the same step.
    np.testing.assert_allclose(same.densities, first.densities, atol=1e-8)
    unique = lasry_lions(first, same, owned, form, 0.05 / slabs, COMM)
    assert max(abs(unique.left), unique.right) < 1e-14
    # Of another energy: another one, and both sides agree.
    found = lasry_lions(first, other, owned, form, 0.05 / slabs, COMM)
    assert found.right > 1e-4
    assert abs(found.defect) < 1e-8 * found.right
    assert found.left == pytest.approx(found.right, rel=1e-7)


@pytest.mark.parallel
@pytest.mark.parametrize("flux", FLUXES)
def test_shared_between_ranks(flux):
    values = []
    for alone in (True, False):
        flow = GradientFlow(mesh_of("disk", alone, h=0.4), Species(), PowerLaw(2)).with_lumping("cells")
        densities, potentials = waves(flow.points, 3, 8).T, waves(flow.points, 4, 6).T
        pair = [
            Candidate(densities[4 * n : 4 * n + 4], potentials[3 * n : 3 * n + 3], densities[4 * n] ** 2)
            for n in (0, 1)
        ]
        form = mobility(flux, flow.space, flow.geometry, None)
        owned = flow.geometry.volumes[: flow.owned]
        values.append(lasry_lions(*pair, owned, form, 0.1, flow.comm))
    whole, found = values
    assert found.left == pytest.approx(whole.left, rel=1e-12)
    assert found.right == pytest.approx(whole.right, rel=1e-12)
    assert found.defect == pytest.approx(whole.defect, rel=1e-11)
    assert found.rounding < 1e-14


def test_bad_candidates_are_refused():
    problem = Problem(2, "average")
    fine = candidate(problem, 1)
    with pytest.raises(InputError, match=r"densities of shape \(slabs \+ 1, nodes\)"):
        Candidate(fine.densities[1:], fine.potentials, fine.terminal)
    with pytest.raises(InputError, match="end potentials of shape"):
        Candidate(fine.densities, fine.potentials, fine.terminal[1:])
    with pytest.raises(InputError, match=r"same slabs and nodes, not \(2, .*\) and \(1, "):
        problem.identity(fine, candidate(Problem(1, "average"), 1))
