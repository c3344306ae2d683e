"""The table [convexity] of a run: second variations of its energy at densities that oscillate."""

from collections.abc import Callable

from ufl.core.expr import Expr

from fem_models.config.flows import formula
from fem_models.core.errors import InputError
from fem_models.run.build import Problem
from fem_models.systems.studies.second_variation import Row, second_variations


def convexity_table(problem: Problem) -> list[Row]:
    """The rows of convexity.csv, one for each frequency; none where the run file asks for none. Collective.

    ρ⁰ are the initial densities of the run file with their masses.

    Raises:
        InputError: The flow is not one of two densities, or the mesh is too coarse for a frequency.
    """
    table = problem.config.convexity
    if table is None:
        return []
    flow = problem.flow
    if not flow.transported.all():
        field = next(s.name for s in flow.species if s.metric != "wasserstein")
        raise InputError(f"[convexity] is for densities alone, not for a field such as {field}; remove it.")
    densities = {
        name: _scaled(problem, name, text) for name, text in problem.config.initial_expressions.items()
    }
    try:
        return second_variations(flow, densities, table.frequencies, table.amplitude)
    except InputError as error:
        raise InputError(f"[convexity]: {error}") from None


def _scaled(problem: Problem, name: str, text: str) -> Callable[[Expr], Expr]:
    """An initial density with its mass, as a function of the coordinates."""
    flow = problem.flow
    initial = formula(problem.config, text, f"[initial] {name}")
    state = flow.state(dict.fromkeys(flow.names, 1.0) | {name: initial.numpy})
    factor = problem.masses[name] / flow.masses(state)[name]
    return lambda x: factor * initial.ufl(x)
