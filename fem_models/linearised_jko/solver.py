"""The linearised JKO problem by preconditioned conjugate gradients, with MUMPS where these fail.

The reduced system of `fem_models.linearised_jko.reduced` for the potential u = f_S of the last slab, of a
matrix S, is preconditioned by the operator P of `fem_models.linearised_jko.smooth_part`, with the diffusion
Σ_k δ q_k I ("plain"), or the geometric mean of this and of the same carried along the flow ("follow", see
`fem_models.linearised_jko.followed_diffusion`).

P is right on smooth potentials. Rough ones are damped by the transports, through J = -½Σ_{k>1} δ(A_k + A_kᵀ),
without its row sums which are those of Δφ, and P is too large on them. So the preconditioner is E P⁻¹ Eᵀ with
E = 1 + αM⁻¹J, where α is measured: it makes P right on the mode that is damped most. The system that is
solved is EᵀSE y = Eᵀb, u = Ey.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from dolfinx import fem
from petsc4py import PETSc

from fem_models.core.errors import InputError
from fem_models.linalg.callbacks import product_matrix, reason_name, weak
from fem_models.linalg.garbage import collect
from fem_models.linalg.krylov import KrylovSolver
from fem_models.linalg.options import Option, managed, refusals
from fem_models.linearised_jko.followed_diffusion import FollowedDiffusion
from fem_models.linearised_jko.loads import Evaluation, Loads, Minimiser
from fem_models.linearised_jko.problem import LinearisedJko
from fem_models.linearised_jko.reduced import ReducedJko
from fem_models.linearised_jko.saddle_point import SaddlePoint
from fem_models.linearised_jko.smooth_part import SmoothPart, smooth_part

Preconditioner = Literal["auto", "plain", "follow"]

# The displacement, as a share of the domain, up to which "auto" does not follow the flow.
_SMALL_DISPLACEMENT = 0.005

# The share of the diffusion that "follow" carries. Smooth potentials move with the flow, but those that vary
# over less than the way of one slab, or over few cells, lag behind: a geometric mean is near to both.
_CARRIED = 0.5

# Of the power method for the most damped mode, which is needed roughly.
_POWER_ITERATIONS = 15

_DEFAULTS: dict[str, Option] = {
    "ksp_type": "cg",
    # The norm of P⁻¹ is close to the energy norm of the error, whatever the contrast of q.
    "ksp_norm_type": "natural",
    "ksp_rtol": 1e-8,
    "ksp_atol": 0.0,
    # Beyond so many iterations MUMPS is taken.
    "ksp_max_it": 100,
}


@dataclass(frozen=True)
class LinearisedSettings:
    """How to solve the reduced system.

    Attributes:
        preconditioner: "plain", "follow", or "auto", which follows the flow unless mass hardly moves.
        petsc: PETSc options without a leading dash: `ksp_...` of the conjugate gradients; `pc_...` and
            `mg_...` of what stands for P⁻¹, or, with Raviart–Thomas fluxes, for the inverse of the matrix of
            multipliers on facets in it; after `transport_`, `mass_` and `fluxes_`, those of the matrices
            M - aδA_k, M and G_k; after `follow_mass_` and `follow_transport_`, those of what carries the
            diffusion of "follow"; after `saddle_`, those of MUMPS.
    """

    preconditioner: Preconditioner = "auto"
    petsc: Mapping[str, Option] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.preconditioner not in get_args(Preconditioner):
            known = ", ".join(get_args(Preconditioner))
            raise InputError(f"The preconditioner must be one of {known}, not {self.preconditioner!r}.")
        if not isinstance(self.petsc, Mapping):
            raise InputError(f'PETSc options are a dictionary, as {{"ksp_rtol": 1e-10}}, not {self.petsc!r}.')


@dataclass(frozen=True)
class Solution:
    """What a call of `LinearisedSolver.solve` found.

    Attributes:
        minimiser: The solution.
        iterations: Of the conjugate gradients.
        preconditioner: "plain" or "follow".
        direct: Whether MUMPS found it, since the conjugate gradients did not.
        report: In that case a sentence for the log that says so, and why; else empty.
    """

    minimiser: Minimiser
    iterations: int
    preconditioner: str
    direct: bool = False
    report: str = ""


class LinearisedSolver:
    """Conjugate gradients for a linearised JKO problem. Collective; build it once.

    Where the matrices of the problem were assembled again, the next call of `solve` takes the new ones.

    Args:
        problem: The linearised problem.
        settings: The preconditioner and options.

    Attributes:
        problem: The same.
        displacement: Δt max|∇φ| as a share of the largest extent of the domain.
        preconditioner: "plain" or "follow".

    Raises:
        InputError: PETSc refuses the options.
    """

    def __init__(self, problem: LinearisedJko, settings: LinearisedSettings | None = None) -> None:
        self.problem = problem
        self._settings = settings or LinearisedSettings()
        petsc = self._settings.petsc
        self._diffusion = FollowedDiffusion(problem.q, problem.phi, problem.data, problem.measures, petsc)
        self._smooth = smooth_part(problem, self._diffusion, petsc)
        self._options = managed(_DEFAULTS | self._smooth.defaults, petsc)
        self._evaluation = Evaluation(problem)
        self._set_up()

    def _set_up(self) -> None:
        """Take the present matrices of the problem."""
        self._version = self.problem.version
        collect(self.problem.spaces.mesh)
        self.displacement = self._diffusion.displacement()
        self.preconditioner = self._settings.preconditioner
        if self.preconditioner == "auto":
            self.preconditioner = "follow" if self.displacement > _SMALL_DISPLACEMENT else "plain"
        self._diffusion.update(_CARRIED if self.preconditioner == "follow" else 0.0)
        with self._inserted():
            self._smooth.assemble()
            self._reduced = ReducedJko(self.problem, self._settings.petsc)
            self._damping = _Damping(self._reduced, self._smooth)
        mass = self.problem.mass
        operator = product_matrix(mass.getSizes(), weak(self._multiply), mass.comm)
        operator.setOption(PETSc.Mat.Option.SPD, True)
        defaults, given = _DEFAULTS | self._smooth.defaults, self._settings.petsc
        self._solver = KrylovSolver(
            mass.comm, "", defaults, given, operator, self._smooth.preconditioned, self._what
        )
        self._smooth.precondition(self._solver.ksp.pc)

    @property
    def _what(self) -> str:
        """What PETSc may refuse, for the message."""
        given = ", ".join(f"{key} = {value}" for key, value in self._settings.petsc.items()) or "given"
        return f"to solve the linearised problem with the options {given}"

    @contextmanager
    def _inserted(self) -> Iterator[None]:
        """The options in the database, and what PETSc says against them as a sentence."""
        with refusals(self._what), self._options.inserted_options():
            yield

    def _multiply(self, _: PETSc.Mat, y: PETSc.Vec, product: PETSc.Vec) -> None:
        """The product with EᵀSE."""
        self._reduced.mult(self._damping(y), product)
        self._damping(product, adjoint=True).copy(product)

    def solve(self, loads: Loads) -> Solution:
        """The minimiser for given loads.

        Args:
            loads: Of the same problem.

        Returns:
            The minimiser, and how it was found.

        Raises:
            SolveError: The conjugate gradients failed, and MUMPS as well.
            InputError: PETSc refuses the options.
        """
        if self._version != self.problem.version:
            self._set_up()
        y = self._reduced.vector()
        self._reduced.failed = ""
        right = self._damping(self._reduced.right_side(loads), adjoint=True)
        self._solver.solve(right, y)
        found = self._minimiser(self._damping(y), loads)
        iterations = self._solver.iterations
        if self._solver.converged and not self._reduced.failed:
            return Solution(found, iterations, self.preconditioner)
        direct = SaddlePoint(self.problem, self._settings.petsc).solve(loads)
        return Solution(direct, iterations, self.preconditioner, True, self._report(iterations))

    def _report(self, iterations: int) -> str:
        reason = reason_name(PETSc.KSP.ConvergedReason, self._solver.ksp.getConvergedReason())
        cause = (
            f"the iterative solver of the {self._reduced.failed} failed"
            if self._reduced.failed
            else f"the conjugate gradients stopped after {iterations} iterations, {reason}"
        )
        return (
            f"The linearised JKO problem was solved by MUMPS: {cause} with the preconditioner "
            f"{self.preconditioner} at a displacement of {self.displacement:.2g} of the domain."
        )

    def _minimiser(self, u: PETSc.Vec, loads: Loads) -> Minimiser:
        reduced, spaces = self._reduced, self.problem.spaces
        f, p = reduced.potentials(u, loads), reduced.end(u, loads)
        h = [_function(spaces.potentials, "h", vector) for vector in reduced.perturbations(f, p, loads)]
        potentials = [_function(spaces.potentials, "f", vector) for vector in f]
        if self.problem.eliminates:
            g = self._evaluation.recovered_fluxes(loads, potentials)
        else:
            fluxes = (reduced.flux(k, vector, loads) for k, vector in enumerate(f))
            g = [_function(spaces.fluxes, "g", vector) for vector in fluxes]
        return self._evaluation(loads, potentials, g, [loads.start, *h], _function(spaces.potentials, "p", p))


class _Damping:
    """E = 1 + αM⁻¹J.

    Args:
        reduced: The reduced system S.
        smooth: P.
    """

    def __init__(self, reduced: ReducedJko, smooth: SmoothPart) -> None:
        self._reduced = reduced
        self._active = False
        if reduced.problem.slabs == 1:
            return
        self._rates = _rates(reduced.problem)
        rough, product = reduced.vector(), reduced.vector()
        # Any vector that is rough in all places.
        start, end = rough.getOwnershipRange()
        rough.array_w[:] = np.cos(np.arange(start, end, dtype=float) ** 2)
        for _ in range(_POWER_ITERATIONS):
            rough = reduced.without_mass(self._rates * rough)
            if rough.normalize() == 0.0:
                # There is no transport, or one without a jump.
                return
        self._rates.mult(rough, product)
        damped = rough.dot(product)
        reduced.problem.mass.mult(rough, product)
        rate = damped / rough.dot(product)
        expected = rough.dot(smooth.product(rough))
        reduced.mult(rough, product)
        found = rough.dot(product)
        # Where the solvers of single matrices fail, the product means nothing; a solve will say so.
        if reduced.failed or rate <= 0.0 or not 0.0 < found < expected:
            return
        self._active = True
        self._rates.scale((math.sqrt(expected / found) - 1.0) / rate)

    def __call__(self, u: PETSc.Vec, adjoint: bool = False) -> PETSc.Vec:
        """Eu, or Eᵀu."""
        if not self._active:
            return u.copy()
        without_mass = self._reduced.without_mass
        return u + (self._rates * without_mass(u) if adjoint else without_mass(self._rates * u))


def _rates(problem: LinearisedJko) -> PETSc.Mat:
    """J, without its row sums."""
    total = problem.transports[1].copy()
    for transport in problem.transports[2:]:
        total.axpy(1.0, transport)
    rates = PETSc.Mat()
    total.transpose(rates)
    rates.axpy(1.0, total)
    rates.scale(-0.5 * problem.delta)
    sums, ones = rates.createVecs()
    ones.set(1.0)
    rates.mult(ones, sums)
    sums.scale(-1.0)
    rates.setDiagonal(sums, addv=PETSc.InsertMode.ADD_VALUES)
    return rates


def _function(space: fem.FunctionSpace, name: str, values: PETSc.Vec) -> fem.Function:
    found = fem.Function(space, name=name)
    found.x.petsc_vec.array_w[:] = values.array_r
    found.x.scatter_forward()
    return found
