"""What a run of a kinetic equation works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, override

from fem_models.config.formulas import formula
from fem_models.config.problem import Companions, Problem
from fem_models.config.schemes import SCHEMES
from fem_models.config.systems.bgk import F_OVER_M, ODD
from fem_models.core.errors import InputError
from fem_models.core.protocols import Study
from fem_models.expressions import Expression
from fem_models.kinetic.bgk.decay import Decay
from fem_models.kinetic.bgk.initial import VELOCITIES, state_of_function, state_of_moments
from fem_models.kinetic.bgk.limit import LimitComparison
from fem_models.kinetic.bgk.model import DiffusiveLimit, KineticModel
from fem_models.kinetic.bgk.rates import DENSITY, CollisionRate
from fem_models.kinetic.bgk.state import KineticState
from fem_models.linalg.newton import NewtonSettings
from fem_models.linalg.options import inner_options, refusals

if TYPE_CHECKING:
    from fem_models.config.run_file import RunConfig
    from fem_models.config.systems.bgk import Kinetic
    from fem_models.meshes.marks import MarkedMesh

_REMARK = "The mass is the integral of rho, which has its own values on each cell, as j and E have."


class KineticProblem(Problem[KineticState]):
    """What a run of a kinetic equation works on. Collective.

    Args:
        system: The table [system].
        config: The run file.
        marked: Its mesh.

    Raises:
        InputError: A mesh with a boundary, initial data that do not go together, are not finite, outside of
            the bounds or without a collision rate, keys that such a system does not have, or options that
            PETSc refuses.
    """

    def __init__(self, system: Kinetic, config: RunConfig, marked: MarkedMesh) -> None:
        _check(system, config)
        rate = CollisionRate(system.alpha if system.alpha is not None else _rate(system, config))
        with inner_options(config.solver.petsc), refusals():
            model = KineticModel(
                marked.mesh,
                rate,
                system.epsilon,
                system.modes,
                system.degree,
                system.collisions,
                system.bounds,
            )
        initial = _initial_state(model, config)
        if system.bounds is None:
            model.spread = model.spread_of(initial)
        table = config.solver
        settings = NewtonSettings(table.tolerance, table.max_iterations, table.linear, dict(table.petsc))
        build = SCHEMES[config.time.scheme].build_for(system.model)
        with refusals():
            scheme = build(model, config.time, settings)
        super().__init__(model, scheme, initial)
        self._studies: list[Study[KineticState]] = [Decay(model, initial)]
        if config.limit is not None and config.limit.compare:
            with inner_options(config.solver.petsc), refusals():
                limit = DiffusiveLimit(marked.mesh, rate, system.degree)
                beside = build(limit, config.time, settings)
            self._studies.append(LimitComparison(model, initial, limit, beside))
        self._unused = config.unused_parameters
        self.title = f"{system.name}, {config.time.scheme}, rate {rate}, epsilon {system.epsilon:g}"

    @override
    def companions(self) -> Companions[KineticState]:
        """What is measured of the decay, and names of parameters that no expression uses."""
        warnings = [f"[parameters] {name} is used by no expression." for name in self._unused]
        return Companions(self._studies, remark=_REMARK, warnings=warnings)


def _check(system: Kinetic, config: RunConfig) -> None:
    """Refuse keys that gradient flows have, and initial data that do not go together."""
    name = f'[system] name = "{system.name}"'
    given = config.initial
    refused = {
        "[initial] from": given.from_ is not None or bool(given.given),
        "[initial] mass": given.mass is not None,
        "[exact]": bool(config.exact),
        "[convexity]": config.convexity is not None,
        '[time] discretization = "log-density"': config.time.discretization != "edge-averaged",
    }
    for key, there in refused.items():
        if there:
            raise InputError(f"{key} does not go with {name}; remove it.")
    if F_OVER_M in given.expressions and len(given.expressions) > 1:
        other = next(key for key in given.expressions if key != F_OVER_M)
        raise InputError(f"[initial] {F_OVER_M} and {other} exclude each other; keep one of them.")


def _initial_state(model: KineticModel, config: RunConfig) -> KineticState:
    """The initial state of [initial]."""
    given, dim = config.initial.expressions, model.space.modes.dimension
    if F_OVER_M in given:
        return state_of_function(
            model, formula(given[F_OVER_M], f"[initial] {F_OVER_M}", config.constants, VELOCITIES[:dim])
        )
    for name in ODD[dim:]:
        if name in given:
            raise InputError(f"[initial] {name} does not go with a torus of dimension {dim}; remove it.")
    odd = {
        axis: formula(given[name], f"[initial] {name}", config.constants)
        for axis, name in enumerate(ODD)
        if name in given
    }
    return state_of_moments(model, formula(given["rho"], "[initial] rho", config.constants), odd)


def _rate(system: Kinetic, config: RunConfig) -> Expression:
    """λ as an expression in rho."""
    return Expression(system.rate or "", (DENSITY,), config.constants, where="[system] rate")
