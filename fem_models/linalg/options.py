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

# The prefixes of solvers within others, see `fem_models.linalg.krylov`.
INNER_PREFIXES = (
    "static_",
    "log_mass_",
    "geodesic_",
    "steady_",
    "nonlocal_",
    "inf_sup_",
    "transport_",
    "mass_",
    "fluxes_",
    "projection_",
    "follow_mass_",
    "follow_transport_",
    "saddle_",
    "perturbed_",
)


def managed(
    defaults: Mapping[str, Option], given: Mapping[str, Option], prefix: str = ""
) -> petsctools.OptionsManager:
    """Options for one solver, inserted into the database only while it uses them.

    Args:
        defaults: Options without a leading dash and without the prefix.
        given: The user's options with the prefix, which win over the defaults; those of other solvers are
            left out.
        prefix: What the solver's names on the command line start with; "" for PETSc's own names.

    Returns:
        The options, without the prefix.
    """
    # PETSc's flags have no value: `snes_monitor = true` in a run file is the flag alone.
    flags = {key.lstrip("-"): None if value is True else value for key, value in given.items()}
    others = tuple(inner for inner in INNER_PREFIXES if inner != prefix)
    own = {
        key.removeprefix(prefix): value
        for key, value in flags.items()
        if key.startswith(prefix) and not key.startswith(others)
    }
    return petsctools.OptionsManager({**defaults, **own}, options_prefix=prefix)


@contextmanager
def inner_options(given: Mapping[str, Option]) -> Iterator[None]:
    """Let the solvers that are made within a block see the options with a prefix of theirs.

    For solvers that are made far from where the user's options are known; `managed` is the way elsewhere.

    Args:
        given: The user's options; those without an inner prefix are left out.

    Returns:
        A context.
    """
    database = PETSc.Options()
    known = database.getAll()
    new = [key for key in given if key.startswith(INNER_PREFIXES) and key not in known]
    for key in new:
        database.setValue(key, None if given[key] is True else given[key])
    try:
        yield
    finally:
        for key in new:
            database.delValue(key)


@contextmanager
def refusals(what: str = "an option") -> Iterator[None]:
    """Turn what PETSc says against options into an `InputError`; its other errors pass.

    Args:
        what: What it refuses, for the message.

    Returns:
        A context.

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
    """Return the sentence in an error of PETSc, without its call stack.

    Args:
        error: An error of PETSc.

    Returns:
        The sentence.
    """
    lines = [line.split("] ", maxsplit=1)[-1].strip() for line in str(error).splitlines()]
    text = [line for line in lines if line and not line.startswith("error code") and "() at /" not in line]
    return ". ".join(text) or str(error)
