"""Every command, program and run file in the README and in that of the run files works as written."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmark_checks import CHECKS

ROOT = Path(__file__).parents[1]
PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "runs/README.md")}
BIN = Path(sys.executable).parent


def blocks(kind):
    texts = [re.findall(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE) for page in PAGES.values()]
    return [block for found in texts for block in found]


# What jobs do: the commands of such a block follow each other.
SESSIONS = [block for block in blocks("sh") if "fem-models status" in block]
# Some commands are on both pages.
COMMANDS = list(
    dict.fromkeys(line for block in blocks("sh") if block not in SESSIONS for line in block.splitlines())
)
FLOW = next(block for block in blocks("toml") if "fokker-planck" in block)

# Not run here: the tests of the benchmarks run them with --quick and check their tables.
BENCHMARKS = [command for command in COMMANDS if "runs/benchmarks/" in command]

# Shorter than written, where the length is not the point.
SHORTER = {
    "run runs/": " --set time.end=0.03 --set output.field_times=[0.03] --set output.figures=[]",
    "sweep runs/": " --set sweep.keys.mesh.cells=[8] --set sweep.keys.time.step=[0.02,0.01]",
    "run runs/two_component_rates": " --set sweep.values=[0,4]",
    "run runs/chemotaxis_rates": " --set sweep.values=[0,0.4]",
}
# The first run of the README is as long as written; those that say what else there is have a coarser mesh.
FIRST = "fem-models run flow.toml --out output"
COARSER = "run flow.toml --set output.figures=[] --set mesh.h=0.15"


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
    result = run(command if command == FIRST else command.replace("run flow.toml", COARSER), tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    if "sweep" in command and "--point" not in command:
        assert (tmp_path / "output" / "convergence" / "figures" / "sweep.png").is_file()
    if out := re.search(r" run \S+ --out (\S+)", command):
        assert (tmp_path / out[1] / "summary.json").is_file()


@pytest.mark.parametrize("block", SESSIONS)
def test_session(block, tmp_path, monkeypatch):
    # Ranks that wait let the others work, where there are more of them than cores.
    monkeypatch.setenv("MPIR_CVAR_CH4_PROGRESS_THROTTLE", "1")
    # Shorter than written, but longer than the time limits in the block.
    shorter = " --set output.figures=[] --set time.end=0.15 --set output.field_times=[0.15]"
    for line in block.splitlines():
        options = shorter if "runs/quickstart" in line else ""
        result = run(f"true && {line}{options}", tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
    deadline = time.monotonic() + 120
    while True:
        [entry] = json.loads(run(f"true && {line} --json", tmp_path).stdout)
        if entry["state"] not in ("waiting", "running"):
            break
        assert time.monotonic() < deadline, entry
        time.sleep(0.3)
    assert entry["state"] == "ended", entry


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


# What each program prints at last, in part or as a number with its tolerance.
PRINTED = [
    ("t = 1.00", "mass = 1.000000000000"),
    # W₂ of the step of a Gaussian is 1 - σ' with σ'² = .36921.
    ("{'rho': 0.39", "-0."),
    ("0.40",),
    ("0.", " "),
    ("mass = 1.000000000000",),
]


@pytest.mark.parametrize(("program", "printed"), list(zip(blocks("python"), PRINTED, strict=True)))
def test_program(program, printed, tmp_path):
    lines = program.strip().splitlines()
    assert len(lines) <= 10
    assert [line for line in lines if "import " in line] == ["import fem_models as fm"]
    (tmp_path / "program.py").write_text(program)
    result = run("python program.py", tmp_path)
    assert result.returncode == 0, result.stderr
    last = result.stdout.strip().splitlines()[-1]
    assert all(part in last for part in printed), last


@pytest.mark.parametrize("text", blocks("toml"))
def test_run_file(text, tmp_path):
    (tmp_path / "flow.toml").write_text(text)
    result = run(f"{FIRST} --set output.figures=[] --set time.end=0.1", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "command",
    sorted(
        {c for page in PAGES.values() for c in re.findall(r"`(fem-models (?:show|list|plot)[^`]*)`", page)}
    ),
)
def test_command_in_the_text(command, tmp_path):
    (tmp_path / "flow.toml").write_text(FLOW)
    if "plot" in command:
        assert run(f"{FIRST} --set time.end=0.1", tmp_path).returncode == 0
    result = run(command.replace("FILE", "flow.toml"), tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    # A process of its own shows what others have imported in this one.
    assert "none found" not in result.stdout


PLACES = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
LINKS = [(name, path) for name, page in PAGES.items() for path in PLACES.findall(page)]


@pytest.mark.parametrize(("name", "path"), sorted(set(LINKS)))
def test_link(name, path):
    assert ((ROOT / name).parent / path).exists()
