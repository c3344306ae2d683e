"""Orders of convergence on Barenblatt's solutions: both fluxes, both schemes, m = 2 and 3, 1D to 3D.

    python runs/benchmarks/convergence.py [--quick] [--output FILE]

∂tρ = Δρ^m on the unit cube from t = 0.01 to 0.03; the support ends at radius 0.42. Errors are relative L¹
distances at the end. Orders in h: from the exact solution, by quadrature, on unstructured meshes (equal
cells in 1D), with steps τ ~ h² (backward Euler) and τ ~ h (BDF2). Orders in τ: from BDF2 with many steps on
one mesh, so that the error in space cancels. An order is the slope of a straight line on log axes; that in h
is through the last three points.
"""

import math
from functools import partial

from common import END, START, L1Error, Report, arguments, flow_on, march, slope, source_solution, unit_mesh
from mpi4py import MPI

from fem_models.exact.barenblatt import SourceSolution
from fem_models.flow.edge_averaged import Flux
from fem_models.flow.gradient_flow import GradientFlow, State

FLUXES: tuple[Flux, ...] = ("upwind", "average")
# Steps on the coarsest mesh, and the power of h with which the step falls.
STEPS = {"backward-euler": (20, 2), "bdf2": (40, 1)}
# Dimension, m, mesh sizes; the third of them is that of the orders in τ.
CASES = (
    (1, 2.0, (1 / 32, 1 / 64, 1 / 128, 1 / 256)),
    (2, 2.0, (1 / 16, 1 / 24, 1 / 36, 1 / 54)),
    (2, 3.0, (1 / 16, 1 / 24, 1 / 36, 1 / 54)),
    (3, 2.0, (0.14, 0.1, 0.07, 0.05)),
)
QUICK = ((1, 2.0, (1 / 8, 1 / 16, 1 / 24)), (2, 2.0, (0.3, 0.2, 0.15)))
TAU_STEPS, REFERENCE_STEPS = (10, 20, 40, 80), 320


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    report = Report(args.output)
    columns = ("flux", "scheme", "coarsest error", "finest error", "order in h")
    report.head("problem", *columns, "finest error in τ", "order in τ")
    tau_steps, reference_steps = ((4, 8), 32) if args.quick else (TAU_STEPS, REFERENCE_STEPS)
    for dim, m, sizes in QUICK if args.quick else CASES:
        exact = source_solution(dim, m)
        flows = [flow_on(unit_mesh(MPI.COMM_WORLD, dim, h), m) for h in sizes]
        distances = [L1Error(flow, exact) for flow in flows]
        mass = flows[-1].masses(flows[-1].state(partial(exact, time=START)))["rho"]

        def final(
            flow: GradientFlow, scheme: str, flux: Flux, steps: int, exact: SourceSolution = exact
        ) -> State:
            return march(flow, exact, scheme, flux, (END - START) / steps, steps).states[-1]

        for flux in FLUXES:
            flow = flows[2]
            reference = final(flow, "bdf2", flux, reference_steps)
            for scheme, (coarsest, power) in STEPS.items():
                in_h = []
                for h, finer, distance in zip(sizes, flows, distances, strict=True):
                    steps = math.ceil(coarsest * (sizes[0] / h) ** power)
                    in_h.append(distance(final(finer, scheme, flux, steps), END) / mass)
                in_tau = []
                for steps in tau_steps:
                    gap = abs(final(flow, scheme, flux, steps) - reference)
                    in_tau.append(flow.masses(gap)["rho"] / mass)
                report.row(
                    f"{dim}D, m = {m:g}",
                    flux,
                    scheme,
                    f"{in_h[0]:.1e}",
                    f"{in_h[-1]:.1e}",
                    f"{slope(sizes[-3:], in_h[-3:]):.2f}",
                    f"{in_tau[-1]:.1e}",
                    f"{-slope(tau_steps, in_tau):.2f}",
                )
    report.close()


if __name__ == "__main__":
    main()
