"""Names in a run directory that are read by runs which start from it; the others are in `results.layout`."""

from pathlib import Path

SERIES = "series.csv"
FIELDS = "fields.pvd"
_CHECKPOINTS = "checkpoint"


def checkpoints(directory: Path) -> Path:
    """The directory of the checkpoints of a run.

    Args:
        directory: The run directory.

    Returns:
        `checkpoint` in it.
    """
    return directory / _CHECKPOINTS


def checkpoint_files(directory: Path) -> list[Path]:
    """The checkpoint files in a directory of checkpoints.

    Args:
        directory: The directory, which need not exist.

    Returns:
        The files, the latest one last.
    """
    return sorted(directory.glob("step_*.ckpt"))
