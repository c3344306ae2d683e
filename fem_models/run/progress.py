"""Progress on rank 0: a bar on a terminal, plain lines in a batch log."""

import time as clock
from typing import TYPE_CHECKING, Literal, Protocol, Self

from fem_models.core.durations import duration
from fem_models.core.protocols import Row

if TYPE_CHECKING:
    from rich import progress
    from rich.console import Console

    from fem_models.run.clock import AdaptiveClock, Clock

# A plain line is due when both have passed since the last one, or when the run has been silent for long.
_SECONDS = 2.0
_SHARE = 0.05
_SILENCE = 60.0
# Shares of times have rounding errors.
_JUST = 1.0 - 1e-9

# Computations that are over before show nothing; plain lines come after as many seconds.
_PATIENCE = 2.0
_BETWEEN_LINES = 10.0


class Log(Protocol):
    """Takes lines for log.txt."""

    def __call__(self, *lines: str, level: Literal["debug", "info", "warning"] = "info") -> None:
        """Take lines.

        Args:
            lines: Without their ends.
            level: How much they matter.
        """


class ProgressReport:
    """Tells how far a run is: step, time, step size, energy, mass drift, Newton iterations, time left.

    Plain lines go to the log in any case, and to the console unless it is a terminal. There is a line for the
    first and the last step, and between them at most one per 5 % of the run and two seconds, at least one per
    minute.
    """

    def __init__(
        self,
        console: "Console | None",
        log: "Log",
        title: str,
        times: "Clock | AdaptiveClock",
    ) -> None:
        """Begin to report.

        Args:
            console: Where to report to; None on all ranks but one.
            log: Takes each plain line; those of steps between them are for debugging.
            title: What runs.
            times: Its steps; where their number is not known, the time says how far the run is.
        """
        self._console = console
        self._log = log
        self._times = times
        self._first_share: float | None = None
        self._begin = clock.perf_counter()
        self._last_line = -float("inf")
        self._last_share = 0.0
        self._bar: progress.Progress | None = None
        if console is not None and console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.table import Column

            # In 80 columns: the numbers are cut before the bar is.
            self._bar = Progress(
                TextColumn("{task.description}", table_column=Column(max_width=12, no_wrap=True)),
                BarColumn(bar_width=10),
                TextColumn("{task.fields[steps]}"),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[line]}", table_column=Column(ratio=1, no_wrap=True)),
                console=console,
                expand=True,
            )
            self._task = self._bar.add_task(title, total=1.0, line="", steps=self._count(0))
            self._bar.start()

    def _count(self, step: int) -> str:
        return f"{step}" if self._times.count is None else f"{step}/{self._times.count}"

    def step(self, row: Row, headline: Row, drift: float, last: bool) -> None:
        """Report a step.

        Args:
            row: Its row of series.csv.
            headline: What is told of the state.
            drift: Largest relative change of a mass so far.
            last: Whether the run ends here.
        """
        step, times = int(row["step"]), self._times
        share = (row["time"] - times.start) / (times.end - times.start)
        if self._first_share is None:
            self._first_share = share
        told = ", ".join(f"{name} = {value:.8g}" for name, value in headline.items())
        text = (
            f"t = {row['time']:.6g}, dt = {row['dt']:.3g}, {told}, mass drift = {drift:.1e}, "
            f"Newton = {row['newton']}"
        )
        if self._bar is not None:
            numbers = " ".join(f"{name[:1].upper()}={value:.6g}" for name, value in headline.items())
            short = (
                f"t={row['time']:.5g} dt={row['dt']:.3g} {numbers} drift={drift:.0e} Newton={row['newton']}"
            )
            self._bar.update(self._task, completed=share, line=short, steps=self._count(step))
        now = clock.perf_counter()
        silent = now - self._last_line
        due = silent >= _SECONDS and share - self._last_share >= _SHARE * _JUST
        line = f"step {self._count(step)}: {text}"
        if not (last or due or silent >= _SILENCE):
            self._log(line, level="debug")
            return
        done = share - self._first_share
        if done > 0.0 and not last:
            line += f", time left = {duration((now - self._begin) / done * (1.0 - share))}"
        self._last_line, self._last_share = now, share
        self._log(line)
        if self._bar is None and self._console is not None:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()


class LateProgress:
    """That a computation goes on, once it has taken a while: a bar on a terminal, else some lines.

    Args:
        console: Where to report to; None on all ranks but one.
        total: How many steps there are, if that is known.
    """

    def __init__(self, console: "Console | None", total: int | None = None) -> None:
        self._console, self._total = console, total
        self._begin = clock.perf_counter()
        self._last_line = -float("inf")
        self._bar: progress.Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_reason: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, what: str, line: str) -> None:
        """Report a step.

        Args:
            done: Number of steps so far.
            what: What was done, beside the bar.
            line: The same as a plain line.
        """
        seconds = clock.perf_counter() - self._begin
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=what)
        elif self._console is not None and seconds >= _PATIENCE:
            self._show(self._console, done, what, line, seconds)

    def _show(self, console: "Console", done: int, what: str, line: str, seconds: float) -> None:
        if console.is_terminal:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                ProgressColumn,
                TextColumn,
                TimeElapsedColumn,
            )

            count = [] if self._total is None else [MofNCompleteColumn()]
            columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(), *count]
            self._bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
            self._task = self._bar.add_task(what, total=self._total, completed=done)
            self._bar.start()
        elif seconds >= self._last_line + _BETWEEN_LINES:
            self._last_line = seconds
            console.print(f"{line} after {duration(seconds)}", markup=False, highlight=False, soft_wrap=True)
