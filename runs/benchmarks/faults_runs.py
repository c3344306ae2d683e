"""The runs of the fault campaign: five models, how they are started, and whether two of them are the same.

Import `common` before this.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mpi4py import MPI

from fem_models.cli import main
from fem_models.config.io import dump, from_dict
from fem_models.core.checkpoint_file import read_checkpoint
from fem_models.core.errors import InputError
from fem_models.results import layout
from fem_models.results.fields import written
from fem_models.run.checkpoints import Keeper
from fem_models.run.resume import resume
from fem_models.run.runner import run

EVERY = 2
"""Steps between checkpoints."""

# What differs between two runs of the same numbers.
_TIMES = ("wall_seconds", "phases", "memory_megabytes")

_FLOW = {
    "mesh": {"domain": "rectangle", "cells": [20, 20]},
    "system": {"name": "fokker-planck", "m": 2, "potential": "4*(x - 0.3)**2 + y"},
    "initial": {"rho": "where(x > 0.3, 1, 0)", "mass": 1},
}
MODELS: dict[str, dict[str, Any]] = {
    "backward Euler": {},
    "BDF2, adaptive": {"time": {"scheme": "bdf2", "control": "adaptive", "step": 1e-4, "tolerance": 2e-3}},
    "JKO": {"time": {"scheme": "jko", "slabs": 1}},
    "log-density": {
        "system": {"name": "fokker-planck", "potential": "r**2"},
        "initial": {"rho": "1 + x", "mass": 1},
        "time": {"discretization": "log-density"},
    },
    "Poisson–Nernst–Planck, BDF2": {
        "mesh": {"domain": "rectangle", "cells": [10, 10]},
        "system": {"name": "poisson-nernst-planck", "m": 2},
        "initial": {"u": "1 + x", "v": "1 + y", "mass": 1},
        "time": {"scheme": "bdf2"},
    },
}


class Case:
    """A model, its run file, and the run that nothing happened to.

    Args:
        name: In MODELS.
        place: A directory for its files.
        steps: Of equal size, where steps are not found from their errors.

    Attributes:
        name: The model.
        file: The run file.
        whole: The run directory of the run that nothing happened to.
        steps: That it took.
        seconds: That these took.
    """

    def __init__(self, name: str, place: Path, steps: int) -> None:
        self.name = name
        model = MODELS[name]
        table = {"end": 0.3, "step": 0.3 / steps} | model.get("time", {})
        output = {"figures": False, "fields_every": 3, "steady": False}
        rest = {"time": table, "output": output, "checkpoint": {"every_steps": EVERY}}
        place.mkdir()
        self.file, self.whole = place / "case.toml", place / "whole"
        self._config = from_dict(_FLOW | model | rest)
        self.file.write_text(dump(self._config), encoding="utf-8")
        [outcome] = run(self._config, self.whole, comm=MPI.COMM_SELF).runs
        self.steps: int = outcome.summary["steps"]
        walls = outcome.summary["wall_seconds"]
        self.seconds: float = walls["total"] - walls["setup"]

    def run(self, directory: Path) -> str:
        """Run it once more.

        Args:
            directory: The run directory, which is not there.

        Returns:
            What is not as in the run that nothing happened to; empty if nothing is.
        """
        run(self._config, directory, comm=MPI.COMM_SELF)
        return differences(directory, self.whole)

    def ended(self, directory: Path) -> str:
        """Go on with a run until it ends.

        Args:
            directory: The run directory.

        Returns:
            What is not as in the run that nothing happened to; empty if nothing is.
        """
        try:
            resume(directory, comm=MPI.COMM_SELF)
        except Exception as error:  # whatever it is, the run is lost
            return f"{type(error).__name__}: {error}"
        return differences(directory, self.whole)


def differences(directory: Path, expected: Path) -> str:
    """What two runs differ in, bit for bit, but for their times.

    Args:
        directory: A run directory, of one rank.
        expected: Another one.

    Returns:
        The names of files; empty if there is no difference.
    """
    readers: dict[str, Callable[[Path], Any]] = {
        layout.SERIES: lambda path: (path / layout.SERIES).read_bytes(),
        layout.STEPS: lambda path: [file.read_bytes() for file in path.glob(layout.STEPS)],
        layout.SUMMARY: _summary,
        "checkpoint": lambda path: checkpoints(path)[-1].read_bytes(),
    }
    wrong = [name for name, read in readers.items() if read(directory) != read(expected)]
    # A run that failed has written its last fields, too.
    fields = _fields(directory)
    wrong += [layout.FIELDS] if any(fields.get(t) != data for t, data in _fields(expected).items()) else []
    return ", ".join(wrong)


def _fields(directory: Path) -> dict[float, bytes]:
    """The bytes of the fields of one rank by time."""
    pieces = written(directory / layout.FIELDS)
    names = [re.sub(r"(\d{6})\.pvtu", r"_p0_\1.vtu", piece) for _, piece in pieces]
    return {time: (directory / name).read_bytes() for (time, _), name in zip(pieces, names, strict=True)}


def _summary(directory: Path) -> dict[str, Any]:
    summary = json.loads((directory / layout.SUMMARY).read_text(encoding="utf-8"))
    return {key: entry for key, entry in summary.items() if key not in _TIMES}


def checkpoints(directory: Path) -> list[Path]:
    """The checkpoints of a run, the latest one last.

    Args:
        directory: The run directory.

    Returns:
        Their files.
    """
    return layout.checkpoint_files(layout.checkpoints(directory))


def latest(directory: Path) -> int | None:
    """The step of the latest checkpoint that is whole.

    Args:
        directory: The run directory.

    Returns:
        Its number; None if there is no such checkpoint.
    """
    for path in reversed(checkpoints(directory)):
        try:
            return int(read_checkpoint(MPI.COMM_SELF, path).facts["number"])
        except InputError:
            continue
    return None


def command(*arguments: str | Path) -> list[str]:
    """The words that start fem-models in a process of its own.

    Args:
        arguments: What follows its name.

    Returns:
        The words.
    """
    return [sys.executable, "-m", "fem_models", *map(str, arguments)]


def begin(words: list[str]) -> subprocess.Popen[bytes]:
    """Start a command as a group of processes, which can be killed as one.

    Args:
        words: The command.

    Returns:
        Its process, whose output is dropped.
    """
    return subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def here(*arguments: str | Path) -> tuple[int, str]:
    """Run a command of fem-models in this process.

    Args:
        arguments: What follows its name.

    Returns:
        The exit code, and what it wrote to the standard error.
    """
    errors = StringIO()
    with redirect_stdout(StringIO()), redirect_stderr(errors):
        code = main([str(argument) for argument in arguments])
    return code, errors.getvalue().strip()


@contextmanager
def after_checkpoint(number: int, do: Callable[[], None]) -> Iterator[None]:
    """Let something happen as soon as runs of this process have kept the checkpoint of a step.

    Args:
        number: Of the step.
        do: What happens.

    Yields:
        Nothing.
    """
    keep = Keeper.keep

    def kept(keeper: Any, step: int, *rest: Any) -> None:
        keep(keeper, step, *rest)
        if step == number:
            do()

    with patch.object(Keeper, "keep", kept):
        yield
