"""Run directories written by hand, small enough to draw in a test."""

import json
from pathlib import Path

import numpy as np
from dolfinx import fem, io
from mpi4py import MPI

from fem_models.meshes import domains as meshes

DOMAINS = {
    1: ('domain = "interval"\ncells = 50', {"domain": "interval", "cells": 50}),
    2: ('domain = "disk"\nh = 0.1', {"domain": "disk", "h": 0.1}),
    3: ('domain = "ball"\nh = 0.3', {"domain": "ball", "h": 0.3}),
}
RATE = 12.5


def run_file(dimension: int, output: str = "", species: tuple[str, ...] = ("rho",), tail: str = "") -> str:
    """The text of a run file."""
    if species == ("rho",):
        system = '[system]\nname = "fokker-planck"\n[initial]\nrho = 1'
    else:
        system = '[system]\nname = "gradient-flow"'
        system += "".join(f'\n[[species]]\nname = "{name}"\ninitial = 1' for name in species)
        system += "".join(f'\n[[energy]]\nterm = "boltzmann"\nof = "{name}"' for name in species)
    times = "[time]\nend = 1\nstep = 0.1"
    return f"[mesh]\n{DOMAINS[dimension][0]}\n{system}\n{times}\n[output]\n{output}\n{tail}"


def write_run(
    directory: Path,
    dimension: int,
    output: str = "",
    species: tuple[str, ...] = ("rho",),
    tail: str = "",
    times=(0.0, 0.05, 0.1, 0.2, 0.4, 1.0),
    static: bool = True,
    rate: float = RATE,
    mesh=None,
) -> Path:
    """Write a run directory, on all ranks, whose density relaxes to a Gaussian around the origin."""
    if MPI.COMM_WORLD.rank == 0:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "run.toml").write_text(run_file(dimension, output, species, tail))
        write_series(directory, species, rate)
        summary = {"energy": {"initial": 1.0, "steady": -0.5 if static else None}}
        (directory / "summary.json").write_text(json.dumps(summary))
    MPI.COMM_WORLD.Barrier()
    if mesh is None:
        mesh = meshes.build(MPI.COMM_WORLD, **DOMAINS[dimension][1]).mesh
    write_fields(directory / "fields.pvd", mesh, times, species, static)
    return directory


def write_series(directory: Path, species: tuple[str, ...] = ("rho",), rate: float = RATE, steps: int = 200):
    """A relative energy of exp(-rate t) + exp(-4 rate t) over the steady energy -0.5, in two terms."""
    time = np.linspace(0.0, 1.0, steps + 1)
    value = np.exp(-rate * time) + np.exp(-4 * rate * time)
    columns = {"step": np.arange(steps + 1), "time": time, "dt": np.full(steps + 1, 1 / steps)}
    columns |= {"energy": value - 0.5, "entropy": value - 2.0, "potential": np.full(steps + 1, 1.5)}
    columns["dissipation"] = rate * value
    for name in species:
        columns |= {f"mass_{name}": 1 + 0 * time, f"min_{name}": 0 * time, f"max_{name}": 1 + 0 * time}
    columns |= {"newton": 3 + 0 * time, "linear": 9 + 0 * time}
    table = np.column_stack(list(columns.values()))
    lines = [",".join(columns), *(",".join(repr(float(entry)) for entry in row) for row in table)]
    (directory / "series.csv").write_text("\n".join(lines) + "\n")


def density(x, t: float, number: int = 0):
    """The density that `write_run` writes, at points of shape (3, n)."""
    centre = 0.4 * np.exp(-3.0 * t) * (-1) ** number
    width = 0.05 + 0.3 * (1.0 - np.exp(-3.0 * t))
    return np.exp(-((x[0] - centre) ** 2 + x[1] ** 2 + x[2] ** 2) / (2 * width)) / (1 + number)


def potential(x):
    """The potential that `write_run` writes."""
    return 5.0 * (x[0] ** 2 + x[1] ** 2 + x[2] ** 2)


def write_fields(path: Path, mesh, times, species=("rho",), static: bool = True) -> None:
    """Write the densities and, if asked, a potential and steady states."""
    space = fem.functionspace(mesh, ("Lagrange", 1))
    functions = [fem.Function(space, name=name) for name in species]
    fixed = []
    if static:
        fixed = [fem.Function(space, name=name) for name in ("V", *(f"{name}_steady" for name in species))]
        fixed[0].interpolate(potential)
        for number, function in enumerate(fixed[1:]):
            function.interpolate(lambda x, number=number: density(x, 5.0, number))
    with io.VTKFile(mesh.comm, path, "w") as file:
        for time in times:
            for number, function in enumerate(functions):
                function.interpolate(lambda x, number=number, time=time: density(x, time, number))
            file.write_function([*functions, *fixed], time)
