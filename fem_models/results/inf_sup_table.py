"""What `fem-models lbb` is asked for and finds: a row for each pair, condition at the boundary and mesh."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Self

from fem_models.core.errors import InputError
from fem_models.expressions import Expression
from fem_models.linearised_jko.elements import PAIRS, pair_named
from fem_models.linearised_jko.inf_sup import Boundary, time_integration
from fem_models.meshes.domain_names import DOMAINS

COORDINATES = ("x", "y", "z")
_BOUNDED = (name for name in DOMAINS if name not in ("space", "torus"))
DIMENSION = {name: dimension for name in _BOUNDED if (dimension := DOMAINS[name].dimension)}
ROUND = tuple(name for name in DIMENSION if DOMAINS[name].is_round)

# Where the constant falls faster than this power of h, it is not bounded away from zero on these meshes.
_DECAY = 0.5


@dataclass(frozen=True)
class InfSupRequest:
    """What to compute; all quantities are dimensionless.

    Attributes:
        pairs: Names of element pairs; empty for all.
        cells: Cells across the domain, one number for each mesh.
        domain: The unit interval, square (`rectangle`) or cube (`box`), or the disk or ball of radius 1.
        weight: q, an expression in the coordinates; empty for 0.05 + exp(-20 r²), r the distance from the
            centre of the domain: from 0.05 to 1.05.
        slabs: S.
        transport: φ of the transport h∇φ, an expression in the coordinates.
        duration: Δt.
    """

    pairs: tuple[str, ...] = ()
    cells: tuple[int, ...] = (4, 8, 12, 16)
    domain: str = "rectangle"
    weight: str = ""
    slabs: int = 1
    transport: str = "0"
    duration: float = 1.0

    def resolved(self) -> Self:
        """The request with all defaults filled in and its meshes from coarse to fine.

        Raises:
            InputError: A pair or a domain that is not known, no mesh, no slabs, or a duration or a number of
                cells that is not positive.
        """
        if self.domain not in DIMENSION:
            raise InputError(f"The domain must be one of {', '.join(DIMENSION)}, not {self.domain!r}.")
        if not self.cells or min(self.cells) < 1:
            raise InputError("The cells across the domain must be whole numbers above 0, as in 4,8,12.")
        time_integration(self.duration, self.slabs)
        return replace(
            self,
            pairs=tuple(pair_named(name).name for name in dict.fromkeys(self.pairs or PAIRS)),
            cells=tuple(sorted(set(self.cells))),
            weight=self.weight or self._default_weight(),
        )

    @property
    def moves(self) -> bool:
        """Whether there is a transport: whether φ depends on the coordinates."""
        return bool(Expression(self.transport, COORDINATES, where="--transport").names)

    def _default_weight(self) -> str:
        distance = "{}**2" if self.domain in ROUND else "({} - 0.5)**2"
        squares = [distance.format(name) for name in COORDINATES[: DIMENSION[self.domain]]]
        return f"0.05 + exp(-20*({' + '.join(squares)}))"


@dataclass(frozen=True)
class InfSupRow:
    """A row of lbb.csv.

    Attributes:
        pair: Name of the pair.
        boundary: "no-flux", or "free" where the normal component of Raviart–Thomas fluxes is not held.
        cells: Cells across the domain.
        h: The longest edge.
        unknowns: Number of unknowns of the potentials.
        beta: The constant of fluxes alone.
        constraint: The constant of the whole constraint; not a number where the boundary is free.
    """

    pair: str
    boundary: Boundary
    cells: int
    h: float
    unknowns: int
    beta: float
    constraint: float

    @property
    def label(self) -> str:
        """The pair, and the condition at the boundary where it is not the usual one."""
        return self.pair if self.boundary == "no-flux" else f"{self.pair}, {self.boundary} boundary"


def by_label(rows: Sequence[InfSupRow]) -> list[tuple[str, list[InfSupRow]]]:
    """Rows of one pair and boundary together.

    Args:
        rows: By pair, boundary and mesh.

    Returns:
        For each pair and boundary the label and the rows from coarse to fine.
    """
    return [(label, list(group)) for label, group in groupby(rows, key=lambda row: row.label)]


def verdict(rows: Sequence[InfSupRow]) -> str:
    """What the constants of fluxes alone of a pair do on a sequence of meshes.

    Where the constants do not fall, or there is but one mesh, what is known of the pair counts.

    Args:
        rows: Of one pair and boundary, from coarse to fine.

    Returns:
        "stable", or how they fail, as the end of a sentence.
    """
    first, last = rows[0], rows[-1]
    if last.beta == 0.0:
        return "is zero"
    order = math.log(first.beta / last.beta) / math.log(first.h / last.h) if first.h > last.h else 0.0
    if order >= _DECAY:
        return f"falls like h^{order:.2f}"
    return "stable" if PAIRS[first.pair].stable else "tends to zero with h"
