"""The system "chemotaxis": a density that follows its own signal (Zinsl and Matthes; Keller and Segel)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, override

from pydantic import Field

from fem_models.config.figures import FIGURES, of_systems
from fem_models.config.flow_system import FlowSystem
from fem_models.config.formulas import COORDINATES_AND_TIME, Formulas, formula
from fem_models.config.system import SYSTEMS, Fields
from fem_models.config.types import NonNegative, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fem_models.config.run_file import RunConfig
    from fem_models.core.protocols import Study
    from fem_models.flow.gradient_flow import GradientFlow, State
    from fem_models.meshes.marks import MarkedMesh


class Chemotaxis(FlowSystem):
    """[system] name = "chemotaxis": a density rho and a signal c."""

    needs_steady: ClassVar[bool] = True
    equation: ClassVar[str] = "∂tρ = Δρ^m + div(ρ∇[V + εφ(c)]), ∂tc = Δc - κc - εφ'(c)ρ"
    name: Literal["chemotaxis"] = Field(description="the system")
    m: Annotated[float, Field(ge=1)] = Field(2.0, description="diffusion exponent, at least 1, dimensionless")
    epsilon: NonNegative = Field(1.0, description="strength of the coupling, dimensionless")
    kappa: NonNegative = Field(1.0, description="rate at which the signal decays, dimensionless")
    phi: Text = Field("-c", description="the signal's effect, expression in c, dimensionless")
    potential: Text = Field("0", description="potential of rho, expression in x, y, z, r, dimensionless")

    @property
    @override
    def fields(self) -> Fields:
        """The density and the signal."""
        return (("rho", "wasserstein"), ("c", "l2"))

    @override
    def formulas(self) -> Formulas:
        """The potential and the signal's effect."""
        yield "potential", self.potential, COORDINATES_AND_TIME
        yield "phi", self.phi, ("c",)

    @property
    @override
    def confined(self) -> bool:
        """Where there is a potential; without one the mesh is the domain."""
        return self.potential != "0"

    @property
    @override
    def exponential_rate(self) -> float | None:
        """2κ (Matthes, chemotaxis), where the potential is at least as convex."""
        return 2.0 * self.kappa if self.kappa > 0.0 else None

    @override
    def flow(self, config: RunConfig, marked: MarkedMesh) -> GradientFlow:
        """∂tρ = Δρ^m + div(ρ∇[V + εφ(c)]), ∂tc = Δc - κc - εφ'(c)ρ."""
        import ufl

        from fem_models.expressions import Expression
        from fem_models.systems.chemotaxis import chemotaxis

        potential = formula(self.potential, "[system] potential", config.constants, ("t",))
        phi = Expression(self.phi, ("c",), config.constants, where="[system] phi")

        def effect(c: Any) -> Any:
            return phi.ufl(ufl.SpatialCoordinate(marked.mesh), {"c": c})

        return chemotaxis(marked.mesh, potential, self.m, self.epsilon, self.kappa, effect)

    @override
    def studies(
        self, flow: GradientFlow, steady: State | None, initial: State, start: float
    ) -> Sequence[Study[State]]:
        """How far the density concentrates, and the convex expansion around the steady state."""
        from fem_models.systems.studies.concentration import Concentration
        from fem_models.systems.studies.convex_expansion import ConvexExpansion

        return [Concentration(flow), *([] if steady is None else [ConvexExpansion(flow, steady)])]


SYSTEMS.add("chemotaxis", Chemotaxis)
FIGURES.add(
    "concentration", of_systems("fem_models.plotting.concentration:concentration_figure", "chemotaxis")
)
