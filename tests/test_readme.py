"""Every command, program and run file in the README works as written."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from benchmark_checks import CHECKS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]
FLOW = next(block for block in blocks("toml") if "fokker-planck" in block)

# Not run here: the tests of the benchmarks run them with --quick and check their tables.
BENCHMARKS = [command for command in COMMANDS if "runs/benchmarks/" in command]

# Shorter than written, where the length is not the point.
SHORTER = {
    "run runs/": " --set time.end=0.03 --set output.field_times=[0.03] --set output.figures=[]",
}


def run(command, folder):
    for marker, options in SHORTER.items():
        if marker in command and "barenblatt" not in command and "&&" not in command:
            command += options
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    for name in ("runs", "meshes"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c not in BENCHMARKS and not c.startswith("make ")]
)
def test_command(command, tmp_path):
    (tmp_path / "flow.toml").write_text(FLOW)
    result = run(command, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    if out := re.search(r" run \S+ --out (\S+)", command):
        assert (tmp_path / out[1] / "summary.json").is_file()


@pytest.mark.parametrize("command", BENCHMARKS)
def test_benchmark_is_tested(command):
    python, script, *options = shlex.split(command)
    assert python == "python" and Path(script).parent == Path("runs/benchmarks")
    assert (Path(script).name, *options) in CHECKS


@pytest.mark.parametrize("target", [c.split()[1] for c in COMMANDS if c.startswith("make ")])
def test_make_target_exists(target):
    # Not run: `make test` would run this test, and `make demo` is its recipe on the quickstart, below.
    result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_demo_on_two_processes(tmp_path):
    recipe = re.search(r"fem-models (run runs/quickstart.toml .*)", (ROOT / "Makefile").read_text())[1]
    result = run(f"mpiexec -n 2 fem-models {recipe}", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "quickstart" in result.stdout


@pytest.mark.parametrize(("number", "printed"), [(0, "power-law"), (1, "0.40"), (2, "  0.")])
def test_program(number, printed, tmp_path):
    (tmp_path / "program.py").write_text(blocks("python")[number])
    result = run("python program.py", tmp_path)
    assert result.returncode == 0, result.stderr
    assert printed in result.stdout


@pytest.mark.parametrize("text", blocks("toml"))
def test_run_file(text, tmp_path):
    (tmp_path / "flow.toml").write_text(text)
    result = run("fem-models run flow.toml --out output --set output.figures=[]", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"`(fem-models (?:show|list|plot)[^`]*)`", README)))
)
def test_command_in_the_text(command, tmp_path):
    (tmp_path / "flow.toml").write_text(FLOW)
    if "plot" in command:
        assert run("fem-models run flow.toml --out output", tmp_path).returncode == 0
    result = run(command, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_link(path):
    assert (ROOT / path).exists()
