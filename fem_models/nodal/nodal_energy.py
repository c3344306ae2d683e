"""The density of an energy at the nodes of a space, with its derivatives by the fields there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from ufl.algorithms import expand_derivatives, extract_coefficients
from ufl.algorithms.analysis import extract_constants
from ufl.core.expr import Expr

from fem_models.energies import Term
from fem_models.expressions.explicit_time import Time
from fem_models.nodal.evaluation import NodalCover, NodalExpression
from fem_models.nodal.seam import check_expressions
from fem_models.nodal.variables import variables

_Array = npt.NDArray[np.float64]


class NodalEnergy:
    """e(ρ, x) of each term at the nodes, and the derivatives of their sum, by UFL. Collective to build.

    Args:
        space: The scalar space of each field.
        names: Names of the fields, the columns of a state.
        terms: The terms of the energy.
        given: The terms as users gave them, where others stand for them at nodes.

    Attributes:
        cover: The nodes.
        seam: Whether the terms are periodic on a torus, to ask again when their data have changed.

    Raises:
        InputError: A term that is not periodic on a torus.
    """

    def __init__(
        self,
        space: fem.FunctionSpace,
        names: Sequence[str],
        terms: Sequence[Term],
        given: Sequence[Term] | None = None,
    ) -> None:
        self.cover = NodalCover(space)
        self._terms = tuple(terms)
        self._given = self._terms if given is None else tuple(given)
        self._names = tuple(names)
        self._x = ufl.SpatialCoordinate(space.mesh)
        self._fields = {name: fem.Function(space, name=name) for name in names}
        # At some value of the fields.
        some = {name: fem.Constant(space.mesh, 1.5) for name in self._names}
        self.seam = check_expressions(
            space, [(f"The energy term {term.name}", term.density(some, self._x)) for term in self._terms]
        )

    def densities(self, state: _Array) -> _Array:
        """The density of each term, shape (nodes, terms).

        Args:
            state: Shape (nodes, fields).

        Returns:
            Shape (nodes, terms).
        """
        self._load(state)
        return self._densities()

    def potentials(self, state: _Array) -> _Array:
        """The derivatives ∂e/∂ρ_s without those of entropies, shape (nodes, fields).

        Args:
            state: Shape (nodes, fields).

        Returns:
            Shape (nodes, fields).
        """
        psi = self.static_potentials.copy()
        if self._moving_potentials is not None:
            self._load(state)
            psi += self._moving_potentials()
        return psi

    def hessian(self, state: _Array) -> _Array:
        """The second derivatives without those of entropies, shape (nodes, fields, fields).

        Args:
            state: Shape (nodes, fields).

        Returns:
            Shape (nodes, fields, fields).
        """
        count = len(self._names)
        if self._hessian is None:
            return np.zeros((len(state), count, count))
        self._load(state)
        return self._hessian().reshape(-1, count, count)

    @property
    def static_potentials(self) -> _Array:
        """The part of the potentials that depends on no field, shape (nodes, fields)."""
        return self._static() if self.has_data else self._constant

    @cached_property
    def _static(self) -> NodalExpression:
        return NodalExpression(self.cover, self._derivatives[0])

    @cached_property
    def _constant(self) -> _Array:
        return self._static()

    @cached_property
    def has_data(self) -> bool:
        """Whether there are constants or functions of DOLFINx beside the fields, whose values may change."""
        fields = set(self._fields.values())
        densities = [term.density(self._fields, self._x) for term in self._given]
        return any(
            extract_constants(e) or any(c not in fields for c in extract_coefficients(e)) for e in densities
        )

    @cached_property
    def time(self) -> Time | None:
        """The time of the mesh, where the energy depends on it explicitly."""
        densities = [term.density(self._fields, self._x) for term in self._given]
        return next((c for e in densities for c in extract_constants(e) if isinstance(c, Time)), None)

    @cached_property
    def _densities(self) -> NodalExpression:
        densities = [term.density(self._fields, self._x) for term in self._terms]
        return NodalExpression(self.cover, densities)

    @cached_property
    def _derivatives(self) -> tuple[list[Expr], list[Expr], list[list[Expr]]]:
        """ψ split into what does not depend on the densities and what does, and ∂ψ_s/∂ρ_t."""
        by = dict(zip(self._fields, variables(self._fields.values()), strict=True))
        static: list[Expr] = [ufl.as_ufl(0.0) for _ in self._names]
        moving: list[Expr] = [ufl.as_ufl(0.0) for _ in self._names]
        for term in self._terms:
            if term.entropy:
                continue
            density = term.density(by, self._x)
            for s, name in enumerate(self._names):
                if name in term.of:
                    potential = ufl.diff(density, by[name])
                    (moving if self._depends(potential) else static)[s] += potential
        rows = [[ufl.diff(psi, v) for v in by.values()] for psi in moving]
        return static, moving, rows

    def _depends(self, expression: Expr) -> bool:
        fields = set(self._fields.values())
        return any(c in fields for c in extract_coefficients(expand_derivatives(expression)))

    @cached_property
    def _moving_potentials(self) -> NodalExpression | None:
        moving = self._derivatives[1]
        if not any(self._depends(psi) for psi in moving):
            return None
        return NodalExpression(self.cover, moving)

    @cached_property
    def _hessian(self) -> NodalExpression | None:
        if self._moving_potentials is None:
            return None
        return NodalExpression(self.cover, [e for row in self._derivatives[2] for e in row])

    def _load(self, state: _Array) -> None:
        for s, field in enumerate(self._fields.values()):
            field.x.array[:] = state[:, s]
