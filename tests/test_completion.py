"""What the shells are offered where a word of a command is to be completed."""

import os
import subprocess
import sys

import pytest

from fem_models.linearised_jko.elements import PAIRS

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def here(tmp_path):
    """Return a directory with run files, other files, and directories."""
    for name in ("first.toml", "notes.txt", "runs/heat.toml", "runs/heat.csv", "runs/.hidden.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def offered(shell, line, folder):
    """What a shell gets for a line whose last word is to be completed."""
    words = line.split(" ")
    ours = {"_FEM_MODELS_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        ours |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    else:
        ours |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    command = [sys.executable, "-m", "fem_models"]
    result = subprocess.run(
        command, cwd=folder, env=os.environ | ours, capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    if shell == "zsh":  # "name":"help"
        return result.stdout.split('"')[1::2]
    return [entry.partition("\t")[0] for entry in result.stdout.splitlines() if entry]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands(shell, here):
    assert {"run", "plot", "show", "list", "lbb", "distance"} <= set(offered(shell, "fem-models ", here))
    assert "lbb" in offered(shell, "fem-models l", here)
    assert "run" not in offered(shell, "fem-models l", here)


@pytest.mark.parametrize("shell", SHELLS)
def test_options(shell, here):
    found = offered(shell, "fem-models run first.toml --o", here)
    assert {"--out", "--overwrite"} <= set(found)
    assert "--set" not in found


@pytest.mark.parametrize("shell", SHELLS)
def test_run_files(shell, here):
    assert offered(shell, "fem-models run ", here) == ["first.toml", "runs/"]
    assert offered(shell, "fem-models show f", here) == ["first.toml"]


def test_run_files_in_directories(here):
    # A single directory would end the word.
    assert offered("bash", "fem-models run r", here) == ["runs/heat.toml"]
    assert offered("bash", "fem-models run runs/h", here) == ["runs/heat.toml"]
    assert offered("bash", f"fem-models run {here}/f", here) == [f"{here}/first.toml"]
    assert offered("bash", "fem-models run nowhere/h", here) == []


def test_other_files_are_left_to_the_shell(here):
    assert offered("bash", "fem-models plot ", here) == []


def test_names(here):
    pairs = [name for name in PAIRS if name.startswith("P2")]
    assert offered("bash", "fem-models lbb --pair P2", here) == pairs
    assert offered("bash", "fem-models lbb --domain b", here) == ["box", "ball"]


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts(shell, here):
    ours = {"_FEM_MODELS_COMPLETE": f"source_{shell}"}
    command = [sys.executable, "-m", "fem_models"]
    result = subprocess.run(
        command, cwd=here, env=os.environ | ours, capture_output=True, text=True, check=True
    )
    assert f"_FEM_MODELS_COMPLETE=complete_{shell}" in result.stdout
