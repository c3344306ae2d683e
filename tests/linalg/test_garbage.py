"""Solvers of meshes that are gone leave nothing behind."""

import pytest
from mpi4py import MPI
from references import SCHEMES, bump, flow_of

from fem_models.energies import PowerLaw


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


@pytest.mark.parallel
@pytest.mark.parametrize("scheme", ["backward-euler", "jko"])
def test_solvers_of_meshes_that_are_gone_keep_no_communicators(scheme):
    def work():
        flow = flow_of("rectangle", PowerLaw(2), cells=(4, 4))
        SCHEMES[scheme](flow, "average").step(flow.state(bump((0.5, 0.5)), 1.0), 1e-2)
        return flow.comm

    comm = work()
    before = _free_communicators(comm)
    for _ in range(3):
        work()
    # Those of the last mesh are freed with the next one, in both counts.
    assert _free_communicators(comm) == before
