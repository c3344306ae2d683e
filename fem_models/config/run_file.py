"""A whole run file as one immutable model, and the checks that its tables agree with each other.

`fem_models.config.io` reads and writes it. Every number is dimensionless.
"""

import re
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from fem_models.config.figures import FIGURES
from fem_models.config.formulas import COORDINATES, SPECIES, Formulas
from fem_models.config.initial_table import Given, Initial
from fem_models.config.names import name_problem, repeated
from fem_models.config.schemes import SCHEMES
from fem_models.config.sweeps import Sweep
from fem_models.config.system import SYSTEMS, Fields, System
from fem_models.config.systems import load_systems
from fem_models.config.tables import (
    Checkpoint,
    Compare,
    Convexity,
    Limit,
    Mesh,
    Output,
    Solver,
    Species,
    Time,
)
from fem_models.config.terms import TERMS, Term
from fem_models.config.types import FrozenDict, NumberTable, Table, TextTable, as_tuple
from fem_models.core.errors import InputError
from fem_models.core.suggestions import choices
from fem_models.meshes.domain_names import DOMAINS


class Problems(ValueError):
    """Sentences about tables that do not agree.

    Args:
        sentences: Each names its key as it is written in the file.
    """

    def __init__(self, sentences: list[str]) -> None:
        super().__init__(sentences[0])
        self.sentences = sentences


class RunConfig(Table):
    """A run file: checked, complete and immutable."""

    mesh: Mesh = Field(description="the domain and its mesh")
    system: System = Field(description="the equations")
    species: Annotated[tuple[Species, ...], BeforeValidator(as_tuple)] = Field(
        (), description="densities of a gradient flow"
    )
    energy: Annotated[tuple[Term, ...], BeforeValidator(as_tuple)] = Field(
        (), description="energy terms of a gradient flow"
    )
    initial: Initial = Field(
        default_factory=lambda: Initial.model_validate({}), description="initial densities"
    )
    time: Time = Field(description="time scheme and steps")
    solver: Solver = Field(
        default_factory=lambda: Solver.model_validate({}), description="nonlinear and linear solver"
    )
    output: Output = Field(
        default_factory=lambda: Output.model_validate({}), description="fields and figures"
    )
    checkpoint: Checkpoint = Field(
        default_factory=lambda: Checkpoint.model_validate({}), description="what a stopped run goes on from"
    )
    parameters: NumberTable = Field(
        default_factory=FrozenDict, description="constants for expressions, NAME = number, dimensionless"
    )
    exact: TextTable = Field(
        default_factory=FrozenDict,
        description="exact densities, NAME = expression in x, y, z, r, t, dimensionless",
    )
    compare: Annotated[tuple[Compare, ...], BeforeValidator(as_tuple)] = Field(
        (), description="variants of the run, drawn in the same figures"
    )
    sweep: Sweep | None = Field(None, description="the same run for several values of some keys")
    convexity: Convexity | None = Field(None, description="second variations of the energy to compute")
    limit: Limit | None = Field(None, description="the diffusive limit of a kinetic equation")

    @model_validator(mode="before")
    @classmethod
    def _fill_of(cls, data: Any) -> Any:
        """Name the species of energy terms that need not name them: the only one, or all for a density."""
        if not isinstance(data, dict):
            return data
        species, energy = data.get("species"), data.get("energy")
        if not isinstance(species, list | tuple) or not isinstance(energy, list | tuple):
            return data
        names = [item.get("name") if isinstance(item, dict) else None for item in species]
        if not names or not all(isinstance(name, str) for name in names):
            return data

        def fill(term: Any) -> Any:
            if isinstance(term, dict) and (len(names) == 1 or term.get("term") == "density"):
                return {"of": list(dict.fromkeys(names))} | term
            return term

        return data | {"energy": [fill(term) for term in energy]}

    @model_validator(mode="before")
    @classmethod
    def _fill_by_system(cls, data: Any) -> Any:
        """The scheme and the figures that suit the system, where the file names none."""
        system = data.get("system") if isinstance(data, dict) else None
        name = system.get("name") if isinstance(system, dict) else None
        if not isinstance(name, str) or name not in SYSTEMS:
            return data
        time, output = data.get("time"), data.get("output", {})
        if isinstance(time, dict) and "scheme" not in time:
            data = data | {"time": {"scheme": SYSTEMS[name].scheme} | time}
        if isinstance(output, dict) and output.get("figures", True) is True:
            data = data | {"output": output | {"figures": list(SYSTEMS[name].figures_on(data.get("mesh")))}}
        return data

    @model_validator(mode="after")
    def _check(self) -> "RunConfig":
        sentences = list(_problems(self))
        if sentences:
            raise Problems(sentences)
        return self

    @property
    def fields(self) -> Fields:
        """Names of the fields with their metrics, in the order of the file."""
        return self.system.fields or tuple((species.name, species.metric) for species in self.species)

    @property
    def species_names(self) -> tuple[str, ...]:
        """Names of the fields, in the order of the file."""
        return tuple(name for name, _ in self.fields)

    @property
    def initial_names(self) -> tuple[str, ...]:
        """Names of the fields that have initial values: all but the static ones."""
        return tuple(name for name, metric in self.fields if metric != "static")

    @property
    def variants(self) -> tuple[Compare, ...]:
        """The variants of [[compare]], and those of [sweep] after them."""
        return (*self.compare, *(self.sweep.variants if self.sweep else ()))

    @property
    def constants(self) -> dict[str, float]:
        """The constants that expressions may name (dimensionless)."""
        return dict(self.parameters)

    @property
    def initial_expressions(self) -> dict[str, str]:
        """Initial densities that are written: text of expressions in x, y, z, r (dimensionless)."""
        written = {s.name: s.initial for s in self.species if s.initial is not None}
        found = self.initial.expressions | written
        return {name: found[name] for name in self.initial_names if name in found}

    @property
    def initial_sources(self) -> dict[str, Given]:
        """Initial densities that are read from elsewhere, by name."""
        common = None
        if self.initial.from_ is not None:
            common = Given.model_validate({"from": self.initial.from_, "time": self.initial.time})
        found = {name: self.initial.given.get(name, common) for name in self.initial_names}
        written = self.initial_expressions
        return {name: one for name, one in found.items() if one is not None and name not in written}

    @property
    def masses(self) -> dict[str, float]:
        """The masses to scale to (dimensionless): of a species its own, else that of [initial].

        A mass for all is for those of the Wasserstein metric; others are scaled where a mass names them.
        """
        common = self.initial.mass
        named = dict(common) if isinstance(common, Mapping) else {}
        named |= {s.name: s.mass for s in self.species if s.mass is not None}
        if isinstance(common, float):
            named = {name: common for name, metric in self.fields if metric == "wasserstein"} | named
        return {name: named[name] for name in self.initial_names if name in named}

    @property
    def unused_parameters(self) -> tuple[str, ...]:
        """The names in [parameters] that no expression uses."""
        words = {word for text, _, _ in _expressions(self) for word in re.findall(r"[^\W\d]\w*", text)}
        return tuple(name for name in self.parameters if name not in words)


def _problems(config: RunConfig) -> Iterator[str]:
    """Sentences about what does not fit together, in the order of the tables."""
    names = [*_species_problems(config), *config.system.problems(), *_energy_problems(config)]
    names += [*_density_name_problems(config), *_parameter_problems(config)]
    yield from names
    yield from _scheme_problems(config)
    if config.convexity is not None and config.initial_sources:
        name = next(iter(config.initial_sources))
        yield f"[convexity] needs initial densities that are expressions, and {name} is from elsewhere."
    if config.limit is not None and not config.system.has_limit:
        known = " or ".join(f'"{name}"' for name, system in SYSTEMS.items() if system.has_limit)
        yield f'[limit] does not go with [system] name = "{config.system.name}", but with {known}; remove it.'
    yield from _output_problems(config)
    yield from _figure_problems(config)
    yield from repeated("[[compare]]", "name", [variant.name for variant in config.compare])
    if not names:  # an expression cannot be judged while the names it may use are in doubt
        yield from _expression_problems(config)


def _species_problems(config: RunConfig) -> Iterator[str]:
    system = config.system.name
    for table in ("species", "energy"):
        given = bool(getattr(config, table))
        if given and system != "gradient-flow":
            yield (
                f'[[{table}]] does not go with [system] name = "{system}"; '
                'remove it or set name = "gradient-flow".'
            )
        if not given and system == "gradient-flow":
            yield f'[[{table}]] is missing; [system] name = "gradient-flow" needs at least one.'
    for number, species in enumerate(config.species, start=1):
        if problem := name_problem(species.name, "species"):
            yield f'[[species]] #{number} name = "{species.name}" {problem}.'
    yield from repeated("[[species]]", "name", [species.name for species in config.species])


def _energy_problems(config: RunConfig) -> Iterator[str]:
    known = tuple(species.name for species in config.species)
    if not known:
        return
    for number, term in enumerate(config.energy, start=1):
        if term.of is None:
            yield f"[[energy]] #{number} of is missing; name the species of the term, of {', '.join(known)}."
        for name in term.of or ():
            if name not in known:
                yield f'[[energy]] #{number} of = "{name}" is not a species; {choices(name, known)}.'
    yield from repeated("[[energy]]", "label", [term.label for term in config.energy])


def _density_name_problems(config: RunConfig) -> Iterator[str]:
    known = config.species_names
    if not known:
        return
    masses = config.initial.mass if isinstance(config.initial.mass, dict) else {}
    tables: dict[str, Iterable[str]] = {
        "[initial] ": {**config.initial.expressions, **config.initial.given},
        "[initial] mass.": masses,
        "[exact] ": config.exact,
    }
    others = config.system.other_initial
    for where, entries in tables.items():
        for name in entries:
            if where == "[initial] " and name in others:
                continue
            if name in set(known) - set(config.initial_names) and where != "[exact] ":
                yield f"{where}{name} is not needed: {name} follows from the other fields; remove it."
            elif name not in known:
                may = (*known, *others) if where == "[initial] " else known
                yield f"{where}{name} does not name a density of the system; {choices(name, may)}."
    written = {species.name: species for species in config.species}
    for name in known:
        own = written.get(name)
        entries = {*config.initial.expressions, *config.initial.given}
        if own is not None and own.initial is not None and name in entries:
            yield f"[initial] {name} is given a second time by initial in [[species]]; keep one of them."
        if own is not None and own.mass is not None and name in masses:
            yield f"[initial] mass.{name} is given a second time by mass in [[species]]; keep one of them."
        there = config.initial.from_ is not None or bool(entries & {name, config.system.whole_initial})
        if name in config.initial_names and not there and (own is None or own.initial is None):
            yield f"[initial] {name} is missing; every density needs an initial expression or [initial] from."
    if config.initial.from_ is not None and not {*config.initial_sources} - {*config.initial.given}:
        yield "[initial] from is not needed: every density has an entry of its own; remove it."


def _parameter_problems(config: RunConfig) -> Iterator[str]:
    for name in config.parameters:
        if problem := name_problem(name, "parameter"):
            yield f"[parameters] {name} {problem}."
        elif name in config.species_names:
            yield f"[parameters] {name} is the name of a density; choose another name for the parameter."


def _scheme_problems(config: RunConfig) -> Iterator[str]:
    """A sentence where the scheme takes no steps of such a system."""
    system, scheme = config.system, config.time.scheme
    if system.model not in SCHEMES[scheme].models:
        known = [name for name, entry in SCHEMES.items() if system.model in entry.models]
        yield (
            f'[time] scheme = "{scheme}" does not go with [system] name = "{system.name}"; '
            f"{choices(scheme, known)}."
        )


def _figure_problems(config: RunConfig) -> Iterator[str]:
    """Sentences about figures that need what the run file does not ask for."""
    for figure in config.output.figures:
        entry = FIGURES[figure]
        if not entry.needs(config):
            which = f'[output] figures has "{figure}"'
            yield f"{which}, which needs {entry.what}; add it or leave the figure out."


def _output_problems(config: RunConfig) -> Iterator[str]:
    start, end = config.time.start, config.time.end
    for time in config.output.field_times or ():
        if not start <= time <= end:
            yield f"[output] field_times has {time}, which is not between start = {start} and end = {end}."
    domain = DOMAINS.get(config.mesh.domain or "")
    dimension = domain.dimension if domain else None
    line = config.output.profile
    if dimension and line is not None and len(line.to) != dimension:
        yield (
            f"[output] profile has points with {len(line.to)} entries; "
            f'[mesh] domain = "{config.mesh.domain}" needs {dimension}.'
        )


def _expressions(config: RunConfig) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Every expression with the variables it may use and the key it is under."""
    yield from _under("[system] ", config.system.formulas(), config.species_names)
    for number, species in enumerate(config.species, start=1):
        if species.initial is not None:
            yield species.initial, COORDINATES, f"[[species]] #{number} initial"
    for number, term in enumerate(config.energy, start=1):
        yield from _under(f"[[energy]] #{number} ", term.formulas(), config.species_names)
    for name, text in config.initial.expressions.items():
        yield text, config.system.other_initial.get(name, COORDINATES), f"[initial] {name}"
    for name, text in config.exact.items():
        yield text, (*COORDINATES, "t"), f"[exact] {name}"


def _under(
    table: str, formulas: Formulas, species: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...], str]]:
    for key, text, variables in formulas:
        fixed = tuple(name for name in variables if name not in SPECIES)
        yield text, (*fixed, *species) if len(fixed) < len(variables) else fixed, f"{table}{key}"


def _expression_problems(config: RunConfig) -> Iterator[str]:
    from fem_models.expressions import Expression  # here: it brings UFL, which takes a while to import

    for text, variables, where in _expressions(config):
        try:
            Expression(text, variables, config.constants, where=where)
        except InputError as error:
            key = where.removeprefix("[system] ")
            yield config.system.explained(text, str(error), key) if key != where else str(error)


def _know_all_names() -> None:
    """Let run files name all systems and energy terms that are registered."""
    if not SYSTEMS or not TERMS:
        return
    system = RunConfig.model_fields["system"]
    system.annotation, system.discriminator = reduce(or_, SYSTEMS.values()), "name"
    union: Any = Annotated[reduce(or_, TERMS.values()), Field(discriminator="term")]
    several: Any = types.GenericAlias(tuple, (union, ...))
    RunConfig.model_fields["energy"].annotation = several
    RunConfig.model_rebuild(force=True)


load_systems()
SYSTEMS.watch(_know_all_names)
TERMS.watch(_know_all_names)
