"""Steady states: the minimiser of the energy with given masses, without time stepping.

For a single density the Euler–Lagrange conditions are local: δE/δρ = λ where ρ > 0, and δE/δρ ≥ λ where
ρ = 0, with the multiplier λ of the mass (Bruna, Burger and Carrillo, section 4; Matthes, for the supports
where m > 1). They are the conditions for a steady state of every scheme here, node by node. Systems are
solved in `fem_models.steady.equilibrium`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.core.errors import InputError, SolveError
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.steady.equilibrium import Equilibrium

_ITERATIONS = 200
_SMALLEST, _LARGEST = 1e-300, 1e30


def steady_state(
    flow: GradientFlow, masses: Mapping[str, float] | float, guess: State | None = None
) -> State:
    """The stationary point of the energy in which every density ρ has its mass Σ_i m_i ρ_i. Collective.

    δE/δρ = λ on the support of each density and δE/δρ ≥ λ outside, and δE/δφ = 0 for fields of the L² metric
    and static ones. Where the energy is convex that is its minimiser. Where it is not, a state that is found
    may be a saddle: it is refused where that shows in second derivatives at a node or in the feedback of a
    field of the L² metric, but not with interactions, nor where the energy is not convex in the fields alone.

    Args:
        flow: A flow with densities whose energy is convex in them.
        masses: By density, positive; a number where there is only one. Dimensionless.
        guess: A state to start from, for systems; even densities and fields that are zero by default.

    Returns:
        Nodal values, shape (nodes, species); densities are exactly zero outside of their supports.

    Raises:
        InputError: A mass that is missing, unknown or not positive, or charges that do not balance where the
            potential needs it.
        SolveError: The energy is not convex, or has no minimiser with these masses.
    """
    wanted = _masses_of(flow, masses)
    if len(flow.names) > 1 or flow.couplings.interacts:
        return Equilibrium(flow, wanted, guess).solve()
    return _single(flow, float(wanted[0]))


def _masses_of(flow: GradientFlow, masses: Mapping[str, float] | float) -> npt.NDArray[np.float64]:
    """The masses by the order of the densities, checked."""
    densities = [name for name, moves in zip(flow.names, flow.transported, strict=True) if moves]
    if not isinstance(masses, Mapping):
        if len(densities) != 1:
            raise InputError(
                "A number as the mass of a steady state is for one density with the Wasserstein metric only: "
                f"give masses by name for {', '.join(densities) or 'densities'}."
            )
        masses = {densities[0]: masses}
    if not densities or set(masses) != set(densities):
        raise InputError(
            f"A steady state needs the masses of its densities ({', '.join(densities) or 'there are none'}), "
            f"but it was given those of {', '.join(masses) or 'none'}."
        )
    for name in densities:
        if not 0.0 < masses[name] < math.inf:
            raise InputError(
                f"The mass of a steady state must be positive, not {masses[name]!r}: that of {name} is not."
            )
    return np.array([float(masses[name]) for name in densities])


def _single(flow: GradientFlow, mass: float) -> State:
    """The steady state of a single density without interactions."""
    solver = _PointwiseDensity(flow)
    # At the multiplier that is the least (largest) potential of the mean density, all densities are at most
    # (at least) the mean: a bracket.
    mean = np.full((flow.nodes, 1), mass / flow.volume)
    mu = flow.potentials(mean)[: flow.owned, 0]
    low = flow.comm.allreduce(float(mu.min(initial=math.inf)), op=MPI.MIN)
    high = flow.comm.allreduce(float(mu.max(initial=-math.inf)), op=MPI.MAX)
    multiplier, state, excess = 0.5 * (low + high), mean, math.inf
    for _ in range(_ITERATIONS):
        found = solver(multiplier, state)
        if found is None:
            high = multiplier
            multiplier = 0.5 * (low + high)
            continue
        state, slope = found
        excess = flow.masses(state)[flow.names[0]] - mass
        if excess < 0.0:
            low = multiplier
        else:
            high = multiplier
        if abs(excess) <= 1e-14 * mass or high - low <= 1e-15 * max(abs(low), abs(high)):
            break
        newton = multiplier - excess / slope if slope > 0.0 else math.inf
        multiplier = newton if low < newton < high else 0.5 * (low + high)
    if not abs(excess) <= 1e-6 * mass:
        raise SolveError(
            f"No steady state of mass {mass:g} was found: the energy may have no minimiser, or not be convex."
        )
    return state * (mass / (mass + excess))


class _PointwiseDensity:
    """Solves δE/δρ(ρ, x_i) = λ, ρ ≥ 0, at all nodes at once, by Newton's method between bounds.

    Where the potential is -∞ in vacuum the unknown is log ρ, otherwise ρ.
    """

    def __init__(self, flow: GradientFlow) -> None:
        self._flow = flow
        self._at_vacuum = flow.potentials(np.zeros((flow.nodes, 1)))
        finite = bool(np.isfinite(self._at_vacuum).all())
        self._logarithmic = not flow.comm.allreduce(finite, op=MPI.LAND)
        self._upper = np.ones((flow.nodes, 1))

    def __call__(self, multiplier: float, guess: State) -> tuple[State, float] | None:
        """The densities, and the derivative of their mass by λ; None where λ is too large for a solution."""
        logarithmic = self._logarithmic
        start = math.log(_SMALLEST) if logarithmic else 0.0
        low = np.full(guess.shape, start)
        if not self._raise_upper_bound(multiplier):
            return None
        high = self._upper
        high = np.log(high) if logarithmic else high.copy()
        z = np.log(np.maximum(guess, _SMALLEST)) if logarithmic else guess
        z = np.where((z > low) & (z < high), z, 0.5 * (low + high))
        for _ in range(_ITERATIONS):
            rho = np.exp(z) if logarithmic else z
            value = self._flow.potentials(rho) - multiplier
            slope = self._slope(rho)
            low, high = np.where(value < 0.0, z, low), np.where(value < 0.0, high, z)
            with np.errstate(all="ignore"):
                newton = z - value / (slope * rho if logarithmic else slope)
            following = np.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
            moved = np.abs(following - z)
            z = following
            still = bool((moved <= 4e-16 * np.maximum(np.abs(z), 1e-30)).all())
            if self._flow.comm.allreduce(still, op=MPI.LAND):
                break
        rho = np.exp(z) if logarithmic else z
        if not logarithmic:
            rho = np.where(self._at_vacuum >= multiplier, 0.0, rho)
        slope = self._slope(rho)
        occupied = rho > 0.0
        if self._flow.comm.allreduce(bool((slope[occupied] < 0.0).any()), op=MPI.LOR):
            raise SolveError("The energy is not convex in the density: its steady states need not be unique.")
        with np.errstate(all="ignore"):
            rates = np.where(occupied & (slope > 0.0), 1.0 / slope, 0.0)
        owned = slice(0, self._flow.owned)
        local = float(self._flow.geometry.volumes[owned] @ rates[owned, 0])
        return rho, self._flow.comm.allreduce(local)

    def _slope(self, rho: State) -> npt.NDArray[np.float64]:
        """The derivative of δE/δρ by ρ."""
        with np.errstate(all="ignore"):
            return self._flow.hessian(rho)[:, :, 0] + self._flow.theta / rho

    def _raise_upper_bound(self, multiplier: float) -> bool:
        """Raise the upper bounds of the densities until δE/δρ > λ there; say if that is possible."""
        upper = self._upper
        while True:
            low = self._flow.potentials(upper) <= multiplier
            if not self._flow.comm.allreduce(bool(low.any()), op=MPI.LOR):
                return True
            if self._flow.comm.allreduce(float(upper.max(initial=0.0)), op=MPI.MAX) > _LARGEST:
                self._upper = np.ones_like(upper)
                return False
            upper[low] *= 4.0
