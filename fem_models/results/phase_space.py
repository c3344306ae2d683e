"""The distribution f(x, v) of a kinetic equation in one dimension, from the modes that a run has written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import override

import numpy as np
import numpy.typing as npt
from numpy.polynomial.hermite_e import hermeval

from fem_models.config.systems.bgk import Kinetic
from fem_models.kinetic.bgk.modes import MODE
from fem_models.results.fields import Snapshot, WrittenFields
from fem_models.results.run_data import RunData

_Array = npt.NDArray[np.float64]

DISTRIBUTION = "f"
"""The name of the field."""
FASTEST = 4.0
"""Velocities are shown from minus this to this: 6e-5 of a Maxwellian are beyond them."""
_VELOCITIES = 81


class PhaseSpace(WrittenFields):
    """f = M(v) Σ h_n ψ_n(v) on the rectangle of x and v, at the times of written fields.

    Args:
        fields: Of one dimension, with ρ = h_0, j = h_1, E = √2 h_2 and the modes from the third on.
    """

    def __init__(self, fields: WrittenFields) -> None:
        super().__init__(fields.path, fields.species)
        self.species = (DISTRIBUTION,)
        self._fields = fields
        self._line: Snapshot | None = None
        self._mesh: tuple[_Array, npt.NDArray[np.int64]] | None = None

    @override
    def at(self, time: float) -> Snapshot:
        line = self._fields.at(time)
        velocities = np.linspace(-FASTEST, FASTEST, _VELOCITIES)
        factors = [1.0 / math.sqrt(math.factorial(n)) for n in range(len(line.values))]
        modes = np.array([factor * mode for factor, mode in zip(factors, _modes(line), strict=False)])
        maxwellian = np.exp(-0.5 * velocities**2) / math.sqrt(2.0 * math.pi)
        f = np.asarray(hermeval(velocities, modes)) * maxwellian
        points, cells = self._rectangle(line, velocities)
        return Snapshot(points, cells, {DISTRIBUTION: f.ravel()})

    def _rectangle(self, line: Snapshot, velocities: _Array) -> tuple[_Array, npt.NDArray[np.int64]]:
        """Points and triangles; the same ones for all times with one mesh."""
        if self._mesh is None or self._line is None or line.cells is not self._line.cells:
            count = len(velocities)
            points = np.zeros((len(line.points) * count, 3))
            points[:, 0] = np.repeat(line.points[:, 0], count)
            points[:, 1] = np.tile(velocities, len(line.points))
            low, high = (line.cells[:, [k]] * count + np.arange(count - 1) for k in (0, 1))
            corners = (low, high, low + 1), (high, high + 1, low + 1)
            halves = [np.stack(half, axis=-1).reshape(-1, 3) for half in corners]
            self._line, self._mesh = line, (points, np.concatenate(halves))
        return self._mesh


class PhaseSpaceRun(RunData):
    """A run whose field is its distribution in phase space."""

    @cached_property
    @override
    def fields(self) -> PhaseSpace:
        """The distribution at the written times.

        Raises:
            InputError: There are no fields.
        """
        return PhaseSpace(super().fields)


def has_phase_space(run: RunData) -> bool:
    """Whether the distribution of a run can be drawn.

    Args:
        run: The run.

    Returns:
        Whether it is a kinetic equation in one dimension.
    """
    return isinstance(run.config.system, Kinetic) and run.fields.first.dimension == 1


def _modes(line: Snapshot) -> Iterator[_Array]:
    """The modes h_0, h_1, … at the points."""
    yield line["rho"]
    yield line["j"]
    if "E" in line.values:
        yield line["E"] / math.sqrt(2.0)
    n = 3
    while f"{MODE}{n}" in line.values:
        yield line[f"{MODE}{n}"]
        n += 1
