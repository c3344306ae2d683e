"""Fluxes along edges, their derivatives, and their sums over nodes: compiled kernels.

With the potential μ = θ log ρ + ψ, the flux from i to j is κ_ij F(ρ_i, ρ_j, ψ_i - ψ_j), where F stands for
ρ_ij (μ_i - μ_j). For every choice F·(μ_i - μ_j) ≥ 0, nothing flows out of a node in vacuum, and F is finite
there, so that nothing is regularised. With θ > 0 it is the exponential fit of Scharfetter and Gummel,
F = θ B(-d/θ) ρ_i - θ B(d/θ) ρ_j with d = ψ_i - ψ_j, which needs no choice: second order in h where the drift
in a cell is moderate, upwind where it is strong. With θ = 0, ρ_ij is by name

- "upwind": ρ at the node that the mass leaves;
- "average": the arithmetic mean, or, where the mass comes from the smaller density, the harmonic mean, which
  vanishes with it. Both agree to second order in ρ_i - ρ_j.

On edges with κ_ij < 0 the smaller of the two densities is taken, in the manner of Cancès, Nabet and Vohralík
(Math. Comp. 2021): nothing is drawn from vacuum there either, but the energy law is no longer a promise.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.int32]

FLUXES = {"upwind": 0, "average": 1}

_UPWIND, _AVERAGE = FLUXES["upwind"], FLUXES["average"]


@numba.njit(cache=True, inline="always", error_model="numpy")
def bernoulli(z: float) -> tuple[float, float]:
    """Bernoulli's function B(z) = z/(exp z - 1) and its derivative.

    Args:
        z: Any number, dimensionless.

    Returns:
        B(z) and B'(z).
    """
    if abs(z) < 1e-2:
        z2 = z * z
        return 1.0 - 0.5 * z + z2 / 12.0 - z2 * z2 / 720.0, -0.5 + z / 6.0 - z2 * z / 180.0
    if z > 700.0:
        return 0.0, 0.0
    e = math.expm1(z)
    b = z / e
    return b, (1.0 - b * (e + 1.0)) / e


@numba.njit(cache=True, inline="always", error_model="numpy")
def edge_flux(
    flux: int, theta: float, kappa: float, a: float, b: float, d: float
) -> tuple[float, float, float, float]:
    """F for the densities and the difference of potentials at the ends of an edge, and its derivatives.

    Args:
        flux: A value of `FLUXES`.
        theta: The entropy coefficient θ.
        kappa: The coefficient κ_ij, whose sign alone counts.
        a: The density ρ_i.
        b: The density ρ_j.
        d: The difference ψ_i - ψ_j.

    Returns:
        F, ∂F/∂a, ∂F/∂b and ∂F/∂d.
    """
    if kappa < 0.0:
        return _smaller(theta, a, b, d)
    if theta > 0.0:
        z = d / theta
        out, slope_out = bernoulli(-z)
        back, slope_back = bernoulli(z)
        return theta * (out * a - back * b), theta * out, -theta * back, -slope_out * a - slope_back * b
    a_is_upwind = d > 0.0
    upwind, downwind = (a, b) if a_is_upwind else (b, a)
    if flux == _AVERAGE:
        if downwind == 0.0:
            # The derivative by the density downwind is left out in vacuum: with it, inflow would seem to feed
            # itself, and Newton's method would keep the node empty.
            return (
                (0.5 * a * d, 0.5 * d, 0.0, 0.5 * a) if a_is_upwind else (0.5 * b * d, 0.0, 0.5 * d, 0.5 * b)
            )
        if upwind >= downwind:
            return 0.5 * (a + b) * d, 0.5 * d, 0.5 * d, 0.5 * (a + b)
        harmonic = 2.0 * a * b / (a + b)
        return harmonic * d, 2.0 * (b / (a + b)) ** 2 * d, 2.0 * (a / (a + b)) ** 2 * d, harmonic
    if a_is_upwind:
        return a * d, d, 0.0, a
    return b * d, 0.0, d, b


@numba.njit(cache=True, inline="always", error_model="numpy")
def _smaller(theta: float, a: float, b: float, d: float) -> tuple[float, float, float, float]:
    """F with the smaller density: min(a, b) (θ log(a/b) + d)."""
    smaller = min(a, b)
    if smaller <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    logarithm = math.log(a / b) if theta > 0.0 else 0.0
    difference = theta * logarithm + d
    a_is_smaller = 1.0 if a <= b else 0.0
    return (
        smaller * difference,
        a_is_smaller * difference + smaller * theta / a,
        (1.0 - a_is_smaller) * difference - smaller * theta / b,
        smaller,
    )


@numba.njit(cache=True, error_model="numpy")
def add_fluxes(
    flux: int,
    theta: _Array,
    transported: npt.NDArray[np.bool_],
    pairs: _Indices,
    kappa: _Array,
    rho: _Array,
    psi: _Array,
    tau: float,
    out: _Array,
) -> None:
    """Add τ Σ_j κ_ij F_ij to `out`.

    Args:
        flux: A value of `FLUXES`.
        theta: Entropy coefficients, shape (species,).
        transported: Whether each species moves along edges (has the Wasserstein metric), shape (species,).
        pairs: Nodes of the edges, shape (edges, 2).
        kappa: Coefficients, shape (edges,).
        rho: Densities, shape (nodes, species).
        psi: Potentials without entropy, shape (nodes, species).
        tau: Time step.
        out: Result, shape (nodes, species).
    """
    for e in range(len(kappa)):
        i, j = pairs[e, 0], pairs[e, 1]
        for s in range(rho.shape[1]):
            if transported[s]:
                value = edge_flux(flux, theta[s], kappa[e], rho[i, s], rho[j, s], psi[i, s] - psi[j, s])[0]
                value *= tau * kappa[e]
                out[i, s] += value
                out[j, s] -= value


@numba.njit(cache=True, error_model="numpy")
def add_flux_derivatives(
    flux: int,
    theta: _Array,
    transported: npt.NDArray[np.bool_],
    pairs: _Indices,
    kappa: _Array,
    rho: _Array,
    psi: _Array,
    hessian: _Array,
    tau: float,
    diagonal: _Array,
    off_diagonal: _Array,
) -> None:
    """Add the derivatives of τ Σ_j κ_ij F_ij.

    Args:
        flux: A value of `FLUXES`.
        theta: Entropy coefficients, shape (species,).
        transported: Whether each species moves along edges (has the Wasserstein metric), shape (species,).
        pairs: Nodes of the edges, shape (edges, 2).
        kappa: Coefficients, shape (edges,).
        rho: Densities, shape (nodes, species).
        psi: Potentials without entropy, shape (nodes, species).
        hessian: ∂ψ_s/∂ρ_t at the nodes, shape (nodes, species, species).
        tau: Time step.
        diagonal: Added to: derivatives at a node by its own densities, shape (nodes, species, species).
        off_diagonal: Overwritten: derivatives at i by the densities at j, and at j by those at i, shape
            (edges, 2, species, species).
    """
    species = rho.shape[1]
    off_diagonal[:] = 0.0
    for e in range(len(kappa)):
        i, j = pairs[e, 0], pairs[e, 1]
        for s in range(species):
            if not transported[s]:
                continue
            _, by_i, by_j, by_d = edge_flux(
                flux, theta[s], kappa[e], rho[i, s], rho[j, s], psi[i, s] - psi[j, s]
            )
            factor = tau * kappa[e]
            diagonal[i, s, s] += factor * by_i
            diagonal[j, s, s] -= factor * by_j
            off_diagonal[e, 0, s, s] += factor * by_j
            off_diagonal[e, 1, s, s] -= factor * by_i
            for t in range(species):
                at_i = factor * by_d * hessian[i, s, t]
                at_j = factor * by_d * hessian[j, s, t]
                diagonal[i, s, t] += at_i
                diagonal[j, s, t] += at_j
                off_diagonal[e, 0, s, t] -= at_j
                off_diagonal[e, 1, s, t] -= at_i


@numba.njit(cache=True, error_model="numpy")
def add_drift_changes(
    flux: int,
    theta: _Array,
    transported: npt.NDArray[np.bool_],
    pairs: _Indices,
    kappa: _Array,
    rho: _Array,
    psi: _Array,
    change: _Array,
    tau: float,
    out: _Array,
) -> None:
    """Add the change of τ Σ_j κ_ij F_ij with a change of the potentials.

    Args:
        flux: A value of `FLUXES`.
        theta: Entropy coefficients, shape (species,).
        transported: Whether each species moves along edges (has the Wasserstein metric), shape (species,).
        pairs: Nodes of the edges, shape (edges, 2).
        kappa: Coefficients, shape (edges,).
        rho: Densities, shape (nodes, species).
        psi: Potentials without entropy, shape (nodes, species).
        change: Of the potentials, shape (nodes, species).
        tau: Time step.
        out: Result, shape (nodes, species).
    """
    for e in range(len(kappa)):
        i, j = pairs[e, 0], pairs[e, 1]
        for s in range(rho.shape[1]):
            if transported[s]:
                by_d = edge_flux(flux, theta[s], kappa[e], rho[i, s], rho[j, s], psi[i, s] - psi[j, s])[3]
                value = tau * kappa[e] * by_d * (change[i, s] - change[j, s])
                out[i, s] += value
                out[j, s] -= value


@numba.njit(cache=True, error_model="numpy")
def dissipation(
    theta: _Array,
    transported: npt.NDArray[np.bool_],
    pairs: _Indices,
    kappa: _Array,
    rho: _Array,
    psi: _Array,
) -> float:
    """The sum Σ κ_ij F_ij (μ_i - μ_j) over edges with upwind fluxes, for ∫ρ|∇μ|².

    With θ > 0 and one of the nodes in vacuum this is infinite; there (a - b) log(a/b) is replaced by its
    lower bound 4(√a - √b)².

    Args:
        theta: Entropy coefficients, shape (species,).
        transported: Whether each species moves along edges (has the Wasserstein metric), shape (species,).
        pairs: Nodes of the edges, shape (edges, 2).
        kappa: Coefficients, shape (edges,).
        rho: Densities, shape (nodes, species).
        psi: Potentials without entropy, shape (nodes, species).

    Returns:
        The sum over the edges of this rank.
    """
    total = 0.0
    for e in range(len(kappa)):
        i, j = pairs[e, 0], pairs[e, 1]
        for s in range(rho.shape[1]):
            if not transported[s]:
                continue
            a, b, d = rho[i, s], rho[j, s], psi[i, s] - psi[j, s]
            flux = edge_flux(_UPWIND, theta[s], kappa[e], a, b, d)[0]
            if theta[s] == 0.0:
                total += kappa[e] * flux * d
            elif a > 0.0 and b > 0.0:
                total += kappa[e] * flux * (theta[s] * math.log(a / b) + d)
            else:
                total += kappa[e] * 4.0 * theta[s] * abs(flux)
    return total
