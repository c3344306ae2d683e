"""The order in which compiled libraries are loaded, where DOLFINx comes from its wheel.

The wheel sets up its libraries when `dolfinx_solver` is imported, which must come before dolfinx, petsc4py
and slepc4py. With conda's or Spack's DOLFINx there is no such module, and none is needed.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_COMPILED = ("dolfinx", "petsc4py", "slepc4py")


class _WheelFirst:
    """Imports the wheel's module before the first of the compiled ones, and is gone after that."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> "ModuleSpec | None":
        if fullname in _COMPILED:
            sys.meta_path.remove(self)
            try:
                importlib.import_module("dolfinx_solver")
            except ModuleNotFoundError as error:
                if error.name != "dolfinx_solver":
                    raise
        return None


def load_wheel_first() -> None:
    """See to it that the wheel comes first, without loading anything now."""
    if not any(isinstance(finder, _WheelFirst) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WheelFirst())
