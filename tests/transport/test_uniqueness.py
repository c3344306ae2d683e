"""The Lasry–Lions identity on small dense problems that SciPy solves."""

import numpy as np
import pytest
from references import COMM
from scipy.optimize import root

from fem_models.errors import InputError
from fem_models.transport.uniqueness import Candidate, lasry_lions

NODES = 6
FLUXES = ("average", "upwind")


class Problem:
    """A step of E = Σ m (ρ log ρ + Vρ) on a graph with random weights, its functional written out."""

    def __init__(self, slabs, flux, seed=0):
        rng = np.random.default_rng(seed)
        self.slabs, self.flux, self.delta = slabs, flux, 0.15 / slabs
        self.volumes = rng.uniform(0.5, 1.5, NODES)
        self.pairs = np.array([(i, j) for i in range(NODES) for j in range(i) if (i + j) % 3])
        self.kappa = rng.uniform(0.2, 1.0, len(self.pairs))
        self.initial = rng.uniform(0.3, 2.0, NODES)
        self.V = rng.uniform(-2.0, 2.0, NODES)

    def lagrangian(self, rho, phi):
        last = rho[-1]
        value = self.volumes @ (last * np.log(last) + self.V * last)
        new = 1.0 if self.slabs == 1 else 0.5
        for k in range(self.slabs):
            value = value - self.volumes @ ((rho[k + 1] - rho[k]) * phi[k])
            mean = (1.0 - new) * rho[k] + new * rho[k + 1]
            for (i, j), kappa in zip(self.pairs, self.kappa, strict=True):
                D = phi[k, i] - phi[k, j]
                upwind = mean[i] if D.real > 0.0 else mean[j]
                weight = upwind if self.flux == "upwind" else 0.5 * (mean[i] + mean[j])
                value = value - 0.5 * self.delta * kappa * weight * D**2
        return value

    def gradients(self, rho, phi):
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
        half = self.slabs * NODES

        def unpack(numbers):
            rho = np.exp(numbers[:half]).reshape(self.slabs, NODES)
            return np.vstack([self.initial, rho]), numbers[half:].reshape(self.slabs, NODES)

        def residual(numbers):
            by_rho, by_phi = self.gradients(*unpack(numbers))
            return np.concatenate([by_rho[1:].ravel(), by_phi.ravel()])

        start = 0.3 * np.random.default_rng(seed).normal(size=2 * half)
        found = root(residual, start, method="hybr", options={"xtol": 1e-13})
        assert np.abs(found.fun).max() < 1e-11
        rho, phi = unpack(found.x)
        return Candidate(rho, phi, self.terminal(rho))

    def identity(self, first, second):
        return lasry_lions(first, second, self.volumes, self.pairs, self.kappa, self.delta, flux=self.flux)


def candidate(problem, seed):
    rng = np.random.default_rng(seed)
    rho = rng.uniform(0.0, 2.0, (problem.slabs + 1, NODES))
    return Candidate(rho, rng.normal(size=(problem.slabs, NODES)), problem.terminal(rho))


def distance(flux, D, other):
    """h(other) - h(D) - h'(D)(other - D), case by case."""
    if flux == "average":
        return 0.25 * (D - other) ** 2
    if D <= 0.0:
        return 0.5 * max(other, 0.0) ** 2
    return 0.5 * (D - other) ** 2 if other > 0.0 else 0.5 * D**2 - D * other


def action(problem, first, second):
    """The right-hand side edge by edge."""
    new = 1.0 if problem.slabs == 1 else 0.5
    total = 0.0
    for k in range(problem.slabs):
        for (a, b), kappa in zip(problem.pairs, problem.kappa, strict=True):
            for i, j in ((a, b), (b, a)):
                D, other = (c.potentials[k, i] - c.potentials[k, j] for c in (first, second))
                mean = [
                    (1.0 - new) * c.densities[k, i] + new * c.densities[k + 1, i] for c in (first, second)
                ]
                parts = mean[0] * distance(problem.flux, D, other) + mean[1] * distance(
                    problem.flux, other, D
                )
                total += problem.delta * kappa * parts
    return total


@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("slabs", [1, 2, 4])
def test_all_terms_for_arbitrary_data(slabs, flux):
    problem = Problem(slabs, flux)
    first, second = candidate(problem, 2), candidate(problem, 3)
    found = problem.identity(first, second)
    by_rho, by_phi = (
        one - two
        for one, two in zip(
            problem.gradients(first.densities, first.potentials),
            problem.gradients(second.densities, second.potentials),
            strict=True,
        )
    )
    density, potential = first.densities - second.densities, first.potentials - second.potentials
    left = -problem.volumes @ ((first.terminal - second.terminal) * density[-1])
    assert found.left == pytest.approx(left, rel=1e-13)
    assert found.right == pytest.approx(action(problem, first, second), rel=1e-12)
    assert found.continuity == pytest.approx(-(by_phi * potential).sum(), rel=1e-11)
    assert found.hamilton_jacobi == pytest.approx((by_rho[1:] * density[1:]).sum(), rel=1e-11)
    assert found.initial == pytest.approx(by_rho[0] @ density[0], rel=1e-11)
    assert found.rounding < 1e-14
    assert found.left == pytest.approx(found.right - found.defect, abs=1e-13 * found.scale)


@pytest.mark.parametrize("slabs", [1, 3])
def test_the_action_of_the_average_is_that_of_the_paper(slabs):
    # ½ ∫∫ (p₁ + p₂)|∇φ₁ - ∇φ₂|² with the mean density of each edge.
    problem = Problem(slabs, "average")
    first, second = candidate(problem, 4), candidate(problem, 5)
    new = 1.0 if slabs == 1 else 0.5
    both = first.densities + second.densities
    both = ((1.0 - new) * both[:-1] + new * both[1:])[:, problem.pairs].mean(axis=2)
    gap = np.diff((first.potentials - second.potentials)[:, problem.pairs], axis=2)[..., 0]
    expected = 0.5 * problem.delta * ((both * gap**2) @ problem.kappa).sum()
    assert problem.identity(first, second).right == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("flux", FLUXES)
@pytest.mark.parametrize("slabs", [1, 3])
def test_solutions_of_different_energies_satisfy_it_without_defects(slabs, flux):
    # Different potentials V and the same initial density: neither side vanishes.
    problem, other = Problem(slabs, flux), Problem(slabs, flux)
    other.V = -0.5 * problem.V
    found = problem.identity(problem.solution(), other.solution())
    assert found.right > 1e-2
    assert abs(found.defect) < 1e-9
    assert found.left == pytest.approx(found.right, abs=1e-9)


@pytest.mark.parametrize("slabs", [1, 3])
def test_solutions_from_different_densities(slabs):
    problem, other = Problem(slabs, "average"), Problem(slabs, "average")
    other.initial = problem.initial[::-1].copy()
    found = problem.identity(problem.solution(), other.solution())
    assert abs(found.initial) > 1e-2
    assert max(abs(found.continuity), abs(found.hamilton_jacobi)) < 1e-9
    # The energy is convex.
    assert found.left < 0.0 < found.right
    assert found.left == pytest.approx(found.right - found.initial, abs=1e-9)


@pytest.mark.parametrize("flux", FLUXES)
def test_different_starts_give_the_same_solution(flux):
    problem = Problem(2, flux)
    first, second = problem.solution(1), problem.solution(7)
    found = problem.identity(first, second)
    np.testing.assert_allclose(first.densities, second.densities, atol=1e-9)
    assert max(abs(found.left), found.right, abs(found.defect)) < 1e-16


@pytest.mark.parallel
@pytest.mark.parametrize("flux", FLUXES)
def test_shared_between_ranks(flux):
    # Each rank has its own nodes first and all others as ghosts, and the edges whose first node is its own.
    problem = Problem(3, flux)
    first, second = candidate(problem, 8), candidate(problem, 9)
    mine = np.arange(NODES) % COMM.size == COMM.rank
    order = np.concatenate([np.flatnonzero(mine), np.flatnonzero(~mine)])
    number = np.argsort(order)
    edges = mine[problem.pairs[:, 0]]
    local = [
        Candidate(c.densities[:, order], c.potentials[:, order], c.terminal[order]) for c in (first, second)
    ]
    found = lasry_lions(
        *local,
        problem.volumes[mine],
        number[problem.pairs[edges]],
        problem.kappa[edges],
        problem.delta,
        flux,
        COMM,
    )
    whole = problem.identity(first, second)
    assert found.left == pytest.approx(whole.left, rel=1e-13)
    assert found.right == pytest.approx(whole.right, rel=1e-13)
    assert found.defect == pytest.approx(whole.defect, rel=1e-12)
    assert found.rounding < 1e-14


def test_bad_candidates_are_refused():
    problem = Problem(2, "average")
    fine = candidate(problem, 1)
    with pytest.raises(InputError, match=r"densities of shape \(slabs \+ 1, nodes\)"):
        Candidate(fine.densities[1:], fine.potentials, fine.terminal)
    with pytest.raises(InputError, match="end potentials of shape"):
        Candidate(fine.densities, fine.potentials, fine.terminal[1:])
    with pytest.raises(InputError, match=r"same slabs and nodes, not \(2, 6\) and \(1, 6\)"):
        problem.identity(fine, candidate(Problem(1, "average"), 1))
    problem.flux = "harmonic"
    with pytest.raises(InputError, match="must be one of average, upwind, not 'harmonic'"):
        problem.identity(fine, fine)
