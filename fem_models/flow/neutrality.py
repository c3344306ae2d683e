"""The balance of charges that Neumann's problem for an electrostatic potential needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fem_models.core.errors import InputError
from fem_models.flow.species import State

if TYPE_CHECKING:
    from fem_models.flow.nodal_fields import NodalFields

# A net charge beyond this share of all charges is no rounding of the masses or of a doping profile.
_NEUTRAL = 1e-6


def check_neutral(flow: NodalFields, state: State) -> None:
    """Refuse charges that do not add up to zero where Neumann's problem for ψ needs it. Collective.

    Args:
        flow: The flow.
        state: Shape (nodes, species).

    Raises:
        InputError: The net charge is not zero; the message has both signs' charges.
    """
    if not flow.free_constants.any():
        return
    empty = np.zeros_like(state)
    doping, size = flow.charges(empty)
    positive, negative = 0.5 * (size + doping), 0.5 * (size - doping)
    for s in np.flatnonzero(~flow.static):
        alone = empty.copy()
        alone[:, s] = state[:, s]
        charge = flow.charges(alone)[0] - doping
        positive, negative = positive + np.maximum(charge, 0.0), negative + np.maximum(-charge, 0.0)
    for s in np.flatnonzero(flow.free_constants):
        net = positive[s] - negative[s]
        if abs(net) > _NEUTRAL * (positive[s] + negative[s]):
            raise InputError(
                f"The charges that make {flow.names[s]} add up to {net:.10g} (positive "
                f"{positive[s]:.10g}, negative {negative[s]:.10g}), but without an electrode the field lines "
                "have nowhere to end: change the masses, the valences or the doping so that they balance (a "
                "doping that jumps must jump between cells), or give the potential on a part of the boundary."
            )
