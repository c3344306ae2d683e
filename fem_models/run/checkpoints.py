"""Checkpoints of a run: when one is kept, what is in it, and how a run goes on from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fem_models._version import __version__
from fem_models.config.problem import Problem
from fem_models.config.run_file import RunConfig
from fem_models.core.checkpoint_file import Checkpoint, read_checkpoint, write_checkpoint
from fem_models.core.errors import InputError
from fem_models.core.files import draft_of, make_directory, unwritten
from fem_models.core.parallel import on_rank_zero
from fem_models.core.protocols import Memory, Remembers, Study
from fem_models.results import layout
from fem_models.run.diagnostics import Diagnostics
from fem_models.run.stepping import Control

_Array = npt.NDArray[np.float64]

# Numbers of the mesh that must be those of the checkpoint, up to rounding.
_SAME = 1e-9


@dataclass(frozen=True)
class Begun[S]:
    """Where a run goes on.

    Attributes:
        number: Of the last step.
        time: Its end (dimensionless).
        state: The state there.
        end: The end of the run that the checkpoint is of.
        control: What step control needs to go on.
        facts: What else it keeps.
    """

    number: int
    time: float
    state: S
    end: float
    control: Control
    facts: dict[str, Any]


class Keeper[S]:
    """Keeps checkpoints of a run. Collective.

    Args:
        problem: What the run works on.
        config: Its run file.
        directory: Its run directory.
    """

    def __init__(self, problem: Problem[S], config: RunConfig, directory: Path) -> None:
        self._problem, self._table = problem, config.checkpoint
        self._end = config.time.end
        self._directory = layout.checkpoints(directory)
        self._latest = time.monotonic()

    def due(self, number: int) -> bool:
        """Whether a checkpoint is to be kept after a step. Collective.

        Args:
            number: Of the step.

        Returns:
            The same on all ranks.
        """
        steps, seconds = self._table.every_steps, self._table.every_seconds
        if steps is not None and number % steps == 0:
            return True
        if seconds is None:
            return False
        return self._problem.model.comm.bcast(time.monotonic() - self._latest >= seconds)

    def keep(
        self,
        number: int,
        at: float,
        state: S,
        control: Control,
        diagnostics: Diagnostics[S],
        studies: Sequence[Study[S]],
    ) -> None:
        """Write a checkpoint, and remove those that are too many.

        Args:
            number: Of the last step.
            at: The time (dimensionless).
            state: The state.
            control: Of its steps.
            diagnostics: Of the run.
            studies: That follow it.

        Raises:
            InputError: The file system refuses.
            OutputError: There is no room; the earlier checkpoints stay.
        """
        model, memory = self._problem.model, self._problem.scheme.memory()
        keys = model.keys
        arrays = {f"state.{name}": values for name, values in model.pack(state).items()}
        for k, earlier in enumerate(memory.states):
            arrays |= {f"memory.{k}.{name}": values for name, values in model.pack(earlier).items()}
        for k, packed in enumerate(control.states):
            arrays |= {f"control.{k}.{name}": values for name, values in packed.items()}
        for name, values in (memory.guesses or {}).items():
            arrays[f"guess.{name}"] = values[: len(keys)].reshape(len(keys), -1)
        facts = {
            "version": __version__,
            "number": number,
            "time": at,
            "end": self._end,
            "mesh": dict(model.facts().get("mesh", {})),
            "steps": memory.steps,
            "states": len(memory.states),
            "guesses": {name: list(values.shape[1:]) for name, values in (memory.guesses or {}).items()},
            "control": {**control.facts, "states": len(control.states)},
            "diagnostics": diagnostics.memory(),
            "model": model.memory() if isinstance(model, Remembers) else {},
            "studies": [study.memory() if isinstance(study, Remembers) else {} for study in studies],
        }
        comm = model.comm
        on_rank_zero(comm, self._make)
        path = self._directory / layout.checkpoint_name(number)
        write_checkpoint(comm, path, keys, Checkpoint(arrays, facts))
        on_rank_zero(comm, self._prune)
        self._latest = time.monotonic()

    def _make(self) -> None:
        try:
            make_directory(self._directory)
        except OSError as error:
            raise unwritten(self._directory, error) from None

    def _prune(self) -> None:
        """Remove the checkpoints that are too many, and what a run that was killed left of another."""
        files = layout.checkpoint_files(self._directory)
        try:
            for path in (*files[: -self._table.keep], *self._directory.glob(draft_of(Path("*")).name)):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise unwritten(self._directory, error) from None


def latest(problem: Problem[Any], directory: Path) -> Begun[Any] | None:
    """Where a run goes on: its latest checkpoint that is whole. Collective.

    Args:
        problem: What the run works on; its scheme is put to where it was.
        directory: The run directory.

    Returns:
        The place; None where there is no checkpoint.

    Raises:
        InputError: No checkpoint can be read, or they are of another mesh.
    """
    model = problem.model
    comm = model.comm
    paths = on_rank_zero(comm, lambda: layout.checkpoint_files(layout.checkpoints(directory)))
    failure: InputError | None = None
    for path in reversed(paths):
        try:
            return _begun(problem, path)
        except InputError as error:
            failure = failure or error
        # Of a program that keeps other facts.
        except (AttributeError, KeyError, TypeError, ValueError):
            failure = failure or InputError(f"{path} has not the facts that a run needs to go on.")
    if failure is not None:
        raise failure
    return None


def _begun(problem: Problem[Any], path: Path) -> Begun[Any]:
    model: Any = problem.model
    found = read_checkpoint(model.comm, path, model.keys)
    facts, arrays = dict(found.facts), found.arrays
    _check_mesh(path, facts["mesh"], model.facts().get("mesh", {}))

    def packed(prefix: str) -> dict[str, _Array]:
        mine = [name for name in arrays if name.startswith(prefix)]
        return {name.removeprefix(prefix): arrays[name] for name in mine}

    guesses = {}
    for name, shape in facts["guesses"].items():
        values = model.with_ghosts(arrays[f"guess.{name}"].reshape(len(model.keys), -1))
        guesses[name] = values.reshape(-1, *shape).copy()
    states = tuple(model.unpack(packed(f"memory.{k}.")) for k in range(facts["states"]))
    problem.scheme.restore(Memory(states, tuple(facts["steps"]), guesses or None))
    if isinstance(model, Remembers):
        model.restore(facts["model"])
    earlier = tuple(packed(f"control.{k}.") for k in range(facts["control"]["states"]))
    control = Control(facts["control"], earlier)
    return Begun(facts["number"], facts["time"], model.unpack(packed("state.")), facts["end"], control, facts)


def _check_mesh(path: Path, before: dict[str, float], now: dict[str, float]) -> None:
    for name in ("cells", "vertices", "h_min", "h_max"):
        if name in before and abs(before[name] - now.get(name, 0.0)) > _SAME * abs(before[name]):
            raise InputError(
                f"{path} is of another mesh: its {name} is {before[name]:g}, that of the mesh is "
                f"{now.get(name, 0.0):g}."
            )
