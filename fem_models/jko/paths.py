"""Paths of densities of least action, after Benamou and Brenier: optimality conditions and their derivative.

On S slabs of length δ = τ/S, with densities ρ⁰ (given), …, ρ^S at the ends of slabs and a potential φ^k in
each, minimising movements are the saddle points of

    L(ρ, φ) = E(ρ^S) - Σ_k [ Σ_i m_i (ρ_i^k - ρ_i^{k-1}) φ_i^k + (δ/2) a(ρ̄^k; φ^k) ],   ρ^k ≥ 0,

with a mobility a and ρ̄^k = (1-α) ρ^{k-1} + α ρ^k: L is convex in ρ and concave in φ. With φ for minus the
Φ of Bruna, Burger and Carrillo its conditions are, with s ≥ 0 where ρ = 0 and s = 0 elsewhere,

    m (ρ^k - ρ^{k-1}) + δ fluxes(ρ̄^k, φ^k) = 0                                                       (2.9a)
    m (φ^k - φ^{k+1}) + (δ/2)(α squares(φ^k) + (1-α) squares(φ^{k+1})) + s^k = 0,  k < S              (2.9b)
    m φ^S + (δ/2) α squares(φ^S) - m δE/δρ(ρ^S) + s^S = 0                                             (2.9e)

and Newton's method for them solves the linear saddle-point problem (2.12)-(2.14) around its iterate. One
slab takes α = 1, the linearised distance of Cancès, Gallouët and Todeschini; more take α = ½, which is of
second order in δ, and symmetric in time. With given densities at the end in place of the energy the least
action is W₂²/(2τ).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from petsc4py import PETSc

from fem_models.flow.gradient_flow import State
from fem_models.jko.path_ends import PathEnd
from fem_models.jko.path_pattern import PathPattern
from fem_models.linalg.coordinates import coordinate_matrix, global_numbers
from fem_models.linalg.exchange import Exchange
from fem_models.nodal.mobilities import Mobility

_Array = npt.NDArray[np.float64]


class PathEquations:
    """Residual and Jacobian of the conditions of least action. Collective to build.

    The unknowns of a node are the densities ρ_s^k, then the potentials φ_s^k, the slabs of a species one
    after the other, then the fields that are no densities: shape (nodes, size). Rows are (2.9a) in the
    places of densities, (2.9b) and (2.9e) in those of potentials, without s (the formulas are above).

    Args:
        space: The P1 space.
        volumes: Nodal volumes, 0 where no densities live, shape (nodes,).
        mobility: The action.
        slabs: S ≥ 1.
        weight: α, of the densities at the end of a slab.
        end: What holds at the end.

    Attributes:
        columns: Number of densities, and of potentials, at a node.
        size: Number of unknowns at a node.
        owned, nodes: Numbers of nodes, without and with ghosts.
    """

    def __init__(
        self,
        space: fem.FunctionSpace,
        volumes: _Array,
        mobility: Mobility,
        slabs: int,
        weight: float,
        end: PathEnd,
    ) -> None:
        self.space, self.volumes, self.mobility, self.end = space, volumes, mobility, end
        self.comm = space.mesh.comm
        self.slabs, self.weight = slabs, weight
        index_map = space.dofmap.index_map
        self.owned = index_map.size_local
        self.nodes = self.owned + index_map.num_ghosts
        self.transported = end.transported
        self.species = int(end.transported.sum())
        self.columns = self.species * slabs
        others = len(end.transported) - self.species
        self.size = 2 * self.columns + others
        self.inside = volumes > 0.0
        self._sums = Exchange(index_map, 2 * self.columns)
        self._exchanges = {n: Exchange(index_map, n) for n in (2 * self.columns, self.size)}
        self._numbers = global_numbers(index_map)
        # The unknowns of the state at the end, and the rows of its conditions.
        last = np.arange(self.species) * slabs + slabs - 1
        rest = 2 * self.columns + np.arange(others)
        self._final = np.empty(len(end.transported), dtype=int)
        self._final_rows = np.empty_like(self._final)
        self._final[end.transported], self._final[~end.transported] = last, rest
        self._final_rows[end.transported], self._final_rows[~end.transported] = self.columns + last, rest
        # Where the end is given potentials are determined up to a constant: a penalty holds one at a node.
        self._held_node = (
            self._numbers[: self.owned] == 0 if not end.free else np.zeros(self.owned, dtype=bool)
        )
        self._penalty = 0.0
        # What the fluxes at a node weigh with a density of 1 in the part of the mesh that this rank knows.
        ones = np.ones((self.nodes, 1))
        self._conductances = mobility.slopes(ones, 0.0 * ones).stiffness

    def with_ghosts(self, owned: _Array, count: int | None = None) -> _Array:
        """Nodal values of this rank with those of its ghosts. Collective.

        Args:
            owned: Shape (owned nodes, count).
            count: Number of values at a node, `size` by default, or twice `columns`.

        Returns:
            Shape (nodes, count).
        """
        return self._exchanges[count or self.size].with_ghosts(owned).copy()

    def densities(self, unknowns: _Array) -> _Array:
        """The densities, shape (nodes, species, slabs), a view.

        Args:
            unknowns: Shape (nodes, size), with or without ghosts.

        Returns:
            The view.
        """
        return unknowns[:, : self.columns].reshape(-1, self.species, self.slabs)

    def potentials(self, unknowns: _Array) -> _Array:
        """The potentials, shape (nodes, species, slabs), a view.

        Args:
            unknowns: Shape (nodes, size), with or without ghosts.

        Returns:
            The view.
        """
        return unknowns[:, self.columns : 2 * self.columns].reshape(-1, self.species, self.slabs)

    def final(self, unknowns: _Array) -> State:
        """The state at the end, shape (nodes, fields).

        Args:
            unknowns: Shape (nodes, size), with or without ghosts.

        Returns:
            A copy, shape (nodes, fields).
        """
        return unknowns[:, self._final]

    def set_final(self, unknowns: _Array, state: State) -> None:
        """Put a state at the end.

        Args:
            unknowns: Shape (nodes, size); they are changed.
            state: The state, shape (nodes, fields).
        """
        unknowns[:, self._final] = state

    def constant(self, state: State, potentials: _Array) -> _Array:
        """Unknowns of a path that stays at a state.

        Args:
            state: Shape (nodes, fields).
            potentials: Of the species, shape (nodes, species).

        Returns:
            Shape (nodes, size).
        """
        unknowns = np.empty((self.nodes, self.size))
        self.densities(unknowns)[:] = state[:, self.transported, None]
        self.potentials(unknowns)[:] = potentials[:, :, None]
        unknowns[:, self._final] = state
        return unknowns

    def means(self, unknowns: _Array, old: State) -> _Array:
        """The densities ρ̄ of the slabs, shape (nodes, columns).

        Args:
            unknowns: Shape (nodes, size).
            old: The state at the beginning, shape (nodes, fields).

        Returns:
            (1-α) ρ^{k-1} + α ρ^k for each slab k.
        """
        ends = self._ends(unknowns, old)
        return self._columnwise((1.0 - self.weight) * ends[..., :-1] + self.weight * ends[..., 1:])

    def _ends(self, unknowns: _Array, old: State) -> _Array:
        """The densities at the ends of slabs, shape (nodes, species, slabs + 1)."""
        first = old[:, self.transported, None]
        return np.concatenate([first, self.densities(unknowns)], axis=2)

    def _columnwise(self, values: _Array) -> _Array:
        return np.ascontiguousarray(values.reshape(len(values), self.columns))

    def residual(self, unknowns: _Array, old: State, tau: float, floor: _Array | float = 0.0) -> _Array:
        """The rows at the nodes of this rank, shape (owned nodes, size). Collective.

        Args:
            unknowns: Shape (nodes, size).
            old: The state at the beginning, shape (nodes, fields).
            tau: Time step.
            floor: Added to the densities that carry the fluxes, for all or for each: shape (columns,).

        Returns:
            Those of the continuity equation (2.9a) in the places of densities, those of the Hamilton–Jacobi
            equation (2.9b) and its end (2.9e) in the places of potentials, then those of other fields.
        """
        delta, owned, columns = tau / self.slabs, self.owned, self.columns
        phi = np.ascontiguousarray(unknowns[:, columns : 2 * columns])
        fluxes, squares = self.mobility.sums(self.means(unknowns, old) + floor, phi)
        shared = self._sums.values
        shared[:, :columns], shared[:, columns:] = fluxes, squares
        self._sums.summed()
        self._squares = shared[:owned, columns:].reshape(owned, self.species, self.slabs).copy()
        m = self.volumes[:owned, None, None]
        out = np.empty((owned, self.size))
        changes = np.diff(self._ends(unknowns[:owned], old[:owned]), axis=2)
        out[:, :columns] = (m * changes).reshape(owned, columns) + delta * shared[:owned, :columns]

        phi = self.potentials(unknowns[:owned])
        backward = m * phi + 0.5 * delta * self.weight * self._squares
        forward = m * phi - 0.5 * delta * (1.0 - self.weight) * self._squares
        backward[..., :-1] -= forward[..., 1:]
        if not self.end.free:
            backward[..., -1] = 0.0
        out[:, columns : 2 * columns] = backward.reshape(owned, columns)
        out[:, 2 * columns :] = 0.0
        out[:, self._final_rows] += self.end.rows(self.final(unknowns), old, tau)
        out[self._held_node, columns - 1] += (
            self._penalty * unknowns[:owned][self._held_node, 2 * columns - 1]
        )
        outside = ~self.inside[:owned]
        out[outside, : 2 * columns] = unknowns[:owned][outside, : 2 * columns]
        return out

    def action(self, unknowns: _Array, old: State, tau: float) -> _Array:
        """The action Σ_k (δ/2) a(ρ̄^k; φ^k) = W₂²/(2τ) of each species, shape (species,). Collective.

        Args:
            unknowns: Shape (nodes, size).
            old: The state at the beginning, shape (nodes, fields).
            tau: Time step.

        Returns:
            Shape (species,).
        """
        phi = np.ascontiguousarray(unknowns[:, self.columns : 2 * self.columns])
        local = self.mobility.action(self.means(unknowns, old), phi).reshape(self.species, self.slabs)
        return self.comm.allreduce(0.5 * tau / self.slabs * local.sum(axis=1))

    # Jacobian

    @cached_property
    def _own_volumes(self) -> _Array:
        """Nodal volumes without those of ghosts, whose rows are another rank's, shape (nodes, 1)."""
        found = np.zeros((self.nodes, 1))
        found[: self.owned, 0] = self.volumes[: self.owned]
        return found

    @cached_property
    def _outside(self) -> _Array:
        """1 at this rank's nodes where no densities live, else 0, shape (nodes, 1)."""
        found = np.zeros((self.nodes, 1))
        found[: self.owned, 0] = ~self.inside[: self.owned]
        return found

    @cached_property
    def _pattern(self) -> PathPattern:
        return PathPattern(self.columns, self.slabs, self._final_rows, self._final)

    def new_matrix(self) -> PETSc.Mat:
        """A matrix with the pattern of the Jacobian."""
        numbers, size = self._numbers, self.size
        i, j = numbers[self.mobility.pairs.T]
        rows: list[npt.NDArray] = []
        columns: list[npt.NDArray] = []
        for row, column in self._pattern.at_nodes():
            rows.append(numbers * size + row)
            columns.append(numbers * size + column)
        for row, column in self._pattern.between_nodes():
            for a, b in ((i, j), (j, i)):
                rows.append(a * size + row)
                columns.append(b * size + column)
        for side, found in enumerate((rows, columns)):
            found += self._stiff_entries(side)
        index_map = self.space.dofmap.index_map
        return coordinate_matrix(
            self.comm, index_map, index_map, np.concatenate(rows), np.concatenate(columns), size
        )

    def _stiff_entries(self, side: int) -> list[npt.NDArray]:
        def number(nodes: npt.NDArray, field: int) -> npt.NDArray:
            return self._numbers[nodes] * self.size + self._final[field]

        return self.end.stiff_entries(number, side)

    def linearise(
        self,
        unknowns: _Array,
        old: State,
        tau: float,
        matrix: PETSc.Mat,
        barrier: _Array,
        held: npt.NDArray[np.bool_],
        floor: _Array | float = 0.0,
        front: _Array | float = 0.0,
    ) -> _Array:
        """Assemble the Jacobian. Collective.

        Args:
            unknowns: Shape (nodes, size).
            old: The state at the beginning.
            tau: Time step.
            matrix: From `new_matrix`.
            barrier: s/ρ at each density, subtracted in its condition, shape (owned nodes, columns).
            held: Densities, ghosts included, whose condition is that they keep their value, shape (nodes,
                columns).
            floor: As for the residual.
            front: At densities that are held, (2.9a) is linearised with ρ̄ as a constant where the fluxes are
                less than those of this density.

        Returns:
            The sizes of the terms of the continuity equation (2.9a) that cancel, shape (owned nodes,
            columns).
        """
        delta, a, c, owned = tau / self.slabs, self.weight, self.columns, self.owned
        phi = np.ascontiguousarray(unknowns[:, c : 2 * c])
        slopes = self.mobility.slopes(self.means(unknowns, old) + floor, phi)
        later, earlier = self._pattern.later, self._pattern.earlier
        free = ~held
        if not self.end.free:
            free = free & earlier
        m, outside = self._own_volumes, self._outside
        transport, between = delta * slopes.transport, delta * slopes.transport_between
        stiffness = delta * slopes.stiffness
        cancelling = (np.abs(self.volumes[:, None] * unknowns[:, :c]) + stiffness * np.abs(phi))[:owned]
        moves = ~(held & (slopes.stiffness < front * self._conductances))
        if self._held_node.any():
            self._penalty = float(stiffness[:owned][self._held_node, -1].max()) or 1.0
            stiffness[:owned][self._held_node, -1] += self._penalty
        values = [
            m + a * transport * moves + outside,
            stiffness,
            (m + a * transport) * free + outside,
            self._barrier_terms(barrier, free),
            (-m + (1.0 - a) * transport * moves)[:, later],
            ((-m + (1.0 - a) * np.roll(transport, -1, axis=1)) * free)[:, earlier],
        ]
        nodal = [part.T.ravel() for part in values]
        nodal.append(self._end_slopes(unknowns, tau, free).reshape(self.nodes, -1).T.ravel())
        symmetric = np.repeat(delta * slopes.stiffness_between[:, None], 2, axis=1)
        along = self._pattern.values_between(between, symmetric, free, moves, self.mobility.pairs, a)
        entries = [*nodal, *along, *self.end.stiff_values(tau)]
        matrix.setValuesCOO(np.concatenate(entries), PETSc.InsertMode.INSERT_VALUES)
        return cancelling

    def _barrier_terms(self, barrier: _Array, free: npt.NDArray[np.bool_]) -> _Array:
        """The derivatives of the conditions of densities by these, with -m for those that are held."""
        owned = self.owned
        found = np.zeros((self.nodes, self.columns))
        found[:owned] = -barrier
        if self.end.free:
            found[:owned] = np.where(free[:owned], found[:owned], -self.volumes[:owned, None])
        return found

    def _end_slopes(self, unknowns: _Array, tau: float, free: npt.NDArray[np.bool_]) -> _Array:
        """The entries of the end at each node, without those of densities that are held."""
        final = np.zeros((self.nodes, len(self._final), len(self._final)))
        final[: self.owned] = self.end.slopes(self.final(unknowns), tau)
        if self.end.free:
            final[:, self.transported] *= free[:, self.slabs - 1 :: self.slabs, None]
        return final

    def interaction_change(self, change: _Array, tau: float) -> _Array:
        """What interactions add to the product of the Jacobian with a change, shape (owned nodes, size).

        Args:
            change: Of the unknowns, ghosts included, shape (nodes, size).
            tau: Time step.

        Returns:
            What is to be added to the product.
        """
        out = np.zeros((self.owned, self.size))
        out[:, self._final_rows] = self.end.interaction_rows(self.final(change), tau)
        return out
