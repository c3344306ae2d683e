"""Hermite modes in velocity: h(v) = Σ h_n ψ_n(v), with ψ_n the products of normalised Hermite polynomials.

v_a ψ_n = √(n_a + 1) ψ_{n + e_a} + √n_a ψ_{n - e_a}, and ∫ ψ_n ψ_m M dv = δ_nm with the Maxwellian M, so that
multiplication by v_a couples modes with even |n| to modes with odd |n| only: (B_a)_{nm} for even n and odd m.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.polynomial.hermite_e import hermegauss

from fem_models.core.errors import InputError

_Array = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int32]

MODE = "f_mode_"
"""What the names of fields of modes begin with; the degree follows."""
MOST = 255
"""The largest degree: some way above, modes at Gauss–Hermite nodes leave the range of numbers."""

Collisions = Literal["relaxation", "fokker-planck"]
"""Relaxation to ρM, (1.2), damps all modes but the first alike; Fokker–Planck collisions, (1.5), by
degree."""


class HermiteModes:
    """Modes up to an odd degree p.

    With an even p there are even modes that are coupled to no odd mode in some direction, so that nothing
    diffuses them there. Modes of a tensor product have such combinations, too, and solvers need more
    iterations for them; but with p + 1 Gauss nodes in each direction, and no other modes, a function of the
    modes is the same as its values at the nodes: bounds that are kept there need them.

    Args:
        dimension: d, of the velocity.
        degree: p, odd: the largest |n|, or the largest n_a of a tensor product.
        tensor: Whether the modes are those of a tensor product.

    Raises:
        InputError: The degree is even, not positive, or more than `MOST`.

    Attributes:
        even: Exponents n with |n| even, the density's n = 0 first, shape (even modes, d).
        odd: Exponents n with |n| odd, those e_1, …, e_d of the flux first, shape (odd modes, d).
    """

    def __init__(self, dimension: int, degree: int, tensor: bool = False) -> None:
        if degree < 1 or degree % 2 == 0:
            raise InputError(
                f"The degree of the Hermite modes must be odd and positive, not {degree}: with an even "
                "one some modes do not diffuse; take one more or one less."
            )
        if degree > MOST:
            raise InputError(f"The degree of the Hermite modes must be at most {MOST}, not {degree}.")
        self.dimension, self.degree, self.tensor = dimension, degree, tensor
        found = [n for n in product(range(degree + 1), repeat=dimension) if tensor or sum(n) <= degree]
        found.sort(key=lambda n: (sum(n), tuple(-k for k in n)))
        self.even = np.array([n for n in found if sum(n) % 2 == 0], dtype=np.int32)
        self.odd = np.array([n for n in found if sum(n) % 2 == 1], dtype=np.int32)

    def __len__(self) -> int:
        """The number of modes."""
        return len(self.even) + len(self.odd)

    @cached_property
    def couplings(self) -> tuple[_Ints, _Array]:
        """The entries of B_a that are not zero: (a, n, m), shape (entries, 3), and the values, shape
        (entries,).
        """
        places = {tuple(m): k for k, m in enumerate(self.odd.tolist())}
        where, values = [], []
        for k, n in enumerate(self.even.tolist()):
            for a in range(self.dimension):
                for shift in (1, -1):
                    other = tuple(n[b] + shift * (a == b) for b in range(self.dimension))
                    if other in places:
                        where.append((a, k, places[other]))
                        values.append(max(n[a], other[a]) ** 0.5)
        return np.array(where, dtype=np.int32), np.array(values)

    @property
    def matrices(self) -> _Array:
        """B_a for each direction, shape (d, even modes, odd modes)."""
        where, values = self.couplings
        found = np.zeros((self.dimension, len(self.even), len(self.odd)))
        found[tuple(where.T)] = values
        return found

    def damping(self, collisions: Collisions) -> tuple[_Array, _Array]:
        """The factors s_n of the collisions of even and of odd modes: 0 for n = 0, else 1 or |n|.

        Args:
            collisions: Their kind.

        Returns:
            Shapes (even modes,) and (odd modes,).
        """
        even, odd = (np.sum(n, axis=1).astype(np.float64) for n in (self.even, self.odd))
        return (even, odd) if collisions == "fokker-planck" else (np.minimum(even, 1.0), np.minimum(odd, 1.0))

    def values(self, velocities: _Array) -> tuple[_Array, _Array]:
        """ψ_n at velocities.

        Args:
            velocities: Shape (velocities, d), dimensionless.

        Returns:
            Of even and of odd modes, shapes (velocities, even modes) and (velocities, odd modes).
        """
        tables = np.ones((self.degree + 1, *velocities.shape))
        if self.degree > 0:
            tables[1] = velocities
        for k in range(1, self.degree):
            tables[k + 1] = (velocities * tables[k] - k**0.5 * tables[k - 1]) / (k + 1) ** 0.5
        axes = np.arange(self.dimension)
        even, odd = (tables[n, :, axes].prod(axis=1).T for n in (self.even, self.odd))
        return even, odd

    @cached_property
    def nodes(self) -> tuple[_Array, _Array]:
        """Gauss–Hermite nodes, p + 1 in each direction, and weights of sum 1: shapes (nodes, d) and (nodes,).

        The rule is exact for products of two modes.
        """
        return gauss_hermite(self.dimension, self.degree + 1)


def gauss_hermite(dimension: int, count: int) -> tuple[_Array, _Array]:
    """The tensor Gauss rule for ∫ · M dv with the Maxwellian M.

    Args:
        dimension: Of the velocity.
        count: Number of nodes in each direction.

    Returns:
        Nodes, shape (count^dimension, dimension), and weights of sum 1.
    """
    nodes, weights = hermegauss(count)
    nodes = 0.5 * (nodes - nodes[::-1])
    weights = weights / weights.sum()
    grid = np.array(list(product(nodes, repeat=dimension)))
    return grid, np.array([np.prod(w) for w in product(weights, repeat=dimension)])
