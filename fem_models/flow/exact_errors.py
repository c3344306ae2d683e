"""Errors against densities that are known exactly.

Norms are nodal: with the nodal volumes m_i and the exact density ρ,

    l1 = Σ_i m_i |ρ_i - ρ(x_i)|     l2 = (Σ_i m_i |ρ_i - ρ(x_i)|²)^½     linf = max_i |ρ_i - ρ(x_i)|

at the last time, absolute; `linf_l1` is the largest l1 of all steps (the initial state does not count).
Everything is dimensionless.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from fem_models.core.protocols import Row, Step
from fem_models.core.remembering import Remembering
from fem_models.expressions import Expression
from fem_models.flow.nodal_fields import NodalFields
from fem_models.flow.species import State


class ExactErrors(Remembering):
    """Follows the errors of a run. Collective.

    Args:
        flow: The flow.
        exact: Exact densities by species, expressions in the coordinates and t.
    """

    table = ""
    remembered = ("_errors",)

    def __init__(self, flow: NodalFields, exact: Mapping[str, Expression]) -> None:
        self._flow, self._exact = flow, exact
        # Contiguous by coordinate: expressions run several times faster on it.
        self._points = np.ascontiguousarray(flow.points[: flow.owned].T)
        self._errors: dict[str, dict[str, float]] = {}

    def look(self, row: Row, state: State, step: Step[State] | None) -> Row:
        """Measure the errors of a state; there are no columns.

        Args:
            row: With the time.
            state: Shape (nodes, species).
            step: None for the first state, whose error does not count.

        Returns:
            No row.
        """
        for name, expression in self._exact.items() if step else ():
            exact = expression.numpy(self._points, t=row["time"])
            computed = state[: self._flow.owned, self._flow.names.index(name)]
            error = self._norms(np.abs(computed - exact))
            so_far = self._errors.get(name, {}).get("linf_l1", 0.0)
            self._errors[name] = error | {"linf_l1": max(so_far, error["l1"])}
        return {}

    def _norms(self, size: npt.NDArray[np.float64]) -> dict[str, float]:
        """Nodal norms of the absolute errors at this rank's own nodes."""
        flow = self._flow
        volumes = flow.geometry.volumes[: flow.owned]
        l1, squares = flow.comm.allreduce(np.array([volumes @ size, volumes @ size**2]))
        linf = flow.comm.allreduce(float(size.max(initial=0.0)), op=MPI.MAX)
        return {"l1": float(l1), "l2": math.sqrt(max(0.0, squares)), "linf": linf}

    def summary(self) -> Mapping[str, Any]:
        """The entry `error`: by species where there are several, directly where there is one."""
        if not self._errors:
            return {}
        single = len(self._flow.names) == 1
        return {"error": self._errors[self._flow.names[0]] if single else self._errors}

    def warnings(self) -> Sequence[str]:
        """None: how large an error may be is not known here."""
        return []
