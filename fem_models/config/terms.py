"""The tables of [[energy]], and the terms of an energy that they become. Every number is dimensionless.

A term of one's own is a subclass of `Term` with a key `term` of its own, registered in `TERMS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, override

from pydantic import Field, field_validator, model_validator

from fem_models.config.formulas import COORDINATES, COORDINATES_AND_TIME, SPECIES, Formulas, formula
from fem_models.config.registry import Registry
from fem_models.config.types import Label, Names, Table, Text
from fem_models.core.errors import InputError

if TYPE_CHECKING:
    from fem_models import energies


class Term(Table):
    """What the terms of [[energy]] share."""

    term: str = Field(description="kind of the term")
    of: Names | None = Field(None, description="species of the term: a name or a list of names")
    label: Label | None = Field(None, description="unique name of the term in tables and figures")

    joint: ClassVar[bool] = False
    """Whether one term is of all its species together; else there is one term for each of them."""

    @field_validator("of")
    @classmethod
    def _distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and len(set(names)) < len(names):
            raise ValueError("must not name a species twice")
        return names

    def formulas(self) -> Formulas:
        """The expressions of the term: the key, the text, and the variables that it may use."""
        yield from ()

    def build(
        self, where: str, name: str, of: tuple[str, ...], constants: Mapping[str, float]
    ) -> energies.Term:
        """The term of an energy.

        Args:
            where: The beginning of sentences about it.
            name: Its name in tables.
            of: Its species.
            constants: What expressions may name.

        Returns:
            A term of `fem_models.energies`.
        """
        raise TypeError(f"{type(self).__name__} does not say how its term is built.")


def _rename(data: Any, alias: str, key: str) -> Any:
    """Return the table with its alias renamed to the key."""
    if not isinstance(data, dict) or alias not in data:
        return data
    if key in data:
        raise ValueError(f"means the same as {key}; keep one of them")
    return {key if name == alias else name: value for name, value in data.items()}


class BoltzmannTerm(Term):
    """Coefficient times the integral of u log u."""

    term: Literal["boltzmann"] = Field(description="kind of the term")
    coefficient: float = Field(1.0, description="factor of the term, dimensionless")

    @override
    def build(
        self, where: str, name: str, of: tuple[str, ...], constants: Mapping[str, float]
    ) -> energies.Term:
        """Boltzmann's entropy."""
        from fem_models.energies import Boltzmann

        return Boltzmann(of=of, coefficient=self.coefficient, name=name)


class PowerLawTerm(Term):
    """Coefficient times the integral of u^m/(m-1)."""

    term: Literal["power-law"] = Field(description="kind of the term")
    m: float = Field(description="exponent, neither 0 nor 1, dimensionless")
    coefficient: float = Field(1.0, description="factor of the term, with the sign of m, dimensionless")

    @field_validator("m")
    @classmethod
    def _has_a_power(cls, m: float) -> float:
        if m in (0, 1):
            other = "boltzmann" if m == 1 else "logarithmic"
            raise ValueError(f'must not be {m:g}; use term = "{other}" for m = {m:g}')
        return m

    @override
    def build(
        self, where: str, name: str, of: tuple[str, ...], constants: Mapping[str, float]
    ) -> energies.Term:
        """The energy of porous media and fast diffusion."""
        from fem_models.energies import PowerLaw

        return PowerLaw(self.m, of=of, coefficient=self.coefficient, name=name)


class LogarithmicTerm(Term):
    """Minus coefficient times the integral of log u."""

    term: Literal["logarithmic"] = Field(description="kind of the term")
    coefficient: float = Field(1.0, description="factor of the term, dimensionless")

    @override
    def build(
        self, where: str, name: str, of: tuple[str, ...], constants: Mapping[str, float]
    ) -> energies.Term:
        """The energy of logarithmic diffusion."""
        from fem_models.energies import Logarithmic

        return Logarithmic(of=of, coefficient=self.coefficient, name=name)


class QuadraticTerm(Term):
    """Coefficient times the integral of u^2/2."""

    term: Literal["quadratic"] = Field(description="kind of the term")
    coefficient: float = Field(1.0, description="factor of the term, dimensionless")

    @override
    def build(
        self, where: str, name: str, of: tuple[str, ...], constants: Mapping[str, float]
    ) -> energies.Term:
        """The energy of local repulsion."""
        from fem_models.energies import Quadratic

        return Quadratic(self.coefficient, of=of, name=name)


class PotentialTerm(Term):
    """The integral of V u."""

    term: Literal["potential"] = Field(description="kind of the term")
    V: Text = Field(description="potential, expression in x, y, z, r, t, dimensionless (or: potential)")

    @model_validator(mode="before")
    @classmethod
    def _alias(cls, data: Any) -> Any:
        return _rename(data, "potential", "V")

    @override
    def formulas(self) -> Formulas:
        """V."""
        yield "V", self.V, COORDINATES_AND_TIME

    @override
    def build(
        self, where: str, name: str, of: tuple[str, ...], constants: Mapping[str, float]
    ) -> energies.Term:
        """The energy in an external potential."""
        from fem_models.energies import Potential

        return Potential(formula(self.V, f"{where} V", constants, ("t",)), of=of, name=name)


class DensityTerm(Term):
    """The integral of an expression in the species."""

    joint: ClassVar[bool] = True

    term: Literal["density"] = Field(description="kind of the term")
    expression: Text = Field(
        description="energy density, expression in the species, x, y, z, r, dimensionless"
    )

    @override
    def formulas(self) -> Formulas:
        """The energy density, in the coordinates and the species."""
        yield "expression", self.expression, (*COORDINATES, *SPECIES)

    @override
    def build(
        self, where: str, name: str, of: tuple[str, ...], constants: Mapping[str, float]
    ) -> energies.Term:
        """A local energy."""
        from fem_models.energies import Density

        density = formula(self.expression, f"{where} expression", constants, of)
        return Density(lambda fields, x: density.ufl(x, fields), of=of, name=name)


class DirichletTerm(Term):
    """The integral of coefficient |grad u|^2/2."""

    term: Literal["dirichlet"] = Field(description="kind of the term")
    coefficient: Text = Field(
        "1", description="coefficient, expression in x, y, z, r, dimensionless; negative for a static field"
    )

    @override
    def formulas(self) -> Formulas:
        """The coefficient."""
        yield "coefficient", self.coefficient, COORDINATES

    @override
    def build(
        self, where: str, name: str, of: tuple[str, ...], constants: Mapping[str, float]
    ) -> energies.Term:
        """The Dirichlet energy of a field that is no density."""
        from fem_models.energies import Dirichlet

        return Dirichlet(of, formula(self.coefficient, f"{where} coefficient", constants).ufl, name)


class InteractionTerm(Term):
    """Coefficient times the double integral of K(x - y) u(x) w(y), for `of` with one or two species."""

    joint: ClassVar[bool] = True

    term: Literal["interaction"] = Field(description="kind of the term")
    kernel: Text = Field(description="K, expression in x, y, z, r of the difference, dimensionless")
    coefficient: float = Field(1.0, description="factor of the term, dimensionless")

    @override
    def formulas(self) -> Formulas:
        """The kernel."""
        yield "kernel", self.kernel, COORDINATES

    @override
    def build(
        self, where: str, name: str, of: tuple[str, ...], constants: Mapping[str, float]
    ) -> energies.Term:
        """A non-local coupling.

        Raises:
            InputError: More than two species.
        """
        from fem_models.energies import Interaction

        if len(of) > 2:
            raise InputError(f"{where} of must name one or two species, not {len(of)}.")
        kernel = formula(self.kernel, f"{where} kernel", constants).numpy
        return Interaction(kernel, (of[0], of[-1]), self.coefficient, name)


TERMS: Registry[type[Term]] = Registry("energy term")
TERMS.add("boltzmann", BoltzmannTerm)
TERMS.add("power-law", PowerLawTerm)
TERMS.add("logarithmic", LogarithmicTerm)
TERMS.add("quadratic", QuadraticTerm)
TERMS.add("potential", PotentialTerm)
TERMS.add("density", DensityTerm)
TERMS.add("dirichlet", DirichletTerm)
TERMS.add("interaction", InteractionTerm)
