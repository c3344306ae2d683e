"""Files are touched on rank 0 only, and what goes wrong there is raised on every rank."""

from collections.abc import Callable
from typing import Any, cast

from mpi4py import MPI

from fem_models.core.errors import InputError, OutputError

# Errors that are sentences for the user.
_SENTENCES = (InputError, OutputError)


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
    kind = next((kind for kind in _SENTENCES if isinstance(failure, kind)), RuntimeError)
    known = kind is not RuntimeError
    message = None if failure is None else str(failure) if known else f"rank 0 failed: {failure!r}"
    result, message, kind = comm.bcast((result, message, kind), root=0)
    if failure is not None:
        raise failure
    if message is not None:
        raise kind(message)
    return cast("Result", result)
