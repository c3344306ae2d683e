"""What `submit` leaves in a run directory: `job/` with the input, the script, and the jobs by number."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fem_models.core.files import write_json
from fem_models.results import layout

INPUT = "input.toml"
SCRIPT = "job.sh"
COMPILE = "compile.sh"
COMPILED = "compiled"
PLACES = "points"
NUMBERS = "numbers"
_FACTS = "job.json"

type SchedulerName = Literal["slurm", "pbs", "none"]


@dataclass(frozen=True)
class JobRecord:
    """What is known of the jobs of a run.

    Attributes:
        cluster: The profile.
        scheduler: Who starts them.
        host: Where they were submitted.
        ranks: Of each.
        walltime: Of each, in seconds.
        points: Number of points of a job array; None for a single run.
    """

    cluster: str
    scheduler: SchedulerName
    host: str
    ranks: int
    walltime: float
    points: int | None = None


def write_record(directory: Path, record: JobRecord) -> None:
    """Write it.

    Args:
        directory: The run directory, which has a folder for its job.
        record: What is known.
    """
    write_json(layout.job(directory) / _FACTS, asdict(record))


def read_record(directory: Path) -> JobRecord | None:
    """Read it.

    Args:
        directory: The run directory.

    Returns:
        What is known; None where no job was submitted, or nothing can be made of what is there.
    """
    try:
        return JobRecord(**json.loads((layout.job(directory) / _FACTS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def add_number(directory: Path, number: str) -> None:
    """Take note of a job; scripts that submit themselves again do the same.

    Args:
        directory: The run directory.
        number: What the scheduler calls it.
    """
    with (layout.job(directory) / NUMBERS).open("a", encoding="utf-8") as file:
        file.write(f"{number}\n")


def numbers(directory: Path) -> tuple[str, ...]:
    """The jobs of a run by number, the latest one last.

    Args:
        directory: The run directory.

    Returns:
        What the scheduler calls them; empty where there is none.
    """
    try:
        return tuple((layout.job(directory) / NUMBERS).read_text(encoding="utf-8").split())
    except OSError:
        return ()
