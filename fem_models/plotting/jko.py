"""What minimising movements cost over time: distances, the law of energy, and the total squared distance."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fem_models.core.errors import InputError
from fem_models.plotting.style import TIME, Look, colour, dashes, legend, new_figure, note, plain, symbol
from fem_models.results import layout
from fem_models.results.run_data import RunData

_DISTANCE, _ACTION = "distance_", "action_"
_FEW = 30
# Energies that differ by less than this share of the first one differ by rounding.
_DEEPEST = 1e-14


def jko_figure(run: RunData) -> Figure:
    """Draw the distances of the steps, their actions below the energy lost, and their total squared distance.

    The total is held against its bound Σ d²/(2τ) ≤ E(0) - E(t), (4.1) of Kinderlehrer, Monsaingeon and Xu.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If the run has no such table, or no step.
    """
    needed = ("time", "excess")
    table = run.table(layout.MOVEMENTS, needed, 'the figure "jko" needs a scheme of minimising movements')
    energy, time = run.energy, table["time"]
    if len(energy) != len(time) + 1:
        path = run.directory / layout.MOVEMENTS
        raise InputError(f"{path} and {layout.SERIES} are not of one run; run the run file again.")
    figure = new_figure(height=4.2, width=15.0)
    distances, law, total = figure.subplots(1, 3)
    marker = "." if len(time) <= _FEW else None
    _draw_distances(distances, run, table, marker)
    actions = np.sum([table[name] for name in table if name.startswith(_ACTION)], axis=0)
    _draw_law(law, time, actions, actions - table["excess"], np.abs(energy).max(), marker)
    if run.config.time.joined:
        _draw_total(total, run.series["time"], np.append(0.0, np.cumsum(actions)), energy[0] - energy, marker)
    else:
        note(total, "The movements begin at extrapolations:\nthere is no bound of the total distance.")
    return figure


def _draw_distances(axes: Axes, run: RunData, table: dict[str, np.ndarray], marker: str | None) -> None:
    metrics = dict(run.config.fields)
    names = [name.removeprefix(_DISTANCE) for name in table if name.startswith(_DISTANCE)]
    for number, name in enumerate(names):
        metric = r"$W_2$" if metrics.get(name) == "wasserstein" else r"$L^2$"
        look: Look = {
            "color": colour(number),
            "linestyle": dashes(number),
            "linewidth": 2.0,
            "marker": marker,
        }
        values = table[_DISTANCE + name]
        axes.plot(
            table["time"], np.where(values > 0.0, values, np.nan), label=f"{metric} of {symbol(name)}", **look
        )
    axes.set_yscale("log")
    axes.set_ylabel("distance moved in a step")
    _finish(axes)


def _draw_law(
    axes: Axes, time: np.ndarray, actions: np.ndarray, lost: np.ndarray, size: float, marker: str | None
) -> None:
    look: Look = {"linewidth": 2.0, "marker": marker}
    for number, (values, label) in enumerate(
        ((lost, "energy lost"), (actions, r"action $\sum d^2/(2\tau)$"))
    ):
        visible = np.where(values > _DEEPEST * size, values, np.nan)
        axes.plot(time, visible, color=colour(number), linestyle=dashes(number), label=label, **look)
    broken = actions > lost + _DEEPEST * size
    if broken.any():
        axes.plot(time[broken], actions[broken], "x", color="black", label="action above the energy lost")
    axes.set_yscale("log")
    axes.set_ylabel("energy in a step")
    _finish(axes)


def _draw_total(
    axes: Axes, time: np.ndarray, total: np.ndarray, bound: np.ndarray, marker: str | None
) -> None:
    look: Look = {"linewidth": 2.0, "marker": marker}
    axes.plot(time, bound, color=colour(0), label=r"bound $E(0) - E(t)$", **look)
    label = r"$\sum_n d^2/(2\tau)$ up to $t$"
    axes.plot(time, total, color=colour(1), linestyle=dashes(1), label=label, **look)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("energy and action up to t")
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.set_xlabel(TIME)
    # Times of many digits would run into each other.
    axes.xaxis.set_major_locator(MaxNLocator(5))
    legend(axes)
    plain(axes)
