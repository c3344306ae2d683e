"""The total distance and the Hölder estimate of Poisson–Nernst–Planck by minimising movements.

    python runs/benchmarks/jko_estimates.py [--quick] [--output FILE]

Two clouds of opposite charges in quadratic potentials, by JKO steps of slabs (Kinderlehrer, Monsaingeon
and Xu): Σ d²/(2h) ≤ E(z⁰) - inf E, (4.1), with the infimum replaced by the last energy, which is sharper, and
d(z(t₁), z(t₂)) ≤ C |t₂ - t₁ + h|^½, (4.2), with C² = 2 (E(z⁰) - inf E). Here d² is the sum of the W₂² of both
densities; (4.2) takes W₂ between states far apart by the geodesic itself, not by the length of the path.
"""

import itertools

from common import Report, arguments, unit_mesh

# isort: split
import numpy as np
import ufl
from mpi4py import MPI

from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.jko.jko_step import Jko
from fem_models.jko.total_distance import hoelder_bound, total_distance_bound
from fem_models.jko.wasserstein import wasserstein
from fem_models.systems.poisson_nernst_planck import Ion, poisson_nernst_planck

END = 0.08
CASES = ((1.0, 0.01), (1.0, 0.005), (2.0, 0.01))  # m and h


def square_distance(flow: GradientFlow, first: State, second: State, slabs: int) -> float:
    """The sum of the W₂² of both densities."""
    return sum(wasserstein(flow.space, first[:, s], second[:, s], slabs).square for s in (0, 1))


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    report = Report(args.output)
    size, slabs, cases = (0.2, 2, CASES[:1]) if args.quick else (0.06, 4, CASES)
    ions = [
        Ion("u", 1, lambda x: 8.0 * ufl.dot(x, x)),
        Ion("v", -1, lambda x: 8.0 * ufl.dot(x, x) - 8.0 * x[0]),
    ]
    report.head(
        *(
            "m",
            "h",
            "steps",
            "Σ d²/2h",
            "E(0) - E(end)",
            "ratio",
            "largest d / (C \\|t₂ - t₁ + h\\|^½), (4.2)",
        ),
        *("between t₁ and t₂", "mass drift", "minimum"),
    )
    for m, step in cases:
        flow = poisson_nernst_planck(unit_mesh(MPI.COMM_WORLD, 2, size), ions, m, 0.05)
        clouds = {
            name: lambda x, centre=centre: np.exp(-40.0 * ((x[0] - centre) ** 2 + (x[1] - 0.5) ** 2))
            for name, centre in (("u", 0.7), ("v", 0.3))
        }
        states = [flow.state(clouds, {"u": 1.0, "v": 1.0})]
        scheme = Jko(flow, slabs=slabs)
        squares = []
        for _ in range(round(END / step)):
            taken = scheme.step(states[-1], step)
            states.append(taken.state)
            squares.append(2.0 * step * sum(taken.movement.actions.values()))
        steps = np.full(len(squares), step)
        total = total_distance_bound(squares, steps, [flow.energy(state) for state in states])
        moments = sorted({0, 1, len(squares) // 4, len(squares) // 2, len(squares)})
        pairs = list(itertools.combinations(moments, 2))
        found = [square_distance(flow, states[a], states[b], slabs) for a, b in pairs]
        hoelder = hoelder_bound(step * np.array(pairs), found, step, total)
        shares = hoelder.left / hoelder.right
        first, second = pairs[int(shares.argmax())]
        masses = np.array([list(flow.masses(state).values())[:2] for state in states])
        least = min(min(list(flow.minima(state).values())[:2]) for state in states)
        report.row(
            f"{m:g}",
            f"{step:g}",
            f"{len(squares)}",
            f"{float(total.left):.5f}",
            f"{float(total.right):.5f}",
            f"{float(total.left / total.right):.3f}",
            f"{shares.max():.3f}",
            f"{first * step:g} and {second * step:g}",
            f"{np.abs(masses - 1.0).max():.0e}",
            f"{least:.1e}",
        )
        if not (total.holds and hoelder.holds):
            report.line("\nAn estimate does not hold.\n")
    report.close()


if __name__ == "__main__":
    main()
