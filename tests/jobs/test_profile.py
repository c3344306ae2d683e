"""Profiles of clusters: those of the project, and what is wrong in others."""

import re

import pytest
from job_runs import ROOT

from fem_models.cli import main
from fem_models.core.errors import InputError
from fem_models.jobs.profile import Profile, load_profile

SLURM = 'scheduler = "slurm"\nlauncher = "srun"\n'

BAD = {
    "unknown key": (
        SLURM + 'partitoin = "gpu"',
        r"partitoin is not a key of a profile; did you mean partition\?",
    ),
    "no scheduler": ('launcher = "srun"', "scheduler is missing: who starts the jobs"),
    "unknown scheduler": ('scheduler = "slrum"\nlauncher = "srun"', r"must be one of slurm, .* mean slurm\?"),
    "braces": (
        SLURM.replace("srun", "srun -n {n}"),
        r"launcher = \"srun -n {n}\" may have {ranks} in braces",
    ),
    "memory": (SLURM + "memory = '64 GB'", r'memory = "64 GB" must be a size such as 64G'),
    "number for text": (SLURM + "account = 7", "account = 7 must be a text in quotes"),
    "text for list": (SLURM + 'modules = "gcc"', r'modules = "gcc" must be a list'),
    "name of a variable": (SLURM + "[environment]\n'A B' = '1'", "environment.A B .* letters, digits and _"),
    "two lines": (SLURM + 'directives = ["a\\nb"]', "must be a short text of printable characters"),
    "negative": (SLURM + "margin = -1", "margin = -1 must be at least 0"),
    "loop with a partition": (
        'scheduler = "none"\nlauncher = "mpiexec"\npartition = "a"',
        'partition goes with a scheduler, and scheduler = "none"; remove it',
    ),
    "qos of PBS": ('scheduler = "pbs"\nlauncher = "mpiexec"\nqos = "a"', 'qos goes with scheduler = "slurm"'),
    "no TOML": ("scheduler =", "cannot be read: Invalid value"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_in_a_profile_is_one_sentence(case, folder, capfd):
    text, sentence = BAD[case]
    (folder / "mine.toml").write_text(text)
    command = ["submit", "long.toml", "--ranks", "2", "--walltime", "60", "--cluster", "mine.toml"]
    assert main([*command, "--out", "out"]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert re.search(f"^The profile mine.toml.*{sentence}", err) and err.endswith(".\n")
    assert not (folder / "out").exists()


def test_a_profile_that_is_not_there(folder, monkeypatch):
    with pytest.raises(InputError, match=r'"slum" is no profile in runs/cluster; did you mean slurm\?'):
        load_profile("slum")
    with pytest.raises(InputError, match=r"elsewhere/mine\.toml does not exist"):
        load_profile("elsewhere/mine.toml")
    monkeypatch.chdir(folder.parent)
    with pytest.raises(InputError, match="There is no folder runs/cluster with profiles here"):
        load_profile("slurm")


def test_the_profiles_of_the_project_name_only_keys_that_there_are(folder):
    paths = sorted((ROOT / "runs" / "cluster").glob("*.toml"))
    assert [path.stem for path in paths] == ["local", "pbs", "slurm"]
    for path in paths:
        assert load_profile(path.stem) == load_profile(str(path))
        # What is to be filled in is written as comments.
        text = re.sub(r"^# (?=\w+ = |\[environment\])", "", path.read_text(), flags=re.MULTILINE)
        (folder / "full.toml").write_text(re.sub(r"^# (?=[A-Z_]+ = )", "", text, flags=re.MULTILINE))
        full = load_profile("full.toml")
        assert path.stem == "local" or full.modules == ("gcc/13", "mpich/4.2")


def test_ranks_are_laid_out_on_nodes():
    def shape(ranks, **keys):
        return Profile(scheduler="slurm", launcher="srun", **keys).shape(ranks)

    assert shape(7) is None
    assert shape(7, tasks_per_node=4) == (2, 4)
    assert shape(3, tasks_per_node=64) == (1, 3)
    assert shape(7, nodes=2) == (2, 4)
    with pytest.raises(InputError, match="--ranks 7 do not fit on the 1 nodes with 4 ranks each"):
        shape(7, nodes=1, tasks_per_node=4)
