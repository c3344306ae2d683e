"""One look for all figures: sizes, colours, labels, and how a figure becomes a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from fem_models.core.errors import InputError
from fem_models.core.files import draft
from fem_models.results.run_data import RunData

Look = dict[str, Any]
"""Options of matplotlib for a line, a marker or a legend, by name."""

DPI = 150
SUFFIXES = (".png", ".pdf", ".svg")
WIDTH = 10.0  # inches: 1500 pixels
TIME = "time t (dimensionless)"
# Okabe and Ito's colours and four of Tol's, told apart by colour-blind readers, too; black is kept for totals
# and fits.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#332288", "#999933", "#882255", "#88CCEE"),
)
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))
_GREEK = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
    *("nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
}


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure.

    Args:
        height: Its height in inches.
        width: Its width in inches.

    Returns:
        The figure.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return Figure(figsize=(width, height), dpi=DPI, layout=layout)


def plain(axes: Axes) -> None:
    """Leave the axes two sides and a faint grid.

    Args:
        axes: The axes.
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)


def legend(axes: Axes) -> None:
    """Put the legend of some axes to their right, where no curve is behind it.

    Args:
        axes: The axes; nothing happens where they have no label.
    """
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        look: Look = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "fontsize": "small"}
        axes.legend(handles, labels, frameon=False, borderaxespad=0.2, **look)


def columns_of(count: int, most: int) -> int:
    """How many of some panels stand beside each other, so that rows are full where that is possible.

    Args:
        count: The number of panels.
        most: How many fit beside each other.

    Returns:
        The number, from 1 to `most`.
    """
    if count <= most:
        return count
    return next((columns for columns in range(most, 1, -1) if count % columns == 0), most)


def sequence(count: int) -> list[tuple[float, ...]]:
    """Colours for times, dark to light and never too light for a white page.

    Args:
        count: The number of times.

    Returns:
        Red, green, blue and opacity of each.
    """
    colour_map = matplotlib.colormaps["viridis"]
    return [colour_map(shade) for shade in np.linspace(0.0, 0.9, max(count, 2))[:count]]


def colour(index: int) -> str:
    """The colour of a run, variant or energy term.

    Args:
        index: Its number.

    Returns:
        The colour; after the last one they begin again.
    """
    return COLOURS[index % len(COLOURS)]


def dashes(index: int) -> str | tuple:
    """The line style of a species.

    Args:
        index: Its number.

    Returns:
        The style; after the last one they begin again.
    """
    return DASHES[index % len(DASHES)]


def symbol(name: str) -> str:
    """A name as matplotlib shows it: Greek letters by their sign, anything else as it is written.

    Args:
        name: The name; a number after a Greek letter is its index: rho1 is ρ₁.

    Returns:
        The text for matplotlib.
    """
    letter = name.rstrip("0123456789")
    if letter in _GREEK:
        index = name.removeprefix(letter)
        return rf"$\{letter}_{{{index}}}$" if index else rf"$\{letter}$"
    # A dollar sign would begin a formula, and matplotlib hides what begins with an underscore.
    escaped = name.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def axis_label(run: RunData, name: str) -> str:
    """What an axis says of a field of a run.

    Args:
        run: The run.
        name: The field.

    Returns:
        "density ρ", or the name alone where it is no density.
    """
    is_density = dict(run.config.fields).get(name) == "wasserstein"
    return f"density {symbol(name)}" if is_density else symbol(name)


def time_labels(times: Sequence[float]) -> list[str]:
    """Texts for times, with as many digits as tell them apart.

    Args:
        times: The times.

    Returns:
        "t = ..." for each of them.
    """
    for digits in range(4, 17):
        texts = [f"{time:.{digits}g}" for time in times]
        if len(set(texts)) == len(set(times)):
            break
    return [f"t = {text}" for text in texts]


def note(axes: Axes, text: str) -> None:
    """Say in empty axes why they are empty.

    Args:
        axes: The axes.
        text: The reason.
    """
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color="0.4", transform=axes.transAxes)


def save(figure: Figure, path: Path, dpi: int = DPI) -> Path:
    """Write a figure as PNG, PDF or SVG, whole or not at all.

    Args:
        figure: The figure.
        path: The file, whose ending says the format; its directory exists.
        dpi: Dots per inch, of what is not drawn by lines.

    Returns:
        The file.

    Raises:
        InputError: If the path has another ending, or the file cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"The path of a picture must end in {', '.join(SUFFIXES)}, not {path.name!r}.")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no directory {path.parent}.")
    with draft(path) as part:
        figure.savefig(part, format=path.suffix[1:], dpi=dpi)
    return path
