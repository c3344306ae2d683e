"""Linear solvers: their prefixes, the choice by size, the memory of MUMPS."""

import math

import numpy as np
import pytest
import ufl
from coupled import hill_with_signal, two_hills
from petsc4py import PETSc
from references import COMM, mesh_of

from fem_models.core.errors import InputError
from fem_models.energies import Boltzmann, Dirichlet
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.flow.log_density import LogDensityFlow
from fem_models.flow.static_fields import StaticFields
from fem_models.jko.geodesic_extrapolation import GeodesicExtrapolation
from fem_models.kinetic.bgk.model import KineticModel
from fem_models.linalg import krylov
from fem_models.linalg.krylov import KrylovSolver, factorises
from fem_models.linalg.mumps import MEMORY, MumpsMemory
from fem_models.linalg.newton import NewtonSettings
from fem_models.linalg.options import INNER_PREFIXES
from fem_models.linearised_jko.elements import PAIRS
from fem_models.linearised_jko.followed_diffusion import FollowedDiffusion
from fem_models.linearised_jko.inf_sup import InfSup
from fem_models.linearised_jko.loads import LoadAssembly
from fem_models.linearised_jko.problem import LinearisedJko
from fem_models.linearised_jko.reduced import ReducedJko
from fem_models.linearised_jko.saddle_point import SaddlePoint
from fem_models.linearised_jko.solver import LinearisedSettings, LinearisedSolver
from fem_models.meshes.domains import build
from fem_models.steady.steady_state import steady_state
from fem_models.systems.poisson_nernst_planck import poisson_nernst_planck


def ions():
    flow = poisson_nernst_planck(mesh_of("interval", cells=8))
    names = flow.names[:2]
    return flow, flow.state(dict.fromkeys(names, lambda x: 1.0 + x[0]), dict.fromkeys(names, 1.0))


def linearised(pair="DG0-RT1", slabs=2):
    return LinearisedJko(
        mesh_of("rectangle", cells=(3, 3)),
        pair,
        q=lambda x, s: 1.0 + x[0],
        phi=lambda x, s: 0.1 * ufl.cos(math.pi * x[0]),
        duration=0.1,
        slabs=slabs,
    )


def log_densities():
    species = (Species(), Species("c", "l2"))
    flow = LogDensityFlow(GradientFlow(mesh_of("interval", cells=8), species, Boltzmann() + Dirichlet()), 1)
    return flow.potentials(flow.state({"rho": lambda x: 1.0 + x[0], "c": lambda x: x[0]}))


def followed():
    problem = linearised()
    FollowedDiffusion(problem.q, problem.phi, problem.data, problem.measures).update(0.5)


def loads(problem):
    return LoadAssembly(problem)(lambda x: ufl.cos(math.pi * x[1]))


def with_kernel():
    flow, state = two_hills(1, kernel=lambda z: np.exp(-(z[0] ** 2)))
    return steady_state(flow, flow.masses(state))


def with_signal():
    return steady_state(hill_with_signal(1)[0], {"rho": 1.0})


def inf_sup():
    pytest.importorskip("slepc4py")
    mesh = mesh_of("rectangle", cells=(3, 3))
    return InfSup(mesh, PAIRS["P1-DG0"], lambda x: 1.0 + x[0]).of_fluxes()


USES = {
    "static_": lambda: StaticFields(ions()[0]).settled(ions()[1]),
    "log_mass_": log_densities,
    "geodesic_": lambda: GeodesicExtrapolation(two_hills(1)[0], NewtonSettings()),
    "steady_": with_signal,
    "nonlocal_": with_kernel,
    "inf_sup_": inf_sup,
    "transport_": lambda: ReducedJko(linearised()),
    "mass_": lambda: ReducedJko(linearised()),
    "fluxes_": lambda: ReducedJko(linearised()),
    "projection_": lambda: loads(linearised()),
    "follow_mass_": followed,
    "follow_transport_": followed,
    "saddle_": lambda: SaddlePoint(linearised()),
    "perturbed_": lambda: KineticModel(build(COMM, "torus", cells=[8]).mesh),
}


def test_every_prefix_is_documented_and_used():
    assert set(USES) == set(INNER_PREFIXES)
    for prefix in INNER_PREFIXES:
        assert f"\n    {prefix} " in krylov.__doc__


@pytest.mark.parallel
@pytest.mark.parametrize("prefix", INNER_PREFIXES)
def test_options_with_a_prefix_reach_its_solver(prefix, database):
    # A type that PETSc does not know is refused by the solver that reads it, and by no other.
    database[f"{prefix}ksp_type"] = "magic"
    with pytest.raises(InputError, match=f"an option with the prefix {prefix}: .*magic"):
        USES[prefix]()


@pytest.mark.parallel
@pytest.mark.parametrize("prefix", INNER_PREFIXES)
def test_options_without_a_prefix_reach_no_inner_solver(prefix, database):
    database["ksp_type"] = "magic"
    database["pc_type"] = "magic"
    USES[prefix]()


@pytest.mark.parallel
@pytest.mark.parametrize("prefix", ["transport_", "mass_", "fluxes_", "follow_mass_", "follow_transport_"])
def test_options_of_the_linearised_problem_reach_its_inner_solvers(prefix):
    settings = LinearisedSettings("follow", {f"{prefix}ksp_type": "magic"})
    with pytest.raises(InputError, match=f"an option with the prefix {prefix}: .*magic"):
        LinearisedSolver(linearised(), settings)


@pytest.mark.parallel
def test_options_win_over_the_defaults_and_leave_the_database(database):
    before = database.getAll()
    matrix = PETSc.Mat().createAIJ((5, 5), nnz=1, comm=COMM)
    matrix.setDiagonal(PETSc.Vec().createWithArray(np.full(matrix.getLocalSize()[0], 2.0), comm=COMM))
    matrix.assemble()
    defaults = {"ksp_type": "cg", "ksp_rtol": 1e-3, "pc_type": "jacobi"}
    given = {"mass_ksp_rtol": 1e-9, "ksp_rtol": 0.5, "transport_ksp_rtol": 0.25}
    database["mass_pc_type"] = "none"
    solver = KrylovSolver(matrix.comm, "mass_", defaults, given, matrix)
    right, found = matrix.createVecs()
    right.set(1.0)
    solver.solve(right, found)
    assert (solver.ksp.getType(), solver.ksp.pc.getType()) == ("cg", "none")
    assert solver.ksp.getTolerances()[0] == 1e-9
    assert solver.converged and not solver.failed and solver.iterations == 1
    np.testing.assert_allclose(found.array_r, 0.5)
    del database["mass_pc_type"]
    assert database.getAll() == before


def test_prefixes_that_are_not_documented_are_refused():
    with pytest.raises(ValueError, match="magic_ is not in the list of prefixes"):
        KrylovSolver(COMM, "magic_", {})


@pytest.mark.parametrize(
    ("kind", "unknowns", "dimension", "choice", "direct"),
    [
        ("step", 10**9, 1, "auto", True),
        ("path", 3_000, 2, "auto", True),
        ("path", 3_001, 2, "auto", False),
        ("hard path", 3_001, 2, "auto", True),
        ("steady", 20_001, 3, "auto", False),
        ("geodesic", 10**9, 3, "direct", True),
        ("geodesic", 1, 1, "krylov", False),
    ],
)
def test_factorisations_by_kind_and_size(kind, unknowns, dimension, choice, direct):
    assert factorises(kind, unknowns, dimension, choice) == direct


def test_mumps_is_given_more_memory_step_by_step():
    memory = MumpsMemory()
    found = [memory.options["mat_mumps_icntl_14"]]
    while memory.more():
        found.append(memory.options["mat_mumps_icntl_14"])
    assert tuple(found) == MEMORY
    assert memory.options == {"mat_mumps_icntl_14": MEMORY[-1]}
