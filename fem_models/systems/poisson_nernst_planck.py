"""The Poisson–Nernst–Planck system (Kinderlehrer, Monsaingeon and Xu)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.core.suggestions import choices
from fem_models.energies import Electrostatic, Energy, Potential, Term, diffusion
from fem_models.expressions.functions import FunctionOfX, as_ufl
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes.marks import MarkedMesh, boundary_nodes, marked
from fem_models.meshes.whole_space import BALL, INFINITY, SHELL, space_coefficient
from fem_models.nodal.values import nodal_values

FIELD = "psi"
"""The name of the electrostatic potential."""


@dataclass(frozen=True)
class Ion:
    """One kind of charged particles.

    Args:
        name: Of its density.
        valence: Its charge number z, dimensionless.
        potential: An external potential that acts on it, dimensionless: a number, text, a UFL scalar, or a
            function of x with UFL functions.
    """

    name: str
    valence: float
    potential: FunctionOfX = 0.0


IONS = (Ion("u", 1.0), Ion("v", -1.0))
"""The ions of the paper: densities u and v with the valences 1 and -1."""


def poisson_nernst_planck(
    mesh: MarkedMesh | Mesh,
    ions: Sequence[Ion] = IONS,
    m: float = 1.0,
    permittivity: FunctionOfX = 1.0,
    doping: FunctionOfX = 0.0,
    electrodes: Mapping[str, FunctionOfX] | None = None,
    region: str | None = None,
) -> GradientFlow:
    """The flow of densities ρ_s with valences z_s in their own electrostatic potential ψ.

        ∂tρ_s = Δρ_s^m + div(ρ_s ∇(U_s + z_s ψ)),    -div(a∇ψ) = Σ_s z_s ρ_s + C

    This is equation (1.1) with its energy (1.3) for u and v with z = 1 and -1, a = 1 and C = 0. ψ is an
    unknown of every step, so that the energy, convex in the densities, falls for steps of any size.

    Args:
        mesh: The mesh, with named boundaries where there are electrodes. Where ψ is not given the condition
            on the boundary is ∂ψ/∂ν = 0; with no electrode at all, ψ has mean zero over the boundary (end of
            section 2), and the charges must add up to zero. On a mesh of the domain "space" the ions live in
            the ball, the shell around it stands for the rest of space, and ψ is zero at infinity.
        ions: The densities, u and v by default.
        m: Exponent, m ≥ 1, dimensionless.
        permittivity: a > 0, dimensionless: a number, text, a UFL scalar or symmetric tensor, or a function of
            x with UFL functions; a scalar in space.
        doping: C, dimensionless: a number, text, a UFL scalar or a function of x with UFL functions.
        electrodes: Where ψ is given: by the name of a boundary, or of a group of facets inside, its values
            there, a number, text, or a function of x with UFL or NumPy functions. Where two meet, the first
            counts.
        region: The region of the mesh where there are ions; by default all of the mesh, or the ball in space.

    Returns:
        The flow; its species are the ions and the static field "psi".

    Raises:
        InputError: No ions, an exponent out of range, a permittivity that is not positive, an unknown
            boundary or region, or an electrode whose potential is not finite.
    """
    parts = marked(mesh)
    if not ions:
        raise InputError("A Poisson–Nernst–Planck system needs at least one kind of ions.")
    if not 1.0 <= m < math.inf:
        raise InputError(f"The exponent m of the ions must be 1 or more, not {m!r}.")
    if SHELL in parts.regions:
        region = BALL if region is None else region
        scalar = as_ufl(permittivity, ufl.SpatialCoordinate(parts.mesh), "The permittivity in space")
        permittivity = scalar * space_coefficient(parts)
    if region is not None and region not in parts.regions:
        raise InputError(
            f'region = "{region}" is not a region of the mesh; {choices(region, parts.regions)}.'
        )
    _check_positive(parts.mesh, permittivity)
    terms: list[Term] = [diffusion(m, ion.name, f"diffusion-{ion.name}") for ion in ions]
    terms += [Potential(ion.potential, ion.name, f"potential-{ion.name}") for ion in ions]
    charges = {ion.name: ion.valence for ion in ions}
    terms.append(Electrostatic(charges, FIELD, permittivity, doping))
    species = [*(Species(ion.name) for ion in ions), Species(FIELD, "static")]
    cells = None if region is None else parts.regions[region]
    return GradientFlow(parts, species, Energy(terms), cells, _given_potentials(parts, electrodes))


def electrode_fault(mesh: MarkedMesh, boundary: str) -> str:
    """What is wrong with the boundary of an electrode.

    Args:
        mesh: The mesh and its named parts.
        boundary: The name.

    Returns:
        A sentence without its full stop that begins with the name, empty if nothing is wrong.
    """
    if mesh.facets(boundary) is None:
        known = list(dict.fromkeys((*mesh.boundaries, *mesh.interfaces)))
        return f'"{boundary}" is not a boundary of the mesh; {choices(str(boundary), known)}'
    if SHELL in mesh.regions and boundary in (INFINITY, "boundary"):
        return f'"{boundary}" is at infinity, where psi is zero; remove it'
    return ""


def _given_potentials(
    mesh: MarkedMesh, electrodes: Mapping[str, FunctionOfX] | None
) -> dict[str, tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]]:
    """Nodes where ψ is given, and its values there. Collective."""
    if electrodes is not None and not isinstance(electrodes, Mapping):
        raise InputError('electrodes must be potentials by boundary, as in {"left": 1.0}.')
    space = fem.functionspace(mesh.mesh, ("Lagrange", 1))
    nodes, values = [], []
    for name, potential in (electrodes or {}).items():
        facets = mesh.facets(name)
        if (fault := electrode_fault(mesh, name)) or facets is None:
            raise InputError(f"electrodes: {fault}.")
        what = f'The potential of the electrode "{name}"'
        nodes.append(boundary_nodes(space, facets))
        values.append(nodal_values(potential, space, what, nodes[-1]))
        if not mesh.mesh.comm.allreduce(bool(np.isfinite(values[-1]).all()), op=MPI.LAND):
            raise InputError(f"{what} is not finite everywhere on its boundary; change it.")
    if SHELL in mesh.regions:
        nodes.append(boundary_nodes(space, mesh.boundaries[INFINITY]))
        values.append(np.zeros(len(nodes[-1])))
    if not nodes:
        return {}
    union, first = np.unique(np.concatenate(nodes), return_index=True)
    return {FIELD: (union, np.concatenate(values)[first])}


def permittivities(
    mesh: Mesh, permittivity: FunctionOfX, cells: npt.NDArray[np.int32]
) -> npt.NDArray[np.float64]:
    """The permittivity at the centroids of cells. Collective.

    Args:
        mesh: The mesh.
        permittivity: a, as for `poisson_nernst_planck`.
        cells: Local cells.

    Returns:
        The diagonal of the tensor, shape (cells, dim), dimensionless.

    Raises:
        InputError: It is no function of x in UFL.
    """
    x, dim = ufl.SpatialCoordinate(mesh), mesh.topology.dim
    a = as_ufl(permittivity, x, "The permittivity", scalar=False)
    diagonal = [a] * dim if a.ufl_shape == () else [a[k, k] for k in range(dim)]
    # A coordinate comes along, because DOLFINx does not find the mesh of expressions that are constant.
    centroid = np.full((1, dim), 1.0 / (dim + 1))
    compiled = fem.Expression(ufl.as_vector([*diagonal, x[0]]), centroid, comm=mesh.comm)
    values = np.asarray(compiled.eval(mesh, cells), dtype=np.float64)
    return values.reshape(len(cells), dim + 1)[:, :dim]


def _check_positive(mesh: Mesh, permittivity: FunctionOfX) -> None:
    cells = np.arange(mesh.topology.index_map(mesh.topology.dim).size_local, dtype=np.int32)
    positive = bool(np.all(permittivities(mesh, permittivity, cells) > 0.0))
    if not mesh.comm.allreduce(positive, op=MPI.LAND):
        raise InputError("The permittivity must be positive in every cell: change its expression.")
