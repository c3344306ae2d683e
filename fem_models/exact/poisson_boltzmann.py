"""Steady ions between electrodes: the Poisson–Boltzmann equation on [0, 1]. Everything is dimensionless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_bvp

from fem_models.core.errors import InputError, SolveError

_Array = npt.NDArray[np.float64]
_Potential = Callable[[_Array], _Array]

_POINTS, _TOLERANCE, _MOST = 401, 1e-10, 100_000
# Charges balance up to this share of them.
_BALANCE = 1e-10


@dataclass(frozen=True, eq=False)
class SteadyIons:
    """A solution of the Poisson–Boltzmann equation.

    Attributes:
        constants: a_k of u_k = a_k exp(-z_k ψ - V_k), shape (ions,).
        permittivity: ε.
    """

    constants: _Array
    permittivity: float
    _solution: Callable[[_Array], _Array]
    _charges: _Array
    _external: tuple[_Potential, ...]

    def potential(self, x: npt.ArrayLike) -> _Array:
        """ψ at points.

        Args:
            x: Points of [0, 1], shape (n,).

        Returns:
            ψ, shape (n,).
        """
        return self._solution(np.asarray(x, dtype=float))[0]

    def slope(self, x: npt.ArrayLike) -> _Array:
        """ψ' at points.

        Args:
            x: Points of [0, 1], shape (n,).

        Returns:
            ψ', shape (n,).
        """
        return self._solution(np.asarray(x, dtype=float))[1]

    def densities(self, x: npt.ArrayLike) -> _Array:
        """u_k at points.

        Args:
            x: Points of [0, 1], shape (n,).

        Returns:
            u_k, shape (ions, n).
        """
        points = np.asarray(x, dtype=float)
        psi = self.potential(points)
        exponents = [-z * psi - V(points) for z, V in zip(self._charges, self._external, strict=True)]
        return self.constants[:, None] * np.exp(exponents)

    @property
    def field_energy(self) -> float:
        """(ε/2) ∫|ψ'|², by Gauss's rule on 400 pieces."""
        t, weights = np.polynomial.legendre.leggauss(8)
        edges = np.linspace(0.0, 1.0, _POINTS)
        half = 0.5 * np.diff(edges)[:, None]
        x = edges[:-1, None] + half * (1.0 + t)
        squares = self.slope(x.ravel()).reshape(x.shape) ** 2
        return float(0.5 * self.permittivity * (half * weights * squares).sum())


def poisson_boltzmann(
    charges: Sequence[float],
    masses: Sequence[float],
    permittivity: float,
    ends: tuple[float, float] | None = None,
    external: Sequence[_Potential] | None = None,
) -> SteadyIons:
    """The steady state of the Poisson–Nernst–Planck equations with m = 1 on [0, 1].

    The densities u_k = a_k exp(-z_k ψ - V_k) have the masses M_k, and -εψ'' = Σ_k z_k u_k. The unknowns of
    SciPy's collocation to 1e-10 are ψ, ψ', ∫₀ˣu_k and the constants a_k.

    Args:
        charges: z_k, shape (ions,).
        masses: M_k > 0, shape (ions,).
        permittivity: ε > 0.
        ends: ψ at 0 and 1; without them there is no field at the ends and ψ has the mean zero over them,
            which needs Σ z_k M_k = 0.
        external: V_k as functions of points of shape (n,); zero without them.

    Returns:
        The solution.

    Raises:
        InputError: Charges that do not balance where no electrode takes their field.
        SolveError: The collocation did not converge.
    """
    z, mass = np.asarray(charges, dtype=float), np.asarray(masses, dtype=float)
    net = float(z @ mass)
    if ends is None and abs(net) > _BALANCE * float(np.abs(z) @ mass):
        raise InputError(f"Without electrodes the charges must add up to zero, not to {net:.6g}.")
    given = tuple(external) if external is not None else (np.zeros_like,) * len(z)

    def slopes(x: _Array, y: _Array, a: _Array) -> _Array:
        u = np.array([a[k] * np.exp(-z[k] * y[0] - given[k](x)) for k in range(len(z))])
        return np.array([y[1], -(z @ u) / permittivity, *u])

    def conditions(left: _Array, right: _Array, a: _Array) -> _Array:
        of_potential = (
            [left[1], left[0] + right[0]] if ends is None else [left[0] - ends[0], right[0] - ends[1]]
        )
        return np.array([*of_potential, *left[2:], *(right[2:] - mass)])

    x = np.linspace(0.0, 1.0, _POINTS)
    length = np.sqrt(permittivity / (z**2 @ mass))
    low, high = ends or (0.0, 0.0)
    guess = low * np.exp(-x / length) + high * np.exp((x - 1.0) / length)
    start = np.array([guess, np.gradient(guess, x), *(M * x for M in mass)])
    found = solve_bvp(slopes, conditions, x, start, p=mass, tol=_TOLERANCE, max_nodes=_MOST)
    if not found.success:
        raise SolveError(f"The Poisson–Boltzmann equation was not solved: {found.message}")
    return SteadyIons(found.p, permittivity, found.sol, z, given)
