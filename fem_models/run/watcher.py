"""What goes along with the steps of a run: its studies, its files, its progress, and what follows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fem_models._version import __version__
from fem_models.config import io as config_io
from fem_models.config.problem import Companions
from fem_models.core.errors import InputError
from fem_models.core.protocols import ExplicitTime, Remembers, Row, Step, Study
from fem_models.results import layout
from fem_models.results.writer import RunOutput
from fem_models.run.checkpoints import Begun, Keeper
from fem_models.run.diagnostics import Diagnostics
from fem_models.run.jobs import Job
from fem_models.run.loop import Stop
from fem_models.run.phases import Phases
from fem_models.run.progress import ProgressReport
from fem_models.run.step_control import AdaptiveSteps, stepping

if TYPE_CHECKING:
    from dolfinx.fem import Function
    from rich.console import Console

# Seconds of a run after which what follows it is announced.
_LONG = 2.0


class Watcher[S]:
    """Writes what there is to write of a run, and measures the time that takes. Collective.

    Args:
        job: The run.
        console: Where rank 0 reports the progress; nowhere if None.
        phases: Counts the time.

    Attributes:
        diagnostics: Looks at every state.
        stepping: Takes the steps.
        output: The files.
        progress: Tells how far the run is.
        phases: Where the time went.
    """

    def __init__(self, job: Job, console: Console | None, phases: Phases) -> None:
        self._job, self.phases, self._console = job, phases, console
        self._closing_warnings: Sequence[str] = ()
        with phases.measured("setup"):
            first = self._begin(job)
        with phases.measured("tables"):
            self._open(job)
        if job.begun is None:
            self._report(first, False)

    def _begin(self, job: Job) -> dict[str, Row]:
        """Make what goes along with the run; returns the first rows of the studies."""
        problem, console, begun = job.problem, self._console, job.begun
        if console is not None and problem.prepares:
            console.print(f"{job.title}: computing {problem.prepares}", markup=False, highlight=False)
        self._companions: Companions[S] = problem.companions()
        # Another run on the mesh may have left its time there.
        if begun is None and isinstance(problem.model, ExplicitTime):
            problem.model.move_to(job.clock.start)
        self.diagnostics = Diagnostics(problem.model, problem.scheme, problem.initial, job.clock.start)
        self.stepping = stepping(problem, job.config.time, job.clock, self.diagnostics)
        if begun is None:
            return self._studied(problem.initial, None)
        self._remember(begun)
        return {}

    def _open(self, job: Job) -> None:
        """Open the files of the run."""
        problem, begun = job.problem, job.begun
        run_file, remark = config_io.dump(job.config), self._companions.remark
        until = None if begun is None else begun.time
        table = job.config.output
        self.output = RunOutput(
            problem.model.comm, job.directory, run_file, remark, until, level=table.log, vtx=table.vtx
        )
        self._keeper = Keeper(problem, job.config, job.directory)
        self.output.log(*_heading(job))
        for name, rows in problem.tables.items() if begun is None else ():
            for row in rows:
                self.output.row(name, row)
        self.progress = ProgressReport(self._console, self.output.log, job.title, job.clock)

    def _remember(self, begun: Begun[S]) -> None:
        """Put step control, diagnostics and studies to where they were."""
        try:
            self.stepping.restore(begun.control)
            self.diagnostics.restore(begun.facts["diagnostics"])
            for study, memory in zip(self._companions.studies, begun.facts["studies"], strict=True):
                if isinstance(study, Remembers):
                    study.restore(memory)
        # Of a version that keeps other facts.
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError(
                f"The checkpoint of {self._job.directory} has not the facts that this version needs to go "
                "on: run its run file again."
            ) from None

    @property
    def _studies(self) -> Sequence[Study[S]]:
        """Those of the problem, and that of step control."""
        controls = [self.stepping] if isinstance(self.stepping, AdaptiveSteps) else []
        return [*self._companions.studies, *controls]

    def keep(self, number: int, at: float, state: S, last: bool) -> None:
        """Keep a checkpoint where one is due.

        Args:
            number: Of the last step.
            at: Its end (dimensionless).
            state: The state there.
            last: Whether the run ends here.
        """
        with self.phases.measured("checkpoints"):
            if last or self._keeper.due(number):
                self.output.settle()
                control = self.stepping.memory()
                self._keeper.keep(number, at, state, control, self.diagnostics, self._companions.studies)

    def _studied(self, state: S, step: Step[S] | None) -> dict[str, Row]:
        """The rows of the studies by table; studies with one table share its rows."""
        rows: dict[str, Row] = {}
        for study in self._studies:
            if found := study.look(self.diagnostics.row, state, step):
                rows[study.table] = rows.get(study.table, {}) | found
        return rows

    def _report(self, rows: Mapping[str, Row], last: bool) -> None:
        diagnostics = self.diagnostics
        with self.phases.measured("tables"):
            self.output.row(layout.SERIES, diagnostics.row)
            for name, row in rows.items():
                self.output.row(name, row)
            self.progress.step(diagnostics.row, diagnostics.headline, diagnostics.drift, last)
            self.output.check()

    def fields(self, at: float, state: S) -> None:
        """Write the fields of a state.

        Args:
            at: Of the state (dimensionless).
            state: The state.
        """
        model = self._job.problem.model

        def functions() -> list[Function[Any]]:
            return [*model.functions(state).values(), *self._companions.beside().values()]

        with self.phases.measured("fields"):
            self.output.fields(at, functions)

    def step(self, step: Step[S], last: bool) -> None:
        """Write the rows of a step.

        Args:
            step: What came of it.
            last: Whether the run ends here.
        """
        with self.phases.measured("studies"):
            rows = self._studied(step.state, step)
        self._report(rows, last)

    def close(self, stop: Stop[S], seconds: float) -> None:
        """Compute and write what follows a run: the steady state, where it is wanted.

        Args:
            stop: Where and why the run stopped.
            seconds: That it took so far.
        """
        if self._companions.closing is None:
            return
        if self._console is not None and seconds > _LONG and stop.reason in ("end", "steady"):
            self._console.print(
                f"{self._job.title}: computing the steady state; [output] steady = false leaves it out",
                markup=False,
                highlight=False,
            )
        with self.phases.measured("steady"):
            closing = self._companions.closing(stop.state, stop.reason, seconds)
        self._closing_warnings = closing.warnings
        if closing.functions:
            with self.phases.measured("fields"):
                self.output.steady(list(closing.functions.values()))

    def warnings(self) -> list[str]:
        """What the run has to say in the end."""
        studies = [text for study in self._studies for text in study.warnings()]
        known = [*self._job.notes, *self._companions.warnings, *self._closing_warnings]
        return [*known, *self.diagnostics.warnings(), *studies]

    def summary(self, state: S) -> dict[str, Any]:
        """What the diagnostics and the studies have found.

        Args:
            state: The last state.

        Returns:
            Entries of summary.json.
        """
        summary = self.diagnostics.summary(state)
        for study in self._studies:
            for key, entry in study.summary().items():
                merged = isinstance(entry, dict) and isinstance(summary.get(key), dict)
                summary[key] = summary[key] | entry if merged else entry
        return summary


def _heading(job: Job) -> list[str]:
    problem, clock = job.problem, job.clock
    steps = "steps by their errors" if clock.count is None else f"{clock.count} steps"
    went_on = [] if job.begun is None else [f"going on from t = {job.begun.time:g}, step {job.begun.number}"]
    return [
        f"fem-models {__version__}, {problem.model.comm.size} ranks",
        *went_on,
        f"{job.title}: {problem.title}, {steps} from t = {clock.start:g} to t = {clock.end:g}",
        problem.model.description(),
        *problem.notes,
    ]
