"""Energies that are affine in the densities: taken apart, as the log-density discretisation needs them.

Besides entropies and Dirichlet energies every term has to be ∫ Σ_s ρ_s (V_s(x) + Σ_t b_st c_t) + e(c, x) with
densities ρ_s (Wasserstein), other fields c_t and constants b_st.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import ufl
from dolfinx import fem
from ufl.algorithms import expand_derivatives, strip_variables
from ufl.checks import is_scalar_constant_expression
from ufl.core.expr import Expr
from ufl.corealg.traversal import traverse_unique_terminals

from fem_models.core.errors import InputError
from fem_models.energies import Term
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.nodal.variables import variables


@dataclass(frozen=True)
class Parts:
    """A term as Σ_s ρ_s (V_s + Σ_t b_st c_t) + e(c, x), with placeholders of the fields.

    Attributes:
        offsets: V_s, by the column of the species.
        slopes: Σ_t b_st c_t, by the column of the species.
        rest: e(c, x).
    """

    offsets: Mapping[int, Expr]
    slopes: Mapping[int, Expr]
    rest: Expr


class AffineTerms:
    """The terms of an energy taken apart.

    Args:
        flow: The gradient flow.

    Attributes:
        parts: Of each term; empty for an entropy, and without the Dirichlet energies.

    Raises:
        InputError: A density without an entropy, or a term that is not of this form.
    """

    def __init__(self, flow: GradientFlow) -> None:
        self._names, self._transported, self._x = flow.names, flow.transported, flow.x
        for s in np.flatnonzero(flow.transported & ~(flow.theta > 0.0)):
            raise InputError(
                f"The log-density needs an entropy of every density, but {flow.names[s]} has none: add a "
                "Boltzmann term, or use the edge-averaged discretisation."
            )
        self._placeholders = [fem.Constant(flow.mesh, 0.0) for _ in flow.names]
        self.parts = [self._split(term) for term in flow.terms]

    def placed(self, expression: Expr, fields: Sequence[Expr]) -> Expr:
        """An expression with the fields in place of the placeholders.

        Args:
            expression: An expression in the placeholders.
            fields: What takes their places, in the order of the fields.

        Returns:
            The expression.
        """
        return ufl.replace(expression, dict(zip(self._placeholders, fields, strict=True)))

    def source(self, t: int) -> Expr:
        """∂/∂c_t of the energy density of all terms, by a field c_t that is no density, with placeholders.

        Args:
            t: The column of the field.

        Returns:
            The expression.
        """
        found = ufl.as_ufl(0.0)
        for parts in self.parts:
            found += self._diff(parts.rest, t)
            for s, slope in parts.slopes.items():
                found += self._placeholders[s] * self._diff(slope, t)
        return found

    def _split(self, term: Term) -> Parts:
        zero = ufl.as_ufl(0.0)
        if term.interaction is not None:
            raise _refusal(term, "it is a non-local interaction")
        if term.entropy:
            return Parts({}, {}, zero)
        density = term.density(dict(zip(self._names, self._placeholders, strict=True)), self._x)
        offsets, slopes = {}, {}
        for s in map(int, np.flatnonzero(self._transported)):
            potential = self._diff(density, s)
            slopes[s] = zero
            for t, field in enumerate(self._placeholders):
                coefficient = self._diff(potential, t)
                which = f"the potential of {self._names[s]}"
                if self._transported[t] and coefficient != 0:
                    raise _refusal(term, f"{which} depends on the density {self._names[t]}")
                if self._has_fields(coefficient) or not is_scalar_constant_expression(coefficient):
                    raise _refusal(
                        term, f"{which} is not affine in {self._names[t]} with a constant coefficient"
                    )
                slopes[s] += coefficient * field
            offsets[s] = self._at_zero(potential, [True] * len(self._names))
        return Parts(offsets, slopes, self._at_zero(density, self._transported))

    def _diff(self, expression: Expr, t: int) -> Expr:
        """The derivative of an expression by a placeholder."""
        (variable,) = variables([self._placeholders[t]])
        derivative = ufl.diff(ufl.replace(expression, {self._placeholders[t]: variable}), variable)
        return strip_variables(expand_derivatives(derivative))

    def _has_fields(self, expression: Expr) -> bool:
        return any(terminal in self._placeholders for terminal in traverse_unique_terminals(expression))

    def _at_zero(self, expression: Expr, which: Iterable[bool]) -> Expr:
        """An expression at zero values of some fields."""
        zeros = {field: 0.0 for field, gone in zip(self._placeholders, which, strict=True) if gone}
        return ufl.replace(expression, zeros)


def _refusal(term: Term, why: str) -> InputError:
    return InputError(
        f"The log-density cannot treat the energy term {term.name}, for {why}: use the edge-averaged "
        "discretisation."
    )
