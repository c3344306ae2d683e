"""One look for all figures: sizes, colours, labels, and how a figure becomes a file."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fem_models.core.errors import InputError
from fem_models.results.files import draft
from fem_models.results.run_data import RunData

DPI = 150
WIDTH = 10.0  # inches: 1500 pixels
TIME = "time t (dimensionless)"
# Okabe and Ito's colours, told apart by colour-blind readers, too; black is kept for totals and fits.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))
# For legends inside the axes: curves behind them do not get into the text.
LEGEND = {"framealpha": 0.8, "edgecolor": "none", "borderpad": 0.2}
_GREEK = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
    *("nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
}


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure, sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    return figure


def plain(axes: Axes) -> None:
    """Leave the axes two sides and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)


def sequence(count: int) -> list[tuple[float, ...]]:
    """Return colours for `count` times, dark to light and never too light for a white page."""
    colour_map = matplotlib.colormaps["viridis"]
    return [colour_map(shade) for shade in np.linspace(0.0, 0.9, max(count, 2))[:count]]


def colour(index: int) -> str:
    """Return the colour of a run, variant or energy term."""
    return COLOURS[index % len(COLOURS)]


def dashes(index: int) -> str | tuple:
    """Return the line style of a species."""
    return DASHES[index % len(DASHES)]


def symbol(name: str) -> str:
    """Return a name as matplotlib shows it: Greek letters by their sign, anything else as it is written.

    A number after a Greek letter is its index: rho1 is ρ₁.
    """
    letter = name.rstrip("0123456789")
    if letter in _GREEK:
        index = name.removeprefix(letter)
        return rf"$\{letter}_{{{index}}}$" if index else rf"$\{letter}$"
    # A dollar sign would begin a formula, and matplotlib hides what begins with an underscore.
    escaped = name.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def axis_label(run: RunData, name: str) -> str:
    """Return what an axis says of a field of a run: "density ρ", or the name alone where it is no density."""
    is_density = dict(run.config.fields).get(name) == "wasserstein"
    return f"density {symbol(name)}" if is_density else symbol(name)


def time_labels(times: Sequence[float]) -> list[str]:
    """Return "t = ..." for every time, with as many digits as tell them apart."""
    for digits in range(4, 17):
        texts = [f"{time:.{digits}g}" for time in times]
        if len(set(texts)) == len(set(times)):
            break
    return [f"t = {text}" for text in texts]


def note(axes: Axes, text: str) -> None:
    """Say in empty axes why they are empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color="0.4", transform=axes.transAxes)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all.

    Raises:
        InputError: If the file cannot be written.
    """
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from None
    with draft(path) as part:
        figure.savefig(part, format="png", dpi=DPI)
    return path
