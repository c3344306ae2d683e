"""What the benchmarks share: their exact solution, meshes, timed runs, and tables.

Import this first: it holds every library to one thread.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

# Before DOLFINx, for which it finds the MPI library of the wheels.
import fem_models  # noqa: F401

# isort: split
import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx.mesh import GhostMode, Mesh, create_cell_partitioner, refine
from mpi4py import MPI
from ufl.core.expr import Expr

from fem_models.exact.barenblatt import SourceSolution
from fem_models.flow.edge_averaged import Flux
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.jko.jko_bdf2 import JkoBdf2
from fem_models.jko.jko_step import Jko
from fem_models.linalg.newton import NewtonSettings
from fem_models.meshes import domains as meshes
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.systems.fokker_planck import fokker_planck

START, END = 0.01, 0.03
DOMAINS = {1: "interval", 2: "rectangle", 3: "box"}


SCHEMES = {scheme.name: scheme for scheme in (BackwardEuler, Bdf2, Jko, JkoBdf2)}

PEERS = SourceSolution(2.0, 2, 0.05, (0.5, 0.5))
"""The problem of the peers' benchmark."""


def source_solution(dim: int, m: float, radius: float = 0.42) -> SourceSolution:
    """The solution of ∂tρ = Δρ^m whose support has a radius at the end.

    Args:
        dim: Dimension.
        m: Exponent, more than 1.
        radius: Of the support at END.

    Returns:
        The solution, centred in the unit cube.
    """
    return SourceSolution.of_radius(m, dim, radius, END, (0.5,) * dim)


def as_ufl(exact: SourceSolution, x: ufl.SpatialCoordinate, t: fem.Constant) -> Expr:
    """A source solution as UFL.

    Args:
        exact: The solution.
        x: Coordinates of the mesh.
        t: Time.

    Returns:
        Its value there.
    """
    square = sum((x[i] - c) ** 2 for i, c in enumerate(exact.center))
    inside = ufl.max_value(exact.constant - exact.k * square * t ** (-2.0 * exact.beta), 0.0)
    return t ** (-exact.dimension * exact.beta) * inside ** (1.0 / (exact.exponent - 1.0))


class L1Error:
    """The L¹ distance ∫|ρ_h - ρ(t)| of a P1 density from the exact one, by quadrature.

    Args:
        flow: The flow of the density.
        exact: The exact solution.
    """

    def __init__(self, flow: GradientFlow, exact: SourceSolution) -> None:
        self._density = fem.Function(flow.space)
        self._time = fem.Constant(flow.mesh, START)
        self._comm = flow.comm
        difference = abs(self._density - as_ufl(exact, flow.x, self._time))
        self._form = fem.form(difference * ufl.dx(metadata={"quadrature_degree": 4}))

    def __call__(self, state: State, t: float) -> float:
        """The distance at a time.

        Args:
            state: Nodal densities, shape (nodes, species).
            t: The time.

        Returns:
            The distance of the first density.
        """
        self._density.x.array[:] = state[:, 0]
        self._time.value = t
        return float(self._comm.allreduce(fem.assemble_scalar(self._form)))


def unit_mesh(comm: MPI.Comm, dim: int, h: float, refinements: int = 0) -> Mesh:
    """An unstructured mesh of the unit cube; an interval has equal cells.

    Args:
        comm: The ranks that share it.
        dim: Dimension.
        h: Mesh size.
        refinements: How often it is halved, uniformly.

    Returns:
        The mesh.
    """
    mesh = meshes.build(comm, DOMAINS[dim], h=h).mesh
    for _ in range(refinements):
        mesh.topology.create_entities(1)
        mesh = refine(mesh, None, partitioner=create_cell_partitioner(GhostMode.shared_facet, 2))[0]
    return mesh


@dataclass(frozen=True)
class Run:
    """A run of equal steps from START to END, or fewer of them.

    Attributes:
        states: At START and after each step.
        times: Of the states.
        walls: Seconds of each step.
        parts: Seconds of each step in assembly and in the solver, shape (steps, 2).
        newton: Newton iterations in all steps.
        linear: Iterations of the linear solver in all steps.
    """

    states: list[State]
    times: list[float]
    walls: list[float]
    parts: npt.NDArray[np.float64]
    newton: int
    linear: int

    @property
    def seconds(self) -> float:
        """Of the whole loop."""
        return math.fsum(self.walls)


def march(
    flow: GradientFlow,
    exact: SourceSolution,
    scheme: str,
    flux: Flux,
    tau: float,
    steps: int,
    settings: NewtonSettings | None = None,
) -> Run:
    """Take steps from the exact solution at START; only the steps are timed, and only they happen.

    Args:
        flow: The flow.
        exact: The exact solution.
        scheme: A name in SCHEMES.
        flux: How densities are averaged on edges.
        tau: Time step.
        steps: Their number.
        settings: Of Newton's method.

    Returns:
        What was computed and how long it took.
    """
    state = flow.state(lambda x: exact(x, START))
    # Kernels and forms are compiled, and PETSc is warm, before the clock starts.
    SCHEMES[scheme](flow, flux, settings).step(state, tau)
    stepper = SCHEMES[scheme](flow, flux, settings)
    states, walls, parts, newton, linear = [state], [], [], 0, 0
    for _ in range(steps):
        flow.comm.Barrier()
        before = stepper.seconds.copy()
        begin = time.perf_counter()
        step = stepper.step(states[-1], tau)
        walls.append(time.perf_counter() - begin)
        parts.append([stepper.seconds[name] - before[name] for name in ("assemble", "solve")])
        states.append(step.state)
        newton, linear = newton + step.newton, linear + step.linear
    times = [START + n * tau for n in range(steps + 1)]
    return Run(states, times, walls, np.array(parts), newton, linear)


def flow_on(mesh: Mesh, m: float) -> GradientFlow:
    """The porous-medium flow ∂tρ = Δρ^m.

    Args:
        mesh: The mesh.
        m: Exponent.

    Returns:
        The flow.
    """
    return fokker_planck(mesh, m=m)


def peak_memory(comm: MPI.Comm) -> float:
    """Peak resident memory of all ranks.

    Args:
        comm: The ranks.

    Returns:
        Their sum in MB.
    """
    return comm.allreduce(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024.0


def mpiexec() -> str:
    """The program that starts ranks; where there is none, end with one sentence.

    Returns:
        Its path.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        stop("There is no mpiexec beside this Python or on the PATH: install MPI, or run this in .venv.")
    return found


def launch(script: str, ranks: int, *options: str) -> dict:
    """Run a script with `--worker` under mpiexec; where it fails, end with one sentence.

    Args:
        script: The file.
        ranks: Number of ranks.
        options: More arguments.

    Returns:
        What it prints last, read as JSON.
    """
    command = [mpiexec(), "-n", f"{ranks}", sys.executable, script, "--worker", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        stop(f"The run on {ranks} ranks failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def one_core() -> None:
    """Keep this process and its children on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def arguments(
    description: str, add: Callable[[argparse.ArgumentParser], None] = lambda parser: None
) -> argparse.Namespace:
    """The command line that all benchmarks share.

    Args:
        description: What the benchmark does; its first line is shown.
        add: Adds arguments of one benchmark.

    Returns:
        What the user gave.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test of a few seconds")
    parser.add_argument("--output", type=Path, help="write the tables to this file too")
    add(parser)
    return parser.parse_args()


class Report:
    """Markdown tables, printed row by row on rank 0 and written to a file at the end.

    Args:
        output: The file; None for none.
    """

    def __init__(self, output: Path | None) -> None:
        self._output = output
        self._lines: list[str] = []

    def line(self, text: str = "") -> None:
        """Add a line.

        Args:
            text: The line.
        """
        self._lines.append(text)
        if MPI.COMM_WORLD.rank == 0:
            print(text, flush=True)

    def head(self, *columns: str) -> None:
        """Start a table.

        Args:
            columns: Its heads.
        """
        self.line()
        self.row(*columns)
        self.row(*("---" for _ in columns))

    def row(self, *entries: str) -> None:
        """Add a row.

        Args:
            entries: One for each column.
        """
        self.line(f"| {' | '.join(entries)} |")

    def close(self) -> None:
        """Write the file."""
        if self._output is not None and MPI.COMM_WORLD.rank == 0:
            self._output.write_text("\n".join(self._lines).strip() + "\n", encoding="utf-8")


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of a straight line through points on log axes.

    Args:
        x: Positive numbers, shape (n,).
        y: Likewise.

    Returns:
        The slope.
    """
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def stop(message: str) -> NoReturn:
    """End with exit code 2.

    Args:
        message: A sentence that says why.
    """
    print(message, file=sys.stderr)
    sys.exit(2)
