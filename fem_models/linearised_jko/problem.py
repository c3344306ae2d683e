"""The linearised JKO problem: the optimality conditions of a JKO step linearised around a pair (q, φ).

Minimise (Bruna, Burger and Carrillo, (2.13))

    ½ ∫_0^Δt ∫|g|²/q + ½∫E'' h(Δt)² + C∫h(Δt) q    subject to    ∂s h + div(g + h∇φ) = 0,  h(0) = h₀,

with multiplier f. There are S slabs of length δ, with densities h̃_k = (1-a) h_{k-1} + a h_k; a = 1 for S = 1
and a = ½ otherwise. With the mass matrix M and, for each slab k = 1..S at its middle, the transport A_k, the
flux mass G_k and the coupling B of `fem_models.linearised_jko.constraint` the equations are

    M(h_k - h_{k-1}) - δ A_k h̃_k + δ B g_k = c_k,    G_k g_k + Bᵀf_k = l_k                       (2.14)
    M(f_k - f_{k+1}) - δ(a A_kᵀf_k + (1-a) A_{k+1}ᵀf_{k+1}) = r_k,  k < S                        (2.12b)
    (M - aδ A_Sᵀ) f_S = M p + r_S,    M_{1/E''} p = -M h_S - e,    M_{1/E''} = (∫uv/E'')         (2.12e)

so that p, the potential at the end, is -(E'' h_S + C q), with e = ∫C q v/E''. They are the stationarity of
one discrete saddle point, hence symmetric; its terminal cost is sup_p -∫p h_S - ½∫(p + C q)²/E'', the one
above up to a projection. h belongs to the ends of slabs, f and g to their middles: the error in time is of
second order for S > 1, of first for S = 1.

Of h only the end has a norm in the functional; before, h is controlled in the dual of H¹ (Theorem 2.2: the
space W), and only there its error can be expected to go as that of the fluxes.

The loads c, l, r and e are those of `fem_models.linearised_jko.loads`;
`fem_models.linearised_jko.saddle_point` solves all equations at once. Everything is dimensionless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.mesh import Mesh
from petsc4py import PETSc

from fem_models.core.checks import is_number
from fem_models.core.errors import InputError
from fem_models.energies import Energy, Term
from fem_models.linearised_jko.constraint import CellwiseFluxes, ConformingFluxes
from fem_models.linearised_jko.data_checks import require_continuous, require_positive
from fem_models.linearised_jko.elements import PAIRS, MixedSpaces, pair_named
from fem_models.linearised_jko.forms import Assembled, Measures, assembled
from fem_models.linearised_jko.slab_data import InTime, SlabData, Slabs
from fem_models.linearised_jko.slab_transport import Transports, transports
from fem_models.linearised_jko.terminal_costs import TerminalCost, curvature
from fem_models.meshes.marks import MarkedMesh, mesh_of
from fem_models.meshes.torus import lengths_of


class LinearisedJko:
    """The matrices of the linearised JKO problem around (q, φ). Collective; build it once.

    Args:
        mesh: Of simplices.
        pair: "P1-DG0", "P2-DG1", "DG0-RT1" or "DG1-RT2".
        q: The density, positive: a function of x and s that gives UFL, or a list of S + 1 functions of one
            space, at the middles of slabs and at the end.
        phi: The potential, continuous: likewise, with S functions.
        duration: Δt.
        slabs: S.
        terminal: The terminal cost, "paper" or "second-variation".
        C: Of the terminal cost "paper".
        energy: Of the terminal cost "second-variation".

    Attributes:
        spaces: The spaces of potentials and fluxes.
        measures: The integrals of all forms.
        data: The times: its method `load` gives q, φ and E'' their values for the forms that are assembled
            next.
        q, phi, curvature: q, φ and E'' as UFL scalars, with the values that are loaded.
        C: Of the terminal cost.
        slabs: S.
        delta: δ.
        a: The weight of h_k in slab k.
        mass: M.
        transports: A_k for each slab.
        end_mass: M_{1/E''}.
        fluxes: K_k as `fluxes.stiffnesses` (continuous potentials), or G_k and B as `fluxes.masses` and
            `fluxes.coupling`.
        version: How often the matrices have been assembled.

    Raises:
        InputError: Names that are not known, a pair that is not stable, a duration that is not positive, no
            slab, a constant C that is negative or without its cost, data that are no such functions or
            lists, or on another mesh, a φ with jumps, or q or E'' that is not positive.
    """

    def __init__(
        self,
        mesh: MarkedMesh | Mesh,
        pair: str,
        q: InTime | Sequence[fem.Function],
        phi: InTime | Sequence[fem.Function],
        duration: float,
        slabs: int,
        terminal: TerminalCost = "paper",
        C: float = 0.0,
        energy: Energy | Term | None = None,
    ) -> None:
        mesh = mesh_of(mesh)
        if lengths_of(mesh) is not None:
            raise InputError(
                "The linearised JKO problem is not there on a torus: take a domain with a boundary."
            )
        stable = [name for name, known in PAIRS.items() if known.stable]
        if pair not in stable:
            why = "is not stable" if pair in PAIRS else "is not known"
            raise InputError(
                f"The pair {pair} {why}: the linearised problem needs one of {', '.join(stable)}."
            )
        interval = Slabs(duration, slabs)
        self.slabs, self.delta, self.a = interval.count, interval.delta, interval.weight
        self.spaces = MixedSpaces(mesh, pair_named(pair))
        self.measures = Measures(self.spaces)
        self.data = SlabData(mesh, interval)
        self.q = self.data.of(q, slabs + 1, "q")
        self.phi = self.data.of(phi, slabs, "phi")
        require_continuous(self.phi, "phi")
        self.curvature = curvature(terminal, self.q, self.data.x, energy)
        if not is_number(C) or not 0.0 <= C < np.inf or (C and terminal != "paper"):
            raise InputError(
                f"C must be a number, zero or more, and zero unless the terminal cost is paper, not {C!r}."
            )
        self.C = float(C)
        self._least_q: Callable[[], float] = self.measures.least(self.q)
        self._least_curvature: Callable[[], float] = self.measures.least(self.curvature)
        f, v = ufl.TrialFunction(self.spaces.potentials), ufl.TestFunction(self.spaces.potentials)
        self.mass: PETSc.Mat = assembled(f * v * self.measures.dx)
        self._transport: Transports = transports(self.spaces, self.phi, self.measures, slabs)
        self.transports: list[PETSc.Mat] = self._transport.matrices
        self._end_mass: Assembled = Assembled(f * v / self.curvature * self.measures.dx, 1)
        self.end_mass: PETSc.Mat = self._end_mass.matrices[0]
        self.fluxes: CellwiseFluxes | ConformingFluxes
        kind = CellwiseFluxes if self.eliminates else ConformingFluxes
        self.fluxes = kind(self.spaces, self.q, self.measures, slabs)
        self.version: int = 0
        self.assemble()

    @property
    def eliminates(self) -> bool:
        """Whether fluxes are eliminated cell by cell, as those of continuous potentials are."""
        return self.spaces.pair.conforming

    @property
    def cellwise(self) -> CellwiseFluxes:
        """The fluxes, where they are eliminated cell by cell."""
        assert isinstance(self.fluxes, CellwiseFluxes)
        return self.fluxes

    def stiffness(self, k: int) -> PETSc.Mat:
        """K_k = B G_k⁻¹ Bᵀ of slab k, numbered from 0, for continuous potentials.

        Args:
            k: The number of the slab.

        Returns:
            The matrix itself, no copy.
        """
        return self.cellwise.stiffnesses[k]

    def flux_mass(self, k: int) -> PETSc.Mat:
        """G_k of slab k, numbered from 0, for Raviart–Thomas fluxes; held unknowns have 1 on the diagonal.

        Args:
            k: The number of the slab.

        Returns:
            The matrix itself, no copy.
        """
        assert isinstance(self.fluxes, ConformingFluxes)
        return self.fluxes.masses[k]

    @property
    def coupling(self) -> PETSc.Mat:
        """B for Raviart–Thomas fluxes, without columns of held unknowns."""
        assert isinstance(self.fluxes, ConformingFluxes)
        return self.fluxes.coupling

    def assemble(self) -> None:
        """Assemble all matrices again, with the present values of the functions that q or φ are given by.

        Raises:
            InputError: q or E'' is not positive.
        """
        for k in range(self.slabs):
            self.data.load(k)
            require_positive(self._least_q(), "The density q", f"in the middle of slab {k + 1}")
            self.fluxes.assemble(k)
            self._transport.assemble(k)
        self.data.load(self.slabs)
        require_positive(self._least_q(), "The density q", "at the end")
        require_positive(self._least_curvature(), "E'' of the terminal cost", "at the end")
        self._end_mass.assemble(0)
        self.version += 1

    def implicit_step(self, k: int) -> PETSc.Mat:
        """A new matrix M - aδA_k.

        Args:
            k: The number of the slab, from 0.

        Returns:
            The matrix.
        """
        matrix = self.transports[k].copy()
        matrix.scale(-self.a * self.delta)
        matrix.axpy(1.0, self.mass, structure=PETSc.Mat.Structure.SUBSET_NONZERO_PATTERN)
        return matrix

    def explicit_step(self, k: int) -> PETSc.Mat:
        """A new matrix M + (1-a)δA_k.

        Args:
            k: The number of the slab, from 0.

        Returns:
            The matrix.
        """
        matrix = self.transports[k].copy()
        matrix.scale((1.0 - self.a) * self.delta)
        matrix.axpy(1.0, self.mass, structure=PETSc.Mat.Structure.SUBSET_NONZERO_PATTERN)
        return matrix
