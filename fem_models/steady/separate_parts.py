"""Steady states in several parts, between which no mass passes: each has a mass and a multiplier of its own.

Where the support or the mesh has several parts, δE/δρ = λ_k on the k-th of them, and δE/δρ ≥ λ_k in the
vacuum around it. How much mass each part has is not known from the whole mass: it follows from the flow,
whose last state says it. For one density with a local energy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.linalg.exchange import Exchange, sums
from fem_models.meshes.joints import connected
from fem_models.steady.local_densities import LocalDensities

_Labels = npt.NDArray[np.int64]

# The share of the largest density from which a node is in the support.
_SUPPORT = 1e-9

# More parts than these are noise, and a part grows by one layer of nodes in a round.
_MOST_PARTS, _ROUNDS = 16, 100

# By how much of the range of potentials a multiplier is above that of vacuum at the least.
_ABOVE = 1e-10


def steady_in_parts(flow: GradientFlow, state: State) -> tuple[State, tuple[float, ...]] | None:
    """The steady state whose parts have the masses that they have in a state. Collective.

    Args:
        flow: The gradient flow.
        state: Shape (nodes, 1).

    Returns:
        The steady state, shape (nodes, 1), and the masses of its parts; None where there is one part, or more
        than can be told apart, or more fields than one density, or an energy that is not local.
    """
    if len(flow.names) != 1 or not flow.transported[0] or flow.couplings.interacts:
        return None
    labels, count = parts_of_support(flow, state)
    if not 1 < count <= _MOST_PARTS:
        return None
    volumes, owned = flow.geometry.volumes[: flow.owned], slice(0, flow.owned)
    weights = np.where(labels[owned] >= 0, volumes * state[owned, 0], 0.0)
    shares = np.bincount(labels[owned] + 1, weights, count + 1)[1:]
    masses: dict[int, float] = dict(enumerate(map(float, flow.comm.allreduce(shares))))
    # Parts of the mesh without mass stay without.
    empty_parts = [k for k, mass in masses.items() if not mass > _SUPPORT * max(masses.values())]
    labels[np.isin(labels, empty_parts)] = -1
    for k in empty_parts:
        del masses[k]
    with np.errstate(all="ignore"):
        empty = flow.smooth_potentials(np.zeros_like(state))[:, 0]
    for _ in range(_ROUNDS):
        found = np.zeros_like(state)
        grown = labels.copy()
        for k, mass in masses.items():
            part = _in_region(flow, state, labels == k, mass)
            if part is None:
                return None
            density, level = part
            found[:, 0] += density
            around = _neighbours(flow, density > 0.0) & (labels != k)
            size = _ABOVE * max(abs(level), 1e-300)
            grown[around & (empty < level - size)] = k
        met = _met(flow, labels, grown, count)
        if met is not None:
            # Mass passes between two parts: they are one.
            first, second = met
            labels[labels == second] = first
            masses[first] += masses.pop(second)
            if len(masses) == 1 and not empty_parts:
                return None
        elif not flow.comm.allreduce(int((grown != labels).sum())):
            found[:, 0] *= sum(masses.values()) / flow.masses(found)[flow.names[0]]
            return found, tuple(masses.values())
        else:
            labels = grown
    return None


def parts_of_support(flow: GradientFlow, state: State) -> tuple[_Labels, int]:
    """The parts of the support of a density that are connected by edges. Collective.

    Args:
        flow: The gradient flow.
        state: Shape (nodes, 1).

    Returns:
        The number of the part of each node, -1 in vacuum, shape (nodes,), and the number of parts.
    """
    comm = flow.comm
    # With an entropy there is mass everywhere, however little.
    least = -1.0 if flow.theta[0] > 0.0 else _SUPPORT * float(flow.scale(state)[0])
    active = (state[:, 0] > least) & flow.inside
    i, j = flow.geometry.pairs.T
    joined = active[i] & active[j]
    own = connected(len(state), i[joined], j[joined])
    counts = comm.allgather(int(own.max(initial=-1)) + 1)
    own += sum(counts[: comm.rank])
    # A ghost is in the part of its owner, too.
    owners = Exchange(flow.space.dofmap.index_map).with_ghosts(own[: flow.owned].astype(float))[:, 0]
    ghosts = np.flatnonzero(active[flow.owned :]) + flow.owned
    same = np.stack([own[ghosts], owners[ghosts].astype(np.int64)], axis=1)
    pairs = np.concatenate(comm.allgather(np.unique(same, axis=0)))
    whole = connected(sum(counts), pairs[:, 0], pairs[:, 1])
    used = np.unique(np.concatenate(comm.allgather(np.unique(whole[own[active]]))))
    labels = np.full(len(state), -1, dtype=np.int64)
    labels[active] = np.searchsorted(used, whole[own[active]])
    return labels, len(used)


def _in_region(
    flow: GradientFlow, state: State, region: npt.NDArray[np.bool_], mass: float
) -> tuple[npt.NDArray[np.float64], float] | None:
    """The density with a mass in a region of nodes, and its multiplier."""
    densities = LocalDensities(flow, state, region)
    none, masses = np.zeros((len(state), 1)), np.array([mass])
    first = densities.first_multipliers(state, none, masses)
    guess = np.where(region[:, None], state, 0.0)
    found = densities.with_masses(state, none, masses, first, guess)
    return None if found is None else (found[0].densities[:, 0], float(found[1][0]))


def _neighbours(flow: GradientFlow, marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which nodes have an edge to one that is marked. Collective."""
    pairs = flow.geometry.pairs
    return sums(flow.space.dofmap.index_map, pairs, marked[pairs[:, ::-1]].astype(float)) > 0.0


def _met(flow: GradientFlow, labels: _Labels, grown: _Labels, count: int) -> tuple[int, int] | None:
    """Two parts of which one would grow into the other. Collective."""
    taken = np.zeros((count, count))
    there = (labels >= 0) & (grown != labels)
    np.add.at(taken, (grown[there], labels[there]), 1.0)
    found = np.argwhere(flow.comm.allreduce(taken) > 0.0)
    return None if len(found) == 0 else (int(found[0, 0]), int(found[0, 1]))
