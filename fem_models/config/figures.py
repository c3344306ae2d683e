"""The figures that a run file can ask for, and what each needs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from fem_models.config.registry import Registry
from fem_models.config.types import one_of

if TYPE_CHECKING:
    from fem_models.config.run_file import RunConfig

DEFAULT_FIGURES = ("density", "energy", "terms")


@dataclass(frozen=True)
class FigureEntry:
    """A figure by its name.

    Attributes:
        draw: A function of a `fem_models.results.run_data.RunData` that returns a matplotlib figure, or where
            it is, as "package.module:function": drawing takes long to import.
        needs: Whether a run file has what the figure shows.
        what: What that is, in words.
        whole_run: Whether it is of the run with all its variants, so that these do not draw it themselves.
    """

    draw: Callable[[Any], Any] | str
    needs: Callable[[RunConfig], bool] = lambda config: True
    what: str = ""
    whole_run: bool = False

    def drawing(self) -> Callable[[Any], Any]:
        """The function that draws."""
        if callable(self.draw):
            return self.draw
        module, name = self.draw.split(":")
        return getattr(importlib.import_module(module), name)


FIGURES: Registry[FigureEntry] = Registry("figure")

_OF_RUNS = {
    "density": "figures:density_figure",
    "profile": "lines:curves_figure",
    "energy": "energy:energy_figure",
    "terms": "energy:terms_figure",
    "overview": "overview:overview_figure",
    "steady": "steady:steady_figure",
}
for _name, _place in _OF_RUNS.items():
    FIGURES.add(_name, FigureEntry(f"fem_models.plotting.{_place}"))
FIGURES.add(
    "rates",
    FigureEntry(
        "fem_models.plotting.rates:rates_figure",
        lambda config: config.sweep is not None and len(config.sweep.axes) == 1,
        "a table [sweep] with one key",
        whole_run=True,
    ),
)
FIGURES.add(
    "sweep",
    FigureEntry(
        "fem_models.plotting.sweeps:sweep_figure",
        lambda config: config.sweep is not None,
        "a table [sweep]",
        whole_run=True,
    ),
)
FIGURES.add(
    "convexity",
    FigureEntry(
        "fem_models.plotting.convexity:convexity_figure",
        lambda config: config.convexity is not None,
        "a table [convexity]",
        whole_run=True,
    ),
)


def of_systems(place: str, *names: str) -> FigureEntry:
    """A figure of what the studies of some systems have measured.

    Args:
        place: Where it is drawn, as "package.module:function".
        names: The systems.

    Returns:
        Its entry.
    """
    listed = " or ".join(f'"{name}"' for name in names)
    return FigureEntry(
        place, lambda config: config.system.name in names, f"[system] name = {listed}", whole_run=True
    )


def _as_figures(value: Any) -> Any:
    if isinstance(value, bool):
        return DEFAULT_FIGURES if value else ()
    if not isinstance(value, list | tuple):
        raise ValueError("must be true, false or a list of figures")
    return tuple(value)


def _once(figures: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(figures))


Figures = Annotated[
    tuple[Annotated[str, AfterValidator(one_of(FIGURES))], ...],
    BeforeValidator(_as_figures),
    AfterValidator(_once),
]
