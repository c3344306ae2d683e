"""Reading, overriding and writing run files. Every failure is one InputError with one sentence."""

import datetime
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fem_models.config.figures import FIGURES
from fem_models.config.messages import (
    LISTS,
    explain,
    one_sentence,
    shown,
    toml,
    toml_key,
)
from fem_models.config.paths import resolve_files
from fem_models.config.run_file import RunConfig
from fem_models.core.errors import InputError

# Tables of variants, which no variant has.
_OF_VARIANTS = {"compare": "[[compare]]", "sweep": "[sweep]"}
# What tells a range of [sweep.keys] from a table of a run file.
_OF_RANGES = {"from", "to", "count", "spacing"}
_DEEPEST = 20
_LARGEST = 2**63


def load(path: str | Path, overrides: Sequence[str] = (), check_variants: bool = True) -> RunConfig:
    """Read a run file.

    Args:
        path: The TOML file.
        overrides: Texts such as "time.step=0.1", "species.0.mass=2" or "time.scheme=bdf2", applied in order;
            the value is read as TOML, or taken as a string where it is not TOML.
        check_variants: Whether the variants are checked too; there may be thousands.

    Returns:
        The checked configuration with every default filled in and an absolute path of the mesh file.

    Raises:
        InputError: If the file cannot be read, is not TOML, or a key or value is wrong.
    """
    data = _read(path)
    for text in overrides:
        key, value = _split_override(text)
        _set(data, key, value, f"The override {text!r}")
    return from_dict(data, Path(path).parent, check_variants)


def from_dict(data: Mapping[str, Any], base: Path | None = None, check_variants: bool = True) -> RunConfig:
    """Check the tables of a run file.

    Args:
        data: The tables, as tomllib returns them; left unchanged.
        base: The folder that relative paths are tried in before the current folder.
        check_variants: As for `load`.

    Returns:
        The checked configuration with every default filled in.

    Raises:
        InputError: If a key or value is wrong, here or in a variant of [[compare]].
    """
    if not isinstance(data, Mapping):
        raise InputError("A run file must be a table of tables such as [mesh], [system] and [time].")
    tables = _plain(dict(data), ())
    _join_keys(tables.get("sweep"))
    resolve_files(tables, base)
    config = _validated(tables)
    wrong: list[str] = []
    for index in range(len(config.variants) if check_variants else 0):
        try:
            variant(config, index)
        except InputError as error:
            wrong += getattr(error, "sentences", [str(error)])
    if wrong:
        raise one_sentence(wrong)
    return config


def dump(config: RunConfig) -> str:
    """Write a configuration as the TOML text of a run file.

    Args:
        config: The configuration.

    Returns:
        TOML with every default filled in; it loads back to an equal configuration.
    """
    blocks = []
    for name, table in to_dict(config).items():
        heading = f"[[{name}]]" if name in LISTS else f"[{name}]"
        for item in table if name in LISTS else [table]:
            lines = [f"{toml_key(key)} = {toml(value)}" for key, value in item.items()]
            blocks.append("\n".join([heading, *lines]))
    return "\n\n".join(blocks) + "\n"


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Return the tables of a configuration as plain dictionaries and lists, laid out as in a run file.

    Args:
        config: The configuration.

    Returns:
        Tables by name.
    """
    tables = _thaw(config.model_dump(by_alias=True, exclude_none=True))
    initial = tables["initial"]
    tables["initial"] = initial.pop("expressions") | initial.pop("given") | initial
    tables["solver"] |= tables["solver"].pop("petsc")
    return {name: table for name, table in tables.items() if table or name == "initial"}


def variant(config: RunConfig, index: int) -> RunConfig:
    """Return the configuration of a variant of [[compare]].

    Args:
        config: The run with its variants.
        index: Number of the variant, counted from 0.

    Returns:
        The same run with the variant's keys set, and without variants of its own.

    Raises:
        InputError: If there is no such variant, or its values are wrong.
    """
    if not 0 <= index < len(config.variants):
        raise InputError(f"The variants have {len(config.variants)} entries; there is no entry {index}.")
    chosen = config.variants[index]
    where = f"[[compare]] #{index + 1} ({chosen.name})"
    if index >= len(config.compare):
        where = f"[sweep] {chosen.name}"
    tables = to_dict(config)
    tables.pop("compare", None)
    tables.pop("sweep", None)
    tables.pop("convexity", None)
    # Figures of the run as a whole are not those of a variant.
    figures = tables.get("output", {}).get("figures", [])
    tables.setdefault("output", {})["figures"] = [name for name in figures if not FIGURES[name].whole_run]
    changes = [(_split_key(key, f"{where} set"), _thaw(value)) for key, value in chosen.set.items()]
    for key, value in changes:
        if key[0] in _OF_VARIANTS:
            table = _OF_VARIANTS[key[0]]
            raise InputError(f"{where} set cannot change {table} itself; remove {'.'.join(key)}.")
        if key == ["system"] and isinstance(value, dict):
            _replace_system(value, tables, where)
    for key, value in changes:
        _set(tables, key, value, f"{where} set {shown('.'.join(key))}")
    try:
        return _validated(tables)
    except InputError as error:
        raise one_sentence(f"{where}: {text}" for text in getattr(error, "sentences", [str(error)])) from None


def _read(path: str | Path) -> dict[str, Any]:
    try:
        file = Path(path)
        if file.is_dir():
            raise InputError(f"{path} is a folder; give the path of a run file (.toml).")
        text = file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give the path of a run file (.toml).") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; give the path of a run file (.toml).") from None
    except InputError:
        raise
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}.") from None
    return _parse(text, path)


def _parse(text: str, path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{path} nests lists or tables too deeply; flatten them.") from None
    except ValueError as error:
        place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        if place is None:
            raise InputError(f"{path} is not TOML: {error}.") from None
        line = place[1] or str(text.count("\n") + 1)
        column = f", column {place[2]}" if place[2] else " (the end)"
        raise InputError(f"{path}, line {line}{column}: {str(error)[: place.start()]}.") from None


def overridden(text: str) -> list[str]:
    """The key of an override.

    Args:
        text: Such as "time.step=0.1".

    Returns:
        Its parts.

    Raises:
        InputError: It is no override.
    """
    return _split_override(text)[0]


def _split_override(text: Any) -> tuple[list[str], Any]:
    if not isinstance(text, str) or "=" not in text:
        raise InputError(f'The override {text!r} needs the form key=value, such as "time.step=0.1".')
    key, value = (part.strip() for part in text.split("=", maxsplit=1))
    return _split_key(key, f"The override {text!r}"), _override_value(value)


def _override_value(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = table["value"]
    # "1\nkey = 2" is not one value, and no key takes a date, while 2020-01-01 is a fine expression.
    is_date = isinstance(value, datetime.date | datetime.time)
    return text if len(table) > 1 or is_date else value


def _split_key(text: str, where: str) -> list[str]:
    """The parts of a dotted TOML key."""
    try:
        table: Any = tomllib.loads(f"{text} = 0") if text.isprintable() else {}
    except (ValueError, RecursionError):
        table = {}
    parts = []
    while isinstance(table, dict) and len(table) == 1:
        [(part, table)] = table.items()
        parts.append(part)
    if table != 0 or not parts or text.startswith("["):
        raise InputError(f"{where} needs a dotted key such as time.step, not {shown(text)}.")
    return parts


def _set(data: dict[str, Any], key: list[str], value: Any, where: str) -> None:
    """Set a value deep in the tables; `where` begins the sentence if there is no such place."""
    here: Any = data
    for depth, part in enumerate(key):
        last = depth == len(key) - 1
        if isinstance(here, list):
            here = _set_item(here, part, value, last, f"{where}: {'.'.join(key[:depth])}")
        elif not isinstance(here, dict):
            raise InputError(
                f"{where}: {'.'.join(key[:depth])} = {_safely_shown(here)} has no keys of its own."
            )
        elif last:
            here[part] = value
        else:
            here = here.setdefault(part, {})


def _set_item(items: list[Any], part: str, value: Any, last: bool, where: str) -> Any:
    """Set or return an entry of a list."""
    if not part.isdecimal() or len(part) > 9 or int(part) >= len(items):
        raise InputError(
            f"{where} has {len(items)} entries, numbered from 0; there is no entry {shown(part)}."
        )
    if last:
        items[int(part)] = value
    return items[int(part)]


def _safely_shown(value: Any) -> str:
    return shown(value) if isinstance(value, str | int | float) else str(value)


def _plain(value: Any, path: tuple[str, ...]) -> Any:
    """A copy made of TOML's types only, so that no later step meets anything else."""
    where = f"{'.'.join(path)[:200]} = {str(value)[:60]!r}" if path else "A run file"
    if len(path) > _DEEPEST:
        raise InputError(f"{'.'.join(path)[:200]} nests lists or tables too deeply; flatten them.")
    if isinstance(value, Mapping):
        return {_plain_key(key, path): _plain(item, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, str(number))) for number, item in enumerate(value)]
    if isinstance(value, bool | float):
        return bool(value) if isinstance(value, bool) else float(value)
    if isinstance(value, int):
        if not -_LARGEST <= value < _LARGEST:
            raise InputError(f"{'.'.join(path)} is a whole number that does not fit in 64 bits.")
        return int(value)
    if isinstance(value, str):
        if not _is_unicode(value):
            raise InputError(f"{where} is not valid Unicode text.")
        return str(value)
    raise InputError(f"{where} must be a string, a number, true, false, a list or a table.")


def _plain_key(key: Any, path: tuple[str, ...]) -> str:
    if not isinstance(key, str) or not _is_unicode(key):
        raise InputError(f"{'.'.join((*path, 'the key'))} {key!r} must be valid Unicode text.")
    return str(key)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _thaw(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thaw(item) for key, item in value.items()}
    return [_thaw(item) for item in value] if isinstance(value, list | tuple) else value


def _validated(tables: dict[str, Any]) -> RunConfig:
    try:
        return RunConfig.model_validate(tables)
    except ValidationError as error:
        raise explain(error, tables) from None


def _join_keys(sweep: Any) -> None:
    """Let keys of [sweep.keys] be written without quotes: TOML reads mesh.h as a key of a table mesh."""
    if isinstance(sweep, dict) and isinstance(sweep.get("keys"), dict):
        sweep["keys"] = dict(_joined(sweep["keys"], ""))


def _joined(table: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for part, value in table.items():
        key = f"{above}.{toml_key(part)}" if above else part
        if isinstance(value, dict) and value and not value.keys() & _OF_RANGES:
            yield from _joined(value, key)
        else:
            yield key, value


def _replace_system(value: dict[str, Any], tables: dict[str, Any], where: str) -> None:
    """Drop the species and energy terms, which belong to a system that a variant replaces by another."""
    if "name" not in value:
        raise InputError(
            f"{where} set replaces [system] and needs its name; to change a single key, write the dotted key "
            'in quotes, as in "system.coefficient" = 0.'
        )
    if value["name"] != tables["system"]["name"]:
        tables.pop("species", None)
        tables.pop("energy", None)
