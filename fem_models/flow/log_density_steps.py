"""Implicit steps of the log-density discretisation: their equations, and how they are solved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from petsc4py import PETSc

from fem_models.core.errors import SolveError
from fem_models.flow.flow_equations import FlowEquations
from fem_models.flow.species import State
from fem_models.linalg.continuation import over_smaller_steps
from fem_models.linalg.newton import Newton, NewtonSettings

if TYPE_CHECKING:
    from fem_models.flow.log_density import LogDensityFlow

# Newton iterations from the old state before the way over smaller time steps is taken.
_FIRST_ATTEMPT = 25


# In one iteration of Newton's method no density falls by more than this factor.
_LARGEST_FALL = math.exp(-1.0)


class LogDensityEquations(FlowEquations["LogDensityFlow"]):
    """Residual and Jacobian of the implicit Euler step, in g = log ρ and the other fields. Collective.

    A "state" below has the values of the unknowns, logarithms for densities, shape (nodes, fields). The
    equations are those of `fem_models.flow.log_density`, in units of mass, or of charge for static
    fields. A static field that is determined up to a constant keeps its value at one node.

    Args:
        flow: The flow.
    """

    unknowns = None
    interactions = None

    def __init__(self, flow: LogDensityFlow) -> None:
        super().__init__(flow)
        self._logs, self._old = fem.Function(flow.fields), fem.Function(flow.fields)
        self._tau, self._entropy = fem.Constant(flow.mesh, 0.0), fem.Constant(flow.mesh, 0.0)
        residual = self._residual_form()
        self._residual = fem.form(residual)
        self._jacobian = fem.form(ufl.derivative(residual, self._logs))
        self._hold()

    def _residual_form(self) -> ufl.Form:
        flow, logs, dx = self.flow, self._logs, self.flow.dx
        w = ufl.TestFunction(flow.fields)
        new, old = flow.densities(logs), flow.densities(self._old)
        form: Any = 0
        for s in map(int, np.flatnonzero(~flow.static)):
            form += (new[s] - old[s]) * w[s] * dx
        for s, mu in flow.potential_expressions(logs, self._entropy).items():
            form += self._tau * new[s] * ufl.inner(ufl.grad(mu), ufl.grad(w[s])) * dx
        if flow.relaxed.any():
            form += self._tau * flow.force_form(logs, flow.relaxed)
        if flow.static.any():
            form += flow.force_form(logs, flow.static)
        return form

    def _hold(self) -> None:
        """Find the unknowns that keep their values: given ones, and one node where a constant is free."""
        flow = self.flow
        held = np.zeros((flow.nodes, len(flow.names)), dtype=bool)
        for column, (nodes, _) in flow.fixed.items():
            held[nodes, column] = True
        numbers = flow.space.dofmap.index_map.local_to_global(np.arange(flow.nodes, dtype=np.int32))
        held[np.ix_(numbers == 0, flow.free_constants)] = True
        self._held = held[: flow.owned]
        self._conditions = []
        for s in map(int, np.flatnonzero(flow.static)):
            dofs = (np.flatnonzero(held[:, s]) * len(flow.names) + s).astype(np.int32)
            self._conditions.append(
                fem.dirichletbc(cast("Any", PETSc.ScalarType)(0.0), dofs, flow.fields.sub(s))
            )

    def new_matrix(self) -> PETSc.Mat:
        """A matrix with the pattern of the Jacobian."""
        return fem_petsc.create_matrix(self._jacobian)

    def residual(
        self, state: State, anchor: State, tau: float, entropy: float = 0.0
    ) -> npt.NDArray[np.float64]:
        """The residual at the nodes of this rank, shape (owned nodes, fields).

        Args:
            state: Values of the unknowns.
            anchor: The old densities and values of other fields.
            tau: Time step.
            entropy: Coefficient of an entropy added to the energy of all densities.

        Returns:
            Shape (owned nodes, fields).
        """
        self._load(state, tau, entropy)
        self.flow.logs(anchor, self._old)
        found = self.flow.assembled(self._residual)[: self.flow.owned]
        found[self._held] = 0.0
        return found

    def jacobian(
        self,
        state: State,
        tau: float,
        matrix: PETSc.Mat,
        entropy: float = 0.0,
        change: npt.NDArray[np.float64] | None = None,
    ) -> LogDensityLinearisation:
        """Assemble the derivative of the residual.

        Args:
            state: Values of the unknowns.
            tau: Time step.
            matrix: From `new_matrix`.
            entropy: As for the residual.
            change: No other unknowns are needed.

        Returns:
            What Newton's method needs to know at this state.
        """
        self._load(state, tau, entropy)
        matrix.zeroEntries()
        cast("Any", fem_petsc.assemble_matrix)(matrix, self._jacobian, bcs=self._conditions)
        matrix.assemble()
        diagonal = matrix.getDiagonal().array_r.reshape(self._held.shape)
        return LogDensityLinearisation(diagonal, self._held, self.flow.transported)

    def _load(self, state: State, tau: float, entropy: float) -> None:
        self._logs.x.array[:] = state.ravel()
        self._tau.value, self._entropy.value = cast("Any", tau), cast("Any", entropy)


@dataclass(frozen=True)
class LogDensityLinearisation:
    """The equations of a log-density at the state where their derivative was taken.

    Attributes:
        diagonal: The diagonal of the derivative, shape (owned nodes, fields).
        held: Which of them keep their values.
        transported: The fields that are densities, shape (fields,).
    """

    diagonal: npt.NDArray[np.float64]
    held: npt.NDArray[np.bool_]
    transported: npt.NDArray[np.bool_]

    def terms(self, change: State) -> State:
        """Size of the terms that a change makes in each entry of the residual, before they cancel.

        Args:
            change: Of the unknowns, shape (owned nodes, fields).

        Returns:
            Shape (owned nodes, fields).
        """
        largest = np.abs(change).max(axis=1, keepdims=True, initial=0.0)
        return np.where(self.held, 0.0, np.abs(self.diagonal) * largest)

    def limited(self, state: State, step: State) -> State:
        """Newton's step g → g - step taken for densities, ρ → ρ (1 - step), as a step of g.

        Where the potential is given the equations are linear in ρ: what overshoots in g does not there.

        Args:
            state: At the nodes of this rank, shape (owned nodes, fields).
            step: Of the same shape.

        Returns:
            The step that is taken, of the same shape.
        """
        factors = np.maximum(1.0 - step, _LARGEST_FALL)
        return np.where(self.transported, -np.log(factors), step)


class LogDensitySteps:
    """Solves implicit Euler steps of a log-density flow. Collective; build it once.

    Args:
        flow: The flow.
        settings: For Newton's method.
    """

    def __init__(self, flow: LogDensityFlow, settings: NewtonSettings | None = None) -> None:
        self._flow = flow
        self._newton = Newton(LogDensityEquations(flow), settings or NewtonSettings())

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far on this rank: "assemble" and "solve"."""
        return self._newton.seconds

    def settled(self, state: State) -> State:
        """The state with its static fields in equilibrium with the others.

        Args:
            state: Positive densities and values of the other fields, shape (nodes, fields).

        Returns:
            A state of the same shape.

        Raises:
            SolveError: Newton's method failed; the message is its report.
        """
        return self.solve(state, 0.0)[0]

    def solve(self, old: State, tau: float) -> tuple[State, int, int]:
        """Take a step.

        Args:
            old: Positive densities and values of the other fields, shape (nodes, fields).
            tau: Time step; 0 where only static fields are to follow.

        Returns:
            The new state, and the numbers of Newton and of linear iterations.

        Raises:
            SolveError: Newton's method failed; the message is its report.
        """
        flow = self._flow
        guess = flow.logs(old).x.array.reshape(old.shape)
        for column, (nodes, values) in flow.fixed.items():
            guess[nodes, column] = values
        outcomes = [self._newton.solve(guess, old, tau, limit=_FIRST_ATTEMPT)]
        if not outcomes[-1].converged:
            smaller, report = over_smaller_steps(self._newton, guess, old, tau)
            if report:
                raise SolveError(f"{report}\nMinima and maxima of densities are those of log ρ.")
            outcomes += smaller
        logs = np.where(flow.transported, outcomes[-1].state, 0.0)
        state = np.where(flow.transported, np.exp(logs), outcomes[-1].state)
        # What Newton's tolerance leaves of a mass error is scaled away: a constant is added to g.
        state = flow.gauged(flow.with_masses_of(old, state))
        return state, sum(o.newton for o in outcomes), sum(o.linear for o in outcomes)
