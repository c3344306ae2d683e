"""The time t in energies that depend on it explicitly."""

from __future__ import annotations

import numpy as np
from dolfinx import fem
from ufl.core.expr import Expr
from ufl.domain import extract_unique_domain

# Where a domain keeps its time: both go together when nothing else refers to them.
_ATTRIBUTE = "_fem_models_time"


class Time(fem.Constant):
    """The time t of a mesh, a constant of DOLFINx that runs set to the end of each step (dimensionless)."""


def time_on(x: Expr) -> Time:
    """The time of a mesh, one and the same for all energies on it.

    Args:
        x: The coordinates of the mesh, a UFL vector.

    Returns:
        The time, 0 until it is set.
    """
    domain = extract_unique_domain(x)
    found: Time | None = getattr(domain, _ATTRIBUTE, None)
    if found is None:
        found = Time(domain, np.float64(0.0))
        setattr(domain, _ATTRIBUTE, found)
    return found
