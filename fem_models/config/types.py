"""Types of the values in a run file: what is accepted, and what it becomes."""

from collections.abc import Callable, Collection
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from fem_models.core.checks import is_number
from fem_models.core.suggestions import nearest


class Table(BaseModel):
    """What all tables share: no unknown keys, no silent conversion, only finite numbers, no changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FrozenDict(dict):
    """A dictionary that refuses changes, can be hashed, and can be pickled to travel between ranks."""

    def _refuse(self, *_args: Any, **_kwargs: Any) -> None:
        raise TypeError("A run configuration cannot be changed; load it again with overrides.")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse  # type: ignore

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple:
        return FrozenDict, (dict(self),)


def freeze(value: Any) -> Any:
    """Turn lists and tables, at any depth, into tuples and FrozenDicts.

    Args:
        value: What TOML has.

    Returns:
        The same, which cannot be changed.
    """
    if isinstance(value, dict):
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return value


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """A check that a text is one of some names, which may still become more.

    Args:
        known: The names.

    Returns:
        A function that hands its argument on, or raises ValueError with the names that there are.
    """

    def check(value: str) -> str:
        if value not in known:
            guess = nearest(value, known)
            meant = f"; did you mean {guess}?" if guess else ""
            raise ValueError(f"must be one of {', '.join(known)}{meant}")
        return value

    return check


def _as_expression(value: Any) -> Any:
    if is_number(value):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("must be finite")
        return repr(value)
    if not isinstance(value, str):
        raise ValueError("must be an expression in quotes, or a number")
    if not value.strip():
        raise ValueError("must not be empty; write 0 for nothing")
    return value


def as_tuple(value: Any) -> Any:
    """Turn a list into a tuple and leave anything else to the next check.

    Args:
        value: Anything.

    Returns:
        A tuple for a list.
    """
    return tuple(value) if isinstance(value, list) else value


def _number_as_tuple(value: Any) -> Any:
    return (value,) if is_number(value) else as_tuple(value)


def _name_as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else as_tuple(value)


def _plain_label(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("must be a short text of printable characters")
    return value


def _petsc_value(value: Any) -> Any:
    if not isinstance(value, str | int | float) or (isinstance(value, float) and value - value != 0):
        raise ValueError("must be a string, a finite number, true or false")
    return value


def _increasing(times: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sorted(set(times)))


Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, BeforeValidator(_as_expression)]
Label = Annotated[str, AfterValidator(_plain_label)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(_number_as_tuple), Field(min_length=1)]
Counts = Annotated[tuple[Count, ...], BeforeValidator(_number_as_tuple), Field(min_length=1)]
Times = Annotated[tuple[float, ...], BeforeValidator(as_tuple), AfterValidator(_increasing)]
Names = Annotated[tuple[str, ...], BeforeValidator(_name_as_tuple), Field(min_length=1)]
NumberTable = Annotated[dict[str, float], AfterValidator(freeze)]
TextTable = Annotated[dict[str, Text], AfterValidator(freeze)]
PetscTable = Annotated[dict[str, Annotated[Any, AfterValidator(_petsc_value)]], AfterValidator(freeze)]
MassTable = Annotated[dict[str, Positive], AfterValidator(freeze)]
# The tags cannot be mistaken for keys of a file.
Mass = Annotated[
    Annotated[Positive, Tag("(number)")] | Annotated[MassTable, Tag("(table)")],
    Discriminator(lambda value: "(table)" if isinstance(value, dict) else "(number)"),
]
