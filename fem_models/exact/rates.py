"""Decay rates of energies from the linearised equation in one dimension. Everything is dimensionless."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.special import lambertw

_Array = npt.NDArray[np.float64]

# Halvings of the interval of the multiplier.
_HALVINGS = 200


def steady_density(
    potential: Callable[[_Array], _Array], coefficient: float, x: _Array, weights: _Array
) -> _Array:
    """The steady state q of mass 1 of E = ∫ρ log ρ + (c/2)ρ² + Vρ: log q + cq + V is constant.

    It is q = W(c e^{λ-V})/c with Lambert's function W, and e^{λ-V} for c = 0; λ is found by bisection.

    Args:
        potential: V as a function of points of shape (n,).
        coefficient: c ≥ 0.
        x: Points, shape (n,).
        weights: Quadrature weights of the mass there, shape (n,).

    Returns:
        The density at the points, shape (n,).
    """
    low, high = -50.0, 50.0
    density = np.zeros_like(x)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        boltzmann = np.exp(middle - potential(x))
        density = lambertw(coefficient * boltzmann).real / coefficient if coefficient else boltzmann
        low, high = (middle, high) if weights @ density < 1.0 else (low, middle)
    return density


def slowest_rate(
    potential: Callable[[_Array], _Array],
    coefficient: float = 0.0,
    points: int = 1001,
    interval: tuple[float, float] = (-0.5, 0.5),
) -> float:
    """The rate at which E - E(q) decays for ∂tρ = ∂x(ρ ∂x(log ρ + cρ + V)) without flux at the ends.

    Around the steady state q of mass 1, ρ = q + h obeys ∂t h = ∂x(q ∂x((1/q + c) h)). With φ = (1/q + c) h
    its modes solve the symmetric problem

        -(qφ')' = λ φ q/(1 + cq)

    with natural boundary conditions, here by finite differences of second order; E - E(q) is quadratic in h
    and decays like e^{-2λt} with the first positive λ (Bruna, Burger and Carrillo, section 4, compare their
    curves with such rates).

    Args:
        potential: V as a function of points of shape (n,).
        coefficient: c ≥ 0.
        points: Points of the grid; the time grows with their cube.
        interval: The ends.

    Returns:
        2λ.
    """
    x = np.linspace(*interval, points)
    dx = x[1] - x[0]
    weights = np.full(points, dx)
    weights[[0, -1]] /= 2
    q = steady_density(potential, coefficient, x, weights)
    flux = 0.5 * (q[1:] + q[:-1]) / dx
    stiffness = np.diag(np.append(flux, 0) + np.append(0, flux)) - np.diag(flux, 1) - np.diag(flux, -1)
    scale = 1.0 / np.sqrt(weights * q / (1.0 + coefficient * q))
    values = eigh(scale[:, None] * stiffness * scale, eigvals_only=True, subset_by_index=[0, 1])
    return 2.0 * float(values[1])
