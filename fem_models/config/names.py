"""Which names a run file may give to its own things."""

import keyword
from collections.abc import Iterable, Iterator

from fem_models.config.formulas import COORDINATES


def name_problem(name: str, kind: str) -> str | None:
    """What is wrong with a name.

    Args:
        name: Of a species, a parameter or the like.
        kind: What it names.

    Returns:
        The end of a sentence that begins with the key and the name; None where nothing is wrong.
    """
    # Here: it brings UFL, which takes a while to import.
    from fem_models.expressions.operations import FUNCTIONS

    if not name.isidentifier() or keyword.iskeyword(name):
        return f"cannot name a {kind}; use letters, digits and underscores, not beginning with a digit"
    if name in {*COORDINATES, "t", "pi", "e", "from", "mass", "time", *FUNCTIONS}:
        return f"has a meaning of its own in a run file; choose another name for the {kind}"
    return None


def repeated(table: str, key: str, names: Iterable[str | None]) -> Iterator[str]:
    """Sentences about names that are given twice.

    Args:
        table: The table as it is written.
        key: The key of the names.
        names: In the order of the file; None where there is none.

    Yields:
        A sentence for each name that is taken.
    """
    seen: set[str | None] = {None}
    for number, name in enumerate(names, start=1):
        if name in seen - {None}:
            yield f'{table} #{number} {key} = "{name}" is taken; every {key} must be unique.'
        seen.add(name)
