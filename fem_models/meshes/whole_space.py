"""The Laplacian on the whole of R³, on a ball and a shell that stands for what is outside of the ball.

Charges live in the ball |x - c| < R. The shell R ≤ r = |x - c| ≤ S is mapped onto the rest of space by

    r' = R (S - R) / (S - r),

which keeps the sphere r = R and sends the outer sphere r = S to infinity, where the potential is zero.
Nothing is cut off: a potential that decays like 1/r' is linear in r near r = S, an ordinary P1 function.
"""

from __future__ import annotations

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.meshes.marks import MarkedMesh, boundary_nodes

SHELL, BALL, INFINITY = "shell", "ball", "infinity"
"""The names of the two regions and of the boundary of a mesh that stands for the whole space."""

# Cosine from which on the direction of an interpolated radius counts as that of the radius. In cells with all
# nodes on one sphere it has none, and in slivers a wild one.
_ALIGNED = 0.8

# How far the nodes at infinity may be from a sphere, relative to its radius. gmsh's layers are round to 3e-5.
_ROUND = 1e-3

_WHY_NOT = {
    1: "the potential of a charge grows like |x|",
    2: "the potential of a charge grows like log|x|",
}


def require_three_dimensions(dim: int) -> None:
    """Refuse the whole space in one and two dimensions.

    Args:
        dim: Dimension of the mesh.

    Raises:
        InputError: The dimension is not 3.
    """
    if dim != 3:
        raise InputError(
            f"The whole space needs a mesh of dimension 3: in dimension {dim} {_WHY_NOT[dim]} and does not "
            "vanish at infinity, so that the energy of a net charge is infinite; use a bounded domain with "
            "boundary values."
        )


def shell_coefficient(x: Expr, radius: float, outer: float, center: Expr) -> Expr:
    """Coefficient of the Laplacian in the shell.

    With the Jacobian J of the map and g = dr'/dr = R(S-R)/(S-r)², ∫|∇'ψ|² dx' = ∫ a∇ψ·∇ψ dx for
    a = J⁻¹J⁻ᵀ det J. J stretches by g along the radius and by r'/r across it, and det J = g (r'/r)²:

        along:  det J / g²      = (r'/r)² / g = R (S-R) / r²
        across: det J / (r'/r)² = g           = R (S-R) / (S-r)²

    Args:
        x: Position, a UFL vector.
        radius: Radius R of the ball.
        outer: Outer radius S of the shell.
        center: Centre c of both, a UFL vector.

    Returns:
        a, a UFL tensor of shape (3, 3), dimensionless; infinite across the radius at the outer sphere.
    """
    r = ufl.sqrt(ufl.dot(x - center, x - center))
    return _coefficient((x - center) / r, r, radius, outer)


def _coefficient(direction: Expr, r: Expr, radius: float, outer: float) -> Expr:
    along = ufl.outer(direction, direction)
    strength = radius * (outer - radius)
    return strength / r**2 * along + strength / (outer - r) ** 2 * (ufl.Identity(3) - along)


def space_coefficient(marked: MarkedMesh) -> Expr:
    """Coefficient of the Laplacian on a ball and its shell: the identity and a tensor. Collective.

    The direction of the radius in a cell of the shell is that of ∇r_h, where r_h is r interpolated at the
    nodes. It differs from (x-c)/r by O(h) with a mean of O(h²), and the interpolant of a function of r alone
    has no derivative across it if all nodes are on spheres one cell apart. With (x-c)/r it would have one of
    O(h), which meets a coefficient of O(h⁻²) in the outermost cells and makes potentials accurate to first
    order only. In shells whose nodes are not on such spheres the order is about 3/2.

    Args:
        marked: A mesh with the regions "ball" and "shell" and the boundary "infinity", concentric spheres.

    Returns:
        A UFL tensor of shape (3, 3), dimensionless, for quadrature points inside the cells.

    Raises:
        InputError: A mesh of another dimension or with other parts.
    """
    mesh = marked.mesh
    require_three_dimensions(mesh.topology.dim)
    if not ({BALL, SHELL} <= marked.regions.keys() and INFINITY in marked.boundaries):
        raise InputError(
            'The mesh of the whole space needs the regions "ball" and "shell" and the boundary "infinity": '
            'use domain = "space", or name physical groups of your mesh so.'
        )
    center, radius, outer = _spheres(marked)
    inside = fem.Function(fem.functionspace(mesh, ("DG", 0)))
    inside.x.array[:] = 0.0
    inside.x.array[marked.regions[BALL]] = 1.0
    distance = fem.Function(fem.functionspace(mesh, ("Lagrange", 1)))
    distance.interpolate(lambda x: np.linalg.norm(x - center[:, None], axis=0))
    x = ufl.SpatialCoordinate(mesh) - ufl.as_vector(center.tolist())
    r = ufl.sqrt(ufl.dot(x, x))
    gradient = ufl.grad(distance)
    length = ufl.sqrt(ufl.dot(gradient, gradient))
    aligned = ufl.gt(ufl.dot(gradient, x), _ALIGNED * length * r)
    direction = ufl.as_vector([ufl.conditional(aligned, gradient[k] / length, x[k] / r) for k in range(3)])
    shell = _coefficient(direction, r, radius, outer)
    in_ball = ufl.gt(inside, 0.5)
    one = ufl.Identity(3)
    return ufl.as_tensor(
        [[ufl.conditional(in_ball, one[k, m], shell[k, m]) for m in range(3)] for k in range(3)]
    )


def _spheres(marked: MarkedMesh) -> tuple[np.ndarray, float, float]:
    """Centre, radius of the ball and outer radius of the shell, from the nodes. Collective."""
    mesh, comm = marked.mesh, marked.mesh.comm
    space = fem.functionspace(mesh, ("Lagrange", 1))
    points = space.tabulate_dof_coordinates()
    owned = space.dofmap.index_map.size_local
    ends = boundary_nodes(space, marked.boundaries[INFINITY])
    ends = points[ends[ends < owned]]

    # |x|² = 2c·x + S² - |c|² at the nodes at infinity, around their mean: least squares for c and S.
    total = comm.allreduce(np.append(ends.sum(axis=0), len(ends)))
    middle = total[:3] / total[3]
    ends = ends - middle
    rows = np.column_stack([2.0 * ends, np.ones(len(ends))])
    squares = (ends**2).sum(axis=1)
    scale = np.sqrt(comm.allreduce(float(squares.sum())) / total[3])
    rows[:, :3] /= scale
    matrix, right = comm.allreduce(rows.T @ rows), comm.allreduce(rows.T @ squares)
    solution = np.linalg.solve(matrix / total[3], right / total[3])
    shift = solution[:3] / scale
    outer = float(np.sqrt(solution[3] + shift @ shift))
    center = middle + shift

    off = np.abs(np.linalg.norm(ends - shift, axis=1) - outer).max(initial=0.0)
    off = comm.allreduce(float(off), op=MPI.MAX)
    corners = mesh.geometry.x[mesh.geometry.dofmaps[0][marked.regions[BALL]]]
    reach = np.linalg.norm(corners - center, axis=2).max(initial=0.0)
    radius = comm.allreduce(float(reach), op=MPI.MAX)
    if off > _ROUND * outer or not 0.0 < radius < (1.0 - _ROUND) * outer:
        raise InputError(
            'The boundary "infinity" of the mesh must be a sphere around the region "ball", with the region '
            '"shell" between them.'
        )
    return center, radius, outer
