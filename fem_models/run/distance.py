"""`fem-models distance`: the Wasserstein distance between densities of two runs, and the geodesic.

What the distance is is said in `fem_models.jko.wasserstein`. The directory gets `distance.json`, what came
out; `geodesic.pvd`, the densities along the geodesic with s from 0 to 1 for the time; and `geodesic.png`.
Every number is dimensionless.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from dolfinx import fem
from mpi4py import MPI

from fem_models.core.errors import InputError
from fem_models.core.files import write_json
from fem_models.core.parallel import on_rank_zero
from fem_models.exact.distances import same_mass
from fem_models.jko.wasserstein import SLABS, Geodesic, wasserstein
from fem_models.linalg.newton import NewtonSettings
from fem_models.results import layout
from fem_models.results.densities import DensityRequest, Source, domain_cells, find, interpolated, nodal
from fem_models.run.build import build_mesh
from fem_models.run.progress import LateProgress

if TYPE_CHECKING:
    from rich.console import Console

RESULT = "distance.json"
FIELDS = "geodesic.pvd"
PICTURE = "geodesic.png"

Draw = Callable[[Path, str, float, Path], Path]
"""Draws a .pvd file with a density of that name and the distance, and returns the picture."""

_PIECES = re.compile(r"geodesic(_p\d+_)?\d{6,}\.p?vtu")


@dataclass(frozen=True)
class Findings:
    """What came out.

    Attributes:
        geodesic: The distance and the path, on this rank's nodes.
        ends: The densities, with the times and names that were found.
        files: What was written.
        notes: Sentences for people.
    """

    geodesic: Geodesic
    ends: tuple[DensityRequest, DensityRequest]
    files: list[Path]
    notes: list[str]


def compute(
    first: DensityRequest,
    second: DensityRequest,
    comm: MPI.Comm,
    console: "Console | None" = None,
    *,
    slabs: int = SLABS,
    settings: NewtonSettings | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    draw: Draw | None = None,
) -> Findings:
    """Compute the distance and write a directory. Collective.

    Densities on different meshes are compared on that of the first, on which the second is interpolated and
    scaled to its mass.

    Args:
        first: One density.
        second: The other.
        comm: Communicator; the runs may have had other numbers of ranks.
        console: Where to show that it goes on; None on all ranks but one.
        slabs: S ≥ 2.
        settings: As for `wasserstein`.
        out: The directory; by default `default_directory`.
        overwrite: Whether earlier results there may be replaced.
        draw: Draws the geodesic, on rank 0; there is no picture without it.

    Returns:
        The distance and the path, and what was written.

    Raises:
        InputError: A directory that is no run directory or not free, a species or a time that is not there,
            meshes that do not fit, or masses that differ.
        SolveError: Newton's method failed; nothing is written.
    """
    directory = out or default_directory(first.directory, second.directory)
    on_rank_zero(comm, lambda: layout.check_free(directory, overwrite, RESULT))
    sources = [on_rank_zero(comm, partial(find, request)) for request in (first, second)]
    same_mass(*(source.mass for source in sources))
    ends = _on_one_mesh(comm, sources)
    masses = (sources[0].mass, sources[1].mass)
    with LateProgress(console) as progress:

        def watch(iteration: int) -> None:
            text = f"Newton iteration {iteration}"
            progress.update(iteration, text, text)

        geodesic = wasserstein(
            *(ends.space, ends.start, ends.end, slabs, settings), cells=ends.cells, masses=masses, watch=watch
        )
    notes = [*ends.notes, *geodesic.notes]
    found = sources[0].request, sources[1].request
    findings = Findings(geodesic, found, [], notes)
    on_rank_zero(comm, lambda: _prepare(directory))
    geodesic.write(directory / FIELDS, str(found[0].species))
    files, failure = on_rank_zero(comm, lambda: _write(directory, findings, draw))
    return replace(findings, files=files, notes=notes + ([failure] if failure else []))


@dataclass(frozen=True)
class _Ends:
    space: fem.FunctionSpace
    cells: npt.NDArray[np.int32] | None
    start: npt.NDArray[np.float64]
    end: npt.NDArray[np.float64]
    notes: list[str]


def _on_one_mesh(comm: MPI.Comm, sources: list[Source]) -> _Ends:
    """Both densities at the nodes of the mesh of the first one."""
    meshes = [build_mesh(comm, sources[0].config.mesh)]
    if sources[1].config.mesh != sources[0].config.mesh:
        meshes.append(build_mesh(comm, sources[1].config.mesh))
    spaces = [fem.functionspace(marked.mesh, ("Lagrange", 1)) for marked in meshes]
    cells = [domain_cells(marked) for marked in meshes]
    start, end = (nodal(source, spaces[n], cells[n]) for source, n in zip(sources, (0, -1), strict=True))
    notes = []
    if len(meshes) > 1:
        end, note = interpolated(end, spaces[1], spaces[0], cells[0])
        notes.append(note)
    return _Ends(spaces[0], cells[0], start, end, notes)


def default_directory(first: Path, second: Path) -> Path:
    """The directory of a distance whose command names none.

    Args:
        first: One run directory.
        second: The other.

    Returns:
        `runs/output/distance_A_B` where there is a folder `runs`, else `output/distance_A_B`.
    """
    names = dict.fromkeys(path.resolve().name for path in (first, second))
    return layout.default_directory(Path("_")).with_name("_".join(["distance", *names]))


def _prepare(directory: Path) -> None:
    """Make the directory, without the files of an earlier call."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        old = [file for file in directory.iterdir() if _PIECES.fullmatch(file.name)]
        for file in (*old, *(directory / name for name in (RESULT, FIELDS, PICTURE))):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"The output directory {directory} cannot be made: {error.strerror}.") from None


def _write(directory: Path, findings: Findings, draw: Draw | None) -> tuple[list[Path], str | None]:
    """Write what came out; the files, and a sentence where the picture could not be drawn."""
    geodesic = findings.geodesic
    result: dict[str, Any] = {
        "distance": geodesic.distance,
        "square": geodesic.square,
        "mass": geodesic.mass,
        "slabs": geodesic.potentials.shape[1],
        "newton_iterations": geodesic.iterations,
        "seconds": geodesic.seconds,
        "from": _described(findings.ends[0]),
        "to": _described(findings.ends[1]),
        "notes": findings.notes,
    }
    write_json(directory / RESULT, result)
    files = [directory / RESULT, directory / FIELDS]
    if draw is None:
        return files, None
    try:
        name = str(findings.ends[0].species)
        return [*files, draw(directory / FIELDS, name, geodesic.distance, directory / PICTURE)], None
    except Exception as error:
        return files, f"The picture was not drawn ({type(error).__name__}: {error})."


def _described(end: DensityRequest) -> dict[str, Any]:
    return {"directory": str(end.directory), "species": end.species, "time": end.time}
