"""Mobilities: what it costs to move mass along a gradient, ½∫ρ|∇φ|² in the discrete.

A mobility gives a quadratic form of the potential that is linear in the density,

    a(ρ; φ) = Σ_b θ_b(ρ) |∇φ|²_b,        θ_b(ρ) = Σ_i w_bi ρ_i,  w_bi ≥ 0,

over parts b of the mesh, with its derivatives: the fluxes ½∂a/∂φ_i = Σ_b θ_b ∇_b λ_i·∇_b φ and the squares
∂a/∂ρ_i = Σ_b w_bi |∇φ|²_b. By name

- "average": b are the cells, θ the mean over the vertices of a cell. It is the pair P1-DG0 with the flux g
  eliminated cell by cell. The squares of a linear function are m_i|∇φ|² at every node if m_i are the shares
  |T|/(d+1) of the cells around i: without that, discrete optimal transport converges to another distance
  than W₂ (Gladbach, Kopfer and Maas, SIAM J. Math. Anal. 2020), as it does for means over edges.
- "upwind": b are the edges with the coefficients κ_ij, θ is ρ at the node that the mass leaves (Cancès,
  Gallouët and Todeschini, Numer. Math. 2020). Nothing leaves a node in vacuum. On edges with κ_ij < 0 the
  form is concave in φ, and the energy law is no longer a promise.

Mass flows from the higher potential to the lower. Everything is dimensionless.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, override

import numba
import numpy as np
import numpy.typing as npt
from dolfinx import fem

from fem_models.core.errors import InputError
from fem_models.nodal.edges import (
    EDGE_VERTICES,
    EdgeGeometry,
    Lumping,
    basis_gradients,
    cell_corners,
    cell_volumes,
)

_Array = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int32]


class Slopes(NamedTuple):
    """Derivatives of the fluxes at nodes and from node to node along pairs.

    Attributes:
        stiffness: ∂flux_i/∂φ_i, shape (nodes, columns).
        stiffness_between: ∂flux_i/∂φ_j = ∂flux_j/∂φ_i, shape (pairs, columns).
        transport: ∂flux_i/∂ρ_i = ½∂squares_i/∂φ_i, shape (nodes, columns).
        transport_between: ∂flux_i/∂ρ_j = ½∂squares_j/∂φ_i and ∂flux_j/∂ρ_i, shape (pairs, 2, columns).
    """

    stiffness: _Array
    stiffness_between: _Array
    transport: _Array
    transport_between: _Array


class Mobility(Protocol):
    """A quadratic form of potentials that is linear in densities.

    The arguments are nodal values with ghosts, shape (nodes, columns), a column for each pair of density and
    potential. Results are this rank's share, to be summed over the ranks that know a node.
    """

    pairs: _Indices
    """Nodes i, j that meet in a part, each pair once on a rank, shape (pairs, 2)."""

    def sums(self, density: _Array, potential: _Array) -> tuple[_Array, _Array]:
        """The fluxes out of the nodes and the squares at them, shapes (nodes, columns).

        Args:
            density: ρ, shape (nodes, columns).
            potential: φ, of the same shape.

        Returns:
            The fluxes and the squares.
        """

    def slopes(self, density: _Array, potential: _Array) -> Slopes:
        """The derivatives of the fluxes.

        Args:
            density: ρ, shape (nodes, columns).
            potential: φ, of the same shape.

        Returns:
            The derivatives.
        """

    def action(self, density: _Array, potential: _Array) -> _Array:
        """The form a(ρ; φ) of each column, shape (columns,).

        Args:
            density: ρ, shape (nodes, columns).
            potential: φ, of the same shape.

        Returns:
            Shape (columns,).
        """


class EdgeMobility(Mobility):
    """The mobility "upwind".

    Args:
        geometry: Edges and coefficients.
    """

    def __init__(self, geometry: EdgeGeometry) -> None:
        self.pairs, self._kappa = geometry.pairs, geometry.kappa

    @override
    def sums(self, density: _Array, potential: _Array) -> tuple[_Array, _Array]:
        """See `Mobility`."""
        fluxes, squares = np.zeros_like(density), np.zeros_like(density)
        _edge_sums(self.pairs, self._kappa, density, potential, fluxes, squares)
        return fluxes, squares

    @override
    def slopes(self, density: _Array, potential: _Array) -> Slopes:
        """See `Mobility`."""
        found = _empty_slopes(density, len(self.pairs))
        _edge_slopes(self.pairs, self._kappa, density, potential, *found)
        return found

    @override
    def action(self, density: _Array, potential: _Array) -> _Array:
        """See `Mobility`."""
        i, j = self.pairs.T
        differences = potential[i] - potential[j]
        upwind = np.where(differences > 0.0, density[i], density[j])
        return self._kappa @ (upwind * differences**2)


class CellMobility(Mobility):
    """The mobility "average".

    Args:
        space: The P1 space.
        cells: Local cells, ghosts among them or not, of the part of the mesh that counts; all by default.
    """

    def __init__(self, space: fem.FunctionSpace, cells: _Indices | None = None) -> None:
        mesh = space.mesh
        owned = mesh.topology.index_map(mesh.topology.dim).size_local
        chosen = np.arange(owned, dtype=np.int32) if cells is None else cells[cells < owned]
        self._cells = np.ascontiguousarray(space.dofmap.list[chosen])
        corners = cell_corners(mesh, chosen)
        self._volumes = cell_volumes(corners)
        self._gradients = np.ascontiguousarray(basis_gradients(corners))
        self._find_pairs(mesh.topology.dim)

    def _find_pairs(self, dim: int) -> None:
        """Number the edges of the cells, and note which way round each cell has them."""
        ends = np.array(EDGE_VERTICES[dim])
        nodes = self._cells[:, ends]
        low, high = nodes.min(axis=2).astype(np.int64), nodes.max(axis=2)
        count = int(self._cells.max(initial=0)) + 1
        keys, numbers = np.unique((low * count + high).ravel(), return_inverse=True)
        self.pairs = np.stack([keys // count, keys % count], axis=1).astype(np.int32)
        self._edges = np.ascontiguousarray(numbers.reshape(low.shape).astype(np.int32))
        turned = nodes[:, :, 0] > nodes[:, :, 1]
        # Vertices of a cell at the first and the second node of each of its edges.
        self._ends = np.ascontiguousarray(np.where(turned[:, :, None], ends[:, ::-1], ends).astype(np.int32))

    @override
    def sums(self, density: _Array, potential: _Array) -> tuple[_Array, _Array]:
        """See `Mobility`."""
        fluxes, squares = np.zeros_like(density), np.zeros_like(density)
        _cell_sums(self._cells, self._gradients, self._volumes, density, potential, fluxes, squares)
        return fluxes, squares

    @override
    def slopes(self, density: _Array, potential: _Array) -> Slopes:
        """See `Mobility`."""
        found = _empty_slopes(density, len(self.pairs))
        cells = (self._cells, self._gradients, self._volumes, self._edges, self._ends)
        _cell_slopes(*cells, density, potential, *found)
        return found

    @override
    def action(self, density: _Array, potential: _Array) -> _Array:
        """See `Mobility`."""
        means = density[self._cells].mean(axis=1)
        gradients = np.einsum("cvd,cvk->ckd", self._gradients, potential[self._cells])
        return self._volumes @ (means * (gradients**2).sum(axis=2))


def lumping_of(name: str) -> Lumping:
    """The nodal volumes that a mobility goes with.

    Args:
        name: "upwind" or "average".

    Returns:
        "cells" for "average", which is consistent with shares of the cells only; otherwise "voronoi".
    """
    return "cells" if name == "average" else "voronoi"


def mobility(name: str, space: fem.FunctionSpace, geometry: EdgeGeometry, cells: _Indices | None) -> Mobility:
    """The mobility of a name.

    Args:
        name: "upwind" or "average".
        space: The P1 space.
        geometry: Its edges.
        cells: As for `CellMobility`.

    Returns:
        The mobility.

    Raises:
        InputError: An unknown name, or "average" with Voronoi volumes, with which it is not consistent.
    """
    if name == "upwind":
        return EdgeMobility(geometry)
    if name != "average":
        raise InputError(f"The flux must be upwind or average, not {name!r}.")
    if geometry.voronoi_volumes:
        raise InputError(
            "The average flux of JKO steps needs nodal volumes that are shares of the cells: take "
            'flow.with_lumping("cells") in place of the flow.'
        )
    return CellMobility(space, cells)


def _empty_slopes(like: _Array, pairs: int) -> Slopes:
    nodes, columns = like.shape
    shapes = ((nodes, columns), (pairs, columns), (nodes, columns), (pairs, 2, columns))
    return Slopes(*map(np.zeros, shapes))


@numba.njit(cache=True, error_model="numpy")
def _edge_sums(
    pairs: _Indices, kappa: _Array, density: _Array, potential: _Array, fluxes: _Array, squares: _Array
) -> None:
    for e in range(len(kappa)):
        i, j = pairs[e, 0], pairs[e, 1]
        for c in range(density.shape[1]):
            d = potential[i, c] - potential[j, c]
            source = i if d > 0.0 else j
            flux = kappa[e] * density[source, c] * d
            fluxes[i, c] += flux
            fluxes[j, c] -= flux
            squares[source, c] += kappa[e] * d * d


@numba.njit(cache=True, error_model="numpy")
def _edge_slopes(
    pairs: _Indices,
    kappa: _Array,
    density: _Array,
    potential: _Array,
    stiffness: _Array,
    stiffness_between: _Array,
    transport: _Array,
    transport_between: _Array,
) -> None:
    for e in range(len(kappa)):
        i, j = pairs[e, 0], pairs[e, 1]
        for c in range(density.shape[1]):
            d = potential[i, c] - potential[j, c]
            weight = kappa[e] * (density[i, c] if d > 0.0 else density[j, c])
            stiffness[i, c] += weight
            stiffness[j, c] += weight
            stiffness_between[e, c] -= weight
            if d > 0.0:
                transport[i, c] += kappa[e] * d
                transport_between[e, 1, c] -= kappa[e] * d
            else:
                transport[j, c] -= kappa[e] * d
                transport_between[e, 0, c] += kappa[e] * d


@numba.njit(cache=True, error_model="numpy")
def _cell_sums(
    cells: _Indices,
    gradients: _Array,
    volumes: _Array,
    density: _Array,
    potential: _Array,
    fluxes: _Array,
    squares: _Array,
) -> None:
    vertices, dim = gradients.shape[1], gradients.shape[2]
    gradient = np.empty(dim)
    for t in range(len(cells)):
        for c in range(density.shape[1]):
            mean, square = _mean_and_gradient(cells[t], gradients[t], density, potential, c, gradient)
            for v in range(vertices):
                slope = 0.0
                for k in range(dim):
                    slope += gradients[t, v, k] * gradient[k]
                fluxes[cells[t, v], c] += volumes[t] * mean * slope
                squares[cells[t, v], c] += volumes[t] * square / vertices


@numba.njit(cache=True, inline="always", error_model="numpy")
def _mean_and_gradient(
    nodes: _Indices, gradients: _Array, density: _Array, potential: _Array, c: int, gradient: _Array
) -> tuple[float, float]:
    """The mean density of a cell and the square of ∇φ there, which is left in `gradient`."""
    vertices, dim = gradients.shape
    mean = 0.0
    for k in range(dim):
        gradient[k] = 0.0
    for v in range(vertices):
        mean += density[nodes[v], c] / vertices
        for k in range(dim):
            gradient[k] += gradients[v, k] * potential[nodes[v], c]
    square = 0.0
    for k in range(dim):
        square += gradient[k] * gradient[k]
    return mean, square


@numba.njit(cache=True, error_model="numpy")
def _cell_slopes(
    cells: _Indices,
    gradients: _Array,
    volumes: _Array,
    edges: _Indices,
    ends: _Indices,
    density: _Array,
    potential: _Array,
    stiffness: _Array,
    stiffness_between: _Array,
    transport: _Array,
    transport_between: _Array,
) -> None:
    vertices, dim = gradients.shape[1], gradients.shape[2]
    gradient, slopes = np.empty(dim), np.empty(vertices)
    for t in range(len(cells)):
        for c in range(density.shape[1]):
            mean, _ = _mean_and_gradient(cells[t], gradients[t], density, potential, c, gradient)
            for v in range(vertices):
                slope, square = 0.0, 0.0
                for k in range(dim):
                    slope += gradients[t, v, k] * gradient[k]
                    square += gradients[t, v, k] * gradients[t, v, k]
                slopes[v] = volumes[t] * slope / vertices
                stiffness[cells[t, v], c] += volumes[t] * mean * square
                transport[cells[t, v], c] += slopes[v]
            for e in range(edges.shape[1]):
                a, b = ends[t, e, 0], ends[t, e, 1]
                product = 0.0
                for k in range(dim):
                    product += gradients[t, a, k] * gradients[t, b, k]
                stiffness_between[edges[t, e], c] += volumes[t] * mean * product
                transport_between[edges[t, e], 0, c] += slopes[a]
                transport_between[edges[t, e], 1, c] += slopes[b]
