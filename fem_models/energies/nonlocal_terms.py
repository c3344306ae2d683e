"""Energies that couple points: Dirichlet energies, electrostatics, and interactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self, override

import numpy as np
import numpy.typing as npt
import ufl
from ufl.core.expr import Expr

from fem_models.core.checks import finite, is_number
from fem_models.core.errors import InputError
from fem_models.energies.terms import (
    Fields,
    KernelValues,
    Multiple,
    NodalMean,
    Term,
    WithCoefficient,
    name_one,
    names_of,
    times,
)
from fem_models.expressions.expression import Expression
from fem_models.expressions.functions import FunctionOfX, as_ufl, at_points

Kernel = str | Expression | Callable[[npt.NDArray[np.float64]], npt.ArrayLike]
"""K(z) at differences z = x - y of shape (dim, n), with n values; or text in their coordinates."""


@dataclass(frozen=True)
class Dirichlet(Term):
    """The Dirichlet energy ½∫ a|∇c|² of a field of the L² metric, whose flow is ∂tc = div(a∇c) (Matthes).

    Args:
        of: The field.
        coefficient: a, a function of x: a number, text, a UFL scalar or symmetric tensor, or a function with
            UFL functions.
        name: The name of the term.

    Raises:
        InputError: Not one field; a is looked at where the energy gets its mesh.
    """

    of: str | tuple[str, ...] = "c"
    coefficient: FunctionOfX = 1.0
    name: str = "dirichlet"

    def __post_init__(self) -> None:
        name_one(self)

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return ufl.as_ufl(0.0)

    @override
    def stiffness(self, x: Expr) -> Mapping[str, Expr]:
        return {self.of[0]: as_ufl(self.coefficient, x, self._what, scalar=False)}

    @override
    def scaled(self, factor: float) -> Self:
        return replace(self, coefficient=Multiple(factor, self.coefficient, self._what))

    @property
    def _what(self) -> str:
        return f"The coefficient of the energy term {self.name}"


@dataclass(frozen=True)
class Electrostatic(WithCoefficient):
    """The energy of charges in their own potential, ½∫ a|∇ψ|² where -div(a∇ψ) = Σ_s z_s ρ_s + C.

    It is written with ψ as a field of its own (metric "static"), ∫ (Σ_s z_s ρ_s + C) ψ - ½∫ a|∇ψ|², whose
    largest value over ψ it is: the equation of ψ follows from stationarity, and δE/δρ_s = z_s ψ
    (Kinderlehrer, Monsaingeon and Xu, (1.2), (1.3) and (2.6), with a = 1, C = 0 and z = 1, -1).

    Args:
        charges: The valence z_s of each species.
        of: The name of ψ.
        permittivity: a > 0, a function of x: a number, text, a UFL scalar or tensor, or a function with UFL
            functions.
        doping: C, a density of fixed charges: a number, text, a UFL scalar or a function with UFL functions.
        name: The name of the term.
        coefficient: A factor of all of the energy.

    Raises:
        InputError: A valence or a coefficient that is not finite.
    """

    charges: Mapping[str, float]
    of: str | tuple[str, ...] = "psi"
    permittivity: FunctionOfX = 1.0
    doping: FunctionOfX = 0.0
    name: str = "electrostatic"
    coefficient: float = 1.0

    def __post_init__(self) -> None:
        of, charged = names_of(self.of, self.name), tuple(self.charges)
        if of[:-1] == charged:  # a copy of another term
            object.__setattr__(self, "of", of[-1:])
        name_one(self)
        object.__setattr__(self, "of", (*charged, *self.of))
        for species, z in self.charges.items():
            finite(z, f"The valence of {species}")
        finite(self.coefficient, f"The coefficient of {self.name}")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        charge = as_ufl(self.doping, x, f"The doping of the energy term {self.name}")
        for species, z in self.charges.items():
            charge += z * fields[species]
        return times(self.coefficient, charge * fields[self.of[-1]])

    @override
    def with_nodal_means(self, mean: NodalMean) -> Self:
        if is_number(self.doping):
            return self
        return replace(self, doping=mean(self.doping, f"The doping of the energy term {self.name}"))

    @override
    def stiffness(self, x: Expr) -> Mapping[str, Expr]:
        what = f"The permittivity of the energy term {self.name}"
        return {self.of[-1]: -times(self.coefficient, as_ufl(self.permittivity, x, what, scalar=False))}


@dataclass(frozen=True)
class Interaction(WithCoefficient):
    """The non-local coupling c ∫∫ K(x-y) ρ_a(x) ρ_b(y) of two species (Matthes, the road ahead).

    Args:
        kernel: K, smooth on the domain: a function of differences of shape (dim, n) with NumPy functions, or
            text in their coordinates, such as "exp(-r**2)".
        of: The species a and b; twice the same, or one name, for an interaction of a species with itself.
        coefficient: c, of either sign.
        name: The name of the term.

    Raises:
        InputError: A coefficient that is not finite, or more than two species.
    """

    kernel: Kernel
    of: str | tuple[str, ...] = ("rho", "rho")
    coefficient: float = 1.0
    name: str = "interaction"

    def __post_init__(self) -> None:
        of = names_of(self.of, self.name)
        if len(of) not in (1, 2):
            raise InputError(f"The energy term {self.name} is of one or two species, not of {len(of)}.")
        object.__setattr__(self, "of", (of[0], of[-1]))
        finite(self.coefficient, f"The coefficient of {self.name}")

    @override
    def density(self, fields: Fields, x: Expr) -> Expr:
        return ufl.as_ufl(0.0)

    @property
    @override
    def interaction(self) -> tuple[str, str, KernelValues]:
        def scaled(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return self.coefficient * at_points(self.kernel, z, f"The kernel of the energy term {self.name}")

        return self.of[0], self.of[-1], scaled
