"""Squares of the quadratic Wasserstein distance in closed form or by one-dimensional quadrature.

W₂²(ρ, η) = min ∫|x - T(x)|² ρ(x) dx over the maps T that push ρ to η, for densities with the same mass M:
it grows in proportion to M, and is in units of mass times length². All functions return W₂², not W₂.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import gamma

from fem_models.core.errors import InputError
from fem_models.exact.profiles import Gaussian, positive

_Array = npt.NDArray[np.float64]

# Masses of computed densities are compared up to the tolerances of solvers.
_MASS_TOLERANCE = 1e-9

# Gauss points on every interval where both quantiles are smooth, and halvings for their inverses.
_POINTS = 24
_HALVINGS = 54


def same_mass(first: float, second: float) -> float:
    """The mass of two densities, which must agree.

    Args:
        first: The mass of one.
        second: The mass of the other, equal up to 1e-9 of it.

    Returns:
        The mean of both.

    Raises:
        InputError: Masses that are not positive, or that differ; the message names both.
    """
    positive("Masses", first, second)
    if abs(first - second) > _MASS_TOLERANCE * max(first, second):
        raise InputError(
            f"The densities have the masses {first:.10g} and {second:.10g}, and only densities of the same "
            "mass have a Wasserstein distance: scale one of them."
        )
    return 0.5 * (first + second)


def gaussian_square(first: Gaussian, second: Gaussian) -> float:
    """W₂² between Gaussians: M (|a - b|² + tr(A + B - 2 (A^½ B A^½)^½)), with Bures' distance of covariances.

    It is evaluated as min_U |A^½ - B^½U|² over the orthogonal matrices U, a sum of squares in which nothing
    cancels; the singular vectors of A^½B^½ give U.

    Args:
        first: M, a and A.
        second: M, b and B.

    Returns:
        W₂².

    Raises:
        InputError: Masses or dimensions that differ.
    """
    mass = same_mass(first.mass, second.mass)
    if len(first.mean) != len(second.mean):
        raise InputError(f"The Gaussians live in dimensions {len(first.mean)} and {len(second.mean)}.")
    A, B = _root(first.covariance), _root(second.covariance)
    left, _, right = np.linalg.svd(A @ B)
    bures = ((A - B @ right.T @ left.T) ** 2).sum()
    return float(mass * (((first.mean - second.mean) ** 2).sum() + bures))


def translation_square(shift: npt.ArrayLike, mass: float = 1.0) -> float:
    """W₂² between any density and its translation by a vector b: M |b|².

    Args:
        shift: b, shape (d,) or a number.
        mass: M.

    Returns:
        W₂².

    Raises:
        InputError: A mass that is not positive.
    """
    positive("Masses", mass)
    return float(mass * np.sum(np.square(np.asarray(shift, dtype=float))))


def dilation_square(factor: float, second_moment: float) -> float:
    """W₂² between any density and its image under x ↦ c + s (x - c): (1-s)² M₂.

    The map is the gradient of the convex function c·x + s|x - c|²/2, which makes it optimal.

    Args:
        factor: s ≥ 0.
        second_moment: M₂ = ∫|x - c|²ρ, not divided by the mass. The center of mass is the usual c, but the
            formula holds for any.

    Returns:
        W₂².

    Raises:
        InputError: A negative factor or moment.
    """
    if not (factor >= 0.0 and second_moment >= 0.0):
        raise InputError("A dilation needs a factor and a second moment of 0 or more.")
    return (1.0 - factor) ** 2 * second_moment


def interval_square(
    first: tuple[npt.ArrayLike, npt.ArrayLike], second: tuple[npt.ArrayLike, npt.ArrayLike]
) -> float:
    """W₂² between piecewise linear densities on intervals: M ∫₀¹ (X(u) - Y(u))² du with the quantiles X, Y.

    The quadrature is of high order between the quantiles of all nodes: its error is far below that of the
    densities.

    Args:
        first: Nodes in increasing order and the nodal densities ≥ 0, each of shape (nodes,). Outside of the
            nodes the density is zero.
        second: Likewise; the nodes may be others.

    Returns:
        W₂².

    Raises:
        InputError: Nodes out of order, densities that are negative or not finite, or masses that differ.
    """
    return _square(_Quantiles(*first, dimension=1), _Quantiles(*second, dimension=1))


def radial_square(
    first: tuple[npt.ArrayLike, npt.ArrayLike],
    second: tuple[npt.ArrayLike, npt.ArrayLike],
    dimension: int,
) -> float:
    """W₂² between radial densities about the same center, by the quantiles of their radii.

    The optimal map moves along rays: R(u) and S(u) enclose the same share u of the mass, and
    W₂² = M ∫₀¹ (R - S)² du. The masses are those of ω_d r^{d-1} ρ(r) dr with ω_d the area of the unit sphere.

    Args:
        first: Radii ≥ 0 in increasing order and the densities there, linear in r between them, each of shape
            (nodes,). Inside of the first and outside of the last radius the density is zero.
        second: Likewise; the radii may be others.
        dimension: d.

    Returns:
        W₂².

    Raises:
        InputError: As for `interval_square`, and negative radii or a dimension below 1.
    """
    if dimension < 1:
        raise InputError(f"Radial densities need a dimension of 1 or more, not {dimension}.")
    for radii, _ in (first, second):
        if np.min(np.asarray(radii, dtype=float), initial=math.inf) < 0.0:
            raise InputError("Radii must be 0 or more.")
    area = 2.0 * math.pi ** (0.5 * dimension) / gamma(0.5 * dimension)
    return _square(_Quantiles(*first, dimension, area), _Quantiles(*second, dimension, area))


class _Quantiles:
    """The quantiles of area·x^{d-1} ρ(x) dx for a piecewise linear ρ.

    Attributes:
        mass: M.
        shares: The share of the mass up to every node with mass around it, from 0 to 1.
    """

    def __init__(
        self, points: npt.ArrayLike, values: npt.ArrayLike, dimension: int, area: float = 1.0
    ) -> None:
        points, values = np.asarray(points, dtype=float), np.asarray(values, dtype=float)
        if points.ndim != 1 or points.shape != values.shape or len(points) < 2:
            raise InputError("A density needs its nodes and as many values, two or more, in one dimension.")
        if not (np.isfinite(points).all() and np.all(np.diff(points) > 0.0)):
            raise InputError("The nodes of a density must be finite and in increasing order.")
        if not (np.isfinite(values).all() and np.all(values >= 0.0)):
            raise InputError("Densities must be finite and 0 or more at all nodes.")
        # Exact for the polynomials of degree d in a piece.
        nodes, weights = np.polynomial.legendre.leggauss(dimension // 2 + 1)
        self._nodes, self._weights = 0.5 * (nodes + 1.0), 0.5 * area * weights
        self._power = dimension - 1
        lengths = np.diff(points)
        self._pieces = np.array([points[:-1], lengths, values[:-1], np.diff(values) / lengths])
        masses = self._part(self._pieces, lengths)
        self._pieces = self._pieces[:, masses > 0.0]
        sums = np.concatenate([[0.0], np.cumsum(masses[masses > 0.0])])
        self.mass = float(sums[-1])
        self.shares = sums / self.mass if self.mass > 0.0 else sums

    def __call__(self, shares: _Array) -> _Array:
        """Quantiles at shares of the mass of shape (intervals, points), each row within one piece."""
        piece = np.searchsorted(self.shares[1:-1], shares.mean(axis=1))
        pieces = self._pieces[:, piece, None]
        wanted = (shares - self.shares[piece, None]) * self.mass
        low = np.zeros_like(shares)
        width = np.broadcast_to(pieces[1], shares.shape)
        for _ in range(_HALVINGS):
            width = 0.5 * width
            low = np.where(self._part(pieces, low + width) < wanted, low + width, low)
        return pieces[0] + low + 0.5 * width

    def _part(self, pieces: _Array, s: _Array) -> _Array:
        """The mass from the start of pieces over lengths s."""
        start, _, density, slope = pieces
        terms = (
            weight * (start + s * node) ** self._power * (density + slope * s * node)
            for node, weight in zip(self._nodes, self._weights, strict=True)
        )
        return s * sum(terms)


def _square(first: _Quantiles, second: _Quantiles) -> float:
    mass = same_mass(first.mass, second.mass)
    ends = np.union1d(first.shares, second.shares)
    ends[-1] = 1.0
    t, weights = np.polynomial.legendre.leggauss(_POINTS)
    t = 0.5 * (t + 1.0)
    # Next to vacuum and to the origin quantiles behave like roots of the share; t³ makes them smooth.
    step = t**3 * (10.0 - 15.0 * t + 6.0 * t**2)
    weights = 0.5 * weights * 30.0 * (t * (1.0 - t)) ** 2
    widths = np.diff(ends)
    shares = ends[:-1, None] + widths[:, None] * step
    return float(mass * (widths @ ((first(shares) - second(shares)) ** 2 @ weights)))


def _root(covariance: _Array) -> _Array:
    """The symmetric root of a matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
