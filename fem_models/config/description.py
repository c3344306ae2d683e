"""Listing the keys of a run file, with values, defaults and meanings."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fem_models.config.messages import LISTS, models_in, tag_of, toml, toml_key
from fem_models.config.run_file import RunConfig


class Entry(NamedTuple):
    """A key of a run file as `fem-models show` lists it; texts are TOML, empty where there is no value."""

    key: str
    value: str
    default: str
    meaning: str


def describe(config: RunConfig | None = None) -> list[Entry]:
    """List the keys of a run file.

    Args:
        config: A configuration; without one, all keys of all systems and energy terms are listed.

    Returns:
        A row per key: the dotted key that overrides take, its value, its default ("required" where there is
        none to fall back on, empty where the key may be left out) and its meaning with its unit.
    """
    entries: list[Entry] = []
    for name, field in RunConfig.model_fields.items():
        models = models_in(field.annotation)
        table = None if config is None else getattr(config, name)
        if not models:
            entries += _describe_names(name, field, table)
        elif isinstance(table, BaseModel):
            entries += _describe_table(name, type(table), table)
        elif table is None:
            for model in models:
                entries += _describe_table(f"{name}.N" if name in LISTS else name, model, None)
        else:
            for number, item in enumerate(table):
                entries += _describe_table(f"{name}.{number}", type(item), item)
    return entries


def _describe_names(name: str, field: FieldInfo, table: Mapping[str, Any] | None) -> Iterator[Entry]:
    """Rows of a table whose keys the user chooses."""
    if table is None:
        yield Entry(f"{name}.NAME", "", "", str(field.description))
    for key, value in (table or {}).items():
        yield Entry(f"{name}.{toml_key(key)}", toml(_as_tables(value)), "", str(field.description))


def _describe_table(prefix: str, model: type[BaseModel], table: BaseModel | None) -> Iterator[Entry]:
    """Rows of a table with fixed keys; those of one system or energy term say which."""
    tag = tag_of(model) if table is None else None
    for name, field in model.model_fields.items():
        value = None if table is None else getattr(table, name)
        meaning = f"{tag}: {field.description}" if tag else str(field.description)
        if (prefix, name) in (("initial", "expressions"), ("initial", "given"), ("solver", "petsc")):
            yield from _describe_names(prefix, field, value)
            continue
        key = f"{prefix}.{field.alias or name}"
        yield Entry(key, "" if value is None else toml(_as_tables(value)), _default(field), meaning)


def _as_tables(value: Any) -> Any:
    """Models, and lists of models, as tables."""
    if isinstance(value, tuple):
        return [_as_tables(item) for item in value]
    return value.model_dump(by_alias=True, exclude_none=True) if isinstance(value, BaseModel) else value


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "" if default is None else toml(_as_tables(default))
