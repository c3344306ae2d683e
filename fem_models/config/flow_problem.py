"""What a run of a gradient flow works on: the flow, its initial state, its steady state and its studies.

Everything that can be wrong with the input beyond the run file itself is found here, before anything is
written. Every number is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from dolfinx.fem import Function
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.config.flow_convexity import convexity_table
from fem_models.config.flow_initial import initial_state
from fem_models.config.formulas import COORDINATES, COORDINATES_AND_TIME, formula
from fem_models.config.problem import NODAL_VOLUME, Closing, Companions, Problem
from fem_models.config.schemes import SCHEMES
from fem_models.config.terms import PotentialTerm
from fem_models.core.errors import InputError, SolveError
from fem_models.core.protocols import Study
from fem_models.expressions import Expression
from fem_models.flow.confinement import Confinement
from fem_models.flow.edge_quality import EdgeQuality
from fem_models.flow.exact_errors import ExactErrors
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.flow.log_density import LogDensityFlow
from fem_models.flow.lower_bound import check_bounded
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.poles import pole
from fem_models.flow.species import State
from fem_models.jko.jko_step import Jko
from fem_models.jko.movements import Movements
from fem_models.linalg.krylov import KrylovSolver
from fem_models.linalg.newton import NewtonSettings
from fem_models.linalg.options import inner_options, refusals
from fem_models.meshes.marks import MarkedMesh
from fem_models.meshes.torus import inside_brick
from fem_models.meshes.whole_space import SHELL
from fem_models.nodal.mobilities import lumping_of
from fem_models.steady.curvature import least_curvature
from fem_models.steady.relaxation import Relaxation
from fem_models.steady.separate_parts import steady_in_parts
from fem_models.systems.studies.flat_convexity import ConvexityOfRange

if TYPE_CHECKING:
    from fem_models.config.flow_system import FlowSystem
    from fem_models.config.run_file import RunConfig

_Array = npt.NDArray[np.float64]

# The seconds that the search for a steady state may take after a short run.
_SEARCH = 20.0

CONVEXITY = "convexity.csv"

# At so many times potentials that change are looked at before a run; each step looks at its own.
_SOME_TIMES = 5

# What fields.pvd says on how the masses of series.csv follow from its fields.
_MASS_OF_NODES = (
    f"The mass of a density, exactly as in series.csv, is the sum of {NODAL_VOLUME} times the density over "
    "the nodes, each once; the integral of the linear interpolant differs from it in 3D."
)
_MASS_OF_CELLS = "The mass of a density, as in series.csv, is the integral of exp of its logarithm."


class FlowProblem(Problem[State]):
    """What a run of a gradient flow works on. Collective.

    Args:
        system: The table [system].
        config: The run file.
        marked: Its mesh.

    Raises:
        InputError: An expression that is not finite on the mesh or names a coordinate it lacks, an initial
            density that is negative or zero everywhere, a profile outside the mesh, an energy without a lower
            bound for minimising movements, options that PETSc refuses, or a flux or slabs that do not go with
            the scheme.
    """

    model: NodalFields

    def __init__(self, system: FlowSystem, config: RunConfig, marked: MarkedMesh) -> None:
        self._system, self._config = system, config
        _check_profile(config, marked.mesh)
        gradient_flow = _flow(system, config, marked)
        flow: NodalFields = gradient_flow
        if config.time.discretization == "log-density":
            flow = LogDensityFlow(gradient_flow, config.time.degree)
        for where, text in _potential_texts(config):
            expression = formula(text, where, config.constants, ("t",))
            for time in _times(config) if expression.uses_time else (None,):
                _finite(flow, expression, where, time)
        flow.move_to(config.time.start)
        self._moves = flow.explicit_time is not None
        if self._moves and config.time.stop_when_steady:
            raise InputError(
                "[time] stop_when_steady does not go with a potential that changes in time; remove it."
            )
        with inner_options(config.solver.petsc):
            # The solver of steady states is made in the end, but what PETSc refuses is told before the run.
            KrylovSolver(flow.comm, "steady_", {})
            start = initial_state(config, flow)
            initial = flow.settled(start.state)
        self._warnings = start.warnings
        found = flow.masses(initial)
        self._masses = {name: found[name] for name in flow.kept}
        self._exact = self._exact_densities(flow)
        for name, value in flow.energy_terms(initial).items():
            if not np.isfinite(value):
                raise InputError(
                    f"The energy term {name} is not finite for the initial density; change its expression or "
                    "the density."
                )
        if config.time.minimises:
            check_bounded(gradient_flow, initial)
        table = config.solver
        settings = NewtonSettings(table.tolerance, table.max_iterations, table.linear, dict(table.petsc))
        with refusals():
            scheme = SCHEMES[config.time.scheme].build(flow, config.time, settings)
        super().__init__(flow, scheme, initial)
        self.notes = start.notes
        if self._moves:
            self.notes = [
                *self.notes,
                "the potential changes in time: there is no steady state, and no decay rate",
            ]
        self.tables = {CONVEXITY: convexity_table(config, gradient_flow, self._masses)}
        if system.needs_steady and self._has_steady(flow):
            self.prepares = "the steady state"
        slabs = f", {config.time.slabs} slabs" if config.time.minimises else ""
        self.title = f"{system.name}, {config.time.scheme}, {config.time.flux} flux{slabs}"

    def _exact_densities(self, flow: NodalFields) -> dict[str, Expression]:
        config = self._config
        exact = {
            name: formula(text, f"[exact] {name}", config.constants, ("t",))
            for name, text in config.exact.items()
        }
        for name, expression in exact.items():
            _finite(flow, expression, f"[exact] {name}", config.time.end)
        return exact

    # What goes along

    def companions(self) -> Companions[State]:
        """The studies of the system, the potentials to draw, and the steady state in the end. Collective."""
        flow, time = self.model, self._config.time
        by_nodes = isinstance(flow, GradientFlow) and NODAL_VOLUME not in flow.names
        remark = _MASS_OF_NODES if by_nodes else _MASS_OF_CELLS
        volumes = {NODAL_VOLUME: flow.shown_volumes} if by_nodes else {}
        known = None if self._moves else _varying_potentials(flow)

        def beside() -> dict[str, Function[Any]]:
            potentials = _varying_potentials(flow) if known is None else known
            return {name: flow.function(values, name) for name, values in (potentials | volumes).items()}

        # The average flux of minimising movements is that of cells, and needs no coefficients of edges.
        edges = [] if time.minimises and time.flux == "average" else [EdgeQuality(flow, time.minimises)]
        self._relaxation = Relaxation(flow)
        studies: list[Study[State]] = [
            *edges,
            self._relaxation,
            Confinement(flow, list(self._masses), self._system.confined),
            *([ConvexityOfRange(flow)] if len(flow.names) > 1 else []),
            *([ExactErrors(flow, self._exact)] if self._exact else []),
        ]
        # Those of the papers are of edge-averaged densities.
        warnings = [
            *self._warnings,
            *(f"[parameters] {name} is used by no expression." for name in self._config.unused_parameters),
        ]
        if isinstance(flow, GradientFlow):
            steady = None
            if self.prepares:
                steady, sentences = self._steady(math.inf)
                warnings += sentences
            studies += self._system.studies(flow, steady, self.initial, time.start)
        elif self._config.output.steady and not self._moves:
            warnings += [
                "No steady state, decay rate or study.csv comes with the log-density; the edge-averaged "
                "discretisation has them."
            ]
        if time.minimises:
            studies.append(Movements(cast("Jko", self.scheme), time.slabs, time.joined))
        closing = self._closing if self._has_steady(flow) else None
        return Companions(studies, beside, remark, warnings, closing)

    def _has_steady(self, flow: NodalFields) -> bool:
        """Whether there is a steady state to compute."""
        return self._config.output.steady and isinstance(flow, GradientFlow) and not self._moves

    def _closing(self, state: State, reason: str, seconds: float) -> Closing:
        """The steady state when the run has ended; a search may take as long as the run."""
        if reason not in ("end", "steady"):
            return Closing()
        steady, warnings = self._steady(max(seconds, _SEARCH))
        # What is known already was said before.
        warnings = [] if self.prepares else [*warnings]
        if steady is None:
            return Closing(warnings=warnings)
        if parts := steady_in_parts(cast("GradientFlow", self.model), state):
            whole = math.fsum(self.model.energy_terms(steady).values())
            steady, masses = parts
            shares = ", ".join(f"{mass:.6g}" for mass in masses)
            warnings.append(
                "No mass passes between parts of the support or of the mesh: the steady state is that of "
                f"each by itself, with the masses {shares}. If mass could pass, its energy would be "
                f"{whole:.10g}."
            )
        flow = cast("GradientFlow", self.model)
        single = len(flow.names) == 1 and flow.transported[0] and flow.couplings.interacts
        self._relaxation.compare(steady, least_curvature(flow, steady) if single else None)
        names = [f"{name}_steady" for name in self.model.names]
        functions = {name: self.model.function(steady[:, s], name) for s, name in enumerate(names)}
        return Closing(functions, warnings)

    def _steady(self, seconds: float) -> tuple[State | None, Sequence[str]]:
        """The steady state with the masses of the run, and a sentence where it is not there."""
        flow, config = cast("GradientFlow", self.model), self._config
        if not self._masses:
            return None, []
        # Nodal volumes differ with the scheme in three dimensions.
        volumes = lumping_of(config.time.flux) if config.time.minimises else None
        energy = (config.system, config.species, config.energy, tuple(sorted(config.constants.items())))
        key = (config.mesh, volumes, energy, tuple(self._masses.values()))
        if key not in self.shared:
            try:
                with inner_options(config.solver.petsc):
                    self.shared[key] = self._system.steady(flow, self._masses, seconds), []
            except SolveError as error:
                text = str(error).splitlines()[0].rstrip(".")
                sentence = f"The steady state was not found, so there is no decay rate: {text}."
                self.shared[key] = None, [sentence]
        found: tuple[State | None, Sequence[str]] = self.shared[key]
        return found


def _flow(system: FlowSystem, config: RunConfig, marked: MarkedMesh) -> GradientFlow:
    """The gradient flow with the nodal volumes that its scheme needs."""
    if SHELL in marked.regions and not system.in_space:
        raise InputError(
            f'The mesh has the region "{SHELL}", which stands for the rest of space and holds electric '
            f'fields only: [system] name = "{system.name}" needs a mesh without it.'
        )
    table = config.time
    flow = system.flow(config, marked)
    return flow.with_lumping(lumping_of(table.flux)) if table.minimises else flow


def _times(config: RunConfig) -> tuple[float, ...]:
    """Some times of a run, the first and the last among them."""
    return tuple(np.linspace(config.time.start, config.time.end, _SOME_TIMES))


def _potential_texts(config: RunConfig) -> Iterator[tuple[str, str]]:
    """The external potentials of a run file: their key and their text."""
    for key, text, variables in config.system.formulas():
        # Kernels are of differences, and electrodes have their values at the boundary.
        if variables in (COORDINATES, COORDINATES_AND_TIME) and not key.startswith(("kernel", "electrodes")):
            yield f"[system] {key}", text
    for number, entry in enumerate(config.energy, start=1):
        if isinstance(entry, PotentialTerm):
            yield f"[[energy]] #{number} V", entry.V


def _finite(flow: NodalFields, expression: Expression, where: str, time: float | None = None) -> _Array:
    """The values of an expression at the nodes, shape (nodes,).

    Raises:
        InputError: A value is not finite, there or between the nodes; every rank raises it.
    """
    values = expression.numpy(flow.points.T, t=time)
    bad = np.flatnonzero(~np.isfinite(values))
    first = tuple(flow.points[bad[0]]) if len(bad) else None
    when = "" if time is None else f" at t = {time:g}"
    if place := _first_of(flow, first):
        raise InputError(
            f"{where} = {expression.text!r} is not finite on the mesh, for example at ({place}){when}; "
            "change the expression or the domain."
        )
    found = None
    if isinstance(flow, GradientFlow):
        edges = inside_brick(flow.mesh, flow.points, flow.geometry.pairs)
        found = pole(lambda x: expression.numpy(x, t=time), flow.points, edges)
    if place := _first_of(flow, None if found is None else tuple(found)):
        raise InputError(
            f"{where} = {expression.text!r} has a pole between the nodes of the mesh, near ({place}){when}; "
            "change the expression or the domain."
        )
    return values


def _first_of(flow: NodalFields, point: tuple[float, ...] | None) -> str:
    """The coordinates of the least point that a rank has found, empty where none has. Collective."""
    found = [point for point in flow.comm.allgather(point) if point is not None]
    return ", ".join(f"{coordinate:.6g}" for coordinate in min(found)) if found else ""


def _varying_potentials(flow: NodalFields) -> dict[str, _Array]:
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
