"""Convolution with a smooth kernel on an unstructured mesh, for non-local couplings of two densities.

The energy ∫∫ K(x - y) ρ₁(x) ρ₂(y) dx dy (Matthes, "The road ahead") becomes Σ_ij m_i m_j K_ij ρ₁_i ρ₂_j with
the nodal volumes m. Its potentials are K ρ₂ and Kᵀρ₁, and the energy law asks that they be the derivatives of
this one sum. So K itself is replaced, once, by its Chebyshev interpolant on the box around the mesh,

    K_ij = Σ_ab L_a(x_i) K(g_a - g_b) L_b(x_j),

with p^d Chebyshev points g and their Lagrange polynomials L, and both potentials use the same K_ij: they are
adjoint to round-off whatever the interpolation error. The interpolation is spectrally accurate, and what
ranks exchange and store beside their nodes are p^d numbers and a p^d × p^d matrix, whatever the mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.core.errors import InputError

_Array = npt.NDArray[np.float64]
Kernel = Callable[[_Array], npt.ArrayLike]

# Interpolation error over the largest |K| that is aimed at, and the largest that is accepted.
_TOLERANCE = 1e-10
_ACCEPTED = 1e-3

# Most points per direction, by dimension: the matrix K(g_a - g_b) then takes at most 60 MB on each rank.
_MOST_POINTS = {1: 256, 2: 48, 3: 14}

_SAMPLES = 512
# Points along each axis at which a peak of K is looked for.
_SCANNED = 100_001

# Nodes whose polynomials are tabulated together, and kernel values computed together: what fits a cache.
_NODES = 2048
_VALUES = 2**17


class Convolution:
    """The operator K ρ = ∫ K(· - y) ρ(y) dy at nodes with volumes, and its adjoint. Collective to build.

    The number of points per direction is raised until the interpolation error, measured at pairs of points in
    the box around the mesh, is below 1e-10 of the largest |K|; at most 256 points in 1D, 48 in 2D and 14 in
    3D are taken.

    Args:
        points: Coordinates of this rank's nodes, ghosts included, shape (nodes, dim).
        volumes: Nodal volumes m_i, shape (nodes,).
        owned: The number of nodes that this rank owns; they come first.
        comm: The ranks that share the mesh.
        kernel: K as a function of z = x - y, shape (dim, n), with n values; dimensionless.

    Attributes:
        points_per_direction: The number p of Chebyshev points per direction.
        error: The largest interpolation error found, relative to the largest |K| found.

    Raises:
        InputError: A kernel that is not finite at a difference of two points in the box around the mesh, or
            an error above 1e-3: K varies too much over the domain. All ranks raise it.
    """

    def __init__(
        self, points: npt.ArrayLike, volumes: _Array, owned: int, comm: MPI.Comm, kernel: Kernel
    ) -> None:
        points = np.asarray(points, dtype=float)
        lower = points.min(axis=0, initial=np.inf)
        upper = points.max(axis=0, initial=-np.inf)
        comm.Allreduce(MPI.IN_PLACE, lower, op=MPI.MIN)
        comm.Allreduce(MPI.IN_PLACE, upper, op=MPI.MAX)
        half = 0.5 * (upper - lower)
        self._comm = comm
        self._weights = volumes[:owned]
        self._scaled = np.ascontiguousarray(((points - 0.5 * (lower + upper)) / half).T)
        self.points_per_direction, self.error, self._matrix = _resolve(kernel, half, comm)
        if self.error > _ACCEPTED:
            raise InputError(
                f"The kernel is not smooth at the size of the domain: its interpolation has a relative error "
                f"of {self.error:.1e} at best (points per direction: {self.points_per_direction}), above "
                f"{_ACCEPTED:g}; take a kernel that is smoother or has a longer range."
            )

    def apply(self, values: _Array) -> _Array:
        """The potential (K ρ)_i = Σ_j K_ij m_j ρ_j. Collective.

        Args:
            values: Nodal densities ρ, shape (nodes,); only those of owned nodes are used.

        Returns:
            Values at all nodes of this rank, shape (nodes,); those of ghosts agree with their owner's to
            round-off.
        """
        return self._evaluate(self._matrix @ self._integrate(values))

    def adjoint(self, values: _Array) -> _Array:
        """The potential (Kᵀρ)_j = Σ_i K_ij m_i ρ_i, with ⟨ρ₁, K ρ₂⟩_m = ⟨Kᵀρ₁, ρ₂⟩_m. Collective.

        Args:
            values: Nodal densities ρ, shape (nodes,); only those of owned nodes are used.

        Returns:
            Values at all nodes of this rank, as for `apply`.
        """
        return self._evaluate(self._matrix.T @ self._integrate(values))

    def _integrate(self, values: _Array) -> _Array:
        """Σ_j L_a(x_j) m_j ρ_j over the nodes of all ranks, shape (p^d,)."""
        p, dim = self.points_per_direction, len(self._scaled)
        owned = len(self._weights)
        masses = self._weights * values[:owned]
        sums = np.zeros((p, p ** (dim - 1)))
        for nodes in _blocks(owned, _NODES):
            first, others = _tabulate(self._scaled[:, nodes], p)
            sums += (first * masses[nodes]) @ others.T
        self._comm.Allreduce(MPI.IN_PLACE, sums)
        return _along_axes(_to_coefficients(p).T, sums.reshape((p,) * dim)).ravel()

    def _evaluate(self, values: _Array) -> _Array:
        """Σ_a L_a(x_i) values_a at the nodes of this rank, shape (nodes,)."""
        p, (dim, count) = self.points_per_direction, self._scaled.shape
        coefficients = _along_axes(_to_coefficients(p), values.reshape((p,) * dim)).reshape(p, -1)
        found = np.empty(count)
        for nodes in _blocks(count, _NODES):
            first, others = _tabulate(self._scaled[:, nodes], p)
            found[nodes] = np.einsum("an,an->n", first, coefficients @ others)
        return found


def _resolve(kernel: Kernel, half: _Array, comm: MPI.Comm) -> tuple[int, float, _Array]:
    """The number of points per direction, the relative error and the matrix K(g_a - g_b).

    Args:
        kernel: K.
        half: Half the sides of the box, shape (dim,).
        comm: The ranks; each checks a part of the sample, and all take the same decision.
    """
    dim = len(half)
    most = _MOST_POINTS[dim]
    x, y = (side[:, comm.rank :: comm.size] for side in _sample(dim))
    peaks = _peaks(kernel, half)
    x, y = np.hstack([x, peaks]), np.hstack([y, -peaks])
    exact = _kernel_values(kernel, half[:, None] * (x - y))
    best = (0, np.inf, np.empty((0, 0)))
    p = 1
    while True:
        matrix = _kernel_matrix(kernel, half, p)
        # NumPy's maximum is not a number as soon as one of the values is not; Python's may hide it.
        size = np.max([np.abs(exact).max(initial=0.0), matrix.max(), -matrix.min()])
        if not comm.allreduce(bool(np.isfinite(size)), op=MPI.LAND):
            raise InputError(
                "The kernel must be finite at all differences x - y of points in the box around the mesh: "
                "smooth its singularity, for instance by sqrt(|z|² + δ²) in place of |z|."
            )
        found = np.einsum("as,as->s", _lagrange(x, p), matrix @ _lagrange(y, p))
        largest = np.array([np.abs(found - exact).max(initial=0.0), size])
        comm.Allreduce(MPI.IN_PLACE, largest, op=MPI.MAX)
        distance, size = largest
        error = float(distance / size) if size > 0.0 else 0.0
        if error < best[1]:
            best = (p, error, matrix)
        if error <= _TOLERANCE or p == most:
            return best
        p = min(p + max(1, p // 8), most)


def _sample(dim: int) -> tuple[_Array, _Array]:
    """Pairs of points of the cube [-1, 1]^d, shape (dim, samples) each, the same on all ranks.

    They are denser towards the boundary, like the extrema of the interpolation error. In every other pair
    the second point is drawn towards the first, by a factor down to 1e-3: peaks and kinks of K at zero show
    there.
    """
    random = np.random.default_rng(1)
    x, y = np.cos(np.pi * random.random((2, dim, _SAMPLES)))
    shrink = 10.0 ** random.uniform(-3.0, 0.0, _SAMPLES // 2)
    y[:, ::2] = x[:, ::2] + shrink * (y[:, ::2] - x[:, ::2])
    return x, y


def _peaks(kernel: Kernel, half: _Array) -> _Array:
    """Half the difference, in the cube, at which |K| is largest along each axis, shape (dim, dim).

    Narrow peaks away from zero would be missed by a sample of points.
    """
    dim = len(half)
    found = np.zeros((dim, dim))
    line = np.linspace(-1.0, 1.0, _SCANNED)
    for axis in range(dim):
        differences = np.zeros((dim, _SCANNED))
        differences[axis] = 2.0 * half[axis] * line
        values = np.nan_to_num(np.abs(_kernel_values(kernel, differences)), posinf=0.0)
        found[axis, axis] = line[np.argmax(values)]
    return found


def _kernel_values(kernel: Kernel, z: _Array) -> _Array:
    """K at differences of shape (dim, n); what is not finite is judged by the caller, without warnings."""
    with np.errstate(all="ignore"):
        return np.broadcast_to(np.asarray(kernel(z), dtype=float), z.shape[1:])


def _kernel_matrix(kernel: Kernel, half: _Array, p: int) -> _Array:
    """K(g_a - g_b), shape (p^d, p^d)."""
    dim = len(half)
    grid = np.stack(np.meshgrid(*(half[:, None] * _chebyshev_points(p)), indexing="ij")).reshape(dim, -1)
    count = grid.shape[1]
    matrix = np.empty((count, count))
    for rows in _blocks(count, max(1, _VALUES // count)):
        differences = grid[:, rows, None] - grid[:, None, :]
        matrix[rows] = _kernel_values(kernel, differences.reshape(dim, -1)).reshape(-1, count)
    return matrix


def _chebyshev_points(p: int) -> _Array:
    """The zeros of T_p. Written with sines, they are symmetric about zero to the last digit."""
    return np.sin(0.5 * np.pi * (2.0 * np.arange(p) - (p - 1)) / p)


def _polynomials(t: _Array, p: int) -> _Array:
    """Chebyshev polynomials T_0 … T_{p-1} at t, shape (p, *t.shape)."""
    found = np.empty((p, *t.shape))
    found[0] = 1.0
    found[1:2] = t
    twice = 2.0 * t
    for k in range(2, p):
        np.multiply(twice, found[k - 1], out=found[k])
        found[k] -= found[k - 2]
    return found


def _to_coefficients(p: int) -> _Array:
    """The matrix from values at the Chebyshev points to coefficients of the polynomials, shape (p, p).

    Its transpose takes Chebyshev polynomials to the Lagrange polynomials of the points.
    """
    matrix = 2.0 / p * _polynomials(_chebyshev_points(p), p)
    matrix[0] *= 0.5
    return matrix


def _along_axes(matrix: _Array, array: _Array) -> _Array:
    """The matrix applied along every axis of an array."""
    for _ in range(array.ndim):
        # The contracted axis goes last, so that after all of them the order is the first again.
        array = np.tensordot(array, matrix, axes=(0, 1))
    return array


def _tabulate(t: _Array, p: int) -> tuple[_Array, _Array]:
    """Chebyshev polynomials of the first coordinate, and products of those of the others.

    Sums over p^d products of polynomials then are matrix products.

    Args:
        t: Points of the cube, shape (dim, n).
        p: Polynomials per direction.

    Returns:
        Arrays of shape (p, n) and (p^(d-1), n).
    """
    factors = _polynomials(t, p).swapaxes(0, 1)
    return factors[0], _products(factors[1:])


def _lagrange(t: _Array, p: int) -> _Array:
    """Lagrange polynomials of the Chebyshev points at points of shape (dim, n), shape (p^d, n)."""
    return _products(_to_coefficients(p).T @ _polynomials(t, p).swapaxes(0, 1))


def _products(factors: _Array) -> _Array:
    """All products of one row from each of k tables, of shape (k, p, n): an array of shape (p^k, n)."""
    products = np.ones((1, factors.shape[2]))
    for factor in factors:
        products = (products[:, None] * factor).reshape(-1, factor.shape[1])
    return products


def _blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover a range."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
