"""The transport A(h, v) of the linearised JKO problem, which stands for -∫div(h∇φ) v, and its matrices.

    A(h, v) = ∫h∇φ·∇v - γ Σ_F ∫_F h_F² |{∇φ}·n| [∂h/∂n] [∂v/∂n]     (continuous potentials)
    A(h, v) = ∫h∇φ·∇v - Σ_F ∫_F ĥ {∇φ}·n [v]                         (DG₁; ĥ is the upwind value)
    A(h, v) = A₁(Rh, Rv)                                              (DG₀; A₁ is that of DG₁)

over interior facets F, with the linear reconstruction R from neighbours. The equation of f has the transposed
matrix: A carries h forwards and f backwards, and has to carry f so well that its gradient converges, since a
rough error of f of size h^j makes one of size h^(j-1) in the fluxes. Hence

- the penalty of jumps of slopes (Burman and Hansbo's), which damps the rough modes that continuous elements
  carry the wrong way, and vanishes for smooth functions. Without it P2 loses an order in f and two in g.
- the reconstruction. With upwind values of the piecewise constants themselves the error of f is of order h
  and rough, and fluxes do not converge.

A(h, 1) = 0 for all h: mass is exact. A(h, h) ≤ ½∫Δφ h², for DG₀ with Rh. Everything is dimensionless.
"""

from __future__ import annotations

from typing import Protocol

import ufl
from dolfinx import fem
from petsc4py import PETSc
from ufl.core.expr import Expr

from fem_models.linearised_jko.elements import MixedSpaces
from fem_models.linearised_jko.forms import Assembled, Measures
from fem_models.linearised_jko.reconstruction import linear_reconstruction

# γ, with the mean height of the two cells on F as h_F.
JUMP_PENALTY = 0.02


class Transports(Protocol):
    """The matrices A_k, rows v, one for each slab."""

    matrices: list[PETSc.Mat]

    def assemble(self, k: int) -> None:
        """Assemble the matrix of slab k for the potential φ that is loaded.

        Args:
            k: The number of the slab, from 0.
        """


def transports(spaces: MixedSpaces, phi: Expr, measures: Measures, slabs: int) -> Transports:
    """The matrices of the transport with velocity ∇φ. Collective.

    Args:
        spaces: The spaces of a pair; h and v are potentials.
        phi: φ, a UFL scalar, continuous.
        measures: The integrals.
        slabs: The number of matrices.

    Returns:
        The matrices, to be assembled slab by slab.
    """
    if spaces.pair.conforming:
        return Assembled(_continuous(spaces, phi, measures), slabs)
    if spaces.pair.potential[1] > 0:
        return Assembled(_upwind(spaces.potentials, phi, measures), slabs)
    return _Reconstructed(spaces.potentials, phi, measures, slabs)


def _continuous(spaces: MixedSpaces, phi: Expr, measures: Measures) -> ufl.Form:
    mesh, (_, degree) = spaces.mesh, spaces.pair.potential
    h, v = ufl.TrialFunction(spaces.potentials), ufl.TestFunction(spaces.potentials)
    normal = ufl.FacetNormal(mesh)
    height = mesh.topology.dim * ufl.avg(ufl.CellVolume(mesh)) / ufl.avg(ufl.FacetArea(mesh))
    penalty = JUMP_PENALTY * height**2 * abs(ufl.dot(ufl.avg(ufl.grad(phi)), normal("+")))
    jumps = ufl.jump(ufl.grad(h), normal) * ufl.jump(ufl.grad(v), normal)
    # A penalty need not be exact, only see all jumps: these are of one degree less than h.
    facets = ufl.dS(domain=mesh, metadata={"quadrature_degree": max(1, 2 * degree - 2)})
    return h * ufl.inner(ufl.grad(phi), ufl.grad(v)) * measures.dx - penalty * jumps * facets


def _upwind(space: fem.FunctionSpace, phi: Expr, measures: Measures) -> ufl.Form:
    h, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    speed = ufl.dot(ufl.avg(ufl.grad(phi)), ufl.FacetNormal(space.mesh)("+"))
    crossing = 0.5 * (speed + abs(speed)) * h("+") + 0.5 * (speed - abs(speed)) * h("-")
    inside = h * ufl.inner(ufl.grad(phi), ufl.grad(v)) * measures.dx
    return inside - crossing * (v("+") - v("-")) * measures.facets


class _Reconstructed:
    """RᵀA₁R for piecewise constants."""

    def __init__(self, constants: fem.FunctionSpace, phi: Expr, measures: Measures, slabs: int) -> None:
        linears = fem.functionspace(constants.mesh, ("DG", 1))
        self._reconstruction = linear_reconstruction(constants, linears)
        self._linear = Assembled(_upwind(linears, phi, measures), 1)
        self._linear.assemble(0)
        [matrix] = self._linear.matrices
        self.matrices = [matrix.ptap(self._reconstruction) for _ in range(slabs)]

    def assemble(self, k: int) -> None:
        """Assemble the matrix of slab k for the potential φ that is loaded."""
        self._linear.assemble(0)
        self._linear.matrices[0].ptap(self._reconstruction, result=self.matrices[k])
