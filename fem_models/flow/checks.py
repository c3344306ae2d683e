"""Checks of what users hand to a gradient flow: each refusal is one sentence that names the argument.

Everything is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx.mesh import Mesh
from mpi4py import MPI

from fem_models.core.checks import is_number, named, positive
from fem_models.core.errors import InputError
from fem_models.energies import Energy, Term
from fem_models.expressions.functions import require_mesh
from fem_models.flow.species import Species
from fem_models.meshes.marks import MarkedMesh, mesh_of
from fem_models.meshes.whole_space import SHELL


class HasStates(Protocol):
    """What has states: arrays with a row for each node of this rank and a column for each species."""

    @property
    def comm(self) -> MPI.Comm:
        """The ranks that share it."""

    @property
    def nodes(self) -> int:
        """The nodes of this rank with its ghosts."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the species."""


def checked_parts(
    mesh: MarkedMesh | Mesh,
    species: Species | Sequence[Species],
    energy: Energy | Term,
    cells: npt.NDArray[np.int32] | None,
) -> tuple[Mesh, tuple[Species, ...], Energy]:
    """What a gradient flow is made of, as it keeps it.

    Args:
        mesh: The mesh, with or without named parts.
        species: One or several.
        energy: A term or a sum of terms.
        cells: Local cells of the part of the mesh where densities live; None for all.

    Returns:
        The DOLFINx mesh, the species and the energy.

    Raises:
        InputError: Something of another kind, or a mesh that stands for the whole space with densities on all
            of it.
    """
    plain = mesh_of(mesh)
    if isinstance(mesh, MarkedMesh) and SHELL in mesh.regions and cells is None:
        raise InputError(
            f'The mesh has the region "{SHELL}", which stands for the rest of space and holds electric '
            "fields only: say with `cells` where densities live, or take a mesh without it."
        )
    return plain, _checked_species(species), _checked_energy(energy)


def _checked_species(species: Any) -> tuple[Species, ...]:
    listed = (species,) if isinstance(species, Species) else species
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        hint = f": write Species({species!r})" if isinstance(species, str) else ""
        raise InputError(f"The species must be a Species or a list of them, not {named(species)}{hint}.")
    for one in listed:
        if not isinstance(one, Species):
            hint = f": write Species({one!r})" if isinstance(one, str) else ""
            raise InputError(f"The list of species must have Species only, not {named(one)}{hint}.")
    if not listed:
        raise InputError("A gradient flow needs at least one species.")
    return tuple(listed)


def _checked_energy(energy: Any) -> Energy:
    if isinstance(energy, Term):
        return Energy((energy,))
    if isinstance(energy, Energy):
        return energy
    terms = isinstance(energy, Sequence) and all(isinstance(term, Term) for term in energy)
    hint = ": add them with +, or by sum(terms)" if terms else ""
    raise InputError(f"The energy must be a term or a sum of terms, not {named(energy)}{hint}.")


def check_functions(energy: Energy, mesh: Mesh, names: Sequence[str]) -> None:
    """Look at the functions in an energy, so that what is wrong with them is found at once.

    Args:
        energy: The energy.
        mesh: The mesh.
        names: The species.

    Raises:
        InputError: A function that cannot be evaluated, or a term that uses a field which it does not name.
    """
    x = ufl.SpatialCoordinate(mesh)
    fields = {name: fem.Constant(mesh, 1.0) for name in names}
    for term in energy:
        require_mesh(term.density(fields, x), mesh, f"The energy term {term.name}")
        if term.interaction is not None:
            with np.errstate(all="ignore"):
                term.interaction[2](np.zeros((mesh.geometry.dim, 1)))


def check_state(flow: HasStates, state: Any, what: str = "The state") -> None:
    """Refuse what has not the kind and the shape of a state. Not collective; each rank looks at its own.

    Args:
        flow: The flow, or whatever else has such states.
        state: The candidate.
        what: What it is for the user, to begin the message with.

    Raises:
        InputError: It is no array of floats of shape (nodes, species).
    """
    if problem := _problem(flow, state):
        raise InputError(f"{what} {problem}")


def check_step(flow: HasStates, old: Any, tau: Any) -> None:
    """Refuse states and sizes from which no step can be taken. Collective: all ranks raise together.

    Args:
        flow: The flow, or whatever else has such states.
        old: The state before the step, shape (nodes, species).
        tau: The size of the step.

    Raises:
        InputError: The state has another kind or shape or is not finite everywhere, or the size is no
            positive finite number.
    """
    problem = _problem(flow, old)
    finite = bool(problem) or bool(np.isfinite(old).all())
    usable = is_number(tau) and 0.0 < float(tau) < math.inf
    faults = np.array([bool(problem), not finite, not usable], dtype=np.int32)
    total = np.empty_like(faults)
    flow.comm.Allreduce(faults, total, op=MPI.MAX)
    if total[0]:
        problem = next(text for text in flow.comm.allgather(problem) if text)
        raise InputError(f"The state before the step {problem}")
    if total[1]:
        raise InputError("The state before the step is not finite everywhere: it has NaN or infinite values.")
    if total[2]:
        raise InputError(f"The time step must be a positive finite number, not {named(tau)}.")


def _problem(flow: HasStates, state: Any) -> str:
    """What is wrong with a state, a sentence without its beginning; empty if nothing is."""
    wanted = (
        f"must be an array of shape ({flow.nodes}, {len(flow.names)}), nodes by species, as `state` of the "
        "flow returns it, "
    )
    if not isinstance(state, np.ndarray):
        hint = ": take its `state`" if hasattr(state, "state") else ""
        return f"{wanted}not {named(state)}{hint}."
    if state.shape != (flow.nodes, len(flow.names)):
        return f"{wanted}not one of shape {state.shape}."
    if state.dtype != np.float64:
        return f"must have values of type float64, not {state.dtype}."
    return ""


def checked_initial(names: Sequence[str], optional: Sequence[bool], initial: Any) -> Mapping[str, Any]:
    """Initial values by species.

    Args:
        names: The species.
        optional: Which of them need no initial value.
        initial: Values by species, or for a single species (or the only one that needs values) these alone.

    Returns:
        Values by species: for all of them, or all but the optional ones.

    Raises:
        InputError: A species is missing or unknown.
    """
    needed = [name for name, free in zip(names, optional, strict=True) if not free]
    if not isinstance(initial, Mapping):
        if len(needed) > 1:
            raise InputError(
                f"The initial values must be given by species, as in {{{needed[0]!r}: ...}}: they are "
                f"{', '.join(names)}."
            )
        return {(needed or list(names))[0]: initial}
    return _by_species(initial, names, needed, "initial values")


def checked_masses(names: Sequence[str], densities: Sequence[str], masses: Any) -> Mapping[str, float]:
    """Masses to scale to, by species.

    Args:
        names: The species.
        densities: Those with the Wasserstein metric.
        masses: By species, or a number for a single species or density; None for none.

    Returns:
        The masses by species, positive, dimensionless.

    Raises:
        InputError: An unknown species, or a mass that is not a positive finite number.
    """
    if masses is None:
        return {}
    if not isinstance(masses, Mapping):
        if len(names) > 1 and len(densities) != 1:
            raise InputError(
                f"The masses must be given by species, as in {{{names[0]!r}: 1.0}}: they are "
                f"{', '.join(names)}."
            )
        masses = {(names if len(names) == 1 else densities)[0]: masses}
    for name, mass in _by_species(masses, names, (), "masses").items():
        positive(mass, f"The mass of {name}")
    return masses


def _by_species(
    given: Mapping[str, Any], names: Sequence[str], needed: Sequence[str], what: str
) -> Mapping[str, Any]:
    """The mapping, once its keys are those that are known and has those that are needed."""
    if missing := [name for name in needed if name not in given]:
        raise InputError(
            f"The {what} have none for {', '.join(missing)}, only for "
            f"{', '.join(map(str, given)) or 'no species at all'}."
        )
    if unknown := [name for name in given if name not in names]:
        raise InputError(
            f"The {what} have one for {', '.join(map(repr, unknown))}, which is not a species: they are "
            f"{', '.join(names)}."
        )
    return given
