"""The equations of an implicit step, as Newton's method sees them: two protocols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
from dolfinx import la
from dolfinx.mesh import Mesh
from petsc4py import PETSc

State = npt.NDArray[np.float64]
"""Nodal values, shape (nodes of this rank with its ghosts, fields)."""


class Linearisation(Protocol):
    """Equations at the state where their derivative was taken."""

    def terms(self, change: State) -> State:
        """Size of the terms that a change of u makes in each entry of R, before they cancel.

        Args:
            change: At the nodes of this rank, shape (owned nodes, fields); u itself for the terms of R.

        Returns:
            Shape (owned nodes, fields).
        """

    def limited(self, densities: State, step: State) -> State:
        """Newton's step u → u - step, kept to what the fields can do. Collective.

        Args:
            densities: The values u at the nodes of this rank, shape (owned nodes, fields).
            step: Of the same shape.

        Returns:
            The step that is taken, of the same shape.
        """


class StepEquations(Protocol):
    """The equations R(u; h, τ) = 0 of an implicit step in nodal values u of some fields. Collective."""

    @property
    def mesh(self) -> Mesh:
        """The mesh."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields."""

    @property
    def owned(self) -> int:
        """Number of nodes of this rank."""

    @property
    def nodes(self) -> int:
        """The same with its ghosts."""

    @property
    def elliptic(self) -> bool:
        """Whether some fields are static, for which there is no small step."""

    @property
    def unknowns(self) -> Callable[[State, float, float], npt.NDArray[np.float64]] | None:
        """Gives matrices B at the nodes, shape (nodes, fields, fields), for a state, a step and an entropy.

        Linear systems are best solved for y with δu = B y. None where u itself is best.
        """

    @property
    def interactions(self) -> Callable[[State, State, float, float], State] | None:
        """Gives the product of a part of ∂R/∂u, which `jacobian` leaves out, with a change of u.

        It takes a state, the change, a time step and an entropy, and returns an array of shape
        (owned nodes, fields). None where there is no such part.
        """

    @property
    def conserved(self) -> State | None:
        """Weights w ≥ 0 with Σ w u = Σ w h for each field of a solution, shape (owned nodes, fields).

        They are zero for fields that keep no such sum; None where no field does.
        """

    def vector(self) -> la.Vector:
        """A new vector in the layout of u, to scatter values to ghosts and back."""

    def new_matrix(self) -> PETSc.Mat:
        """A matrix with the pattern of the Jacobian."""

    def residual(self, state: State, anchor: State, tau: float, entropy: float = 0.0) -> State:
        """R at the nodes of this rank, shape (owned nodes, fields).

        Args:
            state: u, shape (nodes, fields).
            anchor: h, of the same shape.
            tau: The time step τ.
            entropy: Coefficient of an entropy added to the energy.

        Returns:
            Shape (owned nodes, fields).
        """

    def jacobian(
        self,
        state: State,
        tau: float,
        matrix: PETSc.Mat,
        entropy: float = 0.0,
        change: npt.NDArray[np.float64] | None = None,
    ) -> Linearisation:
        """Assemble ∂R/∂u, by other unknowns y with δu = B y where the matrices B are given as `change`.

        Args:
            state: u, shape (nodes, fields).
            tau: The time step τ.
            matrix: From `new_matrix`.
            entropy: As for `residual`.
            change: The matrices B, shape (nodes, fields, fields).

        Returns:
            What Newton's method needs to know at u.
        """

    def norm(self, anchor: State) -> float:
        """What tolerances of R are relative to: the Euclidean norm of the nodal masses of h.

        Args:
            anchor: h, shape (nodes, fields).

        Returns:
            The norm, in units of mass.
        """

    def extrema(self, state: State) -> dict[str, tuple[float, float]]:
        """The least and the largest value of each field, for a report.

        Args:
            state: u, shape (nodes, fields).

        Returns:
            The two values by the name of the field.
        """
