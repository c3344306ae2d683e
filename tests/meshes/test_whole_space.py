import functools
import math
from pathlib import Path

import numpy as np
import pytest
import ufl
from mpi4py import MPI
from petsc4py import PETSc
from references import COMM, orders

from fem_models.core.errors import InputError
from fem_models.exact.coulomb import gaussian_interaction, gaussian_potential
from fem_models.exact.profiles import Gaussian
from fem_models.meshes import domains as meshes
from fem_models.meshes import marks, whole_space
from fem_models.nodal.edges import EdgeGeometry
from fem_models.nodal.stiffness import Stiffness

from dolfinx import fem, la  # isort: skip

GEO = Path(__file__).parents[2] / "meshes"
FIRST, SECOND = np.array([0.12, 0.05, -0.05]), np.array([-0.12, -0.05, 0.05])
WIDTH = 0.2


class Space:
    """The Poisson problem -Δψ = w on the whole space, P1 with a lumped right-hand side."""

    def __init__(self, marked):
        self.comm = marked.mesh.comm
        self.space = fem.functionspace(marked.mesh, ("Lagrange", 1))
        self.points = self.space.tabulate_dof_coordinates()
        self.volumes = EdgeGeometry(self.space, marked.regions["ball"]).volumes
        self.owned = self.space.dofmap.index_map.size_local
        self.charged = self.volumes[: self.owned] > 0.0
        stiffness = Stiffness(self.space, whole_space.space_coefficient(marked))
        at_infinity = np.zeros(len(self.points), dtype=bool)
        at_infinity[marks.boundary_nodes(self.space, marked.boundaries["infinity"])] = True
        self._finite = ~at_infinity[: self.owned]
        self._factorise(stiffness, at_infinity)

    def _factorise(self, stiffness, at_infinity):
        numbers = self.space.dofmap.index_map.local_to_global(np.arange(len(self.points), dtype=np.int32))
        (i, j), k = stiffness.pairs.T, stiffness.k
        rows, columns, values = [], [], []
        for a, b in ((i, j), (j, i)):
            here = ~at_infinity[a]
            both = here & ~at_infinity[b]
            rows += [a[here], a[both]]
            columns += [a[here], b[both]]
            values += [k[here], -k[both]]
        ends = np.flatnonzero(at_infinity[: self.owned])
        rows, columns = (numbers[np.concatenate([*entries, ends])] for entries in (rows, columns))
        matrix = PETSc.Mat().createAIJ(((self.owned, None), (self.owned, None)), comm=self.comm)
        matrix.setPreallocationCOO(rows.astype(PETSc.IntType), columns.astype(PETSc.IntType))
        matrix.setValuesCOO(np.concatenate([*values, np.ones(len(ends))]))
        self._solver = PETSc.KSP().create(self.comm)
        self._solver.setOperators(matrix)
        self._solver.setType("cg")
        self._solver.getPC().setType("gamg")
        self._solver.setTolerances(rtol=1e-12)

    def potential(self, w):
        """ψ at the nodes of this rank, for w at its nodes."""
        right = np.where(self._finite, self.volumes[: self.owned] * w[: self.owned], 0.0)
        b = PETSc.Vec().createWithArray(right, comm=self.comm)
        x = b.duplicate()
        self._solver.solve(b, x)
        assert self._solver.getConvergedReason() > 0
        return x.array.copy()

    def integral(self, values):
        return self.comm.allreduce(float(self.volumes[: self.owned] @ values[: self.owned]))

    def errors(self, psi, exact):
        """Largest and mean square error in the ball, relative to the same norms of the exact solution."""
        exact, defect = exact[: self.owned], psi - exact[: self.owned]
        largest = [
            self.comm.allreduce(float(np.abs(f[self.charged]).max(initial=0.0)), op=MPI.MAX)
            for f in (defect, exact)
        ]
        square = [self.integral(f**2) for f in (defect, exact)]
        return largest[0] / largest[1], math.sqrt(square[0] / square[1])


@functools.cache
def space_of(h, alone=False, **keys):
    return Space(meshes.build(MPI.COMM_SELF if alone else COMM, "space", h=h, **keys))


def gaussian(points, center, width):
    """The density of a unit charge, and its potential."""
    return Gaussian.isotropic(center, width)(points.T), gaussian_potential(points.T, center, width)


def gaussian_energy(charges):
    """½∫wψ of Gaussians of equal width at FIRST and SECOND."""
    a, b = charges
    alone, mutual = (
        gaussian_interaction(distance, WIDTH, WIDTH) for distance in (0.0, np.linalg.norm(FIRST - SECOND))
    )
    return 0.5 * (a**2 + b**2) * alone + a * b * mutual


def gaussians(space, charges):
    fields = [gaussian(space.points, center, WIDTH) for center in (FIRST, SECOND)]
    return [sum(q * field[k] for q, field in zip(charges, fields, strict=True)) for k in (0, 1)]


@pytest.mark.parallel
@pytest.mark.parametrize("charges", [(1, -1), (1, 0)], ids=["neutral", "charged"])
def test_potential_and_energy_of_gaussians_converge_with_order_two(charges):
    errors, energies = [], []
    for h in (0.2, 0.14, 0.1):
        space = space_of(h)
        w, exact = gaussians(space, charges)
        psi = space.potential(w)
        errors.append(space.errors(psi, exact))
        energies.append(abs(0.5 * space.integral(w[: space.owned] * psi) / gaussian_energy(charges) - 1.0))
        # The Gaussians have a width of σ = 0.2, so that h²/σ² is the scale of the errors.
        assert energies[-1] < 0.1 * (h / WIDTH) ** 2
    assert np.all(np.mean(orders(np.array(errors), math.sqrt(2.0)), axis=0) > 1.6)
    assert max(errors[-1]) < 0.05


@pytest.mark.parallel
def test_potential_of_a_displaced_uniform_ball():
    a, center = 0.5, np.array([0.2, -0.1, 0.15])
    energy = 3.0 / (20.0 * math.pi * a)
    errors = []
    for h in (0.2, 0.1):
        space = space_of(h)
        s = np.linalg.norm(space.points - center, axis=1)
        exact = np.where(s < a, (3 * a**2 - s**2) / (8 * np.pi * a**3), 1 / (4 * np.pi * np.maximum(s, a)))
        w = nodal_averages(space, center, a)
        psi = space.potential(w)
        defect = 0.5 * space.integral(w[: space.owned] * psi) / energy - 1.0
        errors.append([*space.errors(psi, exact), abs(defect)])
    assert np.all(orders(np.array(errors)) > 1.6)
    assert max(errors[-1]) < 0.03


def nodal_averages(space, center, a):
    """∫wλ_i/∫λ_i for the unit charge spread over |x - center| < a, ghosts included."""
    x, v = ufl.SpatialCoordinate(space.space.mesh), ufl.TestFunction(space.space)
    away = x - ufl.as_vector(center.tolist())
    density = ufl.conditional(ufl.lt(ufl.dot(away, away), a**2), 3.0 / (4.0 * math.pi * a**3), 0.0)
    sums = []
    for f in (density, fem.Constant(space.space.mesh, 1.0)):
        vector = fem.assemble_vector(fem.form(f * v * ufl.dx(metadata={"quadrature_degree": 8})))
        vector.scatter_reverse(la.InsertMode.add)
        vector.scatter_forward()
        sums.append(vector.array)
    return sums[0] / sums[1]


@pytest.mark.parallel
def test_the_radius_of_the_ball_does_not_matter():
    # A box cut off at R would be off by the potential there, 1/(4πR): 36 % and 24 % of the largest value.
    center, width = np.array([0.51, -0.98, 2.0]), 0.09
    for radius in (0.45, 0.7):
        space = space_of(0.08, radius=radius, center=(0.5, -1.0, 2.0))
        w, exact = gaussian(space.points, center, width)
        psi = space.potential(w)
        far = space.charged & (np.linalg.norm(space.points - center, axis=1)[: space.owned] > 0.4)
        assert COMM.allreduce(int(far.sum())) > 100
        # Per charge on the nodes, which a mesh of this size has to a few per cent only.
        psi /= space.integral(w)
        np.testing.assert_allclose(psi[far], exact[: space.owned][far], rtol=0.04)
        assert max(space.errors(psi, exact)) < 0.1


@pytest.mark.parallel
def test_same_numbers_on_any_number_of_ranks():
    found = []
    for space in (space_of(0.25), space_of(0.25, alone=True)):
        w, _ = gaussians(space, (1, -0.5))
        psi = space.potential(w)
        found.append([space.integral(w[: space.owned] * psi), space.integral(psi**2), space.integral(w)])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


@pytest.mark.parallel
def test_script_of_the_whole_space():
    space = Space(meshes.from_file(COMM, GEO / "space.geo", h=0.3, parameters={"radius": 2}))
    w, exact = gaussian(space.points, np.array([0.1, 0.0, -0.2]), 0.4)
    assert max(space.errors(space.potential(w), exact)) < 0.1


def test_ball_has_next_to_no_negative_coefficients():
    for h in (0.25, 0.2, 0.14):
        marked = meshes.build(MPI.COMM_SELF, "space", h=h)
        edges = EdgeGeometry(fem.functionspace(marked.mesh, ("Lagrange", 1)), marked.regions["ball"])
        assert edges.voronoi_volumes
        assert edges.negative_share < 2e-3


def test_shell_coefficient_is_that_of_the_map():
    radius, outer, center = 0.8, 1.3, np.array([0.2, -0.3, 0.1])

    def mapped(x):
        away = x - center
        r = np.linalg.norm(away)
        return center + away / r * radius * (outer - radius) / (outer - r)

    for x in ([1.0, 0.2, 0.3], [0.2, -0.3, 1.3], [-0.5, 0.3, -0.2]):
        step = 1e-6
        jacobian = np.stack(
            [(mapped(x + step * e) - mapped(x - step * e)) / (2 * step) for e in np.eye(3)], axis=1
        )
        inverse = np.linalg.inv(jacobian)
        expected = inverse @ inverse.T * np.linalg.det(jacobian)
        a = whole_space.shell_coefficient(ufl.as_vector(x), radius, outer, ufl.as_vector(center.tolist()))
        found = [[a[k, m](()) for m in range(3)] for k in range(3)]
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parallel
@pytest.mark.parametrize(("domain", "growth"), [("interval", r"\|x\|"), ("disk", r"log\|x\|")])
def test_one_and_two_dimensions_are_refused(domain, growth):
    marked = meshes.build(COMM, domain)
    with pytest.raises(InputError, match=f"grows like {growth} and does not vanish at infinity"):
        whole_space.space_coefficient(marked)


@pytest.mark.parallel
def test_meshes_that_are_not_the_whole_space_are_refused():
    ball = meshes.build(COMM, "ball", h=0.5)
    with pytest.raises(InputError, match='regions "ball" and "shell" and the boundary "infinity"'):
        whole_space.space_coefficient(ball)
    box = meshes.build(COMM, "box", cells=(3, 3, 3))
    everything = np.arange(len(box.mesh.geometry.dofmaps[0]), dtype=np.int32)
    regions = {"ball": everything, "shell": everything}
    named = marks.MarkedMesh(box.mesh, {"infinity": box.boundaries["boundary"]}, regions)
    with pytest.raises(InputError, match='"infinity" of the mesh must be a sphere'):
        whole_space.space_coefficient(named)
