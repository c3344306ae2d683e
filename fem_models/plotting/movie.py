"""Films of runs: fields over the written times, with one scale for all of them and the time in the title.

Rows of a film are fields, columns are runs. One process draws, without a display.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, override

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from scipy.spatial import cKDTree

from fem_models.core.errors import InputError
from fem_models.core.extras import require
from fem_models.core.files import draft
from fem_models.plotting.panels import Scale, limits, paint, scales_of
from fem_models.plotting.rows import curve
from fem_models.plotting.scene import render
from fem_models.plotting.style import axis_label, colour, new_figure, plain, symbol, time_labels
from fem_models.results.phase_space import PhaseSpace, PhaseSpaceRun, has_phase_space
from fem_models.results.run_data import RunData

if TYPE_CHECKING:
    from fem_models.results.fields import Snapshot

FORMATS = ("mp4", "gif")
_DPI = 100
# A film of few times lasts so many seconds, one of many has so many pictures per second.
_SECONDS, _FASTEST = 4.0, 25.0
# Inches of a panel, and of what stands around it.
_PANEL, _LABELS, _SIDE, _TOP = 4.6, 0.8, 1.2, 1.0
_LOWEST, _TALLEST = 2.0, 7.0
_ROOM = 0.05

Picture = npt.NDArray[np.uint8]
Tell = Callable[[int, int], None]
"""Is told how many pictures of how many are drawn."""


def movie(
    runs: Sequence[RunData],
    path: Path,
    fields: Sequence[str] = (),
    fps: float | None = None,
    tell: Tell = lambda done, total: None,
) -> Path:
    """Write a film of a run, or of several beside each other. Call it on one process.

    The times are those at which the first run has written fields; another run is shown at its nearest time,
    which stands above its panel.

    Args:
        runs: The runs, of one dimension; one or more.
        path: The film, a file that ends in .mp4 or .gif, in a directory that exists.
        fields: Names of the fields; those of the run file by default, and of kinetic equations in one
            dimension the distribution in phase space.
        fps: Pictures per second of the film; by default so that it lasts four seconds or more.
        tell: Is told of the progress.

    Returns:
        The film.

    Raises:
        InputError: Fields are missing or are there at one time only, the runs do not fit, or the file cannot
            be written.
        OutputError: There is no room for the film.
    """
    if path.suffix[1:] not in FORMATS:
        raise InputError(f"The path of a film must end in .{' or .'.join(FORMATS)}, not {path.name!r}.")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no directory {path.parent}.")
    if not fields and all(map(has_phase_space, runs)):
        runs = [PhaseSpaceRun(run.directory, run.name) for run in runs]
    times = _times(runs)
    names = tuple(fields) or runs[0].fields.species
    _check(runs, names)
    speed = fps or float(np.clip(len(times) / _SECONDS, 0.5, _FASTEST))
    write = _write_mp4 if path.suffix == ".mp4" else _write_gif
    with draft(path) as part:
        write(part, _pictures(runs, names, times, tell), speed)
    return path


def _times(runs: Sequence[RunData]) -> tuple[float, ...]:
    first = runs[0]
    times = first.fields.times
    if len(times) < 2:
        raise InputError(
            f"{first.directory} has fields at one time only, t = {times[0]:g}, and a film needs two or more: "
            "[output] fields_every or field_times writes more of them."
        )
    return times


def _check(runs: Sequence[RunData], names: Sequence[str]) -> None:
    """Check that all runs have the fields, in one dimension."""
    dimension = runs[0].fields.first.dimension
    for run in runs:
        first = run.fields.first
        if first.dimension != dimension:
            raise InputError(
                f"{run.directory} has {first.dimension} dimensions and {runs[0].directory} has {dimension}: "
                "a film shows runs of one dimension."
            )
        for name in names:
            try:
                _ = first[name]
            except InputError as error:
                raise InputError(f"{run.directory}: {error}") from None


def _pictures(
    runs: Sequence[RunData], names: Sequence[str], times: Sequence[float], tell: Tell
) -> Iterator[Picture]:
    scales = scales_of(runs, {run: run.fields.times for run in runs}, names)
    figure, panels = _stage(runs, names, scales)
    canvas = FigureCanvasAgg(figure)
    title = figure.suptitle(time_labels(times)[0])
    for panel in panels:
        panel.show(times[0])
    # The frame is laid out once: what moves from here on is the film.
    canvas.draw()
    figure.set_layout_engine("none")
    for number, (time, label) in enumerate(zip(times, time_labels(times), strict=True)):
        title.set_text(label)
        for panel in panels:
            panel.show(time)
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[..., :3]
        # Encoders want even numbers of rows and columns.
        yield np.ascontiguousarray(picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2])
        tell(number + 1, len(times))


def _stage(
    runs: Sequence[RunData], names: Sequence[str], scales: dict[str, Scale]
) -> tuple[Figure, list[_Panel]]:
    snapshot = runs[0].fields.first
    low, high = snapshot.bounds
    extent = high - low
    of_phase_space = isinstance(runs[0].fields, PhaseSpace)
    flat = snapshot.dimension == 2 and not of_phase_space
    aspect = float(extent[1] / extent[0]) if flat else 0.75
    height = float(np.clip((_PANEL - _LABELS) * aspect, _LOWEST, _TALLEST))
    width = _PANEL * len(runs) + _SIDE
    figure = new_figure(height=height * len(names) + _TOP, width=width)
    figure.set_dpi(_DPI)
    grid = figure.subplots(len(names), len(runs), squeeze=False)
    kinds: dict[int, Callable[..., _Panel]] = {1: _Curve, 2: _Plane, 3: _Scene}
    kind = _PhaseSpace if of_phase_space else kinds[snapshot.dimension]
    panels: list[_Panel] = []
    for row, name in zip(grid, names, strict=True):
        for axes, run in zip(row, runs, strict=True):
            panels.append(kind(axes, run, name, scales[name]))
            if len(runs) > 1:
                panels[-1].named = symbol(run.name)
        if snapshot.dimension > 1:
            bar = figure.colorbar(ScalarMappable(scales[name][0], "viridis"), ax=row, aspect=30)
            bar.set_label(axis_label(runs[0], name) + scales[name][1])
    return figure, panels


class _Panel(ABC):
    """A field of a run, at one time after the other."""

    def __init__(self, axes: Axes, run: RunData, name: str, scale: Scale) -> None:
        self._axes, self._run, self._name, self._scale = axes, run, name, scale
        self.named = ""
        self._shown: float | None = None

    def show(self, time: float) -> None:
        """Show the field at the written time that is nearest to a time."""
        times = self._run.fields.times
        own = times[int(np.argmin(np.abs(np.array(times) - time)))]
        if own != self._shown:
            self.draw(self._run.fields.at(own))
            self._shown = own
        if self.named:
            told = "" if own == time else f" ({time_labels([own])[0]})"
            self._axes.set_title(self.named + told, fontsize="medium")

    @abstractmethod
    def draw(self, snapshot: Snapshot) -> None:
        """Draw the field at a time."""


class _Curve(_Panel):
    def __init__(self, axes: Axes, run: RunData, name: str, scale: Scale) -> None:
        super().__init__(axes, run, name, scale)
        snapshot = run.fields.first
        (self._line,) = axes.plot([], [], color=colour(0), linewidth=1.8)
        low, high = limits(scale[0])
        room = _ROOM * (high - low)
        axes.set(xlabel="x", ylabel=axis_label(run, name), ylim=(low - room, high + room))
        axes.set_xlim(snapshot.bounds[0][0], snapshot.bounds[1][0])
        plain(axes)

    def draw(self, snapshot: Snapshot) -> None:
        self._line.set_data(*curve(snapshot, self._name))


class _Plane(_Panel):
    def __init__(self, axes: Axes, run: RunData, name: str, scale: Scale) -> None:
        super().__init__(axes, run, name, scale)
        axes.set(xlabel="x", ylabel="y")
        snapshot = run.fields.first
        self._cells = snapshot.cells
        self._picture = paint(axes, snapshot, name, scale[0])

    def draw(self, snapshot: Snapshot) -> None:
        # A run that went on on other ranks has its nodes in another order.
        if snapshot.cells is self._cells:
            self._picture.set_array(snapshot[self._name])
            return
        self._picture.remove()
        self._cells = snapshot.cells
        self._picture = paint(self._axes, snapshot, self._name, self._scale[0])


class _PhaseSpace(_Plane):
    def __init__(self, axes: Axes, run: RunData, name: str, scale: Scale) -> None:
        super().__init__(axes, run, name, scale)
        axes.set_ylabel("v")
        axes.margins(0.0)

    @override
    def draw(self, snapshot: Snapshot) -> None:
        super().draw(snapshot)
        self._axes.set_aspect("auto")


class _Scene(_Panel):
    def __init__(self, axes: Axes, run: RunData, name: str, scale: Scale) -> None:
        super().__init__(axes, run, name, scale)
        axes.set_axis_off()
        self._picture: AxesImage | None = None

    def draw(self, snapshot: Snapshot) -> None:
        picture = render(snapshot, self._name, self._scale[0])
        if self._picture is None:
            self._picture = self._axes.imshow(picture)
        else:
            self._picture.set_data(picture)


def _write_mp4(path: Path, pictures: Iterator[Picture], fps: float) -> None:
    # H.264 in MP4, as browsers and slides show it; the wheel brings ffmpeg.
    ffmpeg = require("imageio_ffmpeg", extra="plot", what="Films as MP4")
    first = next(pictures)
    size = (first.shape[1], first.shape[0])
    options = {"quality": 8, "macro_block_size": 2, "output_params": ["-f", "mp4"]}
    sink = ffmpeg.write_frames(str(path), size, fps=fps, codec="libx264", **options)
    try:
        sink.send(None)
        sink.send(first)
        for picture in pictures:
            sink.send(picture)
    finally:
        sink.close()


def _write_gif(path: Path, pictures: Iterator[Picture], fps: float) -> None:
    from PIL import Image

    # One set of colours for all pictures: a set for each makes films flicker.
    colours = _palette()
    nearest = cKDTree(colours)

    def coloured(picture: Picture) -> Image.Image:
        _, indices = nearest.query(picture)
        image = Image.fromarray(indices.astype(np.uint8))
        image.putpalette(colours.ravel().tolist())
        return image

    first, *others = map(coloured, pictures)
    # GIF counts hundredths of a second.
    duration = max(20, round(100.0 / fps) * 10)
    first.save(path, format="GIF", save_all=True, append_images=others, duration=duration, loop=0)


def _palette() -> Picture:
    """The 256 colours of a film: those of densities, greys, and those of curves on white, shape (256, 3)."""
    map_ = matplotlib.colormaps["viridis"](np.linspace(0.0, 1.0, 176))[:, :3]
    greys = np.repeat(np.linspace(0.0, 1.0, 48)[:, None], 3, axis=1)
    line = np.array(to_rgb(colour(0)))
    shades = 1.0 - np.linspace(0.0, 1.0, 32)[:, None] * (1.0 - line)
    return np.round(255.0 * np.concatenate([map_, greys, shades])).astype(np.uint8)
