"""Pairs of elements for potentials and fluxes: those of the linearised JKO problem, and controls.

A perturbation h of the density lives in the space of the potential f, its multiplier: otherwise there are
perturbations that no potential sees. The flux g lives in the other space of the pair. The constraint
∂s h + div(g + h∇φ) = 0 (Bruna, Burger and Carrillo, (2.14)) couples them by b(g, f) = -∫g·∇f where potentials
are continuous, and by b(g, f) = ∫f div g where the normal component of fluxes is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import ufl
from basix import CellType
from dolfinx import fem
from dolfinx.mesh import Mesh, exterior_facet_indices
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.linalg.garbage import collect

_SIMPLICES = (CellType.interval, CellType.triangle, CellType.tetrahedron)


@dataclass(frozen=True)
class Pair:
    """A pair of elements, with the names of `basix`.

    Attributes:
        name: Potential and flux, as users write it.
        potential: Family and degree of potentials and densities.
        flux: Family and degree of fluxes; vectors of such elements unless they are Raviart–Thomas elements.
        stable: Whether the inf-sup constant is bounded away from zero as meshes are refined.
    """

    name: str
    potential: tuple[str, int]
    flux: tuple[str, int]
    stable: bool

    @property
    def conforming(self) -> bool:
        """Whether potentials are continuous, and fluxes need not be."""
        return self.potential[0] == "Lagrange"


PAIRS = {
    pair.name: pair
    for pair in (
        Pair("P1-DG0", ("Lagrange", 1), ("DG", 0), stable=True),
        Pair("P2-DG1", ("Lagrange", 2), ("DG", 1), stable=True),
        Pair("DG0-RT1", ("DG", 0), ("RT", 1), stable=True),
        Pair("DG1-RT2", ("DG", 1), ("RT", 2), stable=True),
        Pair("P2-DG0", ("Lagrange", 2), ("DG", 0), stable=False),
        Pair("P1-P1", ("Lagrange", 1), ("Lagrange", 1), stable=False),
        Pair("P2-P2", ("Lagrange", 2), ("Lagrange", 2), stable=False),
    )
}


def pair_named(name: str) -> Pair:
    """The pair of a name.

    Args:
        name: One of `PAIRS`.

    Returns:
        The pair.

    Raises:
        InputError: There is no such pair.
    """
    if name not in PAIRS:
        raise InputError(f"The element pair must be one of {', '.join(PAIRS)}, not {name!r}.")
    return PAIRS[name]


class MixedSpaces:
    """The spaces of a pair on a mesh. Collective.

    Raviart–Thomas fluxes have no normal component at the boundary only where `boundary_fluxes` are set to
    zero: these are the unknowns to hold. The other pairs have that condition in their weak form.

    Args:
        mesh: Of simplices.
        pair: The pair.

    Attributes:
        potentials: The scalar space of f and h.
        fluxes: The space of g.
        boundary_fluxes: Local unknowns of `fluxes` at the boundary that are zero; empty for continuous
            potentials.

    Raises:
        InputError: A mesh of other cells.
    """

    def __init__(self, mesh: Mesh, pair: Pair) -> None:
        if mesh.basix_cell() not in _SIMPLICES:
            raise InputError("Element pairs are for meshes of intervals, triangles or tetrahedra.")
        collect(mesh)
        self.mesh, self.pair = mesh, pair
        self.potentials = fem.functionspace(mesh, pair.potential)
        self.fluxes = fem.functionspace(mesh, self._flux_element())
        self.boundary_fluxes = self._boundary_fluxes()

    def _flux_element(self) -> tuple:
        family, degree = self.pair.flux
        dimension = self.mesh.geometry.dim
        if self.pair.conforming:
            return family, degree, (dimension,)
        if dimension == 1:
            # In one dimension, fluxes whose normal component is continuous are continuous.
            return "Lagrange", degree, (1,)
        return family, degree

    def _boundary_fluxes(self) -> npt.NDArray[np.int32]:
        if self.pair.conforming:
            return np.empty(0, dtype=np.int32)
        mesh = self.mesh
        facet_dimension = mesh.topology.dim - 1
        mesh.topology.create_connectivity(facet_dimension, mesh.topology.dim)
        facets = exterior_facet_indices(mesh.topology)
        return fem.locate_dofs_topological(self.fluxes, facet_dimension, facets)

    def coupling(self, g: Expr, f: Expr) -> Expr:
        """The integrand of b(g, f): -g·∇f where potentials are continuous, else f div g.

        Args:
            g: A flux, a UFL vector.
            f: A potential, a UFL scalar.

        Returns:
            A UFL scalar.
        """
        return -ufl.inner(g, ufl.grad(f)) if self.pair.conforming else f * ufl.div(g)
