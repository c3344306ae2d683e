"""The system "excluded-volume": diffusing particles that exclude volume (Bruna, Burger and Carrillo)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, override

from pydantic import Field, model_validator

from fem_models.config.flow_system import FlowSystem
from fem_models.config.formulas import COORDINATES_AND_TIME, Formulas, formula
from fem_models.config.system import SYSTEMS
from fem_models.config.types import Count, NonNegative, Positive, Text
from fem_models.core.errors import InputError
from fem_models.core.suggestions import choices, nearest
from fem_models.particles.interactions import INTERACTIONS

if TYPE_CHECKING:
    from fem_models.config.run_file import RunConfig
    from fem_models.flow.gradient_flow import GradientFlow
    from fem_models.meshes.marks import MarkedMesh


class ExcludedVolume(FlowSystem):
    """[system] name = "excluded-volume": diffusing particles that exclude volume."""

    equation: ClassVar[str] = "∂tρ = div((1 + cρ)∇ρ + ρ∇V)"
    name: Literal["excluded-volume"] = Field(description="the system")
    potential: Text = Field("0", description="external potential, expression in x, y, z, r, t, dimensionless")
    coefficient: NonNegative | None = Field(
        None, description="excluded-volume coefficient, dimensionless; excludes interaction"
    )
    interaction: Text | None = Field(
        None, description='pair potential: "hard-sphere", "yukawa", "power-law" or an expression in r'
    )
    particles: Count | None = Field(None, description="number of particles (with interaction)")
    diameter: Positive | None = Field(
        None, description="range of the interaction, dimensionless (with interaction)"
    )
    exponent: Positive | None = Field(None, description='decay exponent of "power-law", dimensionless')

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.coefficient is not None and self.interaction is not None:
            raise ValueError("coefficient and interaction exclude each other; keep one of them")
        if self.coefficient is None and self.interaction is None:
            raise ValueError("needs coefficient, or interaction with particles and diameter")
        for key in ("particles", "diameter"):
            if self.coefficient is not None and getattr(self, key) is not None:
                raise ValueError(f"{key} goes with interaction only; remove it or replace coefficient")
            if self.interaction is not None and getattr(self, key) is None:
                raise ValueError(f"{key} is missing; interaction needs particles and diameter")
        if (self.interaction == "power-law") != (self.exponent is not None):
            state = (
                "does not go with anything but"
                if self.exponent is not None
                else "is missing; it is required by"
            )
            raise ValueError(f'exponent {state} interaction = "power-law"')
        return self

    @override
    def formulas(self) -> Formulas:
        """The potential and the interaction."""
        yield "potential", self.potential, COORDINATES_AND_TIME
        if self.interaction not in (None, *INTERACTIONS):
            yield "interaction", str(self.interaction), ("r",)

    @override
    def explained(self, text: str, sentence: str, key: str) -> str:
        """With the names of interactions."""
        if key != "interaction":
            return sentence
        if nearest(text, INTERACTIONS):
            known = choices(text, INTERACTIONS)
            return f'[system] interaction = "{text}" is not known; {known}, or an expression in r.'
        return f"{sentence.removesuffix('.')}, or one of {', '.join(INTERACTIONS)}."

    @override
    def flow(self, config: RunConfig, marked: MarkedMesh) -> GradientFlow:
        """∂tρ = div((1 + cρ)∇ρ + ρ∇V), (4.1) with (1.6)."""
        from fem_models.systems.excluded_volume import excluded_volume

        potential = formula(self.potential, "[system] potential", config.constants, ("t",))
        coefficient = self._coefficient(config, marked.mesh.geometry.dim)
        return excluded_volume(marked.mesh, potential, coefficient)

    def _coefficient(self, config: RunConfig, dimension: int) -> float:
        """The coefficient of the excluded volume, given or from the interaction of the particles."""
        if self.coefficient is not None:
            return self.coefficient
        from fem_models.particles.excluded_volume import nonlinear_coefficient

        interaction = str(self.interaction)
        potential: Any = interaction
        if interaction not in INTERACTIONS:
            pair = formula(interaction, "[system] interaction", config.constants)

            def potential(r: Any) -> Any:
                return pair.numpy(r[None, :], fields={"r": r})

        try:
            # That particles and diameter go with an interaction has been checked.
            return nonlinear_coefficient(
                potential, dimension, self.particles or 0, self.diameter or 0.0, exponent=self.exponent
            )
        except InputError as error:
            raise InputError(f"[system] interaction: {error}") from None


SYSTEMS.add("excluded-volume", ExcludedVolume)
