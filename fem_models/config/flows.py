"""From a run file to its gradient flow: one builder for each system, and for the terms of [[energy]]."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from mpi4py import MPI
from ufl.core.expr import Expr

from fem_models.config import system_tables as systems
from fem_models.config import tables
from fem_models.config.run_file import RunConfig
from fem_models.config.system_tables import COORDINATES, INTERACTIONS
from fem_models.config.types import choices
from fem_models.core.errors import InputError
from fem_models.energies import (
    Boltzmann,
    Coefficient,
    Density,
    Dirichlet,
    Energy,
    Interaction,
    Kernel,
    Potential,
    PowerLaw,
    Quadratic,
    Term,
)
from fem_models.expressions import Expression
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.mesh.marks import MarkedMesh, boundary_nodes
from fem_models.mesh.whole_space import space_coefficient
from fem_models.nodal.mobilities import lumping_of
from fem_models.particles.excluded_volume import nonlinear_coefficient
from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.excluded_volume import excluded_volume
from fem_models.systems.fokker_planck import fokker_planck
from fem_models.systems.poisson_nernst_planck import Ion, poisson_nernst_planck
from fem_models.systems.two_component import quadratic_potentials, two_component

Values = npt.NDArray[np.float64]

# Names of series.csv that an energy term cannot have.
COLUMNS = ("step", "time", "dt", "energy", "dissipation", "newton", "linear")
SPECIES_COLUMNS = ("mass_", "min_", "max_")

# The parts of a mesh that stands for the whole space.
_SHELL, _BALL, _INFINITY = "shell", "ball", "infinity"


def formula(config: RunConfig, text: str, where: str, variables: tuple[str, ...] = ()) -> Expression:
    """An expression of the run file in the coordinates and other variables."""
    return Expression(text, (*COORDINATES, *variables), config.constants, where=where)


def build_flow(config: RunConfig, marked: MarkedMesh) -> GradientFlow:
    """The gradient flow of a run file on its mesh. Collective.

    Raises:
        InputError: An expression names a coordinate that the mesh lacks, or something does not go with the
            mesh.
    """
    if _SHELL in marked.regions and config.system.name != "poisson-nernst-planck":
        raise InputError(
            f'The mesh has the region "{_SHELL}", which stands for the rest of space and holds electric '
            f'fields only: [system] name = "{config.system.name}" needs a mesh without it.'
        )
    flow = _BUILDERS[config.system.name](config, config.system, marked)
    return flow.with_lumping(lumping_of(config.time.flux)) if config.time.minimises else flow


def _excluded_volume(config: RunConfig, table: systems.ExcludedVolume, marked: MarkedMesh) -> GradientFlow:
    potential = formula(config, table.potential, "[system] potential")
    mesh = marked.mesh
    return excluded_volume(mesh, potential.ufl, _coefficient(table, config, mesh.geometry.dim))


def _fokker_planck(config: RunConfig, table: systems.FokkerPlanck, marked: MarkedMesh) -> GradientFlow:
    potential = formula(config, table.potential, "[system] potential")
    return fokker_planck(marked.mesh, table.m, table.diffusion, potential.ufl)


def _two_component(config: RunConfig, table: systems.TwoComponent, marked: MarkedMesh) -> GradientFlow:
    mesh = marked.mesh
    if table.potentials is not None:
        potentials: Any = [
            formula(config, text, f"[system] potentials.{number}").ufl
            for number, text in enumerate(table.potentials)
        ]
    else:
        dim = mesh.geometry.dim
        for center in table.centers or ():
            if len(center) != dim:
                raise InputError(
                    f"[system] centers has the point {list(center)}; the mesh has {dim} dimensions."
                )
        potentials = quadratic_potentials(table.convexity, table.centers or ())
    coupling = None
    if table.coupling is not None:
        H = Expression(table.coupling, ("rho1", "rho2"), config.constants, where="[system] coupling")

        def coupling(fields: Any) -> Expr:
            return H.ufl(ufl.SpatialCoordinate(mesh), fields)

    kernel = None if table.kernel is None else _kernel(config, table.kernel, "[system] kernel")
    return two_component(mesh, potentials, table.m, table.epsilon, coupling, kernel)


def _kernel(config: RunConfig, text: str, where: str) -> Kernel:
    return formula(config, text, where).numpy


def _chemotaxis(config: RunConfig, table: systems.Chemotaxis, marked: MarkedMesh) -> GradientFlow:
    mesh = marked.mesh
    potential = formula(config, table.potential, "[system] potential")
    phi = Expression(table.phi, ("c",), config.constants, where="[system] phi")

    def effect(c: Expr) -> Expr:
        return phi.ufl(ufl.SpatialCoordinate(mesh), {"c": c})

    return chemotaxis(mesh, potential.ufl, table.m, table.epsilon, table.kappa, effect)


def _electrodes(
    config: RunConfig, table: systems.PoissonNernstPlanck, marked: MarkedMesh, space: fem.FunctionSpace
) -> dict[str, tuple[npt.NDArray[np.int32], Values]]:
    """Nodes and values of the electrodes, by the names of their boundaries."""
    points = space.tabulate_dof_coordinates()[:, : marked.mesh.geometry.dim].T
    found: dict[str, tuple[npt.NDArray[np.int32], Values]] = {}
    for number, electrode in enumerate(table.electrodes):
        where, name = f"[system] electrodes.{number}", electrode.boundary
        if name not in marked.boundaries:
            known = choices(name, marked.boundaries)
            raise InputError(f'{where}.boundary = "{name}" is not a boundary of the mesh; {known}.')
        if name in found:
            raise InputError(f'{where}.boundary = "{name}" has an electrode already; keep one of them.')
        if _SHELL in marked.regions and name in (_INFINITY, "boundary"):
            raise InputError(f'{where}.boundary = "{name}" is at infinity, where psi is zero; remove it.')
        nodes = boundary_nodes(space, marked.boundaries[name])
        values = formula(config, electrode.potential, f"{where}.potential").numpy(points[:, nodes])
        if not marked.mesh.comm.allreduce(bool(np.isfinite(values).all()), op=MPI.LAND):
            raise InputError(f"{where}.potential is not finite everywhere on its boundary; change it.")
        found[name] = (nodes, values)
    return found


def _poisson_nernst_planck(
    config: RunConfig, table: systems.PoissonNernstPlanck, marked: MarkedMesh
) -> GradientFlow:
    mesh = marked.mesh
    space = fem.functionspace(mesh, ("Lagrange", 1))
    electrodes = _electrodes(config, table, marked, space)
    permittivity: Coefficient = formula(config, table.permittivity, "[system] permittivity").ufl
    cells = None
    if _SHELL in marked.regions:
        scalar = formula(config, table.permittivity, "[system] permittivity").ufl(ufl.SpatialCoordinate(mesh))
        permittivity = scalar * space_coefficient(marked)
        cells = marked.regions[_BALL]
        nodes = boundary_nodes(space, marked.boundaries[_INFINITY])
        electrodes[_INFINITY] = (nodes, np.zeros(len(nodes)))
    ions = [
        Ion(ion.name, ion.valence, formula(config, ion.potential, f"[system] ions.{number}.potential").ufl)
        for number, ion in enumerate(table.ions)
    ]
    doping = formula(config, table.doping, "[system] doping").ufl
    return poisson_nernst_planck(mesh, ions, table.m, permittivity, doping, cells, electrodes)


def _gradient_flow(config: RunConfig, table: systems.GradientFlow, marked: MarkedMesh) -> GradientFlow:
    species = [Species(name=s.name, metric=s.metric) for s in config.species]
    return GradientFlow(marked.mesh, species, Energy(list(_terms(config))))


_BUILDERS: dict[str, Callable[[RunConfig, Any, MarkedMesh], GradientFlow]] = {
    "excluded-volume": _excluded_volume,
    "fokker-planck": _fokker_planck,
    "two-component": _two_component,
    "chemotaxis": _chemotaxis,
    "poisson-nernst-planck": _poisson_nernst_planck,
    "gradient-flow": _gradient_flow,
}


def _coefficient(system: systems.ExcludedVolume, config: RunConfig, dimension: int) -> float:
    """The coefficient of the excluded volume, given or from the interaction of the particles."""
    if system.coefficient is not None:
        return system.coefficient
    interaction = str(system.interaction)
    potential = interaction
    if interaction not in INTERACTIONS:
        pair = Expression(interaction, ("r",), config.constants, where="[system] interaction")

        def potential(r: Values) -> Values:
            return pair.numpy(r[None, :], fields={"r": r})

    try:
        return nonlinear_coefficient(
            potential, dimension, system.particles, system.diameter, exponent=system.exponent
        )
    except InputError as error:
        raise InputError(f"[system] interaction: {error}") from None


def _terms(config: RunConfig) -> Iterator[Term]:
    """The energy terms of a gradient flow; a term of several species is one term for each."""
    taken: dict[str, int] = {}
    for number, entry in enumerate(config.energy, start=1):
        label = entry.label or entry.term
        taken[label] = taken.get(label, 0) + 1
        if entry.label is None and taken[label] > 1:
            label = f"{label}-{taken[label]}"
        names = entry.of or ()
        if isinstance(entry, tables.DensityTerm | tables.InteractionTerm):
            groups = {label: names}
        else:
            groups = {f"{label}-{name}" if len(names) > 1 else label: (name,) for name in names}
        for name, of in groups.items():
            if name in COLUMNS or name.startswith(SPECIES_COLUMNS):
                raise InputError(
                    f'[[energy]] #{number} label = "{name}" is another column of series.csv; choose another.'
                )
            yield _term(config, number, entry, name, of)


def _term(config: RunConfig, number: int, entry: tables.Term, name: str, of: tuple[str, ...]) -> Term:
    match entry:
        case tables.BoltzmannTerm():
            return Boltzmann(of=of, coefficient=entry.coefficient, name=name)
        case tables.PowerLawTerm():
            return PowerLaw(entry.m, of=of, coefficient=entry.coefficient, name=name)
        case tables.QuadraticTerm():
            return Quadratic(entry.coefficient, of=of, name=name)
        case tables.PotentialTerm():
            potential = formula(config, entry.V, f"[[energy]] #{number} V")
            return Potential(potential.ufl, of=of, name=name)
        case tables.DensityTerm():
            density = formula(config, entry.expression, f"[[energy]] #{number} expression", of)
            return Density(lambda fields, x: density.ufl(x, fields), of=of, name=name)
        case tables.DirichletTerm():
            coefficient = formula(config, entry.coefficient, f"[[energy]] #{number} coefficient")
            return Dirichlet(of, coefficient.ufl, name)
        case tables.InteractionTerm():
            if len(of) > 2:
                raise InputError(f"[[energy]] #{number} of must name one or two species, not {len(of)}.")
            kernel = _kernel(config, entry.kernel, f"[[energy]] #{number} kernel")
            return Interaction(kernel, (of[0], of[-1]), entry.coefficient, name)
    raise TypeError(f"No energy term is made of {entry!r}.")
