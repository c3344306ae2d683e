"""The linearised JKO problem: closed solutions, symmetry, mass, the value of the minimiser, bad input."""

import numpy as np
import pytest
import ufl
from linearised_problems import SOURCES, STABLE, C, built, phi, q, solved, start
from references import COMM, mesh_of
from ufl.domain import extract_unique_domain

from fem_models.core.errors import InputError, SolveError
from fem_models.energies import Boltzmann, Energy, Interaction, Potential, PowerLaw, Quadratic
from fem_models.linearised_jko.loads import Sources
from fem_models.linearised_jko.problem import LinearisedJko
from fem_models.linearised_jko.saddle_point import SaddlePoint
from fem_models.systems.excluded_volume import excluded_volume

from dolfinx import fem  # isort: skip

each_pair = pytest.mark.parametrize("pair", STABLE)

# Closed solutions: φ = 0 and a constant q. For h₀ = cos πx₀, h(Δt) = h₀/(1 + Δt π² q E''), J = ½E''∫h₀h(Δt).

CLOSED = {
    "paper": (2.0, {}, 0.5),
    "boltzmann": (2.0, {"terminal": "second-variation", "energy": Boltzmann()}, 0.5),
    "power law": (0.5, {"terminal": "second-variation", "energy": PowerLaw(3.0)}, 1.5),
    "excluded volume": (
        2.0,
        {"terminal": "second-variation", "energy": Boltzmann() + Quadratic(0.3) + Potential(lambda x: x[0])},
        0.8,
    ),
}


@pytest.mark.parametrize("case", CLOSED)
def test_closed_solutions_for_every_terminal_cost(case):
    density, keys, curvature = CLOSED[case]
    mesh = mesh_of("interval", cells=40)
    constant = fem.Constant(mesh, density)
    problem = LinearisedJko(mesh, "P2-DG1", lambda x, s: constant, lambda x, s: 0.0, 0.2, 3, **keys)
    found, _ = solved(problem, lambda x: ufl.cos(np.pi * x[0]))
    factor = 1.0 / (1.0 + 0.2 * np.pi**2 * density * curvature)
    nodes = np.cos(np.pi * problem.spaces.potentials.tabulate_dof_coordinates()[:, 0])
    # Potentials do not change in time, and perturbations change linearly.
    for k, computed in enumerate(found.h):
        np.testing.assert_allclose(computed.x.array, (1.0 - k / 3.0 + factor * k / 3.0) * nodes, atol=3e-4)
    for potential in (*found.f, found.p):
        np.testing.assert_allclose(potential.x.array, -curvature * factor * nodes, atol=1e-4)
    np.testing.assert_allclose(found.value, 0.25 * curvature * factor, rtol=1e-5)


def test_mass_meets_its_price():
    # A constant h₀ = b stays: no flux changes it. J = ½b²/q + Cbq on the unit interval, f = -(b/q + Cq).
    problem = LinearisedJko(
        mesh_of("interval", cells=5), "P1-DG0", lambda x, s: 2.0, lambda x, s: 0.0, 0.2, 2, C=C
    )
    found, _ = solved(problem, 0.4)
    np.testing.assert_allclose(found.h[-1].x.array, 0.4)
    np.testing.assert_allclose(found.f[0].x.array, -(0.4 / 2.0 + 2.0 * C))
    np.testing.assert_allclose(found.value, 0.5 * 0.4**2 / 2.0 + C * 0.4 * 2.0)


def entries(matrix):
    return matrix.convert("dense").getDenseArray()


def test_second_variations_of_the_energies_of_the_framework():
    mesh = mesh_of("interval", alone=True, cells=6)
    keys = {"terminal": "second-variation"}
    paper = entries(built(mesh, "P2-DG1").end_mass)
    boltzmann = entries(built(mesh, "P2-DG1", energy=Boltzmann(), **keys).end_mass)
    np.testing.assert_allclose(boltzmann, paper, atol=1e-14 * np.abs(paper).max())
    energy = excluded_volume(mesh, lambda x: x[0] ** 2, 0.3).terms
    problem = built(mesh, "P2-DG1", energy=energy, **keys)
    u, v = ufl.TrialFunction(problem.spaces.potentials), ufl.TestFunction(problem.spaces.potentials)
    end = q(ufl.SpatialCoordinate(mesh), 0.4)
    form = fem.form(u * v / (1.0 / end + 0.3) * problem.measures.dx)
    expected = fem.assemble_matrix(form).to_dense()
    np.testing.assert_allclose(entries(problem.end_mass), expected, atol=1e-13 * np.abs(expected).max())


# Structure


@each_pair
@pytest.mark.parametrize("slabs", [1, 3])
def test_system_is_symmetric_and_has_one_solution(slabs, pair):
    problem = built(mesh_of("rectangle", alone=True, h=0.5), pair, slabs=slabs, C=C)
    matrix = entries(SaddlePoint(problem).matrix)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-15 * np.abs(matrix).max())
    # Without the scale of cells: as many directions to minimise over, as h and g have, as to maximise over.
    scale = np.sqrt(np.abs(matrix).max(axis=1))
    values = np.linalg.eigvalsh(matrix / np.outer(scale, scale))
    potentials, fluxes = (
        space.dofmap.index_map.size_global * space.dofmap.index_map_bs
        for space in (problem.spaces.potentials, problem.spaces.fluxes)
    )
    primal = slabs * (potentials + (0 if problem.eliminates else fluxes))
    assert np.abs(values).min() > 1e-6 * np.abs(values).max()
    assert ((values > 0.0).sum(), (values < 0.0).sum()) == (primal, (slabs + 1) * potentials)


@pytest.mark.parallel
@each_pair
def test_mass_is_exact(pair):
    problem = built(mesh_of("rectangle", h=0.3), pair, slabs=3, C=C)
    found, loads = solved(problem)
    masses = [COMM.allreduce(fem.assemble_scalar(fem.form(u * ufl.dx))) for u in found.h]
    given = fem.form(start(ufl.SpatialCoordinate(problem.spaces.mesh)) * problem.measures.dx)
    assert found.h[0] is loads.start
    np.testing.assert_allclose(masses, COMM.allreduce(fem.assemble_scalar(given)), rtol=1e-12)


@each_pair
@pytest.mark.parametrize("slabs", [1, 3])
@pytest.mark.parametrize("sources", [None, SOURCES], ids=["free", "sources"])
def test_value_of_the_minimiser_follows_from_its_potential(sources, slabs, pair):
    problem = built(mesh_of("rectangle", h=0.3), pair, slabs=slabs, C=C)
    found, _ = solved(problem, sources=sources)
    np.testing.assert_allclose(found.value, found.dual_value, rtol=1e-11)
    if sources is None:
        # The functional (2.13) itself; its terminal cost differs by what the space does not resolve.
        dx, problem_q = problem.measures.dx, problem.q
        value = 0.0
        for k, flux in enumerate(found.g):
            problem.data.load(k)
            value += problem.delta * fem.assemble_scalar(
                fem.form(0.5 * ufl.inner(flux, flux) / problem_q * dx)
            )
        problem.data.load(slabs)
        end = found.h[-1]
        value += fem.assemble_scalar(fem.form((0.5 * end**2 / problem_q + C * end * problem_q) * dx))
        np.testing.assert_allclose(COMM.allreduce(value), found.value, rtol=0.02)


SIDEWAYS = Sources(flux=lambda x, s: ufl.as_vector([ufl.sin(np.pi * x[0]) * (1.0 + s)]))


@each_pair
def test_value_is_the_least_among_admissible_fluxes(pair):
    # With a source of fluxes the minimiser is another pair (g, h), which satisfies the constraint as well.
    problem = built(mesh_of("interval", cells=12), pair, slabs=3, C=C)
    best, _ = solved(problem)
    other, _ = solved(problem, sources=SIDEWAYS)
    dx, cost = problem.measures.dx, []
    for solution in (best, other):
        value = 0.0
        for k, flux in enumerate(solution.g):
            problem.data.load(k)
            value += problem.delta * fem.assemble_scalar(fem.form(0.5 * flux[0] ** 2 / problem.q * dx))
        weighted = problem.end_mass.createVecLeft()
        problem.end_mass.mult(solution.p.x.petsc_vec, weighted)
        value += 0.5 * solution.p.x.petsc_vec.dot(weighted)
        cost.append(value)
    assert cost[1] > cost[0] * (1.0 + 1e-3)


@pytest.mark.parallel
@each_pair
def test_ranks_agree(pair):
    values = []
    for alone in (True, False):
        problem = built(mesh_of("rectangle", alone, h=0.3), pair, slabs=3, C=C)
        found, _ = solved(problem, sources=SOURCES)
        np.testing.assert_allclose(found.value, found.dual_value, rtol=1e-11)
        mesh = problem.spaces.mesh
        x = ufl.SpatialCoordinate(mesh)
        fields = (found.h[1], found.h[-1], found.f[0], found.p, found.g[1][0])
        moments = [
            mesh.comm.allreduce(fem.assemble_scalar(fem.form(u * (x[0] + 2.0 * x[1] ** 2) * ufl.dx)))
            for u in fields
        ]
        values.append([found.value, *moments])
    np.testing.assert_allclose(values[1], values[0], rtol=1e-9, atol=1e-9)


@each_pair
def test_matrices_follow_data_that_change(pair):
    mesh = mesh_of("rectangle", h=0.3)
    space = fem.functionspace(mesh, ("Lagrange", 1))
    x = space.tabulate_dof_coordinates().T

    def functions(values):
        found = [fem.Function(space) for _ in values]
        for function, value in zip(found, values, strict=True):
            function.x.array[:] = value
        return found

    def matrices(problem):
        fluxes = problem.fluxes.stiffnesses if problem.eliminates else problem.fluxes.masses
        return [*problem.transports, *fluxes, problem.end_mass]

    densities, potentials = [1.0 + x[0], 1.5 + x[1], 2.0 - x[0]], [x[0] * x[1], x[0] - x[1]]
    fresh = LinearisedJko(mesh, pair, functions(densities), functions(potentials), 0.4, 2)
    held, phis = functions(densities[::-1]), functions([x[1], x[0]])
    problem = LinearisedJko(mesh, pair, held, phis, 0.4, 2)
    kept = matrices(problem)
    for function, value in zip(held + phis, densities + potentials, strict=True):
        function.x.array[:] = value
    problem.assemble()
    for found, expected in zip(kept, matrices(fresh), strict=True):
        difference = found.copy()
        difference.axpy(-1.0, expected)
        assert difference.norm() <= 1e-14 * expected.norm()


# Bad input


def finite(family, cells=6):
    """A function of degree 1 on an interval."""
    return fem.Function(fem.functionspace(mesh_of("interval", cells=cells), (family, 1)))


REFUSED = {
    "no slab": ({"slabs": 0}, "number of slabs.*not 0"),
    "half a slab": ({"slabs": 1.5}, "number of slabs.*not 1.5"),
    "no duration": ({"duration": 0.0}, "duration must be a positive"),
    "pair": ({"pair": "P3-DG2"}, "P3-DG2 is not known.*P1-DG0"),
    "unstable": ({"pair": "P2-DG0"}, "P2-DG0 is not stable.*P1-DG0"),
    "cost": ({"terminal": "newspaper"}, "terminal cost must be one of paper, second-variation"),
    "no energy": ({"terminal": "second-variation"}, "energy is missing"),
    "energy": ({"energy": Boltzmann()}, "energy goes with"),
    "C": (
        {"terminal": "second-variation", "energy": Boltzmann(), "C": 1.0},
        "C must be a number, zero or more",
    ),
    "negative C": ({"C": -1.0}, "C must be a number, zero or more"),
    "text C": ({"C": "1"}, "C must be a number.*not '1'"),
    "number q": ({"q": 1.0}, "q must be a function of x and s .* 3 functions of one space, not 1.0"),
    "numbers q": ({"q": [1.0, 1.0, 1.0]}, "q needs functions of DOLFINx, not 1.0"),
    "phi without time": ({"phi": lambda x: x[0]}, r"phi must be a function .*\(x, s\).* 2 were given"),
    "numpy": ({"q": lambda x, s: np.exp(x[0])}, "q must be a function .*ufl.exp where NumPy has numpy.exp"),
    "linear energy": (
        {"terminal": "second-variation", "energy": Potential(lambda x: x[0])},
        "linear in the density",
    ),
    "concave energy": ({"terminal": "second-variation", "energy": Quadratic(-1.0)}, "E'' of the terminal"),
    "two densities": (
        {"terminal": "second-variation", "energy": Boltzmann("u", name="u") + Boltzmann("v", name="v")},
        "one density, not of u, v",
    ),
    "no terms": ({"terminal": "second-variation", "energy": Energy()}, "not of none"),
    "interaction": (
        {"terminal": "second-variation", "energy": Interaction(lambda z: z[0] ** 2)},
        "interaction is not local",
    ),
    "vector q": ({"q": lambda x, s: ufl.grad(x[0] ** 2)}, r"q must be a scalar: its shape is \(1,\)"),
    "another mesh": (
        {"q": lambda x, s: 1.0 + finite("Lagrange", 7) ** 2},
        "q has functions of another mesh",
    ),
    "discontinuous phi": (
        {"phi": lambda x, s: s * finite("DG")},
        "phi must be continuous.* function of a discontinuous space",
    ),
    "discontinuous phis": (
        {"phi": lambda x, s: finite("DG")},
        "phi must be continuous.* function of a discontinuous space",
    ),
    "a condition as phi": (
        {"phi": lambda x, s: ufl.conditional(ufl.gt(x[0], 0.5), 1.0, 0.0)},
        "phi must be continuous.* two different constants by a condition",
    ),
    "slope as phi": (
        {"phi": lambda x, s: finite("Lagrange").dx(0)},
        "phi must be continuous.* derivative of a function",
    ),
    "size as phi": (
        {"phi": lambda x, s: x[0] * ufl.CellVolume(extract_unique_domain(x))},
        "phi must be continuous.* CellVolume",
    ),
    "negative q": ({"q": lambda x, s: 0.5 - x[0]}, "density q must be positive.*slab 1, its least"),
    "vacuum at the end": ({"q": lambda x, s: 0.2 - s}, "density q must be positive.*at the end"),
    "infinite q": ({"q": lambda x, s: 1.0 / (s - 0.2) + 0.0 * x[0]}, "density q must be positive"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(case):
    given, message = REFUSED[case]
    keys = {"pair": "P1-DG0", "q": q, "phi": phi, "duration": 0.2, "slabs": 2, **given}
    with pytest.raises(InputError, match=message):
        LinearisedJko(mesh_of("interval", cells=6), **keys)


def test_functions_of_equal_spaces_and_whole_numbers_are_taken():
    mesh = mesh_of("interval", cells=6)
    phis = [fem.Function(fem.functionspace(mesh, ("Lagrange", 1))) for _ in range(2)]
    one = LinearisedJko(mesh, "P1-DG0", q, phis, 0.2, 2, C=1)
    other = LinearisedJko(mesh, "P1-DG0", q, lambda x, s: 0.0 * x[0], 0.2, 2, C=1.0)
    values = [solved(problem)[0].value for problem in (one, other)]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_lists_of_discontinuous_potentials_are_refused():
    given = finite("DG")
    with pytest.raises(InputError, match="phi must be continuous"):
        LinearisedJko(given.function_space.mesh, "P1-DG0", q, [given, given], 0.2, 2)


@pytest.mark.parametrize("pair", STABLE)
def test_continuous_potentials_of_any_kind_are_taken(pair):
    mesh = mesh_of("interval", cells=6)
    function = fem.Function(fem.functionspace(mesh, ("Lagrange", 2)))
    function.interpolate(lambda x: x[0] ** 2)
    bent = ufl.conditional(ufl.lt(ufl.SpatialCoordinate(mesh)[0], 0.5), 0.25, function)
    for given in (lambda x, s: bent, [function, function], lambda x, s: ufl.grad(x[0] ** 2)[0], phi):
        LinearisedJko(mesh, pair, q, given, 0.2, 2)


@pytest.mark.parallel
def test_a_negative_density_on_one_rank_is_refused_on_all():
    with pytest.raises(InputError, match="density q must be positive"):
        LinearisedJko(mesh_of("interval", cells=9), "P1-DG0", lambda x, s: 0.9 - x[0], phi, 0.2, 1)


def test_singular_system_is_reported():
    problem = built(mesh_of("interval", cells=6), "P1-DG0")
    for matrix in (problem.mass, *problem.transports):
        matrix.zeroEntries()
    with pytest.raises(SolveError, match="MUMPS could not factorise"):
        SaddlePoint(problem)
