"""The forms of a run file, compiled by one process before many ranks, or many jobs, ask for them at once."""

import tempfile
from pathlib import Path

from dolfinx import jit
from mpi4py import MPI

from fem_models.config import io as config_io
from fem_models.config.run_file import RunConfig
from fem_models.config.tables import Mesh
from fem_models.core.errors import InputError
from fem_models.meshes.domain_names import DOMAINS
from fem_models.run.cache import remove_abandoned
from fem_models.run.runner import run

# Forms do not depend on the size of the mesh: so many cells along the shortest side will do.
_CELLS = 6
# Schemes of two steps have forms that their first step does without.
_STEPS = 3


def compile_forms(config: RunConfig) -> tuple[int, Path]:
    """Compile what the steps of a run and of its variants need, by taking the first of them. On one process.

    The mesh is a coarse one of the same domain, unless it is a file, or the run refuses it. What is written
    goes to a temporary directory and is removed.

    Args:
        config: The run file.

    Returns:
        The number of forms that were compiled, none where all of them were there, and the folder that keeps
        them.

    Raises:
        InputError: Something about the input is wrong.
    """
    folder = Path(jit.get_options()["cache_dir"]).expanduser()
    remove_abandoned()
    before = _compiled(folder)
    try:
        _take_steps(_shortened(config, coarse=True))
    except InputError:
        # Such as a density that is zero at the few nodes of a coarse mesh.
        _take_steps(_shortened(config, coarse=False))
    return len(_compiled(folder) - before), folder


def _compiled(folder: Path) -> set[Path]:
    return set(folder.glob("*.c.cached"))


def _take_steps(config: RunConfig) -> None:
    """Run it; steps that cannot be solved have been assembled all the same."""
    with tempfile.TemporaryDirectory() as scratch:
        run(config, Path(scratch) / "run", comm=MPI.COMM_SELF)


def _shortened(config: RunConfig, coarse: bool) -> RunConfig:
    """The run with a few steps, no figures, and a coarse mesh."""
    tables = config_io.to_dict(config)
    time, output = tables["time"], tables.setdefault("output", {})
    time["end"] = min(time["end"], time["start"] + _STEPS * time["step"])
    for key in ("field_times", "fields_every"):
        output.pop(key, None)
    output["figures"] = False
    tables.pop("checkpoint", None)
    if coarse:
        tables["mesh"] |= _coarse(config.mesh)
    return config_io.from_dict(tables)


def _coarse(mesh: Mesh) -> dict[str, object]:
    """What a coarse mesh of the same domain has of [mesh]."""
    if mesh.domain is None:
        return {}
    if mesh.cells is not None:
        return {"cells": [min(count, _CELLS) for count in mesh.cells]}
    if DOMAINS[mesh.domain].is_round:
        shortest = 2.0 * (mesh.radius or 1.0)
    elif mesh.lengths is not None:
        shortest = min(mesh.lengths)
    else:
        shortest = min(b - a for a, b in zip(mesh.lower or (), mesh.upper or (), strict=True))
    return {"h": max(mesh.h or 0.0, shortest / _CELLS)}
