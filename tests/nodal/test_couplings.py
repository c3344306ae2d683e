"""Parts of an energy that couple nodes, and the equations of fields that are no densities."""

import numpy as np
import pytest
import ufl
from dolfinx import fem
from mpi4py import MPI
from references import COMM, mesh_of, total, waves

from fem_models.core.errors import InputError
from fem_models.energies import Density, Dirichlet, Electrostatic, Energy, Interaction, PowerLaw
from fem_models.flow.edge_averaged import EdgeAveraged
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes import domains as meshes
from fem_models.meshes.marks import boundary_nodes
from fem_models.meshes.parts import Part
from fem_models.nodal.couplings import boundary_weights, region_rim

pytestmark = pytest.mark.parallel
TAU = 0.37
PAIR = (Species("u"), Species("v"))


def chemotaxis(mesh):
    energy = PowerLaw(2, of="u") + Dirichlet("c", lambda x: 1.0 + x[0])
    energy = energy + Density(lambda f, x: ufl.tanh(f["c"]) * f["u"] + f["c"] ** 2, of=("u", "c"))
    return GradientFlow(mesh, (Species("u"), Species("c", "l2")), energy)


def ions(mesh, electrodes=False):
    energy = PowerLaw(2, of="u", name="a") + PowerLaw(3, of="v", name="b")
    energy = energy + Electrostatic({"u": 2.0, "v": -1.0}, permittivity=lambda x: 0.5 + x[1], doping=0.25)
    fixed = None
    if electrodes:
        space = fem.functionspace(mesh, ("Lagrange", 1))
        points = space.tabulate_dof_coordinates()
        nodes = np.flatnonzero(points[:, 0] < 1e-10).astype(np.int32)
        fixed = {"psi": (nodes, points[nodes, 1])}
    return GradientFlow(mesh, (*PAIR, Species("psi", "static")), energy, fixed=fixed)


def kernel(mesh):
    skew = Interaction(lambda z: np.exp(-(z**2).sum(axis=0)) * (1.0 + z[0]), ("u", "v"), 0.7)
    own = Interaction(lambda z: np.cos(z[1]), ("u", "u"), 0.2, "own")
    return GradientFlow(mesh, PAIR, Energy([PowerLaw(2, of="u", name="a"), PowerLaw(2, of="v"), skew, own]))


FLOWS = {"chemotaxis": chemotaxis, "ions": ions, "electrodes": lambda m: ions(m, True), "kernel": kernel}


def built(name):
    flow = FLOWS[name](mesh_of("rectangle", cells=(7, 6)))
    return flow, waves(flow.points, 3, len(flow.names)) + 0.2


@pytest.mark.parametrize("name", FLOWS)
def test_potentials_are_the_derivatives_of_the_energy(name):
    flow, state = built(name)
    change = waves(flow.points, 5, len(flow.names)) - 0.5
    size = 1e-5
    difference = (flow.energy(state + size * change) - flow.energy(state - size * change)) / (2 * size)
    volumes = flow.geometry.volumes
    slope = sum(
        total(flow, volumes * mu * d) for mu, d in zip(flow.potentials(state).T, change.T, strict=True)
    )
    assert slope == pytest.approx(difference, rel=1e-8)


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("flux", ["upwind", "average"])
def test_jacobians_are_the_derivatives_of_residuals(name, flux):
    flow, state = built(name)
    equations = EdgeAveraged(flow, flux)
    matrix = equations.new_matrix()
    equations.jacobian(state, TAU, matrix)
    change = waves(flow.points, 7, len(flow.names)) - 0.5
    x = matrix.createVecRight()
    x.array_w[:] = change[: flow.owned].ravel()
    product = (matrix * x).array_r.reshape(flow.owned, -1).copy()
    if flow.couplings.interacts:
        product += equations.interaction_change(state, change, TAU)
    size = 1e-6
    ends = [equations.residual(state + s * size * change, state, TAU).copy() for s in (1, -1)]
    difference = (ends[0] - ends[1]) / (2 * size)
    scale = COMM.allreduce(np.abs(difference).max(), op=MPI.MAX)
    np.testing.assert_allclose(product, difference, atol=2e-8 * scale)


def test_a_dirichlet_energy_is_that_of_finite_elements():
    flow, state = built("chemotaxis")
    c = fem.Function(flow.space)
    c.x.array[:] = state[:, 1]
    exact = fem.assemble_scalar(
        fem.form(0.5 * (1 + flow.x[0]) * ufl.inner(ufl.grad(c), ufl.grad(c)) * ufl.dx)
    )
    assert flow.energy_terms(state)["dirichlet"] == pytest.approx(COMM.allreduce(exact), rel=1e-12)


def test_interactions_have_the_energy_of_the_double_sum():
    flow = kernel(mesh_of("rectangle", cells=(7, 6)))
    state = waves(flow.points, 3, 2)
    owned = slice(0, flow.owned)
    rows = COMM.allgather(
        np.column_stack([flow.points[owned], (flow.geometry.volumes[:, None] * state)[owned]])
    )
    x, u, v = (lambda t: (t[:, :2], t[:, 2], t[:, 3]))(np.concatenate(rows))
    z = (x[:, None] - x[None, :]).T.transpose(0, 2, 1)
    skew = 0.7 * np.einsum("i,ij,j", u, np.exp(-(z**2).sum(axis=0)) * (1.0 + z[0]), v)
    own = 0.2 * np.einsum("i,ij,j", u, np.cos(z[1]), u)
    terms = flow.energy_terms(state)
    assert terms["interaction"] == pytest.approx(skew, rel=1e-8)
    assert terms["own"] == pytest.approx(own, rel=1e-8)


@pytest.mark.parametrize("electrodes", [False, True])
def test_settled_fields_are_stationary_and_their_energy_is_half_the_field_energy(electrodes):
    flow = ions(mesh_of("rectangle", cells=(9, 8)), electrodes)
    state = waves(flow.points, 3, 3)
    masses = {"u": 0.5, "v": 1.25}
    state = flow.state({"u": lambda x: 1 + x[0], "v": lambda x: 2 - x[1] ** 2}, masses)
    free = np.ones(flow.nodes, dtype=bool)
    if electrodes:
        nodes, values = flow.fixed[2]
        np.testing.assert_allclose(state[nodes, 2], values, atol=1e-12)
        free[nodes] = False
    else:
        weights = boundary_weights(flow.space)
        assert abs(total(flow, weights * state[:, 2])) < 1e-10
    np.testing.assert_allclose(flow.potentials(state)[free, 2], 0.0, atol=1e-8)
    if not electrodes:
        # L = ∫qψ - ½∫a|∇ψ|² = ½∫a|∇ψ|² ≥ 0 at its stationary point.
        tension = flow.couplings.stiffness_products(state)[:, 2]
        field = -0.5 * total(flow, state[:, 2] * tension)
        assert flow.energy_terms(state)["electrostatic"] == pytest.approx(field, rel=1e-8)
        assert field > 0.0


def test_poisson_with_electrodes_has_its_exact_solution():
    """-ψ'' = 2 on the unit interval with ψ(0) = ψ(1) = 0: exact at the nodes in 1D, ψ = x(1 - x)."""
    mesh = mesh_of("interval", cells=17)
    space = fem.functionspace(mesh, ("Lagrange", 1))
    x = space.tabulate_dof_coordinates()[:, 0]
    nodes = np.flatnonzero((x < 1e-12) | (x > 1 - 1e-12)).astype(np.int32)
    energy = PowerLaw(2, of="u") + Electrostatic({"u": 2.0})
    flow = GradientFlow(mesh, (Species("u"), Species("psi", "static")), energy, fixed={"psi": (nodes, 0.0)})
    state = flow.state({"u": 1.0})
    points = flow.points[:, 0]
    np.testing.assert_allclose(state[:, 1], points * (1 - points), atol=1e-12)


def test_free_constants_are_found():
    assert ions(mesh_of("rectangle", cells=(4, 4))).free_constants.tolist() == [False, False, True]
    assert not ions(mesh_of("rectangle", cells=(4, 4)), True).free_constants.any()


def test_charges_are_summed():
    flow = ions(mesh_of("rectangle", cells=(6, 6)))
    state = flow.nodal_values({"u": 1.0, "v": 3.0})
    net, size = flow.charges(state)
    assert net[2] == pytest.approx(2.0 - 3.0 + 0.25)
    assert size[2] == pytest.approx(0.75)


def test_the_rim_of_a_mesh_and_of_a_region():
    mesh = mesh_of("rectangle", cells=(8, 8))
    space = fem.functionspace(mesh, ("Lagrange", 1))
    x = space.tabulate_dof_coordinates()[:, :2]
    on_boundary = (np.abs(x - 0.5) > 0.5 - 1e-12).any(axis=1)
    np.testing.assert_array_equal(region_rim(space, None), on_boundary)
    corners = x[space.dofmap.list].mean(axis=1)
    left = np.flatnonzero(corners[:, 0] < 0.5).astype(np.int32)
    np.testing.assert_array_equal(region_rim(space, left), np.abs(x[:, 0] - 0.5) < 1e-12)


def test_densities_stay_in_their_region():
    marked = meshes.build(COMM, "space", radius=1.0, h=0.5)
    cells = marked.regions["ball"]
    infinity = boundary_nodes(fem.functionspace(marked.mesh, ("Lagrange", 1)), marked.boundaries["infinity"])
    energy = PowerLaw(2, of="u") + Electrostatic({"u": 1.0})
    flow = GradientFlow(
        marked.mesh,
        (Species("u"), Species("psi", "static")),
        energy,
        cells=cells,
        fixed={"psi": (infinity, 0.0)},
    )
    state = flow.state({"u": 1.0})
    assert np.all(state[~flow.inside, 0] == 0.0)
    assert flow.volume == pytest.approx(4 / 3 * np.pi, rel=0.1)
    inside = flow.functions(state)["u"]
    whole = fem.Function(flow.space)
    whole.x.array[:] = state[:, 0]
    part = Part(flow.space, cells)
    (density,) = part.restricted([whole])
    for found in (inside, density):
        assert COMM.allreduce(len(found.x.array)) > 0
        np.testing.assert_allclose(found.x.array, 1.0)
    with pytest.raises(ValueError, match="space on the whole mesh"):
        part.restricted([inside])


def test_a_density_has_no_dirichlet_energy():
    with pytest.raises(InputError, match="fourth order"):
        GradientFlow(mesh_of("interval", cells=4), Species(), Dirichlet("rho"))
