"""Local energies: densities e(ρ, x) integrated over the domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, override

import ufl
from ufl.core.expr import Expr

from fem_models.core.checks import finite, is_number, positive
from fem_models.core.errors import InputError
from fem_models.energies.terms import (
    Fields,
    Multiple,
    Term,
    WithCoefficient,
    name_one,
    names_of,
    times,
)
from fem_models.expressions.expression import Expression
from fem_models.expressions.functions import COORDINATES, FunctionOfX, as_ufl


@dataclass(frozen=True)
class Boltzmann(WithCoefficient):
    """Boltzmann's entropy, c ∫ ρ log ρ: linear diffusion with coefficient c > 0 (Wasserstein metric).

    Args:
        of: The species.
        coefficient: c.
        name: The name of the term.

    Raises:
        InputError: A coefficient that is not positive and finite, or not one species.
    """

    of: str | tuple[str, ...] = "rho"
    coefficient: float = 1.0
    name: str = "boltzmann"

    def __post_init__(self) -> None:
        name_one(self)
        positive(self.coefficient, f"The coefficient of {self.name}")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        rho = fields[self.of[0]]
        return self.coefficient * ufl.conditional(ufl.gt(rho, 0.0), rho * ufl.ln(rho), 0.0)

    @property
    @override
    def entropy(self) -> Mapping[str, float]:
        return {self.of[0]: self.coefficient}


@dataclass(frozen=True)
class PowerLaw(WithCoefficient):
    """The energy c ∫ ρ^m/(m-1), whose flow is ∂tρ = c Δρ^m (Matthes; m = 1 is Boltzmann's).

    For m > 1 these are porous media. For m < 1 this is fast diffusion: the potential is -∞ in vacuum, and
    densities are positive at once. For m < 0 the energy itself is infinite in vacuum, and c is negative, so
    that mass spreads; `Logarithmic` stands between the two.

    Args:
        m: The exponent, neither 0 nor 1.
        of: The species.
        coefficient: c, with the sign of m.
        name: The name of the term.

    Raises:
        InputError: An exponent or a coefficient that is out of range, or not one species.
    """

    m: float
    of: str | tuple[str, ...] = "rho"
    coefficient: float = 1.0
    name: str = "power-law"

    def __post_init__(self) -> None:
        name_one(self)
        if not is_number(self.m) or not math.isfinite(self.m) or self.m in (0.0, 1.0):
            raise InputError(
                f"The exponent m of {self.name} must be finite and neither 0 nor 1, not {self.m!r}; "
                "Boltzmann's entropy stands for m = 1, and the logarithmic energy for m = 0."
            )
        what = f"The coefficient of {self.name}"
        if self.m > 0.0:
            positive(self.coefficient, what)
        elif finite(self.coefficient, what) >= 0.0:
            raise InputError(
                f"The exponent m of {self.name} is {self.m:g}: with a negative one, the coefficient must be "
                f"negative too, not {self.coefficient:g}, so that mass spreads."
            )

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        # UFL differentiates whole powers down to constants, without pow(0, -1) on the way.
        exponent = int(self.m) if float(self.m).is_integer() else self.m
        return self.coefficient / (self.m - 1.0) * fields[self.of[0]] ** exponent


@dataclass(frozen=True)
class Logarithmic(WithCoefficient):
    """The energy -c ∫ log ρ, whose flow is logarithmic diffusion, ∂tρ = c Δ log ρ.

    It is infinite in vacuum, where densities cannot begin.

    Args:
        of: The species.
        coefficient: c > 0.
        name: The name of the term.

    Raises:
        InputError: A coefficient that is not positive and finite, or not one species.
    """

    of: str | tuple[str, ...] = "rho"
    coefficient: float = 1.0
    name: str = "logarithmic"

    def __post_init__(self) -> None:
        name_one(self)
        positive(self.coefficient, f"The coefficient of {self.name}")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return -self.coefficient * ufl.ln(fields[self.of[0]])


def diffusion(m: float, of: str = "rho", name: str = "diffusion", coefficient: float = 1.0) -> Term:
    """The energy whose flow is ∂tρ = c Δρ^m: Boltzmann's entropy for m = 1, otherwise the power law.

    Args:
        m: The exponent, not 0.
        of: The species.
        name: The name of the term.
        coefficient: c, with the sign of m.

    Returns:
        The term.

    Raises:
        InputError: An exponent or a coefficient that is out of range.
    """
    if m == 1.0:
        return Boltzmann(of, coefficient, name)
    return PowerLaw(m, of, coefficient, name)


def fast_diffusion(alpha: float, of: str = "rho", name: str = "diffusion", coefficient: float = 1.0) -> Term:
    """The energy whose flow is ∂tρ = c div(ρ^{-α}∇ρ) (Evans, Morris and Yoldaş, (1.3)).

    Its density e has ρ e'' = c ρ^{-α}: it is c ρ log ρ for α = 0, -c log ρ for α = 1, and otherwise
    c ρ^{1-α}/(α(α-1)), the power law with m = 1-α. Diffusion is fast for α > 0, and slow for α < 0.

    Args:
        alpha: α, any number.
        of: The species.
        name: The name of the term.
        coefficient: c > 0.

    Returns:
        The term.

    Raises:
        InputError: An exponent that is not finite, or a coefficient that is not positive and finite.
    """
    finite(alpha, f"The exponent alpha of {name}")
    positive(coefficient, f"The coefficient of {name}")
    if alpha == 1.0:
        return Logarithmic(of, coefficient, name)
    return diffusion(1.0 - alpha, of, name, coefficient / (1.0 - alpha))


@dataclass(frozen=True)
class Quadratic(WithCoefficient):
    """The term c/2 ∫ ρ².

    For c = α_u (N-1) ε^d it is the excluded volume of N particles of diameter ε (Bruna, Burger and
    Carrillo, (1.6)).

    Args:
        coefficient: c, of either sign.
        of: The species.
        name: The name of the term.

    Raises:
        InputError: A coefficient that is not finite, or not one species.
    """

    coefficient: float = 1.0
    of: str | tuple[str, ...] = "rho"
    name: str = "quadratic"

    def __post_init__(self) -> None:
        name_one(self)
        finite(self.coefficient, f"The coefficient of {self.name}")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return 0.5 * self.coefficient * fields[self.of[0]] ** 2


@dataclass(frozen=True)
class Potential(Term):
    """The energy ∫ V ρ in an external potential.

    Args:
        V: A number, text such as "x**2 + y**2", a UFL scalar, or a function of x with UFL functions. The
            values of DOLFINx's constants and functions in it are read anew in every step: they may change.
        of: The species.
        name: The name of the term.

    Raises:
        InputError: Not one species; V is looked at where the energy gets its mesh.
    """

    V: FunctionOfX
    of: str | tuple[str, ...] = "rho"
    name: str = "potential"

    def __post_init__(self) -> None:
        name_one(self)

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return as_ufl(self.V, x, self._what) * fields[self.of[0]]

    @override
    def scaled(self, factor: float) -> Self:
        return replace(self, V=Multiple(factor, self.V, self._what))

    @property
    def _what(self) -> str:
        return f"The potential V of the energy term {self.name}"


@dataclass(frozen=True)
class Density(WithCoefficient):
    """Any local energy c ∫ e(ρ, x).

    An entropy ρ log ρ inside it is not recognised: write it as a `Boltzmann` term, which allows for vacuum.

    Args:
        expression: e: a function of the fields (by name) and of x that returns UFL, or text such as
            "u**2*v" in the names of the fields and the coordinates.
        of: All species that e depends on.
        name: The name of the term.
        coefficient: c, of either sign.

    Raises:
        InputError: A coefficient that is not finite; e is looked at where the energy gets its mesh.
    """

    expression: str | Callable[[Fields, Expr], Any]
    of: str | tuple[str, ...] = ("rho",)
    name: str = "density"
    coefficient: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", names_of(self.of, self.name))
        finite(self.coefficient, f"The coefficient of {self.name}")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        what = f"The energy term {self.name}"
        known = _OwnFields(self.name, {name: fields[name] for name in self.of})
        expression = self.expression
        if isinstance(expression, str):
            value = Expression(expression, (*COORDINATES, *self.of), where=what).ufl(x, known)
        else:
            value = as_ufl(lambda point: expression(known, point), x, what)
        return times(self.coefficient, value)


class _OwnFields(dict[str, Expr]):
    """The fields that a term depends on; another one is refused."""

    def __init__(self, term: str, fields: Fields) -> None:
        super().__init__(fields)
        self._term = term

    def __missing__(self, name: str) -> Expr:
        raise InputError(
            f"The energy term {self._term} uses the field {name!r}, which is not in its `of` "
            f"({', '.join(self)}): name all fields there that it depends on."
        )
