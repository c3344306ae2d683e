"""The fields of a gradient flow and their metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from ufl.core.expr import Expr

from fem_models.core.errors import InputError
from fem_models.energies import Term

State = npt.NDArray[np.float64]
"""Nodal values, shape (nodes of this rank with its ghosts, species); ghost rows are up to date."""

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


class Geometry(Protocol):
    """Weights of nodes, and sizes of the mesh."""

    @property
    def volumes(self) -> npt.NDArray[np.float64]:
        """The weight of each node, ghosts included, shape (nodes,); 0 where no densities live."""

    @property
    def h_min(self) -> float:
        """The shortest edge of the mesh."""

    @property
    def h_max(self) -> float:
        """The longest edge of the mesh."""

    @property
    def negative_share(self) -> float:
        """The share of edges with a negative coefficient, where coefficients of edges carry the fluxes."""


def check_terms(species: Sequence[Species], terms: Iterable[Term], x: Expr) -> None:
    """Refuse terms of an energy that do not go with the species.

    Args:
        species: The species.
        terms: The terms.
        x: The coordinates, as UFL.

    Raises:
        InputError: Two species with one name, a term of an unknown species, or a part of an energy that does
            not go with the metric of its species.
    """
    names = [s.name for s in species]
    if len(set(names)) < len(names):
        raise InputError(f"The species {', '.join(names)} need names of their own: two are the same.")
    for term in terms:
        for name in term.of:
            if name not in names:
                raise InputError(
                    f"The energy term {term.name} is of {name!r}, which is not a species: "
                    f"they are {', '.join(names)}."
                )
        metrics = {s.name: s.metric for s in species}
        for name in term.entropy:
            if metrics[name] != "wasserstein":
                raise InputError(
                    f"The entropy {term.name} needs the Wasserstein metric, but that of {name} is "
                    f"{metrics[name]}."
                )
        for name in term.stiffness(x):
            if metrics[name] == "wasserstein":
                raise InputError(
                    f"The Dirichlet energy {term.name} needs a field of the L² metric or a static one, "
                    f"but {name} is a density (its flow would be of fourth order)."
                )
