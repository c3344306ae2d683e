"""The initial state of a run of a gradient flow: expressions, and densities from elsewhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fem_models.config.formulas import formula
from fem_models.core.errors import InputError
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.species import State
from fem_models.transfer.interpolation import values_from
from fem_models.transfer.masses import keep_masses
from fem_models.transfer.sources import FileSource

if TYPE_CHECKING:
    from fem_models.config.run_file import RunConfig


class Start(NamedTuple):
    """Where a run begins.

    Attributes:
        state: Nodal values, shape (nodes, species); static fields are not settled yet.
        notes: What the log says of it.
        warnings: Sentences about what may not be meant.
    """

    state: State
    notes: list[str]
    warnings: list[str]


def initial_state(config: RunConfig, flow: NodalFields) -> Start:
    """The initial densities, with their masses. Collective.

    Those that are expressions have the masses that the run file gives, or stay as they are written; those
    from elsewhere have the masses that the run file gives, or those that they had there.

    Args:
        config: The run file.
        flow: The flow.

    Returns:
        The state, with what there is to say about it.

    Raises:
        InputError: A file that cannot be read or does not go with the mesh, values that are no density, or a
            mass that cannot be reached.
    """
    masses = config.masses
    written = {
        name: formula(text, f"[initial] {name}", config.constants).numpy
        for name, text in config.initial_expressions.items()
    }
    sources = {
        name: FileSource(Path(given.from_), given.field, given.time, given.invert)
        for name, given in config.initial_sources.items()
    }
    try:
        found = values_from(flow, sources)
    except InputError as error:
        raise InputError(f"[initial] from: {error}") from None
    state = flow.nodal_values(written | {name: one.values for name, one in found.items()})
    state, notes, warnings = keep_masses(flow, state, found, masses)
    there = flow.masses(state)
    for column, name in enumerate(flow.names):
        if name not in masses:
            continue
        factor = masses[name] / there[name] if there[name] else math.inf
        if not 0.0 < factor < math.inf:
            raise InputError(
                f"The mass {masses[name]:g} of {name} cannot be reached by scaling its initial values, which "
                f"have the mass {there[name]:g}; change one of them."
            )
        state[:, column] *= factor
    as_written = [f"{name} {there[name]:.6g}" for name in flow.kept if name in written and name not in masses]
    if as_written:
        notes.append(f"densities are as written, with the masses: {', '.join(as_written)}")
    return Start(state, notes, warnings)
