"""`fem-models lbb`: the discrete inf-sup constants of element pairs on a sequence of meshes.

What the constants are is said in `fem_models.discretization.inf_sup`. The directory gets `lbb.csv`, a row for
each pair, condition at the boundary and mesh; `lbb.png`; and `lbb.toml`, what was asked for.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np
import tomli_w
from dolfinx.mesh import Mesh
from mpi4py import MPI
from rich.console import Console
from rich.table import Table
from ufl import SpatialCoordinate

from fem_models.discretization import meshes
from fem_models.discretization.inf_sup import Boundary, InfSup, time_integration
from fem_models.discretization.mixed_pairs import PAIRS, Pair, pair_named
from fem_models.errors import InputError, SolveError
from fem_models.expressions import Expression
from fem_models.run import layout
from fem_models.run.progress import LateProgress
from fem_models.run.ranks import on_rank_zero

TABLE = "lbb.csv"
PICTURE = "lbb.png"
SETTINGS = "lbb.toml"

_DIMENSION = {"interval": 1, "rectangle": 2, "box": 3, "disk": 2, "ball": 3}
_COORDINATES = ("x", "y", "z")
_ROUND = ("disk", "ball")
# Where the constant falls faster than this power of h, it is not bounded away from zero on these meshes.
_DECAY = 0.5


@dataclass(frozen=True)
class Request:
    """What to compute; all quantities are dimensionless.

    Attributes:
        pairs: Names of element pairs; empty for all.
        cells: Cells across the domain, one number for each mesh.
        domain: The unit interval, square (`rectangle`) or cube (`box`), or the disk or ball of radius 1.
        weight: q, an expression in the coordinates; empty for 0.05 + exp(-20 r²), r the distance from the
            centre of the domain: from 0.05 to 1.05.
        slabs: S.
        transport: φ of the transport h∇φ, an expression in the coordinates.
        duration: Δt.
    """

    pairs: tuple[str, ...] = ()
    cells: tuple[int, ...] = (4, 8, 12, 16)
    domain: str = "rectangle"
    weight: str = ""
    slabs: int = 1
    transport: str = "0"
    duration: float = 1.0

    def resolved(self) -> Self:
        """The request with all defaults filled in and its meshes from coarse to fine.

        Raises:
            InputError: A pair or a domain that is not known, no mesh, no slabs, or a duration or a number of
                cells that is not positive.
        """
        if self.domain not in _DIMENSION:
            raise InputError(f"The domain must be one of {', '.join(_DIMENSION)}, not {self.domain!r}.")
        if not self.cells or min(self.cells) < 1:
            raise InputError("The cells across the domain must be whole numbers above 0, as in 4,8,12.")
        time_integration(self.duration, self.slabs)
        return replace(
            self,
            pairs=tuple(pair_named(name).name for name in dict.fromkeys(self.pairs or PAIRS)),
            cells=tuple(sorted(set(self.cells))),
            weight=self.weight or self._default_weight(),
        )

    @property
    def moves(self) -> bool:
        """Whether there is a transport: whether φ depends on the coordinates."""
        return bool(Expression(self.transport, _COORDINATES, where="--transport").names)

    def _default_weight(self) -> str:
        distance = "{}**2" if self.domain in _ROUND else "({} - 0.5)**2"
        squares = [distance.format(name) for name in _COORDINATES[: _DIMENSION[self.domain]]]
        return f"0.05 + exp(-20*({' + '.join(squares)}))"


@dataclass(frozen=True)
class Row:
    """A row of lbb.csv.

    Attributes:
        pair: Name of the pair.
        boundary: "no-flux", or "free" where the normal component of Raviart–Thomas fluxes is not held.
        cells: Cells across the domain.
        h: The longest edge.
        unknowns: Number of unknowns of the potentials.
        beta: The constant of fluxes alone.
        constraint: The constant of the whole constraint; not a number where the boundary is free.
    """

    pair: str
    boundary: Boundary
    cells: int
    h: float
    unknowns: int
    beta: float
    constraint: float

    @property
    def label(self) -> str:
        """The pair, and the condition at the boundary where it is not the usual one."""
        return self.pair if self.boundary == "no-flux" else f"{self.pair}, {self.boundary} boundary"


@dataclass(frozen=True)
class Findings:
    """What came out.

    Attributes:
        request: What was computed, with its defaults filled in.
        rows: By pair, boundary and mesh.
        files: What was written.
    """

    request: Request
    rows: list[Row]
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
    request: Request, directory: Path, overwrite: bool, comm: MPI.Comm, console: Console | None
) -> Findings:
    """Compute the constants and write a directory. Collective.

    Args:
        request: What to compute.
        directory: Where the table and the picture go.
        overwrite: Whether those of an earlier call may be replaced.
        comm: Communicator.
        console: Where to show how far it is; None on all ranks but one.

    Raises:
        InputError: A request that cannot be met, or a directory that is not free.
        SolveError: A constant could not be computed; the table has those that could.
    """
    request = request.resolved()
    on_rank_zero(comm, lambda: layout.check_free(directory, overwrite, TABLE))
    weight = Expression(request.weight, _COORDINATES, where="--weight")
    transport = Expression(request.transport, _COORDINATES, where="--transport")
    pairs = [PAIRS[name] for name in request.pairs]
    sequence = [_mesh(comm, request.domain, count) for count in request.cells]
    # Bad expressions are found before anything is computed.
    for mesh in sequence:
        transport.ufl(SpatialCoordinate(mesh))
        for pair in pairs:
            InfSup(mesh, pair, weight.ufl)
    rows: list[Row] = []

    def write() -> list[Path]:
        return _write(directory, request, rows)

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


def by_label(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows of one pair and boundary together, from coarse to fine, with their label."""
    return [(label, list(group)) for label, group in groupby(rows, key=lambda row: row.label)]


def verdict(rows: Sequence[Row]) -> str:
    """What the constants of fluxes alone of a pair do on a sequence of meshes: "stable", or how they fail.

    Where the constants do not fall, or there is but one mesh, what is known of the pair counts.

    Args:
        rows: Of one pair and boundary, from coarse to fine.
    """
    first, last = rows[0], rows[-1]
    if last.beta == 0.0:
        return "is zero"
    order = math.log(first.beta / last.beta) / math.log(first.h / last.h) if first.h > last.h else 0.0
    if order >= _DECAY:
        return f"falls like h^{order:.2f}"
    return "stable" if PAIRS[first.pair].stable else "tends to zero with h"


def counts_of(texts: Sequence[str]) -> tuple[int, ...]:
    """The numbers in texts such as "4,8".

    Raises:
        InputError: Something that is not a whole number.
    """
    try:
        return tuple(int(part) for text in texts for part in text.split(","))
    except ValueError:
        raise InputError(
            f"The cells across the domain must be whole numbers, as in 4,8,12, not {','.join(texts)!r}."
        ) from None


def tell(console: Console, findings: Findings) -> None:
    """Print the constants: of fluxes alone, and of the whole constraint where there is a transport."""
    request = findings.request
    _say(console, f"q = {request.weight}")
    _say(console, "inf-sup constants of fluxes alone, the same for any number of slabs")
    console.print(_text_table(findings, "beta"))
    if request.moves:
        terms = f"S = {request.slabs}, duration {request.duration:g}, φ = {request.transport}"
        _say(console, f"inf-sup constants of the whole constraint, {terms}")
        console.print(_text_table(findings, "constraint"))
    _say(console, "\n".join([f"warning: {text}" for text in findings.warnings]))
    _say(console, ", ".join(map(str, findings.files)))


def _say(console: Console, text: str) -> None:
    if text:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _text_table(findings: Findings, column: str) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("pair (f-g)", no_wrap=True)
    for count in findings.request.cells:
        table.add_column(f"n = {count}", justify="right")
    table.add_column("")
    for label, rows in by_label(findings.rows):
        values = [getattr(row, column) for row in rows]
        if not math.isnan(values[0]):
            note = verdict(rows) if column == "beta" else ""
            table.add_row(label, *(f"{value:.4f}" for value in values), note)
    return table


def _boundaries(pair: Pair) -> tuple[Boundary, ...]:
    return ("no-flux",) if pair.conforming else ("no-flux", "free")


def _mesh(comm: MPI.Comm, domain: str, count: int) -> Mesh:
    if domain in _ROUND:
        return meshes.build(comm, domain, h=2.0 / count)
    return meshes.build(comm, domain, cells=[count] * _DIMENSION[domain])


def _longest_edge(mesh: Mesh) -> float:
    dimension = mesh.topology.dim
    owned = np.arange(mesh.topology.index_map(dimension).size_local, dtype=np.int32)
    return mesh.comm.allreduce(float(mesh.h(dimension, owned).max(initial=0.0)), op=MPI.MAX)


def _rows(
    pair: Pair, sequence: Sequence[Mesh], weight: Expression, transport: Expression, request: Request
) -> Iterator[Row]:
    for boundary in _boundaries(pair):
        for mesh, count in zip(sequence, request.cells, strict=True):
            problem = InfSup(mesh, pair, weight.ufl)
            beta = problem.of_fluxes(boundary)
            constraint = math.nan
            if boundary == "no-flux":
                constraint = min(1.0, beta)
                if request.moves:
                    constraint = problem.of_constraint(request.duration, request.slabs, transport.ufl)
            yield Row(pair.name, boundary, count, _longest_edge(mesh), problem.unknowns, beta, constraint)


def _write(directory: Path, request: Request, rows: Sequence[Row]) -> list[Path]:
    # Drawing takes long to import, and only this process draws.
    from fem_models.plotting.lbb import lbb_figure
    from fem_models.plotting.style import save

    settings, table, picture = (directory / name for name in (SETTINGS, TABLE, PICTURE))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        picture.unlink(missing_ok=True)
        settings.write_text(tomli_w.dumps(asdict(request)), encoding="utf-8")
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(asdict, rows))
    except OSError as error:
        raise InputError(f"{directory} cannot be written to: {error.strerror}.") from None
    return [settings, table, save(lbb_figure(request, rows), picture)] if rows else [settings, table]
