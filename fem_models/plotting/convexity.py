"""Second variations of a coupled energy over the frequency of an oscillation (Matthes, the lemma)."""

import numpy as np
from matplotlib.figure import Figure

from fem_models.plotting.style import Look, colour, legend, new_figure, plain
from fem_models.results import layout
from fem_models.results.run_data import RunData

_COLUMNS = ("k", "displacement", "flat", "flat_least")
_FREQUENCY = "frequency k (dimensionless)"


def convexity_figure(run: RunData) -> Figure:
    """Draw the second variation along a translation, which grows like -k², and the flat one.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If the run has no such table.
    """
    table = run.table(layout.CONVEXITY, _COLUMNS, 'the figure "convexity" needs [convexity] in the run file')
    k, displacement = table["k"], table["displacement"]
    figure = new_figure(height=4.2, width=11.0)
    along, flat = figure.subplots(1, 2)
    look: Look = {"marker": "o", "linestyle": "", "color": colour(0)}
    for sign, label, face in ((1.0, "positive", "none"), (-1.0, "negative", colour(0))):
        shown = sign * displacement > 0.0
        along.plot(k[shown], np.abs(displacement[shown]), label=label, markerfacecolor=face, **look)
    last = int(np.argmax(k))
    if displacement[last] < 0.0:
        look = {"color": "black", "linewidth": 1.0}
        along.plot(k, -displacement[last] * (k / k[last]) ** 2, **look, label=r"slope of $-k^2$")
    along.set_xscale("log")
    along.set_yscale("log")
    along.set_ylabel(r"$|\,d^2E(\tau_s\rho)/ds^2|$ at $s = 0$")
    flat.plot(k, table["flat"], "o-", color=colour(1), label="in the direction of the oscillation")
    text = "least over the range, relative to the diagonal"
    flat.plot(k, table["flat_least"], "s--", color=colour(2), label=text)
    flat.axhline(0.0, color="black", linewidth=0.8)
    flat.set_xscale("log")
    flat.set_ylim(top=1.3 * max(1.0, float(np.max(table["flat"]))))
    flat.set_ylabel("flat second variation")
    titles = ("(a) along a translation of the first density", "(b) along lines")
    for axes, title in zip((along, flat), titles, strict=True):
        axes.set_title(title, loc="left", fontsize="medium")
        axes.set_xlabel(_FREQUENCY)
        legend(axes)
        plain(axes)
    return figure
