"""The systems "bgk" and "kinetic-fokker-planck": kinetic equations with density-dependent collisions on
tori.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, override

from pydantic import Field, model_validator

from fem_models.config.figures import FIGURES, FigureEntry, of_systems
from fem_models.config.formulas import COORDINATES, Formulas
from fem_models.config.schemes import KINETIC
from fem_models.config.system import SYSTEMS, Fields, System
from fem_models.config.types import Count, Positive, Text

if TYPE_CHECKING:
    from fem_models.config.problem import Problem
    from fem_models.config.run_file import RunConfig
    from fem_models.meshes.marks import MarkedMesh

F_OVER_M = "f_over_M"
ODD = ("odd_x", "odd_y", "odd_z")
_VELOCITIES = ("v", "w", "u")


class Kinetic(System):
    """What the two systems share."""

    model: ClassVar[str] = KINETIC
    scheme: ClassVar[str] = "bdf2"
    whole_initial: ClassVar[str] = F_OVER_M
    figures: ClassVar[tuple[str, ...]] = ("density", "decay")
    has_limit: ClassVar[bool] = True
    collisions: ClassVar[Literal["relaxation", "fokker-planck"]]
    alpha: float | None = Field(
        None, description="exponent of the collision rate rho**alpha, dimensionless; excludes rate"
    )
    rate: Text | None = Field(
        None, description="collision rate, positive, expression in rho, dimensionless; excludes alpha"
    )
    epsilon: Positive = Field(description="mean free path, dimensionless")
    modes: Count = Field(3, description="largest degree of the Hermite modes in velocity, odd")
    degree: Literal[1, 2] = Field(1, description="degree of the even modes in space; odd ones have one less")
    bounds: Annotated[float, Field(gt=1)] | None = Field(
        None, description="A of 1/A <= f/M <= A, kept at the Gauss-Hermite nodes; with degree 1 only"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.alpha is None) == (self.rate is None):
            raise ValueError("needs exactly one of alpha and rate")
        if self.modes % 2 == 0:
            raise ValueError(
                f"modes = {self.modes} must be odd: with an even degree some modes do not diffuse; take "
                f"{self.modes + 1}"
            )
        if self.bounds is not None and self.degree != 1:
            raise ValueError("bounds go with degree = 1 only; remove them or set degree = 1")
        return self

    @property
    @override
    def fields(self) -> Fields:
        """The density."""
        return (("rho", "kinetic"),)

    @property
    @override
    def other_initial(self) -> Mapping[str, tuple[str, ...]]:
        """f/M as a whole, or parts that are odd in the velocity beside the density."""
        return {F_OVER_M: (*COORDINATES, *_VELOCITIES), **dict.fromkeys(ODD, COORDINATES)}

    @classmethod
    @override
    def figures_on(cls, mesh: Any) -> tuple[str, ...]:
        """Those of all kinetic equations, and phase space in one dimension."""
        lengths, cells = (mesh.get(key) if isinstance(mesh, dict) else None for key in ("lengths", "cells"))
        given = lengths if lengths is not None else cells
        return (
            (*cls.figures, "phase_space")
            if isinstance(given, list | tuple) and len(given) == 1
            else cls.figures
        )

    @override
    def formulas(self) -> Formulas:
        """The rate."""
        if self.rate is not None:
            yield "rate", self.rate, ("rho",)

    @override
    def problem(self, config: RunConfig, mesh: MarkedMesh) -> Problem[Any]:
        """The kinetic equation with its scheme and initial state."""
        from fem_models.config.kinetic_problem import KineticProblem

        return KineticProblem(self, config, mesh)


class Bgk(Kinetic):
    """[system] name = "bgk": relaxation to ρM with a rate of the density (Evans, Morris and Yoldaş,
    (1.2)).
    """

    equation: ClassVar[str] = "∂t f + ε⁻¹ v·∇f = ε⁻² λ(ρ) (ρM - f) on a torus, with λ = ρ^α or another rate"
    collisions: ClassVar[Literal["relaxation", "fokker-planck"]] = "relaxation"
    name: Literal["bgk"] = Field(description="the system")


class KineticFokkerPlanck(Kinetic):
    """[system] name = "kinetic-fokker-planck": the same with diffusion in velocity ((1.5), scaled as
    (1.2)).
    """

    equation: ClassVar[str] = (
        "∂t f + ε⁻¹ v·∇f = ε⁻² λ(ρ) div_v(∇_v f + v f) on a torus, with λ = ρ^α or another rate"
    )
    collisions: ClassVar[Literal["relaxation", "fokker-planck"]] = "fokker-planck"
    name: Literal["kinetic-fokker-planck"] = Field(description="the system")


def _on_a_line(config: RunConfig) -> bool:
    """Whether a run file has a kinetic equation in one dimension, as far as it tells."""
    lengths = config.mesh.lengths
    return isinstance(config.system, Kinetic) and (lengths is None or len(lengths) == 1)


SYSTEMS.add("bgk", Bgk)
FIGURES.add(
    "phase_space",
    FigureEntry(
        "fem_models.plotting.kinetic:phase_space_figure",
        _on_a_line,
        '[system] name = "bgk" or "kinetic-fokker-planck" in one dimension',
    ),
)
FIGURES.add("decay", of_systems("fem_models.plotting.kinetic:decay_figure", "bgk", "kinetic-fokker-planck"))
SYSTEMS.add("kinetic-fokker-planck", KineticFokkerPlanck)
