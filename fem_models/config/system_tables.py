"""The table [system] of a run file, one model for each system. Every number is dimensionless.

Besides its keys each says which fields it has, with their metrics, and which expressions in which variables.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fem_models.config.types import Count, NonNegative, Numbers, Positive, Table, Text, as_tuple

COORDINATES = ("x", "y", "z", "r")
INTERACTIONS = ("hard-sphere", "yukawa", "power-law")

Fields = tuple[tuple[str, str], ...]
"""Names of fields with their metrics."""

Formulas = Iterator[tuple[str, str, tuple[str, ...]]]
"""Key, text and variables of expressions."""


class System(Table):
    """What systems share."""

    @property
    def fields(self) -> Fields:
        """The fields of the system with their metrics; none where [[species]] has them."""
        return (("rho", "wasserstein"),)

    def formulas(self) -> Formulas:
        """The expressions of the table, with the variables each may use."""
        yield from ()

    @property
    def confined(self) -> bool:
        """Whether the theory has the whole space, so that the mesh must hold all of the mass."""
        return False

    @property
    def exponential_rate(self) -> float | None:
        """The rate at which the theory has the energy decay without coupling, where there is one."""
        return None


class ExcludedVolume(System):
    """[system] name = "excluded-volume": diffusing particles that exclude volume."""

    name: Literal["excluded-volume"] = Field(description="the system")
    potential: Text = Field("0", description="external potential, expression in x, y, z, r, dimensionless")
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

    def formulas(self) -> Formulas:
        """The potential and the interaction."""
        yield "potential", self.potential, COORDINATES
        if self.interaction not in (None, *INTERACTIONS):
            yield "interaction", str(self.interaction), ("r",)


class FokkerPlanck(System):
    """[system] name = "fokker-planck": drift and linear or nonlinear diffusion of one density."""

    name: Literal["fokker-planck"] = Field(description="the system")
    m: Positive = Field(1.0, description="diffusion exponent, 1 is Boltzmann's entropy, dimensionless")
    diffusion: NonNegative = Field(1.0, description="diffusion coefficient, dimensionless")
    potential: Text = Field("0", description="potential, expression in x, y, z, r, dimensionless")

    def formulas(self) -> Formulas:
        """The potential."""
        yield "potential", self.potential, COORDINATES


class GradientFlow(System):
    """[system] name = "gradient-flow": the flow of the [[energy]] terms in the metrics of the [[species]]."""

    name: Literal["gradient-flow"] = Field(description="the system")

    @property
    def fields(self) -> Fields:
        """None: they are those of [[species]]."""
        return ()


Centers = Annotated[tuple[Numbers, ...], BeforeValidator(as_tuple), Field(min_length=2, max_length=2)]
Potentials = Annotated[tuple[Text, ...], BeforeValidator(as_tuple), Field(min_length=2, max_length=2)]


class TwoComponent(System):
    """[system] name = "two-component": two densities rho1 and rho2 with a small coupling."""

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
        None, description="the two potentials, expressions in x, y, z, r, dimensionless; excludes centers"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.coupling is not None and self.kernel is not None:
            raise ValueError("coupling and kernel exclude each other; keep one of them")
        if (self.centers is None) == (self.potentials is None):
            raise ValueError("needs exactly one of centers (with lambda) and potentials")
        return self

    @property
    def fields(self) -> Fields:
        """The two densities."""
        return (("rho1", "wasserstein"), ("rho2", "wasserstein"))

    def formulas(self) -> Formulas:
        """The potentials and the coupling."""
        for number, text in enumerate(self.potentials or ()):
            yield f"potentials.{number}", text, COORDINATES
        if self.coupling is not None:
            yield "coupling", self.coupling, ("rho1", "rho2")
        if self.kernel is not None:
            yield "kernel", self.kernel, COORDINATES

    @property
    def confined(self) -> bool:
        """Yes: the potentials confine."""
        return True

    @property
    def exponential_rate(self) -> float | None:
        """2λ (Matthes, with |∂L|² ≥ 2λL)."""
        return None if self.centers is None else 2.0 * self.convexity


class Chemotaxis(System):
    """[system] name = "chemotaxis": a density rho and a signal c."""

    name: Literal["chemotaxis"] = Field(description="the system")
    m: Annotated[float, Field(ge=1)] = Field(2.0, description="diffusion exponent, at least 1, dimensionless")
    epsilon: NonNegative = Field(1.0, description="strength of the coupling, dimensionless")
    kappa: NonNegative = Field(1.0, description="rate at which the signal decays, dimensionless")
    phi: Text = Field("-c", description="the signal's effect, expression in c, dimensionless")
    potential: Text = Field("0", description="potential of rho, expression in x, y, z, r, dimensionless")

    @property
    def fields(self) -> Fields:
        """The density and the signal."""
        return (("rho", "wasserstein"), ("c", "l2"))

    def formulas(self) -> Formulas:
        """The potential and the signal's effect."""
        yield "potential", self.potential, COORDINATES
        yield "phi", self.phi, ("c",)

    @property
    def confined(self) -> bool:
        """Where there is a potential; without one the mesh is the domain."""
        return self.potential != "0"

    @property
    def exponential_rate(self) -> float | None:
        """2κ (Matthes, chemotaxis), where the potential is at least as convex."""
        return 2.0 * self.kappa if self.kappa > 0.0 else None


class Ion(Table):
    """An entry of [system] ions: one kind of charged particles."""

    name: str = Field(description="name of the density, an identifier")
    valence: float = Field(description="charge number, dimensionless")
    potential: Text = Field("0", description="external potential, expression in x, y, z, r, dimensionless")


class Electrode(Table):
    """An entry of [system] electrodes: a part of the boundary where the electrostatic potential is given."""

    boundary: str = Field(description="name of a part of the boundary of the mesh")
    potential: Text = Field("0", description="psi there, expression in x, y, z, r, dimensionless")


class PoissonNernstPlanck(System):
    """[system] name = "poisson-nernst-planck": charged particles in their own electrostatic potential psi."""

    name: Literal["poisson-nernst-planck"] = Field(description="the system")
    m: Annotated[float, Field(ge=1)] = Field(1.0, description="diffusion exponent, at least 1, dimensionless")
    ions: Annotated[tuple[Ion, ...], BeforeValidator(as_tuple), Field(min_length=1)] = Field(
        (Ion(name="u", valence=1.0), Ion(name="v", valence=-1.0)),
        description="the kinds of particles, { name, valence, potential } each",
    )
    permittivity: Text = Field("1", description="permittivity, expression in x, y, z, r, dimensionless")
    doping: Text = Field("0", description="fixed charges, expression in x, y, z, r, dimensionless")
    electrodes: Annotated[tuple[Electrode, ...], BeforeValidator(as_tuple)] = Field(
        (), description="where psi is given, { boundary, potential } each"
    )

    @property
    def fields(self) -> Fields:
        """The ions and the electrostatic potential."""
        return (*((ion.name, "wasserstein") for ion in self.ions), ("psi", "static"))

    def formulas(self) -> Formulas:
        """Potentials, permittivity and doping."""
        for number, ion in enumerate(self.ions):
            yield f"ions.{number}.potential", ion.potential, COORDINATES
        yield "permittivity", self.permittivity, COORDINATES
        yield "doping", self.doping, COORDINATES
        for number, electrode in enumerate(self.electrodes):
            yield f"electrodes.{number}.potential", electrode.potential, COORDINATES
