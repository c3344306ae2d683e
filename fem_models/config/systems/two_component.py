"""The system "two-component": two densities with a small coupling (Matthes)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, override

from pydantic import BeforeValidator, Field, model_validator

from fem_models.config.figures import FIGURES, of_systems
from fem_models.config.flow_system import FlowSystem
from fem_models.config.formulas import COORDINATES, COORDINATES_AND_TIME, Formulas, formula
from fem_models.config.system import SYSTEMS, Fields
from fem_models.config.types import NonNegative, Numbers, Positive, Text, as_tuple
from fem_models.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fem_models.config.run_file import RunConfig
    from fem_models.core.protocols import Study
    from fem_models.flow.gradient_flow import GradientFlow, State
    from fem_models.meshes.marks import MarkedMesh

Centers = Annotated[tuple[Numbers, ...], BeforeValidator(as_tuple), Field(min_length=2, max_length=2)]
Potentials = Annotated[tuple[Text, ...], BeforeValidator(as_tuple), Field(min_length=2, max_length=2)]


class TwoComponent(FlowSystem):
    """[system] name = "two-component": two densities rho1 and rho2 with a small coupling."""

    needs_steady: ClassVar[bool] = True
    equation: ClassVar[str] = (
        "∂tρ_i = Δρ_i^m + div(ρ_i ∇[V_i + ε ∂_i H(ρ₁, ρ₂)]), or a smooth kernel K(x - y) in place of H"
    )
    name: Literal["two-component"] = Field(description="the system")
    m: Annotated[float, Field(ge=1)] = Field(2.0, description="diffusion exponent, at least 1, dimensionless")
    epsilon: NonNegative = Field(0.0, description="strength of the coupling, dimensionless")
    coupling: Text | None = Field(
        None,
        description="H, expression in rho1 and rho2 ((rho1*rho2/(1 + rho1 + rho2))**m unless given), "
        "dimensionless; excludes kernel",
    )
    kernel: Text | None = Field(
        None, description="K of a non-local coupling, expression in x, y, z, r of a difference, dimensionless"
    )
    convexity: Positive = Field(
        1.0,
        alias="lambda",
        description="convexity of the potentials lambda/2 |x - center|^2, dimensionless; excludes potentials",
    )
    centers: Centers | None = Field(
        None,
        description="centres of the two potentials, one point each, dimensionless; excludes potentials",
    )
    potentials: Potentials | None = Field(
        None, description="the two potentials, expressions in x, y, z, r, t, dimensionless; excludes centers"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.coupling is not None and self.kernel is not None:
            raise ValueError("coupling and kernel exclude each other; keep one of them")
        if (self.centers is None) == (self.potentials is None):
            raise ValueError("needs exactly one of centers (with lambda) and potentials")
        return self

    @property
    @override
    def fields(self) -> Fields:
        """The two densities."""
        return (("rho1", "wasserstein"), ("rho2", "wasserstein"))

    @override
    def formulas(self) -> Formulas:
        """The potentials and the coupling."""
        for number, text in enumerate(self.potentials or ()):
            yield f"potentials.{number}", text, COORDINATES_AND_TIME
        if self.coupling is not None:
            yield "coupling", self.coupling, ("rho1", "rho2")
        if self.kernel is not None:
            yield "kernel", self.kernel, COORDINATES

    @property
    @override
    def confined(self) -> bool:
        """Yes: the potentials confine."""
        return True

    @property
    @override
    def exponential_rate(self) -> float | None:
        """2λ (Matthes, with |∂L|² ≥ 2λL)."""
        return None if self.centers is None else 2.0 * self.convexity

    @override
    def flow(self, config: RunConfig, marked: MarkedMesh) -> GradientFlow:
        """∂tρ_i = Δρ_i^m + div(ρ_i ∇[V_i + ε ∂_iH(ρ₁, ρ₂)]), or a kernel in place of H."""
        import ufl

        from fem_models.expressions import Expression
        from fem_models.systems.two_component import two_component

        coupling = kernel = None
        if self.coupling is not None:
            H = Expression(self.coupling, ("rho1", "rho2"), config.constants, where="[system] coupling")

            def coupling(fields: Any) -> Any:
                return H.ufl(ufl.SpatialCoordinate(marked.mesh), fields)

        if self.kernel is not None:
            kernel = formula(self.kernel, "[system] kernel", config.constants).numpy
        potentials = self._potentials(config, marked.mesh.geometry.dim)
        return two_component(marked.mesh, potentials, self.m, self.epsilon, coupling, kernel)

    def _potentials(self, config: RunConfig, dimension: int) -> Any:
        """The two potentials, given or quadratic about the centres."""
        from fem_models.systems.two_component import quadratic_potentials

        if self.potentials is not None:
            return [
                formula(text, f"[system] potentials.{number}", config.constants, ("t",))
                for number, text in enumerate(self.potentials)
            ]
        for center in self.centers or ():
            if len(center) != dimension:
                raise InputError(
                    f"[system] centers has the point {list(center)}; the mesh has {dimension} dimensions."
                )
        return quadratic_potentials(self.convexity, self.centers or ())

    @override
    def studies(
        self, flow: GradientFlow, steady: State | None, initial: State, start: float
    ) -> Sequence[Study[State]]:
        """The convex expansion around the steady state."""
        from fem_models.systems.studies.convex_expansion import ConvexExpansion

        return [] if steady is None else [ConvexExpansion(flow, steady)]


SYSTEMS.add("two-component", TwoComponent)
FIGURES.add(
    "expansion",
    of_systems("fem_models.plotting.expansion:expansion_figure", "two-component", "chemotaxis"),
)
