"""The simple domains, with their dimensions and the keys that describe them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """What is known of a domain before it is built.

    Attributes:
        dimension: Of its mesh; None where it is the number of `lengths`.
        keys: What describes it: `lower`, `upper`, `cells`, `h` for bricks, `center`, `radius`, `h` for balls,
            `lengths`, `cells`, `h` for tori.
    """

    dimension: int | None
    keys: tuple[str, ...]

    @property
    def is_round(self) -> bool:
        """Whether it has a centre and a radius."""
        return "radius" in self.keys


_BRICK, _ROUND = ("lower", "upper", "cells", "h"), ("center", "radius", "h")

DOMAINS = {
    "interval": Domain(1, _BRICK),
    "rectangle": Domain(2, _BRICK),
    "box": Domain(3, _BRICK),
    "disk": Domain(2, _ROUND),
    "ball": Domain(3, _ROUND),
    "torus": Domain(None, ("lengths", "cells", "h")),
    "space": Domain(3, _ROUND),
}
"""The domains by name; "torus" is a brick whose opposite sides are one,
"space" is a ball inside a shell that stands for the rest of space."""
