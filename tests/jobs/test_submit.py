"""Job scripts, and what becomes of them: schedulers are stood in for by small programs."""

import subprocess
import sys
from pathlib import Path

import pytest
from job_runs import RUN_FILE, stand_in

from fem_models.cli import main
from fem_models.config.io import load

PROFILE = """
scheduler = "{scheduler}"
launcher = "mpiexec -n {{ranks}}"
partition = "standard"
account = "my project"
tasks_per_node = 4
memory = "64G"
directives = ["{extra}"]
modules = ["gcc/13", "mpich"]
activate = ["source $HOME/fem/bin/activate"]
cache = "$SCRATCH/forms"
[environment]
LIBRARY = "$HOME/lib 1"
MEAN = 'a "b" `c` $(d)'
"""
SWEEP = '[sweep]\nkey = "system.m"\nvalues = [2, 3]\n'


def submitted(capfd, *options):
    """The script of a dry run, which bash understands and which leaves nothing."""
    before = sorted(Path.cwd().rglob("*"))
    command = ["submit", "long.toml", "--ranks", "6", "--walltime", "2:00:00", "--out", "out dir"]
    assert main([*command, "--dry-run", *options]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert sorted(Path.cwd().rglob("*")) == before
    checked = subprocess.run(["bash", "-n"], input=out, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    return out


def has(script, *lines):
    return [line for line in lines if line not in script.splitlines()]


def test_a_script_for_slurm(folder, capfd):
    (folder / "mine.toml").write_text(PROFILE.format(scheduler="slurm", extra="--constraint=zen3"))
    script = submitted(capfd, "--cluster", "mine.toml")
    head, _, body = script.partition("\n\n")
    assert set(head.splitlines()[1:]) == {
        "#SBATCH --job-name=long",
        f"#SBATCH --output='{folder}/out dir/job/output-%j.txt'",
        "#SBATCH --open-mode=append",
        "#SBATCH --time=2:00:00",
        "#SBATCH --ntasks=6",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=4",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --mem=64G",
        "#SBATCH --partition=standard",
        "#SBATCH --account=my project",
        "#SBATCH --requeue",
        "#SBATCH --constraint=zen3",
    }
    assert not has(
        body,
        "module load gcc/13",
        "module load mpich",
        "source $HOME/fem/bin/activate",
        'export LIBRARY="$HOME/lib 1"',
        "export OMP_NUM_THREADS=1    # a rank works on one core",
        'export XDG_CACHE_HOME="$SCRATCH/forms"    # for compiled forms',
        '    mpiexec -n 6 "$@"',
        '    fem-models compile "$input" || exit',
        '    scontrol requeue "$SLURM_JOB_ID" || exit 1',
    )
    # What only looks like shell stays as it is.
    line = next(line for line in body.splitlines() if line.startswith("export MEAN"))
    shown = subprocess.run(
        ["bash", "-c", f'{line}\necho "$MEAN"'], capture_output=True, text=True, check=True
    )
    assert shown.stdout == 'a "b" `c` $(d)\n'


def test_a_script_for_srun_asks_for_a_signal_and_has_the_environment_of_here(folder, capfd):
    script = submitted(capfd, "--cluster", "slurm", "--walltime", "60")
    assert not has(
        script,
        # A quarter of a minute is kept, and the signal comes in the middle of that.
        "margin=15    # of these are kept for the last checkpoint and what follows the last step",
        "#SBATCH --signal=USR1@7",
        '    srun --mpi=pmi2 --kill-on-bad-exit=1 "$@"',
        f"export PATH={Path(sys.executable).parent}:$PATH",
    )
    assert "XDG_CACHE_HOME" not in script


def test_a_script_for_pbs_submits_itself_again(folder, capfd):
    (folder / "mine.toml").write_text(PROFILE.format(scheduler="pbs", extra="-l place=scatter"))
    script = submitted(capfd, "--cluster", "mine.toml")
    job = f"'{folder}/out dir/job"
    assert not has(
        script,
        "#PBS -N long",
        "#PBS -l select=2:ncpus=4:mpiprocs=4:mem=64gb",
        "#PBS -l walltime=2:00:00",
        "#PBS -q standard",
        "#PBS -l place=scatter",
        f"    qsub {job}/job.sh' >>{job}/numbers' || exit 1",
    )


def test_job_arrays_have_a_task_for_each_point_and_compile_before(folder, capfd):
    (folder / "long.toml").write_text(RUN_FILE + SWEEP)
    script = submitted(capfd, "--cluster", "slurm", "--array")
    compiling, _, running = script.partition("#!/bin/bash")[2].partition("#!/bin/bash")
    assert 'exec fem-models compile "$input"' in compiling and "--array" not in compiling
    assert not has(compiling, "#SBATCH --ntasks=1")
    assert not has(
        running,
        "#SBATCH --array=1-2",
        f"#SBATCH --output='{folder}/out dir/job/output-%A_%a.txt'",
        '    on_all_ranks fem-models sweep "$input" --out "$run" --point "$point" --walltime "$seconds"',
    )
    assert "fem-models compile" not in running
    assert "for point in $(seq 2); do" in submitted(capfd, "--cluster", "local", "--array")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--ranks", "0"], "--ranks 0 must be at least 1."),
        (["--walltime", "soon"], "--walltime soon is no time"),
        (["--array"], "--array needs a run file with [sweep], and long.toml has none."),
        (["--set", "time.step=-1"], "[time] step = -1 must be greater than 0"),
        (["--resume"], "is not a run directory: it has no run.toml to go on with."),
        (["--out", "taken"], "taken exists already; choose another --out, or add --overwrite."),
        (["--out", "taken", "--overwrite"], "it has files and no run.toml"),
        ([], "sbatch, which the profile slurm submits with, is not on this machine"),
    ],
)
def test_what_is_refused_leaves_nothing(folder, capfd, monkeypatch, options, sentence):
    monkeypatch.setattr("shutil.which", lambda name: None)
    (folder / "taken").mkdir()
    (folder / "taken" / "thesis.tex").write_text("words")
    before = sorted(folder.rglob("*"))
    command = ["submit", "long.toml", "--ranks", "2", "--walltime", "60", "--out", "out", *options]
    assert main(command) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err
    assert sorted(folder.rglob("*")) == before


def test_a_scheduler_that_refuses_is_quoted_and_leaves_nothing(folder, capfd, monkeypatch):
    stand_in(folder, "sbatch", 'raise SystemExit("sbatch: error: no such account\\nsbatch: error: failed")')
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    command = ["submit", "long.toml", "--ranks", "2", "--walltime", "60", "--out", "a/b/out"]
    assert main(command) == 2
    assert capfd.readouterr().err == (
        "sbatch refuses the job: sbatch: error: no such account sbatch: error: failed.\n"
    )
    assert not (folder / "a").exists()


def test_the_input_of_a_job_is_that_of_its_submission(folder, capfd, monkeypatch):
    stand_in(folder, "sbatch", "print('71;cluster')")
    stand_in(folder, "squeue", "print('71 PENDING')")
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    command = ["submit", "long.toml", "--ranks", "2", "--walltime", "60", "--out", "out"]
    assert main([*command, "--set", "time.step=0.01"]) == 0
    told = capfd.readouterr().out
    assert (
        told.startswith("job 71 runs long in out: `fem-models status out` tells") and "`scancel 71`" in told
    )
    expected = load("long.toml", ["time.step=0.01"])
    (folder / "long.toml").write_text("")
    assert load("out/job/input.toml") == expected
    assert main(["status", "out"]) == 0
    assert capfd.readouterr().out.splitlines()[1].split() == ["out", "waiting", "-", "0", "-", "-", "71"]
    (folder / "long.toml").write_text(RUN_FILE)
    assert main([*command, "--overwrite"]) == 2
    assert "Job 71 is waiting for" in capfd.readouterr().err
    stand_in(folder, "squeue", "raise SystemExit('slurm_load_jobs error: Invalid job id specified')")
    assert main(["status", "out"]) == 0
    assert "dead" in capfd.readouterr().out
    assert main([*command, "--overwrite"]) == 0
