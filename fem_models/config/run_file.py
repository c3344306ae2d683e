"""A whole run file as one immutable model, and the checks that its tables agree with each other.

`fem_models.config.io` reads and writes it. Every number is dimensionless.
"""

import keyword
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from fem_models.config.system_tables import (
    COORDINATES,
    INTERACTIONS,
    Chemotaxis,
    ExcludedVolume,
    Fields,
    FokkerPlanck,
    GradientFlow,
    PoissonNernstPlanck,
    TwoComponent,
)
from fem_models.config.tables import (
    DIMENSIONS,
    BoltzmannTerm,
    Compare,
    Convexity,
    DensityTerm,
    DirichletTerm,
    Initial,
    InteractionTerm,
    Mesh,
    Output,
    PotentialTerm,
    PowerLawTerm,
    QuadraticTerm,
    Solver,
    Species,
    Sweep,
    Time,
)
from fem_models.config.types import FrozenDict, NumberTable, Table, TextTable, as_tuple
from fem_models.core.errors import InputError
from fem_models.core.suggestions import choices, nearest

System = Annotated[
    ExcludedVolume | FokkerPlanck | TwoComponent | Chemotaxis | PoissonNernstPlanck | GradientFlow,
    Field(discriminator="name"),
]
Energy = Annotated[
    BoltzmannTerm
    | PowerLawTerm
    | QuadraticTerm
    | PotentialTerm
    | DensityTerm
    | DirichletTerm
    | InteractionTerm,
    Field(discriminator="term"),
]


# Figures that need more than the time steps of one run.
WHOLE_RUN_FIGURES = ("rates", "convexity", "expansion", "concentration", "jko")


class Problems(ValueError):
    """Sentences about tables that do not agree; each names its key as written in the file."""

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
    energy: Annotated[tuple[Energy, ...], BeforeValidator(as_tuple)] = Field(
        (), description="energy terms of a gradient flow"
    )
    initial: Initial = Field(default_factory=Initial, description="initial densities")
    time: Time = Field(description="time scheme and steps")
    solver: Solver = Field(default_factory=Solver, description="nonlinear and linear solver")
    output: Output = Field(default_factory=Output, description="fields and figures")
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
    sweep: Sweep | None = Field(None, description="the same run for several values of one key")
    convexity: Convexity | None = Field(None, description="second variations of the energy to compute")

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
        """Initial density of every species: text of an expression in x, y, z, r (dimensionless)."""
        written = {s.name: s.initial for s in self.species if s.initial is not None}
        return {name: (self.initial.expressions | written)[name] for name in self.initial_names}

    @property
    def masses(self) -> dict[str, float]:
        """Mass of every species (dimensionless): its own, else that of [initial], else 1."""
        common = self.initial.mass
        table = common if isinstance(common, dict) else dict.fromkeys(self.initial_names, common)
        own = {s.name: s.mass for s in self.species if s.mass is not None}
        return {name: own.get(name, table.get(name, 1.0)) for name in self.initial_names}


def _problems(config: RunConfig) -> Iterator[str]:
    """Sentences about what does not fit together, in the order of the tables."""
    names = [*_species_problems(config), *_energy_problems(config), *_density_name_problems(config)]
    names += [*_parameter_problems(config)]
    yield from names
    yield from _output_problems(config)
    yield from _figure_problems(config)
    yield from _repeated("[[compare]]", "name", [variant.name for variant in config.compare])
    yield from _repeated("[system]", "ions.name", _ion_names(config))
    if not names:  # an expression cannot be judged while the names it may use are in doubt
        yield from _expression_problems(config)


def _name_problem(name: str, kind: str) -> str | None:
    from fem_models.expressions.operations import (
        FUNCTIONS,  # here: it brings UFL, which takes a while to import
    )

    if not name.isidentifier() or keyword.iskeyword(name):
        return f"cannot name a {kind}; use letters, digits and underscores, not beginning with a digit"
    if name in {*COORDINATES, "t", "pi", "e", "mass", *FUNCTIONS}:
        return f"has a meaning of its own in a run file; choose another name for the {kind}"
    return None


def _repeated(table: str, key: str, names: Iterable[str | None]) -> Iterator[str]:
    seen: set[str | None] = {None}
    for number, name in enumerate(names, start=1):
        if name in seen - {None}:
            yield f'{table} #{number} {key} = "{name}" is taken; every {key} must be unique.'
        seen.add(name)


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
        if problem := _name_problem(species.name, "species"):
            yield f'[[species]] #{number} name = "{species.name}" {problem}.'
    for number, name in enumerate(_ion_names(config)):
        if problem := _name_problem(name, "density"):
            yield f'[system] ions.{number}.name = "{name}" {problem}.'
        elif name == "psi":
            yield '[system] ions cannot have the name "psi", that of the potential; choose another.'
    yield from _repeated("[[species]]", "name", [species.name for species in config.species])


def _ion_names(config: RunConfig) -> list[str]:
    return [ion.name for ion in config.system.ions] if isinstance(config.system, PoissonNernstPlanck) else []


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
    yield from _repeated("[[energy]]", "label", [term.label for term in config.energy])


def _density_name_problems(config: RunConfig) -> Iterator[str]:
    known = config.species_names
    if not known:
        return
    masses = config.initial.mass if isinstance(config.initial.mass, dict) else {}
    tables = {"[initial] ": config.initial.expressions, "[initial] mass.": masses, "[exact] ": config.exact}
    for where, entries in tables.items():
        for name in entries:
            if name in set(known) - set(config.initial_names) and where != "[exact] ":
                yield f"{where}{name} is not needed: {name} follows from the other fields; remove it."
            elif name not in known:
                yield f"{where}{name} does not name a density of the system; {choices(name, known)}."
    written = {species.name: species for species in config.species}
    for name in known:
        own = written.get(name)
        if own is not None and own.initial is not None and name in config.initial.expressions:
            yield f"[initial] {name} is given a second time by initial in [[species]]; keep one of them."
        if own is not None and own.mass is not None and name in masses:
            yield f"[initial] mass.{name} is given a second time by mass in [[species]]; keep one of them."
        written_in = name in config.initial.expressions or (own is not None and own.initial is not None)
        if name in config.initial_names and not written_in:
            yield f"[initial] {name} is missing; every density needs an initial expression."


def _parameter_problems(config: RunConfig) -> Iterator[str]:
    for name in config.parameters:
        if problem := _name_problem(name, "parameter"):
            yield f"[parameters] {name} {problem}."
        elif name in config.species_names:
            yield f"[parameters] {name} is the name of a density; choose another name for the parameter."


def _figure_problems(config: RunConfig) -> Iterator[str]:
    """Sentences about figures that need what the run file does not ask for."""
    system = config.system.name
    needs = {
        "rates": (config.sweep is not None, "a table [sweep]"),
        "convexity": (config.convexity is not None, "a table [convexity]"),
        "expansion": (
            system in ("two-component", "chemotaxis"),
            '[system] name = "two-component" or "chemotaxis"',
        ),
        "concentration": (system == "chemotaxis", '[system] name = "chemotaxis"'),
        "jko": (config.time.minimises, '[time] scheme = "jko" or "jko-bdf2"'),
    }
    for figure in config.output.figures:
        there, what = needs.get(figure, (True, ""))
        if not there:
            yield f'[output] figures has "{figure}", which needs {what}; add it or leave the figure out.'


def _output_problems(config: RunConfig) -> Iterator[str]:
    start, end = config.time.start, config.time.end
    for time in config.output.field_times or ():
        if not start <= time <= end:
            yield f"[output] field_times has {time}, which is not between start = {start} and end = {end}."
    dimension = DIMENSIONS.get(config.mesh.domain or "")
    line = config.output.profile
    if dimension and line is not None and len(line.to) != dimension:
        yield (
            f"[output] profile has points with {len(line.to)} entries; "
            f'[mesh] domain = "{config.mesh.domain}" needs {dimension}.'
        )


def _expressions(config: RunConfig) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Every expression with the variables it may use and the key it is under."""
    for key, text, variables in config.system.formulas():
        yield text, variables, f"[system] {key}"
    for number, species in enumerate(config.species, start=1):
        if species.initial is not None:
            yield species.initial, COORDINATES, f"[[species]] #{number} initial"
    for number, term in enumerate(config.energy, start=1):
        if isinstance(term, PotentialTerm):
            yield term.V, COORDINATES, f"[[energy]] #{number} V"
        if isinstance(term, DensityTerm):
            variables = (*COORDINATES, *config.species_names)
            yield term.expression, variables, f"[[energy]] #{number} expression"
        if isinstance(term, DirichletTerm):
            yield term.coefficient, COORDINATES, f"[[energy]] #{number} coefficient"
        if isinstance(term, InteractionTerm):
            yield term.kernel, COORDINATES, f"[[energy]] #{number} kernel"
    for name, text in config.initial.expressions.items():
        yield text, COORDINATES, f"[initial] {name}"
    for name, text in config.exact.items():
        yield text, (*COORDINATES, "t"), f"[exact] {name}"


def _expression_problems(config: RunConfig) -> Iterator[str]:
    from fem_models.expressions import Expression  # here: it brings UFL, which takes a while to import

    for text, variables, where in _expressions(config):
        try:
            Expression(text, variables, config.constants, where=where)
        except InputError as error:
            sentence = str(error)
            if where == "[system] interaction":
                sentence = _interaction_problem(text, sentence)
            yield sentence


def _interaction_problem(text: str, sentence: str) -> str:
    if nearest(text, INTERACTIONS):
        known = choices(text, INTERACTIONS)
        return f'[system] interaction = "{text}" is not known; {known}, or an expression in r.'
    return f"{sentence.removesuffix('.')}, or one of {', '.join(INTERACTIONS)}."
