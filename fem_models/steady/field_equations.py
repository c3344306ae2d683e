"""The equations of fields in equilibrium with densities that follow them, and their linear systems."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from petsc4py import PETSc

from fem_models.core.errors import SolveError
from fem_models.flow.gradient_flow import GradientFlow, State
from fem_models.linalg.coordinates import coordinate_matrix, global_numbers
from fem_models.linalg.exchange import Exchange
from fem_models.linalg.krylov import KrylovSolver, factorises
from fem_models.linalg.linear_solver import linear_options
from fem_models.linalg.options import Option
from fem_models.steady.local_densities import LocalDensities

_Array = npt.NDArray[np.float64]

_KRYLOV: dict[str, Option] = {
    "ksp_type": "gmres",
    "ksp_gmres_restart": 100,
    "ksp_rtol": 1e-8,
    "ksp_max_it": 500,
    "pc_type": "gamg",
}

# Singular values below this share of the largest belong to a free constant of a static field.
_FREE = 1e-13

# A net source of a field beyond this share of its parts is no rounding.
_BALANCED = 1e-6

# For the power method: iterations, and the relative change that is none.
_POWERS, _SETTLED = 100, 1e-4


class FieldEquations:
    """K φ + m ∂e/∂φ = 0 for the fields φ of a flow, with the opposite sign for static ones. Collective.

    With this sign the equations are the derivative of a convex function where the energy is convex in the
    fields of the L² metric and concave in the static ones. Given values are equations of their own.

    Args:
        flow: The gradient flow.
        densities: The densities that follow the fields.

    Attributes:
        columns: The columns of the fields in a state.
        sign: -1 for static fields, otherwise 1, shape (fields,).
    """

    def __init__(self, flow: GradientFlow, densities: LocalDensities) -> None:
        self._flow, self._local = flow, densities.local
        self._densities = densities.columns
        self.columns = np.flatnonzero(~flow.transported)
        self._owned = slice(0, flow.owned)
        self.sign = np.where(flow.static[self.columns], -1.0, 1.0)
        self._held = np.zeros((flow.nodes, len(self.columns)), dtype=bool)
        for k, column in enumerate(map(int, self.columns)):
            if column in flow.fixed:
                self._held[flow.fixed[column][0], k] = True
        self._diagonals = flow.couplings.stiffness_diagonals()[:, self.columns]
        if len(self.columns):
            self._set_up()

    def residual(self, state: State) -> tuple[_Array, _Array]:
        """The equations, and the size of the terms that cancel in them: shape (owned nodes, fields) each.

        Args:
            state: Shape (nodes, species).

        Returns:
            The residual and the sizes.
        """
        flow, owned = self._flow, self._owned
        local = (flow.geometry.volumes[:, None] * self._local.smooth_potentials(state))[owned, self.columns]
        residual = self.sign * (local + flow.couplings.stiffness_products(state)[owned, self.columns])
        residual[self._held[owned]] = 0.0
        # Rounding of the masses may leave a net charge where none can be; it is spread over the domain.
        net = np.where(flow.free_constants[self.columns], flow.comm.allreduce(residual.sum(axis=0)), 0.0)
        residual -= net * flow.geometry.volumes[owned, None] / flow.volume
        stiff = np.abs(self._diagonals * state[:, self.columns])[owned]
        return residual, self._sources(state) + np.abs(local) + stiff

    def balanced(self, state: State) -> bool:
        """Whether Σ_i m_i ∂e/∂φ is zero for fields of the L² metric, as it is where K φ + m ∂e/∂φ is.

        Args:
            state: Shape (nodes, species).

        Returns:
            Whether it is.
        """
        flow = self._flow
        local = (flow.geometry.volumes[:, None] * self._local.smooth_potentials(state))[:, self.columns]
        net, size = self.sum(local), self.sum(np.abs(local))
        size = size + flow.comm.allreduce(self._sources(state).sum(axis=0))
        relaxed = flow.relaxed[self.columns]
        return bool((np.abs(net) <= _BALANCED * size)[relaxed].all())

    def _sources(self, state: State) -> _Array:
        """What the densities contribute to m ∂e/∂φ, in size, at the nodes of this rank."""
        flow, owned = self._flow, self._owned
        mixed = self._local.hessian(state)[owned][:, self.columns[:, None], self._densities]
        parts = np.einsum("nfs,ns->nf", np.abs(mixed), state[owned][:, self._densities])
        return np.where(flow.inside[owned, None], flow.geometry.volumes[owned, None] * parts, 0.0)

    def linearise(self, state: State, rates: _Array) -> FieldLinearisation:
        """The linear systems of fields, multipliers and densities at a state. Collective.

        Args:
            state: Fields and the densities that follow them, shape (nodes, species).
            rates: X = ∂ρ/∂λ, shape (nodes, densities, densities).

        Returns:
            The systems; their matrix is that of the last call.

        Raises:
            SolveError: Second derivatives of the energy are not finite.
        """
        flow, fields = self._flow, self.columns
        hessian = self._local.hessian(state)
        volumes = flow.geometry.volumes[:, None, None]
        mixed = np.where(flow.inside[:, None, None], hessian[:, self._densities[:, None], fields], 0.0)
        weighted = volumes * rates
        # The change of the fields' equations, but for the sign, with the multipliers.
        couplings = np.einsum("nst,nsf->nft", weighted, mixed)
        masses = schur = self.sum(weighted)
        borders = np.zeros((flow.nodes, 0, len(self._densities)))
        if len(fields):
            own = np.where(volumes > 0.0, volumes * hessian[:, fields[:, None], fields], 0.0)
            self._assemble(own - np.einsum("nfs,nsg->nfg", couplings, mixed))
            columns = range(len(self._densities))
            found = [self.inverse(self.sign * couplings[self._owned, :, s]) for s in columns]
            borders = np.stack(found, axis=2)
            schur = masses + self.sum(np.einsum("nfs,nft->nst", couplings, borders))
        if not np.isfinite(schur).all():
            raise SolveError(
                "No steady state was found: the second derivatives of the energy are not finite at fields "
                "on the way; a smaller mass or coupling, or a guess, may help."
            )
        return FieldLinearisation(self, rates, mixed, weighted, couplings, masses, borders, schur)

    def feedback(self, state: State, rates: _Array) -> float:
        """The largest factor μ by which a change of fields of the L² metric comes back through the densities.

        With the second derivatives P of the energy by the fields and P - W when the densities follow, it is
        the largest eigenvalue of P⁻¹W: the stationary point is a minimum if and only if μ < 1. By the power
        method, from below.

        Args:
            state: Shape (nodes, species).
            rates: X = ∂ρ/∂λ, shape (nodes, densities, densities).

        Returns:
            μ, dimensionless.
        """
        flow, owned = self._flow, self._owned
        following = self.linearise(state, rates)
        couplings, mixed, masses = following.couplings, following.mixed, following.masses
        # From here on the matrix is that of densities that do not answer.
        self.linearise(state, np.zeros_like(rates))

        def answer(fields: _Array) -> _Array:
            """W δφ at the nodes of this rank: the densities answer with their masses held."""
            load = self.sum(np.einsum("nfs,nf->ns", couplings, fields))
            drive = np.einsum("nsf,nf->ns", mixed, fields) - np.linalg.lstsq(masses, load, rcond=_FREE)[0]
            change = np.einsum("nst,nt->ns", rates, drive)
            return (flow.geometry.volumes[:, None] * np.einsum("nsf,ns->nf", mixed, change))[owned]

        # Waves of several lengths in no direction in particular.
        phases = flow.points @ (np.arange(1.0, 1.0 + flow.points.shape[1]) * math.pi / flow.volume)
        fields = np.repeat((np.sin(phases) + np.cos(0.7 + 3.3 * phases))[:, None], len(self.columns), axis=1)
        factor = 0.0
        for _ in range(_POWERS):
            force = answer(fields)
            fields = self.inverse(force)
            pairs = np.array([(fields[owned] * f).sum() for f in (answer(fields), force)])
            work, size = flow.comm.allreduce(pairs)
            if not size > 0.0:
                break
            before, factor = factor, float(work / size)
            if factor > 1.0 or factor - before < _SETTLED * factor:
                break
            fields /= math.sqrt(size)
        return factor

    def sum(self, values: _Array) -> _Array:
        """The sum over the nodes of all ranks. Collective.

        Args:
            values: Shape (nodes, ...).

        Returns:
            The shape without the nodes.
        """
        return self._flow.comm.allreduce(values[self._owned].sum(axis=0))

    # The sparse matrix of the fields

    def _set_up(self) -> None:
        flow, count = self._flow, len(self.columns)
        index_map = flow.space.dofmap.index_map
        nodes = global_numbers(index_map)
        own = nodes[self._owned, None] * count + np.arange(count, dtype=PETSc.IntType)
        rows = [np.repeat(own, count, axis=1).ravel()]
        columns = [np.tile(own, (1, count)).ravel()]
        stiff = []
        places = {int(column): k for k, column in enumerate(self.columns)}
        for _, column, stiffness in flow.couplings.stiffnesses:
            k = places[column]
            i, j = nodes[stiffness.pairs.T] * count + k
            rows += [i, j, i, j]
            columns += [i, j, j, i]
            value = self.sign[k] * stiffness.k
            of_i, of_j = (value * ~self._held[stiffness.pairs[:, end], k] for end in (0, 1))
            both = -np.where(of_j == 0.0, 0.0, of_i)
            stiff += [of_i, of_j, both, both]
        self._stiff = np.concatenate(stiff) if stiff else np.empty(0)
        pattern = np.concatenate(rows), np.concatenate(columns)
        matrix = coordinate_matrix(flow.comm, index_map, index_map, *pattern, count)
        self._matrix = matrix
        self._right, self._solution = matrix.createVecLeft(), matrix.createVecRight()
        self._exchange = Exchange(index_map, count)
        dim, unknowns = flow.mesh.topology.dim, index_map.size_global * count
        direct = factorises("steady", unknowns, dim)
        defaults = linear_options("direct", unknowns, dim, flow.comm.size) if direct else _KRYLOV
        self._solver = KrylovSolver(flow.comm, "steady_", defaults, operator=matrix)

    def _assemble(self, blocks: _Array) -> None:
        """The matrix of the stiffnesses and of blocks at the nodes, shape (nodes, fields, fields)."""
        free = ~self._held
        blocks = self.sign[:, None] * blocks * (free[:, :, None] & free[:, None, :])
        nodes, fields = np.nonzero(self._held)
        blocks[nodes, fields, fields] = self._diagonals[self._held]
        values = np.concatenate([blocks[self._owned].ravel(), self._stiff])
        self._matrix.setValuesCOO(values, PETSc.InsertMode.INSERT_VALUES)
        self._solver.set_operators(self._matrix)

    def inverse(self, right: _Array) -> _Array:
        """The solution of the fields' linear system, zero where φ is given. Collective.

        Args:
            right: The right-hand side, shape (owned nodes, fields).

        Returns:
            Shape (nodes, fields), ghosts included.
        """
        self._right.array_w[:] = np.where(self._held[self._owned], 0.0, right).ravel()
        self._solver.solve(self._right, self._solution)
        return self._exchange.with_ghosts(self._solution.array_r).copy()


@dataclass(frozen=True)
class FieldLinearisation:
    """Linear systems for changes of fields, multipliers and densities, the latter eliminated.

    Attributes:
        equations: The equations of the fields.
        rates: X = ∂ρ/∂λ, shape (nodes, densities, densities).
        mixed: ∂²e/∂ρ∂φ, shape (nodes, densities, fields).
        weighted: m X.
        couplings: m (∂²e/∂φ∂ρ) X, shape (nodes, fields, densities).
        masses: Σ m X, shape (densities, densities).
        borders: The changes of the fields with the multipliers, shape (nodes, fields, densities).
        schur: The matrix of the multipliers that is left, shape (densities, densities).
    """

    equations: FieldEquations
    rates: _Array
    mixed: _Array
    weighted: _Array
    couplings: _Array
    masses: _Array
    borders: _Array
    schur: _Array

    def solve(self, residual: _Array, shift: _Array) -> tuple[_Array, _Array, _Array]:
        """Changes that take a residual away, while potentials of the densities change and masses do not.

        Args:
            residual: Of the fields, shape (owned nodes, fields).
            shift: Change of the non-local potentials, shape (nodes, densities).

        Returns:
            The changes of the fields, shape (nodes, fields), of the multipliers λ, and of the densities,
            shape (nodes, densities).
        """
        equations, owned = self.equations, slice(0, len(residual))
        count = len(equations.columns)
        right = equations.sum(np.einsum("nst,nt->ns", self.weighted, shift))
        fields = np.zeros((len(shift), count))
        if count:
            forces = equations.sign * np.einsum("nft,nt->nf", self.couplings, shift)[owned]
            fields = equations.inverse(forces - residual)
            right = right + equations.sum(np.einsum("nfs,nf->ns", self.couplings, fields))
        multipliers = np.linalg.lstsq(self.schur, right, rcond=_FREE)[0]
        if count:
            fields = fields - self.borders @ multipliers
        drive = multipliers - np.einsum("nsf,nf->ns", self.mixed, fields) - shift
        return fields, multipliers, np.einsum("nst,nt->ns", self.rates, drive)
