"""One JKO step against steps in closed form, over mesh, slabs, step and dimension, beside backward Euler's.

    python runs/benchmarks/jko_exact.py [--quick] [--output FILE]

The variance σ'² after a step of ∫ρ log ρ + 2|x|²ρ from the Gaussian N(0, I), the dilation s' of a Barenblatt
profile of radius 1 in a step of ∫ρ², and the mean after a translation by the potential b·x with the slope
b = (1, 0.5, 0.25), its first coordinate. Backward Euler takes its step on the finest mesh of the problem.
"""

import itertools
from collections.abc import Callable
from typing import Any

from common import DOMAINS, Report, arguments

# isort: split
import numpy as np
import ufl
from mpi4py import MPI

from fem_models.energies import Boltzmann, Energy, Potential, PowerLaw, Term
from fem_models.exact.jko_steps import fokker_planck_step, linear_potential_step, porous_medium_step
from fem_models.exact.profiles import Barenblatt, Gaussian
from fem_models.flow.gradient_flow import GradientFlow, Species, State
from fem_models.jko.jko_step import Jko
from fem_models.meshes import domains as meshes
from fem_models.schemes.backward_euler import BackwardEuler

CONFINED = Boltzmann() + Potential(lambda x: 2.0 * ufl.dot(x, x))


Case = tuple[GradientFlow, State, Callable[[State], float], float]
"""The flow, the old state, what to measure of a state, and its exact value after the step."""


def flow_on(dim: int, half: float, cells: int, energy: Energy | Term) -> GradientFlow:
    """The flow of one density on (-half, half)^dim, with so many cells along an edge."""
    box: dict[str, Any] = {"lower": [-half] * dim, "upper": [half] * dim, "cells": [cells] * dim}
    mesh = meshes.build(MPI.COMM_WORLD, DOMAINS[dim], **box)
    return GradientFlow(mesh, Species(), energy).with_lumping("cells")


def moment(flow: GradientFlow, state: State) -> float:
    """The second moment."""
    return flow.second_moments(state)["rho"]


def gaussian(dim: int, half: float, cells: int, tau: float) -> Case:
    """The variance of a Gaussian."""
    flow = flow_on(dim, half, cells, CONFINED)
    density = Gaussian.isotropic(np.zeros(dim), 1.0)
    exact = fokker_planck_step(density, 4.0, tau).state.covariance[0, 0]
    return flow, flow.state(density, 1.0), lambda state: moment(flow, state) / dim, exact


def dilation(dim: int, half: float, cells: int, tau: float) -> Case:
    """The dilation of a Barenblatt profile."""
    flow = flow_on(dim, half, cells, PowerLaw(2))
    profile = Barenblatt(2.0, dim, 1.0, 1.0)
    old = flow.state(profile, profile.mass)
    exact = porous_medium_step(profile, tau).state.radius
    return flow, old, lambda state: float(np.sqrt(moment(flow, state) / moment(flow, old))), exact


def translation(dim: int, half: float, cells: int, tau: float) -> Case:
    """The first coordinate of the mean in a linear potential."""
    slope = np.array([1.0, 0.5, 0.25])[:dim]
    flow = flow_on(dim, half, cells, Energy((Potential(lambda x: ufl.dot(ufl.as_vector(list(slope)), x)),)))
    old = flow.state(Barenblatt(2.0, dim, 1.0, 1.0), 1.0)
    exact = linear_potential_step(np.zeros(dim), slope, tau).state[0]
    weights = flow.geometry.volumes[: flow.owned] * flow.points[: flow.owned, 0]

    def mean(state: State) -> float:
        return flow.comm.allreduce(float(weights @ state[: flow.owned, 0]))

    return flow, old, mean, exact


# Problem, dimension, half of an edge, steps τ, cells along an edge, slabs; the last of both are the finest.
CASES = (
    (gaussian, 1, 6.0, (1e-3, 1e-2, 0.1, 0.5, 1.0), (60, 120, 240), (1, 2, 4, 8)),
    (gaussian, 2, 4.0, (1e-2, 0.5), (20, 40), (1, 2, 4)),
    (gaussian, 3, 3.5, (0.5,), (8, 14), (1, 2)),
    (dilation, 1, 3.0, (1e-3, 1e-2, 0.1, 1.0), (60, 120, 240), (1, 2, 4, 8)),
    (dilation, 2, 2.0, (1e-2, 1.0), (20, 40), (1, 2, 4)),
    (dilation, 3, 2.0, (0.1,), (8, 16), (1, 2)),
    (translation, 1, 3.0, (1e-2, 0.1, 1.0), (60, 120), (1, 4)),
    (translation, 2, 2.0, (0.1,), (16, 32), (1, 2)),
    (translation, 3, 2.0, (0.1,), (6, 10), (1,)),
)
QUICK = ((gaussian, 1, 6.0, (0.5,), (60,), (2,)), (dilation, 2, 2.0, (0.1,), (10,), (1,)))


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    report = Report(args.output)
    report.head(
        "problem", "d", "τ", "exact", "backward Euler", "cells along an edge", "slabs", "JKO", "error"
    )
    for build, dim, half, steps, counts, slabs in QUICK if args.quick else CASES:
        for tau in steps:
            flow, old, measure, exact = build(dim, half, counts[-1], tau)
            euler = measure(BackwardEuler(flow, "average").step(old, tau).state)
            # Refine the mesh with the most slabs, and slabs on the finest mesh.
            grid = dict.fromkeys(
                itertools.chain(((n, slabs[-1]) for n in counts), ((counts[-1], S) for S in slabs))
            )
            for cells, count in grid:
                flow, old, measure, exact = build(dim, half, cells, tau)
                found = measure(Jko(flow, slabs=count).step(old, tau).state)
                report.row(
                    *(build.__name__, f"{dim}", f"{tau:g}", f"{exact:.5f}", f"{euler:.5f}", f"{cells}"),
                    *(f"{count}", f"{found:.5f}", f"{found - exact:+.1e}"),
                )
    report.close()


if __name__ == "__main__":
    main()
