"""Conjugate gradients for the linearised JKO problem: against MUMPS, iterations, options and the fallback."""

import math

import numpy as np
import pytest
import ufl
from references import mesh_of

from fem_models.core.errors import InputError
from fem_models.linearised_jko.elements import PAIRS
from fem_models.linearised_jko.followed_diffusion import FollowedDiffusion
from fem_models.linearised_jko.loads import LoadAssembly, Sources
from fem_models.linearised_jko.problem import LinearisedJko
from fem_models.linearised_jko.reduced import ReducedJko
from fem_models.linearised_jko.saddle_point import SaddlePoint
from fem_models.linearised_jko.solver import LinearisedSettings, LinearisedSolver

from dolfinx import fem  # isort: skip

STABLE = [name for name, pair in PAIRS.items() if pair.stable]
SOURCES = Sources(
    constraint=lambda x, s: ufl.sin(7.0 * x[0] + s),
    flux=lambda x, s: ufl.as_vector([x[i] * ufl.exp(-s) for i in range(len(x))]),
    adjoint=lambda x, s: ufl.cos(5.0 * x[0]) * (1.0 + s),
    end=lambda x, s: x[0] ** 2,
)


def wave(x):
    return ufl.cos(math.pi * x[0]) * (ufl.cos(math.pi * x[1]) if len(x) > 1 else 1.0)


def problem(pair, slabs, displacement, contrast=10.0, cells=(6, 6), rate=0.0):
    """q and φ are waves of one half period; without a rate of change Δt max|∇φ| is the displacement."""
    domain = {1: "interval", 2: "rectangle", 3: "box"}[len(cells)]
    return LinearisedJko(
        mesh_of(domain, cells=cells),
        pair,
        q=lambda x, s: (1.0 + rate * s) * ufl.exp(0.5 * math.log(contrast) * (1.0 + wave(x))),
        phi=lambda x, s: (1.0 + rate * s) * wave(x),
        duration=displacement / math.pi,
        slabs=slabs,
        C=0.5,
    )


def loads(linearised, sources=None):
    def rough(x):
        return ufl.cos(50.0 * x[0] ** 2) + sum(ufl.sin(9.0 * x[i]) for i in range(len(x)))

    return LoadAssembly(linearised, sources)(rough)


def distance(found, expected):
    """Of lists of functions, relative to the second, in the norm of their values."""

    def squares(functions):
        return sum(u.x.petsc_vec.norm() ** 2 for u in functions)

    differences = [u.copy() for u in found]
    for u, v in zip(differences, expected, strict=True):
        u.x.array[:] -= v.x.array
    return math.sqrt(squares(differences) / squares(expected))


@pytest.mark.parallel
@pytest.mark.parametrize("pair", STABLE)
@pytest.mark.parametrize("slabs", [1, 3])
def test_the_solution_is_that_of_the_whole_system(pair, slabs):
    linearised = problem(pair, slabs, 0.1, rate=20.0)
    given = loads(linearised, SOURCES)
    found = LinearisedSolver(linearised, LinearisedSettings(petsc={"ksp_rtol": 1e-10})).solve(given)
    expected = SaddlePoint(linearised).solve(given)
    assert not found.direct and not found.report
    for name in ("f", "g", "h"):
        assert distance(getattr(found.minimiser, name), getattr(expected, name)) < 1e-7
    assert distance([found.minimiser.p], [expected.p]) < 1e-7
    assert found.minimiser.value == pytest.approx(expected.value, rel=1e-9)


# On the coarsest meshes of Raviart–Thomas fluxes some vertices are on no interior facet.
@pytest.mark.parametrize(
    ("pair", "cells"),
    [
        *(("P1-DG0", (40,)), ("DG1-RT2", (20,)), ("P1-DG0", (3, 3, 3))),
        *(("DG0-RT1", (4,)), ("DG0-RT1", (2, 2)), ("DG1-RT2", (2, 2)), ("DG0-RT1", (2, 2, 2))),
    ],
)
def test_so_it_is_in_all_dimensions_and_on_coarse_meshes(pair, cells):
    linearised = problem(pair, 2, 0.1, cells=cells)
    given = loads(linearised)
    found = LinearisedSolver(linearised, LinearisedSettings(petsc={"ksp_rtol": 1e-10})).solve(given)
    assert not found.direct
    assert distance(found.minimiser.f, SaddlePoint(linearised).solve(given).f) < 1e-7


@pytest.mark.parallel
@pytest.mark.parametrize("pair", STABLE)
def test_the_reduced_matrix_is_symmetric_and_positive(pair, database):
    for prefix in ("transport_", "mass_", "fluxes_"):
        database[f"{prefix}ksp_rtol"] = 1e-13
    reduced = ReducedJko(problem(pair, 3, 0.3, rate=10.0))
    vectors = []
    for frequency in (1.0, 2.0):
        u = reduced.vector()
        start, end = u.getOwnershipRange()
        u.array_w[:] = np.cos(frequency * np.arange(start, end, dtype=float) ** 2)
        product = u.duplicate()
        reduced.mult(u, product)
        vectors.append((u, product))
    (u, su), (v, sv) = vectors
    assert u.dot(su) > 0.0 and v.dot(sv) > 0.0
    assert u.dot(sv) == pytest.approx(v.dot(su), abs=1e-10 * math.sqrt(u.dot(su) * v.dot(sv)))
    assert not reduced.failed


# The targets for small displacements, at most 25, and for large ones, at most 60.
@pytest.mark.parallel
@pytest.mark.parametrize("pair", STABLE)
@pytest.mark.parametrize(("displacement", "bound"), [(0.02, 25), (0.3, 60)])
def test_iterations_are_few_and_hardly_depend_on_the_mesh(pair, displacement, bound):
    counts = []
    for cells in (7, 14):
        linearised = problem(pair, 4, displacement, contrast=1e4, cells=(cells, cells))
        found = LinearisedSolver(linearised).solve(loads(linearised))
        assert not found.direct
        counts.append(found.iterations)
    assert max(counts) <= bound
    assert counts[1] <= 1.5 * counts[0]


def test_rough_modes_that_transports_damp_cost_little():
    """With P alone there are 16 iterations here, and 21 with four times as many cells."""
    linearised = problem("P1-DG0", 8, 0.02, contrast=1.0, cells=(200,))
    assert LinearisedSolver(linearised).solve(loads(linearised)).iterations <= 12


@pytest.mark.parallel
def test_diffusion_follows_the_flow():
    """Of φ = c·x, which moves q by δc(S - k) from the middle of slab k, up to what is near the boundary."""
    speed, slabs = 0.2, 4
    linearised = LinearisedJko(
        mesh_of("rectangle", cells=(24, 24)),
        "P1-DG0",
        q=lambda x, s: ufl.exp(4.0 * x[0]),
        phi=lambda x, s: speed * x[0],
        duration=1.0,
        slabs=slabs,
    )
    diffusion = FollowedDiffusion(linearised.q, linearised.phi, linearised.data, linearised.measures)
    assert diffusion.displacement() == pytest.approx(speed, rel=1e-5)
    diffusion.update(1.0)
    space = diffusion.tensor.function_space
    x = space.tabulate_dof_coordinates()[:, 0]
    inner = np.abs(x - 0.6) < 0.2
    # A translation carries scalars: D = Σ_k δ q(x - δc(S - k)) I.
    expected = sum(np.exp(4.0 * (x - 0.25 * speed * k)) for k in range(slabs)) / slabs
    found = diffusion.tensor.x.array.reshape(-1, 2, 2)
    assert found[inner][:, 0, 0] == pytest.approx(expected[inner], rel=2e-3)
    assert found[inner][:, 1, 1] == pytest.approx(expected[inner], rel=2e-3)
    assert np.abs(found[inner][:, 0, 1]).max(initial=0.0) < 1e-3


@pytest.mark.parallel
def test_diffusion_is_stretched_by_the_flow():
    """φ = λ/2 x² stretches by e^λt: in 1D the diffusion D Y'²/Y' grows by this."""
    rate, slabs = 0.4, 4
    linearised = LinearisedJko(
        mesh_of("interval", cells=(50,)),
        "P1-DG0",
        q=lambda x, s: 1.0,
        phi=lambda x, s: 0.5 * rate * x[0] ** 2,
        duration=1.0,
        slabs=slabs,
    )
    diffusion = FollowedDiffusion(linearised.q, linearised.phi, linearised.data, linearised.measures)
    diffusion.update(1.0)
    x = diffusion.tensor.function_space.tabulate_dof_coordinates()[:, 0]
    expected = sum(math.exp(0.25 * rate * k) for k in range(slabs)) / slabs
    inner = np.abs(x - 0.5) < 0.3
    assert diffusion.tensor.x.array[inner] == pytest.approx(expected, rel=2e-3)


@pytest.mark.parallel
def test_too_many_iterations_leave_it_to_mumps_and_say_so():
    linearised = problem("P1-DG0", 2, 0.1)
    given = loads(linearised)
    found = LinearisedSolver(linearised, LinearisedSettings(petsc={"ksp_max_it": 2})).solve(given)
    assert found.direct and found.iterations == 2
    assert "MUMPS" in found.report and "stopped after 2 iterations, DIVERGED_MAX_IT (-3)" in found.report
    assert distance(found.minimiser.f, SaddlePoint(linearised).solve(given).f) < 1e-12


@pytest.mark.parallel
def test_a_part_that_fails_leaves_it_to_mumps_and_is_named():
    linearised = problem("P1-DG0", 2, 0.3)
    settings = LinearisedSettings(petsc={"transport_ksp_max_it": 1, "transport_pc_type": "none"})
    found = LinearisedSolver(linearised, settings).solve(loads(linearised))
    assert found.direct and "solver of the transport failed" in found.report


@pytest.mark.parallel
def test_options_reach_the_solver(database):
    linearised = problem("P1-DG0", 2, 0.1)
    given = loads(linearised)
    usual = LinearisedSolver(linearised).solve(given)
    database["pc_type"] = "jacobi"
    database["ksp_max_it"] = 1000
    slow = LinearisedSolver(linearised).solve(given)
    assert not slow.direct and slow.iterations > 1.5 * usual.iterations
    assert distance(slow.minimiser.f, usual.minimiser.f) < 1e-6


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pc_type": "magic"}, "pc_type = magic: .*PC type magic"),
        ({"transport_pc_type": "magic"}, "PC type magic"),
        ({"ksp_rtol": "small"}, "ksp_rtol = small: .*small has no numeric value"),
        ({"ksp_type": "minres"}, "ksp_type = minres: .*does not support norm type NATURAL"),
    ],
)
def test_options_that_petsc_refuses_are_named(options, reason):
    linearised = problem("P1-DG0", 2, 0.1)
    given = loads(linearised)
    with pytest.raises(InputError, match=f"PETSc refuses .* {reason}"):
        LinearisedSolver(linearised, LinearisedSettings(petsc=options)).solve(given)
    with pytest.raises(InputError, match="PETSc options are a dictionary"):
        LinearisedSettings(petsc=[options])


@pytest.mark.parallel
def test_the_reference_is_right_where_pivots_are_replaced():
    """On two ranks MUMPS's first solution of these equations has a residual of 2e-3."""
    linearised = LinearisedJko(
        mesh_of("rectangle", cells=(16, 16)),
        "P2-DG1",
        q=lambda x, s: 1 + x[0],
        phi=lambda x, s: 0.1 * ufl.cos(ufl.pi * x[0]),
        duration=0.1,
        slabs=4,
        C=1.0,
    )
    given = LoadAssembly(linearised)(lambda x: ufl.cos(ufl.pi * x[1]))
    found = SaddlePoint(linearised).solve(given)
    assert found.dual_value == pytest.approx(found.value, rel=1e-11)
    iterated = LinearisedSolver(linearised, LinearisedSettings(petsc={"ksp_rtol": 1e-12})).solve(given)
    assert iterated.minimiser.value == pytest.approx(found.value, rel=1e-11)


@pytest.mark.parallel
@pytest.mark.parametrize("pair", ["P1-DG0", "DG0-RT1"])
def test_a_solver_takes_matrices_that_were_assembled_again(pair):
    mesh = mesh_of("rectangle", cells=(6, 6))
    space = fem.functionspace(mesh, ("Lagrange", 1))
    x = space.tabulate_dof_coordinates()[:, 0]
    densities, potentials = ([fem.Function(space) for _ in range(count)] for count in (3, 2))

    def give(density, potential):
        for functions, values in ((densities, density), (potentials, potential)):
            for function in functions:
                function.x.array[:] = values

    give(1.0 + x, 0.0 * x)
    linearised = LinearisedJko(mesh, pair, densities, potentials, 0.5, 2, C=0.5)
    solver = LinearisedSolver(linearised, LinearisedSettings(petsc={"ksp_rtol": 1e-10}))
    assert solver.preconditioner == "plain"
    give(2.0 - x, 0.2 * x**2)
    linearised.assemble()
    given = loads(linearised)
    found = solver.solve(given)
    assert found.preconditioner == solver.preconditioner == "follow"
    assert not found.direct
    assert distance(found.minimiser.f, SaddlePoint(linearised).solve(given).f) < 1e-7


@pytest.mark.parallel
def test_the_choice_follows_the_displacement_and_new_data():
    near = LinearisedSolver(problem("P1-DG0", 2, 0.001))
    far = LinearisedSolver(problem("P1-DG0", 2, 0.1))
    assert (near.preconditioner, far.preconditioner) == ("plain", "follow")
    assert far.displacement == pytest.approx(0.1, rel=0.2)
    assert LinearisedSolver(far.problem, LinearisedSettings("plain")).preconditioner == "plain"


def test_unknown_preconditioners_are_refused():
    with pytest.raises(InputError, match="must be one of auto, plain, follow, not 'best'"):
        LinearisedSettings("best")


@pytest.mark.parallel
@pytest.mark.parametrize("pair", STABLE)
def test_without_a_flow_there_is_nothing_to_follow(pair):
    linearised = LinearisedJko(mesh_of("rectangle", cells=(6, 6)), pair, _one, _nothing, 0.5, 3, C=0.5)
    given = loads(linearised)
    found = LinearisedSolver(linearised).solve(given)
    assert not found.direct
    assert found.minimiser.value == pytest.approx(SaddlePoint(linearised).solve(given).value, rel=1e-9)


def _one(x, s):
    return 1.0 + 0.0 * x[0]


def _nothing(x, s):
    return 0.0 * x[0]
