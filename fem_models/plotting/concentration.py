"""How few vertices of the mesh hold a density over time, as in Keller and Segel's model."""

import numpy as np
from matplotlib.figure import Figure

from fem_models.core.errors import InputError
from fem_models.plotting.style import TIME, Look, colour, dashes, legend, new_figure, plain, symbol
from fem_models.results import layout
from fem_models.results.run_data import RunData

_VERTICES, _SHARE = "vertices_half_", "largest_share_"


def concentration_figure(run: RunData) -> Figure:
    """Draw the number of vertices with half of the mass and the share of one, for the run and its variants.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If the run has no such table.
    """
    runs = [run, *(item for item in run.variants if (item.directory / layout.STUDY).is_file())]
    figure = new_figure(height=4.2, width=11.0)
    vertices, share = figure.subplots(1, 2)
    for number, item in enumerate(runs):
        table = item.table(layout.STUDY, ("time",), 'the figure "concentration" needs a chemotaxis model')
        look: Look = {"color": colour(number), "linestyle": dashes(number), "linewidth": 2.0}
        for axes, prefix in ((vertices, _VERTICES), (share, _SHARE)):
            axes.plot(table["time"], _column(item, table, prefix), label=symbol(item.name), **look)
    vertices.set_yscale("log")
    vertices.set_ylim(bottom=0.8)
    vertices.set_ylabel("vertices that hold half of the mass")
    share.set_ylim(0.0, 1.0)
    share.set_ylabel("largest share of the mass at one vertex")
    for axes in (vertices, share):
        axes.set_xlabel(TIME)
        legend(axes)
        plain(axes)
    return figure


def _column(run: RunData, table: dict, prefix: str) -> np.ndarray:
    """The column of the density, whatever its name."""
    found = [name for name in table if name.startswith(prefix)]
    if not found:
        raise InputError(
            f"{run.directory / layout.STUDY} has no column {prefix}NAME, which chemotaxis models have."
        )
    return table[found[0]]
