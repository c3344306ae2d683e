"""Loops over the cells of kinetic equations, compiled. Shapes are those of `fem_models.kinetic.bgk.space`."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int32]


@numba.njit(cache=True, error_model="numpy")
def fill_slopes(
    cells: _Ints,
    inverse: _Array,
    slopes: _Array,
    where: _Ints,
    values: _Array,
    even: _Array,
    out: _Array,
) -> None:
    """Fill in Σ_{a,n} (B_a)_{nm} ∂_a h_n at the points of each cell.

    Args:
        cells: Nodes of each cell.
        inverse: Gradients of the reference coordinates, shape (cells, d, d).
        slopes: Of the basis functions on the reference cell, shape (points, nodes of a cell, d).
        where: (a, n, m) of the couplings, shape (entries, 3).
        values: (B_a)_{nm}, shape (entries,).
        even: h_n, shape (nodes, even modes).
        out: Result, shape (cells, points, odd modes).
    """
    modes, dim = even.shape[1], inverse.shape[1]
    reference, gradient = np.empty((dim, modes)), np.empty((dim, modes))
    for c in range(len(cells)):
        for q in range(len(slopes)):
            reference[:] = 0.0
            for i in range(cells.shape[1]):
                node = cells[c, i]
                for r in range(dim):
                    slope = slopes[q, i, r]
                    if slope != 0.0:
                        for n in range(modes):
                            reference[r, n] += slope * even[node, n]
            for a in range(dim):
                for n in range(modes):
                    gradient[a, n] = 0.0
                for r in range(dim):
                    factor = inverse[c, r, a]
                    for n in range(modes):
                        gradient[a, n] += factor * reference[r, n]
            for m in range(out.shape[2]):
                out[c, q, m] = 0.0
            for k in range(len(values)):
                out[c, q, where[k, 2]] += values[k] * gradient[where[k, 0], where[k, 1]]


@numba.njit(cache=True, error_model="numpy")
def add_divergence(
    cells: _Ints,
    inverse: _Array,
    slopes: _Array,
    where: _Ints,
    values: _Array,
    volumes: _Array,
    weights: _Array,
    odd: _Array,
    out: _Array,
) -> None:
    """Add Σ_{a,m} (B_a)_{nm} (h_m, ∂_a w) of the cells to their nodes.

    Args:
        cells: As for `fill_slopes`.
        inverse: Likewise.
        slopes: Likewise.
        where: Likewise.
        values: Likewise.
        volumes: Shape (cells,).
        weights: Of the points, of sum 1.
        odd: h_m, shape (cells, points, odd modes).
        out: Result, shape (nodes, even modes).
    """
    modes, dim = out.shape[1], inverse.shape[1]
    reference, gradient = np.empty((dim, modes)), np.empty((dim, modes))
    for c in range(len(cells)):
        for q in range(len(slopes)):
            gradient[:] = 0.0
            for k in range(len(values)):
                gradient[where[k, 0], where[k, 1]] += values[k] * odd[c, q, where[k, 2]]
            weight = weights[q] * volumes[c]
            for r in range(dim):
                for n in range(modes):
                    reference[r, n] = 0.0
                for a in range(dim):
                    factor = weight * inverse[c, r, a]
                    for n in range(modes):
                        reference[r, n] += factor * gradient[a, n]
            for i in range(cells.shape[1]):
                node = cells[c, i]
                for r in range(dim):
                    slope = slopes[q, i, r]
                    if slope != 0.0:
                        for n in range(modes):
                            out[node, n] += slope * reference[r, n]


@numba.njit(cache=True, error_model="numpy")
def fill_gradients(inverse: _Array, slopes: _Array, out: _Array) -> None:
    """Fill in the gradients of the basis functions at a point of a cell.

    Args:
        inverse: Gradients of the reference coordinates of the cell, shape (d, d).
        slopes: On the reference cell, shape (nodes of a cell, d).
        out: Result, shape (nodes of a cell, d).
    """
    nodes, dim = out.shape
    for i in range(nodes):
        for a in range(dim):
            out[i, a] = 0.0
            for r in range(dim):
                out[i, a] += slopes[i, r] * inverse[r, a]


@numba.njit(cache=True, error_model="numpy")
def fill_stiffness(inverse: _Array, slopes: _Array, coefficients: _Array, out: _Array) -> None:
    """Fill in Σ_a (c_a ∂_a φ_j, ∂_a φ_i) of each cell.

    Args:
        inverse: As for `fill_slopes`.
        slopes: Likewise.
        coefficients: c_a with the weights of the points, shape (cells, points, d).
        out: Result, shape (cells, nodes of a cell, nodes of a cell).
    """
    points, nodes, dim = slopes.shape
    gradients = np.empty((nodes, dim))
    for c in range(len(inverse)):
        out[c] = 0.0
        for q in range(points):
            fill_gradients(inverse[c], slopes[q], gradients)
            for i in range(nodes):
                for j in range(nodes):
                    for a in range(dim):
                        out[c, i, j] += coefficients[c, q, a] * gradients[i, a] * gradients[j, a]


@numba.njit(cache=True, error_model="numpy")
def add_even_products(
    cells: _Ints, basis: _Array, weights: _Array, one: _Array, other: _Array, out: _Array
) -> None:
    """Add the products of two tables at nodes, mode by mode.

    Args:
        cells: As for `fill_slopes`.
        basis: Basis functions at the points of the rule, shape (points, nodes of a cell).
        weights: Of these points, shape (cells, points).
        one: Shape (nodes, even modes).
        other: Likewise.
        out: Result, shape (even modes,).
    """
    modes = one.shape[1]
    left, right = np.empty(modes), np.empty(modes)
    for c in range(len(cells)):
        for q in range(basis.shape[0]):
            left[:] = 0.0
            right[:] = 0.0
            for i in range(cells.shape[1]):
                value, node = basis[q, i], cells[c, i]
                if value != 0.0:
                    for n in range(modes):
                        left[n] += value * one[node, n]
                        right[n] += value * other[node, n]
            for n in range(modes):
                out[n] += weights[c, q] * left[n] * right[n]


@numba.njit(cache=True, error_model="numpy")
def add_mass_products(cells: _Ints, local: _Array, volumes: _Array, even: _Array, out: _Array) -> None:
    """Add the products of the mass matrix with a table at nodes.

    Args:
        cells: As for `fill_slopes`.
        local: The matrix of a cell of volume 1.
        volumes: Shape (cells,).
        even: Shape (nodes, even modes).
        out: Result, likewise.
    """
    for c in range(len(cells)):
        for i in range(cells.shape[1]):
            for j in range(cells.shape[1]):
                factor = volumes[c] * local[i, j]
                for n in range(even.shape[1]):
                    out[cells[c, i], n] += factor * even[cells[c, j], n]
