"""The figures of a run directory, by the names that [output] figures uses."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from fem_models.config.figures import FIGURES
from fem_models.core.errors import InputError, OutputError
from fem_models.plotting.lines import curves_figure
from fem_models.plotting.panels import plane_figure, space_figure
from fem_models.plotting.style import save
from fem_models.results import layout
from fem_models.results.run_data import RunData


@dataclass(frozen=True)
class Drawn:
    """The figures of a run directory.

    Attributes:
        paths: The files.
        left_out: Of a run that has not stopped, why some figures are not there yet: a sentence each.
    """

    paths: list[Path]
    left_out: list[str]


def draw(directory: Path) -> list[Path]:
    """Draw the figures that a run asks for, from what its directory holds.

    Call it on one process. See `drawn`.

    Args:
        directory: A run directory.

    Returns:
        The files figures/NAME.png, or of another [output] format, in the order of [output] figures; an empty
        list where it is empty.
    """
    return drawn(directory).paths


def drawn(directory: Path) -> Drawn:
    """Draw the figures that a run asks for, from what its directory holds, while it runs or after that.

    Call it on one process. A figure that cannot be drawn does not keep the others from being drawn. The
    figures are those of Bruna, Burger and Carrillo, section 4, and of Matthes' slides.

    Args:
        directory: A run directory: run.toml, series.csv and fields.pvd, and summary.json and compare/NAME/
            where there are any.

    Returns:
        The files figures/NAME.png, or of another [output] format, in the order of [output] figures, and what
        a run that has not stopped cannot show yet. Of the directory of a sweep those of the sweep, and
        "sweep" in any case.

    Raises:
        InputError: If the directory is not a run directory, or what a figure needs is missing or damaged: of
            a run that has stopped any figure, else all of them.
        OutputError: There is no room for a figure.
    """
    run = RunData(Path(directory))
    output = run.config.output
    folder = run.directory / layout.FIGURES
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror or error}.") from None
    paths: list[Path] = []
    failures: list[InputError | OutputError] = []
    for name in _wanted(run):
        try:
            figure = FIGURES[name].drawing()(run)
            if output.size is not None:
                figure.set_size_inches(output.size)
            paths.append(save(figure, folder / f"{name}.{output.format}", output.dpi))
        except (InputError, OutputError) as error:
            failures.append(error)
    lasting = [error for error in failures if run.stopped or not paths or isinstance(error, OutputError)]
    if lasting:
        raise lasting[0]
    return Drawn(paths, list(dict.fromkeys(map(str, failures))))


def _wanted(run: RunData) -> tuple[str, ...]:
    """The figures to draw; where there are points of a sweep, and no run of its own, those of the whole."""
    figures = run.config.output.figures
    if run.config.sweep is None or not figures or (run.directory / layout.SERIES).is_file():
        return figures
    return tuple(dict.fromkeys(["sweep", *(name for name in figures if FIGURES[name].whole_run)]))


def density_figure(run: RunData) -> Figure:
    """Draw the densities at some times, in 1D as curves, in 2D as coloured panels, in 3D as scenes.

    Args:
        run: The run.

    Returns:
        The figure.
    """
    by_dimension = {1: curves_figure, 2: plane_figure, 3: space_figure}
    return by_dimension[run.fields.first.dimension](run)
