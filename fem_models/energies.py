"""Free energies as sums of named terms, each written once.

A term of E(ρ) is the sum of up to three parts: a density, ∫ e(ρ, x) dx with e in UFL; Dirichlet energies,
½∫ a|∇c|²; and an interaction, ∫∫ K(x-y) ρ₁(x) ρ₂(y). Potentials δE/δρ, their derivatives and the reports all
follow from it. Entropies c ρ log ρ are also known by their coefficient c, because the edge fluxes treat
θ log ρ exactly (see `fem_models.nodal.fluxes`). Everything is dimensionless.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, override

import numpy as np
import numpy.typing as npt
import ufl
from ufl.core.expr import Expr

from fem_models.core.errors import InputError

Fields = Mapping[str, Expr]
Coefficient = float | Expr | Callable[[Expr], Any]
"""A number, a UFL expression, or a function of the coordinates that gives one."""
Kernel = Callable[[npt.NDArray[np.float64]], npt.ArrayLike]
"""K(z) at differences z = x - y of shape (dim, n), with n values."""


def evaluated(coefficient: Coefficient, x: Expr) -> Expr:
    """A coefficient as UFL."""
    value = coefficient(x) if callable(coefficient) and not isinstance(coefficient, Expr) else coefficient
    return ufl.as_ufl(value)


class Term(ABC):
    """One term of an energy.

    Attributes:
        name: Unique within an energy; the term is reported under it.
        of: Names of the species it depends on.
    """

    name: str
    of: tuple[str, ...]

    @abstractmethod
    def density(self, fields: Fields, x: Expr) -> Expr:
        """The energy density e(ρ, x) as a UFL scalar.

        Args:
            fields: The densities by name, UFL scalars.
            x: The coordinates, a UFL vector.
        """

    @property
    def entropy(self) -> Mapping[str, float]:
        """The coefficient c of c ρ log ρ for each species of which the whole term is that entropy."""
        return {}

    def stiffness(self, x: Expr) -> Mapping[str, Expr]:
        """The coefficient a, a UFL scalar or tensor, of ½∫ ∇c·a∇c for each field with such a part."""
        return {}

    @property
    def interaction(self) -> tuple[str, str, Kernel] | None:
        """Species a and b and the kernel K of a part ∫∫ K(x-y) ρ_a(x) ρ_b(y), if there is one."""
        return None

    def __add__(self, other: Term | Energy) -> Energy:
        return Energy((self,)) + other


@dataclass(frozen=True)
class Boltzmann(Term):
    """Boltzmann's entropy, c ∫ ρ log ρ: linear diffusion with coefficient c > 0 (Wasserstein metric)."""

    of: str | tuple[str, ...] = "rho"
    coefficient: float = 1.0
    name: str = "boltzmann"

    def __post_init__(self) -> None:
        _name_one(self)
        if not 0.0 < self.coefficient < math.inf:
            raise InputError(f"The coefficient of {self.name} must be positive, not {self.coefficient!r}.")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        rho = fields[self.of[0]]
        return self.coefficient * ufl.conditional(ufl.gt(rho, 0.0), rho * ufl.ln(rho), 0.0)

    @property
    @override
    def entropy(self) -> Mapping[str, float]:
        return {self.of[0]: self.coefficient}


@dataclass(frozen=True)
class PowerLaw(Term):
    """The porous-medium energy c ∫ ρ^m/(m-1), whose flow is ∂tρ = c Δρ^m (Matthes; m = 1 is Boltzmann's).

    For 0 < m < 1 this is fast diffusion: the potential is -∞ in vacuum, and densities are positive at once.
    """

    m: float
    of: str | tuple[str, ...] = "rho"
    coefficient: float = 1.0
    name: str = "power-law"

    def __post_init__(self) -> None:
        _name_one(self)
        if not 0.0 < self.m < math.inf or self.m == 1.0:
            raise InputError(
                f"The exponent m of {self.name} must be positive and not 1, not {self.m!r}; "
                "Boltzmann's entropy is the limit m = 1."
            )
        if not 0.0 < self.coefficient < math.inf:
            raise InputError(f"The coefficient of {self.name} must be positive, not {self.coefficient!r}.")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        # UFL differentiates whole powers down to constants, without pow(0, -1) on the way.
        exponent = int(self.m) if float(self.m).is_integer() else self.m
        return self.coefficient / (self.m - 1.0) * fields[self.of[0]] ** exponent


def diffusion(m: float, of: str = "rho", name: str = "diffusion", coefficient: float = 1.0) -> Term:
    """The energy whose flow is ∂tρ = c Δρ^m: Boltzmann's entropy for m = 1, otherwise the power law."""
    if m == 1.0:
        return Boltzmann(of, coefficient, name)
    return PowerLaw(m, of, coefficient, name)


@dataclass(frozen=True)
class Quadratic(Term):
    """The term c/2 ∫ ρ²; for c = α_u (N-1) ε^d the excluded volume of Bruna, Burger and Carrillo (4.1)."""

    coefficient: float = 1.0
    of: str | tuple[str, ...] = "rho"
    name: str = "quadratic"

    def __post_init__(self) -> None:
        _name_one(self)
        if not math.isfinite(self.coefficient):
            raise InputError(f"The coefficient of {self.name} must be finite, not {self.coefficient!r}.")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return 0.5 * self.coefficient * fields[self.of[0]] ** 2


@dataclass(frozen=True)
class Potential(Term):
    """The energy ∫ V ρ in an external potential.

    V is a number, a UFL scalar, or a function of x that gives one.
    """

    V: Coefficient
    of: str | tuple[str, ...] = "rho"
    name: str = "potential"

    def __post_init__(self) -> None:
        _name_one(self)

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return evaluated(self.V, x) * fields[self.of[0]]


@dataclass(frozen=True)
class Density(Term):
    """Any local energy ∫ e(ρ, x), given as a function of the fields (by name) and of x that returns UFL.

    An entropy ρ log ρ inside it is not recognised: write it as a `Boltzmann` term, which allows for vacuum.
    """

    expression: Callable[[Fields, Expr], Any]
    of: str | tuple[str, ...] = ("rho",)
    name: str = "density"

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", (self.of,) if isinstance(self.of, str) else tuple(self.of))

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return ufl.as_ufl(self.expression({name: fields[name] for name in self.of}, x))


@dataclass(frozen=True)
class Dirichlet(Term):
    """The Dirichlet energy ½∫ a|∇c|² of a field of the L² metric, whose flow is ∂tc = div(a∇c) (Matthes)."""

    of: str | tuple[str, ...] = "c"
    coefficient: Coefficient = 1.0
    name: str = "dirichlet"

    def __post_init__(self) -> None:
        _name_one(self)

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return ufl.as_ufl(0.0)

    @override
    def stiffness(self, x: Expr) -> Mapping[str, Expr]:
        return {self.of[0]: evaluated(self.coefficient, x)}


@dataclass(frozen=True)
class Electrostatic(Term):
    """The energy of charges in their own potential, ½∫ a|∇ψ|² where -div(a∇ψ) = Σ_s z_s ρ_s + C.

    It is written with ψ as a field of its own (metric "static"), ∫ (Σ_s z_s ρ_s + C) ψ - ½∫ a|∇ψ|², whose
    largest value over ψ it is: the equation of ψ follows from stationarity, and δE/δρ_s = z_s ψ
    (Kinderlehrer, Monsaingeon and Xu, (1.2), (1.3) and (2.6), with a = 1, C = 0 and z = 1, -1).

    Attributes:
        charges: The valence z_s of each species.
        of: The name of ψ.
        permittivity: a > 0, a UFL scalar or tensor.
        doping: C, a density of fixed charges.
    """

    charges: Mapping[str, float]
    of: str | tuple[str, ...] = "psi"
    permittivity: Coefficient = 1.0
    doping: Coefficient = 0.0
    name: str = "electrostatic"

    def __post_init__(self) -> None:
        _name_one(self)
        object.__setattr__(self, "of", (*self.charges, *self.of))
        for species, z in self.charges.items():
            if not math.isfinite(z):
                raise InputError(f"The valence of {species} must be finite, not {z!r}.")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        charge = evaluated(self.doping, x)
        for species, z in self.charges.items():
            charge += z * fields[species]
        return charge * fields[self.of[-1]]

    @override
    def stiffness(self, x: Expr) -> Mapping[str, Expr]:
        return {self.of[-1]: -evaluated(self.permittivity, x)}


@dataclass(frozen=True)
class Interaction(Term):
    """The non-local coupling c ∫∫ K(x-y) ρ_a(x) ρ_b(y) of two species (Matthes, the road ahead).

    Attributes:
        kernel: K, smooth on the domain.
        of: The species a and b; twice the same for an interaction of a species with itself.
    """

    kernel: Kernel
    of: tuple[str, str] = ("rho", "rho")
    coefficient: float = 1.0
    name: str = "interaction"

    def __post_init__(self) -> None:
        if not math.isfinite(self.coefficient):
            raise InputError(f"The coefficient of {self.name} must be finite, not {self.coefficient!r}.")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return ufl.as_ufl(0.0)

    @property
    @override
    def interaction(self) -> tuple[str, str, Kernel]:
        def scaled(z: npt.NDArray[np.float64]) -> npt.ArrayLike:
            return self.coefficient * np.asarray(self.kernel(z))

        return (*self.of, scaled)


def _name_one(term: Any) -> None:
    """Keep `of` as a tuple with one name."""
    of = (term.of,) if isinstance(term.of, str) else tuple(term.of)
    if len(of) != 1:
        raise InputError(f"The energy term {term.name} belongs to one species, not to {', '.join(of)}.")
    object.__setattr__(term, "of", of)


class Energy:
    """A sum of terms; `+` adds terms and energies.

    Raises:
        InputError: Two terms have the same name.
    """

    def __init__(self, terms: Sequence[Term] = ()) -> None:
        self.terms = tuple(terms)
        names = [term.name for term in self.terms]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"Two energy terms are called {twice[0]}: give each a name of its own.")

    def __add__(self, other: Term | Energy) -> Energy:
        return Energy((*self.terms, *(other.terms if isinstance(other, Energy) else (other,))))

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def __len__(self) -> int:
        return len(self.terms)
