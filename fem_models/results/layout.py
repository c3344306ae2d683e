"""Where a run leaves its files: the names in a run directory, and which directory a run may take.

Pure file handling on one process; nothing here is collective.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from fem_models.core.errors import InputError
from fem_models.core.files import make_directory, sync
from fem_models.core.run_names import FIELDS, SERIES, checkpoint_files, checkpoints

__all__ = ["FIELDS", "SERIES", "checkpoint_files", "checkpoints"]

RUN_FILE = "run.toml"
SUMMARY = "summary.json"
STUDY = "study.csv"
SWEEP = "sweep.csv"
CONVEXITY = "convexity.csv"
MOVEMENTS = "jko.csv"
STEPS = "steps.csv"
STEADY_FIELDS = "steady.pvd"
LOG = "log.txt"
FIGURES = "figures"
COMPARE = "compare"
JOB = "job"
REPORT = "report.html"
_MOVIE = "movie"

_PIECES = re.compile(r"(fields|steady)(-\d+)?(_p\d+_)?\d{6,}\.p?vtu|(fields|steady)(-\d+)?\.pvd~")
_DRAFT = re.compile(r"\..+\.draft")
_VTX = re.compile(r"fields(-\d+)?\.bp")
# What file systems or shells refuse or read in their own way.
_UNSAFE = re.compile(r'[/\\:*?"<>|]')


def default_directory(run_file: Path) -> Path:
    """The directory of a run that names none.

    Args:
        run_file: The run file.

    Returns:
        `runs/output/STEM` where there is a folder `runs` here, else `output/STEM`.
    """
    parent = Path("runs/output") if Path("runs").is_dir() else Path("output")
    return parent / run_file.stem


def variant_directory(directory: Path, name: str) -> Path:
    """The directory of a variant of [[compare]].

    Args:
        directory: The run directory.
        name: The variant.

    Returns:
        `compare/NAME` in it, with `-` for characters that file systems refuse.
    """
    safe = _UNSAFE.sub("-", name.strip()).lstrip(".") or "variant"
    return directory / COMPARE / safe


def vtx_fields(earlier: int) -> str:
    """The name of the fields as VTX.

    Args:
        earlier: The number of times that were written before a run went on; 0 for a new one.

    Returns:
        "fields.bp", or "fields-N.bp" for the times after the first N.
    """
    return f"fields-{earlier}.bp" if earlier else "fields.bp"


def movie_file(directory: Path, kind: str) -> Path:
    """The film of a run that is given no name.

    Args:
        directory: The run directory.
        kind: Its format, "mp4" or "gif".

    Returns:
        `figures/movie.KIND` in it; the folder is made where the run directory is there.
    """
    if directory.is_dir():
        (directory / FIGURES).mkdir(exist_ok=True)
    return directory / FIGURES / f"{_MOVIE}.{kind}"


def job(directory: Path) -> Path:
    """The directory of what `fem-models submit` writes for a run: a script, its input and its output.

    Args:
        directory: The run directory.

    Returns:
        `job` in it.
    """
    return directory / JOB


def checkpoint_name(number: int) -> str:
    """The name of a checkpoint file.

    Args:
        number: Of the last step in it.

    Returns:
        The name, whose order is that of the steps.
    """
    return f"step_{number:09d}.ckpt"


def check_free(directory: Path, overwrite: bool, mark: str = RUN_FILE) -> None:
    """Check that a command may write to a directory, without touching it.

    Args:
        directory: The directory.
        overwrite: Whether earlier results in it may be replaced.
        mark: The file that tells that a directory is from an earlier call of the command.

    Raises:
        InputError: It exists and is not to be overwritten, or is no run directory, or cannot be written to.
    """
    try:
        _check_free(directory, overwrite, mark)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The output directory {directory} cannot be used: {reason}.") from None


def _check_free(directory: Path, overwrite: bool, mark: str) -> None:
    if not directory.exists():
        above = next(parent for parent in directory.absolute().parents if parent.exists())
        if not above.is_dir():
            raise InputError(f"The output directory {directory} cannot be made: {above} is not a directory.")
        return
    if not directory.is_dir():
        raise InputError(f"The output directory {directory} is a file; choose another --out.")
    # The job that is to write here is not in the way, nor are drafts of a command that was killed at once.
    names = [entry.name for entry in directory.iterdir() if entry.name != JOB]
    found = [name for name in names if not _DRAFT.fullmatch(name)]
    if not found and job(directory).is_dir():
        return
    if not overwrite:
        raise InputError(
            f"The output directory {directory} exists already; choose another --out, or add --overwrite."
        )
    if found and not (directory / mark).is_file():
        what = ", so it is not a run directory" if mark == RUN_FILE else ""
        raise InputError(
            f"The output directory {directory} is not overwritten: it has files and no {mark}{what}; choose "
            "another --out."
        )


def make(directory: Path) -> None:
    """Make the directory of a run; of an earlier run in it all files are removed, and nothing else.

    Args:
        directory: The run directory.

    Raises:
        InputError: The file system refuses.
    """
    try:
        for folder in reversed((directory, *directory.parents)):
            make_directory(folder)
        _clear(directory)
        # What an earlier run has left must not come back when the power is cut.
        sync(directory)
    except OSError as error:
        raise InputError(f"The output directory {directory} cannot be made: {error.strerror}.") from None


def _clear(directory: Path) -> None:
    # The run file goes last: with it, what is left of a run that was killed here is still a run directory.
    shutil.rmtree(checkpoints(directory), ignore_errors=True)
    for file in list(_run_files(directory)):
        file.unlink(missing_ok=True)
    for folder in [found for found in directory.iterdir() if _VTX.fullmatch(found.name)]:
        shutil.rmtree(folder, ignore_errors=True)
    compare = directory / COMPARE
    for variant in list(compare.iterdir()) if compare.is_dir() else []:
        if (variant / RUN_FILE).is_file():
            _clear(variant)
            _remove_if_empty(variant)
    for folder in (directory / FIGURES, compare):
        _remove_if_empty(folder)


def _run_files(directory: Path) -> Iterator[Path]:
    for name in (
        SUMMARY,
        SERIES,
        STUDY,
        SWEEP,
        CONVEXITY,
        MOVEMENTS,
        STEPS,
        FIELDS,
        STEADY_FIELDS,
        LOG,
        REPORT,
    ):
        yield directory / name
    for pattern in (_PIECES, _DRAFT):
        yield from (file for file in directory.iterdir() if pattern.fullmatch(file.name))
    for suffix in ("png", "pdf", "svg", "mp4", "gif"):
        yield from (directory / FIGURES).glob(f"*.{suffix}")
    yield directory / RUN_FILE


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
