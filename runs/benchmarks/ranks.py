"""One rank against two at half a million unknowns: time per step and speed-up.

    python runs/benchmarks/ranks.py [--dimension 3] [--quick] [--output FILE]

BDF2 with the average flux for ∂tρ = Δρ² on one unstructured mesh. The script starts `mpiexec` itself; each
rank needs a core of its own.
"""

import argparse
import json

import numpy as np
from common import Report, arguments, flow_on, launch, march, peak_memory, source_solution, unit_mesh
from mpi4py import MPI

# Mesh sizes and uniform refinements.
MESHES = {2: (0.0243, 4), 3: (0.01125, 0)}
QUICK = {2: (0.0243, 1), 3: (0.1, 0)}
STEPS = 8
STEP_PER_SIZE = 0.01  # the time step over the mesh size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark alone."""
    parser.add_argument("--dimension", type=int, choices=(2, 3), default=2, help="of the domain (2)")
    parser.add_argument("--worker", action="store_true", help="a run on the ranks there are, as JSON")
    parser.add_argument("--repeat", type=int, default=2, help="runs of which the fastest counts (2)")


def work(dimension: int, quick: bool) -> None:
    """Run on all ranks and print the numbers."""
    comm = MPI.COMM_WORLD
    h, refinements = (QUICK if quick else MESHES)[dimension]
    flow = flow_on(unit_mesh(comm, dimension, h, refinements), 2.0)
    exact = source_solution(dimension, 2.0)
    run = march(flow, exact, "bdf2", "average", STEP_PER_SIZE * h / 2**refinements, STEPS)
    # The slowest rank counts; the first step is backward Euler's.
    seconds = [comm.allreduce(wall, op=MPI.MAX) for wall in run.walls[1:]]
    spent = [comm.allreduce(part, op=MPI.MAX) for part in np.median(run.parts[1:], axis=0)]
    memory = peak_memory(comm)
    energy = flow.energy(run.states[-1])
    if comm.rank == 0:
        found = {
            "unknowns": flow.space.dofmap.index_map.size_global,
            "seconds": min(seconds),
            "assemble": spent[0],
            "solve": spent[1],
            "linear": run.linear / run.newton,
            "memory": memory,
            "energy": energy,
        }
        print(json.dumps(found))


def main() -> None:
    """Print the table, or do the work of a rank."""
    args = arguments(__doc__, add_arguments)
    if args.worker:
        work(args.dimension, args.quick)
        return
    report = Report(args.output)
    columns = ("unknowns", "time per step [s]", "assembly", "solve", "linear per Newton", "peak memory [MB]")
    report.head("ranks", *columns, "speed-up")
    options = [f"--dimension={args.dimension}", *(["--quick"] if args.quick else [])]
    results: dict[int, list[dict]] = {1: [], 2: []}
    for _ in range(1 if args.quick else args.repeat):
        for ranks, found in results.items():
            found.append(launch(__file__, ranks, *options))
    best = {ranks: min(found, key=lambda r: r["seconds"]) for ranks, found in results.items()}
    for ranks, result in best.items():
        report.row(
            f"{ranks}",
            f"{result['unknowns']}",
            *(f"{result[key]:.3f}" for key in ("seconds", "assemble", "solve")),
            f"{result['linear']:.1f}",
            f"{result['memory']:.0f}",
            f"{best[1]['seconds'] / result['seconds']:.2f}",
        )
    gap = abs(best[2]["energy"] / best[1]["energy"] - 1.0)
    report.line()
    report.line(f"The energies after {STEPS} steps agree to {gap:.0e}.")
    report.close()


if __name__ == "__main__":
    main()
