"""What a step adds to the error, from the states before it or from the same step in two halves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fem_models.core.protocols import KnownError, Model, Scheme
from fem_models.run.stepping import Control

_Packed = Mapping[str, npt.NDArray[np.float64]]


class History[S]:
    """The last states of a run, from whose divided differences the local errors of its scheme follow.

    A step τ to u₁ of a scheme of order p adds C τ^{p+1} (p+1)! [u₁, u₀, …, u_{-p}], with the divided
    difference of the p + 2 last states, and C of `fem_models.core.protocols.KnownError`.

    Args:
        model: Whose states they are.
        scheme: What takes the steps.
    """

    def __init__(self, model: Model[S], scheme: Scheme[S]) -> None:
        self._model = model
        self._known = scheme if isinstance(scheme, KnownError) else None
        self._states: list[_Packed] = []
        self._steps: list[float] = []

    @property
    def suffices(self) -> bool:
        """Whether there are as many states as the error of the next step needs."""
        return self._known is not None and len(self._states) > self._known.order

    def add(self, state: S, step: float) -> None:
        """Take note of a state.

        Args:
            state: The state.
            step: The size of the step that led to it; it does not matter for the first one.
        """
        if self._known is None:
            return
        most = self._known.order + 1
        self._states = [self._model.pack(state), *self._states][:most]
        self._steps = [step, *self._steps][: most - 1]

    def error(self, state: S, step: float) -> float:
        """The error that a step adds, relative to its state. Collective.

        Args:
            state: Where the step led to, from the last state.
            step: Its size (dimensionless).

        Returns:
            The size by `Model.change`, dimensionless.
        """
        assert self._known is not None
        steps = [step, *self._steps[: self._known.order]]
        weights = _difference(steps)
        order = self._known.order
        factor = self._known.error_constant(steps) * math.factorial(order + 1) * step ** (order + 1)
        new = self._model.pack(state)
        better = {}
        for name, values in new.items():
            error = weights[0] * values
            for weight, earlier in zip(weights[1:], self._states, strict=True):
                error += weight * earlier[name]
            better[name] = values + factor * error
        return self._model.change(self._model.unpack(better), state)

    def memory(self) -> Control:
        """What it needs to go on."""
        return Control({"steps": self._steps}, tuple(self._states))

    def restore(self, memory: Control) -> None:
        """Go on from what `memory` returned.

        Args:
            memory: Of the same model and scheme.
        """
        self._states, self._steps = list(memory.states), list(memory.facts["steps"])


def _difference(steps: Sequence[float]) -> list[float]:
    """The weights of values in their divided difference, the latest value first.

    Args:
        steps: Between the values, the latest first.
    """
    times = [0.0]
    for step in steps:
        times.append(times[-1] - step)
    return [1.0 / math.prod(a - b for b in times if b != a) for a in times]
