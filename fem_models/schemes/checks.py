"""Checks of the size of a step, and of what a scheme is asked to remember."""

from __future__ import annotations

import math

import numpy as np
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.core.protocols import Memory
from fem_models.flow.gradient_flow import GradientFlow, State


def require_step(tau: float) -> None:
    """Refuse the size of a step.

    Args:
        tau: The size (dimensionless).

    Raises:
        InputError: It is not positive and finite.
    """
    if not 0.0 < tau < math.inf:
        raise InputError(f"The time step must be positive, not {tau!r}.")


def require_memory(memory: Memory[State], flow: GradientFlow, most: int, title: str) -> None:
    """Refuse a memory that is not one of a scheme. Collective.

    Args:
        memory: What `restore` of the scheme got.
        flow: The flow of the scheme.
        most: How many earlier states the scheme remembers.
        title: Of the scheme.

    Raises:
        InputError: More states than that, another number of steps, states or guesses of another shape than
            (nodes, fields) and (nodes, densities), values that are not finite, or a step that is not
            positive.
    """
    states, steps = memory.states, memory.steps
    if len(states) > most or len(steps) != len(states):
        raise InputError(
            f"The memory of {title} has at most {most} earlier states, each with the size of the step "
            f"from it: this one has {len(states)} states and {len(steps)} steps."
        )
    if not all(0.0 < step < math.inf for step in steps):
        raise InputError(f"The steps in the memory of {title} must be positive and finite, not {steps}.")
    shape = (flow.nodes, len(flow.names))
    guesses = (memory.guesses or {}).values()
    good = all(np.shape(state) == shape and bool(np.isfinite(state).all()) for state in states)
    good &= all(np.shape(guess) == (flow.nodes, int(flow.transported.sum())) for guess in guesses)
    if not flow.comm.allreduce(good, op=MPI.LAND):
        raise InputError(
            f"The memory of {title} must have finite values for each node of the mesh, ghosts included, and "
            f"for each field of the flow ({', '.join(flow.names)})."
        )
