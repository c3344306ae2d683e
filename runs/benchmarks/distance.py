"""Errors of W₂ between computed densities against h and S, with closed forms, and its time, on one core.

    python runs/benchmarks/distance.py [--quick] [--output FILE]

Densities on [-1, 1]^d with mass 1: Gaussians of widths 0.18 and 0.12, their centres 0.25 apart; the profile
(1 - |x|²/R²)₊ with R = 0.4 and its dilation by 2; that with R = 0.5 and its translation by 0.5. Errors are
relative, with their sign, and those of the nodal values are among them; an order is that from one mesh to the
next, where the sign is the same. The first row has the time to compile.
"""

import math

from common import Report, arguments, one_core

# isort: split
import numpy as np
from dolfinx import fem
from mpi4py import MPI

from fem_models.exact.distances import dilation_square, gaussian_square, translation_square
from fem_models.exact.profiles import Barenblatt, Gaussian
from fem_models.jko.wasserstein import wasserstein
from fem_models.meshes import domains as meshes
from fem_models.nodal.edges import EdgeGeometry

DOMAINS = {1: "interval", 2: "rectangle", 3: "box"}
# Dimension, cells along each axis, slabs.
IN_H = {
    1: ((16, 4), (32, 8), (64, 16), (128, 32)),
    2: ((16, 2), (32, 4), (64, 8)),
    3: ((6, 2), (9, 3), (12, 4)),
}
IN_SLABS = {2: ((64, 2), (64, 3), (64, 4), (64, 6), (64, 8))}
QUICK_IN_H = {1: ((16, 4), (32, 8)), 2: ((8, 2), (12, 3))}
QUICK_IN_SLABS = {2: ((12, 2), (12, 3))}


def problems(dim: int) -> dict:
    """Two densities and W₂² between them, by name."""
    left, right = ((sign * 0.25,) + (0.0,) * (dim - 1) for sign in (-1.0, 1.0))
    gaussians = Gaussian.isotropic(left, 0.18), Gaussian.isotropic((0.0,) * dim, 0.12)
    profile = Barenblatt(2.0, dim, 1.0, 0.4)
    square = dilation_square(2.0, profile.second_moment / profile.mass)
    moved = tuple(Barenblatt(2.0, dim, 1.0, 0.5, center) for center in (left, right))
    return {
        "Gaussians": (*gaussians, gaussian_square(*gaussians)),
        "dilation": (profile, profile.dilated(2.0), square),
        "translation": (*moved, translation_square([0.5])),
    }


def rows(report: Report, cases: dict, with_order: bool) -> None:
    """A row for each problem, mesh and number of slabs."""
    for dim, pairs in cases.items():
        for name, (first, second, square) in problems(dim).items():
            errors = []
            for cells, slabs in pairs:
                mesh = meshes.build(
                    MPI.COMM_WORLD, DOMAINS[dim], lower=[-1.0] * dim, upper=[1.0] * dim, cells=[cells] * dim
                ).mesh
                space = fem.functionspace(mesh, ("Lagrange", 1))
                volumes = EdgeGeometry(space, lumping="cells").volumes
                x = space.tabulate_dof_coordinates().T
                ends = [density(x) for density in (first, second)]
                found = wasserstein(space, *(d / (volumes @ d) for d in ends), slabs=slabs)
                errors.append((2.0 / cells, found.distance / math.sqrt(square) - 1.0))
                report.row(
                    f"{dim}D, {name}",
                    f"{cells}",
                    f"{slabs}",
                    f"{100.0 * errors[-1][1]:+.3f} %",
                    order(errors[-2:]) if with_order else "",
                    f"{found.iterations}",
                    f"{found.seconds:.1f}",
                )


def order(errors: list[tuple[float, float]]) -> str:
    """The order of the last two errors."""
    if len(errors) < 2:
        return ""
    (coarse, first), (fine, second) = errors
    if first * second <= 0.0:
        return "–"
    return f"{np.log(abs(first / second)) / np.log(coarse / fine):.1f}"


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__)
    one_core()
    report = Report(args.output)
    columns = ("problem", "cells along an axis", "S", "error of W₂", "order", "Newton iterations", "seconds")
    report.line("h and 1/S together")
    report.head(*columns)
    rows(report, QUICK_IN_H if args.quick else IN_H, True)
    report.line()
    report.line("S alone")
    report.head(*columns)
    rows(report, QUICK_IN_SLABS if args.quick else IN_SLABS, False)
    report.close()


if __name__ == "__main__":
    main()
