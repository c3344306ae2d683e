"""W₂ between computed densities: closed forms, an exact solver on clouds, and what any distance does."""

import numpy as np
import ot
import pytest
import pyvista
from dolfinx import fem, mesh
from references import COMM, flow_of, mesh_of, orders, waves

from fem_models.core.errors import InputError, SolveError
from fem_models.energies import PowerLaw
from fem_models.exact.distances import dilation_square, gaussian_square, interval_square, translation_square
from fem_models.exact.profiles import Barenblatt, Gaussian
from fem_models.jko.wasserstein import geodesic_between, wasserstein
from fem_models.linalg.newton import NewtonSettings
from fem_models.nodal.edges import EdgeGeometry

# What the stopping rule of the solver leaves of W₂, with a factor for safety.
SOLVED = 1e-6


def p1(domain, **keys):
    """The P1 space on a mesh, shared by the tests, with its nodal volumes."""
    space = fem.functionspace(mesh_of(domain, **keys), ("Lagrange", 1))
    return space, EdgeGeometry(space, lumping="cells").volumes


def integral(space, volumes, values):
    owned = space.dofmap.index_map.size_local
    return COMM.allreduce(float(volumes[:owned] @ values[:owned]))


def nodal(space, volumes, density, mass=1.0):
    """Nodal values of a density of points (3, nodes), scaled to a mass."""
    values = density(space.tabulate_dof_coordinates().T)
    return values * mass / integral(space, volumes, values)


def pair(space, volumes, first, second, mass=1.0):
    return nodal(space, volumes, first, mass), nodal(space, volumes, second, mass)


def random_density(space, volumes, seed):
    """Values that look random, with vacuum at some of the nodes."""
    points = space.tabulate_dof_coordinates()[:, : space.mesh.geometry.dim]
    values = waves(points, seed)[:, 0]
    return nodal(space, volumes, lambda _: np.where(values > 0.4, values, 0.0))


def problem(name, dim):
    """Two densities in [-1, 1]^dim with W₂² for the mass 1."""
    left, right = ((sign * 0.25,) + (0.0,) * (dim - 1) for sign in (-1.0, 1.0))
    if name == "gaussians":
        first, second = Gaussian.isotropic(left, 0.18), Gaussian.isotropic((0.0,) * dim, 0.12)
        return first, second, gaussian_square(first, second)
    if name == "dilation":
        profile = Barenblatt(2.0, dim, 1.0, 0.4)
        return profile, profile.dilated(2.0), dilation_square(2.0, profile.second_moment / profile.mass)
    first, second = (Barenblatt(2.0, dim, 1.0, 0.5, center) for center in (left, right))
    return first, second, translation_square([0.5])


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["gaussians", "dilation", "translation"])
def test_second_order_on_an_interval(name):
    # The reference has the P1 densities themselves, so that their own errors do not count.
    first, second, _ = problem(name, 1)
    errors = []
    for cells in (16, 32, 64):
        space, volumes = p1("interval", lower=-1.0, upper=1.0, cells=cells)
        found = wasserstein(space, *pair(space, volumes, first, second), slabs=cells // 4)
        x = np.linspace(-1.0, 1.0, cells + 1)
        values = [density(x[None]) for density in (first, second)]
        square = interval_square(*((x, v / np.trapezoid(v, x)) for v in values))
        errors.append(abs(found.distance / np.sqrt(square) - 1.0))
    assert errors[-1] < 6e-4
    assert np.log2(errors[0] / errors[-1]) / 2.0 > 1.9


@pytest.mark.parallel
@pytest.mark.parametrize(("name", "bound"), [("gaussians", 8e-3), ("dilation", 1e-2), ("translation", 8e-3)])
def test_closed_forms_in_the_plane(name, bound):
    first, second, square = problem(name, 2)
    errors = []
    for cells, slabs in ((12, 3), (24, 6)):
        space, volumes = p1("rectangle", lower=(-1, -1), upper=(1, 1), cells=(cells, cells))
        found = wasserstein(space, *pair(space, volumes, first, second), slabs=slabs)
        errors.append(abs(found.square / square - 1.0))
    assert errors[1] < 2.0 * bound
    assert orders(errors)[0] > 1.9


@pytest.mark.parallel
def test_densities_of_one_coordinate_in_space():
    # All that moves moves along x: it is the distance on an interval, which quantiles give.
    def profiles(x):
        return 1.0 + 0.8 * np.cos(np.pi * x), 1.0 - 0.5 * np.cos(2.0 * np.pi * x)

    space, volumes = p1("box", cells=(12, 2, 2), upper=(1.0, 0.5, 0.5))
    first, second = (nodal(space, volumes, lambda x, k=k: profiles(x[0])[k], 0.25) for k in (0, 1))
    found = wasserstein(space, first, second, slabs=4)
    grid = np.linspace(0.0, 1.0, 2001)
    values = [v / np.trapezoid(v, grid) for v in profiles(grid)]
    assert found.mass == pytest.approx(0.25)
    assert found.square == pytest.approx(0.25 * interval_square(*((grid, v) for v in values)), rel=2e-2)


@pytest.mark.parallel
def test_clouds_against_an_exact_solver():
    # Atoms at the nodes in place of hat functions: a change of W₂ by some share of h, so that the clouds are
    # several cells apart.
    space, volumes = p1("rectangle", cells=(12, 12))
    rng = np.random.default_rng(3)
    centers, weights = rng.uniform(0.15, 0.85, (2, 4, 2)), rng.uniform(0.5, 1.0, (2, 4))

    def cloud(k, x):
        squares = ((x[:2, :, None] - centers[k].T[:, None]) ** 2).sum(axis=0)
        return np.exp(-squares / (2.0 * 0.07**2)) @ weights[k]

    first, second = (nodal(space, volumes, lambda x, k=k: cloud(k, x)) for k in (0, 1))
    found = wasserstein(space, first, second, slabs=6)
    owned = space.dofmap.index_map.size_local
    parts = COMM.allgather(
        (
            space.tabulate_dof_coordinates()[:owned, :2],
            *(volumes[:owned] * d[:owned] for d in (first, second)),
        )
    )
    points, a, b = (np.concatenate([part[k] for part in parts]) for k in range(3))
    square = ot.emd2(a / a.sum(), b / b.sum(), ot.dist(points, points))
    assert np.sqrt(square) > 2.0 / 12
    assert abs(found.distance - np.sqrt(square)) < 0.1 / 12


@pytest.mark.parallel
def test_symmetry_with_vacuum():
    space, volumes = p1("rectangle", h=0.15)
    for seed in range(3):
        first, second = (random_density(space, volumes, s) for s in (seed, seed + 10))
        there, back = (wasserstein(space, *ends, slabs=3) for ends in ((first, second), (second, first)))
        assert there.distance > 1e-3
        assert there.distance == pytest.approx(back.distance, rel=1e-8)
        size = np.abs(there.densities).max()
        assert np.abs(there.densities - back.densities[:, ::-1]).max() < 1e-4 * size


@pytest.mark.parallel
def test_triangle_inequality():
    space, volumes = p1("rectangle", h=0.15)
    densities = [random_density(space, volumes, seed) for seed in range(4)]
    found = np.array([[wasserstein(space, a, b, slabs=3).distance for b in densities] for a in densities])
    assert np.all(np.diag(found) == 0.0)
    for k in range(4):
        assert np.all(found <= found[:, k, None] + found[None, k] + 1e-9)


@pytest.mark.parallel
@pytest.mark.parametrize("name", ["gaussians", "translation"])
def test_halves_of_a_geodesic_are_geodesics(name):
    # Two paths of S slabs to and from the middle make up the path of 2S slabs, and both ways round:
    # W² = 2 (W₁² + W₂²); equal speed in both halves makes the triangle inequality an equality, up to the
    # error in 1/S.
    space, volumes = p1("rectangle", lower=(-1, -1), upper=(1, 1), cells=(12, 12))
    first, second, _ = problem(name, 2)
    first, second = pair(space, volumes, first, second)
    whole = wasserstein(space, first, second, slabs=6)
    middle = whole.densities[:, 3]
    halves = [wasserstein(space, *ends, slabs=3) for ends in ((first, middle), (middle, second))]
    assert 2.0 * sum(half.square for half in halves) == pytest.approx(whole.square, rel=SOLVED)
    assert sum(half.distance for half in halves) == pytest.approx(whole.distance, rel=1e-3)


@pytest.mark.parallel
def test_the_path_keeps_mass_and_moves_at_constant_speed():
    space, volumes = p1("rectangle", lower=(-1, -1), upper=(1, 1), cells=(12, 12))
    first, second, _ = problem("translation", 2)
    first, second = pair(space, volumes, first, second, 3.0)
    found = wasserstein(space, first, second, slabs=4)
    assert found.densities.shape == (len(first), 5)
    assert found.potentials.shape == (len(first), 4)
    assert found.densities[:, 0] == pytest.approx(first, rel=1e-13)
    assert np.all(found.densities >= 0.0)
    assert found.densities[:, -1] == pytest.approx(second, rel=1e-13)
    x = space.tabulate_dof_coordinates()[:, 0]
    masses = [integral(space, volumes, d) for d in found.densities.T]
    centers = [integral(space, volumes, x * d) / 3.0 for d in found.densities.T]
    assert masses == pytest.approx([3.0] * 5, rel=1e-9)
    # P1 holds x, whose rate of change is the momentum, which is constant along a geodesic up to O(h²).
    assert centers == pytest.approx(np.linspace(-0.25, 0.25, 5), abs=5e-3)


@pytest.mark.parallel
@pytest.mark.parametrize(("length", "mass"), [(1e-4, 7.0), (1e5, 1e-12)])
def test_units_of_length_and_mass(length, mass):
    reference, volumes = p1("interval", lower=-1.0, upper=1.0, cells=24)
    scaled, others = p1("interval", lower=-length, upper=length, cells=24)
    first, second, _ = problem("dilation", 1)
    one = wasserstein(reference, *pair(reference, volumes, first, second), slabs=4)
    two = wasserstein(
        scaled,
        *(nodal(scaled, others, lambda x, d=d: d(x / length), mass) for d in (first, second)),
        slabs=4,
    )
    assert two.mass == pytest.approx(mass)
    assert two.square == pytest.approx(mass * length**2 * one.square, rel=SOLVED)


@pytest.mark.parallel
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_part_of_the_mesh(side):
    space, _ = p1("interval", upper=2.0, cells=32)
    part, volumes = p1("interval", upper=1.0, cells=16)
    shift = 0.0 if side == "left" else 1.0

    def densities(x):
        return np.maximum(0.1 - (x - 0.3) ** 2, 0.0), 1.0 + x

    first, second = (nodal(part, volumes, lambda x, k=k: densities(x[0])[k]) for k in (0, 1))
    alone = wasserstein(part, first, second, slabs=4)
    cells = mesh.locate_entities(space.mesh, 1, lambda x: (x[0] > shift - 1e-9) & (x[0] < shift + 1.0 + 1e-9))
    inside = EdgeGeometry(space, cells, lumping="cells").volumes
    x = space.tabulate_dof_coordinates()[:, 0] - shift
    there = [np.where(inside > 0.0, d, 0.0) for d in densities(np.clip(x, 0.0, 1.0))]
    within = [d / integral(space, inside, d) for d in there]
    found = wasserstein(space, *within, slabs=4, cells=cells)
    assert found.square == pytest.approx(alone.square, rel=SOLVED)
    assert np.all(found.densities[inside == 0.0] == 0.0)


@pytest.mark.parallel
def test_equal_densities():
    space, volumes = p1("rectangle", cells=(8, 8))
    density = random_density(space, volumes, 1)
    found = wasserstein(space, density, density.copy(), slabs=3)
    assert (found.distance, found.square, found.iterations) == (0.0, 0.0, 0)
    assert np.abs(found.densities - density[:, None]).max() <= 1e-13 * density.max()


@pytest.mark.parallel
def test_masses():
    space, volumes = p1("interval", cells=12)
    first, second = pair(space, volumes, lambda x: 1.0 + x[0], lambda x: 2.0 - x[0])
    with pytest.raises(InputError, match=r"masses 1 and 1\.00001,"):
        wasserstein(space, first, 1.00001 * second, slabs=2)
    one = wasserstein(space, first, second, slabs=2)
    other = wasserstein(space, first, (1.0 + 5e-10) * second, slabs=2)
    assert other.square == pytest.approx(one.square, rel=1e-8)
    # Masses that the caller knows better hold for both, and for W₂².
    known = wasserstein(space, first, 1.01 * second, slabs=2, masses=(2.0, 2.0))
    assert known.mass == 2.0
    assert known.square == pytest.approx(2.0 * one.square, rel=1e-8)
    with pytest.raises(InputError, match="masses 2 and 3,"):
        wasserstein(space, first, second, slabs=2, masses=(2.0, 3.0))


@pytest.mark.parallel
def test_watching_the_iterations():
    space, volumes = p1("interval", cells=12)
    seen = []
    ends = pair(space, volumes, lambda x: 1.0 + x[0], lambda x: 2.0 - x[0])
    found = wasserstein(space, *ends, slabs=2, watch=seen.append)
    assert seen == list(range(1, found.iterations + 1))


@pytest.mark.parallel
@pytest.mark.parametrize("slabs", [1, 0, -3, 2.0])
def test_bad_slabs(slabs):
    space, volumes = p1("interval", cells=12)
    density = nodal(space, volumes, lambda x: 1.0 + x[0])
    with pytest.raises(InputError, match=f"at least 2, not {slabs!r}"):
        wasserstein(space, density, density, slabs=slabs)


@pytest.mark.parallel
@pytest.mark.parametrize("bad", [-1e-3, np.nan, np.inf])
def test_bad_densities(bad):
    space, volumes = p1("interval", cells=12)
    density = nodal(space, volumes, lambda x: 1.0 + x[0])
    # At one node of all ranks: every rank refuses it.
    worse = np.where(space.tabulate_dof_coordinates()[:, 0] < 1e-9, bad, density)
    for ends in ((density, worse), (worse, density)):
        with pytest.raises(InputError, match="finite and 0 or more at all nodes"):
            wasserstein(space, *ends)
    nodes = len(density)
    for wrong, shape in (
        (density[:-1], rf"\({nodes - 1},\)"),
        (density[:, None], rf"\({nodes}, 1\)"),
        (1.0, r"\(\)"),
    ):
        message = "needs a value for each node of its mesh.* not "
        with pytest.raises(InputError, match=f"The second density {message}" + shape * (COMM.size == 1)):
            wasserstein(space, density, wrong)
        with pytest.raises(InputError, match=f"The first density {message}"):
            wasserstein(space, wrong, density)
    with pytest.raises(InputError, match="The first density needs values at the nodes, not a dict"):
        wasserstein(space, {"rho": density}, density)
    with pytest.raises(InputError, match=r"second density is zero .* positive and finite"):
        wasserstein(space, density, 0.0 * density)


@pytest.mark.parallel
def test_a_shape_that_is_wrong_on_one_rank_is_refused_on_all():
    space, volumes = p1("interval", cells=12)
    density = nodal(space, volumes, lambda x: 1.0 + x[0])
    wrong = density[:-1] if COMM.rank == COMM.size - 1 else density
    with pytest.raises(InputError, match="The second density needs a value for each node") as caught:
        wasserstein(space, density, wrong)
    assert len(set(COMM.allgather(str(caught.value)))) == 1


@pytest.mark.parallel
def test_what_densities_are_on():
    flow = flow_of("interval", PowerLaw(2), cells=12)
    density = flow.state(lambda x: 1.0 + x[0], 1.0)[:, 0]
    for wrong, named in ((flow, "a GradientFlow"), (density, "an ndarray"), (None, "None")):
        with pytest.raises(InputError, match=f"mesh of the densities or its scalar P1 space.* not {named}"):
            wasserstein(wrong, density, density)
    for element in (("DG", 0), ("Lagrange", 2), ("Lagrange", 1, (1,))):
        space = fem.functionspace(flow.mesh, element)
        with pytest.raises(InputError, match="space of the densities must be scalar P1"):
            wasserstein(space, density, density)
        with pytest.raises(InputError, match="second density must be a function of the scalar P1 space"):
            wasserstein(flow.space, density, fem.Function(space))
    elsewhere = fem.Function(fem.functionspace(mesh_of("interval", cells=13), ("Lagrange", 1)))
    with pytest.raises(InputError, match="first density must be a function of the scalar P1 space"):
        wasserstein(flow.space, elsewhere, density)
    with pytest.raises(InputError, match="second density must be a function of DOLFINx, not an ndarray"):
        geodesic_between(fem.Function(flow.space), density)


@pytest.mark.parallel
def test_densities_need_no_equation():
    # Values at nodes, functions of points and functions of DOLFINx are the same densities.
    space, volumes = p1("rectangle", cells=(8, 8))
    left, right = lambda x: 2.0 - x[0], lambda x: 1.0 + x[0]
    values = pair(space, volumes, left, right)
    functions = [fem.Function(space) for _ in values]
    for function, nodes in zip(functions, values, strict=True):
        function.x.array[:] = nodes
    expected = wasserstein(space, *values, slabs=2)
    scale = integral(space, volumes, left(space.tabulate_dof_coordinates().T))
    for found in (
        geodesic_between(*functions, slabs=2),
        wasserstein(space.mesh, functions[0], values[1], slabs=2),
        wasserstein(space.mesh, lambda x: left(x) / scale, lambda x: right(x) / scale, slabs=2),
    ):
        assert found.distance == pytest.approx(expected.distance, rel=SOLVED)


@pytest.mark.parallel
@pytest.mark.parametrize("part", [False, True])
def test_geodesics_as_functions_and_files(part, shared_tmp_path):
    space, volumes = p1("interval", upper=2.0, cells=16)
    cells = mesh.locate_entities(space.mesh, 1, lambda x: x[0] < 1.0 + 1e-9) if part else None
    volumes = EdgeGeometry(space, cells, lumping="cells").volumes
    x = space.tabulate_dof_coordinates()[:, 0]
    ends = [np.where(volumes > 0.0, d, 0.0) for d in (3.0 - x, 1.0 + x)]
    ends = [d / integral(space, volumes, d) for d in ends]
    found = wasserstein(space, *ends, slabs=4, cells=cells)
    functions = found.functions("u")
    assert tuple(functions) == found.times == (0.0, 0.25, 0.5, 0.75, 1.0)
    for function, values in zip(functions.values(), found.densities.T, strict=True):
        assert function.name == "u"
        np.testing.assert_array_equal(function.x.array, values)
    path = shared_tmp_path / "geodesic.pvd"
    found.write(path, "u")
    reader = pyvista.PVDReader(path)
    assert tuple(reader.time_values) == found.times
    reader.set_active_time_value(0.75)
    [grid] = reader.read()
    # Where densities live, and nowhere else.
    assert grid.points[:, 0].max() == pytest.approx(1.0 if part else 2.0)
    owned = slice(0, space.dofmap.index_map.size_local)
    nodes, values = (np.concatenate(COMM.allgather(v[owned])) for v in (x, found.densities[:, 3]))
    order = np.argsort(nodes)
    expected = np.interp(grid.points[:, 0], nodes[order], values[order])
    np.testing.assert_allclose(grid.point_data["u"], expected, rtol=1e-6, atol=1e-12)
    for wrong, message in (
        ("paths.vtu", "must end in .pvd"),
        ("no/paths.pvd", "there is no directory"),
    ):
        with pytest.raises(InputError, match=message):
            found.write(shared_tmp_path / wrong)


@pytest.mark.parallel
def test_a_failure_is_reported():
    space, volumes = p1("interval", cells=12)
    ends = pair(space, volumes, lambda x: 1.0 + x[0], lambda x: np.maximum(x[0] - 0.5, 0.0))
    with pytest.raises(SolveError, match=r"1 iterations\.\n0: continuity \(2\.9a\)"):
        wasserstein(space, *ends, settings=NewtonSettings(max_iterations=1))
