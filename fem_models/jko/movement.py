"""What a minimising movement costs, beside what every step reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self, override

from fem_models.core.protocols import Step
from fem_models.flow.gradient_flow import State


@dataclass(frozen=True)
class Movement:
    """What a minimising movement cost, and how well it satisfies the conditions of optimality.

    Equations are those of Bruna, Burger and Carrillo, with φ for their -Φ. All numbers are dimensionless.

    Attributes:
        actions: By field, W₂²/(2τ) of a density and ∫(c - c^old)²/(2τ) of a field of the L² metric, summed
            over the parts of a step that was halved.
        distances: By field, the distance moved, W₂ or that of L², summed over the parts.
        excess: E(ρ) + Σ actions - E(ρ^old), which the minimiser keeps ≤ 0.
        hamilton_jacobi: The residual of (2.9b), ∂sφ = ½|∇φ|², relative to the range of the potentials, in the
            mean square over the mass in the slabs; 0 for one slab, which has no condition between slabs.
        terminal: That of (2.9e), φ(Δt) = δE/δρ, over the mass at the end.
    """

    actions: Mapping[str, float]
    distances: Mapping[str, float]
    excess: float
    hamilton_jacobi: float
    terminal: float

    def joined(self, second: Movement) -> Movement:
        """This movement and the next one as one.

        Args:
            second: The next movement, of the same fields.

        Returns:
            The movement with sums of actions, distances and excess, and the larger residuals.
        """
        return Movement(
            {name: value + second.actions[name] for name, value in self.actions.items()},
            {name: value + second.distances[name] for name, value in self.distances.items()},
            self.excess + second.excess,
            max(self.hamilton_jacobi, second.hamilton_jacobi),
            max(self.terminal, second.terminal),
        )


@dataclass(frozen=True)
class MovingStep(Step[State]):
    """An accepted step of a scheme of minimising movements.

    Attributes:
        movement: What the step cost.
    """

    movement: Movement = field(kw_only=True)

    @override
    def followed_by(self, second: Self) -> Self:
        both = super().followed_by(second)
        return replace(both, movement=self.movement.joined(second.movement))
