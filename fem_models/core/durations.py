"""Spans of time: as people read them, as schedulers write them, and how much of a job is left."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fem_models.core.errors import InputError

_WALLTIME = re.compile(r"(?:(\d+)-)?(\d+(?::\d+){0,2})")

# Of what a scheduler leaves, this many seconds are kept for what follows the last step, a quarter at most.
_KEPT = 60.0
_LARGEST_SHARE = 0.25


def duration(seconds: float) -> str:
    """Write a time span as people read it.

    Args:
        seconds: Its length in seconds.

    Returns:
        The text.
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def walltime_seconds(walltime: str) -> float:
    """Read a time limit: "90", "1:30", "2:00:00" or "1-00:00:00", as schedulers write it.

    Args:
        walltime: The text after `--walltime`.

    Returns:
        Seconds, greater than 0.

    Raises:
        InputError: It is none of these, or not positive.
    """
    found = _WALLTIME.fullmatch(walltime.strip())
    parts = [int(part) for part in found[2].split(":")] if found else []
    days = int(found[1] or 0) if found else 0
    total = 86400 * days + sum(part * 60**k for k, part in enumerate(reversed(parts)))
    if total <= 0:
        raise InputError(
            f"--walltime {walltime} is no time: write seconds, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, or "
            "DAYS-HOURS:MINUTES:SECONDS."
        )
    return float(total)


def clock_text(seconds: float) -> str:
    """Write a time span as all schedulers read it.

    Args:
        seconds: Its length in seconds.

    Returns:
        HOURS:MINUTES:SECONDS.
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def left_of_job(environment: Mapping[str, str], now: float) -> tuple[float, str] | None:
    """How long a run may take by what the scheduler of its job says in the environment.

    Of the time that is left, a minute, or a quarter where that is less, is kept for what follows the last
    step. SLURM (since 23.02) gives the end of the job, `SLURM_JOB_END_TIME`. PBS gives its length,
    `PBS_WALLTIME`: that counts from now, as for a run that is the first thing its job does.

    Args:
        environment: Of this process.
        now: Seconds since 1970.

    Returns:
        Seconds, at least 1, and the name of the variable; None where there is none, or one that is no number.
    """
    for name, begin in (("SLURM_JOB_END_TIME", now), ("PBS_WALLTIME", 0.0)):
        text = environment.get(name, "")
        if text.isdecimal():
            left = float(text) - begin
            return max(1.0, left - min(_KEPT, _LARGEST_SHARE * left)), name
    return None
