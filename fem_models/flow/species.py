"""The fields of a gradient flow and their metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fem_models.core.errors import InputError

Metric = Literal["wasserstein", "l2", "static"]

METRICS: tuple[Metric, ...] = ("wasserstein", "l2", "static")


@dataclass(frozen=True)
class Species:
    """A field and its metric.

    Args:
        name: The name of the field.
        metric: "wasserstein" (a density, with mobility ρ), "l2", or "static" (a field in equilibrium with the
            others at every moment).

    Raises:
        InputError: A name that is no text, or another metric.
    """

    name: str = "rho"
    metric: Metric = "wasserstein"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InputError(f"The name of a species must be a text, not {self.name!r}.")
        if self.metric not in METRICS:
            raise InputError(
                f"The metric of {self.name} must be one of {', '.join(METRICS)}, not {self.metric!r}."
            )
