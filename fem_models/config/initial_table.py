"""The table [initial] of a run file: expressions, and densities from elsewhere, dimensionless."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from fem_models.config.types import FrozenDict, Label, Mass, Table, TextTable, freeze


class Given(Table):
    """[initial] NAME: a density from a run directory or a file."""

    from_: str = Field(alias="from", description="run directory or file, found as a mesh file is")
    field: Label | None = Field(None, description="field or array there; that of the name unless given")
    time: float | None = Field(
        None, description="one of the times there; the last unless given, dimensionless"
    )
    invert: bool = Field(False, description="whether white is zero in an image, and not black")


class Initial(Table):
    """[initial]: NAME = expression, or a table with `from`, for every species, and their masses."""

    expressions: TextTable = Field(
        default_factory=FrozenDict, description="initial densities, expressions in x, y, z, r, dimensionless"
    )
    given: Annotated[dict[str, Given], AfterValidator(freeze)] = Field(
        default_factory=FrozenDict,
        description="initial densities from elsewhere, { from = PATH, field, time, invert }",
    )
    from_: str | None = Field(
        None, alias="from", description="run directory or file with the densities that have no entry here"
    )
    time: float | None = Field(
        None, description="one of the times there; the last unless given, dimensionless"
    )
    mass: Mass | None = Field(
        None,
        description="mass to scale densities to, or a table by name (as written without), dimensionless",
    )

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        table: dict[str, Any] = {key: data[key] for key in ("from", "time", "mass") if key in data}
        names = [key for key in data if key not in table]
        table["expressions"] = {key: data[key] for key in names if not isinstance(data[key], dict)}
        table["given"] = {key: data[key] for key in names if isinstance(data[key], dict)}
        return table

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.time is not None and self.from_ is None:
            raise ValueError(
                "time goes with from only; remove it, or set the time of the run in [time] start"
            )
        return self
