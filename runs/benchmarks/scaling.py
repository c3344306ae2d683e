"""Time per step and peak memory against the number of unknowns, on one core.

    python runs/benchmarks/scaling.py [--dimension 2|3] [--quick] [--output FILE]

BDF2 with the average flux for ∂tρ = Δρ² and steps proportional to the mesh size. The meshes are unstructured:
in 2D one mesh halved again and again, in 3D one from gmsh for each size. Each size runs in a process of its
own, so that its peak memory is its own. The slope is that of a straight line through the times per step on
log axes.
"""

import argparse
import json
import subprocess
import sys

from common import (
    Report,
    arguments,
    flow_on,
    march,
    one_core,
    peak_memory,
    slope,
    source_solution,
    stop,
    unit_mesh,
)
from mpi4py import MPI

# Mesh size and number of times it is halved.
SIZES = {
    2: [(0.0345, k) for k in range(6)],
    3: [(h, 0) for h in (0.1, 0.053, 0.0285, 0.0193, 0.01125)],
}
QUICK = {2: [(0.1, 0), (0.1, 1)], 3: [(0.25, 0), (0.2, 0)]}
STEP_PER_SIZE = 0.01  # the time step over the mesh size
STEPS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark alone."""
    parser.add_argument("--dimension", type=int, choices=(2, 3), default=2)
    parser.add_argument("--one", nargs=2, metavar=("H", "REFINEMENTS"), help="a single size, as JSON")


def measure(dim: int, h: float, refinements: int) -> dict:
    """A single size."""
    comm = MPI.COMM_WORLD
    flow = flow_on(unit_mesh(comm, dim, h, refinements), 2.0)
    tau = STEP_PER_SIZE * h / 2**refinements
    run = march(flow, source_solution(dim, 2.0), "bdf2", "average", tau, STEPS)
    # The first step is backward Euler's.
    return {
        "unknowns": flow.space.dofmap.index_map.size_global,
        "newton": run.newton / STEPS,
        "linear": run.linear / run.newton,
        "seconds": min(run.walls[1:]),
        "memory": peak_memory(comm),
        "negative": flow.geometry.negative_share,
    }


def main() -> None:
    """Print the table, or a single size."""
    args = arguments(__doc__, add_arguments)
    if args.one:
        print(json.dumps(measure(args.dimension, float(args.one[0]), int(args.one[1]))))
        return
    one_core()
    report = Report(args.output)
    columns = (
        "Newton per step",
        "linear per Newton",
        "time per step [s]",
        "µs per unknown",
        "peak memory [MB]",
    )
    report.head(f"unknowns, {args.dimension}D", *columns)
    results = []
    for h, refinements in (QUICK if args.quick else SIZES)[args.dimension]:
        command = [
            sys.executable,
            __file__,
            "--dimension",
            f"{args.dimension}",
            "--one",
            f"{h}",
            f"{refinements}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            stop(f"The run with mesh size {h} failed: {done.stderr.strip().splitlines()[-1]}")
        result = json.loads(done.stdout.splitlines()[-1])
        results.append(result)
        report.row(
            f"{result['unknowns']}",
            f"{result['newton']:.1f}",
            f"{result['linear']:.1f}",
            f"{result['seconds']:.4f}",
            f"{1e6 * result['seconds'] / result['unknowns']:.2f}",
            f"{result['memory']:.0f}",
        )
    fitted = slope([r["unknowns"] for r in results], [r["seconds"] for r in results])
    report.line()
    report.line(f"Slope of the time per step on log axes: {fitted:.2f}.")
    report.close()


if __name__ == "__main__":
    main()
