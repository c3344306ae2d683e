"""Solvers of linear systems: a Krylov method or a factorisation, with options of PETSc under a prefix.

The systems that a run is about have no prefix: `-ksp_rtol 1e-4` is for Newton's method in implicit steps, for
that of paths of least action, and for the conjugate gradients of the linearised problem. Every other system
has a prefix of its own, and sees no option without it: `-static_ksp_rtol 1e-10` is for static fields alone.
The prefixes:

    static_             static fields for given densities            flow/static_fields.py
    log_mass_           mass matrix of log-densities                 flow/log_density.py
    geodesic_           potentials of geodesics                      jko/geodesic_extrapolation.py
    steady_             fields of steady states                      steady/field_equations.py
    nonlocal_           non-local potentials of steady states        steady/equilibrium.py
    inf_sup_            factorisations for inf-sup constants         linalg/eigenvalues.py
    transport_          the matrices M - aδA_k of the slabs          linearised_jko/reduced.py
    mass_               the mass matrix M of potentials              linearised_jko/reduced.py
    fluxes_             the mass matrices G_k of fluxes              linearised_jko/reduced.py
    projection_         projection of the first perturbation         linearised_jko/loads.py
    follow_mass_        mass matrices of the diffusion carried along linearised_jko/followed_diffusion.py
    follow_transport_   steps in time of the same                    linearised_jko/followed_diffusion.py
    saddle_             all equations of the linearised problem      linearised_jko/saddle_point.py
    perturbed_          (I - Δ)φ = ρ of kinetic equations           kinetic/bgk/perturbed.py

They count in the order of `fem_models.linalg.options`: those of the command line (or of PETSC_OPTIONS in the
environment) win over what a caller gives, and this over the defaults.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from mpi4py import MPI
from petsc4py import PETSc

from fem_models.linalg.options import INNER_PREFIXES, Option, managed, refusals

LinearSolver = Literal["auto", "direct", "krylov"]

Kind = Literal["step", "path", "hard path", "geodesic", "steady"]

# Unknowns up to which a factorisation is as fast as a Krylov method, by the dimension of the mesh (measured;
# in one dimension it always is). For steps in time, for minimising movements in one slab, for such in several
# slabs or along a barrier, whose systems are ill-conditioned, for potentials of geodesics, and for the fields
# of steady states.
_DIRECT_UP_TO: Mapping[Kind, Mapping[int, float]] = {
    "step": {1: math.inf, 2: 3_000, 3: 1_000},
    "path": {1: math.inf, 2: 3_000, 3: 1_000},
    "hard path": {1: math.inf, 2: 300_000, 3: 15_000},
    "geodesic": {1: math.inf, 2: 3_000, 3: 1_000},
    "steady": {1: math.inf, 2: 100_000, 3: 20_000},
}


def factorises(kind: Kind, unknowns: int, dimension: int, choice: LinearSolver = "auto") -> bool:
    """Whether a system is to be factorised rather than solved by a Krylov method.

    Args:
        kind: What the system is of.
        unknowns: Number of unknowns on all ranks.
        dimension: Of the mesh.
        choice: "direct", "krylov", or "auto" to choose by the size.

    Returns:
        Whether a factorisation is the choice.
    """
    return choice == "direct" or (choice == "auto" and unknowns <= _DIRECT_UP_TO[kind][dimension])


class KrylovSolver:
    """A Krylov method or a factorisation by PETSc, with options that the user may change. Collective.

    Options are in PETSc's database only while the solver reads them: as it is made, and in the first solve
    with a new matrix.

    Args:
        comm: The communicator of the matrices.
        prefix: The prefix of its options, one of the list above, or "".
        defaults: Options without prefix, as `{"ksp_type": "cg"}`.
        given: Options of the user, which win over the defaults; those that do not start with the prefix are
            others' and do not count.
        operator: The matrix; or `set_operators` gives it.
        preconditioned: The matrix that the preconditioner is made of, by default the same.
        what: What PETSc refuses when it does, for the message; an option by default.

    Raises:
        InputError: PETSc refuses an option.

    Attributes:
        ksp: PETSc's solver.
    """

    def __init__(
        self,
        comm: MPI.Comm | PETSc.Comm,
        prefix: str,
        defaults: Mapping[str, Option],
        given: Mapping[str, Option] | None = None,
        operator: PETSc.Mat | None = None,
        preconditioned: PETSc.Mat | None = None,
        what: str = "",
    ) -> None:
        if prefix and prefix not in INNER_PREFIXES:
            raise ValueError(f"{prefix} is not in the list of prefixes.")
        self._options = managed(defaults, given or {}, prefix)
        self._what = what or (f"an option with the prefix {prefix}" if prefix else "an option")
        self._read = False
        self.ksp = PETSc.KSP().create(comm)
        if prefix:
            self.ksp.setOptionsPrefix(prefix)
        if operator is not None:
            self.set_operators(operator, preconditioned)
        with refusals(self._what), self._options.inserted_options():
            self.ksp.setFromOptions()

    @property
    def converged(self) -> bool:
        """Whether the last solve met its tolerance."""
        return self.ksp.getConvergedReason() > 0

    @property
    def failed(self) -> bool:
        """Whether the last solve diverged or had a matrix that could not be factorised."""
        return self.ksp.getConvergedReason() < 0

    @property
    def iterations(self) -> int:
        """Iterations of the last solve."""
        return self.ksp.getIterationNumber()

    def set_operators(self, operator: PETSc.Mat, preconditioned: PETSc.Mat | None = None) -> None:
        """Take another matrix, or another preconditioner's, or the same with new entries.

        Args:
            operator: The matrix.
            preconditioned: The matrix that the preconditioner is made of, by default the same.
        """
        self.ksp.setOperators(operator, operator if preconditioned is None else preconditioned)
        self._read = False

    def set_up(self) -> None:
        """Make the preconditioner or the factors now rather than in the next solve.

        Raises:
            InputError: PETSc refuses an option.
        """
        with refusals(self._what), self._options.inserted_options():
            self.ksp.setUp()

    def solve(self, right: PETSc.Vec, found: PETSc.Vec) -> None:
        """Solve; `converged` and `failed` tell whether that was possible.

        Args:
            right: The right-hand side.
            found: Where the solution goes.

        Raises:
            InputError: PETSc refuses an option.
        """
        with self._reading():
            self.ksp.solve(right, found)

    def precondition(self, right: PETSc.Vec, found: PETSc.Vec) -> None:
        """Apply the preconditioner alone, which is made where that has not been done.

        Args:
            right: What it is applied to.
            found: Where the result goes.

        Raises:
            InputError: PETSc refuses an option.
        """
        with self._reading():
            self.ksp.setUp()
            self.ksp.getPC().apply(right, found)

    def solve_transposed(self, right: PETSc.Vec, found: PETSc.Vec) -> None:
        """Solve with the transposed matrix.

        Args:
            right: The right-hand side.
            found: Where the solution goes.

        Raises:
            InputError: PETSc refuses an option.
        """
        with self._reading():
            self.ksp.solveTranspose(right, found)

    def reset(self) -> None:
        """Drop what was made of the matrix: factors, levels. The matrix is to be given anew."""
        self.ksp.reset()
        self._read = False

    def destroy(self) -> None:
        """Free the solver."""
        self.ksp.destroy()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """The options in the database, where parts of the solver that read them are yet to be made."""
        if self._read:
            yield
            return
        with refusals(self._what), self._options.inserted_options():
            yield
        self._read = True
