"""Submitting a run: its input is frozen, its script written, and handed to the scheduler."""

import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fem_models.config import io as config_io
from fem_models.config.run_file import RunConfig
from fem_models.core.errors import InputError
from fem_models.core.files import write_text
from fem_models.jobs import record, schedulers
from fem_models.jobs.profile import load_profile
from fem_models.jobs.script import Request, compile_script, run_script
from fem_models.results import layout


@dataclass(frozen=True)
class Submission:
    """A run that is ready to be submitted.

    Attributes:
        cluster: The profile.
        request: What is to be run, and how.
        config: The run file.
        scripts: Their texts by name.
        going_on: Whether the run directory is there, and its run goes on.
    """

    cluster: str
    request: Request
    config: RunConfig
    scripts: dict[str, str]
    going_on: bool


def prepare(
    file: Path,
    directory: Path,
    *,
    ranks: int,
    seconds: float,
    cluster: str,
    array: bool = False,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    going_on: bool = False,
) -> Submission:
    """Check what is to be submitted and make its scripts; nothing is written.

    Args:
        file: The run file.
        directory: The run directory.
        ranks: Of the run, or of each point of a job array.
        seconds: Time limit of a job.
        cluster: The profile, by its name in `runs/cluster/` or its path.
        array: Whether the points of [sweep] are tasks of a job array.
        overrides: As for `fem_models.config.io.load`.
        overwrite: Whether a run directory that exists is replaced.
        going_on: Whether the run in the directory goes on.

    Returns:
        What can be submitted.

    Raises:
        InputError: Something about the input is wrong, or the directory is not free.
    """
    profile = load_profile(cluster)
    if ranks < 1:
        raise InputError(f"--ranks {ranks} must be at least 1.")
    config = config_io.load(file, overrides)
    if array and config.sweep is None:
        raise InputError(f"--array needs a run file with [sweep], and {file} has none.")
    directory = directory.absolute()
    _check_directory(directory, config, file, overwrite, going_on)
    variants = config.sweep.variants if array and config.sweep is not None else ()
    places = [layout.variant_directory(directory, variant.name) for variant in variants]
    request = Request(file.stem, profile, ranks, seconds, directory, places)
    scripts = {record.SCRIPT: run_script(request)}
    if array and profile.scheduler != "none":
        scripts = {record.COMPILE: compile_script(request), **scripts}
    return Submission(cluster, request, config, scripts, going_on)


def _check_directory(directory: Path, config: RunConfig, file: Path, overwrite: bool, going_on: bool) -> None:
    if going_on and overwrite:
        raise InputError("--resume and --overwrite exclude each other; keep one of them.")
    known = record.read_record(directory)
    if known is not None:
        script = layout.job(directory) / record.SCRIPT
        found = schedulers.states(known.scheduler, record.numbers(directory), known.host, script)
        for number, state in found.items():
            if state != "gone":
                raise InputError(
                    f"Job {number} is {state} for {directory}; wait for it, cancel it, or take another --out."
                )
    if not going_on:
        if known is None or not overwrite:
            layout.check_free(directory, overwrite)
        return
    run_file = directory / layout.RUN_FILE
    if not run_file.is_file():
        raise InputError(f"{directory} is not a run directory: it has no {layout.RUN_FILE} to go on with.")
    if config_io.load(run_file) != config:
        raise InputError(f"{directory} is not a run of {file} as it is now; submit {run_file} to go on.")


def submit(submission: Submission) -> str:
    """Write the scripts and submit them; where the scheduler refuses, nothing is left behind.

    Args:
        submission: What is to be submitted.

    Returns:
        The number of the job that runs it.

    Raises:
        InputError: The scheduler refuses, or the directory cannot be written.
    """
    request = submission.request
    scheduler, directory, job = request.profile.scheduler, request.directory, request.job
    schedulers.check_there(scheduler, submission.cluster)
    before = next(parent for parent in (directory, *directory.parents) if parent.exists())
    try:
        if not submission.going_on:
            layout.make(directory)
        shutil.rmtree(job, ignore_errors=True)
        job.mkdir(parents=True)
        _write(submission)
        after = None
        if record.COMPILE in submission.scripts:
            after = schedulers.submit(scheduler, job / record.COMPILE, job / "output.txt")
        points = len(request.places) or None
        number = schedulers.submit(scheduler, job / record.SCRIPT, job / "output.txt", points, after)
        record.add_number(directory, number)
    except (InputError, OSError) as error:
        shutil.rmtree(job, ignore_errors=True)
        _remove_empty(directory, before)
        if isinstance(error, InputError):
            raise
        raise InputError(f"The output directory {directory} cannot be used: {error.strerror}.") from None
    return number


def _write(submission: Submission) -> None:
    request, job = submission.request, submission.request.job
    write_text(job / record.INPUT, config_io.dump(submission.config))
    for name, text in submission.scripts.items():
        write_text(job / name, text)
    if request.places:
        write_text(job / record.PLACES, "".join(f"{place}\n" for place in request.places))
    known = record.JobRecord(
        submission.cluster,
        request.profile.scheduler,
        socket.gethostname(),
        request.ranks,
        request.seconds,
        len(request.places) or None,
    )
    record.write_record(request.directory, known)


def _remove_empty(directory: Path, stop: Path) -> None:
    """Remove folders that were made for nothing."""
    for folder in (directory, *directory.parents):
        if folder == stop or not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()
