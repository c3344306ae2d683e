"""Newton's method for paths of least action: with complementarity, and along a barrier.

Densities are ≥ 0. `PathSolver.newton` takes the condition ρ ≥ 0, s ≥ 0, ρs = 0 as it is: where ρ is smaller
than s, in their units, it holds ρ = 0, elsewhere s = 0. It needs two or three iterations from a good guess.
`PathSolver.interior_point` follows ρs = ε m with ε to zero by the predictor-corrector method of Mehrotra
(SIAM J. Optim. 1992), which converges from any guess, in 10 to 40 iterations.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.discretization.path_ends import EnergyEnd
from fem_models.discretization.paths import PathEquations
from fem_models.gradient_flow import State
from fem_models.solvers.newton import NewtonSettings
from fem_models.solvers.path_linear import PathLinearSolver

_Array = npt.NDArray[np.float64]

# Relative to their scale, the conditions (2.9b) and (2.9e) hold to this accuracy where there is mass.
_DUAL_TOLERANCE = 1e-9

# And between given densities, where linear systems along the barrier leave more; actions err by the square.
_FIXED_TOLERANCE = 1e-6

# Where the action does not fix the potential, in vacuum, a density of this share of the mean stands in.
_FLOOR = 1e-12

# At nodes in vacuum whose fluxes are less than those of this share of the mean, the potential is that of the
# present densities: they say little about those of the next iterate, and Newton's potential would be huge.
_FRONT = 1e-2

# Newton's steps are halved where the residual has not fallen by this factor, after the first iterations.
_FALLING = 0.95
_PATIENCE = 3
_LEAST_DAMPING = 0.5

# The barrier ends where it costs this share of the action, or of the energy's own scale.
_GAP = 1e-9
_LEAST_GAP = 1e-13

# Steps stop short of the boundary by the remaining share.
_TO_THE_BOUNDARY = 0.995

# The least density of a first iterate of the interior point method, as a share of the mean.
_INTERIOR = 1.0

# A residual that grows by this factor is not on its way to zero, nor is Newton's that was smaller before.
_HOPELESS = 1e8
_REBOUND = 1e3
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


class PathSolver:
    """Newton's methods for `PathEquations`. Collective; build it once.

    Args:
        equations: The equations.
        settings: Tolerances and options.
    """

    def __init__(self, equations: PathEquations, settings: NewtonSettings) -> None:
        self._equations = equations
        self._settings = settings
        self.seconds = {"assemble": 0.0, "solve": 0.0}
        self._tau = 0.0
        self._linear = PathLinearSolver(
            equations, settings, self._interact if equations.end.interacts else None
        )
        end = equations.end
        per_species = end.logarithmic[end.transported] if isinstance(end, EnergyEnd) else np.zeros(1, bool)
        # Only the densities at the end have an energy that keeps them positive.
        last = np.arange(equations.columns) % equations.slabs == equations.slabs - 1
        repeated = np.repeat(np.broadcast_to(per_species, (equations.species,)), equations.slabs)
        self._logarithmic = repeated & last
        self._free = np.ones(equations.columns, dtype=bool) if end.free else ~last
        self._inside = equations.inside[:, None]

    @property
    def notes(self) -> list[str]:
        """Sentences about what the linear solver had to do."""
        return self._linear.notes

    def _interact(self, change: _Array) -> _Array:
        return self._equations.interaction_change(change, self._tau)

    # What both methods share

    def _begin(self, guess: _Array, old: State, tau: float) -> None:
        """Set the scales of a problem."""
        equations = self._equations
        self._old, self._tau = old, tau
        self._started, self._before = time.perf_counter(), self.seconds["assemble"]
        self._linear_before = self._linear.iterations
        m = equations.volumes[: equations.owned, None]
        self._m = np.where(m > 0.0, m, 1.0)
        densities = old[: equations.owned, equations.transported]
        masses, volume, norms = self._sums(m * densities, m, (m * densities) ** 2)
        self._masses, self._mass_norm = masses, math.sqrt(norms.sum())
        # Species may have masses of different sizes: each is measured by its own.
        self._norms = np.repeat(np.sqrt(norms), equations.slabs)
        self._means = np.repeat(masses / volume[0], equations.slabs)
        self._potential_scale = self._scale_of_potentials(guess)
        self._history: list[str] = []

    def _sums(self, *parts: _Array) -> list[_Array]:
        """Sums over the nodes of all ranks."""
        local = [part.sum(axis=0) for part in parts]
        summed = self._equations.comm.allreduce(np.concatenate(local))
        return np.split(summed, np.cumsum([len(part) for part in local])[:-1])

    def _scale_of_potentials(self, guess: _Array) -> float:
        """How much potentials vary where there is mass; for given ends, what distances in the domain give."""
        equations = self._equations
        if equations.end.free:
            phi, mean = equations.potentials(guess[: equations.owned])[..., -1], self._mean_potentials(guess)
            weights = self._m * self._old[: equations.owned, equations.transported]
            spread, size = self._sums(weights * np.abs(phi - mean), weights * np.abs(phi))
            return float((spread / self._masses).max() + 1e-3 * (size / self._masses).max()) or 1.0
        return self._longest() / 100.0

    def _longest(self) -> float:
        """The potentials that move mass across the domain, (diameter)²/τ."""
        x = self._equations.space.tabulate_dof_coordinates()[: self._equations.owned]
        extent = np.empty((2, 3))
        local = np.array([(-x).max(axis=0, initial=-np.inf), x.max(axis=0, initial=-np.inf)])
        self._equations.comm.Allreduce(local, extent, op=MPI.MAX)
        return float((extent.sum(axis=0) ** 2).sum()) / self._tau

    def _mean_potentials(self, guess: _Array) -> _Array:
        """The means, over the mass, of the potentials in the last slab, shape (species,)."""
        equations = self._equations
        weights = self._m * self._old[: equations.owned, equations.transported]
        (sums,) = self._sums(weights * equations.potentials(guess[: equations.owned])[..., -1])
        return sums / self._masses

    def _residual(self, unknowns: _Array, floor: _Array | float) -> _Array:
        start = time.perf_counter()
        found = self._equations.residual(unknowns, self._old, self._tau, floor)
        self.seconds["assemble"] += time.perf_counter() - start
        return found

    def _linearise(self, unknowns: _Array, barrier: _Array, held: _Array, *densities: _Array) -> None:
        start = time.perf_counter()
        matrix = self._linear.matrix
        self._equations.linearise(unknowns, self._old, self._tau, matrix, barrier, held, *densities)
        self._linear.refresh()
        self.seconds["assemble"] += time.perf_counter() - start

    def _outcome(self, unknowns: _Array, converged: bool, iterations: int) -> PathOutcome:
        assembled = self.seconds["assemble"] - self._before
        self.seconds["solve"] += time.perf_counter() - self._started - assembled
        linear = self._linear.iterations - self._linear_before
        report = "" if converged else self._report(unknowns, iterations)
        return PathOutcome(unknowns, converged, iterations, linear, report)

    def _report(self, unknowns: _Array, iterations: int) -> str:
        densities = unknowns[: self._equations.owned, : self._equations.columns]
        extrema = np.array([-densities.min(initial=np.inf), densities.max(initial=-np.inf)])
        found = np.empty(2)
        self._equations.comm.Allreduce(extrema, found, op=MPI.MAX)
        low, high = found
        return "\n".join(
            [
                f"Newton's method for the minimising movement failed with step {self._tau:g}, "
                f"{iterations} iterations.",
                *self._history,
                f"densities: minimum {-low:.6g}, maximum {high:.6g}",
            ]
        )

    def _errors(self, residual: _Array, dual: _Array, densities: _Array) -> tuple[float, float]:
        """The residual of (2.9a) and of other fields, and that of (2.9b) and (2.9e), relative to scales."""
        c = self._equations.columns
        primal = np.concatenate(
            [residual[:, :c] / self._norms, residual[:, 2 * c :] / self._mass_norm], axis=1
        )
        weights = np.maximum(densities, 0.0) / (self._means * self._potential_scale**2)
        local = np.array([(primal**2).sum(), (weights * dual**2 / self._m * self._free).sum()])
        squares = self._equations.comm.allreduce(local)
        volume = self._masses[0] / self._means[0]
        return math.sqrt(squares[0]), math.sqrt(squares[1] / volume)

    def optimality(self, unknowns: _Array, old: State, tau: float) -> tuple[float, float]:
        """The residuals of (2.9b) and of (2.9e), see `fem_models.schemes.resolvent.Movement`. Collective."""
        self._begin(unknowns, old, tau)
        equations = self._equations
        owned, c, slabs = equations.owned, equations.columns, equations.slabs
        squares = (self._residual(unknowns, 0.0)[:, c : 2 * c] / (self._m * self._potential_scale)) ** 2
        weighted = squares * self._m * np.maximum(unknowns[:owned, :c], 0.0)
        (sums,) = self._sums(weighted)
        means = (sums / np.repeat(self._masses, slabs)).reshape(-1, slabs)
        between = float(means[:, :-1].mean()) if slabs > 1 else 0.0
        return math.sqrt(between), math.sqrt(float(means[:, -1].mean()))

    # Newton's method with complementarity

    def newton(self, guess: _Array, old: State, tau: float, limit: int) -> PathOutcome:
        """Solve from a guess.

        Args:
            guess: First iterate, shape (nodes, size).
            old: The state at the beginning, shape (nodes, fields).
            tau: Time step.
            limit: Iterations after which to give up.
        """
        self._begin(guess, old, tau)
        equations = self._equations
        owned, c = equations.owned, equations.columns
        floor, front = (share * self._means for share in (_FLOOR, _FRONT))
        unknowns, converged, first, least = guess.copy(), False, math.inf, math.inf
        iteration, rounding, damping, change = 0, 0.0, 1.0, math.inf
        # Where a step would have made a density negative, it is held at zero next.
        wanted = unknowns[:owned, :c]
        while True:
            residual = self._residual(unknowns, floor)
            densities = unknowns[:owned, :c]
            slack = -residual[:, c : 2 * c] / (self._m * self._potential_scale)
            held = (wanted / self._means < slack) & ~self._logarithmic & self._inside[:owned]
            dual = np.where(held, 0.0, residual[:, c : 2 * c])
            primal, dual_error = self._errors(residual, dual, densities)
            self._history.append(f"{iteration}: (2.9a) {primal:.3e}, (2.9b,e) {dual_error:.3e}")
            # In long steps the fluxes say less than the change that they still ask for.
            exact = primal <= max(self._settings.tolerance, rounding) or change <= self._settings.tolerance
            if iteration > 0 and exact and dual_error <= _DUAL_TOLERANCE:
                converged = True
                break
            first = min(first, primal) if iteration else primal
            hopeless = min(_HOPELESS * max(first, 1.0), _REBOUND * max(least, 1e-6))
            if iteration == limit or not primal <= hopeless:
                break
            residual[:, c : 2 * c] = np.where(held, -self._m * densities, residual[:, c : 2 * c])
            every = equations.with_ghosts(np.concatenate([held, held], axis=1, dtype=float), 2 * c)
            self._linearise(unknowns, np.zeros_like(dual), every[:, :c] > 0.5, floor, front)
            rounding = self._round_off()
            step = self._linear.solve(residual)
            if step is None:
                break
            change = self._change(step)
            stagnates = iteration > _PATIENCE and primal > _FALLING * least
            damping = max(0.5 * damping, _LEAST_DAMPING) if stagnates else min(2.0 * damping, 1.0)
            least = min(least, primal) if iteration else least
            step *= damping
            wanted = (unknowns[:owned] - step)[:, :c]
            unknowns = equations.with_ghosts(self._limited(unknowns[:owned], step, held))
            wanted = np.where(wanted < 0.0, wanted, unknowns[:owned, :c])
            iteration += 1
        return self._outcome(unknowns, converged, iteration)

    def _change(self, step: _Array) -> float:
        """Size of the change of the densities, relative to the masses."""
        (squares,) = self._sums((self._m * step[:, : self._equations.columns] / self._norms) ** 2)
        return math.sqrt(squares.sum())

    def _round_off(self) -> float:
        """Size of the rounding errors of (2.9a), relative to the masses, after a call of `_linearise`."""
        (squares,) = self._sums((self._equations.cancelling / self._norms) ** 2)
        return min(16.0 * np.finfo(float).eps * math.sqrt(squares.sum()), _LARGEST_ROUND_OFF)

    def _limited(self, unknowns: _Array, step: _Array, held: _Array) -> _Array:
        """The next iterate, with densities kept to what they can do."""
        equations = self._equations
        new = unknowns - step
        # Densities within the step have no energy of their own: they stay ≥ 0 and below twice the largest.
        c, largest = equations.columns, np.empty(equations.columns)
        equations.comm.Allreduce(unknowns[:, :c].max(axis=0, initial=0.0), largest, op=MPI.MAX)
        linear = np.clip(new[:, :c], 0.0, 2.0 * np.maximum(largest, self._means))
        new[:, :c] = linear
        state, change = equations.final(unknowns), equations.final(step)
        kept = state - equations.end.steps.limited(state, change, equations.end.logarithmic)
        equations.set_final(new, kept)
        # Densities that are to vanish do, whatever their potentials are like.
        new[:, :c] = np.where(held, linear, new[:, :c])
        return new

    # The interior point method

    def interior_point(self, guess: _Array, old: State, tau: float) -> PathOutcome:
        """Solve along the barrier.

        Args:
            guess: First iterate; its densities are lifted into the interior, and its potentials, if the
                densities at the end are unknown, taken for their means: in long steps they mean nothing.
            old: The state at the beginning, shape (nodes, fields).
            tau: Time step.
        """
        self._begin(guess, old, tau)
        equations = self._equations
        owned, c = equations.owned, equations.columns
        bound = self._free & self._inside
        unknowns = guess.copy()
        lifted = np.maximum(unknowns[:, :c], _INTERIOR * self._means)
        unknowns[:, :c] = np.where(bound, lifted, unknowns[:, :c])
        if equations.end.free:
            equations.potentials(unknowns)[:] = self._mean_potentials(guess)[:, None]
        bound, floor = bound[:owned], _FLOOR * self._means
        slack = np.where(bound, min(self._potential_scale, self._longest()) * self._m * self._means, 0.0)
        slack /= np.where(bound, unknowns[:owned, :c], 1.0)
        held = np.zeros((equations.nodes, c), dtype=bool)
        tolerance = _DUAL_TOLERANCE if equations.end.free else _FIXED_TOLERANCE
        converged, iteration, first, rounding, change = False, 0, math.inf, 1e-12, math.inf
        while True:
            residual = self._residual(unknowns, floor)
            densities = np.where(bound, unknowns[:owned, :c], 1.0)
            dual = np.where(bound, residual[:, c : 2 * c] + slack, 0.0)
            primal, dual_error = self._errors(residual, dual, unknowns[:owned, :c])
            gap, count, action = self._gap(densities * slack, bound, unknowns)
            self._history.append(
                f"{iteration}: (2.9a) {primal:.3e}, (2.9b,e) {dual_error:.3e}, barrier {gap:.3e}"
            )
            enough = max(_GAP * action, _LEAST_GAP * self._potential_scale * self._masses.sum())
            exact = primal <= max(self._settings.tolerance, rounding) or change <= self._settings.tolerance
            small = exact and dual_error <= tolerance
            if iteration > 0 and small and gap <= enough:
                converged = True
                break
            first = min(first, primal) if iteration else primal
            if iteration == 2 * self._settings.max_iterations or not primal <= _HOPELESS * max(first, 1.0):
                break
            self._linearise(unknowns, slack / densities, held, floor)
            rounding = self._round_off()
            average = gap / max(count, 1.0)
            predictor = self._direction(residual, densities, slack, bound, 0.0)
            if predictor is None:
                break
            step, changes = predictor
            length, other = self._lengths(densities, step[:, :c], slack, changes, bound, 1.0)
            ahead = (densities - length * step[:, :c]) * (slack + other * changes)
            (ahead_gap,) = self._sums(np.where(bound, ahead, 0.0).sum(axis=1, keepdims=True))
            centring = (float(ahead_gap[0]) / gap) ** 3 if gap > 0.0 else 0.0
            correction = -length * other * step[:, :c] * changes
            target = centring * average * self._m - correction
            corrected = self._direction(residual, densities, slack, bound, target)
            if corrected is None:
                break
            step, changes = corrected
            change = self._change(step)
            length, other = self._lengths(densities, step[:, :c], slack, changes, bound, _TO_THE_BOUNDARY)
            unknowns = equations.with_ghosts(unknowns[:owned] - length * step)
            slack = slack + other * np.where(bound, changes, 0.0)
            iteration += 1
        return self._outcome(unknowns, converged, iteration)

    def _gap(self, products: _Array, bound: _Array, unknowns: _Array) -> tuple[float, float, float]:
        """Σ ρs, Σ m over the densities with a barrier, and the action."""
        gap, weight = self._sums(
            np.where(bound, products, 0.0).sum(axis=1, keepdims=True),
            (bound * self._m).sum(axis=1, keepdims=True),
        )
        action = self._equations.action(unknowns, self._old, self._tau)
        return float(gap[0]), float(weight[0]), float(action.sum())

    def _direction(
        self, residual: _Array, densities: _Array, slack: _Array, bound: _Array, target: _Array | float
    ) -> tuple[_Array, _Array] | None:
        """The step to subtract from the unknowns and the change of s on the way to ρs = target."""
        c = self._equations.columns
        right = residual.copy()
        right[:, c : 2 * c] += np.where(bound, target / densities, 0.0)
        step = self._linear.solve(right, hard=True)
        if step is None:
            return None
        changes = (target + slack * step[:, :c]) / densities - slack
        return step, np.where(bound, changes, 0.0)

    def _lengths(
        self, densities: _Array, step: _Array, slack: _Array, changes: _Array, bound: _Array, share: float
    ) -> tuple[float, float]:
        """The longest steps, up to 1, that go no further than this share of the way to ρ = 0 and to s = 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = [step / densities, np.where(slack > 0.0, -changes / slack, 0.0)]
        local = np.array([np.where(bound, ratio, 0.0).max(initial=0.0) for ratio in ratios])
        worst = np.empty(2)
        self._equations.comm.Allreduce(local, worst, op=MPI.MAX)
        density, other = (min(1.0, share / value) if value > 0.0 else 1.0 for value in worst)
        return density, other
