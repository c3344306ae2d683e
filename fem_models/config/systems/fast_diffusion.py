"""The system "fast-diffusion": diffusion with a power of the density."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, override

from pydantic import Field

from fem_models.config.flow_system import FlowSystem
from fem_models.config.system import SYSTEMS

if TYPE_CHECKING:
    from fem_models.config.run_file import RunConfig
    from fem_models.flow.gradient_flow import GradientFlow
    from fem_models.meshes.marks import MarkedMesh


class FastDiffusion(FlowSystem):
    """[system] name = "fast-diffusion": diffusion with a power of the density, the diffusive limit of BGK."""

    equation: ClassVar[str] = "∂tρ = div(ρ^(-alpha) ∇ρ)"
    name: Literal["fast-diffusion"] = Field(description="the system")
    alpha: float = Field(
        description="exponent: fast diffusion if positive, slow if negative, heat equation if 0; from 1 on "
        "the density must begin positive everywhere, dimensionless"
    )

    @override
    def flow(self, config: RunConfig, marked: MarkedMesh) -> GradientFlow:
        """∂tρ = div(ρ^{-α}∇ρ)."""
        from fem_models.systems.fast_diffusion import fast_diffusion

        return fast_diffusion(marked.mesh, self.alpha)


SYSTEMS.add("fast-diffusion", FastDiffusion)
