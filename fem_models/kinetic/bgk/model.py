"""Kinetic equations with density-dependent collisions as a model, see `fem_models.core.protocols.Model`.

Evans, Morris and Yoldaş, (1.2) and (1.5) in the diffusive scaling. Everything is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.core.checks import positive
from fem_models.core.errors import InputError
from fem_models.core.protocols import Expectation, Packed, Record, Row
from fem_models.kinetic.bgk.bounds import Bounds
from fem_models.kinetic.bgk.extremes import Extremes
from fem_models.kinetic.bgk.fields import KineticFields
from fem_models.kinetic.bgk.modes import Collisions, HermiteModes
from fem_models.kinetic.bgk.perturbed import PerturbedNorm
from fem_models.kinetic.bgk.rates import CollisionRate
from fem_models.kinetic.bgk.space import KineticSpace
from fem_models.kinetic.bgk.state import KineticState

_Array = npt.NDArray[np.float64]


class KineticModel:
    """∂t f + ε⁻¹ v·∇f = ε⁻² λ(ρ) C(f) on a torus, with C(f) = ρM - f or div_v(∇_v f + v f). Collective.

    Args:
        mesh: Of intervals, triangles or tetrahedra, without a boundary.
        rate: λ: α for ρ^α, or an expression in rho, as a text.
        epsilon: ε > 0, the mean free path.
        modes: p, odd: the largest degree of the Hermite modes in velocity.
        degree: 1 or 2, of the even modes in x; odd ones have one less.
        collisions: "relaxation" for (1.2), "fokker-planck" for (1.5).
        bounds: A, for which A⁻¹ ≤ f/M ≤ A is kept at the Gauss–Hermite nodes (Theorem 2.1), with degree 1
            and a tensor product of modes; None to leave f as it is.

    Raises:
        InputError: ε or A out of range, an even p, bounds with degree 2, or a mesh with a boundary.

    Attributes:
        space: The discrete modes.
        bounds: A of the bounds that are kept, or None.
        spread: A of the perturbed norm (4.6): A⁻¹ ≤ ρ ≤ A; that of the bounds, or what `spread_of` gives for
            the initial density.
    """

    expectations: ClassVar[Mapping[str, Expectation]] = {
        "mass": Expectation("conserved", "The mass"),
        "norm2_f": Expectation("falling", "The square of the norm of f"),
    }

    def __init__(
        self,
        mesh: Mesh,
        rate: float | str | CollisionRate = 1.0,
        epsilon: float = 0.1,
        modes: int = 3,
        degree: int = 1,
        collisions: Collisions = "relaxation",
        bounds: float | None = None,
    ) -> None:
        self.epsilon = positive(epsilon, "epsilon")
        if degree not in (1, 2):
            raise InputError(f"degree must be 1 or 2, not {degree!r}.")
        if bounds is not None and degree != 1:
            raise InputError("bounds go with degree = 1 only; remove them or set degree = 1.")
        self.rate = rate if isinstance(rate, CollisionRate) else CollisionRate(rate)
        self.collisions: Collisions = collisions
        found = HermiteModes(mesh.topology.dim, modes, tensor=bounds is not None)
        self._set_up(mesh, found, degree)
        self.bounds = bounds
        self._projection = None if bounds is None else Bounds(self.space, bounds)
        self.spread = 1.0 if bounds is None else bounds

    def _set_up(self, mesh: Mesh, modes: HermiteModes, degree: int) -> None:
        self.space = KineticSpace(mesh, modes, degree)
        self.comm = self.space.comm
        self.damping = modes.damping(self.collisions)
        self._extremes = Extremes(self.space)
        self._fields = KineticFields(self.space)
        self._perturbed = PerturbedNorm(self.space)
        topology = mesh.topology
        self.keys = np.asarray(
            topology.original_cell_index[: topology.index_map(topology.dim).size_local], dtype=np.int64
        )

    # What schemes ask

    def mass(self, state: KineticState) -> float:
        """∫ρ. Collective.

        Args:
            state: The state.

        Returns:
            The mass.
        """
        owned = self.space.owned
        return self.space.sum(float(self.space.node_masses[:owned] @ state.even[:owned, 0]))

    def product(self, one: KineticState, other: KineticState) -> float:
        """The scalar product ∫∫ f g / M of L²(M⁻¹). Collective.

        Args:
            one: f.
            other: g.

        Returns:
            The product.
        """
        space = self.space
        even = space.even_product(one.even, other.even)
        return float(even.sum() + space.odd_product(one.odd, other.odd).sum())

    def dissipation(self, state: KineticState, rates: tuple[_Array, _Array]) -> float:
        """D = ε⁻² Σ s_n (λ* h_n, h_n) of d‖f‖²/dt = -2D, (4.4). Collective.

        Args:
            state: The state.
            rates: λ* at the points of the rule for masses and at those for odd modes.

        Returns:
            D ≥ 0.
        """
        space, (even, odd) = self.space, self.damping
        found = even @ space.even_product(state.even, state.even, rates[0])
        found += odd @ space.odd_product(state.odd, state.odd, rates[1])
        return float(found) / self.epsilon**2

    def densities(self, state: KineticState) -> tuple[_Array, _Array]:
        """ρ at the points of the rule for masses and at those for odd modes.

        Args:
            state: The state.

        Returns:
            Shape (cells, points) each.
        """
        return self.space.at_mass_points(state.even[:, 0]), self.space.at_points(state.even[:, 0])

    def rate_problem(self, densities: tuple[_Array, ...]) -> str:
        """What is wrong with densities for which there must be a rate. Collective.

        Args:
            densities: Of any shapes.

        Returns:
            A part of a sentence, the same on all ranks; empty where nothing is.
        """
        problem = next((words for density in densities if (words := self.rate.problem(density))), "")
        if not self.comm.allreduce(bool(problem), op=MPI.LOR):
            return ""
        return next(words for words in self.comm.allgather(problem) if words)

    def averaged(self, rates: tuple[_Array, ...]) -> tuple[_Array, _Array]:
        """Rates as the discretisation has them: with degree 1 one for each cell, the mean over its vertices.

        Args:
            rates: Shape (cells, points) each.

        Returns:
            The same shapes.
        """
        if self.space.degree == 2:
            return rates[0], rates[1]
        mean = rates[0].mean(axis=1, keepdims=True)
        return np.repeat(mean, rates[0].shape[1], axis=1), mean

    def bounded(self, state: KineticState) -> KineticState:
        """The state within the bounds, where there are any, with what that took of ‖f‖². Collective.

        Args:
            state: The state.

        Returns:
            The nearest state within them that the projection knows.
        """
        if self._projection is None:
            return state
        before = self.product(state, state)
        even, odd = self._projection.projected(state)
        new = replace(state, even=even, odd=odd)
        return replace(new, loss=(before - self.product(new, new)) / before)

    def spread_of(self, state: KineticState) -> float:
        """The least A with A⁻¹ ≤ ρ ≤ A at the nodes. Collective.

        Args:
            state: The state.

        Returns:
            A; 1 where a density is not positive.
        """
        least, most = self._extremes.of_density(state)
        return max(most, 1.0 / least) if least > 0.0 else 1.0

    # The model's protocol

    def observables(self, state: KineticState) -> Row:
        """Mass, norms, the residual of the discrete identity, and extrema of f/M.

        The contract's extrema are at the Gauss–Hermite nodes; those of the grid are between these nodes.

        Args:
            state: The state.

        Returns:
            By the names of the columns of series.csv.
        """
        space = self.space
        even, odd = space.even_product(state.even, state.even), space.odd_product(state.odd, state.odd)
        deviation = float(even[1:].sum() + odd.sum())
        norm = float(even[0]) + deviation
        nodes, grid = self._extremes.at_nodes(state), self._extremes.on_grid(state)
        return {
            "mass": self.mass(state),
            "norm2_f": norm,
            "norm2_deviation": deviation,
            "identity_residual": state.residual,
            "perturbed_norm": norm + self.epsilon / self.perturbation() * self._perturbed(state),
            "min_f_over_M": nodes[0],
            "max_f_over_M": nodes[1],
            "min_f_over_M_grid": grid[0],
            "max_f_over_M_grid": grid[1],
            "loss_by_projection": state.loss,
        }

    def perturbation(self) -> float:
        """CΛ(1 + Λ²), which divides the perturbation of the norm in (4.6): C = 3, and Λ is `rate_level`."""
        level = self.rate_level()
        return PerturbedNorm.CONSTANT * level * (1.0 + level**2)

    def rate_level(self) -> float:
        """The largest of λ and 1/λ for densities from A⁻¹ to A: A^|α| for a power, A^α in the paper's
        (4.6).
        """
        densities = np.geomspace(1.0 / self.spread, self.spread, 101)
        rates = self.rate(densities)
        return float(max(rates.max(), 1.0 / rates.min()))

    def functions(self, state: KineticState) -> Mapping[str, fem.Function]:
        """ρ, j and E of (2.2), discontinuous, so that cells across the seam of the torus are whole.

        Args:
            state: The state.

        Returns:
            Functions by name.
        """
        return self._fields(state)

    def change(self, old: KineticState, new: KineticState) -> float:
        """The norm of the difference relative to that of the new state. Collective.

        Args:
            old: One state.
            new: The other.

        Returns:
            The size, dimensionless.
        """
        change = KineticState(*new.combined(1.0, -1.0, old))
        return math.sqrt(self.product(change, change) / self.product(new, new))

    def facts(self) -> dict[str, Any]:
        """Numbers of cells and unknowns, and what is told of the mesh."""
        space = self.space
        topology = space.mesh.topology
        cells = topology.index_map(topology.dim).size_global
        least, most = space.edge_range()
        vertices = topology.index_map(0).size_global
        return {
            "cells": cells,
            "dofs": self.unknowns,
            "modes": len(space.modes),
            "mesh": {"cells": cells, "vertices": vertices, "h_min": least, "h_max": most},
        }

    @property
    def unknowns(self) -> int:
        """The number of values that make up a state."""
        space = self.space
        cells = space.mesh.topology.index_map(space.mesh.topology.dim).size_global
        even = space.nodes.dofmap.index_map.size_global * len(space.modes.even)
        return even + cells * len(space.weights) * len(space.modes.odd)

    def description(self) -> str:
        """A line for the log on what it is discretised with."""
        facts, modes = self.facts(), self.space.modes
        mesh, kind = facts["mesh"], "tensor" if modes.tensor else "total"
        return (
            f"mesh: {facts['cells']} cells, edges from {mesh['h_min']:.3g} to {mesh['h_max']:.3g}; "
            f"{len(modes)} Hermite modes of {kind} degree {modes.degree}, even ones in P{self.space.degree}, "
            f"odd ones in DG{self.space.degree - 1}"
        )

    def findings(self, record: Record, state: KineticState) -> dict[str, Any]:
        """What summary.json says of a run.

        Args:
            record: Of the observables.
            state: The last state.

        Returns:
            Mass, norms, the worst residual of the identity, and the extrema of f/M.
        """
        first, last = record.first, record.last
        return {
            "mass": {"initial": first["mass"], "final": last["mass"], "drift": record.drift("mass")},
            "norm2_f": {
                "initial": first["norm2_f"],
                "final": last["norm2_f"],
                "max_increase": record.increase("norm2_f"),
            },
            "perturbed_norm": {"max_increase": record.increase("perturbed_norm")},
            "identity_residual": record.most("identity_residual"),
            "f_over_M": {"min": record.least("min_f_over_M"), "max": record.most("max_f_over_M")},
            "loss_by_projection": record.most("loss_by_projection"),
        }

    def pack(self, state: KineticState) -> Packed:
        """The modes by cells, in which nodes occur once for each of their cells.

        Args:
            state: The state.

        Returns:
            "even" and "odd", one row for each cell of this rank.
        """
        cells = self.space.cells
        return {
            "even": state.even[cells].reshape(len(cells), -1),
            "odd": state.odd.reshape(len(cells), -1).copy(),
        }

    def unpack(self, packed: Packed) -> KineticState:
        """The state that is made up of values.

        Args:
            packed: As `pack` returns them.

        Returns:
            The state.
        """
        space, modes = self.space, self.space.modes
        even = np.zeros((space.node_count, len(modes.even)))
        even[space.cells] = packed["even"].reshape(*space.cells.shape, len(modes.even))
        odd = packed["odd"].reshape(len(space.cells), len(space.weights), len(modes.odd)).copy()
        return KineticState(space.with_ghosts(even[: space.owned]), odd)


class DiffusiveLimit(KineticModel):
    """The limit ε → 0 in the same discretisation: ∂tρ = div(λ(ρ)⁻¹ ∇ρ), (1.3). Collective.

    Its only even mode is ρ; odd modes are ε times the flux, and vanish.

    Args:
        mesh: As for `KineticModel`.
        rate: λ likewise.
        degree: Likewise.
    """

    def __init__(self, mesh: Mesh, rate: float | str | CollisionRate = 1.0, degree: int = 1) -> None:
        super().__init__(mesh, rate, 1.0, 1, degree)
        self.epsilon = 0.0

    def dissipation(self, state: KineticState, rates: tuple[_Array, _Array]) -> float:
        """D = ∫ |∇ρ|²/λ* of d‖ρ‖²/dt = -2D. Collective.

        Args:
            state: The state.
            rates: As for `KineticModel`.

        Returns:
            D ≥ 0.
        """
        slopes = self.space.slopes(state.even)
        return float(self.space.odd_product(slopes, slopes, 1.0 / rates[1]).sum())
