"""What a run file can name: systems, energy terms, schemes and figures, each registered where it is.

A module of the project's own in `fem_models.config.systems` is found by itself. One of another package is
found by its entry point in the group "fem_models", or registers when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points

from fem_models.core.errors import InputError

GROUP = "fem_models"


class Registry[T](Mapping[str, T]):
    """Entries by name, in the order in which they came.

    Args:
        kind: What an entry is, for messages.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._entries: dict[str, T] = {}
        self._watchers: list[Callable[[], None]] = []

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, name: str, entry: T) -> None:
        """Register an entry.

        Args:
            name: As run files have it.
            entry: What it stands for.

        Raises:
            InputError: The name is taken.
        """
        if name in self._entries:
            raise InputError(f"A {self._kind} called {name!r} is registered already; choose another name.")
        self._entries[name] = entry
        for watcher in self._watchers:
            watcher()

    def remove(self, name: str) -> None:
        """Take an entry out again.

        Args:
            name: Of the entry.
        """
        del self._entries[name]
        for watcher in self._watchers:
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call a function after each change, and now.

        Args:
            watcher: It takes no arguments.
        """
        self._watchers.append(watcher)
        watcher()


def load_plugins() -> None:
    """Import the modules that other packages have under the entry points of the group "fem_models"."""
    for point in entry_points(group=GROUP):
        point.load()
