import numpy as np
import pytest
import ufl
from dolfinx import fem, la
from references import COMM, mesh_of, waves

from fem_models.core.errors import InputError
from fem_models.energies import PowerLaw
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.nodal.mobilities import CellMobility, EdgeMobility, mobility

DOMAINS = [
    ("interval", {"cells": 7}),
    ("disk", {"h": 0.4}),
    ("ball", {"h": 0.6}),
]


def flow_on(domain, keys):
    return GradientFlow(mesh_of(domain, **keys), Species(), PowerLaw(2)).with_lumping("cells")


def made(name, flow):
    return mobility(name, flow.space, flow.geometry, flow.cells)


def summed(flow, values):
    """Nodal values of all ranks added up, at all nodes of this rank."""
    vector = la.vector(flow.space.dofmap.index_map, bs=values.shape[1])
    vector.array[:] = values.ravel()
    vector.scatter_reverse(la.InsertMode.add)
    vector.scatter_forward()
    return vector.array.reshape(values.shape).copy()


def fields(flow, columns=2):
    """A positive density and a potential for each column, the same on any number of ranks."""
    x = flow.points
    density = np.stack([1.5 + np.sin(3.0 * x[:, 0] + k) for k in range(columns)], axis=1)
    potential = np.stack([np.cos(2.0 * x.sum(axis=1) - k) + x[:, 0] ** 2 for k in range(columns)], axis=1)
    return density, potential


@pytest.mark.parallel
@pytest.mark.parametrize(("domain", "keys"), DOMAINS)
def test_squares_of_linear_functions_are_exact_at_every_node(domain, keys):
    # Without this, discrete optimal transport converges to another distance.
    flow = flow_on(domain, keys)
    slope = np.array([0.7, -0.4, 1.1])[: flow.mesh.geometry.dim]
    potential = (flow.points @ slope)[:, None]
    _, squares = made("average", flow).sums(np.ones_like(potential), potential)
    expected = flow.geometry.volumes * (slope @ slope)
    assert summed(flow, squares)[:, 0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parallel
@pytest.mark.parametrize(("domain", "keys"), DOMAINS)
def test_average_is_the_weighted_stiffness_of_p1(domain, keys):
    flow = flow_on(domain, keys)
    density, potential = fields(flow, 1)
    rho, phi = fem.Function(flow.space), fem.Function(flow.space)
    rho.x.array[:], phi.x.array[:] = density[:, 0], potential[:, 0]
    v = ufl.TestFunction(flow.space)
    form = rho * ufl.inner(ufl.grad(phi), ufl.grad(v)) * ufl.dx
    vector = fem.assemble_vector(fem.form(form))
    vector.scatter_reverse(la.InsertMode.add)
    vector.scatter_forward()
    cells = made("average", flow)
    fluxes, _ = cells.sums(density, potential)
    assert summed(flow, fluxes)[:, 0] == pytest.approx(vector.array, abs=1e-12)
    whole = fem.assemble_scalar(fem.form(rho * ufl.inner(ufl.grad(phi), ufl.grad(phi)) * ufl.dx))
    action = COMM.allreduce(cells.action(density, potential))
    assert action[0] == pytest.approx(COMM.allreduce(whole), rel=1e-12)


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["average", "upwind"])
@pytest.mark.parametrize(("domain", "keys"), DOMAINS)
def test_sums_are_derivatives_of_the_action(domain, keys, name):
    flow = flow_on(domain, keys)
    form = made(name, flow)
    density, potential = fields(flow)
    fluxes, squares = form.sums(density, potential)
    h = 1e-6
    for sums, factor, change in (
        (fluxes, 2.0, lambda step, d: (density, potential + step * d)),
        (squares, 1.0, lambda step, d: (density + step * d, potential)),
    ):
        direction = waves(flow.points, 5, 2)
        upper, lower = (form.action(*change(step, direction)) for step in (h, -h))
        difference = COMM.allreduce((upper - lower) / (2.0 * h))
        derivative = COMM.allreduce((factor * sums * direction).sum(axis=0))
        assert difference == pytest.approx(derivative, rel=1e-7, abs=1e-7)
    assert COMM.allreduce(fluxes.sum(axis=0)) == pytest.approx(np.zeros(2), abs=1e-12)


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["average", "upwind"])
@pytest.mark.parametrize(("domain", "keys"), DOMAINS)
def test_slopes_are_derivatives_of_the_sums(domain, keys, name):
    flow = flow_on(domain, keys)
    form = made(name, flow)
    density, potential = fields(flow)
    slopes = form.slopes(density, potential)
    i, j = form.pairs.T
    change = waves(flow.points, 9, 2)

    def product(diagonal, forth, back):
        """Of a matrix given at nodes and from node to node along pairs, with the change."""
        out = diagonal * change
        np.add.at(out, i, forth * change[j])
        np.add.at(out, j, back * change[i])
        return summed(flow, out)

    h = 1e-6
    by_potential = [np.stack(form.sums(density, potential + step * change)) for step in (h, -h)]
    by_density = [np.stack(form.sums(density + step * change, potential)) for step in (h, -h)]
    of_potential = (by_potential[0] - by_potential[1]) / (2.0 * h)
    of_density = (by_density[0] - by_density[1]) / (2.0 * h)
    stiff = product(slopes.stiffness, slopes.stiffness_between, slopes.stiffness_between)
    assert stiff == pytest.approx(summed(flow, of_potential[0]), abs=1e-7)
    forth, back = slopes.transport_between[:, 0], slopes.transport_between[:, 1]
    assert product(slopes.transport, forth, back) == pytest.approx(summed(flow, of_density[0]), abs=1e-7)
    # The derivative of the squares by the potential is that of the fluxes by the density, transposed, twice.
    turned = 2.0 * product(slopes.transport, back, forth)
    assert turned == pytest.approx(summed(flow, of_potential[1]), abs=1e-6)


def test_upwind_takes_the_density_that_the_mass_leaves():
    flow = GradientFlow(mesh_of("interval", True, lower=0.0, upper=3.0, cells=3), Species(), PowerLaw(2))
    order = np.argsort(flow.points[:, 0])
    density, potential = np.empty((4, 1)), np.empty((4, 1))
    density[order, 0] = [2.0, 3.0, 0.0, 5.0]
    potential[order, 0] = [1.0, 0.0, 2.0, 1.5]
    # Cells of length 1: κ = 1. From 0 to 1 goes 2·1; from 2 to 1 and to 3 nothing, for 2 is empty.
    fluxes, squares = EdgeMobility(flow.geometry).sums(density, potential)
    assert fluxes[order, 0] == pytest.approx([2.0, -2.0, 0.0, 0.0])
    assert squares[order, 0] == pytest.approx([1.0, 0.0, 4.0 + 0.25, 0.0])


def test_only_the_cells_of_a_region_count():
    mesh = mesh_of("interval", True, cells=4)
    flow = GradientFlow(mesh, Species(), PowerLaw(2))
    potential = flow.points[:, :1].copy()
    part = CellMobility(flow.space, np.array([0, 1], dtype=np.int32))
    assert part.action(np.ones_like(potential), potential)[0] == pytest.approx(0.5)
    assert len(part.pairs) == 2


def test_unknown_names_and_voronoi_volumes_are_refused():
    flow = flow_on("interval", {"cells": 3})
    with pytest.raises(InputError, match="upwind or average, not 'central'"):
        made("central", flow)
    voronoi = GradientFlow(mesh_of("ball", h=0.6), Species(), PowerLaw(2))
    with pytest.raises(InputError, match=r'with_lumping\("cells"\)'):
        made("average", voronoi)
