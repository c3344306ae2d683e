"""`fem-models lbb`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from fem_models.cli.completion import element_pairs, inf_sup_domains
from fem_models.cli.outcomes import told

if TYPE_CHECKING:
    from fem_models.results.inf_sup_table import InfSupRequest, InfSupRow
    from fem_models.run.lbb import Findings


def lbb(
    pair: Annotated[
        list[str] | None,
        typer.Option(
            help="A pair potential-flux, such as P1-DG0; all by default.", autocompletion=element_pairs
        ),
    ] = None,
    cells: Annotated[
        list[str] | None, typer.Option(help="Cells across the domain, one number a mesh: 4,8,12,16.")
    ] = None,
    domain: Annotated[
        str, typer.Option(help="interval, rectangle, box, disk or ball.", autocompletion=inf_sup_domains)
    ] = "rectangle",
    weight: Annotated[
        str,
        typer.Option(
            help="q, an expression in x, y, z; by default 0.05 + exp(-20 d**2), d the way from the centre."
        ),
    ] = "",
    slabs: Annotated[int, typer.Option(help="Slabs of the whole constraint.")] = 1,
    transport: Annotated[str, typer.Option(help="φ of the transport h∇φ, an expression in x, y, z.")] = "0",
    duration: Annotated[float, typer.Option(help="Δt of the whole constraint.")] = 1.0,
    out: Annotated[
        Path | None, typer.Option(help="The directory; runs/output/lbb where there is a folder runs.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results there.")] = False,
) -> int:
    """Compute inf-sup (LBB) constants of element pairs for the linearised JKO problem."""
    from mpi4py import MPI

    from fem_models.results.inf_sup_table import InfSupRequest
    from fem_models.results.layout import default_directory
    from fem_models.run.lbb import compute, counts_of

    comm = MPI.COMM_WORLD
    console = Console() if comm.rank == 0 else None
    counts = counts_of(cells or ["4,8,12,16"])
    request = InfSupRequest(tuple(pair or ()), counts, domain, weight, slabs, transport, duration)
    directory = out or default_directory(Path("lbb"))
    return told(console, lambda: compute(request, directory, overwrite, comm, console, _draw), tell)


def _draw(request: "InfSupRequest", rows: "Sequence[InfSupRow]", path: Path) -> Path:
    # Drawing takes long to import, and only one process draws.
    from fem_models.plotting.lbb import draw_lbb

    return draw_lbb(request, rows, path)


def tell(console: Console, findings: "Findings") -> None:
    """Print the constants: of fluxes alone, and of the whole constraint where there is a transport.

    Args:
        console: Where to print.
        findings: What came out.
    """
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


def _text_table(findings: "Findings", column: str) -> Table:
    from fem_models.results.inf_sup_table import by_label, verdict

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
