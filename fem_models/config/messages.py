"""Words for what is wrong in a run file: one sentence that names the key as it is written there."""

import re
import typing
from collections.abc import Iterable
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from fem_models.config.run_file import Problems, RunConfig
from fem_models.config.tables import PETSC_PREFIXES
from fem_models.core.errors import InputError
from fem_models.core.suggestions import choices, nearest


class RunFileError(InputError):
    """All that is wrong in a run file.

    Args:
        message: One sentence.
        sentences: One for each problem.
    """

    def __init__(self, message: str, sentences: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.sentences = sentences


_TAGS = {"system": "name", "energy": "term"}
LISTS = ("species", "energy", "compare")
# Levels of the models that files have not.
_INSERTED = (("initial", "expressions"), ("initial", "given"), ("solver", "petsc"))
# Where a problem is, as the beginning of its sentence says it, and how many such places are named.
_PLACE = re.compile(r"\[+\w+\]+(?: #\d+)?(?: [\w.\"]+(?= |$))?")
_MOST_PLACES = 3

_LONGEST = 80

_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_KINDS = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_MISSING_TABLES = {
    "mesh": 'add it with domain = "rectangle" or another one, or with file',
    "system": 'add it with name = "fokker-planck", for instance; `fem-models list` has them all',
    "time": "add it with end and step",
}

Path = tuple[str | int, ...]


def toml(value: Any) -> str:
    """Write a value as TOML on one line.

    Args:
        value: A string, number, bool, or lists and tables of them.

    Returns:
        The text after `key =`.
    """
    if isinstance(value, dict):
        items = ", ".join(f"{toml_key(key)} = {toml(item)}" for key, item in value.items())
        return f"{{ {items} }}" if items else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    return tomli_w.dumps({"k": value}).removeprefix("k = ").removesuffix("\n")


def toml_key(key: str) -> str:
    """Write a key as TOML, in quotes where it needs them.

    Args:
        key: The key.

    Returns:
        The text before `=`.
    """
    return tomli_w.dumps({key: 0}).removesuffix(" = 0\n")


def shown(value: Any) -> str:
    """Write a value as TOML, cut to a length that fits in a sentence.

    Args:
        value: As for `toml`.

    Returns:
        The text.
    """
    text = toml(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def one_sentence(sentences: Iterable[str]) -> RunFileError:
    """Build the error that reports the first sentence, and where the problems are that follow it.

    Args:
        sentences: At least one.

    Returns:
        The error, to be raised.
    """
    first, *others = found = tuple(" ".join(sentence.split()) for sentence in sentences)
    text = first.rstrip(".")
    if others:
        places = list(dict.fromkeys(place[0] if (place := _PLACE.match(o)) else o for o in others))
        listing = ", ".join(places[:_MOST_PLACES]) + (", ..." if len(places) > _MOST_PLACES else "")
        text += f" (and {len(others)} more problem{'s' * (len(others) > 1)}: {listing})"
    return RunFileError(text if text.endswith("?") else f"{text}.", found)


def explain(error: ValidationError, data: dict[str, Any]) -> RunFileError:
    """Turn what pydantic found into an InputError.

    Args:
        error: What pydantic raised.
        data: The tables as the user wrote them.

    Returns:
        An error with one sentence about the first problem: unknown keys first, as they explain missing ones.
    """
    found = [(_written(item, data), item) for item in error.errors(include_url=False)]
    meant = set()
    for path, item in found:
        if item["type"] == "extra_forbidden":
            meant.add((*path[:-1], nearest(str(path[-1]), _allowed(path[:-1], data))))
    found = [(path, item) for path, item in found if item["type"] != "missing" or path not in meant]
    found.sort(key=lambda pair: pair[1]["type"] != "extra_forbidden")
    return one_sentence(sentence for path, item in found for sentence in _sentences(path, item, data))


def where(path: Path) -> str:
    """Write a path of keys as users know it: `[time] step`, `[[energy]] #2 m`, `[output] profile.from`.

    Args:
        path: Keys and numbers of entries, from the table on.

    Returns:
        The text.
    """
    head, *rest = path
    name = f"[{head}]"
    if head in LISTS:
        name = f"[[{head}]]"
        if rest and isinstance(number := rest[0], int):
            name += f" #{number + 1}"
            rest = rest[1:]
    keys = ".".join(toml_key(key) for key in rest if isinstance(key, str))
    entries = "".join(f" entry {key + 1}" for key in rest if isinstance(key, int))
    return f"{name} {keys}".rstrip() + entries


def _written(item: Any, data: dict[str, Any]) -> Path:
    """The keys of the file behind a pydantic location, without the tags of unions and inserted levels."""
    location = item["loc"]
    if location[:2] in _INSERTED and len(location) > 2:
        location = (location[0], *location[2:])
    path: list[str | int] = []
    here: Any = data
    for number, step in enumerate(location, start=1):
        if (isinstance(here, dict) and step in here) or (
            isinstance(here, list) and isinstance(step, int) and step < len(here)
        ):
            here = here[step]
            path.append(step)
        elif item["type"] == "missing" and number == len(location):
            path.append(step)
    return tuple(path)


def _value(path: Path, data: Any) -> Any:
    for step in path:
        data = data[step]
    return data


def _model(path: Path, data: dict[str, Any]) -> type[BaseModel] | None:
    """The model behind a path, or None for a table of free names."""
    candidates: list[Any] = [RunConfig]
    named = False
    for depth, step in enumerate(path):
        if isinstance(step, int):
            continue
        fields = {f.alias or name: f for model in candidates for name, f in model.model_fields.items()}
        if named:  # the name of an entry, which may be any
            named = False
            continue
        annotation = fields[step].annotation if step in fields else None
        candidates, named = models_in(annotation), _has_named_entries(annotation)
        if step not in fields:  # an entry under such a name beside other keys, as in [initial]
            entries = [f.annotation for f in fields.values() if _has_named_entries(f.annotation)]
            candidates = [model for entry in entries for model in models_in(entry)]
        here = _value(path[: depth + 1], data)
        if isinstance(here, list) and len(path) > depth + 1:
            here = here[int(path[depth + 1])]
        tags = [here.get("name"), here.get("term")] if isinstance(here, dict) else []
        if len(candidates) > 1:
            candidates = [model for model in candidates if tag_of(model) in tags]
    return candidates[0] if candidates else None


def _has_named_entries(annotation: Any) -> bool:
    """Whether a type is a table of tables under names that users choose."""
    is_table = typing.get_origin(annotation) is dict and bool(models_in(annotation))
    return is_table or any(map(_has_named_entries, typing.get_args(annotation)))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """List the models in a type such as `tuple[A | B, ...]`.

    Args:
        annotation: The type.

    Returns:
        The models in their order.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in models_in(part)]


def tag_of(model: type[BaseModel]) -> str | None:
    """Find the value of `name` or `term` that chooses a system or an energy term.

    Args:
        model: Of a table.

    Returns:
        The value; None for other tables.
    """
    for key in ("name", "term"):
        if key in model.model_fields and (tags := typing.get_args(model.model_fields[key].annotation)):
            return tags[0]
    return None


def _allowed(path: Path, data: dict[str, Any]) -> list[str]:
    model = _model(path, data) if path else RunConfig
    names = [field.alias or name for name, field in model.model_fields.items()] if model else []
    return sorted(name for name in names if (*path, name) != ("solver", "petsc"))


def _sentences(path: Path, item: Any, data: dict[str, Any]) -> list[str]:
    kind, context = item["type"], item.get("ctx", {})
    if isinstance(context.get("error"), Problems):
        return context["error"].sentences
    if kind == "extra_forbidden":
        return [_unknown(path, data)]
    if kind == "missing":
        return [_missing(path, data)]
    if kind.startswith("union_tag"):
        return [_wrong_tag(path, context, data)]
    value = _value(path, data)
    if kind in _KINDS and len(path) == 1:
        written = f"tables, each under [[{path[0]}]]" if path[0] in LISTS else f"a table, written [{path[0]}]"
        return [f"{path[0]} = {shown(value)} must be {written}."]
    known_table = len(path) == 1 or (len(path) == 2 and path[0] in LISTS)
    if isinstance(value, dict) or (known_table and kind == "value_error"):
        return [f"{where(path)} {demand(kind, context, item, None)}"]
    return [f"{where(path)} = {shown(value)} {demand(kind, context, item, value)}"]


def demand(kind: str, context: dict[str, Any], item: Any, value: Any) -> str:
    """What is asked of a value.

    Args:
        kind: The type of pydantic's error.
        context: What it says beside.
        item: The error.
        value: The value; None for a table.

    Returns:
        The end of a sentence, such as `must be greater than 0`.
    """
    if kind == "value_error":
        return str(context["error"])
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {context[key]:g}"
    if kind == "literal_error":
        return _one_of(str(value), context["expected"])
    if kind == "too_short":
        return "must not be empty"
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}"
    message = item["msg"]
    return f"is refused: {message[:1].lower()}{message[1:]}"


def _one_of(value: str, expected: str) -> str:
    known = re.findall(r"'([^']*)'", expected) or re.findall(r"\d+", expected)
    guess = nearest(value, known)
    return f"must be one of {', '.join(known)}" + (f"; did you mean {guess}?" if guess else "")


def _unknown(path: Path, data: dict[str, Any]) -> str:
    allowed = _allowed(path[:-1], data)
    if len(path) == 1:
        key = str(path[0])
        return f"[{key}] is not a table of a run file; {choices(key, allowed)}."
    table = where(tuple(step for step in path[:-1] if isinstance(step, str)))
    more = f" and PETSc options ({', '.join(PETSC_PREFIXES)})" if path[0] == "solver" else ""
    kind = tag_of(_model(path[:-1], data) or RunConfig)
    if kind is not None:
        table += f" with {_TAGS[str(path[0])]} = {shown(kind)}"
    return f"{where(path)} is not a key of {table}; {choices(str(path[-1]), allowed)}{more}."


def _missing(path: Path, data: dict[str, Any]) -> str:
    if len(path) == 1:
        return f"[{path[0]}] is missing; {_MISSING_TABLES[str(path[0])]}."
    model = _model(path[:-1], data)
    meanings = {f.alias or name: f.description for name, f in model.model_fields.items()} if model else {}
    return f"{where(path)} is missing; give the {meanings.get(str(path[-1]), 'value')}."


def _wrong_tag(path: Path, context: dict[str, Any], data: dict[str, Any]) -> str:
    key = context["discriminator"].strip("'")
    if "tag" not in context:
        known = [tag_of(model) for model in models_in(RunConfig.model_fields[str(path[0])].annotation)]
        return f"{where((*path, key))} is missing; choose one of {', '.join(map(str, known))}."
    value = _value((*path, key), data)
    return f"{where((*path, key))} = {shown(value)} {_one_of(str(value), context['expected_tags'])}."
