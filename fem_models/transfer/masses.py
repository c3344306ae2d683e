"""Densities from elsewhere keep their masses: they are scaled to them, and what was done is told."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from fem_models.core.errors import InputError
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.species import State
from fem_models.transfer.interpolation import Found

# On the same nodes masses agree up to rounding, but for nodal volumes of another kind.
_ROUNDING = 1e-12
# Interpolation changes the mass by this share at most where both meshes are of one domain.
_LOSS = 0.05


def keep_masses(
    fields: NodalFields, state: State, found: Mapping[str, Found], others: Collection[str] = ()
) -> tuple[State, list[str], list[str]]:
    """Scale densities from elsewhere to the masses that they had there. Collective.

    Densities on the same nodes with the same nodal volumes, and other fields than densities, stay as they
    are.

    Args:
        fields: The flow.
        state: With the values of what was found, shape (nodes, species).
        found: What was found, by the name of the field.
        others: Names of densities whose masses are given otherwise.

    Returns:
        The state, sentences for the log, and warnings.

    Raises:
        InputError: A mass cannot be reached.
    """
    masses = fields.masses(state)
    factors = np.ones(len(fields.names))
    notes, warnings = [], []
    for name, one in found.items():
        notes += [one.note] * bool(one.note)
        what = f"{name} is from {one.origin}, {'on the same nodes' if one.exact else 'interpolated'}"
        if name not in fields.kept or name in others or one.mass is None:
            notes.append(what)
            continue
        factor = one.mass / masses[name]
        if not 0.0 < factor < math.inf:
            raise InputError(
                f"The mass {one.mass:g} of {one.origin} cannot be kept: the initial {name} has the mass "
                f"{masses[name]:g} on this mesh."
            )
        if one.exact and abs(factor - 1.0) <= _ROUNDING:
            notes.append(what)
            continue
        factors[fields.names.index(name)] = factor
        notes.append(f"{what}, and scaled by 1 {factor - 1.0:+.2e} to its mass {one.mass:.6g}")
        if not abs(factor - 1.0) <= _LOSS:
            warnings.append(
                f"The initial {name} has the mass {masses[name]:.6g} on this mesh, and its source "
                f"{one.origin} has {one.mass:.6g}: it was scaled by {factor:.6g}, so look whether the mesh "
                "covers it, and resolves it."
            )
    return state * factors, notes, warnings
