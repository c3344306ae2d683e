"""Densities as curves: along the interval in 1D, along a segment through the domain in 2D and 3D."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyvista as pv
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fem_models.config.formulas import formula
from fem_models.core.errors import InputError
from fem_models.plotting.style import (
    WIDTH,
    Look,
    axis_label,
    dashes,
    new_figure,
    plain,
    sequence,
    symbol,
    time_labels,
)
from fem_models.results.fields import POTENTIAL, STEADY, Snapshot
from fem_models.results.run_data import RunData

_AXES = "xyz"
_SAMPLES = 400
_MOST_CURVES = 8
# The width of a panel beside others, in inches.
_PANEL = 3.6

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Segment:
    """A segment through the domain, and the coordinate along it.

    Attributes:
        start: first point, shape (3,) (dimensionless).
        end: last point, shape (3,) (dimensionless).
        dimension: dimension of the domain.
    """

    start: _Array
    end: _Array
    dimension: int

    @property
    def axis(self) -> int | None:
        """Number of the coordinate axis that the segment is parallel to, None if it is oblique."""
        along = np.flatnonzero(self.start != self.end)
        return int(along[0]) if len(along) == 1 else None

    @property
    def label(self) -> str:
        """What the coordinate along the segment is, for an axis."""
        if self.dimension == 1:
            return "x"
        if self.axis is None:
            first, last = (
                ", ".join(f"{x:.4g}" for x in point[: self.dimension]) for point in (self.start, self.end)
            )
            return f"distance along ({first}) to ({last})"
        others = [axis for axis in range(self.dimension) if axis != self.axis]
        place = ", ".join(f"{_AXES[axis]} = {self.start[axis] + 0.0:.4g}" for axis in others)
        return f"{_AXES[self.axis]}  (at {place})"

    def sample(self, snapshot: Snapshot, name: str) -> tuple[_Array, _Array]:
        """The coordinate along the segment, and a field there.

        Args:
            snapshot: The fields.
            name: The field.

        Returns:
            The coordinate and the values, each of shape (samples,); in 1D the samples are the nodes. Outside
            of the domain a value is not a number.

        Raises:
            InputError: If the segment does not meet the domain.
        """
        where, values = self._nodes(snapshot, name) if self.dimension == 1 else self._probe(snapshot, name)
        if not np.any(np.isfinite(values)):
            raise InputError("[output] profile does not meet the domain; choose from and to inside it.")
        return where, values

    def _nodes(self, snapshot: Snapshot, name: str) -> tuple[_Array, _Array]:
        x, index = np.unique(snapshot.points[:, 0], return_index=True)
        low, high = sorted((self.start[0], self.end[0]))
        inside = (x >= low) & (x <= high)
        return x[inside], snapshot.values[name][index][inside]

    def _probe(self, snapshot: Snapshot, name: str) -> tuple[_Array, _Array]:
        share = np.linspace(0.0, 1.0, _SAMPLES)
        points = self.start + np.outer(share, self.end - self.start)
        probe = pv.PolyData(points).sample(snapshot.grid())
        values = np.where(probe["vtkValidPointMask"] == 1, probe[name], np.nan)
        where = share * np.linalg.norm(self.end - self.start) if self.axis is None else points[:, self.axis]
        return where, values


def segment_of(run: RunData) -> Segment:
    """The segment of [output] profile, or else one along x through the middle of the domain.

    Args:
        run: The run.

    Returns:
        The segment.

    Raises:
        InputError: If the points of the profile do not have as many entries as the domain dimensions.
    """
    snapshot = run.fields.last
    line, dimension = run.config.output.profile, snapshot.dimension
    if line is None:
        (low, high), middle = snapshot.bounds, snapshot.centre
        return Segment(np.array([low[0], *middle[1:]]), np.array([high[0], *middle[1:]]), dimension)
    if (given := len(line.to)) != dimension:
        raise InputError(f"[output] profile has points with {given} entries; the mesh needs {dimension}.")
    start, end = (np.pad(np.array(point, dtype=float), (0, 3 - dimension)) for point in (line.from_, line.to))
    return Segment(start, end, dimension)


def draw_curves(axes: Axes, run: RunData, segment: Segment, names: tuple[str, ...]) -> None:
    """Draw densities along a segment at some written times, dark to light, one line style a species.

    Args:
        axes: Where to draw.
        run: The run.
        segment: The segment.
        names: The densities.

    Raises:
        InputError: If fields cannot be read, or the segment does not meet the domain.
    """
    times = run.fields.some_times(_MOST_CURVES)
    for number, name in enumerate(names):
        for time, label, colour in zip(times, time_labels(times), sequence(len(times)), strict=True):
            look: Look = {"color": colour, "linestyle": dashes(number), "linewidth": 1.6}
            axes.plot(*segment.sample(run.fields.at(time), name), label=None if number else label, **look)
        if segment.dimension == 1 and name in run.config.exact:
            _draw_exact(axes, run, segment, name, times)
    for number, name in enumerate(names if len(names) > 1 else ()):
        axes.plot([], [], color="0.3", linestyle=dashes(number), label=symbol(name))
    axes.set_xlabel(segment.label)
    plain(axes)


def _draw_exact(axes: Axes, run: RunData, segment: Segment, name: str, times: tuple[float, ...]) -> None:
    """The exact density of an interval at the same times, as thin lines over those of the run."""
    exact = formula(run.config.exact[name], f"[exact] {name}", run.config.constants, ("t",))
    where = np.linspace(segment.start[0], segment.end[0], _SAMPLES)
    for time in times:
        values = exact.numpy(where[None, :], t=time)
        label = "exact" if time == times[0] else None
        axes.plot(where, values, color="black", linewidth=0.8, linestyle=(0, (1, 2)), label=label)


def curves_figure(run: RunData) -> Figure:
    """Draw every density along the segment, with its steady state and, faintly, the potential.

    The run and its variants stand beside each other.

    Args:
        run: The run.

    Returns:
        The figure.

    Raises:
        InputError: If fields cannot be read, or the segment does not meet the domain.
    """
    runs = comparable(run)
    species = run.fields.species
    segment = segment_of(run)
    width = WIDTH if len(runs) == 1 else 3.0 + _PANEL * len(runs)
    figure = new_figure(height=1.2 + 3.6 * len(species), width=width)
    panels = figure.subplots(len(species), len(runs), sharex=True, sharey="row", squeeze=False)
    found: dict[str, Artist] = {}
    for column, item in zip(panels.T, runs, strict=True):
        for axes, name in zip(column, species, strict=True):
            found |= _draw_panel(axes, item, segment, name)
        if len(runs) > 1:
            column[0].set_title(symbol(item.name), fontsize="medium")
    figure.legend(found.values(), found.keys(), loc="outside right upper", frameon=False)
    return figure


def _draw_panel(axes: Axes, run: RunData, segment: Segment, name: str) -> dict[str, Artist]:
    """One density; returns the entries of the legend."""
    draw_curves(axes, run, segment, (name,))
    axes.set_ylabel(axis_label(run, name))
    last = run.fields.last
    if name + STEADY in last.values:
        where, values = segment.sample(last, name + STEADY)
        axes.plot(where, values, color="black", linestyle="--", linewidth=1.4, label="steady state")
    handles, labels = axes.get_legend_handles_labels()
    entries: dict[str, Artist] = dict(zip(labels, handles, strict=True))
    if drawn := [v for v in (POTENTIAL, f"{POTENTIAL}_{name}") if v in last.values]:
        entries["potential V (right)"] = _draw_faint_potential(axes, segment, last, drawn[0])
    axes.label_outer()
    return entries


def comparable(run: RunData) -> list[RunData]:
    """The run and those of its variants that have the same densities, in the same dimension.

    Args:
        run: The run.

    Returns:
        The runs, itself first.
    """
    kind = run.fields.species, run.fields.last.dimension
    found = [item for item in run.variants if (item.fields.species, item.fields.last.dimension) == kind]
    return [run, *found]


def _draw_faint_potential(axes: Axes, segment: Segment, snapshot: Snapshot, name: str) -> Line2D:
    right = axes.twinx()
    (line,) = right.plot(*segment.sample(snapshot, name), color="0.7", linewidth=1.0)
    right.set_ylabel("potential V", color="0.55")
    right.tick_params(axis="y", colors="0.55")
    right.spines[["top", "left", "bottom"]].set_visible(False)
    right.spines["right"].set_color("0.7")
    # The densities stay in front.
    axes.set_zorder(right.get_zorder() + 1)
    axes.patch.set_visible(False)
    return line
