"""The table [convexity] of a run: second variations of its energy at densities that oscillate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ufl.core.expr import Expr

from fem_models.config.formulas import formula
from fem_models.core.errors import InputError
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.systems.studies.second_variation import Row, second_variations

if TYPE_CHECKING:
    from fem_models.config.run_file import RunConfig


def convexity_table(config: RunConfig, flow: GradientFlow, masses: Mapping[str, float]) -> list[Row]:
    """The rows of convexity.csv, one for each frequency; none where the run file asks for none. Collective.

    ρ⁰ are the initial densities of the run file with their masses.

    Args:
        config: The run file.
        flow: Its gradient flow.
        masses: Of the densities, by name (dimensionless).

    Returns:
        Rows of frequencies and second derivatives.

    Raises:
        InputError: The flow is not one of two densities, or the mesh is too coarse for a frequency.
    """
    table = config.convexity
    if table is None:
        return []
    if not flow.transported.all():
        field = next(s.name for s in flow.species if s.metric != "wasserstein")
        raise InputError(f"[convexity] is for densities alone, not for a field such as {field}; remove it.")
    densities = {name: _scaled(config, flow, masses[name], name) for name in config.initial_expressions}
    try:
        return second_variations(flow, densities, table.frequencies, table.amplitude)
    except InputError as error:
        raise InputError(f"[convexity]: {error}") from None


def _scaled(config: RunConfig, flow: GradientFlow, mass: float, name: str) -> Callable[[Expr], Expr]:
    """An initial density with its mass, as a function of the coordinates."""
    initial = formula(config.initial_expressions[name], f"[initial] {name}", config.constants)
    state = flow.state(dict.fromkeys(flow.names, 1.0) | {name: initial.numpy})
    factor = mass / flow.masses(state)[name]
    return lambda x: factor * initial.ufl(x)
