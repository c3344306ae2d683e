"""The space P_k of the log-density: weights of its nodes, its mass matrix, and given values on facets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from dolfinx.mesh import exterior_facet_indices
from petsc4py import PETSc

from fem_models.linalg.exchange import with_ghosts
from fem_models.linalg.krylov import KrylovSolver
from fem_models.linalg.options import Option

_Array = npt.NDArray[np.float64]

# Of the solver of systems with the mass matrix.
_MASS: dict[str, Option] = {"ksp_type": "cg", "pc_type": "jacobi", "ksp_rtol": 1e-13, "ksp_atol": 0.0}


@dataclass(frozen=True)
class NodalWeights:
    """What diagnostics need of the nodes of P_k.

    Attributes:
        volumes: Positive weights of the nodes, proportional to ∫λ_i², that sum to the volume; shape (nodes,).
        h_min, h_max: The shortest and the longest edge of the mesh.
        negative_share: The share of negative edge coefficients, zero: there are none.
    """

    volumes: _Array
    h_min: float
    h_max: float
    negative_share: float = 0.0


class MassMatrix:
    """The matrix ∫λ_i λ_j of the basis functions of a space. Collective.

    Args:
        space: The scalar space.
        dx: The measure of the integrals.
    """

    def __init__(self, space: fem.FunctionSpace, dx: ufl.Measure) -> None:
        self._space, self._dx = space, dx

    @cached_property
    def _matrix(self) -> PETSc.Mat:
        u, w = ufl.TrialFunction(self._space), ufl.TestFunction(self._space)
        matrix = fem_petsc.assemble_matrix(fem.form(u * w * self._dx))
        matrix.assemble()
        return matrix

    @cached_property
    def _solver(self) -> KrylovSolver:
        return KrylovSolver(self._space.mesh.comm, "log_mass_", _MASS, operator=self._matrix)

    def represented(self, functional: _Array) -> _Array:
        """Nodal values of the function of the space that represents a functional in L². Collective.

        Args:
            functional: Its values at the basis functions of owned nodes, shape (owned nodes,).

        Returns:
            Shape (nodes,), ghosts included.
        """
        given, found = self._matrix.createVecs()
        given.array_w[:] = functional
        self._solver.solve(given, found)
        return with_ghosts(self._space.dofmap.index_map, found.array_r)

    def weights(self) -> _Array:
        """Positive weights of the nodes, proportional to ∫λ_i², that sum to the volume. Collective.

        Returns:
            Shape (nodes,), ghosts included.
        """
        comm, owned = self._space.mesh.comm, self._space.dofmap.index_map.size_local
        diagonal = with_ghosts(self._space.dofmap.index_map, self._matrix.getDiagonal().array_r)
        one = fem.Constant(self._space.mesh, 1.0)
        measure = comm.allreduce(fem.assemble_scalar(fem.form(one * self._dx)))
        return diagonal * (measure / comm.allreduce(float(diagonal[:owned].sum())))


def on_facets(
    space: fem.FunctionSpace, vertices: fem.FunctionSpace, nodes: npt.NDArray[np.int32], values: _Array
) -> tuple[npt.NDArray[np.int32], _Array]:
    """Nodes of P_k with given values: at vertices that have one, and on facets between such vertices.

    Args:
        space: The space P_k.
        vertices: The scalar P1 space.
        nodes: Nodes of P1 that have values, ghosts included.
        values: The value at each.

    Returns:
        The nodes of P_k, and their values, interpolated from the vertices.
    """
    mesh = space.mesh
    given, known = fem.Function(vertices), fem.Function(vertices)
    given.x.array[nodes], known.x.array[nodes] = values, 1.0
    topology = mesh.topology
    facets = topology.dim - 1
    topology.create_connectivity(facets, topology.dim)
    topology.create_connectivity(facets, 0)
    topology.create_connectivity(topology.dim, 0)
    topology.create_connectivity(0, topology.dim)
    # On affine simplices the nodes of P1 in a cell are its vertices, in the same order.
    vertex_map, cells = topology.index_map(0), vertices.dofmap.list
    node_of = np.empty(vertex_map.size_local + vertex_map.num_ghosts, dtype=np.int32)
    node_of[topology.connectivity(topology.dim, 0).array.reshape(cells.shape)] = cells
    is_known = known.x.array[node_of] == 1.0
    boundary = exterior_facet_indices(topology)
    corners = topology.connectivity(facets, 0).array.reshape(-1, topology.dim)[boundary]
    whole = boundary[is_known[corners].all(axis=1)]
    chosen = np.union1d(
        fem.locate_dofs_topological(space, facets, whole),
        fem.locate_dofs_topological(space, 0, np.flatnonzero(is_known).astype(np.int32)),
    )
    interpolated = fem.Function(space)
    interpolated.interpolate(given)
    return chosen, interpolated.x.array[chosen].copy()
