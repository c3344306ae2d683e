"""What Newton's method may do to densities: steps that keep their sign and suit their potentials."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.flow.species import State
from fem_models.flow.vacuum import for_derivatives

if TYPE_CHECKING:
    from fem_models.flow.gradient_flow import GradientFlow

# In one iteration of Newton's method, log ρ changes by at most this much where it is the unknown, and no
# density grows beyond this multiple of the largest.
_LARGEST_CHANGE = 4.0
_LARGEST_GROWTH = 2.0


class DensitySteps:
    """Limits of Newton's steps for the densities of a flow. Collective to build.

    Args:
        flow: The gradient flow.

    Attributes:
        singular: Species whose potential is infinite in vacuum without an entropy (fast diffusion), where
            densities stay positive, shape (species,).
    """

    def __init__(self, flow: GradientFlow) -> None:
        self._flow = flow
        self.singular = self._species_where(np.isfinite(self._in_vacuum(flow.smooth_potentials)))
        slopes = np.einsum("nss->ns", self._in_vacuum(flow.hessian))
        self._steep = self._species_where(np.isfinite(slopes)) & ~self.singular

    def at(self, state: State) -> StepLimits:
        """The limits of steps from a state. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The limits, with the state to take derivatives at.
        """
        raised = for_derivatives(self._flow, state, self._steep) if self._steep.any() else state
        return StepLimits(self._flow, self._steep, raised)

    def _in_vacuum(self, function: Callable[[State], npt.NDArray]) -> npt.NDArray[np.float64]:
        """Values where there is no mass, at the nodes of this rank."""
        flow = self._flow
        vacuum = np.where(flow.transported, 0.0, 1.0) * np.ones((flow.nodes, 1))
        return function(vacuum)[: flow.owned]

    def _species_where(self, fine: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """The Wasserstein species for which something is not fine at some node."""
        bad = self._flow.reduce((~fine).any(axis=0).astype(float), MPI.MAX) > 0.0
        return self._flow.transported & bad


class StepLimits:
    """Limits of Newton's steps from a state.

    Args:
        flow: The gradient flow.
        steep: The species for whose potential the slope is infinite in vacuum, but not the value.
        raised: The state to take derivatives at, away from where they are infinite.

    Attributes:
        raised: The same, shape (nodes, species).
    """

    def __init__(self, flow: GradientFlow, steep: npt.NDArray[np.bool_], raised: State) -> None:
        self._flow, self._steep, self.raised = flow, steep, raised

    def limited(self, densities: State, step: State, logarithmic: npt.NDArray[np.bool_]) -> State:
        """Newton's step ρ → ρ - step, kept to what a density can do. Collective.

        The step is that of Newton's method for log ρ where `logarithmic` says so, for ρ^β with the exponent
        of ψ ~ ρ^β where only its slope is infinite in vacuum (the unknown in which diffusion is linear), and
        for ρ elsewhere; it ends at zero at the least.

        Args:
            densities: At the nodes of this rank, shape (owned nodes, species).
            step: Of the same shape.
            logarithmic: The species whose logarithm is the unknown, shape (species,).

        Returns:
            The step that is taken, of the same shape.
        """
        flow = self._flow
        largest = flow.reduce(densities.max(axis=0, initial=0.0), MPI.MAX)
        limited = step.copy()
        exponents = self._exponents() if self._steep.any() else None
        for s in np.flatnonzero(flow.transported):
            rho, most = densities[:, s], _LARGEST_GROWTH * largest[s]
            if logarithmic[s]:
                with np.errstate(invalid="ignore", divide="ignore"):
                    change = np.clip(-step[:, s] / rho, -_LARGEST_CHANGE, _LARGEST_CHANGE)
                new = np.where(rho > 0.0, rho * np.exp(np.where(rho > 0.0, change, 0.0)), 0.0)
            elif exponents is not None and self._steep[s]:
                beta, raised = exponents[:, s], self.raised[: flow.owned, s]
                power = np.maximum(rho**beta - beta * raised ** (beta - 1.0) * step[:, s], 0.0)
                most = np.minimum(most, math.exp(_LARGEST_CHANGE) * np.maximum(rho, 1e-8 * largest[s]))
                new = np.minimum(power, most**beta) ** (1.0 / beta)
            else:
                new = np.clip(rho - step[:, s], 0.0, most)
            limited[:, s] = rho - new
        return limited

    def _exponents(self) -> npt.NDArray[np.float64]:
        """The exponents β of ψ ~ ρ^β at the nodes of this rank, from ∂ψ/∂ρ at ρ and at 2ρ, at most 1."""
        owned = slice(0, self._flow.owned)
        once, twice = (np.einsum("nss->ns", self._flow.hessian(k * self.raised)[owned]) for k in (1.0, 2.0))
        with np.errstate(all="ignore"):
            exponents = 1.0 + np.log2(twice / once)
        return np.where(np.isfinite(exponents), np.clip(exponents, 1e-2, 1.0), 1.0)
