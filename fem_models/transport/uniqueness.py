"""The Lasry–Lions identity between two candidates for a step (Bruna, Burger and Carrillo, section 2.4).

For two solutions of the optimality conditions (2.11),

    -⟨δF/δp(p₁) - δF/δp(p₂), p₁ - p₂⟩ = ½ ∫∫ (p₁ + p₂) |∇φ₁ - ∇φ₂|² dx ds   at the end and over the step:

the right-hand side is ≥ 0, the left-hand side is < 0 for a strictly convex F unless the ends agree, and so
there is one solution. Here it is exact for nodal data. Potentials have the sign φ = +δE/δρ at the end; with
slabs k = 1..S of length δ, nodal volumes m_i and edge coefficients κ_ij the step is the saddle point of

    L = E(ρ^S) - Σ_k [ Σ_i m_i (ρ_i^k - ρ_i^{k-1}) φ_i^k + δ Σ_{i,j} κ_ij ρ̄_i^k h(φ_i^k - φ_j^k) ]

with ρ̄^k = (1-a)ρ^{k-1} + aρ^k, a = ½ (a = 1 for S = 1). The sum over i, j counts both directions of each
edge; h(D) = ¼D² for the flux "average" (then an edge has ½ κ_ij ρ̄_ij (φ_i - φ_j)² with the mean
ρ̄_ij = ½(ρ̄_i + ρ̄_j)) and h(D) = ½ max(D, 0)² for "upwind".

L is affine in ρ but for E, and concave in φ. Write dρ = ρ₁ - ρ₂ and so on, let c^k = -∂L/∂φ^k be the defects
of the continuity equation and r^k = ∂L/∂ρ^k (divided by m) those of the Hamilton–Jacobi equation. Summing
dc^k dφ^k + m dr^k dρ^k over k the time terms telescope, and what remains of the edges are the distances
b(D, D') = h(D') - h(D) - h'(D)(D' - D) ≥ 0 of the convex h:

    -Σ m dμ dρ^S = δ Σ_k Σ_{i,j} κ_ij ( ρ̄₁,i b(D₁, D₂) + ρ̄₂,i b(D₂, D₁) ) - (defects),
    (defects)    = Σ_k dc^k·dφ^k + Σ_k m dr^k·dρ^k + m dr⁰·dρ⁰,

where D = φ_i - φ_j, and b = ¼(D₁ - D₂)² for the average: ½ κ_ij (ρ̄₁,ij + ρ̄₂,ij)(D₁ - D₂)² for an edge.
r⁰ is the derivative by the initial density, which candidates for the same step share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.errors import InputError

_Array = npt.NDArray[np.float64]

# h and its derivative by the name of the flux.
_FLUXES: dict[str, tuple[Callable[[_Array], _Array], Callable[[_Array], _Array]]] = {
    "average": (lambda D: 0.25 * D**2, lambda D: 0.5 * D),
    "upwind": (lambda D: 0.5 * np.maximum(D, 0.0) ** 2, lambda D: np.maximum(D, 0.0)),
}


@dataclass(frozen=True, eq=False)
class Candidate:
    """Nodal densities and potentials that may solve a step.

    Args:
        densities: ρ^k for k = 0..S, shape (S + 1, nodes).
        potentials: φ^k for k = 1..S, shape (S, nodes).
        terminal: δE/δρ at ρ^S, shape (nodes,).

    Raises:
        InputError: Shapes that do not fit.
    """

    densities: _Array
    potentials: _Array
    terminal: _Array

    def __post_init__(self) -> None:
        slabs, nodes = np.shape(self.potentials)
        shapes = (np.shape(self.densities), np.shape(self.terminal))
        if slabs < 1 or shapes != ((slabs + 1, nodes), (nodes,)):
            raise InputError(
                "A candidate needs densities of shape (slabs + 1, nodes), potentials of shape (slabs, nodes) "
                f"and end potentials of shape (nodes,), not {shapes[0]}, {(slabs, nodes)} and {shapes[1]}."
            )


@dataclass(frozen=True)
class LasryLions:
    """Both sides of the identity, left = right - continuity - hamilton_jacobi - initial up to rounding.

    All are in units of energy.

    Attributes:
        left: -⟨δE/δρ(ρ₁) - δE/δρ(ρ₂), ρ₁ - ρ₂⟩ at the end; ≤ 0 for convex energies.
        right: ½ ∫∫ (ρ₁ + ρ₂)|∇φ₁ - ∇φ₂|², or what the upwind flux has in its place; ≥ 0.
        continuity: Σ_k dc^k·dφ^k, from defects of the continuity equation.
        hamilton_jacobi: Σ_k m dr^k·dρ^k, from defects of the Hamilton–Jacobi equation and its end. Where
            densities are held at zero the conditions r ≥ 0 and rρ = 0 make it -Σ m (r₁ρ₂ + r₂ρ₁) ≤ 0, and the
            conclusion is the same.
        initial: m dr⁰·dρ⁰, which is zero for the same initial density.
        scale: The sum of the absolute values of all that was added up, to compare rounding with.
    """

    left: float
    right: float
    continuity: float
    hamilton_jacobi: float
    initial: float
    scale: float

    @property
    def defect(self) -> float:
        """How far the candidates are from solutions of the same step, as the identity sees it."""
        return self.continuity + self.hamilton_jacobi + self.initial

    @property
    def rounding(self) -> float:
        """|left - right + defect| over the scale: of the order of the machine precision."""
        return abs(self.left - self.right + self.defect) / self.scale if self.scale > 0.0 else 0.0


def lasry_lions(
    first: Candidate,
    second: Candidate,
    volumes: _Array,
    pairs: npt.NDArray[np.integer],
    kappa: _Array,
    delta: float,
    flux: str = "average",
    comm: MPI.Comm = MPI.COMM_SELF,
) -> LasryLions:
    """Evaluate the identity. Collective.

    Args:
        first: ρ₁, φ₁ and its end.
        second: ρ₂, φ₂ and its end.
        volumes: m_i of the nodes that this rank owns, which come first among its nodes, shape (owned,).
        pairs: i, j of the edges that this rank owns, shape (edges, 2).
        kappa: κ_ij, shape (edges,).
        delta: The length δ of a slab.
        flux: "average" or "upwind".
        comm: The ranks that share the mesh.

    Raises:
        InputError: Candidates with different numbers of slabs or nodes, or an unknown flux.
    """
    if flux not in _FLUXES:
        raise InputError(f"The flux must be one of {', '.join(_FLUXES)}, not {flux!r}.")
    if first.potentials.shape != second.potentials.shape:
        raise InputError(
            f"The candidates must have the same slabs and nodes, not {first.potentials.shape} and "
            f"{second.potentials.shape}."
        )
    slabs = len(first.potentials)
    new = 1.0 if slabs == 1 else 0.5
    h, slope = _FLUXES[flux]

    def at_nodes(values: _Array, others: _Array) -> _Array:
        """Σ m values·others over this rank's nodes, for each slab."""
        owned = len(volumes)
        return (values[..., :owned] * others[..., :owned]) @ volumes

    density = first.densities - second.densities
    potential = first.potentials - second.potentials
    means = [(1.0 - new) * c.densities[:-1] + new * c.densities[1:] for c in (first, second)]
    # Of the edges: the action, what continuity and what Hamilton–Jacobi (by ρ^k and by ρ^{k-1}) see of them.
    action = transport = kinetic_new = kinetic_old = 0.0
    for i, j in (pairs.T, pairs.T[::-1]):
        D1, D2 = (c.potentials[:, i] - c.potentials[:, j] for c in (first, second))
        rho1, rho2 = (mean[:, i] for mean in means)
        slope1, slope2, drop = slope(D1), slope(D2), h(D1) - h(D2)
        gap = D1 - D2
        action += delta * (rho1 * (slope1 * gap - drop) + rho2 * (drop - slope2 * gap)) @ kappa
        transport += delta * ((rho1 * slope1 - rho2 * slope2) * gap) @ kappa
        kinetic_new += delta * (new * density[1:, i] * drop) @ kappa
        kinetic_old += delta * ((1.0 - new) * density[:-1, i] * drop) @ kappa
    motion = at_nodes(density[1:] - density[:-1], potential)
    left = -at_nodes(first.terminal - second.terminal, density[-1])
    # ∂L/∂ρ^k against dρ^k: -φ^k + φ^{k+1} in time, and the end in place of φ^{S+1}.
    coming = at_nodes(potential, density[1:])
    going = np.append(at_nodes(potential[1:], density[1:-1]), -left)
    start = at_nodes(potential[0], density[0])
    parts = (motion, action, transport, going, coming, kinetic_new, kinetic_old, start)
    sums = np.array(
        [
            left,
            action.sum(),
            (motion + transport).sum(),
            (going - coming - kinetic_new).sum() - kinetic_old[1:].sum(),
            start - kinetic_old[0],
            sum(np.abs(part).sum() for part in parts),
        ]
    )
    return LasryLions(*comm.allreduce(sums).tolist())
