"""PETSc options: the only place that touches the global options database.

Options count in this order: the command line (or whatever else is in the database), the run file's [solver]
table, the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import petsctools
from petsc4py import PETSc

Option = str | int | float | bool | None


def managed(defaults: Mapping[str, Option], given: Mapping[str, Option]) -> petsctools.OptionsManager:
    """Options for one solver, inserted into the database only while it uses them.

    Args:
        defaults: Options without a leading dash.
        given: The user's options, which win over the defaults.
    """
    merged = {**defaults, **{key.lstrip("-"): value for key, value in given.items()}}
    # Without a prefix, the names on the command line are PETSc's own.
    return petsctools.OptionsManager(merged, options_prefix="")


def set_global(arguments: Sequence[str]) -> None:
    """Put command-line arguments such as ["-snes_monitor", "-ksp_rtol", "1e-8"] into the database."""
    options = PETSc.Options()
    key = None
    for argument in arguments:
        if argument.startswith("-") and not _is_number(argument):
            key = argument.lstrip("-")
            options.setValue(key, None)
        elif key is not None:
            options.setValue(key, argument)
            key = None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
