"""Studies that keep what they have seen in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class Remembering:
    """Keeps some attributes: numbers, texts, and lists and dictionaries of them with texts as keys."""

    remembered: ClassVar[tuple[str, ...]] = ()
    """The names of the attributes."""

    def memory(self) -> dict[str, Any]:
        """The attributes by name."""
        return {name: getattr(self, name) for name in self.remembered}

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Take the attributes from what `memory` returned.

        Args:
            memory: The attributes by name.
        """
        for name in self.remembered:
            setattr(self, name, memory[name])
