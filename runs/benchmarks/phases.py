"""Time per step on one core: assembly, linear solver and the rest, beside a plain hand-written DOLFINx loop.

    python runs/benchmarks/phases.py [--quick] [--output FILE]

∂tρ = Δρ² with backward Euler. "Assembly" is residuals and Jacobians, "solve" is PETSc's SNES and KSP, "rest"
is what a step takes beyond them. The plain loop (`plain.py`) solves the same equations on the same mesh with
the same solver options from one UFL form; the two must agree to 1e-8 before their times are compared. Times
are in milliseconds per step, of each step the least of several runs, after everything is compiled.
"""

from typing import get_args

import numpy as np
import plain
from common import Report, arguments, flow_on, march, one_core, source_solution, stop, unit_mesh
from mpi4py import MPI

from fem_models.exact.barenblatt import SourceSolution
from fem_models.flow.edge_averaged import Flux
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.linalg.linear_solver import linear_options
from fem_models.linalg.newton import NewtonSettings

# Dimension, mesh size, time step.
CASES = ((2, 0.012, 1.25e-4), (2, 0.0048, 5e-5), (3, 0.05, 1.25e-4), (3, 0.028, 1.25e-4))
STEPS, REPEAT = 8, 6


def compare(
    report: Report, flow: GradientFlow, exact: SourceSolution, flux: Flux, tau: float, steps: int, repeat: int
) -> None:
    """Rows of the framework and, in 2D, of the plain loop."""
    unknowns = flow.space.dofmap.index_map.size_global
    options = linear_options("krylov", unknowns, exact.dimension, 1)
    settings = NewtonSettings(linear="krylov")
    runs, others = [], []
    # In turns, so that a busy machine slows both.
    for _ in range(repeat):
        runs.append(march(flow, exact, "backward-euler", flux, tau, steps, settings))
        if exact.dimension == 2:
            start = runs[-1].states[0][:, 0]
            others.append(plain.run(flow.mesh, start, flux, tau, steps, options))
    # Every run takes the same steps: of each, the fastest one counts.
    walls = np.array([run.walls for run in runs])
    fastest = walls.argmin(axis=0), np.arange(steps)
    total = float(walls[fastest].sum())
    assemble, solve = np.array([run.parts for run in runs])[fastest].sum(axis=0)
    rest = total - assemble - solve
    beside = ["–", "–"]
    if others:
        last = runs[0].states[-1][:, 0]
        gap = float(np.abs(others[0][0] - last).max() / last.max())
        if gap > 1e-8:
            stop(f"The plain loop differs by {gap:.1e}: the comparison means nothing.")
        plainly = float(np.min([walls for _, walls, _ in others], axis=0).sum())
        beside = [f"{1e3 * plainly / steps:.2f}", f"{total / plainly:.2f}"]
    report.row(
        f"{exact.dimension}D, {unknowns} unknowns, {flux}",
        f"{runs[0].newton / steps:.1f}",
        *(f"{1e3 * part / steps:.2f}" for part in (total, assemble, solve, rest)),
        f"{rest / total:.1%}",
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
        exact = source_solution(dim, 2.0)
        flow = flow_on(unit_mesh(MPI.COMM_SELF, dim, h), 2.0)
        for flux in get_args(Flux):
            compare(report, flow, exact, flux, tau, steps, repeat)
    report.close()


if __name__ == "__main__":
    main()
