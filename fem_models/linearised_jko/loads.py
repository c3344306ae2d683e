"""Right-hand sides of the linearised JKO problem, its minimiser, and the value there.

With sources c, l, r and e the equations are

    ∂s h + div(g + h∇φ) = c,   g = q∇f + l,   ∂s f + ∇φ·∇f = -r,   f(Δt) = -(E'' h(Δt) + C q) + e,

the stationarity of ½∫∫|g - l|²/q - ∫∫r h + ½∫E'' h(Δt)² + ∫h(Δt)(C q - e). In the discrete equations of
`fem_models.linearised_jko.problem` c_k = δ∫c v, l_k = ∫l·w/q and R_k = ∫r v at the middle of slab k,
r_k = δ(a R_k + (1-a) R_{k+1}) with R_0 = R_{S+1} = 0, and e = ∫(C q - e) v/E''.

The value at the minimiser. For the discrete problem it is, with the terminal cost in its dual form,

    J = ½ Σ_k δ∫|g_k - l|²/q - Σ_{k≥0} r_k·h_k + ½∫p²/E'' - ½∫(C q - e)²/E''.

Test the k-th constraint with f_k and sum. Since Bᵀf_k = l_k - G_k g_k, and since summation by parts makes
the equations of f, tested with h_k, of the other terms,

    Σ_k f_k·c_k + f_1·(M + (1-a)δA_1)h₀ = Σ_{k≥1} h_k·r_k + h_S·M p + Σ_k δ(l_k - G_k g_k)·g_k,

and h_S·M p = -∫p²/E'' - e·p by the last equation. So no more than f, and what is given, is needed:

    2J = -f_1·(M + (1-a)δA_1)h₀ - Σ_k f_k·c_k - Σ_{k≥1} r_k·h_k - 2 r_0·h₀ - e·p - ∫(C q - e)²/E''
         - δ Σ_k (l_k·g_k - ∫|l|²/q).

Without sources this is 2J = -∫f(0) h₀ + C∫h(Δt) q in the limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real

import ufl
from dolfinx import fem
from petsc4py import PETSc
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.expressions.functions import FunctionOfX, as_ufl
from fem_models.linalg.krylov import KrylovSolver
from fem_models.linalg.options import Option
from fem_models.linearised_jko.data_checks import require_shape
from fem_models.linearised_jko.forms import assembled_vector
from fem_models.linearised_jko.problem import LinearisedJko
from fem_models.linearised_jko.slab_data import InTime

# Of the L² projection of the first perturbation.
_PROJECTION: dict[str, Option] = {"ksp_type": "cg", "pc_type": "jacobi", "ksp_rtol": 1e-14, "ksp_atol": 0.0}


@dataclass(frozen=True)
class Sources:
    """Sources, functions of x and s that give UFL; none by default.

    Attributes:
        constraint: c, the source of h.
        flux: l, a vector.
        adjoint: r, the source of f backwards in time.
        end: e, added to f at the end.
    """

    constraint: InTime | None = None
    flux: InTime | None = None
    adjoint: InTime | None = None
    end: InTime | None = None


@dataclass(frozen=True)
class Loads:
    """Right-hand sides of the discrete equations.

    Attributes:
        start: h₀.
        constraint: c_k for each slab.
        reduced: c_k - δB G_k⁻¹l_k for each slab if fluxes are eliminated, else c_k.
        flux: l_k for each slab.
        adjoint: r_k for k = 0..S; r_0 goes with h₀ and matters to the value only.
        end: e.
        squares: δ Σ_k ∫|l|²/q and ∫(C q - e)²/E''.
    """

    start: fem.Function
    constraint: list[PETSc.Vec]
    reduced: list[PETSc.Vec]
    flux: list[PETSc.Vec]
    adjoint: list[PETSc.Vec]
    end: PETSc.Vec
    squares: tuple[float, float]


@dataclass(frozen=True)
class Minimiser:
    """The solution of the linearised JKO problem.

    Attributes:
        f: The potentials at the middles of slabs.
        g: The fluxes there.
        h: The perturbations h_0..h_S at the ends of slabs.
        p: The potential at the end.
        value: Of the functional, from g, h and p.
        dual_value: The same from f and the loads, without the squares of g and p.
    """

    f: list[fem.Function]
    g: list[fem.Function]
    h: list[fem.Function]
    p: fem.Function
    value: float
    dual_value: float


class LoadAssembly:
    """Right-hand sides for sources; compiled once, for any h₀. Collective.

    Args:
        problem: The linearised problem.
        sources: The sources.

    Raises:
        InputError: A source that is no function of x and s of its shape.
    """

    def __init__(self, problem: LinearisedJko, sources: Sources | None = None) -> None:
        self._problem, sources = problem, sources or Sources()
        data, dx = problem.data, problem.measures.dx

        def expression(given: InTime | None, name: str, shape: tuple[int, ...] = ()) -> Expr:
            if given is None:
                # Of a constant that is zero: forms that are nothing but zero cannot be compiled.
                return data.zero * (ufl.as_vector([1.0] * shape[0]) if shape else data.x[0])
            return data.evaluated(given, f"The source {name}", shape)

        flux = expression(sources.flux, "flux", (problem.spaces.mesh.geometry.dim,))
        v = ufl.TestFunction(problem.spaces.potentials)
        end = fem.Constant(problem.spaces.mesh, problem.C) * problem.q - expression(sources.end, "end")
        self._constraint = fem.form(expression(sources.constraint, "constraint") * v * dx)
        self._adjoint = fem.form(expression(sources.adjoint, "adjoint") * v * dx)
        self._flux = problem.fluxes.load(flux)
        self._end = fem.form(end * v / problem.curvature * dx)
        self._flux_square = fem.form(ufl.inner(flux, flux) / problem.q * dx)
        self._end_square = fem.form(end**2 / problem.curvature * dx)
        self._mass = KrylovSolver(problem.spaces.mesh.comm, "projection_", _PROJECTION, operator=problem.mass)

    def __call__(self, h0: FunctionOfX) -> Loads:
        """The loads.

        Args:
            h0: The initial perturbation: a number, a UFL scalar or a function of x that gives one; its L²
                projection is used.

        Returns:
            The right-hand sides.

        Raises:
            InputError: h0 is none of these, has functions of another mesh, or is not finite.
        """
        problem = self._problem
        delta, a, comm = problem.delta, problem.a, problem.spaces.mesh.comm
        constraint, reduced, flux, rates = [], [], [], []
        flux_square = 0.0
        for k in range(problem.slabs):
            problem.data.load(k)
            constraint.append(assembled_vector(self._constraint))
            constraint[k].scale(delta)
            rates.append(assembled_vector(self._adjoint))
            flux.append(problem.fluxes.held(assembled_vector(self._flux)))
            flux_square += delta * fem.assemble_scalar(self._flux_square).real
            reduced.append(self._reduced(constraint[k], flux[k]))
        problem.data.load(problem.slabs)
        nothing = rates[0].duplicate()
        rates = [nothing, *rates, nothing]
        adjoint = []
        for before, after in pairwise(rates):
            adjoint.append(before.copy())
            adjoint[-1].scale(a * delta)
            adjoint[-1].axpy((1.0 - a) * delta, after)
        squares = comm.allreduce(flux_square), comm.allreduce(fem.assemble_scalar(self._end_square))
        return Loads(
            self._projected(h0), constraint, reduced, flux, adjoint, assembled_vector(self._end), squares
        )

    def _reduced(self, constraint: PETSc.Vec, flux: PETSc.Vec) -> PETSc.Vec:
        problem = self._problem
        if not problem.eliminates:
            return constraint
        at_rest = problem.cellwise.solve(fem.Function(problem.spaces.potentials), flux)
        found = constraint.copy()
        found.axpy(-problem.delta, problem.fluxes.divergence(at_rest))
        return found

    def _projected(self, h0: FunctionOfX) -> fem.Function:
        problem, data = self._problem, self._problem.data
        v = ufl.TestFunction(problem.spaces.potentials)
        if isinstance(h0, Real) and not math.isfinite(h0):
            raise InputError(f"h0 must be finite at every point, not {h0!r}.")
        given = as_ufl(h0, data.x, "h0")
        require_shape(given, data.mesh, "h0")
        load = assembled_vector(fem.form((given + data.zero * data.x[0]) * v * problem.measures.dx))
        if not math.isfinite(load.norm()):
            raise InputError("h0 must be finite at every point.")
        found = fem.Function(problem.spaces.potentials, name="h")
        self._mass.solve(load, found.x.petsc_vec)
        found.x.scatter_forward()
        return found


class Evaluation:
    """The minimiser from its potentials and perturbations, with its value. Collective to build and to call.

    Args:
        problem: The linearised problem.
    """

    def __init__(self, problem: LinearisedJko) -> None:
        self._problem = problem
        self._g = fem.Function(problem.spaces.fluxes)
        self._square = fem.form(ufl.inner(self._g, self._g) / problem.q * problem.measures.dx)

    def recovered_fluxes(self, loads: Loads, f: Sequence[fem.Function]) -> list[fem.Function]:
        """The fluxes of potentials at the middles of slabs, where they are eliminated cell by cell.

        Args:
            loads: The right-hand sides.
            f: The potentials, one for each slab.

        Returns:
            The fluxes, one for each slab.
        """
        found = []
        for k, potential in enumerate(f):
            self._problem.data.load(k)
            found.append(self._problem.cellwise.solve(potential, loads.flux[k]))
        return found

    def __call__(
        self,
        loads: Loads,
        f: list[fem.Function],
        g: list[fem.Function],
        h: list[fem.Function],
        p: fem.Function,
    ) -> Minimiser:
        """The minimiser with its value.

        Args:
            loads: The right-hand sides.
            f: The potentials at the middles of slabs.
            g: The fluxes there.
            h: The perturbations at the ends of slabs, h₀ included.
            p: The potential at the end.

        Returns:
            The minimiser.
        """
        problem = self._problem
        delta = problem.delta
        flux_square, end_square = loads.squares
        weighted = problem.end_mass.createVecLeft()
        problem.end_mass.mult(p.x.petsc_vec, weighted)
        work = [load.dot(u.x.petsc_vec) for load, u in zip(loads.adjoint, h, strict=True)]
        fluxes = delta * sum(load.dot(u.x.petsc_vec) for load, u in zip(loads.flux, g, strict=True))
        cost = 0.5 * (delta * self._squares(g) - 2.0 * fluxes + flux_square)
        end_cost = 0.5 * (p.x.petsc_vec.dot(weighted) - end_square)
        value = cost - sum(work) + end_cost

        started = weighted.duplicate()
        problem.explicit_step(0).mult(h[0].x.petsc_vec, started)
        dual = started.dot(f[0].x.petsc_vec) + loads.end.dot(p.x.petsc_vec) + end_square
        dual += sum(load.dot(u.x.petsc_vec) for load, u in zip(loads.constraint, f, strict=True))
        dual += work[0] + sum(work) + fluxes - flux_square
        return Minimiser(f, g, h, p, value, -0.5 * dual)

    def _squares(self, g: list[fem.Function]) -> float:
        """The sum of ∫|g_k|²/q over the slabs."""
        found = 0.0
        for k, flux in enumerate(g):
            self._problem.data.load(k)
            self._g.x.array[:] = flux.x.array
            found += fem.assemble_scalar(self._square).real
        return self._problem.spaces.mesh.comm.allreduce(found)
