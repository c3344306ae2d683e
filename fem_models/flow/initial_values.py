"""Nodal values of initial densities and fields, checked and scaled to their masses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.flow.species import Species, State, Values

if TYPE_CHECKING:
    from fem_models.flow.nodal_fields import NodalFields

_Array = npt.NDArray[np.float64]


def initial_values(
    fields: NodalFields,
    initial: Mapping[str, Values] | Values,
    masses: Mapping[str, float] | float | None = None,
) -> State:
    """Nodal values of initial densities and fields. Collective.

    Args:
        fields: The fields.
        initial: By species, a number or a function of the coordinates, shape (dim, n), with n values. For a
            single species the number or function alone will do. Static fields need none.
        masses: By species, the mass Σ_i m_i ρ_i to scale to; a number for a single species; None to leave the
            values as they are.

    Returns:
        Shape (nodes, species); static fields are zero where nothing is given.

    Raises:
        InputError: Values that are not finite, a density that is negative or zero everywhere, or a mass that
            is not positive. All ranks raise it.
    """
    if not isinstance(initial, Mapping):
        initial = {fields.names[0]: initial}
    if masses is not None and not isinstance(masses, Mapping):
        masses = {fields.names[0]: masses}
    points = fields.points.T
    state = np.empty((fields.nodes, len(fields.names)))
    for s, species in enumerate(fields.species):
        # A static field follows from the others, and needs no initial value.
        given = initial.get(species.name, 0.0) if fields.static[s] else initial[species.name]
        values = given(points) if callable(given) else given
        state[:, s] = np.broadcast_to(np.asarray(values, dtype=float), (fields.nodes,))
        _check(fields, species, state[:, s])
        if fields.transported[s]:
            state[~fields.inside, s] = 0.0
        for column, (nodes, fixed_values) in fields.fixed.items():
            state[nodes, column] = fixed_values
        if masses is not None and species.name in masses:
            mass = masses[species.name]
            if not 0.0 < mass < math.inf:
                raise InputError(f"The mass of {species.name} must be positive, not {mass!r}.")
            state[:, s] *= mass / fields.integral(fields.geometry.volumes * state[:, s])
    return state


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
