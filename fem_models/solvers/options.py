"""PETSc options: the only place that touches the global options database.

Options count in this order: the command line (or whatever else is in the database), the run file's [solver]
table, the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping

import petsctools

Option = str | int | float | bool | None

# The entries of matrices are nodal volumes, small on small domains: PETSc's absolute tolerance for pivots
# would refuse them.
SMALLEST_PIVOT = 1e-300


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
