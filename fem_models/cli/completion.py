"""What the shell is offered where a word of a command is to be completed.

`fem-models --install-completion` sets the shell up. Where nothing is offered, the shell completes
names of files.
"""

from collections.abc import Iterable
from pathlib import Path


def run_files(incomplete: str) -> list[str]:
    """Run files, and the directories on the way to them.

    Args:
        incomplete: What is there of a path.

    Returns:
        Paths that begin with it: of files that end in .toml, and of directories, which end in a slash. For a
        single directory, what is in it: a shell takes a single answer for the whole word.
    """
    typed, _, beginning = incomplete.rpartition("/")
    before = incomplete[: len(incomplete) - len(beginning)]
    found = []
    for path in _entries(Path(typed or ("/" if before else ".")).expanduser()):
        hidden = path.name.startswith(".") and not beginning.startswith(".")
        if path.name.startswith(beginning) and not hidden:
            if path.is_dir():
                found.append(f"{before}{path.name}/")
            elif path.suffix == ".toml":
                found.append(f"{before}{path.name}")
    if len(found) == 1 and found[0].endswith("/"):
        return run_files(found[0]) or found
    return sorted(found)


def _entries(directory: Path) -> Iterable[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def profiles(incomplete: str) -> list[str]:
    """Names of profiles of clusters, and files elsewhere.

    Args:
        incomplete: What is there of a name or a path.

    Returns:
        Names and paths that begin with it.
    """
    from fem_models.jobs.profile import FOLDER

    names = sorted(file.stem for file in FOLDER.glob("*.toml") if file.stem.startswith(incomplete))
    return names or run_files(incomplete)


def element_pairs(incomplete: str) -> list[str]:
    """Names of element pairs.

    Args:
        incomplete: What is there of a name.

    Returns:
        Names that begin with it.
    """
    # Takes long to import; only these two wait for it.
    from fem_models.results.inf_sup_table import PAIRS

    return [name for name in PAIRS if name.startswith(incomplete)]


def inf_sup_domains(incomplete: str) -> list[str]:
    """Names of domains that inf-sup constants are computed on.

    Args:
        incomplete: What is there of a name.

    Returns:
        Names that begin with it.
    """
    from fem_models.results.inf_sup_table import DIMENSION

    return [name for name in DIMENSION if name.startswith(incomplete)]
