"""Nodal values of initial densities and fields, checked and scaled to their masses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.expressions.functions import FunctionOfX
from fem_models.flow.checks import checked_initial, checked_masses
from fem_models.flow.species import Species, State
from fem_models.nodal.values import nodal_values

if TYPE_CHECKING:
    from fem_models.flow.nodal_fields import NodalFields

_Array = npt.NDArray[np.float64]

Values = FunctionOfX | fem.Function | _Array
"""What a field may begin with, see `initial_values`."""


def initial_values(
    fields: NodalFields,
    initial: Mapping[str, Values] | Values,
    masses: Mapping[str, float] | float | None = None,
) -> State:
    """Nodal values of initial densities and fields. Collective.

    Args:
        fields: The fields.
        initial: By species, a number, text such as "exp(-x**2)", a UFL expression, a function of the
            coordinates with NumPy functions (of points of shape (dim, n), with n values) or with UFL
            functions, or nodal values of shape (nodes,). For a single species these alone will do; static
            fields need none.
        masses: By species, the mass Σ_i m_i ρ_i to scale to; a number for a single species; None to leave the
            values as they are.

    Returns:
        Shape (nodes, species); static fields are zero where nothing is given.

    Raises:
        InputError: Species that are missing or unknown, values of another shape or not finite, a density that
            is negative or zero everywhere, or zero somewhere where that makes the energy infinite, or a mass
            that is not positive. All ranks raise it.
    """
    given = checked_initial(fields.names, fields.static.tolist(), initial)
    wanted = checked_masses(fields.names, fields.kept, masses)
    _check_potentials(fields)
    state = np.empty((fields.nodes, len(fields.names)))
    for s, species in enumerate(fields.species):
        # A static field follows from the others, and needs no initial value.
        function = given.get(species.name, 0.0)
        state[:, s] = nodal_values(function, fields.space, f"The initial {species.name}")
        _check(fields, species, state[:, s])
        if fields.transported[s]:
            state[~fields.inside, s] = 0.0
        for column, (nodes, fixed_values) in fields.fixed.items():
            state[nodes, column] = fixed_values
        if species.name in wanted:
            state[:, s] *= wanted[species.name] / fields.integral(fields.geometry.volumes * state[:, s])
    _check_vacuum(fields, state)
    return state


def _check_vacuum(fields: NodalFields, state: State) -> None:
    """Refuse vacuum where the energy is infinite in it, as ∫1/ρ and -∫log ρ are."""
    empty = (state == 0.0) & fields.transported & fields.inside[:, None]
    lacking = fields.reduce(empty.any(axis=0).astype(float), MPI.MAX)
    if not lacking.any():
        return
    for term, energy in zip(fields.terms, fields.energy_terms(state).values(), strict=True):
        names = [name for s, name in enumerate(fields.names) if name in term.of and lacking[s]]
        if energy == math.inf and names:
            raise InputError(
                f"The initial {names[0]} is zero somewhere, where the energy {term.name} is infinite: raise "
                "it, so that it is positive everywhere."
            )


def _check_potentials(fields: NodalFields) -> None:
    """Refuse external potentials that are infinite or not a number where densities live."""
    bad = ~np.isfinite(fields.external_potentials) & fields.inside[:, None] & fields.transported
    node, column = next(iter(np.argwhere(bad)), (-1, -1))
    first = (fields.names[column], tuple(map(float, fields.points[node]))) if column >= 0 else None
    if found := [one for one in fields.comm.allgather(first) if one is not None]:
        name, point = min(found)
        where = ", ".join(f"{coordinate:.6g}" for coordinate in point)
        raise InputError(
            f"The external potential of {name} is not finite on the mesh, for example at ({where}); change "
            "it or the domain."
        )


def _check(fields: NodalFields, species: Species, values: _Array) -> None:
    """Refuse values that are no density; the same on all ranks."""
    name = species.name
    facts = [np.isfinite(values).all(), not (values < 0.0).any(), not (values > 0.0).any()]
    finite, positive, zero = fields.reduce(np.array(facts, dtype=float), MPI.MIN)
    if not finite:
        raise InputError(
            f"The initial {name} is not finite everywhere on the mesh: check its expression there."
        )
    if species.metric != "wasserstein":
        return
    if not positive:
        least = fields.comm.allreduce(float(values.min(initial=math.inf)), op=MPI.MIN)
        raise InputError(
            f"The initial {name} is negative, its minimum is {least:.3g}: a density must be zero or more."
        )
    if zero:
        raise InputError(
            f"The initial {name} is zero at every vertex of the mesh: it has no mass to scale or to move."
        )
