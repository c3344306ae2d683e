"""What a run says about itself: a row per step, and the summary of all steps.

Everything is dimensionless. Norms of errors are nodal: with the nodal volumes m_i and the exact density ρ,

    l1 = Σ_i m_i |ρ_i - ρ(x_i)|     l2 = (Σ_i m_i |ρ_i - ρ(x_i)|²)^½     linf = max_i |ρ_i - ρ(x_i)|

at the last time, absolute; `linf_l1` is the largest l1 of all steps (the initial state does not count).
"""

import math
from typing import Any

import numpy as np
from mpi4py import MPI

from fem_models.config.tables import Time
from fem_models.flow.gradient_flow import State
from fem_models.results.decay import fit_decay
from fem_models.results.tables import Row
from fem_models.run.build import Problem, Values
from fem_models.run.clock import Tick
from fem_models.schemes.resolvent import Step
from fem_models.systems.studies.flat_convexity import convexity_warning

# What is smaller than this fraction of a sum of terms is taken for rounding.
_ROUNDING = 1e-12
# What an energy may be below that of the steady state by rounding and by Newton's tolerance.
_BELOW = 1e-9
# A mass that drifts by more, relative, is worth a warning: Newton's tolerance leaves less.
_MASS_TOLERANCE = 1e-8
# The share of a mass at the boundary of a mesh that stands for the whole space which is worth a warning.
_AT_RIM = 1e-6
# Relative change per unit of time below which a state counts as steady.
_STEADY = 1e-8


class Diagnostics:
    """Follows a run step by step. All methods are collective and agree on all ranks.

    Attributes:
        row: The latest row of series.csv, by column.
    """

    def __init__(self, problem: Problem, steady: State | None) -> None:
        """Look at the initial state.

        Args:
            problem: The run.
            steady: The steady state, where it is known.
        """
        self._problem = problem
        self._flow = problem.flow
        # Contiguous by coordinate: expressions run several times faster on it.
        self._points = np.ascontiguousarray(self._flow.points[: self._flow.owned].T)
        self._steady = None if steady is None else self._flow.energy(steady)
        self._masses = self._flow.masses(problem.initial)
        self._newton = self._linear = self._steps = self._rejected = self._increases = 0
        self._increase = self._clipped = 0.0
        self._errors: dict[str, dict[str, float]] = {}
        self._times: list[float] = []
        self._energies: list[float] = []
        self._drift = dict.fromkeys(self._flow.names, 0.0)
        # A mesh with a shell for the rest of space has its densities in a part of it.
        self._confined = problem.config.system.confined or not self._flow.inside.all()
        self._confined = self._flow.comm.allreduce(self._confined, op=MPI.LOR)
        self._at_rim = dict.fromkeys(problem.masses, 0.0)
        self._least = dict.fromkeys(self._flow.names, math.inf)
        self._most = dict.fromkeys(self._flow.names, -math.inf)
        self.row = self._look(Tick(0, problem.clock.start, 0.0, False), problem.initial, 0, 0)

    def step(self, tick: Tick, step: Step) -> Row:
        """Look at the state after a step.

        Args:
            tick: The step.
            step: Where it led to, and what it took.

        Returns:
            The row of series.csv.
        """
        before = self._energies[-1]
        self._steps += 1
        self._newton += step.newton
        self._linear += step.linear
        self._clipped += step.clipped
        self._rejected += step.rejected
        self.row = self._look(tick, step.state, step.newton, step.linear)
        increase = self.row["energy"] - before
        self._increase = max(self._increase, increase)
        size = math.fsum(abs(self.row[name]) for name in self._terms)
        self._increases += increase > _ROUNDING * max(1.0, size)
        for name, expression in self._problem.exact.items():
            exact = expression.numpy(self._points, t=tick.time)
            computed = step.state[: self._flow.owned, self._flow.names.index(name)]
            error = self._error(np.abs(computed - exact))
            so_far = self._errors.get(name, {}).get("linf_l1", 0.0)
            self._errors[name] = error | {"linf_l1": max(so_far, error["l1"])}
        return self.row

    def is_steady(self, old: State, new: State, step: float) -> bool:
        """Whether a step changed next to nothing: the state is steady.

        Args:
            old: The state before the step, shape (nodes, species).
            new: The state after it.
            step: The size of the step.

        Returns:
            Whether Σ_i m_i |new_i - old_i| / step is below 1e-8 per unit of time, relative to
            Σ_i m_i |new_i|, for every species.
        """
        owned = self._flow.owned
        volumes = self._flow.geometry.volumes[:owned]
        local = np.array([volumes @ np.abs(new - old)[:owned], volumes @ np.abs(new)[:owned]])
        change, size = self._flow.comm.allreduce(local)
        return bool(np.all(change <= _STEADY * step * size))

    def _look(self, tick: Tick, state: State, newton: int, linear: int) -> Row:
        flow = self._flow
        terms = flow.energy_terms(state)
        row: Row = {"step": tick.number, "time": tick.time, "dt": tick.step}
        row["energy"] = math.fsum(terms.values())
        row |= terms
        self._terms = tuple(terms)
        row["dissipation"] = flow.dissipation(state)
        masses, least, most = flow.masses(state), flow.minima(state), flow.maxima(state)
        for name in flow.names:
            row |= {f"mass_{name}": masses[name], f"min_{name}": least[name], f"max_{name}": most[name]}
            # A field of the L² metric may begin without mass.
            scale = abs(self._masses[name]) or 1.0
            self._drift[name] = max(self._drift[name], abs(masses[name] - self._masses[name]) / scale)
            self._least[name] = min(self._least[name], least[name])
            self._most[name] = max(self._most[name], most[name])
        if self._confined:
            self._look_at_rim(state)
        self._times.append(tick.time)
        self._energies.append(row["energy"])
        return row | {"newton": newton, "linear": linear}

    def _look_at_rim(self, state: State) -> None:
        flow = self._flow
        owned = slice(0, flow.owned)
        volumes = np.where(flow.rim, flow.geometry.volumes, 0.0)[owned]
        shares = flow.comm.allreduce(volumes @ state[owned])
        for name in self._at_rim:
            share = shares[flow.names.index(name)] / self._masses[name]
            self._at_rim[name] = max(self._at_rim[name], share)

    def _error(self, size: Values) -> dict[str, float]:
        """Nodal norms of the absolute errors at this rank's own nodes."""
        flow = self._flow
        volumes = flow.geometry.volumes[: flow.owned]
        l1, squares = flow.comm.allreduce(np.array([volumes @ size, volumes @ size**2]))
        linf = flow.comm.allreduce(float(size.max(initial=0.0)), op=MPI.MAX)
        return {"l1": float(l1), "l2": math.sqrt(max(0.0, squares)), "linf": linf}

    @property
    def steps(self) -> int:
        """Number of steps taken."""
        return self._steps

    @property
    def rejected(self) -> int:
        """Number of parts of steps that failed and were taken in halves."""
        return self._rejected

    @property
    def mass_drift(self) -> float:
        """The largest relative change of the mass of a Wasserstein species so far."""
        return max((self._drift[name] for name in self._problem.masses), default=0.0)

    def summary(self, state: State) -> dict[str, Any]:
        """The part of summary.json that follows from the steps.

        Args:
            state: The last state, shape (nodes, species).

        Returns:
            The entries `newton_iterations`, `linear_iterations`, `energy`, `species` and, with exact
            densities, `error`: by species where there are several, directly where there is one.
        """
        moments = self._flow.second_moments(state)
        species = {
            name: {
                "mass_initial": self._masses[name],
                "mass_final": self.row[f"mass_{name}"],
                # Only densities have a mass to keep.
                "mass_drift": self._drift[name] if name in self._problem.masses else None,
                "min": self._least[name],
                "max": self._most[name],
                "second_moment": moments[name],
            }
            for name in self._flow.names
        }
        summary: dict[str, Any] = {
            "newton_iterations": self._newton,
            "linear_iterations": self._linear,
            "energy": {
                "initial": self._energies[0],
                "final": self._energies[-1],
                "max_increase": self._increase,
                "steady": self._steady,
                "rate": self._rate(),
            },
            "species": species,
        }
        if self._errors:
            single = len(self._flow.names) == 1
            summary["error"] = self._errors[self._flow.names[0]] if single else self._errors
        return summary

    def _rate(self) -> float | None:
        """The fitted rate at which the energy decays to that of the steady state."""
        if self._steady is None:
            return None
        if self._below_steady:
            return None
        decay = fit_decay(np.array(self._times), np.array(self._energies) - self._steady)
        return None if decay is None else decay.rate

    @property
    def _below_steady(self) -> bool:
        """Whether the run went below the energy of the steady state, which then is no minimum."""
        if self._steady is None:
            return False
        largest = max(map(abs, self._energies))
        return min(self._energies) < self._steady - _BELOW * max(largest, abs(self._steady))

    def warnings(self, table: Time) -> list[str]:
        """Sentences about what went against expectation.

        Args:
            table: The table [time]: not all schemes promise the same.

        Returns:
            One sentence each; empty if all is well.
        """
        found = []
        share = self._flow.geometry.negative_share
        # The average flux of minimising movements is that of cells, and needs no coefficients of edges.
        if share and not (table.minimises and table.flux == "average"):
            effect = (
                "they take the weights of Cancès, Nabet and Vohralík, which keep densities non-negative but "
            )
            effect += "lose accuracy"
            if table.minimises:
                effect = 'on them the law of energy is no promise, as it is with flux = "average"'
            found.append(f"The mesh has {100.0 * share:.2g} % edges with a negative coefficient; {effect}.")
        if self._rejected:
            found.append(
                f"Newton's method failed in {self._rejected} parts of steps, which were taken in halves; "
                "smaller steps help."
            )
        if self._increases:
            promise = " (BDF2 does not exclude it; smaller steps help)" if "bdf2" in table.scheme else ""
            found.append(
                f"The energy increased in {self._increases} of {self._steps} steps, at most by "
                f"{self._increase:.2e}{promise}."
            )
        if self._clipped > _ROUNDING * sum(self._problem.masses.values()):
            found.append(
                f"The extrapolation of the scheme became negative somewhere; mass {self._clipped:.2e} in all "
                "was cut off there and given back elsewhere, so that the total is exact."
            )
        if self._below_steady:
            found.append(
                f"The steady state that was found has the energy {self._steady:.10g}, but the run went down "
                f"to {min(self._energies):.10g}: it is stationary and no minimum, and what is measured "
                "relative to it means nothing; the energy is not convex, and a smaller coupling helps."
            )
        if len(self._flow.names) > 1 and (text := convexity_warning(self._flow, self._least, self._most)):
            found.append(text)
        for name, share in self._at_rim.items():
            if share > _AT_RIM:
                found.append(
                    f"Mass has reached the boundary: {share:.2e} of the mass of {name} was at its vertices. "
                    "Where the mesh stands in for the whole space, as in the theory of this system, take a "
                    "larger one, or a potential that confines."
                )
        for name in self._problem.masses:
            if self._least[name] < -_ROUNDING * self._most[name]:
                found.append(
                    f"The density {name} became negative: its least value is {self._least[name]:.2e}."
                )
            if self._drift[name] > _MASS_TOLERANCE:
                found.append(
                    f"The mass of {name} drifted by {self._drift[name]:.2e} (relative); a smaller "
                    "[solver] tolerance helps."
                )
        return found
