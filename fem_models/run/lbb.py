"""`fem-models lbb`: the discrete inf-sup constants of element pairs on a sequence of meshes.

What the constants are is said in `fem_models.linearised_jko.inf_sup`. The directory gets `lbb.csv`, a row for
each pair, condition at the boundary and mesh; `lbb.png`; and `lbb.toml`, what was asked for.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tomli_w
from dolfinx.mesh import Mesh
from mpi4py import MPI
from ufl import SpatialCoordinate

from fem_models.core.errors import InputError, SolveError
from fem_models.core.files import write_table, write_text
from fem_models.core.parallel import on_rank_zero
from fem_models.expressions import Expression
from fem_models.linearised_jko.elements import PAIRS, Pair
from fem_models.linearised_jko.inf_sup import Boundary, InfSup
from fem_models.meshes import domains as meshes
from fem_models.results import layout
from fem_models.results.inf_sup_table import (
    COORDINATES,
    DIMENSION,
    ROUND,
    InfSupRequest,
    InfSupRow,
    by_label,
    verdict,
)
from fem_models.run.progress import LateProgress

if TYPE_CHECKING:
    from rich.console import Console

TABLE = "lbb.csv"
PICTURE = "lbb.png"
SETTINGS = "lbb.toml"

Draw = Callable[[InfSupRequest, Sequence[InfSupRow], Path], Path]
"""Draws rows and returns the file."""


@dataclass(frozen=True)
class Findings:
    """What came out.

    Attributes:
        request: What was computed, with its defaults filled in.
        rows: By pair, boundary and mesh.
        files: What was written.
    """

    request: InfSupRequest
    rows: list[InfSupRow]
    files: list[Path]

    @property
    def warnings(self) -> list[str]:
        """A sentence for each pair that is not stable."""
        return [
            f"{label} {'looks unstable here' if PAIRS[rows[0].pair].stable else 'is not stable'}: "
            f"its constant {found}."
            for label, rows in by_label(self.rows)
            if (found := verdict(rows)) != "stable"
        ]


def compute(
    request: InfSupRequest,
    directory: Path,
    overwrite: bool,
    comm: MPI.Comm,
    console: "Console | None" = None,
    draw: Draw | None = None,
) -> Findings:
    """Compute the constants and write a directory. Collective.

    Args:
        request: What to compute.
        directory: Where the table and the picture go.
        overwrite: Whether those of an earlier call may be replaced.
        comm: Communicator.
        console: Where to show how far it is; None on all ranks but one.
        draw: Draws the picture, on rank 0; there is none without it.

    Returns:
        The constants, and the files.

    Raises:
        InputError: A request that cannot be met, or a directory that is not free.
        SolveError: A constant could not be computed; the table has those that could.
    """
    request = request.resolved()
    on_rank_zero(comm, lambda: layout.check_free(directory, overwrite, TABLE))
    weight = Expression(request.weight, COORDINATES, where="--weight")
    transport = Expression(request.transport, COORDINATES, where="--transport")
    pairs = [PAIRS[name] for name in request.pairs]
    sequence = [_mesh(comm, request.domain, count) for count in request.cells]
    # Bad expressions are found before anything is computed.
    for mesh in sequence:
        transport.ufl(SpatialCoordinate(mesh))
        for pair in pairs:
            InfSup(mesh, pair, weight.ufl)
    rows: list[InfSupRow] = []

    def write() -> list[Path]:
        return _write(directory, request, rows, draw)

    try:
        total = len(sequence) * sum(len(_boundaries(pair)) for pair in pairs)
        with LateProgress(console, total) as progress:
            for pair in pairs:
                for row in _rows(pair, sequence, weight, transport, request):
                    rows.append(row)
                    found = f"{row.label}, n = {row.cells}, beta = {row.beta:.4f}"
                    progress.update(len(rows), row.label, f"{len(rows)}/{total}: {found}")
    except SolveError:
        on_rank_zero(comm, write)
        raise
    return Findings(request, rows, on_rank_zero(comm, write))


def counts_of(texts: Sequence[str]) -> tuple[int, ...]:
    """The numbers in texts such as "4,8".

    Args:
        texts: As they are written.

    Returns:
        The numbers.

    Raises:
        InputError: Something that is not a whole number.
    """
    try:
        return tuple(int(part) for text in texts for part in text.split(","))
    except ValueError:
        raise InputError(
            f"The cells across the domain must be whole numbers, as in 4,8,12, not {','.join(texts)!r}."
        ) from None


def _boundaries(pair: Pair) -> tuple[Boundary, ...]:
    return ("no-flux",) if pair.conforming else ("no-flux", "free")


def _mesh(comm: MPI.Comm, domain: str, count: int) -> Mesh:
    if domain in ROUND:
        return meshes.build(comm, domain, h=2.0 / count).mesh
    return meshes.build(comm, domain, cells=[count] * DIMENSION[domain]).mesh


def _longest_edge(mesh: Mesh) -> float:
    dimension = mesh.topology.dim
    owned = np.arange(mesh.topology.index_map(dimension).size_local, dtype=np.int32)
    return mesh.comm.allreduce(float(mesh.h(dimension, owned).max(initial=0.0)), op=MPI.MAX)


def _rows(
    pair: Pair, sequence: Sequence[Mesh], weight: Expression, transport: Expression, request: InfSupRequest
) -> Iterator[InfSupRow]:
    for boundary in _boundaries(pair):
        for mesh, count in zip(sequence, request.cells, strict=True):
            problem = InfSup(mesh, pair, weight.ufl)
            beta = problem.of_fluxes(boundary)
            constraint = math.nan
            if boundary == "no-flux":
                constraint = min(1.0, beta)
                if request.moves:
                    constraint = problem.of_constraint(request.duration, request.slabs, transport.ufl)
            yield InfSupRow(
                pair.name, boundary, count, _longest_edge(mesh), problem.unknowns, beta, constraint
            )


def _write(
    directory: Path, request: InfSupRequest, rows: Sequence[InfSupRow], draw: Draw | None
) -> list[Path]:
    settings, table, picture = (directory / name for name in (SETTINGS, TABLE, PICTURE))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        picture.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{directory} cannot be written to: {error.strerror}.") from None
    write_text(settings, tomli_w.dumps(asdict(request)))
    write_table(table, [field.name for field in fields(InfSupRow)], [asdict(row) for row in rows])
    return [settings, table, draw(request, rows, picture)] if rows and draw else [settings, table]
