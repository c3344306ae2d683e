"""Paths in run files: found beside the run file or in the current folder, and made absolute."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fem_models.config.messages import shown
from fem_models.core.errors import InputError
from fem_models.transfer.times import last_time


def resolve_files(tables: dict[str, Any], base: Path | None) -> None:
    """Make the paths of files absolute, here, in the points of sweeps, and in the variants.

    Args:
        tables: Of a run file; they are changed.
        base: The folder that relative paths are tried in before the current folder.

    Raises:
        InputError: There is no such file, or what a run starts from is damaged.
    """
    _resolve_tables(tables, base, "")
    sweep = tables.get("sweep")
    keys: Any = sweep.get("keys") if isinstance(sweep, dict) else None
    for key, names in list(keys.items()) if isinstance(keys, dict) else ():
        if isinstance(names, list):
            entries = [{key: name} for name in names]
            for entry in entries:
                _resolve_tables(entry, base, '[sweep.keys] "{}"')
            keys[key] = [entry[key] for entry in entries]
    variants = tables.get("compare")
    for number, item in enumerate(variants if isinstance(variants, list) else [], start=1):
        changes = item.get("set") if isinstance(item, dict) else None
        if isinstance(changes, dict):
            _resolve_tables(changes, base, f"[[compare]] #{number} set {{}}")


def _resolve_tables(tables: dict[str, Any], base: Path | None, where: str) -> None:
    """Make paths absolute in tables, or in changes of them by dotted keys, for which `where` has a place."""
    # Listed first, as tables may get entries.
    for path, table, key in list(_leaves(tables, ())):
        dotted = ".".join(path)
        name = where.format(dotted) if where else f"[{path[0]}] {'.'.join(path[1:])}"
        if dotted == "mesh.file":
            _resolve_in(table, key, base, name, "a mesh file or a .geo script", Path.is_file)
        elif path[0] == "initial" and path[-1] == "from" and len(path) in (2, 3):
            _resolve_in(table, key, base, name, "a run directory or a file to start from", Path.exists)
            _fill_time(table, key)


def _fill_time(table: dict[str, Any], key: str) -> None:
    """The last time of what a run starts from, where none is given: later there may be more of them."""
    time = f"{key.removesuffix('from')}time"
    if time not in table and (last := last_time(Path(table[key]))) is not None:
        table[time] = last


def _leaves(tables: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """The texts in tables of at most three levels: their keys, and where they are."""
    for key, value in tables.items():
        path = (*above, *key.split("."))
        if isinstance(value, dict) and len(path) < 3:
            yield from _leaves(value, path)
        elif isinstance(value, str):
            yield path, tables, key


def _resolve_in(
    table: dict[str, Any], key: str, base: Path | None, where: str, what: str, there: Callable[[Path], bool]
) -> None:
    name = table[key]
    folders = list(dict.fromkeys(Path(folder).absolute() for folder in (base or Path(), Path())))
    if Path(name).is_absolute():
        folders = [Path("/")]
    for folder in folders:
        try:
            if there(folder / name):
                table[key] = str((folder / name).resolve())
                return
        except (OSError, ValueError):
            continue  # a name that no file can have, too long or with a zero byte
    looked = "" if Path(name).is_absolute() else f" in {' or '.join(map(str, folders))}"
    missing = "is not a file" if there is Path.is_file else "does not exist"
    raise InputError(f"{where} = {shown(name)} {missing}{looked}; give {what}.")
