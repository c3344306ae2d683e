"""Krylov iterations, time and memory of field splits and of a direct solver for the coupled systems.

    python runs/benchmarks/fieldsplit.py [--dimension 2|3] [--system NAME] [--quick] [--output FILE]

The first Newton iterations, at most ITERATIONS, of a step of backward Euler with the upwind flux from the
initial state, for a moderate and a large τ, with field splits (`pc_type = fieldsplit`) and with MUMPS, each
size in a process of its own and on one core. Krylov iterations and seconds are per Newton iteration, with
the tolerance that Newton's method asks for, 1e-3, and with 1e-8. Meshes are structured, except for
"pnp-unstructured". "×" is what the iterations grew by from the smallest size.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from common import Report, arguments, one_core, peak_memory
from mpi4py import MPI

# isort: split
import numpy as np
import ufl
from dolfinx.mesh import Mesh

from fem_models.flow.edge_averaged import EdgeAveraged
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.linalg.newton import Newton, NewtonSettings
from fem_models.meshes import domains as meshes
from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.poisson_nernst_planck import poisson_nernst_planck
from fem_models.systems.two_component import quadratic_potentials, two_component

SYSTEMS = ("two-component", "chemotaxis", "pnp", "pnp-electrodes", "pnp-unstructured")
FIELDS = {"two-component": 2, "chemotaxis": 2}  # the others have three
# Unknowns, and those up to which the direct solver is run: its memory is the limit.
SIZES = {2: (10_000, 100_000, 1_000_000), 3: (10_000, 60_000, 300_000)}
DIRECT_UP_TO = {2: 1_100_000, 3: 70_000}
QUICK = {2: (1_000, 4_000), 3: (1_000, 3_000)}
TAUS = (1e-2, 1.0)
ITERATIONS = 6
SPLITS = {"linear": "krylov", "petsc": {"pc_type": "fieldsplit"}}
ACCURATE = {"linear": "krylov", "petsc": {"pc_type": "fieldsplit", "ksp_rtol": 1e-8}}
DIRECT = {"linear": "direct", "petsc": {"pc_factor_mat_solver_type": "mumps"}}
DOMAINS = {2: "rectangle", 3: "box"}
# Nodes of an unstructured mesh of the unit square or cube with cells of size h: this over h^d.
NODES = {2: 1.2, 3: 1.5}


@dataclasses.dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        unknowns: Of the step.
        newton: Newton iterations.
        linear: Iterations of the linear solver for each of them.
        seconds: Time of each of them, the set-up of the solver and the assembly included.
        memory: Peak resident memory in MB.
    """

    unknowns: int
    newton: int
    linear: float
    seconds: float
    memory: float


Problem = tuple[GradientFlow, State]
"""A flow and its initial state."""


def problem(system: str, dim: int, unknowns: int) -> Problem:
    """A flow with about so many unknowns, and its initial state."""
    nodes = unknowns / FIELDS.get(system, 3)
    cells = [max(round(nodes ** (1.0 / dim)) - 1, 2)] * dim
    if system in FIELDS:
        mesh = meshes.build(
            MPI.COMM_WORLD, DOMAINS[dim], lower=[-3.0] * dim, upper=[3.0] * dim, cells=cells
        ).mesh
        return (two_densities if system == "two-component" else with_signal)(mesh)
    size = {"h": (NODES[dim] / nodes) ** (1.0 / dim)} if system == "pnp-unstructured" else {"cells": cells}
    return charged(meshes.build(MPI.COMM_WORLD, DOMAINS[dim], **size), system == "pnp-electrodes")


def blob(center: tuple[float, ...]) -> Callable[[State], State]:
    """A Gaussian around a point, with vacuum where it is small."""

    def values(x: State) -> State:
        squares = sum((x[i] - center[i]) ** 2 for i in range(len(x)))
        return np.maximum(np.exp(-2.0 * squares) - 1e-2, 0.0)

    return values


def two_densities(mesh: Mesh) -> Problem:
    """Two densities, m = 2 and ε = 0.3, in potentials of their own."""
    dim = mesh.geometry.dim
    flow = two_component(
        mesh, quadratic_potentials(1.0, [(0.5, 0, 0)[:dim], (-0.5, 0, 0)[:dim]]), epsilon=0.3
    )
    initial = {"rho1": blob((1.0, 0.0, 0.0)), "rho2": blob((-1.0, 0.3, 0.0))}
    return flow, flow.state(initial, {"rho1": 1.0, "rho2": 1.0})


def with_signal(mesh: Mesh) -> Problem:
    """Chemotaxis with m = 2, φ = tanh and ε = 1/2."""
    flow = chemotaxis(mesh, lambda x: 0.5 * ufl.dot(x, x), epsilon=0.5, phi=ufl.tanh)
    return flow, flow.state({"rho": blob((1.0, 0.0, 0.0)), "c": 0.0}, {"rho": 1.0})


def charged(mesh: Mesh, electrodes: bool) -> Problem:
    """Ions with m = 1 and a Debye length of a tenth of the domain."""
    flow = poisson_nernst_planck(mesh, electrodes={"left": 0.0, "right": 1.0} if electrodes else None)
    initial = {
        "u": lambda x: 1.0 + 0.9 * np.cos(np.pi * x[0]),
        "v": lambda x: 1.0 + 0.9 * np.cos(np.pi * x[1]),
    }
    return flow, flow.state(initial, {"u": 50.0, "v": 50.0})


def measure(system: str, dim: int, unknowns: int, tau: float, settings: dict) -> Result:
    """A single case."""
    # Kernels and forms are compiled, and PETSc is warm, before the clock starts.
    small, start = problem(system, dim, 500)
    first_iterations(small, settings).solve(start, start, 1e-3)
    flow, state = problem(system, dim, unknowns)
    newton = first_iterations(flow, settings)
    begin = time.perf_counter()
    step = newton.solve(state, state, tau)
    seconds = (time.perf_counter() - begin) / step.newton
    return Result(state.size, step.newton, step.linear / step.newton, seconds, peak_memory(flow.comm))


def first_iterations(flow: GradientFlow, settings: dict) -> Newton:
    """Newton's method with few iterations."""
    return Newton(EdgeAveraged(flow, "upwind"), NewtonSettings(max_iterations=ITERATIONS, **settings))


def in_a_process(*case: Any) -> Result | None:
    """The same in a process of its own, or nothing where it fails (for want of memory)."""
    command = [sys.executable, __file__, "--one", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Result(**json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark alone."""
    parser.add_argument("--dimension", type=int, choices=(2, 3), default=2)
    parser.add_argument(
        "--system", choices=SYSTEMS, action="append", help="one system alone; may be repeated"
    )
    parser.add_argument("--one", help="a single case, as JSON")


def main() -> None:
    """Print the table, or a single case."""
    args = arguments(__doc__, add_arguments)
    if args.one:
        print(json.dumps(dataclasses.asdict(measure(*json.loads(args.one)))))
        return
    one_core()
    report = Report(args.output)
    report.head(
        f"system, {args.dimension}D",
        "τ",
        "unknowns",
        "Newton",
        "to 1e-3",
        "×",
        "to 1e-8",
        "× (1e-8)",
        "splits [s]",
        "MUMPS [s]",
        "splits [MB]",
        "MUMPS [MB]",
    )
    sizes = (QUICK if args.quick else SIZES)[args.dimension]
    for system in args.system or SYSTEMS:
        for tau in TAUS[-1:] if args.quick else TAUS:
            first = None
            for unknowns in sizes:
                case = (system, args.dimension, unknowns, tau)
                loose, tight = in_a_process(*case, SPLITS), in_a_process(*case, ACCURATE)
                if loose is None or tight is None:
                    report.row(system, f"{tau:g}", f"{unknowns}", "failed", *("–" for _ in range(8)))
                    continue
                direct = in_a_process(*case, DIRECT) if unknowns <= DIRECT_UP_TO[args.dimension] else None
                first = first or (loose.linear, tight.linear)
                report.row(
                    system,
                    f"{tau:g}",
                    f"{loose.unknowns}",
                    f"{loose.newton}",
                    f"{loose.linear:.1f}",
                    f"{loose.linear / first[0]:.2f}",
                    f"{tight.linear:.1f}",
                    f"{tight.linear / first[1]:.2f}",
                    f"{loose.seconds:.2g}",
                    f"{direct.seconds:.2g}" if direct else "–",
                    f"{loose.memory:.0f}",
                    f"{direct.memory:.0f}" if direct else "–",
                )
    report.close()


if __name__ == "__main__":
    main()
