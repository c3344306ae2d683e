"""BGK with density-dependent collisions: rates, limit, orders, bounds, solver, and a plain upwind code.

    python runs/benchmarks/bgk.py [--quick] [--output FILE]
    mpiexec -n 2 python runs/benchmarks/bgk.py

∂t f + ε⁻¹ v·∇f = ε⁻² λ(ρ) (ρM - f) on tori (Evans, Morris and Yoldaş, (1.2)), with p the degree of
the Hermite modes. Rates are those of ‖f - ρ̄M‖ in the last part of a run, against the eigenvalue of
the linear equation. Distances to the limit are those of solutions of the same scheme with the same
steps on the same mesh. Errors in τ are of the density, against a matrix exponential of the moments
of a wave for λ = 1. "iterations" are the most of the steps of a run, to 1e-8 of the solution in the
norm of the energy, and "seconds" the mean of a step without the first. All quantities are
dimensionless but times.
"""

import time
from collections.abc import Sequence

from common import Report, arguments, one_core, slope

# isort: split
import numpy as np
from mpi4py import MPI
from numpy.polynomial.hermite_e import hermegauss
from scipy.linalg import expm

from fem_models.exact.bgk import bgk_eigenvalue
from fem_models.kinetic.bgk.initial import state_of_function, state_of_moments
from fem_models.kinetic.bgk.model import DiffusiveLimit, KineticModel
from fem_models.kinetic.bgk.schemes import KineticBdf2, KineticEuler, KineticScheme
from fem_models.kinetic.bgk.state import KineticState
from fem_models.linalg.newton import NewtonSettings
from fem_models.meshes.domains import build

COMM = MPI.COMM_WORLD
K = 2.0 * np.pi
TIGHT = NewtonSettings(1e-13)


def torus(cells: Sequence[int], lengths: Sequence[float] | None = None):
    """A structured torus."""
    return build(COMM, "torus", cells=list(cells), lengths=lengths).mesh


def start(model: KineticModel, odd: float = 0.0) -> KineticState:
    """ρ = 1 + ½ Π cos 2πx_a, with a flux of the same shape along x."""

    def wave(x: np.ndarray) -> np.ndarray:
        return 0.5 * np.cos(K * x).prod(axis=0)

    return state_of_moments(model, lambda x: 1.0 + wave(x), {0: lambda x: odd * wave(x)} if odd else None)


def advanced(scheme: KineticScheme, state: KineticState, tau: float, steps: int) -> KineticState:
    """The state after some steps."""
    for _ in range(steps):
        state = scheme.step(state, tau).state
    return state


def moments(first: Sequence[float], epsilon: float, end: float) -> complex:
    """The amplitude of the density of a wave exp(2πix), from its Hermite modes, for λ = 1."""
    count = len(first)
    b = np.diag(np.sqrt(np.arange(1.0, count)), 1)
    matrix = -1j * K / epsilon * (b + b.T) - np.diag(np.minimum(np.arange(count), 1)) / epsilon**2
    return (expm(matrix * end) @ np.asarray(first, dtype=complex))[0]


def rates(report: Report, quick: bool) -> None:
    """Rates of decay, with a unit wave number on a torus of length 2π."""
    report.line("\nRates of decay, P2–DG1, 32 cells, α = 1, BDF2")
    report.head("ε", "p", "eigenvalue", "measured", "relative difference")
    mesh = torus([32], [K])
    for epsilon in (0.2,) if quick else (0.5, 0.2, 0.1, 0.05):
        for degree in (7,) if quick else (3, 7, 15):
            model = KineticModel(mesh, 1.0, epsilon, degree, 2)
            state = state_of_moments(model, lambda x: 1.0 + 0.01 * np.cos(x[0]))
            scheme, steps, tau, seen = KineticBdf2(model), 150, 0.02, []
            for _ in range(steps):
                state = scheme.step(state, tau).state
                other = state.less(1.0)
                seen.append(model.product(other, other))
            measured = np.log(seen[-1] / seen[-26]) / (50 * tau)
            exact = bgk_eigenvalue(1.0, epsilon)
            assert exact is not None
            report.row(
                f"{epsilon:g}",
                f"{degree}",
                f"{exact:.7f}",
                f"{measured:.7f}",
                f"{abs(measured / exact - 1):.1e}",
            )


def limit(report: Report, quick: bool) -> None:
    """The distance to the limit for ε → 0."""
    cells, steps = ([8, 8], 4) if quick else ([24, 24], 10)
    report.line(f"\nDistance to the limit, T², {cells[0]}² squares, P1–DG0, p = 3, τ = .002, α = 1, BDF2")
    epsilons = (1e-2, 1e-3, 1e-4, 1e-6)
    report.head("data", *(f"ε = {epsilon:g}" for epsilon in epsilons), "slope")
    mesh = torus(cells)
    free = DiffusiveLimit(mesh, 1.0)
    wanted = advanced(KineticBdf2(free, TIGHT), start(free), 0.002, steps)
    for odd, name in ((0.0, "even"), (0.2, "with an odd part")):
        densities, wholes = [], []
        for epsilon in epsilons:
            model = KineticModel(mesh, 1.0, epsilon)
            found = advanced(KineticBdf2(model, TIGHT), start(model, odd), 0.002, steps)
            difference = found.less(wanted.even[:, 0])
            squares = model.space.even_product(difference.even, difference.even)
            densities.append(float(squares[0]) ** 0.5)
            wholes.append(model.product(difference, difference) ** 0.5)
        for what, values in (("ρ", densities), ("f", wholes)):
            power = slope(epsilons[1:], values[1:])
            report.row(f"{what}, {name}", *(f"{value:.2e}" for value in values), f"{power:.3f}")


def error(model: KineticModel, state: KineticState, amplitude: complex) -> float:
    """The L² norm of the error of the density at the nodes."""
    exact = np.exp(1j * K * model.space.node_points()[:, 0]) * amplitude
    table = np.zeros_like(state.even)
    table[:, 0] = state.even[:, 0] - 1.0 - exact.real
    return float(model.space.even_product(table, table)[0]) ** 0.5


def orders(report: Report, quick: bool) -> None:
    """Orders in τ, for any ε."""
    report.line("\nOrder in τ, P2–DG1, 64 cells, p = 3, λ = 1, to t = .1")
    report.head("scheme", "ε", "data", "error, 20 steps", "error, 40 steps", "order")
    mesh = torus([64])
    for scheme in (KineticEuler, KineticBdf2):
        for epsilon in (0.05,) if quick else (0.5, 0.05, 1e-2, 1e-4, 1e-6):
            for odd, name in ((0.0, "even"), (0.2, "with an odd part")):
                model = KineticModel(mesh, 0.0, epsilon, 3, 2)
                exact = moments([0.5, 0.5 * odd, 0, 0], epsilon, 0.1)
                found = [
                    error(model, advanced(scheme(model), start(model, odd), 0.1 / n, n), exact)
                    for n in (20, 40)
                ]
                entries = (scheme.title, f"{epsilon:g}", name, *(f"{value:.2e}" for value in found))
                report.row(*entries, f"{np.log2(found[0] / found[1]):.2f}")


def bounds(report: Report, quick: bool) -> None:
    """The projection to the bounds of Theorem 2.1, for discontinuous data."""
    report.line(
        "\nBounds of Theorem 2.1, data that jump between 1/A and A = 2.5, P1–DG0, Euler, τ = min(ε²/4, .02)"
    )
    report.head(
        "torus",
        "ε",
        "p",
        "violation",
        "without",
        "between nodes",
        "loss of ‖f‖²",
        "mass",
    )
    cases = (
        [([48], 1.0, 3), ([48], 0.1, 7)]
        if quick
        else [
            *(([96], epsilon, p) for epsilon in (1.0, 0.1, 1e-2) for p in (3, 7, 15)),
            ([24, 24], 0.3, 3),
        ]
    )
    low, high = 0.4, 2.5

    def jumps(x, v):
        return np.where((x[0] < 0.5) != (v[0] > 0.3), high, low)

    def beyond(least: float, most: float) -> float:
        return max(low - least, most - high, 0.0)

    for cells, epsilon, p in cases:
        model = KineticModel(torus(cells), 1.0, epsilon, p, bounds=high)
        free = KineticModel(torus(cells), 1.0, epsilon, p)
        state = state_of_function(model, jumps)
        other = state_of_function(free, jumps)
        mass, scheme, plain = model.mass(state), KineticEuler(model), KineticEuler(free)
        worst = dict.fromkeys(("with", "without", "grid", "loss"), 0.0)
        tau = min(0.25 * epsilon**2, 0.02)
        for _ in range(8):
            state = scheme.step(state, tau).state
            other = plain.step(other, tau).state
            row, second = model.observables(state), free.observables(other)
            worst["with"] = max(worst["with"], beyond(row["min_f_over_M"], row["max_f_over_M"]))
            worst["without"] = max(worst["without"], beyond(second["min_f_over_M"], second["max_f_over_M"]))
            worst["grid"] = max(worst["grid"], beyond(row["min_f_over_M_grid"], row["max_f_over_M_grid"]))
            worst["loss"] += row["loss_by_projection"]
        entries = (f"{worst[name]:.1e}" for name in ("with", "without", "grid", "loss"))
        drift = abs(model.mass(state) / mass - 1.0)
        report.row("×".join(map(str, cells)), f"{epsilon:g}", f"{p}", *entries, f"{drift:.1e}")


def solver(report: Report, quick: bool) -> None:
    """Iterations and seconds."""
    report.line(f"\nSolver, {COMM.size} ranks, α = 1, BDF2, 5 steps, 1e-8")
    report.head("torus", "pair", "p", "unknowns", "τ", "ε", "iterations", "seconds", "mass", "identity")
    cases = (
        [([32, 32], 1, 3, 0.01)]
        if quick
        else [
            ([64, 64], 1, 3, 0.01),
            ([128, 128], 1, 3, 0.01),
            ([256, 256], 1, 3, 0.01),
            ([64, 64], 1, 7, 0.5 / 64),
            ([64, 64], 2, 3, 0.01),
            ([16, 16, 16], 1, 3, 0.01),
            ([32, 32, 32], 1, 3, 0.01),
        ]
    )
    for cells, degree, p, tau in cases:
        mesh = torus(cells)
        for epsilon in (1.0, 1e-2, 1e-4) if quick else (1.0, 0.1, 1e-2, 1e-4, 1e-6):
            model = KineticModel(mesh, 1.0, epsilon, p, degree)
            state = start(model)
            scheme, mass = KineticBdf2(model, NewtonSettings(1e-8, linear="krylov")), model.mass(state)
            most, worst, seconds = 0, 0.0, 0.0
            for number in range(5):
                begin = time.perf_counter()
                step = scheme.step(state, tau)
                seconds += (time.perf_counter() - begin) * (number > 0) / 4
                state, most = step.state, max(most, step.linear)
                worst = max(worst, state.residual)
            drift = abs(model.mass(state) / mass - 1.0)
            report.row(
                "×".join(map(str, cells)),
                f"P{degree}–DG{degree - 1}",
                f"{p}",
                f"{model.unknowns}",
                f"{tau:.3g}",
                f"{epsilon:g}",
                f"{most}",
                f"{seconds:.3f}",
                f"{drift:.1e}",
                f"{worst:.1e}",
            )


def upwind(cells: int, epsilon: float, end: float, velocities: int = 8) -> np.ndarray:
    """The density of a plain code: upwind at Gauss–Hermite nodes, implicit relaxation with λ = 1."""
    v, weights = hermegauss(velocities)
    weights = weights / weights.sum()
    x = (np.arange(cells) + 0.5) / cells
    h = np.tile(1.0 + 0.5 * np.cos(K * x), (velocities, 1))
    steps = int(np.ceil(end * np.abs(v).max() * cells / epsilon / 0.9))
    tau = end / steps
    courant = (tau * cells / epsilon * v)[:, None]
    for _ in range(steps):
        left, right = np.roll(h, 1, axis=1), np.roll(h, -1, axis=1)
        h = h - np.maximum(courant, 0.0) * (h - left) - np.minimum(courant, 0.0) * (right - h)
        # Relaxation keeps ρ.
        h = (h + tau / epsilon**2 * (weights @ h)) / (1.0 + tau / epsilon**2)
    return weights @ h


def peers(report: Report, quick: bool) -> None:
    """Time to an error of the density at ε = 1e-2."""
    epsilon, end = 1e-2, 0.02
    exact = moments([0.5, *([0] * 15)], epsilon, end)
    report.line("\nOne dimension, ε = .01, λ = 1, to t = .02: time to an error of the density")
    report.head("code", "cells", "L² error of ρ", "seconds")
    for cells in (50, 100) if quick else (100, 200, 400, 800):
        begin = time.perf_counter()
        found = upwind(cells, epsilon, end)
        seconds = time.perf_counter() - begin
        x = (np.arange(cells) + 0.5) / cells
        wrong = np.sqrt(np.mean((found - 1.0 - (exact * np.exp(1j * K * x)).real) ** 2))
        report.row("upwind", f"{cells}", f"{wrong:.2e}", f"{seconds:.3f}")
    for cells, degree, steps in (
        ((16, 1, 10),) if quick else ((16, 1, 10), (64, 1, 40), (16, 2, 40), (32, 2, 160))
    ):
        model = KineticModel(torus([cells]), 0.0, epsilon, 3, degree)
        scheme, state = KineticBdf2(model), start(model)
        advanced(scheme, state, end / steps, 1)
        begin = time.perf_counter()
        found_state = advanced(KineticBdf2(model), state, end / steps, steps)
        seconds = time.perf_counter() - begin
        report.row(
            f"P{degree}–DG{degree - 1}, {steps} steps",
            f"{cells}",
            f"{error(model, found_state, exact):.2e}",
            f"{seconds:.3f}",
        )


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__)
    if COMM.size == 1:
        one_core()
    report = Report(options.output)
    for part in (rates, limit, orders, bounds, solver):
        part(report, options.quick)
    if COMM.size == 1:
        peers(report, options.quick)
    report.close()


if __name__ == "__main__":
    main()
