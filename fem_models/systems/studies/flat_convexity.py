"""Whether an energy is convex in its fields, point by point, over the range that a run has seen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.core.protocols import Row, Step
from fem_models.core.remembering import Remembering
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.vacuum import CONVEXITY

# At least so many points of the range are looked at, and the nodes so many times at the least.
_SAMPLES = 20_000
_ROUNDS = 8
# What an eigenvalue of round-off may be below zero.
_ROUNDING = 1e-9


def flat_convexity(flow: NodalFields, minima: Mapping[str, float], maxima: Mapping[str, float]) -> float:
    """The least eigenvalue of the Hessian of the energy density, each row and column scaled by its diagonal.

    For two fields it is 1 - |e₁₂|/√(e₁₁e₂₂) where the diagonal is positive: 1 without coupling, and negative
    where the energy is not convex, which for Matthes' systems begins at some ε > 0. Densities go from vacuum
    to their largest value, fields of the L² metric between their extremes; static fields are left out, and so
    are parts that couple different points (Dirichlet energies, which are convex, and interactions). The box
    of all values is searched at its corners and at points that are spread over it and over the mesh, since
    the energy density may depend on x. Collective.

    Args:
        flow: The flow.
        minima: The least value of each field, by name, dimensionless.
        maxima: The largest value of each field.

    Returns:
        The least eigenvalue found, dimensionless, at most 1.
    """
    low = np.array([minima[name] for name in flow.names])
    high = np.array([maxima[name] for name in flow.names])
    low = np.where(flow.transported, CONVEXITY * high, low)
    low, high = np.where(flow.static, 0.0, low), np.where(flow.static, 0.0, high)
    moving = np.flatnonzero(~flow.static)
    ends = [(a, b) if b > a else (b,) for a, b in zip(low, high, strict=True)]
    corners = (np.tile(corner, (flow.nodes, 1)) for corner in itertools.product(*ends))
    least = min(_least(flow, corner, moving) for corner in corners)
    # The fractional parts of multiples of such numbers fill the cube evenly, and never repeat.
    strides = np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0])
    strides = np.resize(strides, len(low)) + np.arange(len(low)) // len(strides)
    count = flow.space.dofmap.index_map.size_global
    numbers = flow.space.dofmap.index_map.local_to_global(np.arange(flow.nodes, dtype=np.int32))
    for sweep in range(max(_ROUNDS, -(-_SAMPLES // count))):
        places = np.modf(np.outer(numbers + sweep * count + 1.0, strides))[0]
        least = min(least, _least(flow, low + places * (high - low), moving))
    return flow.comm.allreduce(least, op=MPI.MIN)


def _least(flow: NodalFields, state: npt.NDArray[np.float64], moving: npt.NDArray[np.int64]) -> float:
    """The least eigenvalue at the nodes of this rank, of the scaled Hessian of some fields."""
    hessian = flow.hessian(state)
    species = np.arange(len(flow.names))
    hessian[:, species, species] += np.divide(flow.theta, state, out=np.zeros_like(state), where=state > 0.0)
    hessian = hessian[:, moving[:, None], moving]
    diagonal = np.abs(np.einsum("nss->ns", hessian))
    scale = np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    scaled = (hessian / (scale[:, :, None] * scale[:, None, :]))[flow.inside]
    return float(np.linalg.eigvalsh(scaled).min(initial=math.inf)) if len(moving) else math.inf


def convexity_warning(
    flow: NodalFields, minima: Mapping[str, float], maxima: Mapping[str, float]
) -> str | None:
    """Whether the energy is convex, point by point, over the range of a run, in a sentence. Collective.

    Args:
        flow: The flow.
        minima: The least value of each field during the run, by name, dimensionless.
        maxima: The largest value of each field.

    Returns:
        A sentence where it is not, with the least eigenvalue of `flat_convexity`; None where it is.
    """
    least = flat_convexity(flow, minima, maxima)
    if least >= -_ROUNDING:
        return None
    largest = ", ".join(f"{name} ≤ {maxima[name]:.3g}" for name in flow.names if name in maxima)
    return (
        f"The energy is not convex, point by point, over the range of the run ({largest}): the least "
        f"eigenvalue of the Hessian of its density, relative to its diagonal, is {least:.3g}. Steady states "
        "need not be unique, and large steps need not lower the energy; a smaller coupling (ε) helps."
    )


class ConvexityOfRange(Remembering):
    """Says in the end whether the energy is convex, point by point, over the range of a run. Collective.

    Args:
        flow: The flow.
    """

    table = ""
    remembered = ("_least", "_most")

    def __init__(self, flow: NodalFields) -> None:
        self._flow = flow
        self._least = dict.fromkeys(flow.names, math.inf)
        self._most = dict.fromkeys(flow.names, -math.inf)

    def look(self, row: Row, state: npt.NDArray[np.float64], step: Step[Any] | None) -> Row:
        """Take note of the extremes; there are no columns.

        Args:
            row: With the minimum and the maximum of each field.
            state: Not used.
            step: Not used.

        Returns:
            No row.
        """
        for name in self._flow.names:
            self._least[name] = min(self._least[name], row[f"min_{name}"])
            self._most[name] = max(self._most[name], row[f"max_{name}"])
        return {}

    def summary(self) -> Mapping[str, Any]:
        """No entries."""
        return {}

    def warnings(self) -> Sequence[str]:
        """A sentence where the energy is not convex over the range of the run."""
        text = convexity_warning(self._flow, self._least, self._most)
        return [] if text is None else [text]
