"""What the terms of an energy have in common: sums, multiples, and the checks of their arguments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Self, override

import numpy as np
import numpy.typing as npt
from ufl.core.expr import Expr

from fem_models.core.checks import finite
from fem_models.core.errors import InputError
from fem_models.expressions.functions import FunctionOfX, as_ufl

Fields = Mapping[str, Expr]

KernelValues = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""K(z) at differences z = x - y of shape (dim, n): values of shape (n,)."""


NodalMean = Callable[[FunctionOfX, str], Expr]
"""Means of a function of x around nodes, as a UFL scalar; the text is what it is for messages."""


class _Summand(ABC):
    """What can be added to energies and multiplied by numbers."""

    # NumPy's numbers leave products to us.
    __array_ufunc__ = None

    @abstractmethod
    def _terms(self) -> tuple[Term, ...]:
        """The terms, in their order."""

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """This times a number."""

    def __add__(self, other: Term | Energy) -> Energy:
        if not isinstance(other, _Summand):
            return NotImplemented
        return Energy((*self._terms(), *other._terms()))

    def __radd__(self, other: float) -> Energy:
        # The sum of a list begins with the number 0.
        if not isinstance(other, Real) or other != 0:
            return NotImplemented
        return Energy(self._terms())

    def __sub__(self, other: Term | Energy) -> Energy:
        if not isinstance(other, _Summand):
            return NotImplemented
        return self + (-other)

    def __mul__(self, factor: float) -> Self:
        if not isinstance(factor, Real):
            return NotImplemented
        return self.scaled(finite(float(factor), "The factor of an energy"))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Self:
        if not isinstance(divisor, Real) or divisor == 0:
            return NotImplemented
        return self * (1.0 / float(divisor))

    def __neg__(self) -> Self:
        return self.scaled(-1.0)


class Term(_Summand):
    """One term of an energy.

    Attributes:
        name: Unique within an energy; the term is reported under it.
        of: Names of the species it depends on; a tuple, however they were given.
    """

    name: str
    of: str | tuple[str, ...]

    @abstractmethod
    def density(self, fields: Fields, x: Expr) -> Expr:
        """The energy density e(ρ, x) as a UFL scalar.

        Args:
            fields: The densities by name, UFL scalars.
            x: The coordinates, a UFL vector.

        Returns:
            e(ρ, x).
        """

    @property
    def entropy(self) -> Mapping[str, float]:
        """The coefficient c of c ρ log ρ for each species of which the whole term is that entropy."""
        return {}

    def stiffness(self, x: Expr) -> Mapping[str, Expr]:
        """The coefficients of the Dirichlet energies in the term.

        Args:
            x: The coordinates, a UFL vector.

        Returns:
            a, a UFL scalar or tensor, of ½∫ ∇c·a∇c for each field c with such a part.
        """
        return {}

    def with_nodal_means(self, mean: NodalMean) -> Self:
        """The same energy with data that may jump between cells replaced by their means around nodes.

        Where values at nodes stand for integrals, a jump at a node would else count on one side alone.

        Args:
            mean: Takes a function of x and what it is for messages, and gives a UFL scalar.

        Returns:
            The term, the same one where it has no such data.
        """
        return self

    @property
    def interaction(
        self,
    ) -> tuple[str, str, KernelValues] | None:
        """Species a and b and the kernel K of a part ∫∫ K(x-y) ρ_a(x) ρ_b(y), if there is one.

        K takes differences of shape (dim, n) and gives values of shape (n,).
        """
        return None

    @override
    def scaled(self, factor: float) -> Self:
        """The term times a number, under its name.

        Args:
            factor: The number.

        Returns:
            The multiple.

        Raises:
            InputError: The term has no multiples, or none by this number.
        """
        raise InputError(f"The energy term {self.name} cannot be multiplied by a number.")

    @override
    def _terms(self) -> tuple[Term, ...]:
        return (self,)


class WithCoefficient(Term):
    """A term whose attribute `coefficient` is a factor of all of it."""

    coefficient: float

    @override
    def scaled(self, factor: float) -> Self:
        return replace(self, coefficient=factor * self.coefficient)  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class Energy(_Summand):
    """A sum of terms.

    Args:
        terms: The terms, in the order of the reports.

    Raises:
        InputError: Two terms have the same name, or something is no term.
    """

    terms: tuple[Term, ...]

    def __init__(self, terms: Iterable[Term] = ()) -> None:
        object.__setattr__(self, "terms", tuple(terms))
        for term in self.terms:
            if not isinstance(term, Term):
                raise InputError(f"An energy is a sum of energy terms, not of {term!r}.")
        names = [term.name for term in self.terms]
        for name, term in zip(names, self.terms, strict=True):
            if names.count(name) > 1:
                raise InputError(
                    f"Two energy terms are called {name}: give each a name of its own, as in "
                    f'{type(term).__name__}(..., name="{name}-2").'
                )

    @override
    def scaled(self, factor: float) -> Self:
        """The energy times a number, with the names of its terms.

        Args:
            factor: The number.

        Returns:
            The multiple.

        Raises:
            InputError: A term has no multiples, or none by this number.
        """
        return type(self)(term.scaled(factor) for term in self.terms)

    @override
    def _terms(self) -> tuple[Term, ...]:
        return self.terms

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def __len__(self) -> int:
        return len(self.terms)

    def __repr__(self) -> str:
        return f"Energy({', '.join(term.name for term in self.terms)})"


@dataclass(frozen=True)
class Multiple:
    """A number times a function of x, as a function of x.

    Attributes:
        factor: The number.
        given: The function.
        what: What the function is for the user, to begin messages with.
    """

    factor: float
    given: FunctionOfX
    what: str

    def __call__(self, x: Expr) -> Expr:
        """The multiple.

        Args:
            x: The coordinates, a UFL vector.

        Returns:
            A UFL scalar or tensor.
        """
        return times(self.factor, as_ufl(self.given, x, self.what, scalar=False))


def times(factor: float, expression: Expr) -> Expr:
    """A number times a UFL expression: the expression itself for 1, so that forms stay as they were compiled.

    Args:
        factor: The number.
        expression: A UFL scalar or tensor.

    Returns:
        The product.
    """
    return expression if factor == 1.0 else factor * expression


def names_of(of: Any, term: str) -> tuple[str, ...]:
    """Names of species as a tuple.

    Args:
        of: A name or several.
        term: The name of the term, for the message.

    Returns:
        The names.

    Raises:
        InputError: They are no texts.
    """
    names = (of,) if isinstance(of, str) else of
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InputError(f"The species of the energy term {term} must be given by their names, not {of!r}.")
    return tuple(names)


def name_one(term: Any) -> None:
    """Keep the attribute `of` of a new term as a tuple with one name.

    Args:
        term: The term.

    Raises:
        InputError: It has not one name.
    """
    of = names_of(term.of, term.name)
    if len(of) != 1:
        raise InputError(f"The energy term {term.name} belongs to one species, not to {', '.join(of)}.")
    object.__setattr__(term, "of", of)
