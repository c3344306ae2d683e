"""The systems that run files can name, one file each."""

import importlib
import pkgutil

from fem_models.config.registry import load_plugins


def load_systems() -> None:
    """Import every module here, and those of other packages, so that their systems are registered."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    load_plugins()
