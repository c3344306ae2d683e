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
from fem_models.energies import Coefficient, Electrostatic, Energy, Potential, diffusion, evaluated
from fem_models.flow.gradient_flow import GradientFlow, Species

FIELD = "psi"


@dataclass(frozen=True)
class Ion:
    """One kind of charged particles.

    Attributes:
        name: Of its density.
        valence: Its charge number z, dimensionless.
        potential: An external potential that acts on it, dimensionless.
    """

    name: str
    valence: float
    potential: Coefficient = 0.0


IONS = (Ion("u", 1.0), Ion("v", -1.0))


def poisson_nernst_planck(
    mesh: Mesh,
    ions: Sequence[Ion] = IONS,
    m: float = 1.0,
    permittivity: Coefficient = 1.0,
    doping: Coefficient = 0.0,
    cells: npt.NDArray[np.int32] | None = None,
    electrodes: Mapping[str, tuple[npt.NDArray[np.int32], npt.ArrayLike]] | None = None,
) -> GradientFlow:
    """The flow of densities ρ_s with valences z_s in their own electrostatic potential ψ.

        ∂tρ_s = Δρ_s^m + div(ρ_s ∇(U_s + z_s ψ)),    -div(a∇ψ) = Σ_s z_s ρ_s + C

    This is equation (1.1) with its energy (1.3) for u and v with z = 1 and -1, a = 1 and C = 0. ψ is an
    unknown of every step, so that the energy, convex in the densities, falls for steps of any size.

    Args:
        mesh: The mesh. Where ψ is not given the condition on the boundary is ∂ψ/∂ν = 0; with no electrode at
            all, ψ has mean zero over the boundary (end of section 2), and the charges must add up to zero.
        ions: The densities, u and v by default.
        m: Exponent, m ≥ 1, dimensionless.
        permittivity: a > 0, a UFL scalar or symmetric tensor, dimensionless.
        doping: C, dimensionless.
        cells: Local cells of the part of the mesh where there are ions; all by default.
        electrodes: Where ψ is given: nodes and values of each, by name. Where two meet, the first counts.

    Raises:
        InputError: No ions, an exponent out of range, or a permittivity that is not positive.
    """
    if not ions:
        raise InputError("A Poisson–Nernst–Planck system needs at least one kind of ions.")
    if not 1.0 <= m < math.inf:
        raise InputError(f"The exponent m of the ions must be 1 or more, not {m!r}.")
    _check_positive(mesh, permittivity)
    terms = [diffusion(m, ion.name, f"diffusion-{ion.name}") for ion in ions]
    terms += [Potential(ion.potential, ion.name, f"potential-{ion.name}") for ion in ions]
    charges = {ion.name: ion.valence for ion in ions}
    terms.append(Electrostatic(charges, FIELD, permittivity, doping))
    species = [*(Species(ion.name) for ion in ions), Species(FIELD, "static")]
    given = list((electrodes or {}).values())
    fixed = {}
    if given:
        nodes = np.concatenate([n for n, _ in given])
        values = np.concatenate([np.broadcast_to(np.asarray(v, dtype=float), len(n)) for n, v in given])
        nodes, first = np.unique(nodes, return_index=True)
        fixed = {FIELD: (nodes, values[first])}
    return GradientFlow(mesh, species, Energy(terms), cells, fixed)


def permittivities(
    mesh: Mesh, permittivity: Coefficient, cells: npt.NDArray[np.int32]
) -> npt.NDArray[np.float64]:
    """The permittivity at the centroids of cells: the diagonal of the tensor, shape (cells, dim). Collective.

    Args:
        mesh: The mesh.
        permittivity: A UFL scalar or tensor.
        cells: Local cells.
    """
    x, dim = ufl.SpatialCoordinate(mesh), mesh.topology.dim
    a = evaluated(permittivity, x)
    diagonal = [a] * dim if a.ufl_shape == () else [a[k, k] for k in range(dim)]
    # A coordinate comes along, because DOLFINx does not find the mesh of expressions that are constant.
    centroid = np.full((1, dim), 1.0 / (dim + 1))
    compiled = fem.Expression(ufl.as_vector([*diagonal, x[0]]), centroid, comm=mesh.comm)
    return compiled.eval(mesh, cells).reshape(len(cells), dim + 1)[:, :dim]


def _check_positive(mesh: Mesh, permittivity: Coefficient) -> None:
    cells = np.arange(mesh.topology.index_map(mesh.topology.dim).size_local, dtype=np.int32)
    positive = bool(np.all(permittivities(mesh, permittivity, cells) > 0.0))
    if not mesh.comm.allreduce(positive, op=MPI.LAND):
        raise InputError("The permittivity must be positive in every cell: change its expression.")
