"""JKO steps beside LJKO: errors at equal cells and steps, time to LJKO's error, and large steps, on one core.

    python runs/benchmarks/jko.py [--quick] [--output FILE]

Problems on the unit square: ∂tρ = Δρ^m from Barenblatt's solution, m = 2 and 4, t from 0.01 to 0.03, and
∂tρ = Δρ + div(ρ∇V), V = -x, with an exact solution, t from 0 to 0.25. The error is the largest L¹ distance
Σ m_i |ρ_i - ρ(x_i)| over all steps. LJKO (Cancès, Gallouët and Todeschini; Octave; a density per cell) is not
run: its errors and times are those that are known for these problems on one core of a similar machine.
"""

import math
from dataclasses import dataclass

from common import PEERS, Report, arguments, one_core, unit_mesh

# isort: split
import functools
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from dolfinx.mesh import DiagonalType, Mesh, create_unit_square
from mpi4py import MPI

from fem_models.exact.barenblatt import SourceSolution
from fem_models.exact.fokker_planck import drift_diffusion
from fem_models.flow.edge_averaged import Flux
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.jko.jko_step import Jko
from fem_models.systems.fokker_planck import fokker_planck

Density = Callable[[npt.NDArray[np.float64], float], npt.NDArray[np.float64]]
Case = tuple[Flux, int, float | str, int]
"""Flux, slabs, mesh and steps; a mesh is the size h of an unstructured one, or "squares" or "crossed"."""

# Of about LJKO's number of cells.
SIZE = 0.0129
ACROSS = {"squares": (85, DiagonalType.right), "crossed": (60, DiagonalType.crossed)}


@dataclass(frozen=True)
class Problem:
    """A problem with its exact solution and what LJKO does on it.

    Attributes:
        name: For the table.
        exact: The solution at points of shape (2, n) and a time.
        flow: The flow on a mesh.
        start, end: Times.
        steps: LJKO's, at 14336 cells.
        error, seconds, newton: LJKO's; NaN where not known.
        fast: Flux, slabs, mesh and steps that reach LJKO's error quickly.
    """

    name: str
    exact: Density
    flow: Callable[[Mesh], GradientFlow]
    start: float
    end: float
    steps: int
    error: float
    seconds: float
    newton: float
    fast: Case


PROBLEMS = (
    Problem(
        "m = 2",
        PEERS,
        lambda mesh: fokker_planck(mesh, m=2.0),
        0.01,
        0.03,
        160,
        9.4e-4,
        13.7,
        math.nan,
        ("average", 1, 0.026, 20),
    ),
    Problem(
        "m = 4",
        SourceSolution(4.0, 2, 0.01, (0.5, 0.5)),
        lambda mesh: fokker_planck(mesh, m=4.0),
        0.01,
        0.03,
        160,
        1.12e-3,
        14.7,
        3.5,
        ("average", 1, 0.0115, 30),
    ),
    Problem(
        "Fokker–Planck",
        drift_diffusion,
        lambda mesh: fokker_planck(mesh, potential=lambda x: -x[0]),
        0.0,
        0.25,
        80,
        1.5e-2,
        13.2,
        math.nan,
        ("average", 1, 0.04, 60),
    ),
)


QUICK: tuple[Case, ...] = (("upwind", 1, 0.06, 4), ("average", 1, "squares", 1), ("average", 2, 0.1, 2))


def cases(problem: Problem) -> list[Case]:
    """LJKO's cells and steps, the fewest that reach its error, two slabs, and steps of 1e-2."""
    fluxes: tuple[Flux, ...] = ("upwind", "average")
    few = round((problem.end - problem.start) / 1e-2)
    return [
        *((flux, 1, mesh, problem.steps) for flux in fluxes for mesh in (SIZE, *ACROSS)),
        problem.fast,
        ("average", 2, 0.026, problem.steps // 4),
        *((flux, 1, SIZE, few) for flux in fluxes),
    ]


@functools.cache
def made(mesh: float | str) -> Mesh:
    """The mesh of a case."""
    if isinstance(mesh, float):
        return unit_mesh(MPI.COMM_SELF, 2, mesh)
    count, diagonal = ACROSS[mesh]
    return create_unit_square(MPI.COMM_SELF, count, count, diagonal=diagonal)


@dataclass(frozen=True)
class Result:
    """What a run gave; `newton` per step, on average and at most."""

    cells: int
    steps: int
    error: float
    minimum: float
    vacuum: float
    newton: float
    most: int
    excess: float
    seconds: float


def march(problem: Problem, flow: GradientFlow, flux: Flux, slabs: int, steps: int) -> Result:
    """Take the steps; only they are timed."""
    tau = (problem.end - problem.start) / steps
    state = flow.state(lambda x: problem.exact(x, problem.start))
    Jko(flow, flux, slabs=slabs).step(state, tau)  # kernels are compiled, PETSc is warm
    scheme = Jko(flow, flux, slabs=slabs)
    volumes, points = flow.geometry.volumes[: flow.owned], flow.points[: flow.owned].T
    errors, minima, excesses, newton, seconds = [], [], [], [], 0.0
    for n in range(1, steps + 1):
        begin = time.perf_counter()
        step = scheme.step(state, tau)
        seconds += time.perf_counter() - begin
        state = step.state
        exact = problem.exact(points, problem.start + n * tau)
        errors.append(float(volumes @ np.abs(state[: flow.owned, 0] - exact)))
        minima.append(float(state.min()))
        excesses.append(step.movement.excess)
        newton.append(step.newton)
    empty = float(volumes @ (state[: flow.owned, 0] == 0.0))
    cells = flow.mesh.topology.index_map(2).size_global
    mean = sum(newton) / steps
    return Result(cells, steps, max(errors), min(minima), empty, mean, max(newton), max(excesses), seconds)


def row(report: Report, problem: Problem, flux: str, slabs: int, result: Result) -> None:
    """Print a result beside LJKO's."""
    faster = f"{problem.seconds / result.seconds:.0f}" if result.error <= problem.error else "–"
    report.row(
        problem.name,
        f"{flux}, S = {slabs}",
        f"{result.cells}",
        f"{result.steps}",
        f"{result.error:.2e}",
        f"{result.error / problem.error:.2f}",
        f"{result.minimum:.1e}",
        f"{result.vacuum:.2f}",
        f"{result.newton:.1f} (at most {result.most})",
        f"{result.excess:.0e}",
        f"{result.seconds:.3g}",
        faster,
    )


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    one_core()
    report = Report(args.output)
    report.head(
        *("problem", "scheme", "cells", "steps", "L∞L¹ error", "error / LJKO's", "minimum", "empty volume"),
        *("Newton per step", "largest E + W²/2τ - E_old", "seconds", "LJKO's time / this"),
    )
    for problem in PROBLEMS:
        report.row(
            *(
                problem.name,
                "LJKO (Octave), not run here",
                "14336",
                f"{problem.steps}",
                f"{problem.error:.2e}",
            ),
            *("1", "0", "–", "–" if math.isnan(problem.newton) else f"{problem.newton}", "–"),
            *(f"{problem.seconds}", "1"),
        )
        for flux, slabs, mesh, steps in QUICK if args.quick else cases(problem):
            row(report, problem, flux, slabs, march(problem, problem.flow(made(mesh)), flux, slabs, steps))
    report.close()


if __name__ == "__main__":
    main()
