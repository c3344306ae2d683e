"""The time schemes that a run file can name, by the kind of model whose steps they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fem_models.config.figures import FIGURES, FigureEntry
from fem_models.config.registry import Registry

if TYPE_CHECKING:
    from fem_models.config.tables import Time
    from fem_models.core.protocols import Scheme
    from fem_models.linalg.newton import NewtonSettings

GRADIENT_FLOW = "gradient-flow"
KINETIC = "kinetic"

Build = Callable[[Any, "Time", "NewtonSettings"], "Scheme[Any]"]
"""Makes the scheme of a model, from the table [time] and the settings of solvers."""


@dataclass(frozen=True)
class SchemeEntry:
    """A scheme by its name.

    Attributes:
        build: Makes the scheme of a model.
        model: The kind of model, `System.model`.
        others: Makes the scheme of the same name of other kinds of models.
        defaults: Keys of [time] whose defaults are its own.
        minimises: Whether its steps are minimising movements, with slabs.
        joined: Whether each of them begins at the state before it.
    """

    build: Build
    model: str = GRADIENT_FLOW
    others: Mapping[str, Build] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    minimises: bool = False
    joined: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        """The kinds of models that have a scheme of this name."""
        return (self.model, *self.others)

    def build_for(self, model: str) -> Build:
        """What makes the scheme of a kind of model.

        Args:
            model: One of `models`.

        Returns:
            The function.
        """
        return self.others.get(model, self.build)


SCHEMES: Registry[SchemeEntry] = Registry("scheme")


# The schemes themselves are imported where they are made: they bring DOLFINx, which takes a while.
def _backward_euler(model: Any, table: Time, settings: NewtonSettings) -> Scheme[Any]:
    if table.discretization == "log-density":
        from fem_models.schemes.log_density_euler import LogDensity

        return LogDensity(model, settings)
    from fem_models.schemes.backward_euler import BackwardEuler

    return BackwardEuler(model, table.flux, settings)


def _bdf2(model: Any, table: Time, settings: NewtonSettings) -> Scheme[Any]:
    from fem_models.schemes.bdf2 import Bdf2

    return Bdf2(model, table.flux, settings)


def _jko(model: Any, table: Time, settings: NewtonSettings) -> Scheme[Any]:
    from fem_models.jko.jko_step import Jko

    return Jko(model, table.flux, settings, slabs=table.slabs)


def _jko_bdf2(model: Any, table: Time, settings: NewtonSettings) -> Scheme[Any]:
    from fem_models.jko.jko_bdf2 import JkoBdf2

    return JkoBdf2(model, table.flux, settings, slabs=table.slabs)


def _kinetic_euler(model: Any, table: Time, settings: NewtonSettings) -> Scheme[Any]:
    from fem_models.kinetic.bgk.schemes import KineticEuler

    return KineticEuler(model, settings)


def _kinetic_bdf2(model: Any, table: Time, settings: NewtonSettings) -> Scheme[Any]:
    from fem_models.kinetic.bgk.schemes import KineticBdf2

    return KineticBdf2(model, settings)


# The action of minimising movements converges to that of W₂ with the average flux.
_AVERAGE = {"flux": "average"}

SCHEMES.add("backward-euler", SchemeEntry(_backward_euler, others={KINETIC: _kinetic_euler}))
SCHEMES.add("bdf2", SchemeEntry(_bdf2, others={KINETIC: _kinetic_bdf2}))
SCHEMES.add("jko", SchemeEntry(_jko, defaults=_AVERAGE, minimises=True, joined=True))
SCHEMES.add("jko-bdf2", SchemeEntry(_jko_bdf2, defaults=_AVERAGE, minimises=True))
FIGURES.add(
    "jko",
    FigureEntry(
        "fem_models.plotting.jko:jko_figure",
        lambda config: config.time.minimises,
        '[time] scheme = "jko" or "jko-bdf2"',
        whole_run=True,
    ),
)
