"""Gradient flows, as users state them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from dolfinx.fem import Function
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.core.checks import named
from fem_models.core.errors import InputError
from fem_models.core.protocols import Expectation, Packed, Record, Row
from fem_models.energies import Dirichlet, Electrostatic, Energy, Term
from fem_models.expressions import FunctionOfX
from fem_models.face.initial import nodal_state
from fem_models.face.state import State
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.flow.species import Species
from fem_models.meshes.marks import MarkedMesh
from fem_models.nodal.edges import Lumping
from fem_models.results.fields import Snapshot
from fem_models.steady.steady_state import steady_state
from fem_models.transfer.sources import FileSource

Initial = FunctionOfX | Function[Any] | npt.NDArray[np.float64] | FileSource | Snapshot
"""A number, text such as "exp(-x**2)", a function of x with NumPy or UFL functions, a UFL expression, a
DOLFINx function on this or another mesh, nodal values, a file by `fm.from_file`, or the fields of a run by
`fm.open_run(…).fields(…)`."""


class Flow:
    """The gradient flow of a free energy on a mesh, a `fem_models.core.protocols.Model`.

        ∂tρ_s = div(ρ_s ∇ δE/δρ_s)   (Wasserstein)      ∂tc_s = -δE/δc_s   (L²)      0 = δE/δψ_s   (static)

    with no flux through the boundary. Everything is dimensionless. Collective, as all that takes its states.

    Args:
        mesh: From `fm.mesh`, or a DOLFINx mesh of affine simplices.
        energy: A term or a sum of terms, such as PowerLaw(2) + Potential("r**2").
        species: The fields: names, or names with their metrics, {"rho": "wasserstein", "c": "l2"}. By default
            those of the terms, in their order: densities, but "l2" for a field that has a Dirichlet energy
            and "static" for the potential of an `Electrostatic` term.

    Raises:
        InputError: A mesh, an energy or species that are none, or that do not go together.
    """

    def __init__(
        self,
        mesh: MarkedMesh | Mesh[Any],
        energy: Energy | Term,
        species: Mapping[str, str] | Sequence[str] | str | None = None,
    ) -> None:
        self.discrete = GradientFlow(mesh, _species(energy, species), energy)

    @classmethod
    def of(cls, discrete: GradientFlow) -> Self:
        """The flow of a discretisation that is there.

        Args:
            discrete: Its equations at the nodes.

        Returns:
            The flow.
        """
        flow = cls.__new__(cls)
        flow.discrete = discrete
        return flow

    def with_lumping(self, lumping: Lumping) -> Flow:
        """The same flow with other nodal volumes, which make a difference in three dimensions.

        Args:
            lumping: "voronoi" or "cells", see `fem_models.nodal.edges.EdgeGeometry`.

        Returns:
            This flow where its volumes are of that kind, otherwise a new one.
        """
        discrete = self.discrete.with_lumping(lumping)
        return self if discrete is self.discrete else Flow.of(discrete)

    def __repr__(self) -> str:
        space = self.discrete.space
        terms = " + ".join(term.name for term in self.discrete.terms)
        return f"Flow({', '.join(self.names)}; {terms}; {space.dofmap.index_map.size_global} nodes)"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields."""
        return self.discrete.names

    @property
    def mesh(self) -> Mesh[Any]:
        """The DOLFINx mesh."""
        return self.discrete.mesh

    @property
    def comm(self) -> MPI.Comm:
        """The ranks that share it."""
        return self.discrete.comm

    def state(
        self, initial: Mapping[str, Initial] | Initial, mass: Mapping[str, float] | float | None = None
    ) -> State:
        """A state with given fields, static ones in equilibrium with the others.

        What is on another mesh is interpolated, and densities are scaled to the masses that they have there;
        on the same nodes values stay as they are.

        Args:
            initial: The only field, or fields by name, or the array of a state, or a file or the fields of a
                run for all by name; static fields need none.
            mass: To scale the densities to: of the only one, or by name; as they are by default.

        Returns:
            The state.

        Raises:
            InputError: Fields that are missing, unknown, not finite or of another shape, densities that are
                negative or zero everywhere, a mass that is not positive, or a file that cannot be read or
                does not reach all of the mesh.
        """
        if isinstance(initial, State):
            raise InputError(
                "initial must be functions of x by name, not a state: states are used as they are."
            )
        if isinstance(initial, np.ndarray) and initial.ndim == 2:
            initial = self._columns(initial)
        return State(self, nodal_state(self.discrete, initial, mass))

    def _columns(self, values: npt.NDArray[np.float64]) -> Mapping[str, npt.NDArray[np.float64]]:
        """The fields in an array as `State.array` is, with their ghosts. All ranks raise together."""
        shape = (self.discrete.owned, len(self.names))
        if self.comm.allreduce(values.shape != shape):
            raise InputError(
                f"initial as an array must have the shape {shape}, nodes of this rank by fields, as that of "
                f"a state, not {values.shape}."
            )
        nodal = self.discrete.unpack({name: values[:, k] for k, name in enumerate(self.names)})
        return {name: nodal[:, k] for k, name in enumerate(self.names)}

    def steady_state(self, mass: Mapping[str, float] | float | State, guess: State | None = None) -> State:
        """The minimiser of the energy with given masses, computed without time steps.

        Args:
            mass: Of the only density, by name, or a state that has the masses.
            guess: A state to start from, for systems.

        Returns:
            The steady state.

        Raises:
            InputError: A mass that is missing or not positive, or charges that do not balance.
            SolveError: The energy is not convex, or has no minimiser with these masses.
        """
        masses = mass.masses() if isinstance(mass, State) else mass
        if isinstance(masses, Mapping):
            masses = {name: masses[name] for name in self.discrete.kept if name in masses}
        nodal = None if guess is None else self._nodal(guess, "guess")
        return State(self, steady_state(self.discrete, masses, nodal))

    def _nodal(self, state: Any, what: str) -> npt.NDArray[np.float64]:
        if not isinstance(state, State):
            raise InputError(f"{what} must be a state of the flow, from flow.state(…), not {named(state)}.")
        return state.nodal

    # What a run asks of a model

    @property
    def expectations(self) -> Mapping[str, Expectation]:
        """The energy falls; the densities keep their masses and are not negative."""
        return self.discrete.expectations

    def move_to(self, time: float, state: State | None = None) -> None:
        """Set the time t of an energy that depends on it explicitly; `evolve` does so before each step.

        Args:
            time: The end of the next step, or the beginning of an evolution (dimensionless).
            state: The state before the step, on which the change does work; None at the beginning.

        Raises:
            InputError: The state is none of a flow.
        """
        self.discrete.move_to(time, None if state is None else self._nodal(state, "state"))

    def observables(self, state: State) -> Row:
        """The energy and its terms, the dissipation, and mass, minimum and maximum of each field.

        Args:
            state: The state.

        Returns:
            Numbers by name.
        """
        return self.discrete.observables(self._nodal(state, "state"))

    def functions(self, state: State) -> Mapping[str, Function[Any]]:
        """The fields of a state as new functions.

        Args:
            state: The state.

        Returns:
            Functions by name.
        """
        return self.discrete.functions(self._nodal(state, "state"))

    def change(self, old: State, new: State) -> float:
        """The largest change of a field from one state to another, relative to it, in L¹.

        Args:
            old: One state.
            new: The other.

        Returns:
            The change.
        """
        return self.discrete.change(self._nodal(old, "old"), self._nodal(new, "new"))

    def description(self) -> str:
        """The mesh in a line."""
        return self.discrete.description()

    def facts(self) -> Mapping[str, Any]:
        """Numbers of cells and unknowns, and what is told of the mesh."""
        return self.discrete.facts()

    def findings(self, record: Record, state: State) -> Mapping[str, Any]:
        """What a run found, see `fem_models.flow.observed.Observed.findings`.

        Args:
            record: Of the observables.
            state: The last state.

        Returns:
            Entries of summary.json.
        """
        return self.discrete.findings(record, self._nodal(state, "state"))

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """Numbers of this rank's nodes that do not depend on the number of ranks, shape (owned nodes,)."""
        return self.discrete.keys

    def pack(self, state: State) -> Packed:
        """The values of a state at this rank's nodes.

        Args:
            state: The state.

        Returns:
            By field, shape (owned nodes,), in the order of `keys`.
        """
        return self.discrete.pack(self._nodal(state, "state"))

    def unpack(self, packed: Packed) -> State:
        """The state with these values.

        Args:
            packed: By field, shape (owned nodes,), in the order of `keys`.

        Returns:
            The state.
        """
        return State(self, self.discrete.unpack(packed))


def _species(energy: Any, given: Any) -> Any:
    """The species of a flow: given, or those of the terms of its energy."""
    if isinstance(given, Mapping):
        return [Species(name, metric) for name, metric in given.items()]
    if isinstance(given, str):
        return [Species(given)]
    if given is not None and not isinstance(given, Sequence):
        raise InputError(
            f'species must be names, or names with metrics as {{"rho": "wasserstein"}}, not {named(given)}.'
        )
    if given is not None:
        return [Species(name) if isinstance(name, str) else name for name in given]
    if not isinstance(energy, Energy | Term):
        return [Species()]
    metrics: dict[str, Any] = {}
    for term in energy if isinstance(energy, Energy) else (energy,):
        for name in term.of:
            metrics.setdefault(name, "wasserstein")
        if isinstance(term, Electrostatic):
            metrics[term.of[-1]] = "static"
        elif isinstance(term, Dirichlet):
            metrics[term.of[0]] = "l2"
    return [Species(name, metric) for name, metric in metrics.items()]
