"""How a path of densities ends: at a minimum of energy and action together, or at given densities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, override

import numpy as np
import numpy.typing as npt

from fem_models.flow.density_steps import DensitySteps
from fem_models.flow.field_rows import FieldRows
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.nodal.stiffness import Stiffness

_Array = npt.NDArray[np.float64]


Numbering = Callable[[npt.NDArray[np.int32], int], npt.NDArray[np.integer]]
"""The numbers of the unknowns of a field at nodes."""


class PathEnd(Protocol):
    """The end of a path.

    A "state" has the densities at the end and the other fields, shape (nodes, fields), densities where
    `transported` says so. Results have a row for each field: for densities that of stationarity by the
    density at the end, but for the terms of the action, for other fields their own equation.
    """

    transported: npt.NDArray[np.bool_]
    """Which fields are densities, shape (fields,)."""
    free: bool
    """Whether the densities at the end are unknown."""
    interacts: bool
    """Whether the slopes leave out interactions, which `interaction_rows` gives."""
    stiffnesses: list[tuple[int, int, Stiffness]]
    """Stiffnesses in the rows of other fields, as in `Couplings`."""
    logarithmic: npt.NDArray[np.bool_]
    """The fields whose potential is infinite in vacuum, shape (fields,)."""

    def rows(self, state: State, old: State, tau: float) -> _Array:
        """The rows. Collective.

        Args:
            state: The state at the end.
            old: That at the beginning.
            tau: Time step.

        Returns:
            The rows at the nodes of this rank, shape (owned nodes, fields).
        """

    def slopes(self, state: State, tau: float) -> _Array:
        """The derivatives of the rows by the fields at the same node.

        Args:
            state: The state at the end.
            tau: Time step.

        Returns:
            Shape (owned nodes, fields, fields).
        """

    def interaction_rows(self, change: State, tau: float) -> _Array:
        """What interactions add to the rows with a change of the state. Collective.

        Args:
            change: Of the state at the end.
            tau: Time step.

        Returns:
            Shape (owned nodes, fields).
        """

    def stiff_entries(self, number: Numbering, side: int) -> list[npt.NDArray[np.integer]]:
        """Rows or columns of the entries that the stiffnesses have in the Jacobian.

        Args:
            number: Gives the numbers of the unknowns of a field at nodes.
            side: 0 for rows, 1 for columns.

        Returns:
            The numbers, in the order of `stiff_values`.
        """

    def stiff_values(self, tau: float) -> list[_Array]:
        """The values of the entries that the stiffnesses have in the Jacobian.

        Args:
            tau: Time step.

        Returns:
            The values, in the order of `stiff_entries`.
        """

    def limited(self, state: State, change: State) -> State:
        """A step of Newton's method, shortened where a density would go further than its energy allows.

        Args:
            state: The state at the end, at the nodes of this rank.
            change: To be subtracted from it.

        Returns:
            The change that is taken, of the same shape.
        """


class EnergyEnd(PathEnd):
    """The end that minimises an energy: rows -m μ for densities, the equations of `FieldRows` for others.

    Args:
        flow: The gradient flow of the energy.

    Attributes:
        steps: What Newton's method may do to the densities.
        logarithmic: The species whose potential is infinite in vacuum, shape (fields,).
        fields: The rows of other fields.
    """

    free = True

    def __init__(self, flow: GradientFlow) -> None:
        self.flow = flow
        self.transported = flow.transported
        self.interacts = flow.couplings.interacts
        self.stiffnesses = flow.couplings.stiffnesses
        self.fields = FieldRows(flow)
        self.steps = DensitySteps(flow)
        self.logarithmic = self.steps.singular | (flow.theta > 0.0)
        self._volumes = flow.geometry.volumes[: flow.owned, None]

    @override
    def rows(self, state: State, old: State, tau: float) -> _Array:
        """See `PathEnd`."""
        flow = self.flow
        owned = slice(0, flow.owned)
        psi = flow.smooth_potentials(state)
        entropic = np.zeros_like(psi)
        if flow.theta.any():
            where = (flow.theta > 0.0) & (state > 0.0)
            entropic[:] = flow.theta * (np.log(np.where(where, state, 1.0)) + 1.0)
        out = np.where(
            flow.transported,
            -self._volumes * (psi + entropic)[owned],
            np.where(flow.relaxed, self._volumes * (state - old)[owned], 0.0),
        )
        self.fields.add_forces(state, psi, tau, out)
        return out

    @override
    def slopes(self, state: State, tau: float) -> _Array:
        """See `PathEnd`."""
        flow = self.flow
        self.limits = self.steps.at(state)
        hessian = flow.hessian(self.limits.raised)[: flow.owned]
        out = np.where(flow.transported[:, None], -self._volumes[:, :, None] * hessian, 0.0)
        species = np.arange(len(flow.names))
        if flow.theta.any():
            entropic = flow.theta / np.where(state > 0.0, state, np.inf)[: flow.owned]
            out[:, species, species] -= self._volumes * entropic
        out[:, species, species] += self._volumes * flow.relaxed
        self.fields.add_slopes(hessian, tau, out)
        return out

    @override
    def interaction_rows(self, change: State, tau: float) -> _Array:
        """See `PathEnd`."""
        moved = self.flow.couplings.interactions(change)[: self.flow.owned]
        factors = np.where(self.flow.transported, -1.0, self.fields.time_factors(tau))
        return factors * self._volumes * moved

    @override
    def stiff_entries(self, number: Numbering, side: int) -> list[npt.NDArray[np.integer]]:
        """See `PathEnd`."""
        return self.fields.stiff_entries(number, side)

    @override
    def stiff_values(self, tau: float) -> list[_Array]:
        """See `PathEnd`."""
        return self.fields.stiff_values(tau)

    @override
    def limited(self, state: State, change: State) -> State:
        """See `PathEnd`."""
        return self.limits.limited(state, change, self.logarithmic)


class FixedEnd(PathEnd):
    """The end at given densities: rows m (ρ - target).

    Args:
        target: The densities, shape (nodes, species).
        volumes: Nodal volumes, shape (nodes,).
        owned: Number of the nodes of this rank.
    """

    free = False
    interacts = False

    def __init__(self, target: State, volumes: _Array, owned: int) -> None:
        self._target = target[:owned]
        self._volumes = volumes[:owned, None]
        self.transported = np.ones(target.shape[1], dtype=bool)
        self.stiffnesses: list[tuple[int, int, Stiffness]] = []
        self.logarithmic = np.zeros(target.shape[1], dtype=bool)

    @override
    def rows(self, state: State, old: State, tau: float) -> _Array:
        """See `PathEnd`."""
        return self._volumes * (state[: len(self._target)] - self._target)

    @override
    def slopes(self, state: State, tau: float) -> _Array:
        """See `PathEnd`."""
        return self._volumes[:, :, None] * np.eye(len(self.transported))

    @override
    def interaction_rows(self, change: State, tau: float) -> _Array:
        """See `PathEnd`; there are none."""
        return np.zeros((len(self._target), len(self.transported)))

    @override
    def stiff_entries(self, number: Numbering, side: int) -> list[npt.NDArray[np.integer]]:
        """See `PathEnd`; there are none."""
        return []

    @override
    def stiff_values(self, tau: float) -> list[_Array]:
        """See `PathEnd`; there are none."""
        return []

    @override
    def limited(self, state: State, change: State) -> State:
        """See `PathEnd`; densities that are given have no energy."""
        return change
