"""Steps of adaptive control against equal steps of the same error, for flows with several time scales.

    python runs/benchmarks/step_control.py [--quick] [--output FILE]
    mpiexec -n 2 python runs/benchmarks/step_control.py

Four flows, each by one scheme on one mesh: a Barenblatt profile of ∂tρ = Δρ² that spreads from a small disk,
example 4.4 of Bruna, Burger and Carrillo with its two time scales, Keller and Segel's model with the mass
40π, which concentrates at t = 0.5 in a few cells and whose signal fills the domain until 1/κ = 10, and
Poisson–Nernst–Planck from uniform densities, whose Debye layers form at once and whose potentials are filled
slowly. Errors are those of time: the largest L¹ distance, relative to the mass, over the fields and the
output times, from steps with a tolerance 30 times smaller. "steps" counts those that were rejected, and
"solves" also both halves of steps that were taken twice. The number of equal steps with the error of the
adaptive ones is interpolated between numbers that are doubled, and that with "≥" is the largest that was
tried. All quantities are dimensionless.
"""

from typing import Any

from common import Report, arguments, one_core

# isort: split
import numpy as np
from mpi4py import MPI

from fem_models.config.io import from_dict
from fem_models.run.build import build_mesh
from fem_models.run.clock import planned
from fem_models.run.diagnostics import Diagnostics
from fem_models.run.step_control import AdaptiveSteps, stepping

COMM = MPI.COMM_WORLD
# The tolerance of the reference, as a share of that of the run.
FINER = 1.0 / 30.0

POROUS = {
    "mesh": {"domain": "rectangle", "lower": [-1, -1], "upper": [1, 1], "h": 0.1},
    "system": {"name": "fokker-planck", "m": 2},
    "initial": {"rho": "max(0.02 - r**2, 0)", "mass": 1},
    "time": {"end": 0.5},
    "output": {"field_times": [0.0001, 0.001, 0.01, 0.1, 0.5]},
}
VOLCANO = {
    "mesh": {"domain": "rectangle", "lower": [-0.5, -0.5], "upper": [0.5, 0.5], "h": 0.05},
    "system": {
        "name": "excluded-volume",
        "potential": "-4.5*exp(-2*s*r**2) + 3.5*exp(-s*r**2)",
        "interaction": "power-law",
        "exponent": 4,
        "particles": 1000,
        "diameter": 0.01,
    },
    "initial": {"rho": "(1 + 0.6*y/max(r, 1e-12)) * exp(-(r - mu)**2/(2*sigma**2))", "mass": 1},
    "parameters": {"s": 25, "mu": 0.3, "sigma": 0.05},
    "time": {"end": 0.2},
    "output": {"field_times": [0.0005, 0.0025, 0.0125, 0.05, 0.2]},
}
BLOW_UP = {
    "mesh": {"domain": "disk", "radius": 4, "h": 0.2},
    "system": {"name": "chemotaxis", "m": 1, "epsilon": 1, "kappa": 0.1, "phi": "-c"},
    "initial": {"rho": "exp(-r**2/2)", "c": "0*x", "mass": {"rho": 125.66370614359172}},
    "time": {"end": 10.0},
    "output": {"field_times": [0.1, 0.4, 0.5, 0.55, 0.7, 3.0, 10.0]},
}
LAYERS = {
    "mesh": {"domain": "interval", "lower": [-1], "upper": [1], "cells": [200]},
    "system": {
        "name": "poisson-nernst-planck",
        "permittivity": 0.001,
        "ions": [
            {"name": "u", "valence": 1, "potential": "2*x"},
            {"name": "v", "valence": -1, "potential": "2*x + x**2"},
        ],
    },
    "initial": {"u": "1", "v": "1", "mass": 2},
    "time": {"end": 2.0},
    "output": {"field_times": [0.0001, 0.001, 0.01, 0.1, 2.0]},
}
CASES = {
    "porous medium": (POROUS, 1e-3),
    "example 4.4": (VOLCANO, 1e-3),
    "Keller–Segel, 40π": (BLOW_UP, 3e-4),
    "PNP, Debye layers": (LAYERS, 1e-3),
}

COARSE = {"domain": "interval", "lower": [-1], "upper": [1], "cells": [60]}
QUICK = {"porous medium": ({**POROUS, "mesh": COARSE}, 3e-3)}


class Flow:
    """A flow, by one scheme.

    Args:
        tables: Its run file, but for the steps.
        scheme: The scheme.
    """

    def __init__(self, tables: dict[str, Any], scheme: str) -> None:
        self._tables, self._scheme = tables, scheme
        self._end = tables["time"]["end"]
        self._mesh = build_mesh(COMM, from_dict(self._of({"step": self._end})).mesh)

    def _of(self, times: dict[str, Any]) -> dict[str, Any]:
        table = {"scheme": self._scheme, "flux": "average", **self._tables["time"], **times}
        return {**self._tables, "time": table}

    def adaptive(self, tolerance: float) -> tuple[np.ndarray, int, int]:
        """States at the output times, steps and solves with a tolerance."""
        first = 1e-3 * self._tables["output"]["field_times"][0]
        return self._run({"control": "adaptive", "tolerance": tolerance, "step": first})

    def fixed(self, count: int) -> np.ndarray:
        """States at the output times with about so many equal steps."""
        return self._run({"step": self._end / count})[0]

    def _run(self, times: dict[str, Any]) -> tuple[np.ndarray, int, int]:
        config = from_dict(self._of(times))
        problem = config.system.problem(config, self._mesh)
        model: Any = problem.model
        diagnostics = Diagnostics(model, problem.scheme, problem.initial, 0.0)
        clock = planned(config.time, config.output)
        stepper = stepping(problem, config.time, clock, diagnostics)
        states, steps = [], 0
        for tick, step in stepper.steps(0, 0.0, problem.initial):
            diagnostics.step(tick, step)
            steps += 1 + step.retried
            if tick.marked:
                states.append(step.state[: model.owned])
        self._volumes, self._kept = model.geometry.volumes[: model.owned], model.transported
        doubled = 0
        if isinstance(stepper, AdaptiveSteps):
            doubled = stepper.summary()["step_control"]["doubled_steps"]
        return np.array(states), steps, steps + 2 * doubled

    def error(self, states: np.ndarray, exact: np.ndarray) -> float:
        """The largest relative L¹ distance of densities."""
        local = np.array(
            [
                np.einsum("i,tis->ts", self._volumes, np.abs(states - exact)),
                np.einsum("i,tis->ts", self._volumes, np.abs(exact)),
            ]
        )
        distance, size = COMM.allreduce(local)[..., self._kept]
        return float((distance / size).max())


def equal_steps(flow: Flow, exact: np.ndarray, error: float, first: int, most: int) -> tuple[float, bool]:
    """How many equal steps have an error, and whether so many were enough."""
    count, before = first, (0, 0.0)
    while True:
        found = flow.error(flow.fixed(count), exact)
        if found <= error:
            if before[0] == 0:
                return float(count), True
            share = np.log(before[1] / error) / np.log(before[1] / found)
            return float(before[0] * (count / before[0]) ** share), True
        if count >= most:
            return float(count), False
        before, count = (count, found), 2 * count


def main() -> None:
    """Print the table."""
    options = arguments(__doc__ or "")
    report = Report(options.output)
    one_core()
    report.head("flow", "scheme", "tolerance", "error", "steps", "solves", "equal steps", "times fewer")
    cases = QUICK if options.quick else CASES
    for name, (tables, tolerance) in cases.items():
        for scheme in ("bdf2",) if options.quick else ("backward-euler", "bdf2"):
            flow = Flow(tables, scheme)
            states, steps, solves = flow.adaptive(tolerance)
            exact, _, _ = flow.adaptive(FINER * tolerance)
            error = flow.error(states, exact)
            most = (4 if options.quick else 16) * steps
            count, enough = equal_steps(flow, exact, error, max(1, steps // 2), most)
            times = f"{'' if enough else '≥ '}{count / solves:.1f}"
            number = f"{'' if enough else '≥ '}{count:.0f}"
            report.row(name, scheme, f"{tolerance:g}", f"{error:.1e}", f"{steps}", f"{solves}", number, times)
    report.close()


if __name__ == "__main__":
    main()
