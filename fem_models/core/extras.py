"""Libraries that computing does without: a missing one is asked for by the name of its extra.

`pip install fem-models` installs what computing needs. The extra `mesh` adds gmsh, `plot` adds PyVista and
matplotlib, `run` adds what the command line needs, and `all` is these three. Such a library is imported where
it is used, with `require`.
"""

import importlib
import importlib.util
from types import ModuleType

from fem_models.core.errors import InputError


def require(module: str, *, extra: str, what: str) -> ModuleType:
    """Import a library that is not there in every installation.

    Args:
        module: Name of the module, as in an import statement.
        extra: The extra of fem-models that installs it.
        what: What needs it, in the plural, as the beginning of a sentence.

    Returns:
        The module.

    Raises:
        InputError: The library is not installed, or it is and cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise _unloadable(module, what, error) from error
        raise InputError(f"{what} need the extra {extra}: pip install 'fem-models[{extra}]'.") from error
    except (ImportError, OSError) as error:  # a library of the system is missing
        raise _unloadable(module, what, error) from error


def require_dolfinx() -> None:
    """Look whether DOLFINx is there, without loading it.

    Raises:
        InputError: It is not installed.
    """
    if importlib.util.find_spec("dolfinx") is None:
        raise InputError(
            "fem_models needs DOLFINx: install its wheel by pip install 'fem-models[wheel]', or take that of "
            "conda or Spack."
        )


def _unloadable(module: str, what: str, error: Exception) -> InputError:
    return InputError(f"{what} need {module}, which cannot be loaded ({str(error).rstrip('.')}).")
