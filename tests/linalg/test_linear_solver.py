import pytest
from references import DIRECT, bump, flow_of, l1_distance, quadratic_potential

from fem_models.energies import Boltzmann, PowerLaw
from fem_models.linalg.linear_solver import linear_options
from fem_models.linalg.newton import NewtonSettings
from fem_models.schemes.backward_euler import BackwardEuler

MANY = 10_000_000


@pytest.mark.parametrize(
    ("choice", "unknowns", "dimension", "direct"),
    [
        ("auto", MANY, 1, True),
        ("auto", 100, 2, True),
        ("auto", 100, 3, True),
        ("auto", MANY, 2, False),
        ("auto", MANY, 3, False),
        ("direct", MANY, 3, True),
        ("krylov", 100, 1, False),
    ],
)
@pytest.mark.parametrize("ranks", [1, 2])
def test_linear_solver_by_choice_and_size(choice, unknowns, dimension, ranks, direct):
    options = linear_options(choice, unknowns, dimension, ranks)
    assert (options["ksp_type"] == "preonly") == direct
    assert (options.get("pc_type") == "lu") == direct


def test_factorisations_on_several_ranks_are_those_of_a_parallel_package():
    assert linear_options("direct", 100, 2, 1)["pc_factor_mat_solver_type"] == "petsc"
    assert linear_options("direct", 100, 2, 2)["pc_factor_mat_solver_type"] == "mumps"
    assert linear_options("direct", MANY, 2, 1)["pc_factor_mat_solver_type"] == "mumps"


@pytest.mark.parallel
@pytest.mark.parametrize("pc", ["bjacobi", "gamg"])
def test_preconditioners_agree_with_the_direct_solver(pc):
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.15)
    state = flow.state(bump((0.3, 0.1)), 1.0)
    settings = NewtonSettings(tolerance=1e-12, linear="krylov", petsc={"pc_type": pc})
    by_krylov = BackwardEuler(flow, settings=settings).step(state, 1e-2)
    by_lu = BackwardEuler(flow, settings=DIRECT).step(state, 1e-2)
    assert l1_distance(flow, by_krylov.state, by_lu.state[:, 0]) < 1e-9
    assert by_krylov.linear > by_krylov.newton


@pytest.mark.parallel
def test_large_steps_are_solved_by_multigrid_after_the_first():
    # One step of nearly infinite size is a Laplace problem: block ILU needs many iterations, multigrid few.
    flow = flow_of("rectangle", Boltzmann(), cells=(100, 100))
    state = flow.state(bump((0.5, 0.5)), 1.0)
    scheme = BackwardEuler(flow, settings=NewtonSettings(linear="krylov"))
    first, second = (scheme.step(state, 1e3) for _ in range(2))
    assert second.linear / second.newton < 0.7 * first.linear / first.newton
    assert flow.maxima(second.state)["rho"] < 1.001


@pytest.mark.parallel
@pytest.mark.parametrize("linear", ["direct", "krylov"])
@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_tiny_and_huge_domains(size, linear):
    # The same problem in other units: densities scale with the inverse area, times with the area.
    flow = flow_of("disk", Boltzmann(), radius=size, h=0.2 * size)
    unit = flow_of("disk", Boltzmann(), radius=1.0, h=0.2)
    density = bump((0.3, 0.1))
    settings = NewtonSettings(linear=linear)
    found = BackwardEuler(flow, settings=settings).step(
        flow.state(lambda x: density(x / size), 1.0), 0.01 * size**2
    )
    expected = BackwardEuler(unit, settings=DIRECT).step(unit.state(density, 1.0), 0.01)
    extrema = [flow.maxima(found.state)["rho"] * size**2, flow.second_moments(found.state)["rho"] / size**2]
    assert extrema == pytest.approx(
        [unit.maxima(expected.state)["rho"], unit.second_moments(expected.state)["rho"]], rel=1e-5
    )
