"""Writing a run directory while the run goes on: what is written is complete at any moment.

Files other than the fields are written on rank 0; the fields by all ranks.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from dolfinx.fem import Function
from dolfinx.io import VTKFile
from mpi4py import MPI

from fem_models.config.io import dump
from fem_models.core.parallel import on_rank_zero
from fem_models.flow.gradient_flow import State
from fem_models.mesh.parts import Part
from fem_models.results import layout
from fem_models.results.tables import Row, plain
from fem_models.run.build import Problem, Values


class RunOutput:
    """The files of one run. Collective.

    Attributes:
        directory: The run directory.
    """

    def __init__(self, problem: Problem, directory: Path, steady: State | None) -> None:
        """Make the directory, replacing the files of an earlier run, and write run.toml.

        Args:
            problem: The run.
            directory: The run directory, which `layout.check_free` has let pass.
            steady: The steady state, where it is known.

        Raises:
            InputError: The directory cannot be made.
        """
        self.directory = directory
        self._flow = problem.flow
        self._comm: MPI.Comm = problem.flow.comm
        self._tables: dict[str, TextIOWrapper] = {}
        self._log: TextIOWrapper | None = None
        self._vtk: VTKFile | None = None
        self._times: list[float] = []
        flow = problem.flow
        # The shell around densities in the whole space is no place to look at: its coordinates are not real.
        self._part = None if flow.cells is None else Part(flow.space, flow.cells)
        self._static = list(self._static_fields(problem, steady))
        on_rank_zero(self._comm, lambda: self._begin(dump(problem.config)))

    def _begin(self, run_file: str) -> None:
        layout.make(self.directory)
        (self.directory / layout.RUN_FILE).write_text(run_file, encoding="utf-8")
        self._log = (self.directory / layout.LOG).open("w", encoding="utf-8", buffering=1)

    def _static_fields(self, problem: Problem, steady: State | None) -> list[Function]:
        """The fields that do not change, as functions under the names they are written with."""
        found = []
        found += [self._function(values, name) for name, values in problem.potentials.items()]
        if steady is not None:
            found += [
                self._function(steady[:, s], f"{name}_steady") for s, name in enumerate(self._flow.names)
            ]
        return found

    def _function(self, values: Values, name: str) -> Function:
        """Nodal values of shape (nodes,) as a function; a flow makes them of its species only."""
        state = values[:, None].repeat(len(self._flow.names), axis=1)
        function = self._flow.functions(state)[self._flow.names[0]]
        function.name = name
        return function

    def log(self, *lines: str) -> None:
        """Write lines to log.txt."""
        if self._log is not None:
            self._log.writelines(f"{line}\n" for line in lines)

    def row(self, name: str, row: Row) -> None:
        """Write a row of a table such as series.csv, after the header where it is the first.

        Args:
            name: The file, one of `layout`.
            row: Its columns; nothing is written where there are none.
        """
        if self._comm.rank != 0 or not row:
            return
        first = name not in self._tables
        if first:
            file = (self.directory / name).open("w", encoding="utf-8", newline="", buffering=1)
            self._tables[name] = file
        writer = csv.writer(self._tables[name], lineterminator="\n")
        if first:
            writer.writerow(row)
        writer.writerow(row.values())

    def fields(self, time: float, state: State) -> None:
        """Write the state to fields.pvd, unless that of this time is there.

        Args:
            time: The time (dimensionless).
            state: Nodal densities, shape (nodes, species).
        """
        if time in self._times[-1:]:
            return
        if self._vtk is None:
            self._vtk = VTKFile(self._comm, self.directory / layout.FIELDS, "w")
        functions = [*self._flow.functions(state).values(), *self._static]
        self._vtk.write_function(self._part.restricted(functions) if self._part else functions, time)
        self._times.append(time)
        # VTKFile writes its table of contents when it is closed; a killed run needs it before.
        self._replace(layout.FIELDS, _contents(self._times))

    def summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json."""
        text = json.dumps(plain(summary), indent=2, allow_nan=False, ensure_ascii=False)
        self._replace(layout.SUMMARY, text + "\n")

    def _replace(self, name: str, text: str) -> None:
        """Write a file that is complete at any moment."""
        if self._comm.rank == 0:
            draft = self.directory / f"{name}.draft"
            draft.write_text(text, encoding="utf-8")
            draft.replace(self.directory / name)

    def close(self) -> None:
        """Close the files; what is written stays complete without it."""
        if self._vtk is not None:
            self._vtk.close()
        for file in (*self._tables.values(), self._log):
            if file is not None:
                file.close()


def _contents(times: Sequence[float]) -> str:
    """The text of a .pvd file for the pieces that VTKFile writes, one after the other."""
    sets = [
        f'    <DataSet timestep="{time!r}" part="0" file="fields{number:06d}.pvtu" />'
        for number, time in enumerate(times)
    ]
    head = ['<?xml version="1.0"?>', '<VTKFile type="Collection" version="1.0">', "  <Collection>"]
    return "\n".join([*head, *sets, "  </Collection>", "</VTKFile>", ""])
