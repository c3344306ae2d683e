"""Mass, sign, energy and vacuum over domains, energies, fluxes and steps from 1e-4 to 10: the worst of each.

    python runs/benchmarks/guarantees.py [--quick] [--output FILE]
    mpiexec -n 2 python runs/benchmarks/guarantees.py

A row is a mesh, an energy and a flux; it starts from the indicator of a ball and takes backward Euler steps
of every size in turn. Mass drift is relative; the energy's largest increase is relative to the energy;
"vacuum" is the share of nodes farther than four cells from the first support that are exactly zero after a
step of 1e-6 (no energy with an entropy keeps vacuum). All quantities are dimensionless.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from common import Report, arguments

# isort: split
import numpy as np
from mpi4py import MPI
from ufl.core.expr import Expr

from fem_models.energies import Boltzmann, Energy, Potential, PowerLaw, Term
from fem_models.flow.edge_averaged import Flux
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.linalg.newton import NewtonSettings
from fem_models.meshes import domains as meshes
from fem_models.schemes.backward_euler import BackwardEuler

STEPS = (1e-4, 1e-2, 1.0, 10.0)
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
    report.close()


if __name__ == "__main__":
    main()
