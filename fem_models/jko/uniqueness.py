"""The Lasry–Lions identity between two candidates for a step (Bruna, Burger and Carrillo, section 2.4).

For two solutions of the optimality conditions (2.11), ∂s p + div(p∇φ) = 0 and ∂s φ + ½|∇φ|² = 0 with p given
at the beginning and φ = -δF/δp at the end,

    -⟨δF/δp(p₁) - δF/δp(p₂), p₁ - p₂⟩ = ½ ∫∫ (p₁ + p₂) |∇φ₁ - ∇φ₂|² dx ds   at the end and over the step:

the right-hand side is ≥ 0, the left-hand side is < 0 for a strictly convex F unless the ends agree, and so
there is one solution. Here it is exact for nodal data. Potentials have the sign φ = +δE/δρ at the end; with
slabs k = 1..S of length δ, nodal volumes m_i and a mobility a(ρ; φ), linear in ρ and convex in φ, the step is
the saddle point of

    L = E(ρ^S) - Σ_k [ Σ_i m_i (ρ_i^k - ρ_i^{k-1}) φ_i^k + (δ/2) a(ρ̄^k; φ^k) ],   ρ̄^k = (1-α) ρ^{k-1} + α ρ^k

(see `fem_models.jko.paths`). L is affine in ρ but for E, and concave in φ. Write dρ = ρ₁ - ρ₂ and
so on, let c^k = -∂L/∂φ^k be the defects of the continuity equation and r^k = ∂L/∂ρ^k (divided by m) those
of the Hamilton–Jacobi equation. Summing dc^k dφ^k + m dr^k dρ^k over k the time terms telescope, and what
remains of the action are distances b(ρ; φ, φ') = a(ρ; φ') - a(ρ; φ) - ∂a/∂φ·(φ' - φ) ≥ 0:

    -Σ m dμ dρ^S = (δ/2) Σ_k [ b(ρ̄₁; φ₁, φ₂) + b(ρ̄₂; φ₂, φ₁) ] - (defects),
    (defects)    = Σ_k dc^k·dφ^k + Σ_k m dr^k·dρ^k + m dr⁰·dρ⁰.

With the mobility "average", which is quadratic in φ, the first sum is ½ δ Σ_k a(ρ̄₁ + ρ̄₂; φ₁ - φ₂). r⁰ is the
derivative by the initial density, which candidates for the same step share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.nodal.mobilities import Mobility

_Array = npt.NDArray[np.float64]


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
    mobility: Mobility,
    delta: float,
    comm: MPI.Comm,
    weight: float | None = None,
) -> LasryLions:
    """Evaluate the identity. Collective.

    Args:
        first: ρ₁, φ₁ and its end, at the nodes of this rank and its ghosts.
        second: ρ₂, φ₂ and its end.
        volumes: m_i of the nodes that this rank owns, which come first among its nodes, shape (owned,).
        mobility: The mobility of the step.
        delta: The length δ of a slab.
        comm: The ranks that share the mesh.
        weight: α; 1 for one slab and ½ for more by default.

    Returns:
        Both sides and the defects, the same on all ranks.

    Raises:
        InputError: Candidates with different numbers of slabs or nodes.
    """
    if first.potentials.shape != second.potentials.shape:
        raise InputError(
            f"The candidates must have the same slabs and nodes, not {first.potentials.shape} and "
            f"{second.potentials.shape}."
        )
    new = (1.0 if len(first.potentials) == 1 else 0.5) if weight is None else weight
    sums = _local_sums(first, second, volumes, mobility, delta, new)
    return LasryLions(*comm.allreduce(sums).tolist())


def _local_sums(
    first: Candidate, second: Candidate, volumes: _Array, mobility: Mobility, delta: float, new: float
) -> _Array:
    """This rank's shares of the numbers of `LasryLions`, with the weight α = `new`."""
    owned = len(volumes)

    def at_nodes(values: _Array, others: _Array) -> _Array:
        """Σ m values·others over this rank's nodes, for each slab."""
        return (values[..., :owned] * others[..., :owned]) @ volumes

    def dot(values: _Array, others: _Array) -> _Array:
        """Sums over the nodes of this rank and its ghosts, of which sums of the mobility are shares."""
        return np.einsum("...i,...i->...", values, others)

    density = first.densities - second.densities
    potential = first.potentials - second.potentials
    means = [(1.0 - new) * c.densities[:-1] + new * c.densities[1:] for c in (first, second)]
    # ½ ∂a/∂φ and ∂a/∂ρ; a is linear in ρ, and so it is ρ·∂a/∂ρ.
    (fluxes1, squares1), (fluxes2, squares2) = (
        [part.T for part in mobility.sums(*(np.ascontiguousarray(v.T) for v in (mean, c.potentials)))]
        for mean, c in zip(means, (first, second), strict=True)
    )
    drop = squares1 - squares2
    # What the distances, the continuity and the Hamilton–Jacobi equation (by ρ^k and by ρ^{k-1}) see of a.
    action = delta * (dot(fluxes1 - fluxes2, potential) - 0.5 * dot(means[0] - means[1], drop))
    transport = delta * dot(fluxes1 - fluxes2, potential)
    kinetic_new = 0.5 * delta * new * dot(density[1:], drop)
    kinetic_old = 0.5 * delta * (1.0 - new) * dot(density[:-1], drop)
    motion = at_nodes(density[1:] - density[:-1], potential)
    left = -at_nodes(first.terminal - second.terminal, density[-1])
    # ∂L/∂ρ^k against dρ^k: -φ^k + φ^{k+1} in time, and the end in place of φ^{S+1}.
    coming = at_nodes(potential, density[1:])
    going = np.append(at_nodes(potential[1:], density[1:-1]), -left)
    start = at_nodes(potential[0], density[0])
    parts = (motion, action, transport, going, coming, kinetic_new, kinetic_old, start)
    return np.array(
        [
            left,
            action.sum(),
            (motion + transport).sum(),
            (going - coming - kinetic_new).sum() - kinetic_old[1:].sum(),
            start - kinetic_old[0],
            sum(np.abs(part).sum() for part in parts),
        ]
    )
