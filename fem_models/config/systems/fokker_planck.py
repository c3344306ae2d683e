"""The system "fokker-planck": drift and diffusion of one density."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, override

from pydantic import Field

from fem_models.config.flow_system import FlowSystem
from fem_models.config.formulas import COORDINATES_AND_TIME, Formulas, formula
from fem_models.config.system import SYSTEMS
from fem_models.config.types import NonNegative, Positive, Text

if TYPE_CHECKING:
    from fem_models.config.run_file import RunConfig
    from fem_models.flow.gradient_flow import GradientFlow
    from fem_models.meshes.marks import MarkedMesh


class FokkerPlanck(FlowSystem):
    """[system] name = "fokker-planck": drift and linear or nonlinear diffusion of one density."""

    equation: ClassVar[str] = "∂tρ = D Δρ^m + div(ρ∇V)"
    name: Literal["fokker-planck"] = Field(description="the system")
    m: Positive = Field(1.0, description="diffusion exponent, 1 is Boltzmann's entropy, dimensionless")
    diffusion: NonNegative = Field(1.0, description="diffusion coefficient, dimensionless")
    potential: Text = Field("0", description="potential, expression in x, y, z, r, t, dimensionless")

    @override
    def formulas(self) -> Formulas:
        """The potential."""
        yield "potential", self.potential, COORDINATES_AND_TIME

    @override
    def flow(self, config: RunConfig, marked: MarkedMesh) -> GradientFlow:
        """∂tρ = D Δρ^m + div(ρ∇V)."""
        from fem_models.systems.fokker_planck import fokker_planck

        potential = formula(self.potential, "[system] potential", config.constants, ("t",))
        return fokker_planck(marked.mesh, self.m, self.diffusion, potential)


SYSTEMS.add("fokker-planck", FokkerPlanck)
