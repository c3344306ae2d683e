"""A plain hand-written DOLFINx loop for ∂tρ = Δρ², to hold the framework against. Triangles only.

Backward Euler with edge-averaged fluxes as one UFL form: the edge coefficients of each cell, divided by its
area, are a piecewise constant function; on an affine cell the value of u at a vertex is u + ∇u·(x_i - x_c) at
its centre. The lumped mass is a diagonal vector, added in the SNES callbacks.
"""

import math
import time

# Before DOLFINx, for which it finds the MPI library of the wheels.
import fem_models  # noqa: F401

# isort: split
import basix
import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem.petsc import assemble_matrix, assemble_vector, create_matrix
from dolfinx.mesh import Mesh
from petsc4py import PETSc
from ufl.core.expr import Expr

EDGES = ((1, 2), (0, 2), (0, 1))
TOLERANCE = 1e-10  # as in `NewtonSettings`


def flux_form(space: fem.FunctionSpace, density: fem.Function, tau: fem.Constant, flux: str) -> ufl.Form:
    """The form τ Σ_edges κ_ij ρ_ij (μ_i - μ_j)(v_i - v_j) with μ = 2ρ."""
    mesh = space.mesh
    corners = basix.geometry(basix.CellType.triangle)
    center = corners.mean(axis=0)
    J, K = ufl.Jacobian(mesh), ufl.JacobianInverse(mesh)
    slopes = [ufl.dot(K.T, ufl.as_vector(s)) for s in ((-1.0, -1.0), (1.0, 0.0), (0.0, 1.0))]
    piecewise = fem.functionspace(mesh, ("DG", 0, (3,)))
    kappa = fem.Function(piecewise)
    values = ufl.as_vector([-ufl.dot(slopes[i], slopes[j]) for i, j in EDGES])
    kappa.interpolate(fem.Expression(values, piecewise.element.interpolation_points))

    def at(u: Expr, i: int) -> Expr:
        return u + ufl.dot(ufl.grad(u), ufl.dot(J, ufl.as_vector(corners[i] - center)))

    test = ufl.TestFunction(space)
    total = 0.0
    for k, (i, j) in enumerate(EDGES):
        a, b = at(density, i), at(density, j)
        difference = 2.0 * a - 2.0 * b
        # For this energy the average flux is the arithmetic mean on every edge.
        edge = 0.5 * (a + b) if flux == "average" else ufl.conditional(ufl.gt(difference, 0.0), a, b)
        total += kappa[k] * edge * difference * (at(test, i) - at(test, j))
    return tau * total * ufl.dx(metadata={"quadrature_degree": 1})


def run(
    mesh: Mesh, start: np.ndarray, flux: str, tau: float, steps: int, options: dict
) -> tuple[np.ndarray, list[float], int]:
    """Take steps from nodal densities.

    Args:
        mesh: Of triangles.
        start: Densities at the nodes with their ghosts, shape (nodes,).
        flux: "upwind" or "average".
        tau: Time step.
        steps: Their number.
        options: Of the linear solver.

    Returns:
        The densities, the seconds of each step, and the number of Newton iterations.

    Raises:
        RuntimeError: Newton's method does not converge.
    """
    space = fem.functionspace(mesh, ("Lagrange", 1))
    density = fem.Function(space)
    residual = flux_form(space, density, fem.Constant(mesh, tau), flux)
    F, dF = fem.form(residual), fem.form(ufl.derivative(residual, density))
    mass = assemble_vector(fem.form(ufl.TestFunction(space) * ufl.dx))
    mass.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)
    owned = space.dofmap.index_map.size_local
    x, old, f, diagonal = (mass.duplicate() for _ in range(4))
    matrix = create_matrix(dF)

    def load(vector: PETSc.Vec) -> None:
        density.x.array[:owned] = vector.array_r
        density.x.scatter_forward()

    def evaluate(snes: PETSc.SNES, x: PETSc.Vec, f: PETSc.Vec) -> None:
        load(x)
        with f.localForm() as local:
            local.set(0.0)
        assemble_vector(f, F)
        f.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)
        f.array_w[:] += mass.array_r * (x.array_r - old.array_r)

    def derivative(snes: PETSc.SNES, x: PETSc.Vec, A: PETSc.Mat, P: PETSc.Mat) -> None:
        load(x)
        P.zeroEntries()
        assemble_matrix(P, dF)
        P.assemble()
        P.getDiagonal(diagonal)
        diagonal.axpy(1.0, mass)
        P.setDiagonal(diagonal)

    snes = PETSc.SNES().create(mesh.comm)
    snes.setFunction(evaluate, f)
    snes.setJacobian(derivative, matrix)
    prefix = "plain_"
    snes.setOptionsPrefix(prefix)
    database = PETSc.Options()
    options = {"snes_linesearch_type": "basic", "snes_rtol": 0.0, "snes_stol": 0.0, **options}
    for key, value in options.items():
        database[prefix + key] = value
    snes.setFromOptions()
    for key in options:
        del database[prefix + key]

    walls, newton = [], 0
    x.array_w[:] = start[:owned]
    for _ in range(steps):
        mesh.comm.Barrier()
        begin = time.perf_counter()
        x.copy(old)
        norm = math.sqrt(mesh.comm.allreduce(float(((mass.array_r * old.array_r) ** 2).sum())))
        snes.setTolerances(atol=TOLERANCE * norm)
        snes.solve(None, x)
        if snes.getConvergedReason() <= 0:
            raise RuntimeError("The plain loop did not converge.")
        walls.append(time.perf_counter() - begin)
        newton += snes.getIterationNumber()
    load(x)
    return density.x.array.copy(), walls, newton
