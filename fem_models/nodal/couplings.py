"""The parts of an energy that couple nodes with each other: Dirichlet energies and interactions.

For Dirichlet energies ½∫ a|∇c|² the derivative by the nodal values is K c with the P1 stiffness K; for
interactions ∫∫ K(x-y) ρ_a(x) ρ_b(y) the potentials are convolutions, K ρ_b for a and Kᵀ ρ_a for b.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem

from fem_models.energies import Term
from fem_models.linalg.exchange import Exchange, sums
from fem_models.meshes.torus import Torus, node_points
from fem_models.nodal.convolution import Convolution, Kernel
from fem_models.nodal.seam import check_kernel
from fem_models.nodal.stiffness import Stiffness, add_differences

_Array = npt.NDArray[np.float64]


class Couplings:
    """Stiffnesses and convolutions of the terms of an energy. Collective.

    Args:
        space: The scalar P1 space.
        names: Names of the fields, the columns of a state.
        terms: The terms of the energy.
        volumes: Nodal volumes, shape (nodes,).

    Attributes:
        stiffnesses: The number of the term, the column of the field, and its stiffness, for each Dirichlet
            part.
        interacts: Whether there are interactions.
    """

    def __init__(
        self, space: fem.FunctionSpace, names: Sequence[str], terms: Sequence[Term], volumes: _Array
    ) -> None:
        self._space = space
        self._volumes = volumes
        self._owned = space.dofmap.index_map.size_local
        self._names = tuple(names)
        self._terms = tuple(terms)
        for term in terms:
            if term.interaction is not None and isinstance(space.mesh, Torus):
                check_kernel(space.mesh, term.interaction[2])
        self.interacts = any(term.interaction for term in terms)
        x = ufl.SpatialCoordinate(space.mesh)
        self.stiffnesses = [
            (number, self._names.index(name), Stiffness(space, coefficient))
            for number, term in enumerate(terms)
            for name, coefficient in term.stiffness(x).items()
        ]
        self._sums = Exchange(space.dofmap.index_map)

    @cached_property
    def _convolutions(self) -> list[tuple[int, int, int, Convolution]]:
        """The number of the term, the columns of its two species, and the operator, for each interaction."""
        points = node_points(self._space)[:, : self._space.mesh.geometry.dim]
        return [
            (
                number,
                self._names.index(term.interaction[0]),
                self._names.index(term.interaction[1]),
                self._convolution(points, term.interaction[2]),
            )
            for number, term in enumerate(self._terms)
            if term.interaction is not None
        ]

    def _convolution(self, points: _Array, kernel: Kernel) -> Convolution:
        return Convolution(points, self._volumes, self._owned, self._space.mesh.comm, kernel)

    def energies(self, state: _Array) -> _Array:
        """This rank's share of the energy of each term, shape (terms,); collective with interactions.

        Args:
            state: Shape (nodes, fields).

        Returns:
            Shape (terms,).
        """
        found = np.zeros(len(self._terms))
        for number, s, stiffness in self.stiffnesses:
            c = state[:, s]
            differences = c[stiffness.pairs[:, 0]] - c[stiffness.pairs[:, 1]]
            found[number] += 0.5 * float(stiffness.k @ differences**2)
        if self.interacts:
            weighted = self._volumes[: self._owned, None] * state[: self._owned]
            for number, a, b, convolution in self._convolutions:
                found[number] += float(weighted[:, a] @ convolution.apply(state[:, b])[: self._owned])
        return found

    def stiffness_products(self, state: _Array) -> _Array:
        """K c of each field, the derivative of the Dirichlet energies by nodal values: shape (nodes, fields).

        Collective.

        Args:
            state: Shape (nodes, fields).

        Returns:
            Shape (nodes, fields), ghosts included; zero for fields without a Dirichlet energy.
        """
        out = np.zeros_like(state)
        for s in sorted({s for _, s, _ in self.stiffnesses}):
            share = self._sums.cleared()[:, 0]
            values = np.ascontiguousarray(state[:, s])
            for _, column, stiffness in self.stiffnesses:
                if column == s:
                    add_differences(stiffness.pairs, stiffness.k, values, share)
            out[:, s] = self._sums.summed_everywhere()[:, 0]
        return out

    def interactions(self, state: _Array) -> _Array:
        """The potentials of the interactions at the nodes, shape (nodes, fields). Collective.

        Args:
            state: Shape (nodes, fields).

        Returns:
            Shape (nodes, fields).
        """
        out = np.zeros_like(state)
        for _, a, b, convolution in self._convolutions:
            out[:, a] += convolution.apply(state[:, b])
            out[:, b] += convolution.adjoint(state[:, a])
        return out

    def stiffness_diagonals(self) -> _Array:
        """The diagonal of |K| for each field, at all nodes: a scale for its equations. Collective."""
        out = np.zeros((len(self._volumes), len(self._names)))
        for _, s, stiffness in self.stiffnesses:
            out[:, s] += sums(self._space.dofmap.index_map, stiffness.pairs.T, np.abs(stiffness.k))
        return out


def region_rim(space: fem.FunctionSpace, cells: npt.NDArray[np.int32] | None) -> npt.NDArray[np.bool_]:
    """The nodes where a region ends: on the boundary of the mesh, or at cells outside. Collective.

    Args:
        space: The scalar P1 space.
        cells: Local cells of the region, ghosts included; all by default.

    Returns:
        Whether each node, ghosts included, is one of them, shape (nodes,).
    """
    if cells is None:
        return boundary_weights(space) > 0.0
    outside = np.setdiff1d(np.arange(len(space.dofmap.list), dtype=np.int32), cells)
    touched = (np.unique(space.dofmap.list[chosen]) for chosen in (cells, outside))
    first, second = (sums(space.dofmap.index_map, nodes, 1.0) > 0.0 for nodes in touched)
    return first & second


def boundary_weights(space: fem.FunctionSpace) -> _Array:
    """∫_∂Ω λ_i of each node, ghosts included: the weights of means over the boundary. Collective.

    Args:
        space: The scalar space.

    Returns:
        Shape (nodes,), in units of the measure of the boundary.
    """
    weights = fem.assemble_vector(fem.form(ufl.TestFunction(space) * ufl.ds)).array
    return sums(space.dofmap.index_map, np.arange(len(weights)), weights)
