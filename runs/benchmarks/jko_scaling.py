"""A JKO step with a million unknowns in 3D: time by phase and memory, on one rank and on two.

    python runs/benchmarks/jko_scaling.py [--quick] [--output FILE]

The porous-medium flow ∂tρ = Δρ² + div(ρ∇V), V = |x|², from a positive density on the unit cube, one slab and
two; a density and a potential at each node and in each slab. The script starts `mpiexec` itself; each rank
needs a core of its own.
"""

import argparse
import json

from common import Report, arguments, launch, peak_memory

# isort: split
import time

import numpy as np
import ufl
from dolfinx.mesh import create_unit_cube
from mpi4py import MPI

from fem_models.energies import Potential, PowerLaw
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.jko.jko_step import Jko
from fem_models.linalg.newton import NewtonSettings

# Cells along an edge of the cube, by slabs: a million unknowns each.
CELLS = {1: 79, 2: 62}
QUICK = {1: 8, 2: 6}
TAU = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark alone."""
    parser.add_argument("--worker", action="store_true", help="a run on the ranks there are, as JSON")
    parser.add_argument("--slabs", type=int, default=1, help="of the worker (1)")


def work(slabs: int, quick: bool) -> None:
    """Take two steps on all ranks and print the numbers of the second."""
    comm = MPI.COMM_WORLD
    n = (QUICK if quick else CELLS)[slabs]
    begin = time.perf_counter()
    energy = PowerLaw(2.0, "rho") + Potential(lambda x: ufl.inner(x, x), "rho")
    flow = GradientFlow(create_unit_cube(comm, n, n, n), Species("rho"), energy).with_lumping("cells")
    mesh_seconds = time.perf_counter() - begin
    scheme = Jko(flow, "average", NewtonSettings(linear="krylov"), slabs=slabs)
    setup = time.perf_counter() - begin - mesh_seconds
    state = flow.state(lambda x: 1.0 + 0.5 * np.cos(np.pi * x[0]) * np.cos(np.pi * x[1]), 1.0)
    state = scheme.step(state, TAU).state
    before = scheme.seconds.copy()
    comm.Barrier()
    begin = time.perf_counter()
    step = scheme.step(state, TAU)
    seconds = comm.allreduce(time.perf_counter() - begin, op=MPI.MAX)
    spent = {key: comm.allreduce(scheme.seconds[key] - before[key], op=MPI.MAX) for key in before}
    memory = peak_memory(comm)
    if comm.rank == 0:
        found = {
            "unknowns": 2 * slabs * flow.space.dofmap.index_map.size_global,
            "mesh": mesh_seconds,
            "setup": setup,
            "seconds": seconds,
            **spent,
            "newton": step.newton,
            "linear": step.linear / step.newton,
            "memory": memory,
            "excess": step.movement.excess,
            "notes": scheme.notes,
        }
        print(json.dumps(found))


def main() -> None:
    """Print the table, or do the work of a rank."""
    args = arguments(__doc__, add_arguments)
    if args.worker:
        work(args.slabs, args.quick)
        return
    report = Report(args.output)
    columns = ("mesh and flow [s]", "solver's set-up [s]", "step [s]", "assembly", "solve", "Newton")
    report.head("slabs", "unknowns", "ranks", *columns, "linear per Newton", "peak memory [MB]", "speed-up")
    for slabs in CELLS:
        options = [f"--slabs={slabs}", *(["--quick"] if args.quick else [])]
        found = {ranks: launch(__file__, ranks, *options) for ranks in (1, 2)}
        for ranks, result in found.items():
            report.row(
                f"{slabs}",
                f"{result['unknowns']}",
                f"{ranks}",
                *(f"{result[key]:.2f}" for key in ("mesh", "setup", "seconds", "assemble", "solve")),
                f"{result['newton']}",
                f"{result['linear']:.1f}",
                f"{result['memory']:.0f}",
                f"{found[1]['seconds'] / result['seconds']:.2f}",
            )
            for note in result["notes"]:
                report.line(f"\n{note}\n")
    report.close()


if __name__ == "__main__":
    main()
