"""`fem-models distance`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fem_models.cli.outcomes import told

if TYPE_CHECKING:
    from fem_models.results.densities import DensityRequest
    from fem_models.run.distance import Findings


def distance(
    first: Annotated[Path, typer.Argument(metavar="DIR_A", help="A run directory.")],
    second: Annotated[Path, typer.Argument(metavar="DIR_B", help="Another, or the same.")],
    time_a: Annotated[
        float | None, typer.Option(help="A written time of DIR_A; the last by default.")
    ] = None,
    time_b: Annotated[
        float | None, typer.Option(help="A written time of DIR_B; the last by default.")
    ] = None,
    species: Annotated[str | None, typer.Option(help="The density, where a run has several.")] = None,
    slabs: Annotated[int, typer.Option(help="Slabs of the geodesic, 2 or more.")] = 8,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The directory; runs/output/distance_A_B where there is a folder runs, else in output."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results there.")] = False,
) -> int:
    """Compute the Wasserstein distance between densities of two runs, and the geodesic."""
    from mpi4py import MPI

    from fem_models.results.densities import DensityRequest
    from fem_models.run.distance import compute

    comm = MPI.COMM_WORLD
    console = Console() if comm.rank == 0 else None
    ends = (DensityRequest(first, time_a, species), DensityRequest(second, time_b, species))
    return told(
        console,
        lambda: compute(*ends, comm, console, slabs=slabs, out=out, overwrite=overwrite, draw=_draw),
        tell,
    )


def _draw(fields: Path, name: str, distance: float, path: Path) -> Path:
    # Drawing takes long to import, and only one process draws.
    from fem_models.plotting.geodesic import draw_geodesic

    return draw_geodesic(fields, name, distance, path)


def tell(console: Console, findings: "Findings") -> None:
    """Print what came out.

    Args:
        console: Where to print.
        findings: What came out.
    """
    geodesic = findings.geodesic
    slabs = geodesic.potentials.shape[1]
    lines = [
        *(f"{word:<5} {_place(end)}" for word, end in zip(("from", "to"), findings.ends, strict=True)),
        f"  distance   {geodesic.distance:.10g}",
        f"  square     {geodesic.square:.10g} (mass {geodesic.mass:.10g})",
        f"  steps      {slabs} slabs, {geodesic.iterations} Newton iterations",
        f"  seconds    {geodesic.seconds:.2f}",
        *(f"note: {note}" for note in findings.notes),
        ", ".join(map(str, findings.files)),
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _place(end: "DensityRequest") -> str:
    return f"{end.species} of {end.directory} at t = {end.time:g}"
