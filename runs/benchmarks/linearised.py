"""Conjugate gradients for the linearised JKO problem: iterations to a relative 1e-8.

    [mpiexec -n 2] python runs/benchmarks/linearised.py [--pair NAME] [--finest N] [--quick]

Unit square with n² squares of two triangles, φ = cos πx cos πy, q = exp(log(contrast) (1 + cos πx cos πy)/2),
terminal cost "paper" (E'' = 1/q), smooth and rough loads. Δt makes the displacement Δt max|∇φ|, as a share
of the domain. "plain" and "follow" are the iterations with the two preconditioners, "plain" only where the
displacement is large; "×" is the largest number of iterations of "follow" in a block over the smallest. The
seconds, of a set-up and a solve with "follow", and with MUMPS for all equations at once, include no
compilation. "!" marks what did not converge.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from common import Report, arguments
from mpi4py import MPI

# isort: split
import ufl
from dolfinx import fem
from ufl.core.expr import Expr

from fem_models.linearised_jko.loads import LoadAssembly, Loads, Minimiser
from fem_models.linearised_jko.problem import LinearisedJko
from fem_models.linearised_jko.saddle_point import SaddlePoint
from fem_models.linearised_jko.solver import LinearisedSettings, LinearisedSolver
from fem_models.meshes import domains as meshes

PAIRS = ("P1-DG0", "P2-DG1", "DG0-RT1", "DG1-RT2")
# The finest mesh of a block in h, by the size of the pairs.
LEVELS = {"P1-DG0": 256, "P2-DG1": 128, "DG0-RT1": 128, "DG1-RT2": 64}
SLABS = (1, 2, 4, 8, 16)
CONTRASTS = (1.0, 1e2, 1e4, 1e6)
SMALL, LARGE = 0.02, 0.3
# Where one of h, S and the contrast varies, the others are these.
USUAL_SLABS, USUAL_CONTRAST = 4, 1e4
# Cells of a side up to which MUMPS is run, in the blocks in h: its time is the limit.
DIRECT_UP_TO = 16

Problem = tuple[LinearisedJko, Loads]
Case = tuple[int, int, float, float]
"""Cells of a side, slabs, contrast and displacement."""


def problem(pair: str, n: int, slabs: int, contrast: float, displacement: float) -> Problem:
    """A linearised problem, and loads with all wave lengths."""

    def wave(x: Expr) -> Expr:
        return ufl.cos(math.pi * x[0]) * ufl.cos(math.pi * x[1])

    mesh = meshes.build(MPI.COMM_WORLD, "rectangle", cells=[n, n]).mesh
    # A constant of DOLFINx: one compiled form for all contrasts.
    half = fem.Constant(mesh, 0.5 * math.log(contrast))
    linearised = LinearisedJko(
        mesh,
        pair,
        q=lambda x, s: ufl.exp(half * (1.0 + wave(x))),
        phi=lambda x, s: wave(x),
        duration=displacement / math.pi,
        slabs=slabs,
        C=1.0,
    )
    loads = LoadAssembly(linearised)(
        lambda x: ufl.sin(31.0 * x[0] + 11.0 * x[1]) + ufl.cos(200.0 * x[0] * x[1])
    )
    return linearised, loads


def timed[Found](call: Callable[..., Found], *arguments: Any) -> tuple[Found, float]:
    """What a call gives, and its seconds on the slowest rank."""
    MPI.COMM_WORLD.Barrier()
    begin = time.perf_counter()
    found = call(*arguments)
    return found, MPI.COMM_WORLD.allreduce(time.perf_counter() - begin, op=MPI.MAX)


def iterations(
    linearised: LinearisedJko, loads: Loads, preconditioner: Literal["plain", "follow"]
) -> tuple[int, str, float]:
    """Iterations, marked where they are no solution, and seconds with the set-up."""
    solver, setup = timed(LinearisedSolver, linearised, LinearisedSettings(preconditioner))
    found, seconds = timed(solver.solve, loads)
    return found.iterations, "!" if found.direct else "", setup + seconds


def direct_solution(linearised: LinearisedJko, loads: Loads) -> Minimiser:
    """The solution by MUMPS."""
    return SaddlePoint(linearised).solve(loads)


def block(report: Report, what: str, pair: str, cases: Sequence[Case]) -> None:
    """Rows in which one quantity varies."""
    rows, least, most = [], math.inf, 0
    for n, slabs, contrast, displacement in cases:
        linearised, loads = problem(pair, n, slabs, contrast, displacement)
        follow, failed, _ = iterations(linearised, loads, "follow")
        # Once more: what was compiled is there now.
        *_, seconds = iterations(linearised, loads, "follow")
        plain = "–"
        if displacement > SMALL:
            plain = "{}{}".format(*iterations(linearised, loads, "plain"))
        direct = "–"
        if what == "h" and n <= DIRECT_UP_TO:
            direct = f"{timed(direct_solution, linearised, loads)[1]:.2g}"
        least, most = min(least, follow), max(most, follow)
        rows.append((n, slabs, contrast, displacement, f"{follow}{failed}", plain, seconds, direct))
    for n, slabs, contrast, displacement, follows, plain, seconds, direct in rows:
        report.row(
            pair,
            what,
            f"{n}",
            f"{slabs}",
            f"{contrast:g}",
            f"{displacement:g}",
            follows,
            f"{most / least:.2f}",
            plain,
            f"{seconds:.2g}",
            direct,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark alone."""
    parser.add_argument("--pair", choices=PAIRS, action="append", help="one pair alone; may be repeated")
    parser.add_argument("--finest", type=int, help="n of the finest of five meshes")


def main() -> None:
    """Print the table."""
    args = arguments(__doc__, add_arguments)
    report = Report(args.output)
    report.line(f"Ranks: {MPI.COMM_WORLD.size}")
    report.head(
        "pair",
        "varied",
        "n",
        "S",
        "contrast",
        "displacement",
        "follow",
        "×",
        "plain",
        "follow [s]",
        "MUMPS [s]",
    )
    for pair in args.pair or (PAIRS[::2] if args.quick else PAIRS):
        finest = 8 if args.quick else args.finest or LEVELS[pair]
        levels = [finest // 2**i for i in range(1 if args.quick else 4, -1, -1)]
        usual = levels[len(levels) // 2]
        slabs, contrasts = (SLABS[1:3], CONTRASTS[1:3]) if args.quick else (SLABS, CONTRASTS)
        for displacement in (LARGE,) if args.quick else (SMALL, LARGE):
            cases = {
                "h": [(n, USUAL_SLABS, USUAL_CONTRAST, displacement) for n in levels],
                "S": [(usual, s, USUAL_CONTRAST, displacement) for s in slabs],
                "contrast": [(usual, USUAL_SLABS, c, displacement) for c in contrasts],
            }
            for what, rows in cases.items():
                block(report, what, pair, rows)
    report.close()


if __name__ == "__main__":
    main()
