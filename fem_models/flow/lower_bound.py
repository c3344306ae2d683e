"""Whether an energy has a lower bound, as minimising movements need: judged by its potentials far out.

An energy Σ ∫ e(ρ, c, ψ) of densities ρ with given masses on a bounded domain is bounded below exactly if no
e falls faster than linearly, that is if no potential tends to -∞ as densities grow; fields of the L² metric
have no mass to bound them, and their energy must not fall at all without end. Hence

- densities are sent to infinity along rays in the positive orthant, each alone and every two of them in
  several ratios, other fields held: at each node the derivative of e along the ray is taken at three sizes,
  each a hundred times the one before. It tends to -∞ where it falls from the second to the third size by at
  least half of what it fell from the first to the second (by as much for a logarithm, by more for a power),
  and has a limit where it falls by less (by the share 100^-p where it tends to it like the size to the -p).
- each field of the L² metric is sent to plus and minus infinity, densities held: as a constant where it has
  a Dirichlet energy, which constants do not feel, and at each node otherwise. The energy falls without end
  where its slope is negative and does not decrease faster than the inverse of the size. A Dirichlet energy
  with a negative coefficient is unbounded by oscillations.
- static fields are held: an energy that is the largest over ψ is above that with any one ψ. Interactions have
  bounded kernels, and are left out.

What the check does not see: fields that fall together with densities, against a Dirichlet energy (as in
Keller and Segel's model, whose energy is unbounded for large masses), and static fields that minimise.
Everything is dimensionless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.flow.species import State
from fem_models.linalg.exchange import sums
from fem_models.nodal.nodal_energy import NodalEnergy

_Array = npt.NDArray[np.float64]

# Sizes at which potentials are taken, in units of the largest value of a state and of 1.
_SIZES = (1e6, 1e8, 1e10)
# Ratios of two densities along a ray.
_RATIOS = 10.0 ** np.linspace(-1.5, 1.5, 7)
# A change by less than this share of the terms is rounding.
_ROUNDING = 1e-6
# The share of a fall that a fall without end repeats.
_REPEATED = 0.5


def check_bounded(flow: GradientFlow, state: State) -> None:
    """Refuse an energy that has no lower bound. Collective.

    Args:
        flow: A flow.
        state: A state, shape (nodes, fields); its values are those of the fields that are held.

    Raises:
        InputError: The energy falls without end in one of the ways above. All ranks raise it.
    """
    check = _Check(flow, state)
    for ray in check.rays():
        if check.falls(ray):
            names = [name for name, part in zip(flow.names, ray, strict=True) if part]
            raise InputError(_sentence(f"as {' and '.join(names)} grow{'s' * (len(names) == 1)}"))
    for column in map(int, np.flatnonzero(flow.relaxed)):
        name = flow.names[column]
        if check.oscillates(column):
            raise InputError(_sentence(f"as {name} oscillates, by a Dirichlet energy with a negative factor"))
        for sign, way in ((1.0, "grows"), (-1.0, "falls")):
            if check.drifts(column, sign):
                raise InputError(_sentence(f"as {name} {way}"))


def _sentence(how: str) -> str:
    return (
        f"The energy has no lower bound, which minimising movements need: it falls without end {how}; add a "
        'term that grows faster, or take scheme = "backward-euler" or "bdf2".'
    )


class _Check:
    """Potentials far out."""

    def __init__(self, flow: GradientFlow, state: State) -> None:
        self._flow, self._state = flow, state
        self._energy = NodalEnergy(flow.space, flow.names, tuple(flow.terms))
        self._here = np.flatnonzero(flow.inside[: flow.owned])
        largest = flow.reduce(np.abs(state).max(axis=0, initial=0.0), MPI.MAX)
        self._scale = max(1.0, float(largest[~flow.static].max(initial=0.0)))

    def rays(self) -> Iterator[_Array]:
        """The directions of densities, shape (fields,) each, with a largest entry of 1."""
        columns = np.flatnonzero(self._flow.transported)
        unit = np.eye(len(self._flow.names))
        for number, first in enumerate(columns):
            yield unit[first]
            for second in columns[number + 1 :]:
                for ratio in _RATIOS:
                    ray = unit[first] + ratio * unit[second]
                    yield ray / ray.max()

    def falls(self, ray: _Array) -> bool:
        """Whether the derivative of the energy density along a ray tends to -∞ at a node."""
        flow = self._flow

        def slope(size: float) -> tuple[_Array, _Array]:
            far = np.where(ray > 0.0, size * ray, self._state)
            entropic = flow.theta * (np.log(np.where(ray > 0.0, size * ray, 1.0)) + 1.0)
            potentials = ray * (self._energy.potentials(far) + entropic)[self._here]
            return potentials.sum(axis=1), np.abs(potentials).sum(axis=1)

        (first, _), (second, _), (third, terms) = self._at_sizes(slope)
        with np.errstate(invalid="ignore"):
            once, again = first - second, second - third
            found = (again > _ROUNDING * terms) & (again >= _REPEATED * once) & (once > 0.0)
        return self._anywhere(found | (third == -np.inf))

    def drifts(self, column: int, sign: float) -> bool:
        """Whether the energy falls without end as a field goes to plus or minus infinity."""
        flow = self._flow
        stiff = any(s == column for _, s, _ in flow.couplings.stiffnesses)
        volumes = flow.geometry.volumes[self._here]

        def slope(size: float) -> tuple[_Array, _Array]:
            far = self._state.copy()
            far[:, column] = sign * size
            potentials = sign * self._energy.potentials(far)[self._here, column]
            if not stiff:
                return potentials, np.abs(potentials)
            sums = np.array([volumes @ potentials, volumes @ np.abs(potentials)])
            return tuple(flow.comm.allreduce(sums)[:, None])

        _, (second, _), (third, terms) = self._at_sizes(slope)
        with np.errstate(invalid="ignore"):
            growth = _SIZES[2] / _SIZES[1]
            found = (third < -1e-12 * terms) & (growth * third <= _REPEATED * second)
        return self._anywhere(found | (third == -np.inf))

    def oscillates(self, column: int) -> bool:
        """Whether a field has a Dirichlet energy that is negative for the hat function of a node."""
        flow = self._flow
        diagonal = np.zeros(flow.nodes)
        for _, s, stiffness in flow.couplings.stiffnesses:
            if s == column:
                diagonal += sums(flow.space.dofmap.index_map, stiffness.pairs.T, stiffness.k)
        return self._anywhere(diagonal[: flow.owned] < 0.0)

    def _at_sizes(self, slope: Callable[[float], tuple[_Array, _Array]]) -> list[tuple[_Array, _Array]]:
        with np.errstate(over="ignore", invalid="ignore"):
            return [slope(size * self._scale) for size in _SIZES]

    def _anywhere(self, found: npt.NDArray[np.bool_]) -> bool:
        return bool(self._flow.comm.allreduce(bool(found.any()), op=MPI.LOR))
