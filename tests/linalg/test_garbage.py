"""Solvers of meshes that are gone leave nothing behind."""

from functools import partial

import pytest
from linearised_problems import SOURCES, built, start
from mpi4py import MPI
from references import COMM, SCHEMES, bump

from fem_models.energies import Interaction, PowerLaw
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.linalg.garbage import collect
from fem_models.linearised_jko.elements import PAIRS
from fem_models.linearised_jko.inf_sup import InfSup
from fem_models.linearised_jko.loads import LoadAssembly
from fem_models.linearised_jko.solver import LinearisedSolver
from fem_models.meshes import domains
from fem_models.steady.steady_state import steady_state


def _free_communicators(comm):
    """How many communicators MPI can still make."""
    handler = comm.Get_errhandler()
    comm.Set_errhandler(MPI.ERRORS_RETURN)
    made = []
    try:
        while True:
            made.append(comm.Dup())
    except MPI.Exception:
        pass
    for copy in made:
        copy.Free()
    comm.Set_errhandler(handler)
    return len(made)


def square():
    return domains.build(COMM, "rectangle", cells=(4, 4)).mesh


def _step(scheme):
    flow = GradientFlow(square(), Species(), PowerLaw(2))
    SCHEMES[scheme](flow, "average").step(flow.state(bump((0.5, 0.5)), 1.0), 1e-2)


def _perturbation(pair):
    problem = built(square(), pair)
    LinearisedSolver(problem).solve(LoadAssembly(problem, SOURCES)(start))


def _constants(pair):
    problem = InfSup(square(), PAIRS[pair], lambda x: 1.0 + x[0])
    problem.of_fluxes()


def _steady_state():
    # Interactions are solved for by products.
    flow = GradientFlow(square(), Species(), PowerLaw(2) + Interaction(lambda z: 0.1 * (z**2).sum(axis=0)))
    steady_state(flow, {"rho": 1.0})


@pytest.mark.parallel
@pytest.mark.parametrize(
    "work",
    [
        partial(_step, "backward-euler"),
        partial(_step, "jko"),
        partial(_perturbation, "P1-DG0"),
        partial(_perturbation, "DG0-RT1"),
        partial(_constants, "P1-DG0"),
        partial(_constants, "DG0-RT1"),
        _steady_state,
    ],
    ids=["Euler", "JKO", "P1-DG0", "DG0-RT1", "constants of P1-DG0", "constants of DG0-RT1", "steady state"],
)
def test_meshes_that_are_gone_keep_no_communicators(work):
    def free():
        # A mesh that nothing else is done with: those of the last one are freed with the next.
        collect(square())
        return _free_communicators(COMM)

    work()
    before = free()
    for _ in range(3):
        work()
    # What other tests have left may go in between.
    assert free() >= before
