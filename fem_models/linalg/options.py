"""PETSc options: the only place that touches the global options database.

Options count in this order: the command line (or whatever else is in the database), the run file's [solver]
table, the defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import petsctools
from petsc4py import PETSc

from fem_models.core.errors import InputError

Option = str | int | float | bool | None

# The entries of matrices are nodal volumes, small on small domains: PETSc's absolute tolerance for pivots
# would refuse them.
SMALLEST_PIVOT = 1e-300

# What PETSc calls where it reads options, and where it finds that they do not go together.
_READING = ("SetFromOptions()", "KSPSetUpNorms_Private()")


def managed(defaults: Mapping[str, Option], given: Mapping[str, Option]) -> petsctools.OptionsManager:
    """Options for one solver, inserted into the database only while it uses them.

    Args:
        defaults: Options without a leading dash.
        given: The user's options, which win over the defaults.
    """
    # PETSc's flags have no value: `snes_monitor = true` in a run file is the flag alone.
    flags = {key.lstrip("-"): None if value is True else value for key, value in given.items()}
    merged = {**defaults, **flags}
    # Without a prefix, the names on the command line are PETSc's own.
    return petsctools.OptionsManager(merged, options_prefix="")


@contextmanager
def refusals(what: str = "an option") -> Iterator[None]:
    """Turn what PETSc says against options into an `InputError`; its other errors pass.

    Args:
        what: What it refuses, for the message.

    Raises:
        InputError: PETSc refuses an option.
    """
    try:
        yield
    except PETSc.Error as error:
        if not any(name in str(error) for name in _READING):
            raise
        raise InputError(f"PETSc refuses {what}: {petsc_message(error)}.") from None


def petsc_message(error: Exception) -> str:
    """Return the sentence in an error of PETSc, without its call stack."""
    lines = [line.split("] ", maxsplit=1)[-1].strip() for line in str(error).splitlines()]
    text = [line for line in lines if line and not line.startswith("error code") and "() at /" not in line]
    return ". ".join(text) or str(error)
