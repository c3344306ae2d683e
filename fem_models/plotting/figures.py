"""The figures of a run directory, by the names that [output] figures uses."""

from pathlib import Path

from matplotlib.figure import Figure

from fem_models.config.figures import FIGURES
from fem_models.core.errors import InputError, OutputError
from fem_models.plotting.lines import curves_figure
from fem_models.plotting.panels import plane_figure, space_figure
from fem_models.plotting.style import save
from fem_models.results import layout
from fem_models.results.run_data import RunData


def draw(directory: Path) -> list[Path]:
    """Draw the figures that a run asks for, from what its directory holds.

    Call it on one process, after the run. A figure that cannot be drawn does not keep the others from
    being drawn. The figures are those of Bruna, Burger and Carrillo, section 4, and of Matthes' slides.

    Args:
        directory: A run directory: run.toml, series.csv and fields.pvd, and summary.json and compare/NAME/
            where there are any.

    Returns:
        The files figures/NAME.png, or of another [output] format, in the order of [output] figures; an empty
        list where it is empty. Of the directory of a sweep those of the sweep, and "sweep" in any case.

    Raises:
        InputError: If the directory is not a run directory, or what a figure needs is missing or damaged.
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
    if failures:
        raise failures[0]
    return paths


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
