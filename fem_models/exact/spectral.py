"""One-dimensional systems by a spectral method: fields on [0, 1] as polynomials of one Legendre element.

Smooth solutions have errors far below those of meshes. The steps in time are SciPy's, to a tolerance of
1e-10. Everything is dimensionless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Chebyshev
from numpy.polynomial.legendre import Legendre
from scipy.integrate import solve_ivp

from fem_models.core.errors import SolveError

_Array = npt.NDArray[np.float64]

Profile = Callable[[_Array], _Array]
"""A field as a function of points of shape (n,)."""

_RELATIVE, _ABSOLUTE = 1e-10, 1e-12


class LegendreElement:
    """The interval [0, 1] as one element with Gauss–Lobatto–Legendre nodes.

    Args:
        degree: N ≥ 1 of the polynomials.

    Attributes:
        x: Nodes in increasing order, the ends among them, shape (N+1,).
        weights: Quadrature weights, exact up to the degree 2N - 1, shape (N+1,).
        D: The derivative at the nodes as a matrix, shape (N+1, N+1).
    """

    def __init__(self, degree: int = 30) -> None:
        basis = Legendre.basis(degree)
        z = np.concatenate([[-1.0], np.sort(basis.deriv().roots().real), [1.0]])
        values = basis(z)
        with np.errstate(divide="ignore"):
            D = values[:, None] / values / (z[:, None] - z)
        np.fill_diagonal(D, 0.0)
        D[0, 0], D[-1, -1] = -degree * (degree + 1) / 4, degree * (degree + 1) / 4
        self.x: _Array = 0.5 * (z + 1.0)
        self.D: _Array = 2.0 * D
        self.weights: _Array = 1.0 / (degree * (degree + 1) * values**2)

    def divergence(self, flux: _Array) -> _Array:
        """∂x of a flux that vanishes at both ends: -M⁻¹DᵀM flux with the weights M, which keeps the mass.

        Args:
            flux: Nodal values, shape (N+1,); those at the ends need not be zero.

        Returns:
            Nodal values, shape (N+1,).
        """
        return -(self.D.T @ (self.weights * flux)) / self.weights

    def potential(
        self, charge: _Array, permittivity: float, ends: tuple[float, float] | None = None
    ) -> _Array:
        """ψ with -aψ'' = w.

        Args:
            charge: w at the nodes, shape (N+1,).
            permittivity: a > 0, constant.
            ends: ψ at 0 and 1; without them there is no field at the ends and ψ has the mean zero over them,
                which needs a charge with ∫w = 0.

        Returns:
            ψ at the nodes, shape (N+1,).
        """
        K = permittivity * self.D.T @ np.diag(self.weights) @ self.D
        if ends is None:
            K[0, 0] += 1.0
            psi = np.linalg.solve(K, self.weights * charge)
            return psi - 0.5 * (psi[0] + psi[-1])
        psi = np.zeros(len(self.x))
        psi[[0, -1]] = ends
        load = self.weights * charge - K @ psi
        psi[1:-1] = np.linalg.solve(K[1:-1, 1:-1], load[1:-1])
        return psi


class SpectralFields:
    """Fields on [0, 1] as polynomials.

    Args:
        element: Where they live.
        values: Nodal values, shape (fields, N+1).

    Attributes:
        series: Their Chebyshev series on [0, 1], one for each field.
    """

    def __init__(self, element: LegendreElement, values: npt.ArrayLike) -> None:
        self.series: tuple[Chebyshev, ...] = tuple(
            Chebyshev.fit(element.x, field, len(element.x) - 1, domain=[0, 1])
            for field in np.asarray(values, dtype=float)
        )

    def __call__(self, x: npt.ArrayLike) -> _Array:
        """The fields at points.

        Args:
            x: Points of [0, 1], shape (n,).

        Returns:
            Their values, shape (n, fields).
        """
        points = np.asarray(x, dtype=float)
        return np.column_stack([field(points) for field in self.series])


def evolve(
    element: LegendreElement,
    initial: Sequence[Profile],
    rate: Callable[[_Array], npt.ArrayLike],
    end: float,
) -> SpectralFields:
    """The fields at a time by Radau's method of order 5 with controlled steps, to 1e-10.

    Args:
        element: Where they live.
        initial: The fields at time 0.
        rate: ∂tu at the nodes for nodal values u, both of shape (fields, N+1).
        end: The time.

    Returns:
        The fields then.

    Raises:
        SolveError: The rate is not finite, or the steps became too small.
    """
    start = np.array([field(element.x) for field in initial])

    def change(time: float, flat: _Array) -> _Array:
        found = np.asarray(rate(flat.reshape(start.shape)), dtype=float).ravel()
        if not np.isfinite(found).all():
            raise SolveError(f"The rate of the fields is not finite at the time {time:g}.")
        return found

    found = solve_ivp(change, (0.0, end), start.ravel(), method="Radau", rtol=_RELATIVE, atol=_ABSOLUTE)
    if not found.success:
        raise SolveError(f"The spectral method did not reach the time {end:g}: {found.message}")
    return SpectralFields(element, found.y[:, -1].reshape(start.shape))
