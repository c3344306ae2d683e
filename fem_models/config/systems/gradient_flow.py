"""The system "gradient-flow": any energy of any species."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, override

from pydantic import Field

from fem_models.config.flow_system import FlowSystem
from fem_models.config.system import SYSTEMS, Fields
from fem_models.core.errors import InputError

if TYPE_CHECKING:
    from fem_models import energies
    from fem_models.config.run_file import RunConfig
    from fem_models.flow.gradient_flow import GradientFlow
    from fem_models.meshes.marks import MarkedMesh

# Names of series.csv that an energy term cannot have.
_COLUMNS = ("step", "time", "dt", "energy", "dissipation", "newton", "linear")
_SPECIES_COLUMNS = ("mass_", "min_", "max_")


class AnyFlow(FlowSystem):
    """[system] name = "gradient-flow": the flow of the [[energy]] terms in the metrics of the [[species]]."""

    equation: ClassVar[str] = (
        "∂tρ_s = div(ρ_s ∇ δE/δρ_s) (Wasserstein), ∂tc_s = -δE/δc_s (L²), 0 = δE/δψ_s (static)"
    )
    name: Literal["gradient-flow"] = Field(description="the system")

    @property
    @override
    def fields(self) -> Fields:
        """None: they are those of [[species]]."""
        return ()

    @override
    def flow(self, config: RunConfig, marked: MarkedMesh) -> GradientFlow:
        """The flow of the terms of [[energy]] in the metrics of [[species]]."""
        from fem_models.energies import Energy
        from fem_models.flow.gradient_flow import GradientFlow, Species

        species = [Species(name=s.name, metric=s.metric) for s in config.species]
        return GradientFlow(marked.mesh, species, Energy(list(_terms(config))))


def _terms(config: RunConfig) -> Iterator[energies.Term]:
    """The energy terms; a term of several species is one term for each."""
    taken: dict[str, int] = {}
    for number, entry in enumerate(config.energy, start=1):
        where = f"[[energy]] #{number}"
        label = entry.label or entry.term
        taken[label] = taken.get(label, 0) + 1
        if entry.label is None and taken[label] > 1:
            label = f"{label}-{taken[label]}"
        names = entry.of or ()
        if entry.joint:
            groups = {label: names}
        else:
            groups = {f"{label}-{name}" if len(names) > 1 else label: (name,) for name in names}
        for name, of in groups.items():
            if name in _COLUMNS or name.startswith(_SPECIES_COLUMNS):
                raise InputError(f'{where} label = "{name}" is another column of series.csv; choose another.')
            yield entry.build(where, name, of, config.constants)


SYSTEMS.add("gradient-flow", AnyFlow)
