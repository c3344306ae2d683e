"""What a run ran on: versions of the libraries, and the memory of the ranks."""

from __future__ import annotations

import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version

from mpi4py import MPI

# Packages whose versions matter for numbers, beside DOLFINx, whose own name depends on where it is from.
_PACKAGES = ("fenics-basix", "fenics-ffcx", "fenics-ufl", "numpy", "scipy", "numba", "mpi4py", "petsc4py")


def versions() -> dict[str, str]:
    """The versions of the stack, by name.

    Returns:
        Of Python, PETSc, SLEPc and MPI, and of the Python packages that are installed.
    """
    import dolfinx
    from petsc4py import PETSc

    found = {"python": platform.python_version()}
    found["dolfinx"] = dolfinx.__version__
    found["petsc"] = ".".join(map(str, PETSc.Sys.getVersion()))
    found["mpi"] = MPI.Get_library_version().replace("\0", "").split("\n")[0].strip()
    for name in _PACKAGES:
        try:
            found[name.removeprefix("fenics-")] = version(name)
        except PackageNotFoundError:
            continue
    return found


def memory(comm: MPI.Comm) -> dict[str, float]:
    """The largest memory that the ranks had so far. Collective.

    Args:
        comm: The ranks.

    Returns:
        In megabytes (10⁶ bytes): `largest` and `smallest` of a rank, and the `sum` of all.
    """
    # Linux counts in kibibytes, macOS in bytes.
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return {
        "largest": comm.allreduce(own, op=MPI.MAX),
        "smallest": comm.allreduce(own, op=MPI.MIN),
        "sum": comm.allreduce(own, op=MPI.SUM),
    }
