"""Even modes in continuous polynomials of degree 1 or 2, and odd modes at points inside of each cell.

With degree 1 a derivative of an even mode is constant on cells, and so are odd modes; masses are lumped. With
degree 2 it is linear on cells, and so are odd modes, which are kept at the d + 1 points of the rule of
degree 2; masses are those of the rule of degree 4. ∂_a maps one space into the other, and its transpose
back, so that what transport takes from even modes it gives to odd ones. Tables at nodes have one row for
each node of this rank and one column for each even mode; tables at cells have shape (owned cells, points,
odd modes).
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import cast

import basix
import numpy as np
import numpy.typing as npt
from dolfinx import fem
from dolfinx.mesh import Mesh, exterior_facet_indices
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.kinetic.bgk import kernels
from fem_models.kinetic.bgk.modes import HermiteModes
from fem_models.linalg.exchange import Exchange, sums
from fem_models.meshes.torus import node_points

_Array = npt.NDArray[np.float64]


class KineticSpace:
    """The discrete modes of functions of x and v. Collective to build.

    Args:
        mesh: Of intervals, triangles or tetrahedra, without a boundary.
        modes: The modes in velocity, of the dimension of the mesh.
        degree: 1 or 2, of the even modes.

    Raises:
        InputError: A mesh with a boundary.

    Attributes:
        nodes: The scalar space of each even mode.
        cells: Nodes of each cell of this rank, shape (cells, nodes of a cell).
        corners: Coordinates of the corners of each cell, shape (cells, d + 1, d), as the cell has them.
        volumes: Shape (cells,).
        inverse: Gradients of the reference coordinates, row by row, shape (cells, d, d).
        reference_slopes: Of the basis functions at the points for odd modes, shape
            (points, nodes of a cell, d).
        node_masses: ∫ of the basis function of each node, ghosts included, shape (nodes,).
        volume: Of the torus.
        owned: Number of nodes of this rank.
        weights: Of the points for odd modes, of sum 1, shape (points,).
        shares: Barycentric coordinates of these points, shape (points, d + 1).
        point_values: Basis functions at these points, shape (points, nodes of a cell).
        mass_weights: Of the points of the rule for masses, of sum 1.
        mass_values: Basis functions at these points, shape (points, nodes of a cell).
    """

    def __init__(self, mesh: Mesh, modes: HermiteModes, degree: int) -> None:
        require_closed(mesh)
        self.mesh, self.modes, self.degree, dim = mesh, modes, degree, mesh.topology.dim
        self.comm: MPI.Comm = mesh.comm
        self.nodes = fem.functionspace(mesh, ("Lagrange", degree))
        count = mesh.topology.index_map(dim).size_local
        self.cells = np.ascontiguousarray(self.nodes.dofmap.list[:count])
        self.corners = np.ascontiguousarray(mesh.geometry.x[mesh.geometry.dofmaps[0][:count], :dim])
        edges = np.ascontiguousarray((self.corners[:, 1:] - self.corners[:, :1]).transpose(0, 2, 1))
        self.volumes = np.abs(np.linalg.det(edges)) / math.factorial(dim)
        self.inverse = np.ascontiguousarray(np.linalg.inv(edges))
        kind = getattr(basix.CellType, mesh.topology.cell_name())
        element = self.nodes.element.basix_element
        points, self.weights = _rule(kind, 1 if degree == 1 else 2)
        self.shares = _barycentric(points)
        tables = cast("_Array", element.tabulate(1, points))[:, :, :, 0]
        self.point_values = np.ascontiguousarray(tables[0])
        self.reference_slopes = np.ascontiguousarray(tables[1:].transpose(1, 2, 0))
        if degree == 1:
            self.mass_values, self.mass_weights = np.eye(dim + 1), np.full(dim + 1, 1.0 / (dim + 1))
        else:
            points, self.mass_weights = _rule(kind, 4)
            self.mass_values = cast("_Array", element.tabulate(0, points))[0, :, :, 0]
        self._exchange = Exchange(self.nodes.dofmap.index_map, len(modes.even))
        self.owned: int = self._exchange.owned
        self._where, self._values = modes.couplings
        self.node_masses = self.summed(self.volumes[:, None] * (self.mass_weights @ self.mass_values))
        self.volume: float = self.comm.allreduce(float(self.volumes.sum()))

    # Values at nodes

    @property
    def node_count(self) -> int:
        """Nodes of this rank, ghosts included."""
        return len(self._exchange.values)

    def with_ghosts(self, owned: _Array) -> _Array:
        """A table at nodes from its owned rows. Collective.

        Args:
            owned: Shape (owned nodes, even modes), or the same entries one after the other.

        Returns:
            A table of its own, shape (nodes, even modes).
        """
        return self._exchange.with_ghosts(owned).copy()

    def summed_table(self, shares: _Array) -> _Array:
        """The sums over ranks of a table at nodes. Collective.

        Args:
            shares: Shape (nodes, even modes), what this rank adds.

        Returns:
            Shape (owned nodes, even modes); a view that the next sum changes.
        """
        self._exchange.values[:] = shares
        return self._exchange.summed()

    def summed(self, shares: _Array) -> _Array:
        """Sums over cells and ranks at nodes. Collective.

        Args:
            shares: What each cell adds at its nodes, shape (cells, nodes of a cell).

        Returns:
            The sums, ghosts included, shape (nodes,).
        """
        return sums(self.nodes.dofmap.index_map, self.cells, shares)

    def at_points(self, column: _Array) -> _Array:
        """A function of one column at the points for odd modes.

        Args:
            column: Values at the nodes, shape (nodes,).

        Returns:
            Shape (cells, points).
        """
        return column[self.cells] @ self.point_values.T

    def at_mass_points(self, column: _Array) -> _Array:
        """The same at the points of the rule for masses.

        Args:
            column: Values at the nodes, shape (nodes,).

        Returns:
            Shape (cells, points).
        """
        return column[self.cells] @ self.mass_values.T

    def edge_range(self) -> tuple[float, float]:
        """The lengths of the shortest and of the longest edge. Collective."""
        pairs = list(combinations(range(self.corners.shape[1]), 2))
        ends = self.corners[:, [a for a, _ in pairs]] - self.corners[:, [b for _, b in pairs]]
        lengths = np.linalg.norm(ends, axis=2)
        least, most = float(lengths.min(initial=np.inf)), float(lengths.max(initial=0.0))
        return self.comm.allreduce(least, op=MPI.MIN), self.comm.allreduce(most, op=MPI.MAX)

    def sum(self, value: float) -> float:
        """The sum of a number over all ranks. Collective.

        Args:
            value: Of this rank.

        Returns:
            The sum.
        """
        return float(self.comm.allreduce(value))

    # Places

    def node_points(self) -> _Array:
        """Coordinates of the nodes, at the lower sides of the brick of a torus, shape (nodes, d)."""
        return node_points(self.nodes)[:, : self.modes.dimension]

    def odd_points(self) -> _Array:
        """Coordinates of the points for odd modes, cell by cell, shape (cells · points, d)."""
        return (self.shares @ self.corners).reshape(-1, self.modes.dimension)

    # Transport

    def slopes(self, even: _Array) -> _Array:
        """Σ_{a,n} (B_a)_{nm} ∂_a h_n at the points.

        Args:
            even: h_n at nodes, ghosts included.

        Returns:
            Shape (cells, points, odd modes).
        """
        out = np.empty((len(self.cells), len(self.weights), len(self.modes.odd)))
        tables = self.inverse, self.reference_slopes, self._where, self._values
        kernels.fill_slopes(self.cells, *tables, even, out)
        return out

    def divergence(self, odd: _Array) -> _Array:
        """Σ_{a,m} (B_a)_{nm} (h_m, ∂_a w) for the basis functions w of the owned nodes. Collective.

        Args:
            odd: h_m, shape (cells, points, odd modes).

        Returns:
            Shape (owned nodes, even modes); a view that the next sum changes.
        """
        shares = self._exchange.cleared()
        weights = self.weights
        kernels.add_divergence(
            self.cells,
            self.inverse,
            self.reference_slopes,
            self._where,
            self._values,
            self.volumes,
            weights,
            odd,
            shares,
        )
        return self._exchange.summed()

    def laplacian_parts(self, coefficients: _Array) -> _Array:
        """The entries of Σ_a (c_a ∂_a φ_j, ∂_a φ_i) on each cell.

        Args:
            coefficients: c_a at the points for odd modes, shape (cells, points, d).

        Returns:
            Shape (cells, nodes of a cell, nodes of a cell).
        """
        weights = (self.volumes[:, None] * self.weights)[:, :, None]
        out = np.empty((len(self.cells), *[self.cells.shape[1]] * 2))
        kernels.fill_stiffness(self.inverse, self.reference_slopes, coefficients * weights, out)
        return out

    # Products

    def weighted(self, even: _Array) -> _Array:
        """(h_n, w) for the basis functions w of the owned nodes. Collective.

        Args:
            even: h_n at nodes, ghosts included.

        Returns:
            Shape (owned nodes, even modes).
        """
        if self.degree == 1:
            return self.node_masses[: self.owned, None] * even[: self.owned]
        local = np.einsum("q,qi,qj->ij", self.mass_weights, self.mass_values, self.mass_values)
        shares = self._exchange.cleared()
        kernels.add_mass_products(self.cells, local, self.volumes, even, shares)
        return self._exchange.summed().copy()

    def even_product(self, one: _Array, other: _Array, rates: _Array | None = None) -> _Array:
        """∫ h_n g_n, or ∫ λ h_n g_n, of each even mode n by the rule for masses. Collective.

        Args:
            one: h at nodes, ghosts included.
            other: g likewise.
            rates: λ at the points of the rule, shape (cells, points); 1 unless given.

        Returns:
            Shape (even modes,).
        """
        out = np.zeros(len(self.modes.even))
        weights = self.volumes[:, None] * self.mass_weights
        kernels.add_even_products(
            self.cells, self.mass_values, weights if rates is None else weights * rates, one, other, out
        )
        return np.asarray(self.comm.allreduce(out))

    def odd_product(self, one: _Array, other: _Array, rates: _Array | None = None) -> _Array:
        """The same of each odd mode.

        Args:
            one: Shape (cells, points, odd modes).
            other: Likewise.
            rates: λ at the points, shape (cells, points); 1 unless given.

        Returns:
            Shape (odd modes,).
        """
        weights = self.volumes[:, None] * self.weights
        found = np.einsum("cq,cqm,cqm->m", weights if rates is None else weights * rates, one, other)
        return np.asarray(self.comm.allreduce(found))


def require_closed(mesh: Mesh) -> None:
    """Refuse a mesh with a boundary. Collective.

    Args:
        mesh: The mesh.

    Raises:
        InputError: It has a boundary.
    """
    mesh.topology.create_connectivity(mesh.topology.dim - 1, mesh.topology.dim)
    if mesh.comm.allreduce(len(exterior_facet_indices(mesh.topology))):
        raise InputError(
            'A kinetic equation needs a torus, and this mesh has a boundary; take [mesh] domain = "torus".'
        )


def reference_nodes(space: fem.FunctionSpace) -> _Array:
    """Barycentric coordinates of the nodes of a cell.

    Args:
        space: A scalar Lagrange space on simplices.

    Returns:
        Shape (nodes of a cell, d + 1).
    """
    return _barycentric(cast("_Array", space.element.basix_element.points))


def _barycentric(points: _Array) -> _Array:
    return np.column_stack([1.0 - points.sum(axis=1), points])


def _rule(kind: basix.CellType, degree: int) -> tuple[_Array, _Array]:
    """The points of a rule on the reference cell, and its weights, of sum 1."""
    points, weights = cast("tuple[_Array, _Array]", basix.make_quadrature(kind, degree))
    return points, weights / weights.sum()
