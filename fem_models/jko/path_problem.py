"""What the methods for paths of least action share: scales, residuals, linear systems, outcomes."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.flow.gradient_flow import State
from fem_models.jko.path_ends import EnergyEnd
from fem_models.jko.path_linear import PathLinearSolver
from fem_models.jko.paths import PathEquations
from fem_models.linalg.newton import NewtonSettings

_Array = npt.NDArray[np.float64]

# Relative to their scale, the conditions (2.9b) and (2.9e) hold to this accuracy where there is mass.
DUAL_TOLERANCE = 1e-9

# A residual that grows by this factor is not on its way to zero.
HOPELESS = 1e8
_LARGEST_ROUND_OFF = 1e-7


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


class PathProblem:
    """`PathEquations` with an old state, a time step, and the scales of errors. Collective; build it once.

    Call `begin` before anything else.

    Args:
        equations: The equations.
        settings: Tolerances and options.

    Attributes:
        equations, settings: The same.
        linear: The linear solver.
        seconds: Time spent so far on this rank: "assemble" and "solve".
        logarithmic, free: The densities with an energy that keeps them positive, and those that are unknown,
            shape (columns,).
        volumes: Of the nodes of this rank, 1 where no densities live, shape (owned nodes, 1).
        masses: Of the species.
        means: The mean densities, shape (columns,).
        potential_scale: How much potentials vary where there is mass.
        history: Sentences about the iterations.
    """

    def __init__(self, equations: PathEquations, settings: NewtonSettings) -> None:
        self.equations, self.settings = equations, settings
        self.seconds = {"assemble": 0.0, "solve": 0.0}
        self._tau = 0.0
        interact = self._interact if equations.end.interacts else None
        self.linear = PathLinearSolver(equations, settings, interact)
        end = equations.end
        per_species = end.logarithmic[end.transported] if isinstance(end, EnergyEnd) else np.zeros(1, bool)
        # Only the densities at the end have an energy that keeps them positive.
        last = np.arange(equations.columns) % equations.slabs == equations.slabs - 1
        repeated = np.repeat(np.broadcast_to(per_species, (equations.species,)), equations.slabs)
        self.logarithmic = repeated & last
        self.free = np.ones(equations.columns, dtype=bool) if end.free else ~last

    def _interact(self, change: _Array) -> _Array:
        return self.equations.interaction_change(change, self._tau)

    def begin(self, guess: _Array, old: State, tau: float) -> None:
        """Set the scales of a problem."""
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

    def sums(self, *parts: _Array) -> list[_Array]:
        """Sums over the nodes of all ranks."""
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
        x = self.equations.space.tabulate_dof_coordinates()[: self.equations.owned]
        extent = np.empty((2, 3))
        local = np.array([(-x).max(axis=0, initial=-np.inf), x.max(axis=0, initial=-np.inf)])
        self.equations.comm.Allreduce(local, extent, op=MPI.MAX)
        return float((extent.sum(axis=0) ** 2).sum()) / self._tau

    def mean_potentials(self, guess: _Array) -> _Array:
        """The means, over the mass, of the potentials in the last slab, shape (species,)."""
        equations = self.equations
        weights = self.volumes * self._old[: equations.owned, equations.transported]
        (sums,) = self.sums(weights * equations.potentials(guess[: equations.owned])[..., -1])
        return sums / self.masses

    def residual(self, unknowns: _Array, floor: _Array | float) -> _Array:
        """The rows of `PathEquations.residual`, timed."""
        start = time.perf_counter()
        found = self.equations.residual(unknowns, self._old, self._tau, floor)
        self.seconds["assemble"] += time.perf_counter() - start
        return found

    def linearise(self, unknowns: _Array, barrier: _Array, held: _Array, *densities: _Array) -> None:
        """Assemble the Jacobian, see `PathEquations.linearise`, timed."""
        start = time.perf_counter()
        matrix = self.linear.matrix
        self.equations.linearise(unknowns, self._old, self._tau, matrix, barrier, held, *densities)
        self.linear.refresh()
        self.seconds["assemble"] += time.perf_counter() - start

    def action(self, unknowns: _Array) -> float:
        """The action of all species."""
        return float(self.equations.action(unknowns, self._old, self._tau).sum())

    def change(self, step: _Array) -> float:
        """Size of a change of the densities, relative to the masses."""
        (squares,) = self.sums((self.volumes * step[:, : self.equations.columns] / self._norms) ** 2)
        return math.sqrt(squares.sum())

    def round_off(self) -> float:
        """Size of the rounding errors of (2.9a), relative to the masses, after a call of `linearise`."""
        (squares,) = self.sums((self.equations.cancelling / self._norms) ** 2)
        return min(16.0 * np.finfo(float).eps * math.sqrt(squares.sum()), _LARGEST_ROUND_OFF)

    def outcome(self, unknowns: _Array, converged: bool, iterations: int) -> PathOutcome:
        """What a solve did that began with `begin`."""
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
        """The residual of (2.9a) and of other fields, and that of (2.9b) and (2.9e), relative to scales."""
        c = self.equations.columns
        primal = np.concatenate(
            [residual[:, :c] / self._norms, residual[:, 2 * c :] / self._mass_norm], axis=1
        )
        weights = np.maximum(densities, 0.0) / (self.means * self.potential_scale**2)
        local = np.array([(primal**2).sum(), (weights * dual**2 / self.volumes * self.free).sum()])
        squares = self.equations.comm.allreduce(local)
        volume = self.masses[0] / self.means[0]
        return math.sqrt(squares[0]), math.sqrt(squares[1] / volume)

    def optimality(self, unknowns: _Array, old: State, tau: float) -> tuple[float, float]:
        """The residuals of (2.9b) and of (2.9e), see `fem_models.jko.movement.Movement`. Collective."""
        self.begin(unknowns, old, tau)
        equations = self.equations
        owned, c, slabs = equations.owned, equations.columns, equations.slabs
        squares = (self.residual(unknowns, 0.0)[:, c : 2 * c] / (self.volumes * self.potential_scale)) ** 2
        weighted = squares * self.volumes * np.maximum(unknowns[:owned, :c], 0.0)
        (sums,) = self.sums(weighted)
        means = (sums / np.repeat(self.masses, slabs)).reshape(-1, slabs)
        between = float(means[:, :-1].mean()) if slabs > 1 else 0.0
        return math.sqrt(between), math.sqrt(float(means[:, -1].mean()))
