"""The log-density discretisation of order k of gradient flows with entropies.

Densities are ρ_s = exp(g_s) with g_s in P_k; fields of the L² metric and static fields are in P_k themselves.
For an energy ∫ Σ_s ρ_s (θ_s log ρ_s + V_s + Σ_t b_st c_t) + e(c, x) + ½ Σ_t ∫ a_t|∇c_t|² with θ_s > 0 an
implicit Euler step is: for all w in P_k

    ∫(ρ_s - ρ_s^old) w + τ ∫ρ_s ∇μ_s·∇w = 0,   μ_s = θ_s (g_s + 1) + I_h V_s + Σ_t b_st c_t   (Wasserstein)
    ∫(c_t - c_t^old) w + τ ∫ (∂e/∂c_t + Σ_s b_st ρ_s) w + τ ∫ a_t∇c_t·∇w = 0                   (L²)
    ∫ (∂e/∂c_t + Σ_s b_st ρ_s) w + ∫ a_t∇c_t·∇w = 0                                            (static)

with the interpolation I_h of P_k. Since μ_s is in P_k, testing with it gives the energy law for any τ where
the energy is convex in the densities and the fields of the L² metric, the static ones eliminated: it falls by
τ D at least with D = Σ_s ∫ρ_s|∇μ_s|² + Σ_t ‖δE/δc_t‖². Testing with 1 gives exact mass, and densities are
positive by construction; they cannot be zero (the family of Fu and Xu, CMAME 2022). All integrals, those of
the energy included, are sums over the points of one rule with positive weights, exact for polynomials of
degree 2k + 2, so that these laws hold for the discrete quantities without a remainder. Everything is
dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast, override

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem, la
from mpi4py import MPI
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.flow.affine_terms import AffineTerms
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.flow.initial_values import Values
from fem_models.flow.log_density_steps import LogDensitySteps
from fem_models.flow.neutrality import check_neutral
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.polynomial_space import MassMatrix, NodalWeights, on_facets
from fem_models.flow.species import State
from fem_models.nodal.evaluation import NodalExpression

DEGREES = (1, 2)


class LogDensityFlow(NodalFields):
    """A gradient flow with entropies, discretised with densities that are exponentials of P_k. Collective.

    A state has the densities exp(g_i) and the values of the other fields at the nodes of P_k, shape (nodes of
    P_k, fields). Masses, energies, moments and the dissipation are integrals of exp(g) by quadrature. Static
    fields are fixed at the vertices where the given flow fixes them; where these are all vertices of a facet
    of the boundary, also on the facet, interpolated from the vertices.

    Args:
        flow: The gradient flow: its mesh, species, energy and fixed values.
        degree: The order k of the space, 1 or 2.

    Attributes:
        degree: k.
        dx: The measure of all integrals, with its quadrature rule.
        fields: The space of all fields together, P_k with a value for each.
        geometry: Nodal weights.

    Raises:
        InputError: An order that is not offered, a density without an entropy, a term whose potentials δE/δρ
            are not affine in the other fields with constant coefficients, or densities that live on a part of
            the mesh only.
    """

    def __init__(self, flow: GradientFlow, degree: int) -> None:
        if degree not in DEGREES:
            raise InputError(f"The order of the log-density must be 1 or 2, not {degree!r}.")
        super().__init__(flow.mesh, flow.species, flow.terms)
        self.cells = None
        self.degree = degree
        self._vertex_flow = flow
        self._affine = AffineTerms(flow)

        self._use(fem.functionspace(self.mesh, ("Lagrange", degree)))
        self.fields = fem.functionspace(self.mesh, ("Lagrange", degree, (len(self.names),)))
        self.dx = ufl.Measure("dx", self.mesh, metadata={"quadrature_degree": 2 * degree + 2})
        self._mass = MassMatrix(self.space, self.dx)
        self.geometry = NodalWeights(self._mass.weights(), flow.geometry.h_min, flow.geometry.h_max)
        if flow.volume < (1.0 - 1e-9) * self.volume:
            raise InputError(
                "The log-density needs densities on the whole mesh, but they live on a part of it: use the "
                "edge-averaged discretisation there."
            )
        self.fixed = {s: on_facets(self.space, flow.space, *given) for s, given in flow.fixed.items()}
        self._logs = fem.Function(self.fields)
        # Forms that are nothing but zero cannot be compiled: this is not seen to be zero.
        self._zero = fem.Constant(self.mesh, 0.0)
        self._offsets = self._interpolated_offsets()

    # The energy

    def _interpolated_offsets(self) -> list[dict[int, fem.Function]]:
        """I_h V_s of each term, by the column of the species."""
        keys = [(n, s) for n, parts in enumerate(self._affine.parts) for s in parts.offsets]
        self._external = NodalExpression(
            self._local.cover, [self._affine.parts[n].offsets[s] for n, s in keys]
        )
        found: list[dict[int, fem.Function]] = [{} for _ in self._affine.parts]
        for n, s in keys:
            found[n][s] = fem.Function(self.space)
        self._read_again(found)
        return found

    def _read_again(self, offsets: list[dict[int, fem.Function]]) -> None:
        """Evaluate the external potentials, whose data users may have changed."""
        functions = [function for parts in offsets for function in parts.values()]
        for function, nodal in zip(functions, self._external().T, strict=True):
            function.x.array[:] = nodal

    def densities(self, logs: fem.Function) -> tuple[Expr, ...]:
        """The fields as UFL scalars, exp(g_s) for densities, of a function in `fields`.

        Args:
            logs: A function in `fields`.

        Returns:
            An expression for each field.
        """
        return tuple(
            ufl.exp(logs[s]) if wasserstein else logs[s] for s, wasserstein in enumerate(self.transported)
        )

    def potential_expressions(self, logs: fem.Function, entropy: float | Expr = 0.0) -> dict[int, Expr]:
        """The potentials μ_s of the densities, functions of P_k, as UFL by the column of the species.

        Args:
            logs: A function in `fields`.
            entropy: Coefficient of an entropy added to the energy of all densities.

        Returns:
            The expressions by column.
        """
        densities, found = self.densities(logs), {}
        for s in map(int, np.flatnonzero(self.transported)):
            found[s] = (float(self.theta[s]) + entropy) * (logs[s] + 1.0)
            for parts, offsets in zip(self._affine.parts, self._offsets, strict=True):
                if s in offsets:
                    found[s] += offsets[s] + self._affine.placed(parts.slopes[s], densities)
        return found

    def energy_forms(self, logs: fem.Function) -> list[ufl.Form]:
        """The energy of each term at a function in `fields`.

        Args:
            logs: A function in `fields`.

        Returns:
            A form for each term.
        """
        densities, forms = self.densities(logs), []
        for term, parts, offsets in zip(self.terms, self._affine.parts, self._offsets, strict=True):
            local = self._zero + self._affine.placed(parts.rest, densities)
            for name, coefficient in term.entropy.items():
                s = self.names.index(name)
                local += coefficient * densities[s] * logs[s]
            for s, offset in offsets.items():
                local += densities[s] * (offset + self._affine.placed(parts.slopes[s], densities))
            for name, a in term.stiffness(self.x).items():
                slope = ufl.grad(logs[self.names.index(name)])
                local += 0.5 * ufl.inner(ufl.dot(a, slope) if a.ufl_shape else a * slope, slope)
            forms.append(local * self.dx)
        return forms

    # States

    @override
    def nodal_values(
        self, initial: Mapping[str, Values] | Values, masses: Mapping[str, float] | float | None = None
    ) -> State:
        """Nodal values of initial densities at the nodes of P_k, scaled to the masses that are given.

        Args:
            initial: As for `NodalFields.state`.
            masses: By species, the mass ∫exp(g) to scale to, otherwise as for `NodalFields.state`.

        Returns:
            Shape (nodes, species).

        Raises:
            InputError: A density that is zero somewhere, besides the reasons of `NodalFields.nodal_values`.
        """
        state = super().nodal_values(initial, masses)
        least = self.reduce(state.min(axis=0, initial=math.inf), MPI.MIN)
        for s in np.flatnonzero(self.transported & (least <= 0.0)):
            raise InputError(
                f"The initial {self.names[s]} is zero somewhere, but the log-density needs positive "
                "densities and cannot do vacuum: raise it, or use the edge-averaged discretisation."
            )
        if masses is not None and not isinstance(masses, Mapping):
            masses = {self.names[0]: masses}
        found = self.masses(state)
        for name, mass in (masses or {}).items():
            state[:, self.names.index(name)] *= mass / found[name]
        return state

    @override
    def settled(self, state: State) -> State:
        if not self.static.any():
            return state
        check_neutral(self, state)
        return LogDensitySteps(self).settled(state)

    def logs(self, state: State, into: fem.Function | None = None) -> fem.Function:
        """The state as a function in `fields`: log ρ for densities, and the values of other fields.

        Whatever is computed begins here: what users may have changed in the energy is read anew.

        Args:
            state: Shape (nodes, fields).
            into: The function to take the values; a new one by default.

        Returns:
            That function.
        """
        if self.has_data:
            self._read_again(self._offsets)
        into = into or fem.Function(self.fields)
        values = into.x.array.reshape(state.shape)
        values[:] = state
        # Charges are asked for with densities that are zero, and zero they are as exp(-∞).
        with np.errstate(divide="ignore"):
            np.log(state, out=values, where=np.broadcast_to(self.transported, state.shape))
        return into

    @override
    def vector(self) -> la.Vector:
        return la.vector(self.fields.dofmap.index_map, bs=len(self.names))

    # Integrals

    @override
    def energy_terms(self, state: State) -> dict[str, float]:
        self.logs(state, self._logs)
        local = np.array([fem.assemble_scalar(form) for form in self._energies])
        sums = self.comm.allreduce(local)
        return {term.name: float(value) for term, value in zip(self.terms, sums, strict=True)}

    @override
    def dissipation(self, state: State) -> float:
        """The dissipation D = Σ_s ∫ρ_s|∇μ_s|² + Σ_t ‖δE/δc_t‖² of dE/dt = -D.

        A step lowers a convex energy by τ D at its end at least.
        """
        self.logs(state, self._logs)
        found = self.comm.allreduce(float(cast("float", fem.assemble_scalar(self._friction))))
        if self.relaxed.any():
            forces = self.assembled(self._forces)[: self.owned]
            for force in forces.T[self.relaxed]:
                found += self.comm.allreduce(float(force @ self._mass.represented(force)[: self.owned]))
        return found

    @override
    def potentials(self, state: State) -> State:
        """The potentials at the nodes, shape (nodes, species).

        These are μ_s for densities, and for other fields the function of P_k that represents δE/δc in L².
        """
        entropies = self.theta * (np.log(np.where(self.transported, state, 1.0)) + 1.0)
        found = self.smooth_potentials(state) + entropies
        if not self.transported.all():
            self.logs(state, self._logs)
            forces = self.assembled(self._forces)[: self.owned]
            for s in np.flatnonzero(~self.transported):
                found[:, s] = self._mass.represented(forces[:, s])
        return found

    @override
    def masses(self, state: State) -> dict[str, float]:
        """The mass ∫ρ of each species."""
        return self._integrals(state, self._weighted[0])

    @override
    def second_moments(self, state: State) -> dict[str, float]:
        """The second moment ∫|x|²ρ of each species about the origin."""
        return self._integrals(state, self._weighted[1])

    @override
    def charges(self, state: State) -> npt.NDArray[np.float64]:
        """∫ ∂e/∂ψ for each static field ψ, and ∫ |∂e/∂ψ|: shape (2, species)."""
        self.logs(state, self._logs)
        return self.comm.allreduce(np.array([self._sums(form) for form in self._sources]))

    def _integrals(self, state: State, form: fem.Form) -> dict[str, float]:
        self.logs(state, self._logs)
        return self._by_name(self.comm.allreduce(self._sums(form)))

    def _sums(self, form: fem.Form) -> npt.NDArray[np.float64]:
        """This rank's share of the integrals of what a form tests: basis functions sum to one."""
        return fem.assemble_vector(form).array.reshape(self.nodes, -1).sum(axis=0)

    def assembled(self, form: fem.Form) -> npt.NDArray[np.float64]:
        """A linear form on `fields`, summed over ranks at the nodes of this rank: shape (nodes, fields).

        Args:
            form: A compiled linear form.

        Returns:
            Shape (nodes, fields); rows of ghosts do not count.
        """
        vector = fem.assemble_vector(form)
        vector.scatter_reverse(la.InsertMode.add)
        return vector.array.reshape(self.nodes, -1)

    @cached_property
    def _energies(self) -> list[fem.Form]:
        return fem.form(self.energy_forms(self._logs))

    @cached_property
    def _friction(self) -> fem.Form:
        densities, found = self.densities(self._logs), self._zero
        for s, mu in self.potential_expressions(self._logs).items():
            found += densities[s] * ufl.inner(ufl.grad(mu), ufl.grad(mu))
        return fem.form(found * self.dx)

    @cached_property
    def _forces(self) -> fem.Form:
        return fem.form(self.force_form(self._logs, ~self.transported))

    def force_form(self, logs: fem.Function, which: npt.NDArray[np.bool_]) -> ufl.Form:
        """The derivative of the energy by some fields other than densities, tested in `fields`.

        Args:
            logs: A function in `fields`.
            which: The fields, shape (fields,).

        Returns:
            The linear form.
        """
        w = ufl.TestFunction(self.fields)
        direction = ufl.as_vector([w[t] if chosen else 0.0 for t, chosen in enumerate(which)])
        return ufl.derivative(sum(self.energy_forms(logs)), logs, direction) + self._zero * w[0] * self.dx

    @cached_property
    def _weighted(self) -> list[fem.Form]:
        w, rho = ufl.TestFunction(self.fields), ufl.as_vector(self.densities(self._logs))
        return fem.form([weight * ufl.inner(rho, w) * self.dx for weight in (1.0, ufl.dot(self.x, self.x))])

    @cached_property
    def _sources(self) -> list[fem.Form]:
        w, densities = ufl.TestFunction(self.fields), self.densities(self._logs)
        rows = [
            self._affine.placed(self._affine.source(t), densities) + self._zero if static else self._zero
            for t, static in enumerate(self.static)
        ]
        signed, size = ufl.as_vector(rows), ufl.as_vector([abs(cast("Any", row)) for row in rows])
        return fem.form([ufl.inner(values, w) * self.dx for values in (signed, size)])

    # Static fields

    @cached_property
    @override
    def free_constants(self) -> npt.NDArray[np.bool_]:
        return self._vertex_flow.free_constants
