"""The convex expansion of a coupled energy around its steady state (Matthes, second half of the slides)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from dolfinx import fem

from fem_models.core.errors import InputError
from fem_models.core.protocols import Row, Step
from fem_models.energies import Energy, Potential
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.systems.coupling import COUPLING

# Relative energies below this share of the terms that cancel in them have too few digits for a quotient.
_FEW_DIGITS = 1e-11


class ConvexExpansion:
    """Follows E^ε = L^ε + εA^ε along a flow, all three relative to the steady state ρ̄, and the dissipations.

        L^ε = E⁰ + Σ_j ∫ ε ∂_jH(ρ̄) ρ_j,    A^ε = ∫ H(ρ) - H(ρ̄) - (ρ - ρ̄)·DH(ρ̄)

    ("Instead of a linearization"). L^ε is the energy without coupling in V_j^ε = V_j + ε ∂_jH(ρ̄), and A^ε is
    computed from H alone, so that there is one for ε = 0. For a non-local coupling it is
    ∫∫ K(x-y)(ρ₁-ρ̄₁)(ρ₂-ρ̄₂). What the fields are does not matter: for chemotaxis H = φ(c)ρ. Collective;
    everything is dimensionless.

    Args:
        flow: A flow whose coupling is the term `coupling`, with its factor ε: that of `two_component` or of
            `chemotaxis`.
        steady_state: ρ̄, shape (nodes, species).

    Raises:
        InputError: The energy has no such term.
    """

    def __init__(self, flow: GradientFlow, steady_state: State) -> None:
        coupling: Any = next((term for term in flow.terms if term.name == COUPLING), None)
        if coupling is None:
            raise InputError(
                f'A convex expansion needs an energy with a term "{COUPLING}"; this one has '
                f"{', '.join(term.name for term in flow.terms)}."
            )
        self._flow, self._steady = flow, steady_state
        self._epsilon: float = coupling.coefficient
        others = Energy([term for term in flow.terms if term is not coupling])
        self._coupling = GradientFlow(flow.mesh, flow.species, replace(coupling, coefficient=1.0))
        self._slope = self._coupling.smooth_potentials(steady_state)
        self._convex = GradientFlow(flow.mesh, flow.species, others + self._potentials())
        self._sizes = math.fsum(abs(value) for value in flow.energy_terms(steady_state).values())
        self._at_steady = {
            which: which.energy(steady_state) for which in (flow, self._convex, self._coupling)
        }

    def _potentials(self) -> Energy:
        """The terms ∫ ε ∂_jH(ρ̄) ρ_j, with nodal values of ∂_jH(ρ̄)."""
        terms = []
        for s, name in enumerate(self._flow.names):
            slope = fem.Function(self._flow.space)
            slope.x.array[:] = self._epsilon * self._slope[:, s]
            terms.append(Potential(slope, name, f"expansion-{name}"))
        return Energy(terms)

    table = "study.csv"

    def look(self, row: Row, state: State, step: Step[State] | None) -> Row:
        """E, L, A, |∂E|², |∂L|² and |∂E|²/(2E) of a state; the last is not a number where E is round-off.

        Args:
            row: With the time.
            step: Not used.
            state: Shape (nodes, species).

        Returns:
            A row of study.csv.
        """
        energy, convex = (self._relative(which, state) for which in (self._flow, self._convex))
        products = np.einsum("ns,ns->n", state - self._steady, self._slope)[: self._flow.owned]
        linear = self._flow.comm.allreduce(float(self._flow.geometry.volumes[: self._flow.owned] @ products))
        dissipation = self._flow.dissipation(state)
        known = energy > _FEW_DIGITS * self._sizes
        return {
            "time": row["time"],
            "E": energy,
            "L": convex,
            "A": self._relative(self._coupling, state) - linear,
            "dissipation_E": dissipation,
            "dissipation_L": self._convex.dissipation(state),
            "quotient": dissipation / (2.0 * energy) if known else math.nan,
        }

    def _relative(self, flow: GradientFlow, state: State) -> float:
        return flow.energy(state) - self._at_steady[flow]

    def summary(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def warnings(self) -> list[str]:
        """None: the expansion is an identity."""
        return []
