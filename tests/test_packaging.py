"""The version, the licence, the choice of a Python, and the agreement of ranks."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mpi4py import MPI

import fem_models

ROOT = Path(__file__).parents[1]
SOURCES = ["pyproject.toml", "README.md", "Makefile", ".ci", "fem_models", "meshes", "runs", "tests"]


def test_installed_version_is_the_one_of_the_package():
    assert importlib.metadata.version("fem-models") == fem_models.__version__


def test_version_is_written_in_one_place():
    version = re.compile(rf"(?<![\d.]){re.escape(fem_models.__version__)}(?!\.?\d)".encode())
    files = [f for source in SOURCES for f in (ROOT / source, *(ROOT / source).rglob("*")) if f.is_file()]
    kept = [f for f in files if "__pycache__" not in f.parts and ROOT / "runs/output" not in f.parents]
    holders = [str(f.relative_to(ROOT)) for f in kept if version.search(f.read_bytes())]
    assert holders == ["fem_models/_version.py"]


def test_licence_is_declared_and_present():
    assert importlib.metadata.metadata("fem-models")["License-Expression"] == "BSD-3-Clause"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")


def test_types_are_found_by_those_who_install(tmp_path):
    # Type checkers look for py.typed in the directories of sys.path and run no import hooks.
    code = (
        "import pathlib, sys;"
        "print([str(p) for p in map(pathlib.Path, sys.path) if (p / 'fem_models' / 'py.typed').is_file()])"
    )
    isolated = [sys.executable, "-I", "-c", code]
    found = subprocess.run(isolated, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.strip() != "[]"


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _python(path: Path) -> Path:
    return _program(path, f'exec "{sys.executable}" "$@"')


def _find_python(home: Path, **environment: str) -> subprocess.CompletedProcess:
    variables = {"HOME": str(home), "PATH": str(home / "bin"), **environment}
    command = ["/bin/sh", str(ROOT / ".ci" / "find-python")]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def home(tmp_path):
    """Return a home whose PATH holds an old python3 and a python3.13 that does not run."""
    _program(tmp_path / "bin" / "python3", 'echo "is Python 3.11" >&2; exit 1')
    _program(tmp_path / "bin" / "python3.13", 'echo "python3.13: command not found" >&2; exit 127')
    return tmp_path


def test_python_on_the_path_is_found(home):
    fit = _python(home / "bin" / "python3.12")
    assert _find_python(home).stdout.strip() == str(fit)


def test_named_python_comes_first(home):
    _python(home / "bin" / "python3.12")
    fit = _python(home / "elsewhere" / "python")
    assert _find_python(home, PYTHON=str(fit)).stdout.strip() == str(fit)


def test_unfit_named_python_is_reported_and_passed_over(home):
    fit = _python(home / "bin" / "python3.12")
    result = _find_python(home, PYTHON="python3.13")
    assert result.stdout.strip() == str(fit)
    assert "PYTHON=python3.13 is not fit" in result.stderr


@pytest.mark.parametrize("variable", [True, False])
def test_pyenv_is_searched_when_its_shims_do_not_run(home, variable):
    root = home / ("elsewhere" if variable else ".pyenv")
    fit = _python(root / "versions" / "3.12.1" / "bin" / "python3")
    environment = {"PYENV_ROOT": str(root)} if variable else {}
    assert _find_python(home, **environment).stdout.strip() == str(fit)


def test_without_a_fit_python_the_message_says_what_to_install(home):
    result = _find_python(home)
    assert result.returncode == 1
    assert result.stdout == ""
    for words in (
        "3.12 or newer",
        "apt install",
        "dnf install",
        "brew install",
        "conda create",
        "pyenv install",
    ):
        assert words in result.stderr
    assert f"{home}/bin/python3 is Python 3.11" in result.stderr
    assert f"{home}/bin/python3.13 does not run" in result.stderr


@pytest.mark.parallel
def test_shared_directory_is_the_same_on_all_ranks(shared_tmp_path):
    comm = MPI.COMM_WORLD
    (shared_tmp_path / f"{comm.rank}").touch()
    comm.Barrier()
    assert sorted(f.name for f in shared_tmp_path.iterdir()) == [str(r) for r in range(comm.size)]
    comm.Barrier()


def _run_on_two_ranks(folder: Path, body: str, *options: str) -> subprocess.CompletedProcess:
    if MPI.COMM_WORLD.size > 1:
        pytest.skip("starts mpiexec itself")
    beside = Path(sys.executable).parent
    mpiexec = shutil.which("mpiexec", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    for file in ("conftest.py", "compiled_forms.py"):
        shutil.copy(ROOT / "tests" / file, folder)
    (folder / "test_example.py").write_text(f"from mpi4py import MPI\ncomm = MPI.COMM_WORLD\n{body}")
    pytest_run = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", ".", *options]
    command = [mpiexec, "-n", "2", *pytest_run, "test_example.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_failure_on_one_rank_is_reported_once_and_the_next_test_runs(tmp_path):
    result = _run_on_two_ranks(
        tmp_path,
        "def test_one(): assert comm.rank == 0, 'only the first is right'\n"
        "def test_two(): assert comm.allreduce(1) == 2\n",
    )
    assert result.returncode != 0
    assert result.stdout.count("1 failed, 1 passed") == 1
    assert "rank 1:" in result.stdout
    assert "only the first is right" in result.stdout


def test_failure_while_the_other_rank_waits_ends_the_run(tmp_path):
    result = _run_on_two_ranks(
        tmp_path,
        "def test_one():\n    assert comm.rank == 0, 'left the others alone'\n    comm.Barrier()\n",
        "--override-ini=mpi_grace=1",
    )
    assert result.returncode != 0
    assert "left the others alone" in result.stderr


def test_hanging_test_ends_the_run_and_shows_where(tmp_path):
    result = _run_on_two_ranks(
        tmp_path,
        "def test_one():\n    if comm.rank == 1:\n        comm.recv(source=0)\n",
        "--override-ini=mpi_time_limit=2",
    )
    assert result.returncode != 0
    assert "Timeout" in result.stderr
    assert "in test_one" in result.stderr
