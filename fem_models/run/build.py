"""From a run file to what a run works on: the mesh, the gradient flow, the initial state, exact solutions.

Everything that can be wrong with the input beyond the run file itself is found here, before anything is
written. Every number is dimensionless.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.config import tables
from fem_models.config.flows import build_flow, formula
from fem_models.config.run_file import RunConfig
from fem_models.config.system_tables import COORDINATES
from fem_models.config.types import FrozenDict
from fem_models.core.errors import InputError
from fem_models.expressions import Expression
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.flow.log_density import LogDensityFlow
from fem_models.flow.lower_bound import check_bounded
from fem_models.mesh import domains as meshes
from fem_models.mesh.marks import MarkedMesh
from fem_models.run.clock import Clock

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """What one run works on.

    Attributes:
        config: The run file.
        flow: The gradient flow on its mesh.
        clock: The steps.
        initial: The initial state, shape (nodes, species).
        masses: The masses of the Wasserstein species.
        potentials: External potentials at the nodes that vary, shape (nodes,), by the names they are written
            with: V, or V_SPECIES where there are several species.
        exact: Exact densities by species, expressions in the coordinates and t.
    """

    config: RunConfig
    flow: GradientFlow
    clock: Clock
    initial: State
    masses: Mapping[str, float]
    potentials: Mapping[str, Values]
    exact: Mapping[str, Expression]


def build_mesh(comm: MPI.Comm, table: tables.Mesh) -> MarkedMesh:
    """Build or read the mesh of a run file. Collective.

    Args:
        comm: The communicator over which the cells are shared out.
        table: The table [mesh].

    Returns:
        A mesh of simplices with its named parts.

    Raises:
        InputError: The mesh cannot be made, or has fewer cells than there are ranks.
    """
    if table.file is not None:
        return meshes.from_file_marked(comm, table.file, h=table.h, parameters=table.parameters)
    keys = ("lower", "upper", "radius", "center", "cells", "h")
    return meshes.build_marked(comm, str(table.domain), **{key: getattr(table, key) for key in keys})


def build(config: RunConfig, mesh: MarkedMesh) -> Problem:
    """Build the problem of a run file on its mesh. Collective.

    Args:
        config: The run file.
        mesh: Its mesh, from `build_mesh`.

    Returns:
        The problem, checked: all expressions are finite on the mesh, densities are densities.

    Raises:
        InputError: An expression that is not finite on the mesh or names a coordinate it lacks, an initial
            density that is negative or zero everywhere, a profile outside the mesh, a step that is too small,
            an energy without a lower bound for minimising movements.
    """
    clock = Clock(config.time.start, config.time.end, config.time.step, config.output.field_times or ())
    _check_profile(config, mesh.mesh)
    flow = build_flow(config, mesh)
    if config.time.discretization == "log-density":
        flow = LogDensityFlow(flow, config.time.degree)
    for where, text in _potential_texts(config):
        _finite(flow, formula(config, text, where), where)
    masses = _masses(config)
    initial = _initial(config, flow, masses)
    initial = flow.settled(initial)
    exact = {name: formula(config, text, f"[exact] {name}", ("t",)) for name, text in config.exact.items()}
    for name, expression in exact.items():
        _finite(flow, expression, f"[exact] {name}", config.time.end)
    for name, value in flow.energy_terms(initial).items():
        if not np.isfinite(value):
            raise InputError(
                f"The energy term {name} is not finite for the initial density; change its expression or the "
                "density."
            )
    if config.time.minimises:
        check_bounded(flow, initial)
    return Problem(
        config,
        flow,
        clock,
        initial,
        {s.name: masses[s.name] for s in flow.species if s.metric == "wasserstein"},
        _varying_potentials(flow),
        exact,
    )


def _potential_texts(config: RunConfig) -> Iterator[tuple[str, str]]:
    """The external potentials of a run file: their key and their text."""
    for key, text, variables in config.system.formulas():
        # Kernels are of differences, and electrodes have their values at the boundary.
        if variables == COORDINATES and not key.startswith(("kernel", "electrodes")):
            yield f"[system] {key}", text
    for number, entry in enumerate(config.energy, start=1):
        if isinstance(entry, tables.PotentialTerm):
            yield f"[[energy]] #{number} V", entry.V


def _finite(flow: GradientFlow, expression: Expression, where: str, time: float | None = None) -> Values:
    """The values of an expression at the nodes, shape (nodes,).

    Raises:
        InputError: A value is not finite; every rank raises it.
    """
    values = expression.numpy(flow.points.T, t=time)
    bad = np.flatnonzero(~np.isfinite(values))
    first = tuple(flow.points[bad[0]]) if len(bad) else None
    found = [point for point in flow.comm.allgather(first) if point is not None]
    if found:
        point = ", ".join(f"{coordinate:.6g}" for coordinate in min(found))
        when = "" if time is None else f" at t = {time:g}"
        raise InputError(
            f"{where} = {expression.text!r} is not finite on the mesh, for example at ({point}){when}; "
            "change the expression or the domain."
        )
    return values


def _varying_potentials(flow: GradientFlow) -> dict[str, Values]:
    """The external potentials of the densities, but for constant ones."""
    values = flow.external_potentials
    least = flow.reduce(values.min(axis=0, initial=np.inf), MPI.MIN)
    largest = flow.reduce(values.max(axis=0, initial=-np.inf), MPI.MAX)
    found = {}
    for s in np.flatnonzero(flow.transported & (largest > least)):
        name = "V" if len(flow.names) == 1 else f"V_{flow.names[s]}"
        if name not in flow.names:
            found[name] = values[:, s]
    return found


def _masses(config: RunConfig) -> dict[str, float]:
    """The masses to scale to: those of all Wasserstein species, and of others where a mass names them."""
    common = config.initial.mass
    named = set(common) if isinstance(common, FrozenDict) else set()
    named |= {s.name for s in config.species if s.mass is not None}
    free = {name for name, metric in config.fields if metric != "wasserstein"} - named
    return {name: mass for name, mass in config.masses.items() if name not in free}


def _initial(config: RunConfig, flow: GradientFlow, masses: Mapping[str, float]) -> State:
    densities = {
        name: formula(config, text, f"[initial] {name}").numpy
        for name, text in config.initial_expressions.items()
    }
    state = flow.nodal_values(densities)
    found = flow.masses(state)
    for column, name in enumerate(flow.names):
        if name not in masses:
            continue
        factor = masses[name] / found[name] if found[name] else math.inf
        if not 0.0 < factor < math.inf:
            raise InputError(
                f"The mass {masses[name]:g} of {name} cannot be reached by scaling its initial values, which "
                f"have the mass {found[name]:g}; change one of them."
            )
        state[:, column] *= factor
    return state


def _check_profile(config: RunConfig, mesh: Mesh) -> None:
    """Refuse a profile whose ends are not in the bounding box of the mesh."""
    line = config.output.profile
    if line is None:
        return
    dimension = mesh.geometry.dim
    # Ranks without points of their own take part with an empty box.
    points = mesh.geometry.x[:, :dimension]
    lower, upper = np.empty(dimension), np.empty(dimension)
    mesh.comm.Allreduce(points.min(axis=0, initial=np.inf), lower, op=MPI.MIN)
    mesh.comm.Allreduce(points.max(axis=0, initial=-np.inf), upper, op=MPI.MAX)
    for key, point in (("from", line.from_), ("to", line.to)):
        if len(point) != dimension:
            raise InputError(
                f"[output] profile.{key} = {list(point)} must have {dimension} "
                f"{'entry' if dimension == 1 else 'entries'}, as the mesh has dimensions."
            )
        # The facets of a polygonal disk lie a little inside the circle.
        slack = 0.02 * (upper - lower)
        if np.any(np.array(point) < lower - slack) or np.any(np.array(point) > upper + slack):
            box = " and ".join(str([float(f"{c:.6g}") for c in corner]) for corner in (lower, upper))
            raise InputError(
                f"[output] profile.{key} = {list(point)} is outside of the mesh, which lies between {box}."
            )
