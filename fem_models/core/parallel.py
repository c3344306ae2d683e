"""Files are touched on rank 0 only, and what goes wrong there is raised on every rank."""

import time
from collections.abc import Callable
from typing import Any, cast

from mpi4py import MPI

from fem_models.core.errors import SENTENCES

# Seconds that a rank with an error waits for the others to have it, too.
_PATIENCE = 10.0


def on_rank_zero[Result](comm: MPI.Comm, work: Callable[[], Result]) -> Result:
    """Run a function on rank 0 and hand its result to all ranks. Collective.

    Args:
        comm: The communicator.
        work: A function without arguments and without collective calls; its result can be pickled.

    Returns:
        What the function returned, on every rank.

    Raises:
        InputError: The function raised it; every rank raises the same message.
        OutputError: Likewise.
        RuntimeError: The function raised anything else; rank 0 raises the original.
    """
    result: Any = None
    failure: Exception | None = None
    if comm.rank == 0:
        try:
            result = work()
        except Exception as error:
            failure = error
    kind = next((kind for kind in SENTENCES if isinstance(failure, kind)), RuntimeError)
    known = kind is not RuntimeError
    message = None if failure is None else str(failure) if known else f"rank 0 failed: {failure!r}"
    result, message, kind = comm.bcast((result, message, kind), root=0)
    if failure is not None:
        raise failure
    if message is not None:
        raise kind(message)
    return cast("Result", result)


def together(comm: MPI.Comm) -> bool:
    """Whether all ranks get here within some seconds. Collective, but for a rank that is here alone.

    A rank that fails alone must end the job: the others wait for it in another place, for ever.

    Args:
        comm: The ranks.

    Returns:
        False where the others do not come.
    """
    arrival, until = comm.Ibarrier(), time.monotonic() + _PATIENCE
    while not arrival.Test():
        if time.monotonic() > until:
            return False
        time.sleep(1e-3)
    return True
