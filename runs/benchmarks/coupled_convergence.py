"""Orders of convergence of the coupled systems, in h and in τ.

    python runs/benchmarks/coupled_convergence.py [--quick] [--output FILE]

The exact solutions depend on x alone: a spectral method (`fem_models.exact.spectral`) gives them, and meshes
are of the interval, the square and the cube. Errors are L¹ distances Σ_i m_i |ρ_i - ρ(x_i)| at t = 0.05,
summed over the species. Orders in h: BDF2 with τ ~ h, on unstructured meshes in 2D and 3D. Orders in τ: from
BDF2 with many steps on one mesh, so that the error in space cancels. An order is the slope of a straight line
on log axes. The log-density is first order in time only; the error of its steps is taken away by
extrapolation from two runs with τ ~ h² and half of it.
"""

from common import SCHEMES, Report, arguments, slope, unit_mesh

# isort: split
from collections.abc import Mapping
from typing import Any

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.exact.spectral import LegendreElement, evolve
from fem_models.flow.edge_averaged import Flux
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.flow.log_density import LogDensityFlow
from fem_models.linalg.newton import NewtonSettings
from fem_models.schemes.log_density_euler import LogDensity
from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.poisson_nernst_planck import poisson_nernst_planck
from fem_models.systems.two_component import two_component

END = 0.05
DIRECT = NewtonSettings(linear="direct")
SIZES = {
    1: (1 / 16, 1 / 32, 1 / 64, 1 / 128),
    2: (1 / 8, 1 / 12, 1 / 18, 1 / 27),
    3: (0.25, 0.18, 0.13, 0.1),
}
QUICK = {1: (1 / 8, 1 / 16), 2: (1 / 4, 1 / 6), 3: (0.5, 0.35)}
EPSILON, PERMITTIVITY = 0.5, 0.1
FLUXES: tuple[Flux, ...] = ("upwind", "average")

Sizes = Mapping[int, tuple[float, ...]]
"""Mesh sizes by dimension."""


def first(x: State) -> State:
    """The first initial density, with the derivative zero at both ends."""
    return 1.0 + 0.5 * np.cos(np.pi * x)


def second(x: State) -> State:
    """The second one, of the same mass."""
    return 1.0 - 0.5 * np.cos(2.0 * np.pi * x)


class TwoComponents:
    """m = 2, V_j = ±0.5 cos πx and the coupling (ρ₁ρ₂/(1+ρ₁+ρ₂))²."""

    name, fluxes, initial = "two components", FLUXES, {"rho1": first, "rho2": second}

    def flow(self, mesh: Mesh) -> GradientFlow:
        """The flow."""
        V = [lambda x, s=s: s * 0.5 * ufl.cos(ufl.pi * x[0]) for s in (1.0, -1.0)]
        return two_component(mesh, V, 2.0, EPSILON)

    def rate(self, line: LegendreElement, u: State) -> list[State]:
        """∂tu."""
        total = 1.0 + u[0] + u[1]
        ratio = u[0] * u[1] / total
        V = 0.5 * np.cos(np.pi * line.x)
        slopes = [2.0 * ratio * (other * total - u[0] * u[1]) / total**2 for other in (u[1], u[0])]
        mu = [2.0 * u[s] + (V, -V)[s] + EPSILON * slopes[s] for s in (0, 1)]
        return [line.divergence(u[s] * (line.D @ mu[s])) for s in (0, 1)]


class Signal:
    """m = 2, V = 0.5 cos πx and φ(c) = tanh c, κ = 1."""

    name, fluxes, initial = "chemotaxis", FLUXES, {"rho": first, "c": second}

    def flow(self, mesh: Mesh) -> GradientFlow:
        """The flow."""
        return chemotaxis(mesh, lambda x: 0.5 * ufl.cos(ufl.pi * x[0]), 2.0, EPSILON, 1.0, ufl.tanh)

    def rate(self, line: LegendreElement, u: State) -> list[State]:
        """∂tu."""
        rho, c = u
        mu = 2.0 * rho + 0.5 * np.cos(np.pi * line.x) + EPSILON * np.tanh(c)
        source = c + EPSILON * rho / np.cosh(c) ** 2
        return [line.divergence(rho * (line.D @ mu)), line.divergence(line.D @ c) - source]


class Ions:
    """Two ions with z = 1, -1 and ∂ψ/∂ν = 0, a = 0.1."""

    def __init__(self, m: float) -> None:
        self.m, self.name = m, f"ions, m = {m:g}"
        self.initial = {"u": first, "v": second}
        self.fluxes = FLUXES if m > 1.0 else FLUXES[:1]

    def flow(self, mesh: Mesh) -> GradientFlow:
        """The flow."""
        return poisson_nernst_planck(mesh, m=self.m, permittivity=PERMITTIVITY)

    def rate(self, line: LegendreElement, u: State) -> list[State]:
        """∂tu."""
        drift = line.D @ line.potential(u[0] - u[1], PERMITTIVITY)
        return [line.divergence(line.D @ u[s] ** self.m + z * u[s] * drift) for s, z in ((0, 1.0), (1, -1.0))]


System = TwoComponents | Signal | Ions


class Problem:
    """A system with its solution at the end."""

    def __init__(self, system: System) -> None:
        self.system = system
        line = LegendreElement()
        self._exact = evolve(line, list(system.initial.values()), lambda u: system.rate(line, u), END)

    def start(self, flow: GradientFlow) -> State:
        """The initial state, by values at the nodes.

        Steps settle the potential; `flow.state` would refuse ions whose interpolated masses differ by O(h²).
        """
        initial = {name: lambda x, f=f: f(x[0]) for name, f in self.system.initial.items()}
        return flow.nodal_values(initial)

    def march(self, flow: GradientFlow, scheme: Any, steps: int) -> State:
        """The state at the end after equal steps."""
        state = self.start(flow)
        for _ in range(steps):
            state = scheme.step(state, END / steps).state
        return state

    def error(self, flow: GradientFlow, values: State) -> float:
        """The L¹ distance of nodal values from the solution."""
        return self.distance(flow, values[:, :2], self._exact(flow.points[:, 0]))

    def distance(self, flow: GradientFlow, values: State, others: State) -> float:
        """The L¹ distance of nodal values from others."""
        owned = slice(0, flow.owned)
        gap = np.abs(values - others)[owned, :2].sum(axis=1)
        return flow.comm.allreduce(float(flow.geometry.volumes[owned] @ gap))

    def quadrature_error(self, flow: LogDensityFlow, extrapolated: State) -> float:
        """The L¹ distance of the log-density's functions from the solution, by quadrature."""
        found = 0.0
        x = ufl.SpatialCoordinate(flow.mesh)[0]
        logs = flow.logs(extrapolated)
        for s, density in enumerate(flow.densities(logs)[:2]):
            series = np.polynomial.chebyshev.cheb2poly(self._exact.series[s].coef[:16])
            # Constants of DOLFINx: one compiled form for both densities.
            coefficients = fem.Constant(flow.mesh, series)
            z, exact = 2.0 * x - 1.0, 0.0
            for k in reversed(range(len(series))):
                exact = exact * z + coefficients[k]
            form = fem.form(abs(density - exact) * ufl.dx(metadata={"quadrature_degree": 8}))
            found += flow.comm.allreduce(fem.assemble_scalar(form))
        return found


def edge_averaged(report: Report, problem: Problem, sizes: Sizes, quick: bool) -> None:
    """The rows of one system with densities at the nodes."""
    for dim, hs in sizes.items():
        flows = [problem.system.flow(unit_mesh(MPI.COMM_WORLD, dim, h)) for h in hs]
        for flux in problem.system.fluxes:
            errors = []
            for h, flow in zip(hs, flows, strict=True):
                scheme = SCHEMES["bdf2"](flow, flux, DIRECT)
                errors.append(problem.error(flow, problem.march(flow, scheme, int(np.ceil(2.0 / h)))))
            row = [f"{errors[0]:.1e}", f"{errors[-1]:.1e}", f"{slope(hs, errors):.2f}"]
            if dim == 1:
                row += [in_tau(problem, flows[0], flux, name, quick) for name in ("backward-euler", "bdf2")]
            else:
                row += ["–", "–"]
            name = flux if len(problem.system.fluxes) > 1 else "Scharfetter–Gummel"
            report.row(problem.system.name, f"{dim}D", name, *row)


def in_tau(problem: Problem, flow: GradientFlow, flux: Flux, name: str, quick: bool) -> str:
    """The order of a scheme in τ."""
    counts, many = ((4, 8), 64) if quick else ((10, 20, 40, 80), 640)
    reference = problem.march(flow, SCHEMES["bdf2"](flow, flux, DIRECT), many)
    gaps = [
        problem.distance(flow, problem.march(flow, SCHEMES[name](flow, flux, DIRECT), n), reference)
        for n in counts
    ]
    return f"{-slope(counts, gaps):.2f}"


def log_density(report: Report, problem: Problem, sizes: Sizes, quick: bool) -> None:
    """The rows of one system with m = 1 for densities that are exponentials of P_k."""
    for dim, hs in sizes.items():
        for degree in (1, 2):
            errors = []
            for h in hs[: 2 if quick else 3]:
                flow = LogDensityFlow(problem.system.flow(unit_mesh(MPI.COMM_WORLD, dim, h)), degree)
                scheme = LogDensity(flow, DIRECT)
                steps = max(4, int(np.ceil(0.3 / h ** (1.0 if degree == 1 else 1.5))))
                once, twice = (problem.march(flow, scheme, n) for n in (steps, 2 * steps))
                errors.append(problem.quadrature_error(flow, 2.0 * twice - once))
            row = [f"{errors[0]:.1e}", f"{errors[-1]:.1e}", f"{slope(hs[: len(errors)], errors):.2f}"]
            report.row(problem.system.name, f"{dim}D", f"log-density, k = {degree}", *row, "–", "–")


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    report = Report(args.output)
    errors = ("coarsest error", "finest error", "order in h")
    report.head("system", "mesh", "flux", *errors, "backward Euler, order in τ", "BDF2, order in τ")
    sizes = QUICK if args.quick else SIZES
    for system in (TwoComponents(), Signal(), Ions(1.0), Ions(2.0)):
        problem = Problem(system)
        edge_averaged(report, problem, sizes, args.quick)
        if system.name == "ions, m = 1":
            log_density(report, problem, {d: hs for d, hs in sizes.items() if d < 3}, args.quick)
    report.close()


if __name__ == "__main__":
    main()
