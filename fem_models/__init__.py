"""Finite-element gradient flows in the Wasserstein metric, on DOLFINx, PETSc and MPI."""

import contextlib
import os

# Each MPI rank works on one core; NumPy reads this when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The DOLFINx wheel sets up its libraries when this module is imported; it must come before
# dolfinx and petsc4py. With conda's or Spack's DOLFINx it does not exist and is not needed.
with contextlib.suppress(ImportError):
    import dolfinx_solver  # noqa: F401

from fem_models._version import __version__

__all__ = ["__version__"]
