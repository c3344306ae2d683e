"""Newton's method for implicit steps, through PETSc SNES, and its report when it fails."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import numpy.typing as npt
from petsc4py import PETSc

from fem_models.core.checks import one_of, options, positive, whole
from fem_models.linalg.callbacks import product_matrix, reason_name, weak
from fem_models.linalg.garbage import collect
from fem_models.linalg.krylov import LinearSolver
from fem_models.linalg.linear_solver import Preconditioner, linear_options
from fem_models.linalg.lost_sums import with_sums
from fem_models.linalg.options import Option, managed
from fem_models.linalg.step_equations import Linearisation, State, StepEquations

_TESTS = ("snes_atol", "snes_rtol", "snes_stol")

# A residual that grows by this factor is not on its way to zero.
_HOPELESS = 1e16

# What rounding leaves of the residual, in units of the size of the terms that cancel in it. It grows like
# τ/h², beyond any tolerance: a residual within it counts as zero below this share of the mass, and elsewhere
# once Newton's steps change the terms by less than this.
_ROUND_OFF = 16.0 * np.finfo(float).eps
_LARGEST_ROUND_OFF = 1e-7
_SETTLED = 1e-8

# Newton's method may cycle between the two sides of a kink of the flux: after so many iterations, steps are
# shortened, down to this factor, while the residual does not fall.
_PATIENCE = 6
_LEAST_DAMPING = 1.0 / 16.0

# The relative residual of a first iterate that is as good as any other.
_NO_CHANGE = 1e-15

# The relative tolerance of linear systems with interactions and the factors of the rest.
_WITH_FACTORS = 1e-6

# The relative tolerance of solutions with an added entropy.
_ROUGH = 1e-6


@dataclass(frozen=True)
class NewtonSettings:
    """How to solve an implicit step.

    Attributes:
        tolerance: The residual, in units of mass, is reduced to this share of the Euclidean norm of the nodal
            masses (or to round-off, where that is larger).
        max_iterations: Of Newton's method in a step.
        linear: "direct", "krylov" or "auto".
        petsc: PETSc options without a leading dash; those for `snes_atol`, `snes_rtol` or `snes_stol` replace
            the tolerance.

    Raises:
        InputError: A value of another kind, or out of range.
    """

    tolerance: float = 1e-10
    max_iterations: int = 50
    linear: LinearSolver = "auto"
    petsc: Mapping[str, Option] = field(default_factory=dict)

    def __post_init__(self) -> None:
        positive(self.tolerance, "tolerance")
        whole(self.max_iterations, "max_iterations", least=1)
        one_of(self.linear, get_args(LinearSolver), "linear")
        options(self.petsc, "petsc")


@dataclass(frozen=True)
class Outcome:
    """What a call of `Newton.solve` did.

    Attributes:
        state: The last iterate.
        converged: Whether it is a solution.
        newton: Newton iterations.
        linear: Iterations of the linear solver.
        report: For a failure: residual history, reasons, extrema.
    """

    state: State
    converged: bool
    newton: int
    linear: int
    report: str = ""


class Newton:
    """Newton's method for implicit steps. Collective; build it once.

    Steps are kept to what the fields can do (`Linearisation.limited`), and shortened where the residual does
    not fall.

    Args:
        equations: The equations.
        settings: Tolerances and options.
    """

    def __init__(self, equations: StepEquations, settings: NewtonSettings) -> None:
        self._equations = equations
        self._settings = settings
        self._comm = equations.mesh.comm
        self._interactions = equations.interactions
        self.seconds = {"assemble": 0.0, "solve": 0.0}

        collect(equations.mesh)
        self._matrix = equations.new_matrix()
        self._solution = self._matrix.createVecRight()
        self._residual = self._matrix.createVecRight()
        self._scatter = equations.vector()
        unknowns = self._solution.size
        defaults = {
            "snes_type": "newtonls",
            "snes_linesearch_type": "basic",
            "snes_max_it": settings.max_iterations,
            **linear_options(
                settings.linear, unknowns, equations.mesh.topology.dim, self._comm.size, equations.names
            ),
        }
        if self._interactions is not None and defaults["ksp_type"] == "preonly":
            # The factors are those of the Jacobian without interactions, which come by products alone.
            defaults |= {"ksp_type": "gmres", "ksp_rtol": _WITH_FACTORS}
        self._options = managed(defaults, settings.petsc)
        self._snes = PETSc.SNES().create(self._comm)
        self._snes.setFunction(weak(self._evaluate), self._residual)
        self._operator = self._matrix
        if self._interactions is not None:
            sizes = self._matrix.getSizes()
            self._operator = product_matrix(sizes, weak(self._multiply), self._comm)
            self._moved = equations.vector()
        self._snes.setJacobian(weak(self._assemble), self._operator, self._matrix)
        self._snes.setLineSearchPreCheck(weak(self._limit_step))
        self._snes.setConvergenceHistory(length=1000, reset=True)
        self._preconditioner = Preconditioner(
            self._snes.ksp, self._options.parameters, equations.names, equations.elliptic
        )
        self._change: npt.NDArray[np.float64] | None = None
        self._factorises = self._options.parameters["ksp_type"] == "preonly"
        # Krylov methods leave more of the residual than what is forgotten.
        self._keeps_sums = self._factorises and equations.conserved is not None
        with self._options.inserted_options():
            self._snes.setFromOptions()
        if not any(test in self._options.parameters for test in _TESTS):
            self._snes.setConvergenceTest(weak(self._test))

    def solve(
        self, guess: State, anchor: State, tau: float, entropy: float = 0.0, limit: int | None = None
    ) -> Outcome:
        """Solve a step from a guess.

        Args:
            guess: First iterate.
            anchor: The densities h of the step.
            tau: Time step.
            entropy: Coefficient of an entropy added to the energy, for a solution on the way to another:
                solved to a lower accuracy.
            limit: Iterations after which to give up, if fewer than the settings allow.

        Returns:
            The last iterate, and whether it is a solution.
        """
        start = time.perf_counter()
        before = self.seconds["assemble"]
        self._anchor, self._tau, self._entropy = anchor, tau, entropy
        self._limit = limit
        self._damping, self._recent = 1.0, deque([math.inf], maxlen=_PATIENCE)
        self._mass_norm = self._equations.norm(anchor)
        self._tolerance = self._settings.tolerance * self._mass_norm
        self._round_off = 0.0
        self._solution.array_w[:] = guess[: self._equations.owned].ravel()
        with self._options.inserted_options():
            self._snes.solve(None, self._solution)
            newton, linear = self._snes.getIterationNumber(), self._snes.getLinearSolveIterations()
            self._preconditioner.adapt(newton, linear)
        if self._factorises and self._snes.ksp.getConvergedReason() < 0:
            # What is left of a factorisation that failed would make the next one fail.
            self._snes.ksp.reset()
        state = self._state(self._solution).copy()
        converged = self._snes.getConvergedReason() > 0
        assembled = self.seconds["assemble"] - before
        self.seconds["solve"] += time.perf_counter() - start - assembled
        return Outcome(
            state,
            converged,
            newton,
            linear,
            "" if converged else self._failure(state),
        )

    def _state(self, x: PETSc.Vec) -> State:
        """The iterate with its ghosts; a view that is reused."""
        scatter = self._scatter
        scatter.array[: len(x.array_r)] = x.array_r
        scatter.scatter_forward()
        return scatter.array.reshape(self._equations.nodes, len(self._equations.names))

    def _evaluate(self, snes: PETSc.SNES, x: PETSc.Vec, f: PETSc.Vec) -> None:
        start = time.perf_counter()
        f.array_w[:] = self._equations.residual(
            self._state(x), self._anchor, self._tau, self._entropy
        ).ravel()
        self.seconds["assemble"] += time.perf_counter() - start

    def _assemble(self, snes: PETSc.SNES, x: PETSc.Vec, J: PETSc.Mat, P: PETSc.Mat) -> None:
        start = time.perf_counter()
        if snes.getIterationNumber() > 0:
            self._preconditioner.between_iterations()
        state = self._state(x)
        if self._operator is not self._matrix:
            self._iterate = state.copy()
        linearisation = self._differentiate(state)
        self._sizes = self._norms(linearisation.terms(state[: self._equations.owned]))
        self._round_off = _ROUND_OFF * float(np.linalg.norm(self._sizes))
        self.seconds["assemble"] += time.perf_counter() - start

    def _differentiate(self, state: State) -> Linearisation:
        """Assemble the Jacobian, by other unknowns than densities where fields are split."""
        self._change = None
        unknowns = self._equations.unknowns
        if self._preconditioner.splits and unknowns is not None:
            self._change = unknowns(state, self._tau, self._entropy)
        change = () if self._change is None else (self._change,)
        found = self._equations.jacobian(state, self._tau, self._matrix, self._entropy, *change)
        self._linearisation = found
        return found

    def _multiply(self, operator: PETSc.Mat, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """The product with the Jacobian, interactions included."""
        self._matrix.mult(x, y)
        shape = (self._equations.owned, len(self._equations.names))
        change = x.array_r.reshape(shape)
        if self._change is not None:
            change = np.einsum("nst,nt->ns", self._change[: self._equations.owned], change)
        moved = self._moved
        moved.array[: change.size] = change.ravel()
        moved.scatter_forward()
        nodal = moved.array.reshape(self._equations.nodes, -1)
        assert self._interactions is not None
        added = self._interactions(self._iterate, nodal, self._tau, self._entropy)
        y.array_w[:] += added.ravel()

    def _limit_step(self, x: PETSc.Vec, step: PETSc.Vec) -> None:
        """Shorten Newton's step x → x - step, and keep it to what a density can do."""
        while self._preconditioner.replaced():
            self._differentiate(self._state(x))
            self._snes.ksp.setOperators(self._operator, self._matrix)
            self._snes.ksp.solve(self._residual, step)
        shape = (self._equations.owned, len(self._equations.names))
        densities, y = x.array_r.reshape(shape), step.array_w.reshape(shape)
        if self._change is not None:
            y[:] = np.einsum("nst,nt->ns", self._change[: self._equations.owned], y)
        elif self._keeps_sums:
            y[:] = with_sums(self._snes.ksp, self._equations, densities, self._anchor, y)
        y[:] = self._linearisation.limited(densities, self._damping * y)
        self._step = y.copy()

    def _norms(self, terms: State) -> npt.NDArray[np.float64]:
        """The Euclidean norm of the terms in the equations of each field, shape (fields,)."""
        return np.sqrt(self._comm.allreduce((terms**2).sum(axis=0)))

    @property
    def _settled(self) -> bool:
        """Whether the last step has changed next to nothing. Collective."""
        return bool((self._norms(self._linearisation.terms(self._step)) <= _SETTLED * self._sizes).all())

    def _test(self, snes: PETSc.SNES, iteration: int, norms: tuple[float, float, float]) -> int:
        reasons = PETSc.SNES.ConvergedReason
        residual = norms[2]
        if not np.isfinite(residual):
            return reasons.DIVERGED_FUNCTION_DOMAIN
        tolerance = _ROUGH * self._mass_norm if self._entropy > 0.0 else self._tolerance
        # Steps smaller than the tolerance are taken too: the first iterate is seldom the solution.
        enough = self._enough(tolerance) if iteration > 0 else _NO_CHANGE * self._mass_norm
        if residual <= enough or (iteration > 0 and residual <= self._round_off and self._settled):
            return reasons.CONVERGED_FNORM_ABS
        # After a step that went much too far, the residual falls for long before it is as small again.
        stagnates = iteration > _PATIENCE and residual > (1.0 - 0.5 * self._damping) * min(self._recent)
        if stagnates:
            self._damping = max(0.5 * self._damping, _LEAST_DAMPING)
        else:
            self._damping = min(1.0, 2.0 * self._damping)
        self._recent.append(residual)
        if iteration == 0:
            self._first = residual
        elif residual > _HOPELESS * self._first:
            return reasons.DIVERGED_DTOL
        if iteration >= min(snes.max_it, self._limit or snes.max_it):
            return reasons.DIVERGED_MAX_IT
        return reasons.ITERATING

    def _enough(self, tolerance: float) -> float:
        """The residual that counts as zero whatever the last step was."""
        return max(tolerance, min(self._round_off, _LARGEST_ROUND_OFF * self._mass_norm))

    def _failure(self, state: State) -> str:
        history, _ = self._snes.getConvergenceHistory()
        residuals = ", ".join(f"{value:.3e}" for value in history)
        extrema = self._equations.extrema(state)
        lines = [
            f"Newton's method failed with step {self._tau:g}, {self._snes.getIterationNumber()} iterations.",
            f"SNES reason: {reason_name(PETSc.SNES.ConvergedReason, self._snes.getConvergedReason())}",
            f"KSP reason: {reason_name(PETSc.KSP.ConvergedReason, self._snes.ksp.getConvergedReason())}",
            f"Residual norms: {residuals}",
            f"Tolerance: {self._enough(self._tolerance):.3e}, round-off at most {self._round_off:.3e}",
            *(f"{name}: minimum {a:.6g}, maximum {b:.6g}" for name, (a, b) in extrema.items()),
        ]
        return "\n".join(lines)
