"""Discrete inf-sup (Ladyzhenskaya–Babuška–Brezzi) constants of pairs of potentials f and fluxes g.

Of fluxes alone, with b(g, f) = -∫g·∇f, or ∫f div g, of `fem_models.linearised_jko.elements`, and a weight q >
0:

    β = inf over f with ∫f = 0 of  sup over g of  b(g, f) / (|g| |f|),
    |g|² = ∫ g·g / q,
    |f|² = ∫ q |∇f|²                                                          for continuous potentials,
    |f|² = Σ over cells ∫ q |∇f|² + Σ over inner facets ∫ ({q}/{h}) [f]²      for the others,

where {} is the mean over the two cells at a facet, [] the difference, and h twice the circumradius of a
cell. β² is the smallest eigenvalue λ of B G⁻¹ Bᵀ f = λ N f on potentials of mean zero, with G and N the
matrices of |g|² and |f|². Each slab of a time interval has its own f and g, so β is the same for any number.
Raviart–Thomas fluxes have no normal component at the boundary (the condition (2.12c) of Bruna, Burger and
Carrillo, (q∇f + h∇φ)·n = 0) or are free there; the other pairs have that condition in their weak form.

Of the whole constraint ∂s h + div(g + h∇φ) = 0, (2.14), in S slabs of length δ = Δt/S and with h₀ = 0:

    b((g, h), f) = Σ_k [∫(h_k - h_{k-1}) f_k - δ∫h̃_k ∇φ·∇f_k + δ b(g_k, f_k)],  h̃_k = (1-a) h_{k-1} + a h_k,

with a = 1 for S = 1 and a = ½ otherwise. The supremum is over all g and, as in the proof of Theorem 2.2,
over h that are constant in space. Norms are those of L²(0, Δt; H¹) for f, by Poincaré's inequality,
Σ δ (|f_k|² + (∫f_k)²); of L² for g, Σ δ |g_k|²; and, for h, that of ∂h/∂s + div(h∇φ) in the dual of the
former. With all h of the space of f, that norm would give a constant of at least 1 for any pair, and the
test could not fail.

For φ and q that do not change in time, the slabs decouple. Let m(f) = ∫f, t(f) = ∫∇φ·∇f (for discontinuous
potentials, cell by cell and less ∫∇φ·n [f] on inner facets), τ the dual norm of t, e_k = (h_k - h_{k-1})/δ,
and T the matrix that takes e to h̃. As t vanishes on constants, |h|² = δ eᵀ(I + τ² TᵀT)e, and the square of
the supremum over h is δ (m - Tᵀt)ᵀ (I + τ² TᵀT)⁻¹ (m - Tᵀt) with the vectors m = (m(f_k))_k, t = (t(f_k))_k.
The singular value decomposition of T splits this into S problems: the eigenvalues of

    B G⁻¹ Bᵀ + w wᵀ  against  N + m mᵀ,   w = cos θ m - (sin θ/τ) t,   tan θ = τ s,

for the singular values s of T; they fall as θ grows, and β² belongs to the largest s. Without transport β is
the smaller of 1 and the constant of fluxes alone. All quantities are dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal

import basix
import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from dolfinx.mesh import Mesh
from mpi4py import MPI
from petsc4py import PETSc
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.linalg.eigenvalues import Columns, Pencil, dual_norm, slepc_module, smallest_eigenvalue
from fem_models.linearised_jko.data_checks import require_continuous
from fem_models.linearised_jko.elements import MixedSpaces, Pair
from fem_models.linearised_jko.forms import assembled_vector

Boundary = Literal["no-flux", "free"]
Formula = Callable[[Expr], Expr]


class InfSup:
    """The inf-sup constants of a pair on a mesh. Collective.

    Args:
        mesh: Of simplices.
        pair: The pair.
        weight: q as a function of the coordinates, UFL; dimensionless.

    Attributes:
        unknowns: Number of unknowns of the potentials' space.

    Raises:
        InputError: The weight is not positive and finite, or slepc4py is not installed.
    """

    def __init__(self, mesh: Mesh, pair: Pair, weight: Formula) -> None:
        slepc_module()
        self.mesh, self.pair = mesh, pair
        self.spaces = MixedSpaces(mesh, pair)
        self.unknowns = self.spaces.potentials.dofmap.index_map.size_global
        self._x = ufl.SpatialCoordinate(mesh)
        # The second term gives a mesh to weights that are numbers.
        self._weight = weight(self._x) + fem.Constant(mesh, 0.0)
        self._degree = 2 * max(pair.potential[1], pair.flux[1]) + 4
        self._check_weight()
        self._test = ufl.TestFunction(self.spaces.potentials)

    def of_fluxes(self, boundary: Boundary = "no-flux") -> float:
        """The constant β of fluxes alone. Collective.

        Args:
            boundary: What Raviart–Thomas fluxes do at the boundary; no difference for other pairs.

        Returns:
            β, the same on all ranks.

        Raises:
            SolveError: The eigenvalue solver did not converge.
        """
        mean = self._mean.array_r[:, None]
        return math.sqrt(smallest_eigenvalue(self._pencil(boundary, mean[:, :0], mean)))

    def of_constraint(self, duration: float, slabs: int, potential: Formula) -> float:
        """The constant β of the whole constraint, without flux at the boundary. Collective.

        Args:
            duration: Δt.
            slabs: S.
            potential: φ as a function of the coordinates, UFL.

        Returns:
            β, the same on all ranks.

        Raises:
            InputError: A duration that is not positive, no slabs, or a φ that jumps or is not finite.
            SolveError: The eigenvalue solver did not converge.
        """
        integration = float(np.linalg.norm(time_integration(duration, slabs), 2))
        transport = self._transport(potential)
        size = dual_norm(self.norm, transport)
        angle = math.atan(size * integration)
        mean = self._mean.array_r[:, None]
        along = transport.array_r[:, None] * (math.sin(angle) / size if size else 0.0)
        pencil = self._pencil("no-flux", math.cos(angle) * mean - along, mean[:, :0])
        return math.sqrt(smallest_eigenvalue(pencil))

    def _pencil(self, boundary: Boundary, added: Columns, constraints: Columns) -> Pencil:
        fluxes, coupling = self.flux_matrices(boundary)
        return Pencil(fluxes, coupling, self.norm, added, self._mean.array_r[:, None], constraints)

    def flux_matrices(self, boundary: Boundary) -> tuple[PETSc.Mat, PETSc.Mat]:
        """G and B, shapes (fluxes, fluxes) and (potentials, fluxes). Collective.

        Args:
            boundary: Without flux, boundary unknowns have a row of the identity in G and zeros in B.

        Returns:
            G and B.
        """
        g, w = ufl.TrialFunction(self.spaces.fluxes), ufl.TestFunction(self.spaces.fluxes)
        held = []
        if boundary == "no-flux":
            held = [fem.dirichletbc(fem.Function(self.spaces.fluxes), self.spaces.boundary_fluxes)]
        dx = self._over(ufl.dx)
        coupling = _assembled(self.spaces.coupling(g, self._test) * dx, held)
        return _assembled(ufl.inner(g, w) / self._weight * dx, held), coupling

    @cached_property
    def norm(self) -> PETSc.Mat:
        """N, shape (potentials, potentials)."""
        f, v, q = ufl.TrialFunction(self.spaces.potentials), self._test, self._weight
        form = q * ufl.inner(ufl.grad(f), ufl.grad(v)) * self._over(ufl.dx)
        if not self.pair.conforming:
            h = 2.0 * ufl.Circumradius(self.mesh)
            form += ufl.avg(q) / ufl.avg(h) * ufl.jump(f) * ufl.jump(v) * self._over(ufl.dS)
        return _assembled(form)

    @cached_property
    def _mean(self) -> PETSc.Vec:
        return _assembled_vector(fem.Constant(self.mesh, 1.0) * self._test * self._over(ufl.dx))

    def _transport(self, potential: Formula) -> PETSc.Vec:
        # The second term keeps the gradient of a number from being no form at all.
        phi = potential(self._x) + fem.Constant(self.mesh, 0.0) * self._x[0]
        require_continuous(phi, "The potential φ of the transport")
        form = ufl.inner(ufl.grad(phi), ufl.grad(self._test)) * self._over(ufl.dx)
        if not self.pair.conforming:
            jump = ufl.jump(self._test, ufl.FacetNormal(self.mesh))
            form -= ufl.inner(ufl.avg(ufl.grad(phi)), jump) * self._over(ufl.dS)
        transport = _assembled_vector(form)
        if not math.isfinite(transport.norm()):
            raise InputError(
                "The potential φ of the transport is not finite on the mesh; change its expression."
            )
        return transport

    def _over(self, measure: ufl.Measure) -> ufl.Measure:
        return measure(metadata={"quadrature_degree": self._degree})

    def _check_weight(self) -> None:
        cell = self.mesh.basix_cell()
        points = np.vstack([basix.make_quadrature(cell, self._degree)[0], basix.geometry(cell)])
        topology = self.mesh.topology
        owned = np.arange(topology.index_map(topology.dim).size_local, dtype=np.int32)
        with np.errstate(all="ignore"):
            values = fem.Expression(self._weight, points).eval(self.mesh, owned)
        good = bool(np.all(np.isfinite(values) & (values > 0.0)))
        if not self.mesh.comm.allreduce(good, op=MPI.LAND):
            raise InputError("The weight q must be positive and finite on the mesh; change its expression.")


def time_integration(duration: float, slabs: int) -> npt.NDArray[np.float64]:
    """The matrix T, shape (S, S), from changes e_k of h per time to its values h̃_k inside the slabs.

    Args:
        duration: Δt.
        slabs: S.

    Returns:
        T.

    Raises:
        InputError: A duration that is not positive, or no slabs.
    """
    if not (duration > 0.0 and math.isfinite(duration)):
        raise InputError(f"The duration must be positive, not {duration:g}.")
    if slabs < 1:
        raise InputError(f"There must be at least one slab, not {slabs}.")
    inside = 1.0 if slabs == 1 else 0.5
    return duration / slabs * (np.tri(slabs, k=-1) + inside * np.eye(slabs))


def _assembled(form: ufl.Form, held: Sequence[fem.DirichletBC] = ()) -> PETSc.Mat:
    matrix = fem_petsc.assemble_matrix(fem.form(form), bcs=list(held))
    matrix.assemble()
    return matrix


def _assembled_vector(form: ufl.Form) -> PETSc.Vec:
    return assembled_vector(fem.form(form))
