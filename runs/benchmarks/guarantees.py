"""Mass, sign, energy and vacuum over domains, energies, fluxes and steps from 1e-4 to 10: the worst of each.

    python runs/benchmarks/guarantees.py [--quick] [--output FILE]
    mpiexec -n 2 python runs/benchmarks/guarantees.py

A row is a mesh, an energy and a flux; it starts from the indicator of a ball and takes backward Euler steps
of every size in turn. Mass drift is relative; the energy's largest increase is relative to the energy;
"vacuum" is the share of nodes farther than four cells from the first support that are exactly zero after a
step of 1e-6 (no energy with an entropy keeps vacuum).

The second table is of hard cases: steps from 1 to 1e4 times the square of the domain's length L, exponents
up to 40, cells graded like x³, a film of 1 by 1e-6, and a disk of radius 1e-15; V = 3x/L, and the first
density is 1 in a half of the domain. "halved" counts parts of steps that were taken in halves. All quantities
are dimensionless.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from common import Report, arguments

# isort: split
import numpy as np
from dolfinx.mesh import Mesh
from mpi4py import MPI
from ufl.core.expr import Expr

from fem_models.core.protocols import Memory
from fem_models.energies import Boltzmann, Energy, Potential, PowerLaw, Term
from fem_models.flow.edge_averaged import Flux
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.linalg.newton import NewtonSettings
from fem_models.meshes import domains as meshes
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.schemes.resolvent import ResolventScheme

COMM = MPI.COMM_WORLD
STEPS = (1e-4, 1e-2, 1.0, 10.0)
HARD_STEPS = (1.0, 1e2, 1e4)
RADIUS = 0.3
Center = tuple[float, ...]
MESHES = Path(__file__).parents[2] / "meshes"


def energies(center: Center) -> dict[str, Energy | Term]:
    """Energies by name; the potential V = 5r² is centred at the first support."""

    def quadratic(x: Expr) -> Expr:
        return 5.0 * sum((x[i] - center[i]) ** 2 for i in range(len(center)))

    return {
        "m = 2": PowerLaw(2),
        "m = 3": PowerLaw(3),
        "m = 2, V = 5r²": PowerLaw(2) + Potential(quadratic),
        "m = 1, V = 5r²": Boltzmann() + Potential(quadratic),
    }


def mesh_table(quick: bool) -> Iterator[tuple[str, Path, dict[str, Any], Center]]:
    """Name, mesh file or domain, its keys, and the centre of the first support."""
    if quick:
        yield "disk", MESHES / "disk.geo", {"h": 0.12}, (0.1, 0.0)
        yield "ball", MESHES / "ball.geo", {"h": 0.14}, (0.0, 0.0, 0.0)
        return
    yield "disk", MESHES / "disk.geo", {"h": 0.06}, (0.1, 0.0)
    yield "dumbbell", MESHES / "dumbbell.geo", {"h": 0.08}, (-1.5, 0.0)
    yield "square with holes", MESHES / "square_with_holes.geo", {"h": 0.02}, (0.5, 0.5)
    yield "ball", MESHES / "ball.geo", {"h": 0.12}, (0.0, 0.0, 0.0)
    optimized = {"h": 0.12, "parameters": {"optimize": 1}}
    yield "ball, gmsh's own 3D mesh", MESHES / "ball.geo", optimized, (0.0, 0.0, 0.0)


def measure(
    flow: GradientFlow, flux: Flux, center: Center, steps: int, cell: float
) -> tuple[float, float, float, float, float]:
    """Worst mass drift, minimum, energy increase, share of vacuum kept, and Newton iterations per step."""
    distance = np.linalg.norm(flow.points - np.array(center), axis=1)
    start = flow.state(lambda x: np.where(np.linalg.norm(x.T - center, axis=1) < RADIUS, 1.0, 0.0), 1.0)
    far = (distance > RADIUS + 4.0 * cell)[: flow.owned]
    drift, least, increase, newton = 0.0, np.inf, -np.inf, 0
    energies = [flow.energy(start)]
    scheme = BackwardEuler(flow, flux, NewtonSettings(linear="direct"))
    empty = scheme.step(start, 1e-6).state[: flow.owned, 0][far] == 0.0
    vacuum = flow.comm.allreduce(int(empty.sum())) / flow.comm.allreduce(int(far.sum()))
    for tau in STEPS:
        state, energy = start, energies[0]
        for _ in range(steps):
            step = scheme.step(state, tau)
            state, before, newton = step.state, energy, newton + step.newton
            energy = flow.energy(state)
            energies.append(energy)
            increase = max(increase, energy - before)
            drift = max(drift, abs(flow.masses(state)["rho"] - 1.0))
            least = min(least, flow.minima(state)["rho"])
    scale = max(map(abs, energies))
    return drift, least, increase / scale, vacuum, newton / (steps * len(STEPS))


def hard_meshes(quick: bool) -> Iterator[tuple[str, Mesh, float]]:
    """Name, mesh and length of the domain."""
    n = 1 if quick else 2
    yield "interval", meshes.build(COMM, "interval", cells=200 * n).mesh, 1.0
    graded = meshes.build(COMM, "interval", cells=40 * n).mesh
    graded.geometry.x[:, 0] **= 3
    yield "graded", graded, 1.0
    yield "film", meshes.build(COMM, "rectangle", upper=(1.0, 1e-6), cells=(30 * n, 4)).mesh, 1.0
    yield "disk of radius 1e-15", meshes.build(COMM, "disk", radius=1e-15, h=2e-16 / n).mesh, 1e-15


def hard_energies(length: float) -> dict[str, Energy]:
    """Energies by name."""
    potential = Potential(lambda x: 3.0 / length * x[0])
    powers = {f"m = {m}, V = 3x/L": PowerLaw(m) + potential for m in (2, 20, 40)}
    return {"m = 1, V = 3x/L": Boltzmann() + potential, **powers}


def measure_hard(flow: GradientFlow, scheme: ResolventScheme, length: float) -> tuple[float, ...]:
    """Worst mass drift, minimum and energy increase, Newton iterations per step, parts taken in halves."""
    centre = 0.5 * (
        flow.reduce(flow.points.max(axis=0), MPI.MAX) + flow.reduce(flow.points.min(axis=0), MPI.MIN)
    )
    start = flow.state(lambda x: np.where(x[0] < centre[0], 1.0, 0.0))
    mass = flow.masses(start)["rho"]
    drift, least, increase, newton, halved, count = 0.0, np.inf, -np.inf, 0, 0, 0
    energies = [flow.energy(start)]
    for tau in HARD_STEPS:
        state, energy = start, energies[0]
        scheme.restore(Memory())
        for _ in range(3):
            step = scheme.step(state, tau * length**2)
            state, before = step.state, energy
            newton, halved, count = newton + step.newton, halved + step.rejected, count + 1
            energy = flow.energy(state)
            energies.append(energy)
            increase = max(increase, energy - before)
            drift = max(drift, abs(flow.masses(state)["rho"] / mass - 1.0))
            least = min(least, flow.minima(state)["rho"])
    return drift, least, increase / max(map(abs, energies)), newton / count, halved


def hard_cases(report: Report, quick: bool) -> None:
    """The second table."""
    report.line("")
    report.head("mesh", "energy", "scheme", "mass drift", "minimum", "energy increase", "Newton", "halved")
    for name, mesh, length in hard_meshes(quick):
        for label, energy in hard_energies(length).items():
            flow = GradientFlow(mesh, Species(), energy)
            for title, scheme in (
                ("backward Euler", BackwardEuler(flow, settings=NewtonSettings(linear="direct"))),
                ("BDF2", Bdf2(flow, settings=NewtonSettings(linear="direct"))),
            ):
                drift, least, increase, newton, halved = measure_hard(flow, scheme, length)
                numbers = (f"{drift:.0e}", f"{least:.0e}", f"{increase:.0e}", f"{newton:.1f}", f"{halved}")
                report.row(name, label, title, *numbers)


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    report = Report(args.output)
    columns = ("mass drift", "minimum", "energy increase", "vacuum", "Newton")
    report.head("mesh", "negative edges", "energy", "flux", *columns)
    for name, file, keys, center in mesh_table(args.quick):
        mesh = meshes.from_file(MPI.COMM_WORLD, file, **keys)
        for label, energy in energies(center).items():
            flow = GradientFlow(mesh, Species(), energy)
            for flux in get_args(Flux):
                row = measure(flow, flux, center, 2 if args.quick else 5, keys["h"])
                drift, least, increase, vacuum, newton = row
                report.row(
                    name,
                    f"{flow.geometry.negative_share:.2%}",
                    label,
                    flux,
                    f"{drift:.0e}",
                    f"{least:.0e}",
                    f"{increase:.0e}",
                    "–" if "m = 1" in label else f"{vacuum:.0%}",
                    f"{newton:.1f}",
                )
    hard_cases(report, args.quick)
    report.close()


if __name__ == "__main__":
    main()
