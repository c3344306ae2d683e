"""The tables of a run file as immutable models. Every number is dimensionless.

The models check keys, types and ranges; what a validator says is completed with the key and its value in
`fem_models.config.messages`.
"""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fem_models.config.figures import DEFAULT_FIGURES, Figures
from fem_models.config.schemes import SCHEMES
from fem_models.config.types import (
    Count,
    Counts,
    FrozenDict,
    Label,
    Numbers,
    NumberTable,
    PetscTable,
    Positive,
    Table,
    Text,
    Times,
    as_tuple,
    freeze,
    one_of,
)
from fem_models.meshes.domain_names import DOMAINS

_PETSC_OWN = ("snes_", "ksp_", "pc_", "mat_", "vec_", "sub_", "mg_", "fieldsplit_", "log_", "options_")
# Solvers that a run makes beside those of its steps, see `fem_models.linalg.krylov`.
_INNER = ("static_", "log_mass_", "geodesic_", "steady_", "nonlocal_", "perturbed_")
CONTROL = ("tolerance", "min_step", "max_step", "growth")
"""The keys of [time] that adaptive control has, and no other."""
SMALLEST = 1e-6
"""The smallest step of adaptive control unless it is given, as a share of the first one."""
# BDF2 with variable steps is stable below 1 + √2.
_STABLE = 2.41
PETSC_PREFIXES = (*_PETSC_OWN, *_INNER)


class Mesh(Table):
    """[mesh]: a built-in domain, or a mesh file."""

    domain: Annotated[str, AfterValidator(one_of(DOMAINS))] | None = Field(
        None, description="built-in domain; exactly one of domain and file must be given"
    )
    file: str | None = Field(
        None, description="mesh file, relative to the run file's folder or the current folder"
    )
    lower: Numbers | None = Field(
        None, description="lower corner of an interval, rectangle or box (0 unless given), dimensionless"
    )
    upper: Numbers | None = Field(
        None, description="upper corner of an interval, rectangle or box (1 unless given), dimensionless"
    )
    center: Numbers | None = Field(
        None, description="centre of a disk, ball or space (the origin unless given), dimensionless"
    )
    radius: Positive | None = Field(
        None, description="radius of a disk, or of the ball in space (1 unless given), dimensionless"
    )
    lengths: Numbers | None = Field(
        None,
        description="side lengths of a torus, one for each dimension (1 for each of cells), dimensionless",
    )
    cells: Counts | None = Field(None, description="number of cells along each axis; excludes h")
    h: Positive | None = Field(None, description="target edge length, dimensionless; excludes cells")
    parameters: NumberTable = Field(
        default_factory=FrozenDict, description="parameters of a .geo file, NAME = number, dimensionless"
    )
    merge: bool = Field(False, description="whether nodes of a file that lie at one place are made one")

    @model_validator(mode="before")
    @classmethod
    def _fill_geometry(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("domain"), str) or "file" in data:
            return data
        domain = DOMAINS.get(data["domain"])
        if domain is None:
            return data
        if domain.dimension is None:
            counts = data.get("cells")
            counts = [counts] if isinstance(counts, int) else counts
            return {"lengths": [1.0] * len(counts)} | data if isinstance(counts, list | tuple) else data
        if domain.is_round:
            return {"center": [0.0] * domain.dimension, "radius": 1.0} | data
        return {"lower": [0.0] * domain.dimension, "upper": [1.0] * domain.dimension} | data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.domain is None) == (self.file is None):
            raise ValueError("needs exactly one of domain and file" + ", not both" * (self.file is not None))
        if self.cells is not None and self.h is not None:
            raise ValueError("cells and h exclude each other; keep one of them")
        self._check_keys()
        if self.domain is not None:
            self._check_domain(DOMAINS[self.domain].dimension or self._dimension_of_torus())
        return self

    def _check_keys(self) -> None:
        keys = ("h", "parameters") if self.domain is None else tuple(sorted(DOMAINS[self.domain].keys))
        kind = "a mesh file" if self.domain is None else f'domain = "{self.domain}"'
        if self.merge and self.domain is not None:
            raise ValueError(f"merge is for mesh files; {kind} has no two nodes at one place")
        for key in ("lower", "upper", "center", "radius", "lengths", "cells", "h", "parameters"):
            if key not in keys and getattr(self, key):
                raise ValueError(f"{key} does not go with {kind}, which takes {', '.join(keys)}")

    def _dimension_of_torus(self) -> int:
        if self.lengths is None:
            raise ValueError('domain = "torus" needs lengths, one for each dimension, or cells')
        if not 1 <= len(self.lengths) <= 3 or min(self.lengths) <= 0.0:
            raise ValueError(f"lengths must have one to three positive numbers, not {list(self.lengths)}")
        if self.cells is not None and min(self.cells) < 3:
            raise ValueError(f"cells must be at least 3 around a torus, not {list(self.cells)}")
        return len(self.lengths)

    def _check_domain(self, dimension: int) -> None:
        for key in ("lower", "upper", "center", "cells"):
            values = getattr(self, key)
            if values is not None and len(values) != dimension:
                wanted = "1 entry" if dimension == 1 else f"{dimension} entries"
                raise ValueError(
                    f'{key} must have {wanted} for domain = "{self.domain}", but has {len(values)}'
                )
        if self.lower and self.upper and any(a >= b for a, b in zip(self.lower, self.upper, strict=True)):
            raise ValueError(f"upper = {list(self.upper)} must be greater than lower = {list(self.lower)}")


class Species(Table):
    """[[species]]: a density and its metric."""

    name: str = Field(description="name of the density, an identifier")
    metric: Literal["wasserstein", "l2", "static"] = Field(
        "wasserstein", description="metric of the flow; static fields are in equilibrium"
    )
    initial: Text | None = Field(None, description="initial density, expression in x, y, z, r, dimensionless")
    mass: Positive | None = Field(None, description="mass to scale the initial density to, dimensionless")


class Time(Table):
    """[time]: the scheme and the clock."""

    scheme: Annotated[str, AfterValidator(one_of(SCHEMES))] = Field(
        "backward-euler", description="time scheme"
    )
    flux: Literal["upwind", "average"] = Field(
        "upwind", description="density on an edge; minimising movements take average unless it is given"
    )
    slabs: Count = Field(1, description="slabs of time in the paths of minimising movements")
    discretization: Literal["edge-averaged", "log-density"] = Field(
        "edge-averaged",
        description="of densities: edge-averaged allows for vacuum, log-density has order 2 for m = 1",
    )
    degree: Literal[1, 2] = Field(1, description="order of the polynomials of the log-density")
    start: float = Field(0.0, description="first time, dimensionless")
    end: float = Field(description="last time, greater than start, dimensionless")
    step: Positive = Field(description="step size, the first one of adaptive control, dimensionless")
    control: Literal["fixed", "adaptive"] = Field(
        "fixed", description="whether steps are equal, or follow from the error that each adds"
    )
    tolerance: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="adaptive control: error of a step relative to the state (0.001), dimensionless"
    )
    min_step: Positive | None = Field(
        None, description="adaptive control: smallest step (step / 1e6 unless given), dimensionless"
    )
    max_step: Positive | None = Field(
        None, description="adaptive control: largest step (end - start unless given), dimensionless"
    )
    growth: Annotated[float, Field(gt=1, le=10)] | None = Field(
        None, description="adaptive control: largest quotient of a step and the last (2), dimensionless"
    )
    stop_when_steady: bool = Field(
        False,
        description="stop early at rest: dissipation below 1e-14 of the energy per time",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_scheme(cls, data: Any) -> Any:
        """The defaults that a scheme has of its own, such as the flux of minimising movements."""
        scheme = data.get("scheme") if isinstance(data, dict) else None
        if isinstance(scheme, str) and scheme in SCHEMES:
            return {**SCHEMES[scheme].defaults, **data}
        return data

    @model_validator(mode="before")
    @classmethod
    def _fill_control(cls, data: Any) -> Any:
        """The defaults of adaptive control, which follow from the first step and the times."""
        if not isinstance(data, dict) or data.get("control") != "adaptive":
            return data
        numbers = [data.get(key) for key in ("start", "end", "step")]
        start, end, step = (value if isinstance(value, int | float) else None for value in numbers)
        filled: dict[str, Any] = {"tolerance": 1e-3, "growth": 2.0}
        if step is not None:
            filled["min_step"] = SMALLEST * step
        if end is not None and end > (start or 0.0):
            filled["max_step"] = end - (start or 0.0)
        return filled | data

    @property
    def minimises(self) -> bool:
        """Whether steps are minimising movements."""
        return SCHEMES[self.scheme].minimises

    @property
    def joined(self) -> bool:
        """Whether every step is a minimising movement from the state before it."""
        return SCHEMES[self.scheme].joined

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"end = {self.end} must be greater than start = {self.start}")
        if self.discretization == "log-density" and self.scheme != "backward-euler":
            raise ValueError(f'scheme = "{self.scheme}" does not go with discretization = "log-density"')
        if self.discretization == "edge-averaged" and self.degree != 1:
            raise ValueError('degree = 2 needs discretization = "log-density"')
        self._check_control()
        if self.slabs > 1 and not self.minimises:
            names = " or ".join(f'"{name}"' for name, entry in SCHEMES.items() if entry.minimises)
            raise ValueError(f"slabs = {self.slabs} goes with scheme = {names} only; remove it")
        return self

    def _check_control(self) -> None:
        given = {key: getattr(self, key) for key in CONTROL}
        if self.control == "fixed":
            if names := [key for key, value in given.items() if value is not None]:
                raise ValueError(f'{names[0]} goes with control = "adaptive" only; remove it')
            return
        if self.min_step is not None and self.min_step > self.step:
            raise ValueError(f"min_step = {self.min_step:g} must not be greater than step = {self.step:g}")
        if self.max_step is not None and self.max_step < self.step < self.end - self.start:
            raise ValueError(f"max_step = {self.max_step:g} must not be smaller than step = {self.step:g}")
        if self.scheme == "bdf2" and self.growth is not None and self.growth > _STABLE:
            raise ValueError(f"growth = {self.growth:g} is unstable with BDF2: take less than 1 + √2")


class Solver(Table):
    """[solver]: Newton's method, the linear solver and PETSc options."""

    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-10, description="relative tolerance of Newton's method, between 0 and 1, dimensionless"
    )
    max_iterations: Count = Field(50, description="largest number of Newton iterations in a step")
    linear: Literal["auto", "direct", "krylov"] = Field("auto", description="linear solver")
    petsc: PetscTable = Field(
        default_factory=FrozenDict, description="PETSc options, written as keys of [solver]"
    )

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if "petsc" in data:
            raise ValueError(
                'petsc is not a key; write PETSc options as keys of [solver], as ksp_type = "cg"'
            )
        options = {key: value for key, value in data.items() if key.startswith(PETSC_PREFIXES)}
        return {key: value for key, value in data.items() if key not in options} | {"petsc": options}


class Line(Table):
    """[output] profile: the segment along which profiles are drawn."""

    from_: Numbers = Field(alias="from", description="first point of the line, dimensionless")
    to: Numbers = Field(description="last point of the line, dimensionless")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.from_) != len(self.to) or len(self.to) > 3:
            raise ValueError("needs from and to with as many entries as the mesh has dimensions")
        if self.from_ == self.to:
            raise ValueError("needs two different points from and to")
        return self


Level = Literal["debug", "info", "warning"]
LEVELS = get_args(Level)
"""How much a line of log.txt matters, the least first."""

Inches = Annotated[float, Field(ge=1.0, le=100.0)]


class Output(Table):
    """[output]: fields and figures."""

    fields_every: Count | None = Field(
        None, description="write fields every so many steps; excludes field_times"
    )
    field_times: Times | None = Field(
        None, description="times between start and end at which fields are written, dimensionless"
    )
    vtx: bool = Field(
        False, description="write the fields as VTX, too: fields.bp, which ParaView reads in parallel"
    )
    figures: Figures = Field(
        DEFAULT_FIGURES,
        description="true, false or a list of figures, those of `fem-models list`",
    )
    format: Literal["png", "pdf", "svg"] = Field("png", description="format of the figures")
    dpi: Annotated[int, Field(ge=30, le=1200)] = Field(150, description="dots per inch of the figures")
    size: Annotated[tuple[Inches, Inches], BeforeValidator(as_tuple)] | None = Field(
        None, description="width and height of every figure in inches; unless given, as the figure needs"
    )
    colour_scale: Literal["linear", "root", "log"] | None = Field(
        None,
        description="colour scale of densities; unless given, root where they get much smaller, else linear",
    )
    profile: Line | None = Field(None, description="line of the profiles, { from = [..], to = [..] }")
    steady: bool = Field(
        True, description="whether the steady state is computed, for the decay rate and the figures"
    )

    log: Level = Field(
        "info", description="least level of log.txt; debug has a line for every step, warning none"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fields_every is not None and self.field_times is not None:
            raise ValueError("fields_every and field_times exclude each other; keep one of them")
        return self


class Checkpoint(Table):
    """[checkpoint]: what a run needs to go on, kept while it runs; there is one at every stop in any case."""

    every_steps: Count | None = Field(None, description="keep a checkpoint every so many steps")
    every_seconds: Positive | None = Field(None, description="keep a checkpoint after so many seconds")
    keep: Count = Field(2, description="how many checkpoints stay, the latest ones")


class Compare(Table):
    """[[compare]]: a variant of the run, drawn in the same figures."""

    name: Label = Field(description="unique name of the variant")
    set: Annotated[dict[str, Any], AfterValidator(freeze)] = Field(
        description='what differs, { "system.coefficient" = 0.0, ... }'
    )


class Convexity(Table):
    """[convexity]: second variations of the energy of two densities that oscillate (Matthes, the lemma).

    The densities are ρ_1 = ρ⁰_1 (1 + a sin kx) and ρ_2 = ρ⁰_2 (1 + a sin kx), with the initial ones for ρ⁰.
    """

    frequencies: Numbers = Field(description="frequencies k of the oscillation along x, dimensionless")
    amplitude: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="amplitude a of the oscillation, between 0 and 1, dimensionless"
    )


class Limit(Table):
    """[limit]: the diffusive limit of a kinetic equation."""

    compare: bool = Field(description="whether its run goes along, from the same density in the same steps")
