"""The systems that run files can name, one file each; every module here is found by itself."""

import importlib
import pkgutil

from fem_models.config.registry import load_plugins

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
load_plugins()
