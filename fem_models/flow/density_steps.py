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

# Where ψ grows like ρ^β with a larger exponent, Newton's method for ρ alone takes as many iterations as β.
_LARGE_EXPONENT = 3.0
_LARGEST_EXPONENT = 200.0

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
        stiff: Those whose potential grows like a large power of the density.
    """

    def __init__(self, flow: GradientFlow) -> None:
        self._flow = flow
        self.singular = self._species_where(np.isfinite(self._in_vacuum(flow.smooth_potentials)))
        slopes = np.einsum("nss->ns", self._in_vacuum(flow.hessian))
        self._steep = self._species_where(np.isfinite(slopes)) & ~self.singular
        full = np.ones((flow.nodes, len(flow.names)))
        self.stiff = self._species_where(_exponents(flow, full) <= _LARGE_EXPONENT)

    def at(self, state: State) -> StepLimits:
        """The limits of steps from a state. Collective.

        Args:
            state: Shape (nodes, species).

        Returns:
            The limits, with the state to take derivatives at.
        """
        raised = for_derivatives(self._flow, state, self._steep) if self._steep.any() else state
        return StepLimits(self._flow, self._steep, self.stiff, raised)

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
        stiff: Those whose potential grows like a large power of the density.
        raised: The state to take derivatives at, away from where they are infinite.

    Attributes:
        raised: The same, shape (nodes, species).
    """

    def __init__(
        self,
        flow: GradientFlow,
        steep: npt.NDArray[np.bool_],
        stiff: npt.NDArray[np.bool_],
        raised: State,
    ) -> None:
        self._flow, self._steep, self._stiff, self.raised = flow, steep, stiff, raised

    def limited(
        self,
        densities: State,
        step: State,
        logarithmic: npt.NDArray[np.bool_],
        diffusion: npt.NDArray[np.float64] | None = None,
    ) -> State:
        """Newton's step ρ → ρ - step, kept to what a density can do. Collective.

        The step is that of Newton's method for log ρ where `logarithmic` says so, for ρ^β with the exponent
        of ψ ~ ρ^β where only its slope is infinite in vacuum (the unknown in which diffusion is linear), and
        for ρ elsewhere; it ends at zero at the least. With a large β the unknown is ρ where the equation is
        one of mass, and ρ^β where it is one of diffusion, the one after the other in one increasing function
        of ρ (Brenner and Cancès, SIAM J. Numer. Anal. 2017, for Richards' equation).

        Args:
            densities: At the nodes of this rank, shape (owned nodes, species).
            step: Of the same shape.
            logarithmic: The species whose logarithm is the unknown, shape (species,).
            diffusion: How much stiffer diffusion is in the equation of a node than mass and drift are, of the
                same shape; for large exponents.

        Returns:
            The step that is taken, of the same shape.
        """
        flow = self._flow
        largest = flow.reduce(densities.max(axis=0, initial=0.0), MPI.MAX)
        limited = step.copy()
        stiff = self._stiff if diffusion is not None else np.zeros_like(self._stiff)
        exponents = None
        if (self._steep | stiff).any():
            exponents = _exponents(flow, self.raised)[: flow.owned]
        for s in np.flatnonzero(flow.transported):
            rho, most = densities[:, s], _LARGEST_GROWTH * largest[s]
            if logarithmic[s]:
                with np.errstate(invalid="ignore", divide="ignore"):
                    change = np.clip(-step[:, s] / rho, -_LARGEST_CHANGE, _LARGEST_CHANGE)
                new = np.where(rho > 0.0, rho * np.exp(np.where(rho > 0.0, change, 0.0)), 0.0)
            elif exponents is not None and self._steep[s]:
                beta, raised = np.clip(exponents[:, s], 1e-2, 1.0), self.raised[: flow.owned, s]
                power = np.maximum(rho**beta - beta * raised ** (beta - 1.0) * step[:, s], 0.0)
                most = np.minimum(most, math.exp(_LARGEST_CHANGE) * np.maximum(rho, 1e-8 * largest[s]))
                new = np.minimum(power, most**beta) ** (1.0 / beta)
            elif exponents is not None and diffusion is not None and stiff[s]:
                beta = np.clip(exponents[:, s], 1.0, _LARGEST_EXPONENT)
                # The potential of the largest density grows by a factor of at most e⁴.
                most = largest[s] * np.minimum(_LARGEST_GROWTH, np.exp(_LARGEST_CHANGE / beta))
                new = np.minimum(_switched(rho, step[:, s], beta, diffusion[:, s]), most)
            else:
                new = np.clip(rho - step[:, s], 0.0, most)
            limited[:, s] = rho - new
        return limited


def _exponents(flow: GradientFlow, state: State) -> npt.NDArray[np.float64]:
    """The exponents β of ψ ~ ρ^β at the nodes, from ∂ψ/∂ρ at ρ and at 2ρ; 1 where there is none."""
    once, twice = (np.einsum("nss->ns", flow.hessian(k * state)) for k in (1.0, 2.0))
    with np.errstate(all="ignore"):
        exponents = 1.0 + np.log2(twice / once)
    return np.where(np.isfinite(exponents), exponents, 1.0)


def _switched(
    rho: npt.NDArray[np.float64],
    step: npt.NDArray[np.float64],
    beta: npt.NDArray[np.float64],
    diffusion: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """ρ after Newton's step for the unknown s(ρ) = ρ up to ρ*, and ρ* + (ρ^β - ρ*^β)/(β ρ*^{β-1}) from there.

    At ρ* mass with drift and diffusion weigh the same; the latter grows like ρ^β.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        diffuses = (diffusion > 0.0) & (rho > 0.0)
        switch = np.where(diffuses, rho * diffusion ** (-1.0 / beta), np.inf)
        t = np.where(np.isfinite(switch), rho / switch, 0.0)
        s = np.where(t > 1.0, 1.0 + (t**beta - 1.0) / beta, t)
        slope = np.where(t > 1.0, t ** (beta - 1.0), 1.0)
        s -= slope * step / switch
        t = np.where(s > 1.0, (1.0 + beta * (s - 1.0)) ** (1.0 / beta), s)
        return np.maximum(np.where(np.isfinite(switch), switch * t, rho - step), 0.0)
