"""What the methods for paths of least action share: scales, residuals, linear systems, outcomes."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from mpi4py import MPI
from petsc4py import PETSc

from fem_models.flow.gradient_flow import State
from fem_models.jko.path_linear import PathLinearSolver
from fem_models.jko.paths import PathEquations
from fem_models.linalg.newton import NewtonSettings

_Array = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]

# Relative to their scale, the conditions of optimality for densities, the Hamilton–Jacobi equation
# ∂sφ = ½|∇φ|², (2.9b), and φ = δE/δρ at the end, (2.9e), hold to this accuracy where there is mass.
DUAL_TOLERANCE = 1e-9

# A residual that grows by this factor is not on its way to zero.
HOPELESS = 1e8
_LARGEST_ROUND_OFF = 1e-7


def longest(space: fem.FunctionSpace) -> float:
    """The diagonal of the box around a domain. Collective.

    Args:
        space: A scalar P1 space on it.

    Returns:
        The length, in units of the mesh.
    """
    x = space.tabulate_dof_coordinates()[: space.dofmap.index_map.size_local]
    extent = np.empty((2, 3))
    local = np.array([(-x).max(axis=0, initial=-np.inf), x.max(axis=0, initial=-np.inf)])
    space.mesh.comm.Allreduce(local, extent, op=MPI.MAX)
    return float(np.linalg.norm(extent.sum(axis=0)))


@dataclass(frozen=True)
class PathOutcome:
    """What a solve did.

    Attributes:
        unknowns: The last iterate, shape (nodes, size).
        converged: Whether it is a solution.
        newton: Iterations.
        linear: Iterations of the linear solver.
        report: For a failure: history and extrema.
    """

    unknowns: _Array
    converged: bool
    newton: int
    linear: int
    report: str = ""


class PathProblems:
    """What solves of the same `PathEquations` share: linear solver and times. Collective; build it once.

    Args:
        equations: The equations.
        settings: Tolerances and options.

    Attributes:
        equations, settings: The same.
        linear: The linear solver.
        seconds: Time spent so far on this rank: "assemble" and "solve".
        logarithmic, free: The densities with an energy that keeps them positive, and those that are unknown,
            shape (columns,).
    """

    def __init__(self, equations: PathEquations, settings: NewtonSettings) -> None:
        self.equations, self.settings = equations, settings
        self.seconds = {"assemble": 0.0, "solve": 0.0}
        self._tau = 0.0
        interact = self._interact if equations.end.interacts else None
        self.linear = PathLinearSolver(equations, settings, interact)
        end = equations.end
        per_species = end.logarithmic[end.transported]
        # Only the densities at the end have an energy that keeps them positive.
        last = np.arange(equations.columns) % equations.slabs == equations.slabs - 1
        repeated = np.repeat(np.broadcast_to(per_species, (equations.species,)), equations.slabs)
        self.logarithmic = repeated & last
        self.free = np.ones(equations.columns, dtype=bool) if end.free else ~last

    def _interact(self, change: _Array) -> _Array:
        return self.equations.interaction_change(change, self._tau)

    def begun(self, guess: _Array, old: State, tau: float) -> PathProblem:
        """The problem of one step, to be solved before the next one is begun. Collective.

        Args:
            guess: A path that the scales of potentials are taken from, shape (nodes, size).
            old: The state at the beginning, shape (nodes, fields).
            tau: Time step.

        Returns:
            The problem.
        """
        self._tau = tau
        return PathProblem(self, guess, old, tau)


class PathProblem:
    """`PathEquations` with an old state, a time step, and the scales of errors. Collective.

    Args:
        shared: What solves share.
        guess: A path that the scales of potentials are taken from, shape (nodes, size).
        old: The state at the beginning, shape (nodes, fields).
        tau: Time step.

    Attributes:
        equations, settings, linear, seconds, logarithmic, free: Those of `PathProblems`.
        volumes: Of the nodes of this rank, 1 where no densities live, shape (owned nodes, 1).
        masses: Of the species.
        means: The mean densities, shape (columns,).
        potential_scale: How much potentials vary where there is mass.
        history: Sentences about the iterations.
    """

    def __init__(self, shared: PathProblems, guess: _Array, old: State, tau: float) -> None:
        self.equations, self.settings, self.linear = shared.equations, shared.settings, shared.linear
        self.seconds, self.logarithmic, self.free = shared.seconds, shared.logarithmic, shared.free
        equations = self.equations
        self._old, self._tau = old, tau
        self._started, self._before = time.perf_counter(), self.seconds["assemble"]
        self._linear_before = self.linear.iterations
        m = equations.volumes[: equations.owned, None]
        self.volumes = np.where(m > 0.0, m, 1.0)
        densities = old[: equations.owned, equations.transported]
        masses, volume, norms = self.sums(m * densities, m, (m * densities) ** 2)
        self.masses, self._mass_norm = masses, math.sqrt(norms.sum())
        # Species may have masses of different sizes: each is measured by its own.
        self._norms = np.repeat(np.sqrt(norms), equations.slabs)
        self.means = np.repeat(masses / volume[0], equations.slabs)
        self.potential_scale = self._scale_of_potentials(guess)
        self.history: list[str] = []
        self._monitored = "snes_monitor" in self.settings.petsc or PETSc.Options().hasName("snes_monitor")

    def note(self, sentence: str) -> None:
        """Take note of an iteration, and print it where `-snes_monitor` asks for it. Collective.

        Args:
            sentence: With the residuals of the optimality conditions.
        """
        self.history.append(sentence)
        if self._monitored and self.equations.comm.rank == 0:
            sys.stdout.write(f"  {sentence}\n")
            sys.stdout.flush()

    @staticmethod
    def named(primal: float, dual: float) -> str:
        """The residuals of the conditions of optimality with their names.

        Args:
            primal: As `errors` has it.
            dual: Likewise.

        Returns:
            The text.
        """
        return f"continuity (2.9a) {primal:.3e}, Hamilton–Jacobi (2.9b,e) {dual:.3e}"

    @property
    def spent(self) -> bool:
        """Whether all iterations that the settings allow are taken."""
        return len(self.history) > self.settings.max_iterations

    def sums(self, *parts: _Array) -> list[_Array]:
        """Sums over the nodes of all ranks. Collective.

        Args:
            parts: Values at the nodes of this rank, shapes (owned nodes, n) for some n.

        Returns:
            The sums of each part, shape (n,).
        """
        local = [part.sum(axis=0) for part in parts]
        summed = self.equations.comm.allreduce(np.concatenate(local))
        return np.split(summed, np.cumsum([len(part) for part in local])[:-1])

    def _scale_of_potentials(self, guess: _Array) -> float:
        """How much potentials vary where there is mass; for given ends, what distances in the domain give."""
        equations = self.equations
        if equations.end.free:
            phi, mean = equations.potentials(guess[: equations.owned])[..., -1], self.mean_potentials(guess)
            weights = self.volumes * self._old[: equations.owned, equations.transported]
            spread, size = self.sums(weights * np.abs(phi - mean), weights * np.abs(phi))
            return float((spread / self.masses).max() + 1e-3 * (size / self.masses).max()) or 1.0
        return self.longest() / 100.0

    def longest(self) -> float:
        """The potentials that move mass across the domain, (diameter)²/τ."""
        return longest(self.equations.space) ** 2 / self._tau

    def mean_potentials(self, guess: _Array) -> _Array:
        """The means, over the mass, of the potentials in the last slab, shape (species,).

        Args:
            guess: A path, shape (nodes, size).

        Returns:
            Shape (species,).
        """
        equations = self.equations
        weights = self.volumes * self._old[: equations.owned, equations.transported]
        (sums,) = self.sums(weights * equations.potentials(guess[: equations.owned])[..., -1])
        return sums / self.masses

    def residual(self, unknowns: _Array, floor: _Array | float) -> _Array:
        """The rows of `PathEquations.residual`, timed. Collective.

        Args:
            unknowns: Shape (nodes, size).
            floor: Added to the densities that carry the fluxes.

        Returns:
            The rows at the nodes of this rank, shape (owned nodes, size).
        """
        start = time.perf_counter()
        found = self.equations.residual(unknowns, self._old, self._tau, floor)
        self.seconds["assemble"] += time.perf_counter() - start
        return found

    def linearise(self, unknowns: _Array, barrier: _Array, held: _Mask, *densities: _Array) -> float:
        """Assemble the Jacobian, see `PathEquations.linearise`, timed. Collective.

        Args:
            unknowns: Shape (nodes, size).
            barrier: s/ρ at each density, shape (owned nodes, columns).
            held: Densities that keep their value, ghosts included, shape (nodes, columns).
            densities: The arguments `floor` and, if there is another one, `front`.

        Returns:
            The size of the rounding errors of the continuity equation (2.9a), relative to the masses.
        """
        start = time.perf_counter()
        matrix = self.linear.matrix
        terms = self.equations.linearise(unknowns, self._old, self._tau, matrix, barrier, held, *densities)
        self.linear.refresh()
        self.seconds["assemble"] += time.perf_counter() - start
        (squares,) = self.sums((terms / self._norms) ** 2)
        return min(16.0 * np.finfo(float).eps * math.sqrt(squares.sum()), _LARGEST_ROUND_OFF)

    def action(self, unknowns: _Array) -> float:
        """The action of all species. Collective.

        Args:
            unknowns: Shape (nodes, size).

        Returns:
            Σ W₂²/(2τ).
        """
        return float(self.equations.action(unknowns, self._old, self._tau).sum())

    def change(self, step: _Array) -> float:
        """Size of a change of the densities, relative to the masses. Collective.

        Args:
            step: The change, shape (owned nodes, size).

        Returns:
            The size, in the norm of the square root of Σ (mρ)².
        """
        (squares,) = self.sums((self.volumes * step[:, : self.equations.columns] / self._norms) ** 2)
        return math.sqrt(squares.sum())

    def outcome(self, unknowns: _Array, converged: bool, iterations: int) -> PathOutcome:
        """What the solve of this problem did. Collective.

        Args:
            unknowns: The last iterate, shape (nodes, size).
            converged: Whether it is a solution.
            iterations: Of Newton's method.

        Returns:
            The same, with the iterations of the linear solver, and a report if it is no solution.
        """
        assembled = self.seconds["assemble"] - self._before
        self.seconds["solve"] += time.perf_counter() - self._started - assembled
        linear = self.linear.iterations - self._linear_before
        report = "" if converged else self._report(unknowns, iterations)
        return PathOutcome(unknowns, converged, iterations, linear, report)

    def _report(self, unknowns: _Array, iterations: int) -> str:
        densities = unknowns[: self.equations.owned, : self.equations.columns]
        extrema = np.array([-densities.min(initial=np.inf), densities.max(initial=-np.inf)])
        found = np.empty(2)
        self.equations.comm.Allreduce(extrema, found, op=MPI.MAX)
        low, high = found
        return "\n".join(
            [
                f"Newton's method for the minimising movement failed with step {self._tau:g}, "
                f"{iterations} iterations.",
                *self.history,
                f"densities: minimum {-low:.6g}, maximum {high:.6g}",
            ]
        )

    def errors(self, residual: _Array, dual: _Array, densities: _Array) -> tuple[float, float]:
        """How far an iterate is from a solution, relative to scales. Collective.

        Args:
            residual: The rows at the nodes of this rank, shape (owned nodes, size).
            dual: Those of the Hamilton–Jacobi equation and its end, with the multipliers s of ρ ≥ 0, shape
                (owned nodes, columns).
            densities: Shape (owned nodes, columns).

        Returns:
            The residual of the continuity equation (2.9a) and of other fields, relative to masses, and that
            of the Hamilton–Jacobi equation (2.9b) and its end (2.9e), φ(Δt) = δE/δρ, relative to potentials.
        """
        c = self.equations.columns
        primal = np.concatenate(
            [residual[:, :c] / self._norms, residual[:, 2 * c :] / self._mass_norm], axis=1
        )
        weights = np.maximum(densities, 0.0) / (self.means * self.potential_scale**2)
        local = np.array([(primal**2).sum(), (weights * dual**2 / self.volumes * self.free).sum()])
        squares = self.equations.comm.allreduce(local)
        volume = self.masses[0] / self.means[0]
        return math.sqrt(squares[0]), math.sqrt(squares[1] / volume)

    def optimality(self, unknowns: _Array) -> tuple[float, float]:
        """The residuals that `fem_models.jko.movement.Movement` reports. Collective.

        Args:
            unknowns: A path, shape (nodes, size).

        Returns:
            The residuals of the Hamilton–Jacobi equation (2.9b), and of its end (2.9e), φ(Δt) = δE/δρ.
        """
        equations = self.equations
        owned, c, slabs = equations.owned, equations.columns, equations.slabs
        squares = (self.residual(unknowns, 0.0)[:, c : 2 * c] / (self.volumes * self.potential_scale)) ** 2
        weighted = squares * self.volumes * np.maximum(unknowns[:owned, :c], 0.0)
        (sums,) = self.sums(weighted)
        means = (sums / np.repeat(self.masses, slabs)).reshape(-1, slabs)
        between = float(means[:, :-1].mean()) if slabs > 1 else 0.0
        return math.sqrt(between), math.sqrt(float(means[:, -1].mean()))
