"""The peers' benchmark: time to reach the errors of LJKO and of NGSolve, which runs beside it, on one core.

    python runs/benchmarks/peers.py [--ngsolve-python PATH] [--quick] [--output FILE]

∂tρ = Δρ² on the unit square from t = 0.01 to 0.03, Barenblatt's solution with C = 0.05; the error is the
largest L¹ distance ∫|ρ_h - ρ| over all steps, by quadrature, for both codes alike. Times are those of the
loop alone, the least of several runs, after compiled kernels and solvers are warm. LJKO (Octave) is not run:
its error and time are those that are known for this problem on one core.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from common import END, PEERS, START, L1Error, Report, arguments, flow_on, march, one_core, stop, unit_mesh
from mpi4py import MPI

LJKO = {"cells": 14336, "steps": 160, "error": 9.4e-4, "minimum": 0.0, "seconds": 13.7}
# Mesh size and steps for 15550 and 3886 cells.
NGSOLVE = ((0.0122, 160), (0.0245, 80))
# Mesh size, scheme and steps: those that reach LJKO's error, those that reach NGSolve's.
OURS = (
    (0.0300, "bdf2", 16),
    (0.0235, "bdf2", 12),
    (0.0190, "backward-euler", 20),
    (0.0105, "bdf2", 72),
    (0.0105, "bdf2", 80),
    (0.0095, "bdf2", 60),
    (0.0095, "backward-euler", 400),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark alone."""
    parser.add_argument("--ngsolve-python", default=sys.executable, help="a Python that has NGSolve")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the fastest counts (3)")


def check_ngsolve(python: str) -> None:
    """End with one sentence where NGSolve is missing."""
    try:
        found = subprocess.run([python, "-c", "import ngsolve"], capture_output=True, check=False).returncode
    except OSError:
        found = 1
    if found != 0:
        stop(
            "NGSolve is not installed here: run `python -m venv ngs && ngs/bin/pip install ngsolve` and add "
            "`--ngsolve-python ngs/bin/python`, or `pip install fem-models[benchmarks]`."
        )


def run_ngsolve(python: str, maxh: float, steps: int) -> dict:
    """One run of NGSolve in a process of its own."""
    script = Path(__file__).with_name("peers_ngsolve.py")
    command = [python, str(script), str(maxh), str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        stop(f"NGSolve failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_ours(h: float, scheme: str, steps: int, repeat: int) -> dict:
    """The same problem with the average flux."""
    flow = flow_on(unit_mesh(MPI.COMM_SELF, 2, h), PEERS.exponent)
    error = L1Error(flow, PEERS)
    runs = [march(flow, PEERS, scheme, "average", (END - START) / steps, steps) for _ in range(repeat)]
    run = runs[0]
    return {
        "cells": flow.mesh.topology.index_map(2).size_global,
        "steps": steps,
        "error": max(error(state, t) for state, t in zip(run.states, run.times, strict=True)),
        "minimum": min(float(state.min()) for state in run.states),
        "newton": run.newton / steps,
        "seconds": min(run.seconds for run in runs),
    }


def row(report: Report, code: str, result: dict, peers: tuple[dict, ...] = ()) -> None:
    """Print a result, with the factors by which it is faster than peers whose error it reaches."""
    factors = ["–"] * 2
    for k, peer in enumerate(peers):
        if result["error"] <= peer["error"] and result["minimum"] >= 0.0:
            factors[k] = f"{peer['seconds'] / result['seconds']:.0f}"
    newton = f"{result['newton']:.1f}" if "newton" in result else "–"
    report.row(
        code,
        f"{result['cells']}",
        f"{result['steps']}",
        f"{result['error']:.2e}",
        f"{result['minimum']:.1e}",
        newton,
        f"{result['seconds']:.3g}",
        *factors,
    )


def main() -> None:
    """Print the table."""
    args = arguments(__doc__, add_arguments)
    check_ngsolve(args.ngsolve_python)
    one_core()
    report = Report(args.output)
    columns = ("code", "cells", "steps", "L∞L¹ error", "minimum", "Newton per step", "seconds")
    report.head(*columns, "LJKO's time / this", "NGSolve's time / this")
    row(report, "LJKO (Octave), not run here", LJKO)
    cases, repeat = (((0.06, 10),), 1) if args.quick else (NGSOLVE, args.repeat)
    peers = []
    for maxh, steps in cases:
        runs = [run_ngsolve(args.ngsolve_python, maxh, steps) for _ in range(min(repeat, 2))]
        peers.append(min(runs, key=lambda run: run["seconds"]))
        label = f"NGSolve {peers[-1]['version']}, P1 Galerkin, UMFPACK"
        row(report, label, peers[-1])
    for h, scheme, steps in ((0.06, "bdf2", 10),) if args.quick else OURS:
        result = run_ours(h, scheme, steps, repeat)
        row(report, f"fem-models, {scheme}, average", result, (LJKO, peers[0]))
    report.close()


if __name__ == "__main__":
    main()
