"""Gradient flows: species, each a field with its metric, and one free energy.

    ∂tρ_s = div(ρ_s ∇ δE/δρ_s)   (Wasserstein)        ∂tc_s = -δE/δc_s   (L²)        0 = δE/δψ_s   (static)

(Matthes, on compound metrics for chemotaxis; Bruna, Burger and Carrillo, equation (4.1)). A static field
makes the energy stationary at every moment, as the electrostatic potential does (Kinderlehrer, Monsaingeon
and Xu, (1.2)). A flow knows its energy at nodal values on a mesh, E_h = Σ_i m_i e(ρ_i, x_i) with P1 Dirichlet
energies and discrete convolutions, and all that follows from it, and neither a time step nor a solver.
Everything is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem, la
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.energies import Energy, Term
from fem_models.linalg.garbage import collect
from fem_models.nodal import fluxes
from fem_models.nodal.couplings import Couplings, boundary_weights, region_rim
from fem_models.nodal.edges import EdgeGeometry, Lumping
from fem_models.nodal.nodal_energy import NodalEnergy

State = npt.NDArray[np.float64]
"""Nodal values, shape (nodes of this rank with its ghosts, species); ghost rows are up to date."""

METRICS = ("wasserstein", "l2", "static")


@dataclass(frozen=True)
class Species:
    """A field and its metric: "wasserstein" (a density, mobility ρ), "l2", or "static" (in equilibrium)."""

    name: str = "rho"
    metric: Literal["wasserstein", "l2", "static"] = "wasserstein"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise InputError(
                f"The metric of {self.name} must be one of {', '.join(METRICS)}, not {self.metric!r}."
            )


class GradientFlow:
    """The gradient flow of an energy on a mesh, discretised with P1 and lumped masses. Collective.

    Args:
        mesh: The mesh of simplices.
        species: The fields.
        energy: A sum of terms.
        cells: Local cells (ghosts included) of the part of the mesh where densities live; all by default.
            Elsewhere only the Dirichlet energies of other fields act.
        fixed: Given values of static fields: by name, nodes (ghosts included) and the value at each.
        lumping: Which nodal volumes there are in 3D, see `EdgeGeometry`.

    Attributes:
        mesh: The mesh of simplices.
        species: The species; `names` are their names.
        terms: The energy, a sum of named terms.
        space: The scalar P1 space of each species.
        x: The coordinates, as UFL.
        cells: Local cells of the part of the mesh where densities live; None for all.
        geometry: Edges, their coefficients, and the nodal volumes m_i.
        couplings: The parts of the energy that couple nodes.
        transported, relaxed, static: Which species have which metric: Wasserstein, L², none; shape
            (species,).
        fixed: Nodes and values of static fields that are given, by the column of the field.

    Raises:
        InputError: Two species with one name, a term of an unknown species, or a part of an energy that does
            not go with the metric of its species.
    """

    def __init__(
        self,
        mesh: Mesh,
        species: Species | Sequence[Species],
        energy: Energy | Term,
        cells: npt.NDArray[np.int32] | None = None,
        fixed: Mapping[str, tuple[npt.NDArray[np.int32], npt.ArrayLike]] | None = None,
        lumping: Lumping = "voronoi",
    ) -> None:
        collect(mesh)
        self.mesh = mesh
        self.comm: MPI.Comm = mesh.comm
        self.species = (species,) if isinstance(species, Species) else tuple(species)
        self.names = tuple(s.name for s in self.species)
        self.terms = energy if isinstance(energy, Energy) else Energy((energy,))
        self.x = ufl.SpatialCoordinate(mesh)
        self._check()
        self.space = fem.functionspace(mesh, ("Lagrange", 1))
        self.geometry = EdgeGeometry(self.space, cells, lumping)
        self.owned = self.space.dofmap.index_map.size_local
        self.nodes = self.owned + self.space.dofmap.index_map.num_ghosts
        self.transported, self.relaxed, self.static = (
            np.array([s.metric == metric for s in self.species]) for metric in METRICS
        )
        self.cells = cells
        self.couplings = Couplings(self.space, self.names, tuple(self.terms), self.geometry.volumes)
        self.fixed = {
            self.names.index(name): (nodes, np.broadcast_to(np.asarray(values, dtype=float), len(nodes)))
            for name, (nodes, values) in (fixed or {}).items()
        }
        self._local = NodalEnergy(self.space, self.names, tuple(self.terms))

    def _check(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise InputError(
                f"The species {', '.join(self.names)} need names of their own: two are the same."
            )
        for term in self.terms:
            for name in term.of:
                if name not in self.names:
                    raise InputError(
                        f"The energy term {term.name} is of {name!r}, which is not a species: "
                        f"they are {', '.join(self.names)}."
                    )
            metrics = {s.name: s.metric for s in self.species}
            for name in term.entropy:
                if metrics[name] != "wasserstein":
                    raise InputError(
                        f"The entropy {term.name} needs the Wasserstein metric, but that of {name} is "
                        f"{metrics[name]}."
                    )
            for name in term.stiffness(self.x):
                if metrics[name] == "wasserstein":
                    raise InputError(
                        f"The Dirichlet energy {term.name} needs a field of the L² metric or a static one, "
                        f"but {name} is a density (its flow would be of fourth order)."
                    )

    # States

    def state(
        self,
        initial: Mapping[str, float | Callable[[npt.NDArray[np.float64]], npt.ArrayLike]]
        | Callable[[npt.NDArray[np.float64]], npt.ArrayLike],
        masses: Mapping[str, float] | float | None = None,
    ) -> State:
        """Nodal values of initial densities, scaled to the masses that are given.

        Args:
            initial: By species, a number or a function of the coordinates, shape (dim, n), with n values. For
                a single species the function alone will do.
            masses: By species, the mass Σ_i m_i ρ_i to scale to; a number for a single species; None to leave
                the values as they are.

        Raises:
            InputError: Values that are not finite, a density that is negative or zero everywhere, or a mass
                that is not positive. All ranks raise it.
        """
        if not isinstance(initial, Mapping):
            initial = {self.names[0]: initial}
        if masses is not None and not isinstance(masses, Mapping):
            masses = {self.names[0]: masses}
        points = self.points.T
        state = np.empty((self.nodes, len(self.names)))
        for s, species in enumerate(self.species):
            # A static field follows from the others, and needs no initial value.
            given = initial.get(species.name, 0.0) if self.static[s] else initial[species.name]
            values = given(points) if callable(given) else given
            state[:, s] = np.broadcast_to(np.asarray(values, dtype=float), (self.nodes,))
            self._check_initial(species, state[:, s])
            if self.transported[s]:
                state[~self.inside, s] = 0.0
            for column, (nodes, fixed_values) in self.fixed.items():
                state[nodes, column] = fixed_values
            if masses is not None and species.name in masses:
                mass = masses[species.name]
                if not 0.0 < mass < math.inf:
                    raise InputError(f"The mass of {species.name} must be positive, not {mass!r}.")
                state[:, s] *= mass / self._sum(self.geometry.volumes * state[:, s])
        return state

    def _check_initial(self, species: Species, values: npt.NDArray[np.float64]) -> None:
        """Refuse values that are no density; the same on all ranks."""
        name = species.name
        facts = [np.isfinite(values).all(), not (values < 0.0).any(), not (values > 0.0).any()]
        finite, positive, zero = self.reduce(np.array(facts, dtype=float), MPI.MIN)
        if not finite:
            raise InputError(
                f"The initial {name} is not finite everywhere on the mesh: check its expression there."
            )
        if species.metric != "wasserstein":
            return
        if not positive:
            least = self.comm.allreduce(float(values.min(initial=math.inf)), op=MPI.MIN)
            raise InputError(
                f"The initial {name} is negative, its minimum is {least:.3g}: a density must be zero or more."
            )
        if zero:
            raise InputError(
                f"The initial {name} is zero at every vertex of the mesh: it has no mass to scale or to move."
            )

    @cached_property
    def inside(self) -> npt.NDArray[np.bool_]:
        """The nodes where densities live, shape (nodes,)."""
        return self.geometry.volumes > 0.0

    @cached_property
    def points(self) -> npt.NDArray[np.float64]:
        """Coordinates of the nodes, shape (nodes, dim)."""
        return self.space.tabulate_dof_coordinates()[:, : self.mesh.geometry.dim]

    def functions(self, state: State) -> dict[str, fem.Function]:
        """The densities as new P1 functions, by species."""
        found = {}
        for s, name in enumerate(self.names):
            found[name] = fem.Function(self.space, name=name)
            found[name].x.array[:] = state[:, s]
        return found

    def vector(self) -> la.Vector:
        """A new vector in the layout of a state, to scatter values to ghosts and back."""
        return la.vector(self.space.dofmap.index_map, bs=len(self.names))

    # Energy and potentials

    def energy_terms(self, state: State) -> dict[str, float]:
        """The energy of each term. Collective, as are the other functions of a state below."""
        values = self._local.densities(state)[: self.owned]
        local = self.geometry.volumes[: self.owned] @ values + self.couplings.energies(state)
        sums = self.comm.allreduce(local)
        return {term.name: float(value) for term, value in zip(self.terms, sums, strict=True)}

    def energy(self, state: State) -> float:
        """The energy E_h, the sum of its terms."""
        return math.fsum(self.energy_terms(state).values())

    def smooth_potentials(self, state: State) -> State:
        """The potentials ψ = δE/δρ - θ (log ρ + 1) at the nodes, without entropies and Dirichlet energies.

        Shape (nodes, species).
        """
        psi = self._local.potentials(state)
        if self.couplings.interacts:
            psi += self.couplings.interactions(state)
        return psi

    def potentials(self, state: State) -> State:
        """The potentials δE/δρ = θ (log ρ + 1) + ψ at the nodes, shape (nodes, species).

        They are -∞ in vacuum where θ > 0.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.where(self.theta > 0.0, self.theta * (np.log(state) + 1.0), 0.0)
        volumes = np.where(self.inside, self.geometry.volumes, math.inf)
        return self.smooth_potentials(state) + entropy + self.couplings.tension(state) / volumes[:, None]

    @property
    def external_potentials(self) -> State:
        """The part of the potentials that depends on no field, at the nodes: shape (nodes, species)."""
        return self._local.static_potentials

    def hessian(self, state: State) -> npt.NDArray[np.float64]:
        """The derivatives ∂ψ_s/∂ρ_t at the nodes, shape (nodes, species, species)."""
        return self._local.hessian(state)

    def dissipation(self, state: State) -> float:
        """The dissipation D ≥ 0 of dE/dt = -D: Σ_s ∫ρ_s|∇μ_s|² (Wasserstein) + ∫μ_s² (L²).

        The sum of κ_ij F_ij (μ_i - μ_j) over edges with upwind fluxes: a step of the upwind backward Euler
        scheme lowers the energy by at least τ D at its end. Entropies are kept finite in vacuum; energies
        with m < 1 have infinite dissipation there.
        """
        psi = self.smooth_potentials(state)
        edges = self.geometry
        local = fluxes.dissipation(self.theta, self.transported, edges.pairs, edges.kappa, state, psi)
        local = local if math.isfinite(local) else math.inf
        if self.relaxed.any():
            squares = (self.potentials(state)[: self.owned, self.relaxed] ** 2).sum(axis=1)
            local += float(edges.volumes[: self.owned] @ squares)
        return float(self.comm.allreduce(local))

    @cached_property
    def theta(self) -> npt.NDArray[np.float64]:
        """The entropy coefficient θ of each species, shape (species,)."""
        theta = np.zeros(len(self.names))
        for term in self.terms:
            for name, coefficient in term.entropy.items():
                theta[self.names.index(name)] += coefficient
        return theta

    # Integrals and extrema

    def masses(self, state: State) -> dict[str, float]:
        """The mass Σ_i m_i ρ_i of each species."""
        return self._by_name(self.comm.allreduce(self.geometry.volumes[: self.owned] @ state[: self.owned]))

    def with_masses_of(self, other: State, state: State) -> State:
        """The state with its Wasserstein species scaled to the masses that they have in another one."""
        wanted, found = (np.array(list(self.masses(u).values())) for u in (other, state))
        return state * np.where(self.transported, wanted / np.where(self.transported, found, 1.0), 1.0)

    @cached_property
    def volume(self) -> float:
        """The volume Σ_i m_i of the domain."""
        return self._sum(self.geometry.volumes)

    def second_moments(self, state: State) -> dict[str, float]:
        """The second moment Σ_i m_i |x_i|² ρ_i of each species about the origin."""
        weights = self.geometry.volumes * (self.points**2).sum(axis=1)
        return self._by_name(self.comm.allreduce(weights[: self.owned] @ state[: self.owned]))

    def scale(self, state: State) -> npt.NDArray[np.float64]:
        """The largest nodal value of each species, shape (species,)."""
        return self.reduce(state[: self.owned].max(axis=0, initial=-math.inf), MPI.MAX)

    def minima(self, state: State) -> dict[str, float]:
        """The least nodal value of each species, where densities live."""
        inside = state[: self.owned][self.inside[: self.owned]]
        return self._by_name(self.reduce(inside.min(axis=0, initial=math.inf), MPI.MIN))

    def maxima(self, state: State) -> dict[str, float]:
        """The largest nodal value of each species."""
        return self._by_name(self.scale(state))

    # Static fields

    @cached_property
    def free_constants(self) -> npt.NDArray[np.bool_]:
        """The static fields that are determined up to a constant only, shape (species,)."""
        count = len(self.names)
        curvature = self.hessian(np.ones((self.nodes, count)))[:, np.arange(count), np.arange(count)]
        curved = self.reduce(np.abs(curvature).max(axis=0, initial=0.0), MPI.MAX) > 0.0
        given = [
            self.comm.allreduce(len(self.fixed[s][0]) if s in self.fixed else 0) > 0 for s in range(count)
        ]
        return self.static & ~curved & ~np.array(given)

    def charges(self, state: State) -> npt.NDArray[np.float64]:
        """Σ_i m_i ∂e/∂ψ(ρ_i) for each static field ψ, and Σ_i m_i |∂e/∂ψ(ρ_i)|: shape (2, species)."""
        densities = self.smooth_potentials(state)[: self.owned] * self.static
        volumes = self.geometry.volumes[: self.owned]
        return self.comm.allreduce(np.array([volumes @ densities, volumes @ np.abs(densities)]))

    def gauged(self, state: State) -> State:
        """The state with mean zero over the boundary for static fields that have a free constant."""
        if not self.free_constants.any():
            return state
        weights = self._boundary_weights[: self.owned]
        sums = self.comm.allreduce(np.append(weights @ state[: self.owned], weights.sum()))
        return state - np.where(self.free_constants, sums[:-1] / sums[-1], 0.0)

    @cached_property
    def rim(self) -> npt.NDArray[np.bool_]:
        """The nodes at the boundary of where densities live, shape (nodes,)."""
        return region_rim(self.space, self.cells)

    @cached_property
    def _boundary_weights(self) -> npt.NDArray[np.float64]:
        return boundary_weights(self.space)

    def _sum(self, values: npt.NDArray[np.float64]) -> float:
        return float(self.comm.allreduce(values[: self.owned].sum()))

    def reduce(self, values: npt.NDArray[np.float64], op: MPI.Op) -> npt.NDArray[np.float64]:
        """Reduce an array over the ranks, entry by entry."""
        result = np.empty_like(values)
        self.comm.Allreduce(values, result, op=op)
        return result

    def _by_name(self, values: npt.NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self.names, map(float, values), strict=True))
