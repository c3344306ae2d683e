"""Orders, mass and energy of ∂tρ = div(ρ^{-α}∇ρ) on tori and on a disk.

    python runs/benchmarks/fast_diffusion.py [--quick] [--output FILE]

(1.3) of Evans, Morris and Yoldaş with the average flux. On a circle of length 2, from a density whose
largest value is 10 times the least, against a spectral method (`fem_models.exact.fast_diffusion`); on
unstructured meshes of the unit torus, the same as an oblique wave: its profile is that of the circle, in
eight times the time. On the unit disk α = ½ begins with a source solution of width 0.2 at time 1, whose
tails r^{-4} meet the wall at once: a spectral method knows the solution with the wall ("whole"), and for r
< 0.3 it is the source solution to 1e-8 ("r < 0.3"). Errors are relative L¹ distances at the nodes at t =
0.02 (circle), 0.0025 (torus) and 0.05 (disk), orders in h are those of BDF2 with τ ~ h, and an order is the
slope of a straight line on log axes. Orders in τ: from BDF2 with many steps on one mesh of the circle. Mass
drift and energy increase are the largest of all steps of all these runs, relative to the mass and to the
energy above that of the mean; a negative increase says that the energy fell in every step. The last column
has the Newton iterations of backward Euler from a jump by a factor of 1000 to the mean, with τ = 100: those
of the first step, and of five.
"""

from common import SCHEMES, Report, arguments, slope

# isort: split
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.exact.barenblatt import SourceSolution
from fem_models.exact.fast_diffusion import on_disk, on_interval
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.linalg.newton import NewtonSettings
from fem_models.meshes import domains as meshes
from fem_models.systems.fast_diffusion import fast_diffusion

Array = npt.NDArray[np.float64]
Density = Callable[[Array], Array]

ALPHAS = (-2.0, -1.0, 0.5, 1.0, 2.0)
ENDS = {"circle": 0.02, "torus": 0.0025, "disk": 0.05}
# Cells of the circle, mesh sizes of the torus and of the disk.
SIZES = {
    "circle": (32, 64, 128, 256),
    "torus": (1 / 16, 1 / 24, 1 / 36, 1 / 54),
    "disk": (0.1, 0.07, 0.05, 0.035),
}
QUICK = {"circle": (32, 64), "torus": (1 / 16, 1 / 24), "disk": (0.1, 0.05)}
DIRECT = NewtonSettings(linear="direct")
SOURCE = SourceSolution.of_radius(0.5, 2, 0.2, 1.0)


def even(x: Array) -> Array:
    """The first density on half a period, [0, 1]."""
    return np.exp(0.5 * math.log(10.0) * np.cos(np.pi * x))


def folded(x: Array) -> Array:
    """The place in the half period that an even function of the period 2 takes its value from."""
    return np.abs((x + 1.0) % 2.0 - 1.0)


def source(r: Array, time: float) -> Array:
    """The source solution at distances from its centre."""
    return SOURCE(np.stack([r, 0.0 * r]), time)


class March:
    """Equal steps of a scheme, with what its laws say."""

    def __init__(self, flow: GradientFlow, first: Density, scheme: str, steps: int, end: float) -> None:
        state = flow.state(first)
        mass, energy = flow.masses(state)["rho"], flow.energy(state)
        size = energy - flow.energy(np.full_like(state, mass / flow.volume))
        stepper = SCHEMES[scheme](flow, "average", DIRECT)
        self.drift, self.increase, self.newton = 0.0, -math.inf, []
        for _ in range(steps):
            step = stepper.step(state, end / steps)
            state, old = step.state, energy
            energy = flow.energy(state)
            self.newton.append(step.newton)
            self.drift = max(self.drift, abs(flow.masses(state)["rho"] / mass - 1.0))
            self.increase = max(self.increase, (energy - old) / size)
        self.state: State = state


def distance(
    flow: GradientFlow, state: State, exact: Array, where: npt.NDArray[np.bool_] | None = None
) -> float:
    """Σ_i m_i |ρ_i - exact_i| over the mass, at all nodes or at some."""
    weights = flow.geometry.volumes if where is None else np.where(where, flow.geometry.volumes, 0.0)
    return flow.integral(weights * np.abs(state[:, 0] - exact)) / flow.integral(weights * exact)


def flows(domain: str, alpha: float, sizes: Sequence[float]) -> list[GradientFlow]:
    """The flow on meshes of the domain."""
    comm, found = MPI.COMM_WORLD, []
    for size in sizes:
        if domain == "circle":
            marked = meshes.build(comm, "torus", lengths=[2.0], cells=[int(size)])
        elif domain == "torus":
            marked = meshes.build(comm, "torus", lengths=[1.0, 1.0], h=size)
        else:
            marked = meshes.build(comm, "disk", h=size)
        found.append(fast_diffusion(marked.mesh, alpha))
    return found


def problem(domain: str, alpha: float) -> tuple[Density, dict[str, Density]]:
    """The first density, and the last one with a name for where it is compared, as functions of points."""
    if domain == "disk":
        found = on_disk(alpha, lambda q: source(np.sqrt(q), 1.0), ENDS[domain], 80)
        return lambda x: SOURCE(x, 1.0), {
            "whole": lambda x: found(np.minimum((x**2).sum(axis=0), 1.0))[:, 0],
            # ∂tρ = Δρ^½ in twice the time.
            "r < 0.3": lambda x: SOURCE(x, 1.0 + 2.0 * ENDS[domain]),
        }
    # With s = 2(x + y), ∂_x² + ∂_y² is 8 ∂_s²: the wave has the period 2 in s.
    profile = on_interval(alpha, even, ENDS["circle"], 36)
    place = (lambda x: x[0]) if domain == "circle" else (lambda x: 2.0 * (x[0] + x[1]))
    return lambda x: even(folded(place(x))), {"": lambda x: profile(folded(place(x)))[:, 0]}


def in_tau(flow: GradientFlow, first: Density, end: float, quick: bool) -> tuple[list[str], list[March]]:
    """Orders of backward Euler and BDF2, and their runs."""
    counts, many = ((8, 16), 128) if quick else ((10, 20, 40, 80), 640)
    reference = March(flow, first, "bdf2", many, end).state[:, 0]
    orders, runs = [], []
    for scheme in ("backward-euler", "bdf2"):
        marches = [March(flow, first, scheme, count, end) for count in counts]
        gaps = [distance(flow, march.state, reference) for march in marches]
        orders.append(f"{-slope(counts, gaps):.2f}")
        runs += marches
    return orders, runs


def jump(flow: GradientFlow) -> str:
    """Newton iterations of large steps from a jump."""
    march = March(flow, lambda x: np.where(folded(x[0]) < 0.4, 1.0, 1e-3), "backward-euler", 5, 500.0)
    return f"{march.newton[0]} of {sum(march.newton)}"


def rows(report: Report, domain: str, alpha: float, quick: bool) -> None:
    """The rows of one exponent on one domain."""
    end, sizes = ENDS[domain], (QUICK if quick else SIZES)[domain]
    first, lasts = problem(domain, alpha)
    made = flows(domain, alpha, sizes)
    hs = [2.0 / size if domain == "circle" else size for size in sizes]
    marches = [
        March(flow, first, "bdf2", math.ceil((20 if domain == "disk" else 16) * hs[0] / h), end)
        for flow, h in zip(made, hs, strict=True)
    ]
    orders, runs = in_tau(made[0], first, end, quick) if domain == "circle" else (["–", "–"], [])
    runs += marches
    for name, exact in lasts.items():
        errors = []
        for flow, march in zip(made, marches, strict=True):
            near = np.hypot(*flow.points.T) < 0.3 if name == "r < 0.3" else None
            errors.append(distance(flow, march.state, exact(flow.points.T), near))
        report.row(
            f"{alpha:g}",
            f"{domain}, {name}" if name else domain,
            f"{errors[0]:.1e}",
            f"{errors[-1]:.1e}",
            f"{slope(hs, errors):.2f}",
            *orders,
            f"{max(run.drift for run in runs):.0e}",
            f"{max(run.increase for run in runs):.0e}",
            jump(made[0]) if domain == "circle" else "–",
        )


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    report = Report(args.output)
    in_h = ("coarsest error", "finest error", "order in h")
    in_steps = ("backward Euler, order in τ", "BDF2, order in τ")
    report.head("α", "domain", *in_h, *in_steps, "mass drift", "energy increase", "Newton, jump")
    for domain in ("circle", "torus"):
        for alpha in (0.5, 1.0) if args.quick and domain == "torus" else ALPHAS:
            rows(report, domain, alpha, args.quick)
    rows(report, "disk", 0.5, args.quick)
    report.close()


if __name__ == "__main__":
    main()
