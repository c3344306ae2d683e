"""Job scripts: what a profile, a run file and a time limit become."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fem_models._version import __version__
from fem_models.core.durations import clock_text, duration
from fem_models.core.extras import require
from fem_models.jobs import record
from fem_models.jobs.profile import Profile
from fem_models.results import layout

# Of a short time limit, this share is kept for what follows the last step.
_LARGEST_SHARE = 0.25
# A scheduler's signal comes when this share of the kept time is left.
_SIGNAL = 0.5
_PREFIX = {"slurm": "#SBATCH", "pbs": "#PBS", "none": "#"}
_AGAIN = {
    "requeue": 'scontrol requeue "$SLURM_JOB_ID" || exit 1',
    "slurm": "sbatch --parsable {script} >>{numbers} || exit 1",
    "slurm array": 'sbatch --parsable --array="$point" {script} >>{numbers} || exit 1',
    "pbs": "qsub {script} >>{numbers} || exit 1",
    "pbs array": 'qsub -v FEM_MODELS_POINT="$point" {script} >>{numbers} || exit 1',
}
_SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "none": "bash"}


@dataclass(frozen=True)
class Request:
    """What is to be submitted.

    Attributes:
        name: Of the job.
        profile: Of the cluster.
        ranks: Of the run, or of each point of a job array.
        seconds: Time limit of a job.
        directory: The run directory, an absolute path.
        places: The run directories of the points, of a job array.
    """

    name: str
    profile: Profile
    ranks: int
    seconds: float
    directory: Path
    places: Sequence[Path] = ()

    @property
    def job(self) -> Path:
        """The folder of the job."""
        return layout.job(self.directory)

    @property
    def margin(self) -> int:
        """Seconds of the limit that are kept for what follows the last step."""
        return min(self.profile.margin, int(_LARGEST_SHARE * self.seconds))


def run_script(request: Request) -> str:
    """The script that runs, and goes on.

    Args:
        request: What is to be submitted.

    Returns:
        The text, for bash.

    Raises:
        InputError: The ranks do not fit on the nodes of the profile, or jinja2 is missing.
    """
    profile = request.profile
    where = "in each of its points" if request.places else "in its directory"
    title = (
        f"{request.name} on {request.ranks} ranks, {duration(request.seconds)} at a time, again and again "
        f"from the latest checkpoint {where} until it is done."
    )
    scheduler = profile.scheduler
    key = profile.again if profile.again == "requeue" else scheduler + " array" * bool(request.places)
    again = _AGAIN.get(key, "")
    return _rendered(
        record.SCRIPT,
        request,
        title,
        directives(request),
        launcher=profile.launcher.format(ranks=request.ranks),
        limit=int(request.seconds),
        margin=request.margin,
        points=len(request.places),
        places=_quoted(request.job / record.PLACES),
        compiled=_quoted(request.job / record.COMPILED),
        once_more=again.format(
            script=_quoted(request.job / record.SCRIPT), numbers=_quoted(request.job / record.NUMBERS)
        ),
    )


def compile_script(request: Request) -> str:
    """The script of the job before a job array, which compiles the forms.

    Args:
        request: What is to be submitted.

    Returns:
        The text, for bash.

    Raises:
        InputError: jinja2 is missing.
    """
    title = f"{request.name}: its forms are compiled before the points begin."
    return _rendered(record.COMPILE, request, title, directives(request, compiling=True))


def _rendered(name: str, request: Request, title: str, lines: Sequence[str], **more: Any) -> str:
    jinja2 = require("jinja2", extra="run", what="Job scripts")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fem_models.jobs"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Bash has a meaning of its own for {#.
        comment_start_string="<<#",
        comment_end_string="#>>",
    )
    profile = request.profile
    # Without a line that activates one, the jobs have the environment of this process.
    here = f"export PATH={_quoted(Path(sys.executable).parent)}:$PATH"
    text = environment.get_template(name).render(
        title=title,
        version=__version__,
        scheduler=profile.scheduler,
        prefix=_PREFIX[profile.scheduler],
        directives=lines,
        by_hand=f"{_by_hand(name, request)} {_quoted(request.job / name)}",
        folder=_quoted(Path.cwd()),
        directory=_quoted(request.directory),
        input=_quoted(request.job / record.INPUT),
        modules=profile.modules,
        activate=profile.activate or (here,),
        environment=[(key, _expanding(value)) for key, value in profile.environment.items()],
        cache=None if profile.cache is None else _expanding(profile.cache),
        **more,
    )
    return str(text)


def _by_hand(name: str, request: Request) -> str:
    scheduler = request.profile.scheduler
    array = scheduler == "pbs" and request.places and name == record.SCRIPT
    return _SUBMIT[scheduler] + f" -J 1-{len(request.places)}" * bool(array)


def _quoted(path: Path) -> str:
    return shlex.quote(os.fspath(path))


def _expanding(value: str) -> str:
    """A text in double quotes, in which bash replaces variables and nothing else."""
    for character in ("\\", '"', "`"):
        value = value.replace(character, f"\\{character}")
    return f'"{value.replace("$(", chr(92) + "$(")}"'


def directives(request: Request, compiling: bool = False) -> list[str]:
    """The options of the scheduler, as the head of a script has them.

    Args:
        request: What is to be submitted.
        compiling: Whether the script compiles the forms only.

    Returns:
        One line for each.

    Raises:
        InputError: The ranks do not fit on the nodes of the profile.
    """
    profile = request.profile
    if profile.scheduler == "none":
        return []
    name = f"{request.name}-compile" if compiling else request.name
    write = _slurm if profile.scheduler == "slurm" else _pbs
    return [*write(request, name, compiling), *profile.directives]


def _slurm(request: Request, name: str, compiling: bool) -> list[str]:
    profile, array = request.profile, bool(request.places) and not compiling
    output = request.job / ("output-%A_%a.txt" if array else "output-%j.txt")
    ranks = 1 if compiling else request.ranks
    shape = None if compiling else profile.shape(ranks)
    given = {
        "job-name": shlex.quote(name),
        "output": _quoted(output),
        "open-mode": "append",
        "time": clock_text(request.seconds),
        "ntasks": ranks,
        "nodes": None if shape is None else shape[0],
        "ntasks-per-node": None if shape is None else shape[1],
        "cpus-per-task": 1,
        "mem": None if compiling else profile.memory,
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
    }
    lines = [f"--{key}={value}" for key, value in given.items() if value is not None]
    if compiling:
        return lines
    if profile.launcher.split()[0] == "srun":
        # For the ranks that `srun` has started: a try that forgot the time stops in time all the same.
        lines.append(f"--signal=USR1@{max(1, int(_SIGNAL * request.margin))}")
    lines += [f"--array=1-{len(request.places)}"] if array else []
    return [*lines, "--requeue" if profile.again == "requeue" else "--no-requeue"]


def _pbs(request: Request, name: str, compiling: bool) -> list[str]:
    profile = request.profile
    nodes, each = (1, 1) if compiling else profile.shape(request.ranks) or (1, request.ranks)
    chunk = f"select={nodes}:ncpus={each}:mpiprocs={each}"
    if profile.memory and not compiling:
        chunk += f":mem={profile.memory.lower()}b"
    given = {
        "-N": shlex.quote(name),
        "-j": "oe",
        "-o": _quoted(request.job) + "/",
        "-l": chunk,
        "-q": profile.partition,
        "-A": profile.account,
    }
    lines = [f"{key} {value}" for key, value in given.items() if value is not None]
    return [*lines, f"-l walltime={clock_text(request.seconds)}", "-r n"]
