"""Time per step on one core: assembly, linear solver and the rest, beside a plain hand-written DOLFINx loop.

    python runs/benchmarks/phases.py [--quick] [--output FILE]

∂tρ = Δρ² with backward Euler. "Assembly" is residuals and Jacobians, "solve" is PETSc's SNES and KSP, "rest"
is what a step takes beyond them. The plain loop (`plain.py`) solves the same equations on the same mesh with
the same solver options from one UFL form; the two must agree to 1e-8 before their times are compared. Times
are the least of several runs, in milliseconds per step, after everything is compiled.
"""

import math

import numpy as np
import plain
from common import Barenblatt, Report, arguments, flow_on, march, one_core, stop, unit_mesh
from mpi4py import MPI

from fem_models.gradient_flow import GradientFlow
from fem_models.solvers.linear import linear_options
from fem_models.solvers.newton import NewtonSettings

# Dimension, mesh size, time step.
CASES = ((2, 0.012, 1.25e-4), (2, 0.0048, 5e-5), (3, 0.05, 1.25e-4), (3, 0.028, 1.25e-4))
STEPS, REPEAT = 8, 4


def compare(
    report: Report, flow: GradientFlow, exact: Barenblatt, flux: str, tau: float, steps: int, repeat: int
) -> None:
    """Rows of the framework and, in 2D, of the plain loop."""
    unknowns = flow.space.dofmap.index_map.size_global
    options = linear_options("krylov", unknowns, exact.dim, 1)
    settings = NewtonSettings(linear="krylov")
    runs, others = [], []
    # In turns, so that a busy machine slows both.
    for _ in range(repeat):
        runs.append(march(flow, exact, "backward-euler", flux, tau, steps, settings))
        if exact.dim == 2:
            start = runs[-1].states[0][:, 0]
            others.append(plain.run(flow.mesh, start, flux, tau, steps, options))
    best = min(runs, key=lambda run: run.seconds)
    rest = best.seconds - best.assemble - best.solve
    beside = ["–", "–"]
    if others:
        gap = float(np.abs(others[0][0] - best.states[-1][:, 0]).max() / best.states[-1].max())
        if gap > 1e-8:
            stop(f"The plain loop differs by {gap:.1e}: the comparison means nothing.")
        seconds = min(math.fsum(walls) for _, walls, _ in others)
        beside = [f"{1e3 * seconds / steps:.2f}", f"{best.seconds / seconds:.2f}"]
    report.row(
        f"{exact.dim}D, {unknowns} unknowns, {flux}",
        f"{best.newton / steps:.1f}",
        *(f"{1e3 * part / steps:.2f}" for part in (best.seconds, best.assemble, best.solve, rest)),
        f"{rest / best.seconds:.1%}",
        *beside,
    )


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    one_core()
    report = Report(args.output)
    columns = ("case", "Newton per step", "step [ms]", "assembly", "solve", "rest", "rest / step")
    report.head(*columns, "plain loop [ms]", "this / plain")
    cases, steps, repeat = (((2, 0.06, 1e-3),), 2, 1) if args.quick else (CASES, STEPS, REPEAT)
    for dim, h, tau in cases:
        exact = Barenblatt.of_radius(dim, 2.0, 0.42)
        flow = flow_on(unit_mesh(MPI.COMM_SELF, dim, h), 2.0)
        for flux in ("upwind", "average"):
            compare(report, flow, exact, flux, tau, steps, repeat)
    report.close()


if __name__ == "__main__":
    main()
