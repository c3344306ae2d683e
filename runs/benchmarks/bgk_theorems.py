"""What Evans, Morris and Yoldaş prove of BGK, held against computations on the unit torus T¹.

    python runs/benchmarks/bgk_theorems.py [--quick] [--output FILE]

Eigenvalues: the slowest one of the equations that are discrete in space and velocity, by LAPACK, against
that of the linear equation. Theorem 2.2: the rate of decay of ‖f - ρ̄M‖² at late times, beside twice the
eigenvalue of the linear equation at the mean density and the paper's γ = 1/(4CΛ(1 + Λ²)), Λ = A^|α|, with
C = 3; "(2.1)" is the largest quotient of its two sides, of f - ρ̄M, which must stay below 1. Inequality
(4.6): the largest sum of the change of its norm in a step and of what it says to be lost, relative to the
norm; it must be negative. Theorem 2.3: sup over time of ‖f - ρ̃M‖ for data that are ε' from a Maxwellian,
with ε' = ε, and the power of ε + ε' between two rows. Everything is dimensionless.
"""

from collections.abc import Iterator

from common import Report, arguments, one_core

# isort: split
import numpy as np
from mpi4py import MPI
from scipy.linalg import eig

from fem_models.exact.bgk import bgk_eigenvalue
from fem_models.kinetic.bgk.initial import state_of_moments
from fem_models.kinetic.bgk.model import DiffusiveLimit, KineticModel
from fem_models.kinetic.bgk.perturbed import PerturbedNorm
from fem_models.kinetic.bgk.schemes import KineticBdf2, KineticEuler
from fem_models.kinetic.bgk.state import KineticState
from fem_models.meshes.domains import build

K = 2.0 * np.pi
EXPONENTS = (-2.0, -1.0, 0.0, 1.0, 2.0)


def torus(cells: int, length: float = 1.0):
    """A torus of one dimension."""
    return build(MPI.COMM_SELF, "torus", cells=[cells], lengths=[length]).mesh


def between(model: KineticModel, spread: float, odd: float = 0.2) -> KineticState:
    """A density from 1/A to A, whose logarithm is a wave, with a flux."""
    state = state_of_moments(
        model,
        lambda x: spread ** np.cos(K * x[0]),
        {0: lambda x: odd * np.sin(K * x[0])},
    )
    model.spread = spread
    return state


def slowest(model: KineticModel) -> float:
    """The largest eigenvalue but zero of the discrete linear equation with λ = 1."""
    space, epsilon = model.space, model.epsilon
    even, odd = len(space.modes.even), len(space.modes.odd)
    nodes, points = space.owned, len(space.cells) * len(space.weights)
    size = nodes * even
    masses, matrix = (np.zeros((size + points * odd,) * 2) for _ in range(2))
    masses[size:, size:] = np.eye(points * odd)
    matrix[size:, size:] = -np.eye(points * odd) / epsilon**2
    for column in range(size):
        unit = np.zeros((nodes, even))
        unit.ravel()[column] = 1.0
        weighted = space.weighted(space.with_ghosts(unit)).ravel()
        masses[:size, column] = weighted
        matrix[:size, column] = -(column % even > 0) * weighted / epsilon**2
        matrix[size:, column] = -space.slopes(space.with_ghosts(unit)).ravel() / epsilon
    for column in range(points * odd):
        unit = np.zeros((len(space.cells), len(space.weights), odd))
        unit.ravel()[column] = 1.0
        matrix[:size, size + column] = space.divergence(unit).ravel() / epsilon
    found = np.sort(eig(matrix, masses, right=False).real)[::-1]
    # The mass is kept: one eigenvalue is zero up to rounding.
    assert abs(found[0]) < 1e-6
    return float(found[1])


def eigenvalues(report: Report, quick: bool) -> None:
    """The spectrum of the discrete equation."""
    cells = 32
    report.line(f"\nThe slowest eigenvalue for λ = 1, wave number 1, P2–DG1, {cells} cells")
    report.head("ε", "p", "linear equation", "discrete", "relative difference")
    mesh = torus(cells, K)
    for epsilon in (0.2,) if quick else (0.2, 0.1, 0.05):
        for degree in (7,) if quick else (3, 7, 15):
            exact = bgk_eigenvalue(1.0, epsilon)
            assert exact is not None
            found = slowest(KineticModel(mesh, 0.0, epsilon, degree, 2))
            difference = abs(found / exact - 1.0)
            report.row(f"{epsilon:g}", f"{degree}", f"{exact:.7f}", f"{found:.7f}", f"{difference:.1e}")


def gap(model: KineticModel, state: KineticState) -> float:
    """‖f - ρ̄M‖²."""
    difference = state.less(model.mass(state) / model.space.volume)
    return model.product(difference, difference)


def decay(report: Report, quick: bool) -> None:
    """Theorem 2.2."""
    report.line("\nTheorem 2.2, ε = .02, P2–DG1, p = 7, 16 cells, BDF2")
    report.head("α", "A", "linear equation", "measured", "relative difference", "γ of the paper", "(2.1)")
    epsilon, mesh = 0.02, torus(16)
    for spread in (1.5,) if quick else (1.5, 3.0):
        for alpha in (1.0,) if quick else EXPONENTS:
            model = KineticModel(mesh, alpha, epsilon, 7, 2)
            state = between(model, spread)
            mean = model.mass(state)
            eigenvalue = bgk_eigenvalue(K, epsilon, mean**alpha)
            assert eigenvalue is not None
            level = spread ** abs(alpha)
            slow = 1.0 / (4.0 * PerturbedNorm.CONSTANT * level * (1.0 + level**2))
            # Until the perturbation is so small that the equation is linear.
            tau, steps = 0.03 / abs(eigenvalue), 300
            scheme, gaps = KineticBdf2(model), [gap(model, state)]
            for _ in range(steps):
                state = scheme.step(state, tau).state
                gaps.append(gap(model, state))
            measured = np.log(gaps[-51] / gaps[-1]) / (50 * tau)
            times = tau * np.arange(steps + 1)
            sides = float(np.max(np.array(gaps) / (3.0 * np.exp(-slow * times) * gaps[0])))
            exact = 2.0 * abs(eigenvalue)
            entries = (f"{exact:.4f}", f"{measured:.4f}", f"{abs(measured / exact - 1.0):.1e}")
            report.row(f"{alpha:g}", f"{spread:g}", *entries, f"{slow:.2e}", f"{sides:.3f}")


def runs_of_norm(quick: bool) -> Iterator[tuple[float, float, int]]:
    """α, ε and the degree of even modes."""
    for alpha in (1.0,) if quick else EXPONENTS:
        for epsilon in (0.1, 0.01) if quick else (0.5, 0.1, 0.02, 0.005):
            for degree in (1, 2):
                yield alpha, epsilon, degree


def norms(report: Report, quick: bool) -> None:
    """Inequality (4.6) in every step of backward Euler."""
    report.line("\nInequality (4.6) with C = 3, A = 2, 16 cells, p = 3, 20 steps τ = .005 of backward Euler")
    report.head("α", "ε", "pair", "least loss in a step", "largest change + loss", "violations")
    for alpha, epsilon, degree in runs_of_norm(quick):
        model, tau = KineticModel(torus(16), alpha, epsilon, 3, degree), 0.005
        state = between(model, 2.0)
        level = 2.0 ** abs(alpha)
        scheme, row, sums, losses = KineticEuler(model), model.observables(state), [], []
        for _ in range(20):
            state = scheme.step(state, tau).state
            new = model.observables(state)
            spread = new["norm2_f"] - new["norm2_deviation"] - new["mass"] ** 2
            loss = new["norm2_deviation"] / (epsilon**2 * level)
            loss += max(spread, 0.0) / (4.0 * PerturbedNorm.CONSTANT * level * (1.0 + level**2))
            change = new["perturbed_norm"] - row["perturbed_norm"]
            losses.append(-change / row["perturbed_norm"])
            sums.append((change + tau * loss) / row["perturbed_norm"])
            row = new
        report.row(
            f"{alpha:g}",
            f"{epsilon:g}",
            f"P{degree}–DG{degree - 1}",
            f"{min(losses):.1e}",
            f"{max(sums):.1e}",
            # Rounding of the two norms.
            f"{sum(value > 1e-14 for value in sums)}",
        )


def asymptotics(report: Report, quick: bool) -> None:
    """Theorem 2.3."""
    report.line("\nTheorem 2.3, α = 1, P2–DG1, p = 3, 16 cells, BDF2, τ = .0005 to t = .1")
    report.head("ε = ε'", "sup ‖f - ρ̃M‖", "power")
    mesh, tau, steps = torus(16), 5e-4, 20 if quick else 200
    limit, last = DiffusiveLimit(mesh, 1.0, 2), None
    for epsilon in (1e-2, 1e-3) if quick else (0.1, 3e-2, 1e-2, 3e-3, 1e-3):
        model = KineticModel(mesh, 1.0, epsilon, 3, 2)
        wanted = state_of_moments(limit, lambda x: 1.0 + 0.5 * np.cos(K * x[0]))
        # Waves of the norm √½: ‖f - ρ_in M‖ = ε'.
        share = epsilon

        def density(x, share=share):
            return 1.0 + 0.5 * np.cos(K * x[0]) + share * np.sin(2.0 * K * x[0])

        state = state_of_moments(model, density, {0: lambda x, share=share: share * np.cos(K * x[0])})
        schemes, furthest = (KineticBdf2(model), KineticBdf2(limit)), 0.0
        for _ in range(steps):
            state, wanted = schemes[0].step(state, tau).state, schemes[1].step(wanted, tau).state
            difference = state.less(wanted.even[:, 0])
            furthest = max(furthest, model.product(difference, difference) ** 0.5)
        power = np.log(furthest / last[1]) / np.log(epsilon / last[0]) if last else None
        report.row(f"{epsilon:g}", f"{furthest:.3e}", "–" if power is None else f"{power:.3f}")
        last = epsilon, furthest


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__)
    one_core()
    report = Report(options.output)
    for part in (eigenvalues, decay, norms, asymptotics):
        part(report, options.quick)
    report.close()


if __name__ == "__main__":
    main()
