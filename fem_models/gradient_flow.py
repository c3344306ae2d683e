"""Gradient flows: species, each a density with its metric, and one free energy.

    ∂tρ_s = div(ρ_s ∇ δE/δρ_s)   (Wasserstein)        ∂tu_s = -δE/δu_s   (L²)

(Matthes, on compound metrics for chemotaxis; Bruna, Burger and Carrillo, equation (4.1)). A flow
knows its energy at nodal densities on a mesh, E_h = Σ_i m_i e(ρ_i, x_i), with all that follows from it,
and neither a time step nor a solver. Everything is dimensionless.
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
from ufl.algorithms import expand_derivatives, extract_coefficients
from ufl.classes import Label, Variable
from ufl.core.expr import Expr

from fem_models.discretization import fluxes
from fem_models.discretization.edges import EdgeGeometry
from fem_models.discretization.nodal import NodalCover, NodalExpression
from fem_models.energies import Energy, Term
from fem_models.errors import InputError

State = npt.NDArray[np.float64]
"""Nodal densities, shape (nodes of this rank with its ghosts, species); ghost rows are up to date."""

METRICS = ("wasserstein", "l2")


@dataclass(frozen=True)
class Species:
    """A field and its metric: "wasserstein" (a density with mobility ρ) or "l2"."""

    name: str = "rho"
    metric: Literal["wasserstein", "l2"] = "wasserstein"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise InputError(
                f"The metric of {self.name} must be one of {', '.join(METRICS)}, not {self.metric!r}."
            )


class GradientFlow:
    """The gradient flow of an energy on a mesh, discretised with P1 and lumped masses. Collective.

    Attributes:
        mesh: The mesh of simplices.
        species: The species; `names` are their names.
        terms: The energy, a sum of named terms.
        space: The scalar P1 space of each species.
        x: The coordinates, as UFL.
        geometry: Edges, their coefficients, and the nodal volumes m_i.

    Raises:
        InputError: Two species with one name, or a term of an unknown species.
    """

    def __init__(self, mesh: Mesh, species: Species | Sequence[Species], energy: Energy | Term) -> None:
        self.mesh = mesh
        self.comm: MPI.Comm = mesh.comm
        self.species = (species,) if isinstance(species, Species) else tuple(species)
        self.names = tuple(s.name for s in self.species)
        self.terms = energy if isinstance(energy, Energy) else Energy((energy,))
        self._check()
        self.space = fem.functionspace(mesh, ("Lagrange", 1))
        self.x = ufl.SpatialCoordinate(mesh)
        self.geometry = EdgeGeometry(self.space)
        self.owned = self.space.dofmap.index_map.size_local
        self.nodes = self.owned + self.space.dofmap.index_map.num_ghosts
        self.transported = np.array([s.metric == "wasserstein" for s in self.species])
        self._fields = {name: fem.Function(self.space, name=name) for name in self.names}
        self._cover = NodalCover(self.space)

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
            for name in term.entropy:
                if self.species[self.names.index(name)].metric != "wasserstein":
                    raise InputError(
                        f"The entropy {term.name} needs the Wasserstein metric, but that of {name} is L²."
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
            given = initial[species.name]
            values = given(points) if callable(given) else given
            state[:, s] = np.broadcast_to(np.asarray(values, dtype=float), (self.nodes,))
            self._check_initial(species, state[:, s])
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
        """The energy Σ_i m_i e(ρ_i, x_i) of each term."""
        self._load(state)
        values = self._term_densities()[: self.owned]
        sums = self.comm.allreduce(self.geometry.volumes[: self.owned] @ values)
        return {term.name: float(value) for term, value in zip(self.terms, sums, strict=True)}

    def energy(self, state: State) -> float:
        """The energy E_h, the sum of its terms."""
        return math.fsum(self.energy_terms(state).values())

    def smooth_potentials(self, state: State) -> State:
        """The potentials without the entropy, ψ = δE/δρ - θ (log ρ + 1), at the nodes: (nodes, species)."""
        psi = self._static_potentials.copy()
        if self._moving_potentials is not None:
            self._load(state)
            psi += self._moving_potentials()
        return psi

    def potentials(self, state: State) -> State:
        """The potentials δE/δρ = θ (log ρ + 1) + ψ at the nodes, shape (nodes, species).

        They are -∞ in vacuum where θ > 0.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.where(self.theta > 0.0, self.theta * (np.log(state) + 1.0), 0.0)
        return self.smooth_potentials(state) + entropy

    def hessian(self, state: State) -> npt.NDArray[np.float64]:
        """The derivatives ∂ψ_s/∂ρ_t at the nodes, shape (nodes, species, species)."""
        count = len(self.names)
        if self._hessian is None:
            return np.zeros((self.nodes, count, count))
        self._load(state)
        return self._hessian().reshape(-1, count, count)

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
        still = ~self.transported
        if still.any():
            squares = (self.potentials(state)[: self.owned, still] ** 2).sum(axis=1)
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

    @cached_property
    def _term_densities(self) -> NodalExpression:
        densities = [term.density(self._fields, self.x) for term in self.terms]
        return NodalExpression(self._cover, densities)

    @cached_property
    def _derivatives(self) -> tuple[list[Expr], list[Expr], list[list[Expr]]]:
        """ψ split into what does not depend on the densities and what does, and ∂ψ_s/∂ρ_t."""
        # Labels of our own: `ufl.variable` counts them up, and every flow would be compiled anew.
        fields = self._fields.items()
        variables = {name: Variable(field, Label(s)) for s, (name, field) in enumerate(fields)}
        static: list[Expr] = [ufl.as_ufl(0.0) for _ in self.names]
        moving: list[Expr] = [ufl.as_ufl(0.0) for _ in self.names]
        for term in self.terms:
            if term.entropy:
                continue
            density = term.density(variables, self.x)
            for s, name in enumerate(self.names):
                if name in term.of:
                    potential = ufl.diff(density, variables[name])
                    (moving if self._depends(potential) else static)[s] += potential
        rows = [[ufl.diff(psi, v) for v in variables.values()] for psi in moving]
        return static, moving, rows

    def _depends(self, expression: Expr) -> bool:
        fields = set(self._fields.values())
        return any(c in fields for c in extract_coefficients(expand_derivatives(expression)))

    @cached_property
    def _static_potentials(self) -> State:
        static = self._derivatives[0]
        return NodalExpression(self._cover, static)()

    @cached_property
    def _moving_potentials(self) -> NodalExpression | None:
        moving = self._derivatives[1]
        if not any(self._depends(psi) for psi in moving):
            return None
        return NodalExpression(self._cover, moving)

    @cached_property
    def _hessian(self) -> NodalExpression | None:
        if self._moving_potentials is None:
            return None
        return NodalExpression(self._cover, [e for row in self._derivatives[2] for e in row])

    def _load(self, state: State) -> None:
        for s, field in enumerate(self._fields.values()):
            field.x.array[:] = state[:, s]

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
        """The least nodal value of each species."""
        return self._by_name(self.reduce(state[: self.owned].min(axis=0, initial=math.inf), MPI.MIN))

    def maxima(self, state: State) -> dict[str, float]:
        """The largest nodal value of each species."""
        return self._by_name(self.scale(state))

    def _sum(self, values: npt.NDArray[np.float64]) -> float:
        return float(self.comm.allreduce(values[: self.owned].sum()))

    def reduce(self, values: npt.NDArray[np.float64], op: MPI.Op) -> npt.NDArray[np.float64]:
        """Reduce an array over the ranks, entry by entry."""
        result = np.empty_like(values)
        self.comm.Allreduce(values, result, op=op)
        return result

    def _by_name(self, values: npt.NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self.names, map(float, values), strict=True))
