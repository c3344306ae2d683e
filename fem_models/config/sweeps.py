"""[sweep]: the same run for several values of some keys, and what its points are called."""

import itertools
import math
import re
from functools import cached_property
from typing import Annotated, Any, Literal, Self, cast

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from fem_models.config.tables import Compare
from fem_models.config.types import Label, Numbers, Table, freeze
from fem_models.core.checks import is_number

Value = int | float | str | bool | tuple[float, ...]

MOST_POINTS = 10_000
# Texts that are part of a name, and of a directory, as they are; other texts go by their number.
_WORD = re.compile(r"[\w.+-]{1,24}")
_LONGEST_NAME = 100
# Ranges have so many digits, so that powers of two and tenths come out as such.
_DIGITS = 12


class Range(Table):
    """An entry of [sweep] keys: values from one number to another."""

    from_: float = Field(alias="from", description="first value, dimensionless")
    to: float = Field(description="last value, dimensionless")
    count: Annotated[int, Field(ge=2, le=MOST_POINTS)] = Field(description="number of values")
    spacing: Literal["linear", "log"] = Field("linear", description="equal differences, or equal ratios")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.from_ == self.to:
            raise ValueError("needs two different numbers from and to")
        if self.spacing == "log" and not (self.from_ > 0 and self.to > 0):
            raise ValueError('needs positive numbers from and to for spacing = "log"')
        return self

    @property
    def values(self) -> tuple[float, ...]:
        """The values, in their order; whole numbers are written as such, for keys that count."""
        spread = np.geomspace if self.spacing == "log" else np.linspace
        inner = [float(f"{value:.{_DIGITS}g}") for value in spread(self.from_, self.to, self.count)[1:-1]]
        return tuple(_whole(value) for value in (self.from_, *inner, self.to))


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def _is_range(value: Any) -> bool:
    return isinstance(value, dict | Range)


def _as_values(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _value(value: Any) -> Any:
    numbers = value if isinstance(value, list | tuple) and value else (value,)
    if isinstance(value, bool | str):
        return value
    if not all(is_number(number) and math.isfinite(number) for number in numbers):
        raise ValueError("must be a finite number, a text, true, false or a list of numbers")
    return freeze(value)


_Values = Annotated[
    tuple[Annotated[Any, AfterValidator(_value)], ...], BeforeValidator(_as_values), Field(min_length=1)
]
# The tags cannot be mistaken for keys of a file.
Values = Annotated[
    Annotated[_Values, Tag("(values)")]
    | Annotated[Range, AfterValidator(lambda entry: entry.values), Tag("(range)")],
    Discriminator(lambda value: "(range)" if _is_range(value) else "(values)"),
]


class Sweep(Table):
    """[sweep]: the run for several values of one key, or of several keys."""

    key: Label | None = Field(None, description='dotted key that changes, such as "system.epsilon"')
    values: Numbers | None = Field(None, description="values of the key, dimensionless")
    keys: Annotated[dict[Label, Values], AfterValidator(freeze)] | None = Field(
        None,
        description='several keys, "time.step" = [VALUES] or { from = .., to = .., count = .., '
        'spacing = "linear" or "log" }',
    )
    combine: Literal["product", "zip"] = Field(
        "product",
        description="every value of a key with every one of the others, or the first with the first",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.keys is not None and (self.key is not None or self.values is not None):
            raise ValueError("has both keys and key with values; keep one of them")
        if self.keys is None and (self.key is None or self.values is None):
            raise ValueError("needs key and values, or several keys as a table [sweep.keys]")
        if self.keys is not None and not self.keys:
            raise ValueError('keys must not be empty; write "mesh.h" = [0.1, 0.05] there, for instance')
        lengths = [len(values) for values in self.axes.values()]
        if self.combine == "zip" and len(set(lengths)) > 1:
            counts = ", ".join(f"{key} {len(values)}" for key, values in self.axes.items())
            raise ValueError(f'combine = "zip" needs equally many values of every key, but has {counts}')
        count = lengths[0] if self.combine == "zip" else math.prod(lengths)
        if count > MOST_POINTS:
            raise ValueError(f"has {count} points; {MOST_POINTS} is the most")
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"has the point {twice} twice; remove one of them")
        return self

    @property
    def axes(self) -> dict[str, tuple[Value, ...]]:
        """The values of each key; whole numbers are written as such, for keys that count."""
        if self.keys is not None:
            return cast("dict[str, tuple[Value, ...]]", dict(self.keys))
        return {str(self.key): tuple(_whole(value) for value in self.values or ())}

    @property
    def labels(self) -> tuple[str, ...]:
        """A short name of each key: its last part, or all of it where two end alike."""
        last = [key.rsplit(".", maxsplit=1)[-1] for key in self.axes]
        return tuple(
            short if last.count(short) == 1 else key for key, short in zip(self.axes, last, strict=True)
        )

    @property
    def label(self) -> str:
        """That of the first key."""
        return self.labels[0]

    @cached_property
    def points(self) -> tuple[tuple[Value, ...], ...]:
        """The values of the keys at each point; in a product the last key changes first."""
        return tuple(self._combined(self.axes.values()))

    @cached_property
    def variants(self) -> tuple[Compare, ...]:
        """A variant for each point."""
        texts = self._combined(_texts(values) for values in self.axes.values())
        found = []
        for number, (point, words) in enumerate(zip(self.points, texts, strict=True), start=1):
            name = ", ".join(f"{label} = {text}" for label, text in zip(self.labels, words, strict=True))
            found.append(
                Compare(
                    name=name if len(name) <= _LONGEST_NAME else f"point {number}",
                    set=freeze(dict(zip(self.axes, point, strict=True))),
                )
            )
        return tuple(found)

    def _combined(self, axes: Any) -> Any:
        return zip(*axes, strict=True) if self.combine == "zip" else itertools.product(*axes)


def _texts(values: tuple[Value, ...]) -> list[str]:
    """What the values of a key are called: numbers with as many digits as tell them apart."""
    short = [_text(value, values, "g") for value in values]
    different = len(set(values))
    return short if len(set(short)) == different else [_text(value, values, "r") for value in values]


def _text(value: Value, values: tuple[Value, ...], form: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else f"#{values.index(value) + 1}"
    numbers = value if isinstance(value, tuple) else (value,)
    return "x".join(f"{number:g}" if form == "g" else repr(number) for number in numbers)
