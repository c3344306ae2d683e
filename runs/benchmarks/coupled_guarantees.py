"""Mass, sign and energy of the coupled systems for steps from 1e-3 to 10: the worst of each.

    python runs/benchmarks/coupled_guarantees.py [--quick] [--output FILE]
    mpiexec -n 2 python runs/benchmarks/coupled_guarantees.py

A row is a system on a mesh with a flux; it starts from densities with vacuum (m > 1) or Gaussians (m = 1) and
takes backward Euler steps of every size in turn. Mass drift is relative, the worst of all species; the
energy's largest increase is relative to the energy; the energies at the end, summed over the sizes of the
step, are to be compared on 1, 2 and 3 ranks. All quantities are dimensionless.
"""

from common import Report, arguments

# isort: split
from collections.abc import Callable, Iterator
from typing import get_args

import numpy as np
import ufl
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.flow.edge_averaged import Flux
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.linalg.newton import NewtonSettings
from fem_models.meshes import domains as meshes
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.poisson_nernst_planck import Ion, poisson_nernst_planck
from fem_models.systems.two_component import quadratic_potentials, two_component

STEPS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
COMM = MPI.COMM_WORLD

Case = tuple[str, GradientFlow, float]
"""A system in words, its flow and its exponent m."""


def bump(center: float, square: float, m: float) -> Callable[[State], State]:
    """A density around a centre: with vacuum where m allows for it, a Gaussian for m = 1."""

    def density(x: State) -> State:
        distance = sum((x[i] - (center if i == 0 else 0.0)) ** 2 for i in range(len(x)))
        return np.exp(-distance / square) if m == 1.0 else np.maximum(square - distance, 0.0)

    return density


def box(dim: int, quick: bool) -> Mesh:
    """A mesh of [-3, 3]^d."""
    if dim == 1:
        return meshes.build(COMM, "interval", lower=-3, upper=3, cells=60 if quick else 400).mesh
    domain = {2: "rectangle", 3: "box"}[dim]
    h = {2: 0.5 if quick else 0.12, 3: 1.5 if quick else 0.6}[dim]
    return meshes.build(COMM, domain, lower=[-3] * dim, upper=[3] * dim, h=h).mesh


def pairs(quick: bool) -> Iterator[Case]:
    """Two components."""
    for dim, m in ((1, 2.0), (2, 1.0), (2, 2.0), (2, 3.0), (3, 2.0)):
        mesh = box(dim, quick)
        potentials = quadratic_potentials(1.0, [[0.4] + [0.0] * (dim - 1), [-0.4] + [0.0] * (dim - 1)])
        flow = two_component(mesh, potentials, m, 0.3)
        yield f"two components, {dim}D, m = {m:g}, ε = 0.3", flow, m
    flow = two_component(mesh, potentials, 2.0, 0.3, kernel=lambda z: np.exp(-0.1 * (z**2).sum(axis=0)))
    yield "two components, 3D, m = 2, kernel", flow, 2.0


def signals(quick: bool) -> Iterator[Case]:
    """Chemotaxis."""
    for dim, m in ((1, 2.0), (2, 2.0), (3, 2.0)):
        flow = chemotaxis(
            box(dim, quick), lambda x: 0.5 * ufl.dot(x, x), m, 0.3, phi=lambda c: ufl.exp(-(c**2))
        )
        yield f"chemotaxis, {dim}D, m = {m:g}, ε = 0.3", flow, m


def ions(quick: bool) -> Iterator[Case]:
    """Poisson–Nernst–Planck."""
    for dim, m in ((1, 1.0), (2, 1.0), (2, 2.0), (3, 1.0)):
        yield f"ions, {dim}D, m = {m:g}, Neumann", poisson_nernst_planck(box(dim, quick), m=m), m
    mesh = meshes.build(COMM, "rectangle", lower=[-3, -3], upper=[3, 3], h=0.5 if quick else 0.12)
    electrodes = {"left": 1.0, "right": 0.0}
    three = (Ion("u", 2.0), Ion("v", -1.0), Ion("w", -1.0))
    flow = poisson_nernst_planck(mesh, three, permittivity=0.01, doping=0.1, electrodes=electrodes)
    yield "three ions, 2D, m = 1, electrodes, a = 0.01", flow, 1.0
    whole = meshes.build(COMM, "space", radius=3.0, h=1.0 if quick else 0.5)
    confined = [Ion(n, z, lambda x: ufl.dot(x, x)) for n, z in (("u", 1.0), ("v", -1.0))]
    for m in (1.0, 2.0):
        yield f"ions, whole space, m = {m:g}", poisson_nernst_planck(whole, confined, m), m


def first_state(flow: GradientFlow, m: float) -> tuple[State, list[str]]:
    """Densities of mass one, side by side."""
    centers = np.linspace(-0.8, 0.8, max(2, int(flow.transported.sum())))
    names = [s.name for s in flow.species if s.metric == "wasserstein"]
    initial = {name: bump(c, 0.9, m) for name, c in zip(names, centers, strict=False)}
    initial |= {s.name: lambda x: np.sin(x[0]) for s in flow.species if s.metric == "l2"}
    return flow.state(initial, dict.fromkeys(names, 1.0)), names


def measure(flow: GradientFlow, flux: Flux, m: float, count: int) -> tuple[float, float, float, float, float]:
    """Worst mass drift, minimum and energy increase, Newton iterations per step, and the sum of energies."""
    start, names = first_state(flow, m)
    scheme = BackwardEuler(flow, flux, NewtonSettings(linear="direct"))
    drift, least, increase, newton, total, scale = 0.0, np.inf, -np.inf, 0, 0.0, abs(flow.energy(start))
    for tau in STEPS:
        state, energy = start, flow.energy(start)
        for _ in range(count):
            step = scheme.step(state, tau)
            state, before, newton = step.state, energy, newton + step.newton
            energy = flow.energy(state)
            scale, increase = max(scale, abs(energy)), max(increase, energy - before)
            masses, minima = flow.masses(state), flow.minima(state)
            drift = max(drift, *(abs(masses[name] - 1.0) for name in names))
            least = min(least, *(minima[name] for name in names))
        total += energy
    return drift, least, increase / scale, newton / (count * len(STEPS)), total


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    report = Report(args.output)
    columns = ("mass drift", "minimum", "energy increase", "Newton per step", "energies at the end")
    report.head("system", "nodes", "negative edges", "flux", *columns)
    for family in (pairs, signals, ions):
        for name, flow, m in family(args.quick):
            for flux in get_args(Flux) if m > 1.0 else get_args(Flux)[:1]:
                drift, least, increase, newton, total = measure(flow, flux, m, 2 if args.quick else 4)
                report.row(
                    name,
                    str(flow.space.dofmap.index_map.size_global),
                    f"{flow.geometry.negative_share:.2%}",
                    flux if m > 1.0 else "–",
                    f"{drift:.0e}",
                    f"{least:.0e}",
                    f"{increase:.0e}",
                    f"{newton:.1f}",
                    f"{total:.12g}",
                )
    report.close()


if __name__ == "__main__":
    main()
