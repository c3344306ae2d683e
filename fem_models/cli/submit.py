"""`fem-models submit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fem_models.cli.completion import profiles, run_files

if TYPE_CHECKING:
    from fem_models.jobs.submission import Submission


def submit(
    file: Annotated[Path, typer.Argument(help="The run file (.toml).", autocompletion=run_files)],
    ranks: Annotated[int, typer.Option(help="Ranks of the run, or of each point with --array.")],
    walltime: Annotated[
        str, typer.Option(metavar="TIME", help="Time limit of a job, as in 1:00:00; a run may take several.")
    ],
    cluster: Annotated[
        str,
        typer.Option(
            metavar="PROFILE", help="A profile in runs/cluster, or the path of one.", autocompletion=profiles
        ),
    ] = "slurm",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run directory; runs/output/STEM where there is a folder runs, else output/STEM."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key, as in time.step=0.1.")
    ] = None,
    array: Annotated[
        bool, typer.Option("--array", help="A job array with a task for each point of [sweep].")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run there.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the scripts and submit nothing.")] = False,
) -> None:
    """Submit a run to a scheduler: it goes on in job after job until it is done."""
    from fem_models.core.durations import walltime_seconds
    from fem_models.jobs.submission import prepare
    from fem_models.jobs.submission import submit as hand_over
    from fem_models.results.layout import default_directory

    submission = prepare(
        file,
        out or default_directory(file),
        ranks=ranks,
        seconds=walltime_seconds(walltime),
        cluster=cluster,
        array=array,
        overrides=set_ or (),
        overwrite=overwrite,
        going_on=resume,
    )
    if dry_run:
        print("\n".join(submission.scripts.values()), end="")
        return
    _tell(submission, hand_over(submission), out or default_directory(file))


def _tell(submission: "Submission", number: str, directory: Path) -> None:
    scheduler = submission.request.profile.scheduler
    cancel = {"slurm": "scancel", "pbs": "qdel", "none": "kill"}[scheduler]
    what = "process" if scheduler == "none" else "job"
    print(
        f"{what} {number} runs {submission.request.name} in {directory}: `fem-models status {directory}` "
        f"tells where it stands, `{cancel} {number}` ends it"
    )
