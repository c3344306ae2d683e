"""Progress of a sweep: bars on a terminal, plain lines in a batch log."""

import time as clock
from typing import TYPE_CHECKING, Self

from fem_models.results.sweeps import Point

if TYPE_CHECKING:
    from rich import progress
    from rich.console import Console

# Plain lines about points that run come after as many seconds without another line.
_SILENCE = 60.0


class SweepProgress:
    """Tells which points run, how far they are, and what became of each.

    Args:
        console: Where to report to; nowhere if None.
        total: The number of points.
        ended: How many of them had ended before.
    """

    def __init__(self, console: "Console | None", total: int, ended: int) -> None:
        self._console, self._total, self._ended = console, total, ended
        self._shares: dict[str, float] = {}
        self._last_line = clock.monotonic()
        self._bars: progress.Progress | None = None
        self._tasks: dict[str, progress.TaskID] = {}
        if ended:
            self._say(f"{ended} of {total} points have ended before")
        if console is not None and console.is_terminal:
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
            from rich.table import Column

            self._bars = Progress(
                TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True), markup=False),
                BarColumn(bar_width=20),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                console=console,
                expand=True,
            )
            self._all = self._bars.add_task("", total=total)
            self._bars.start()
        self._show()

    def reached(self, point: Point, share: float) -> None:
        """Report how far a point is.

        Args:
            point: The point.
            share: Of its time, from 0 to 1.
        """
        self._shares[point.name] = share
        if self._bars is not None:
            if point.name not in self._tasks:
                self._tasks[point.name] = self._bars.add_task(f"  {point.name}", total=1.0)
            self._bars.update(self._tasks[point.name], completed=share)
        self._show()
        if self._bars is None and clock.monotonic() - self._last_line > _SILENCE:
            running = ", ".join(f"{name} at {100 * share:.0f} %" for name, share in self._shares.items())
            self._say(f"{self._ended} of {self._total} points have ended; {running}")

    def ended(self, point: Point, line: str) -> None:
        """Report what became of a point.

        Args:
            point: The point.
            line: That, in words.
        """
        self._ended += 1
        self._shares.pop(point.name, None)
        if self._bars is not None and point.name in self._tasks:
            self._bars.remove_task(self._tasks.pop(point.name))
        self._show()
        self._say(f"point {point.number} of {self._total}, {point.name}: {line}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_reason: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _show(self) -> None:
        if self._bars is not None:
            done = self._ended + sum(self._shares.values())
            text = f"{self._ended} of {self._total} points"
            self._bars.update(self._all, completed=done, description=text)

    def _say(self, text: str) -> None:
        self._last_line = clock.monotonic()
        if self._console is not None:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
