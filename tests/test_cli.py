"""The command line: exit codes, one sentence for bad input, PETSc options, signals."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fem_models
from fem_models.cli import main
from fem_models.config.description import describe
from fem_models.config.io import load
from fem_models.expressions.operations import FUNCTIONS

SCRIPT = Path(sys.executable).with_name("fem-models")
MPIEXEC = Path(sys.executable).with_name("mpiexec")

RUN_FILE = """
[mesh]
domain = "interval"
cells = [20]
[system]
name = "fokker-planck"
potential = "x"
[initial]
rho = "1 + x"
[time]
end = 0.1
step = 0.05
[output]
figures = false
"""

FLOW = """
[mesh]
domain = "interval"
cells = [20]
[system]
name = "gradient-flow"
[[species]]
name = "u"
initial = 1
[[energy]]
term = "boltzmann"
[time]
end = 0.1
step = 0.05
"""

PROFILE_2D = "output.profile={ from = [0, 0], to = [1, 1] }"
DISK = ['mesh={ domain = "disk", h = 0.3 }']
HOLE = 'system={ name = "excluded-volume", potential = "log(x)", coefficient = 1 }'
PARTICLES = 'system={ name = "excluded-volume", interaction = "power-law", particles = 9, diameter = 0.1'

# What is set in the run file, and what the sentence must say.
BAD_INPUT = {
    "unknown key": (["time.stepp=0.1"], r"\[time\] stepp .*did you mean step\?"),
    "unknown table": (["tima.step=0.1"], r"\[tima\] .*did you mean time\?"),
    "wrong type": (["time.step=true"], r"\[time\] step = true must be a number"),
    "negative step": (["time.step=-0.1"], r"\[time\] step = -0.1 must be greater than 0"),
    "zero step": (["time.step=0"], r"\[time\] step = 0 must be greater than 0"),
    "step lost in rounding": (["time.step=1e-300"], r"\[time\] step = 1e-300 is lost in the rounding"),
    "end before start": (["time.start=1"], r"end = 0.1 must be greater than start = 1"),
    "negative density": (["initial.rho=x - 0.5"], r"initial rho is negative"),
    "infinite density": (["initial.rho=1/x"], r"initial rho is not finite"),
    "density that is no number": (["initial.rho=log(x - 0.5)"], r"initial rho is not finite"),
    "zero density": (["initial.rho=0"], r"initial rho is zero"),
    "density that is zero on the mesh": (["initial.rho=where(x > 2, 1, 0)"], r"initial rho is zero"),
    "no density": (["initial={}"], r"\[initial\] rho is missing"),
    "mass zero": (["initial.mass=0"], r"\[initial\] mass = 0 must be greater than 0"),
    "mass negative": (["initial.mass=-1"], r"\[initial\] mass = -1 must be greater than 0"),
    "mass infinite": (["initial.mass=inf"], r"\[initial\] mass = inf must be a finite number"),
    "potential not finite": (
        ["system.potential=1/x"],
        r"\[system\] potential = '1/x' is not finite on the mesh, .*\(0\)",
    ),
    "excluded volume, potential not finite": ([HOLE], r"\[system\] potential = 'log\(x\)' is not finite"),
    "unknown name": (["system.potential=2*a"], r"\[system\] potential: unknown name 'a'"),
    "code in an expression": (["initial.rho=__import__('os')"], r"\[initial\] rho: unknown function"),
    "y on an interval": (["initial.rho=1 + y"], r"\[initial\] rho: 'y' cannot be used"),
    "y in the potential on an interval": (
        ["system.potential=y"],
        r"\[system\] potential: 'y' cannot be used, the mesh has one dimension",
    ),
    "y in the exact solution on an interval": (["exact.rho=y"], r"\[exact\] rho: 'y' cannot be used"),
    "exact solution not finite": (["exact.rho=1/(t - 0.1)"], r"\[exact\] rho = .* not finite .* at t = 0.1"),
    "mesh file missing": (['mesh={ file = "no.msh" }'], r"\[mesh\] file = \"no.msh\" is not a file"),
    "mesh file without cells": (['mesh={ file = "points.msh" }'], r"points.msh .*has no cells"),
    "mesh file that is none": (['mesh={ file = "run.toml" }'], r"run.toml must end in one of .geo"),
    "mesh too coarse": (['mesh={ domain = "disk", h = 9 }'], r"`h` = 9 is larger than the domain"),
    "profile of another dimension": ([PROFILE_2D], r"\[output\] profile .* 2 entries"),
    "profile of a mesh file's dimension": (
        ['mesh={ file = "square.geo" }', "output.profile={ from = [0], to = [1] }"],
        r"\[output\] profile.from = \[0.0\] must have 2 entries",
    ),
    "profile outside": (
        [*DISK, "output.profile={ from = [0, 0], to = [0, 1.2] }"],
        r"\[output\] profile.to = \[0.0, 1.2\] is outside of the mesh",
    ),
    "field time too late": (["output.field_times=[0.2]"], r"\[output\] field_times has 0.2"),
    "exponent too small": (
        [*DISK, f"{PARTICLES}, exponent = 2 }}"],
        r"\[system\] interaction: exponent must be larger than the dimension 2",
    ),
    "PETSc value": (['solver.ksp_type="nonsense"'], r"PETSc refuses an option: .*nonsense"),
    "PETSc value of JKO": (
        ['time.scheme="jko"', 'solver.ksp_type="nonsense"'],
        r"PETSc refuses an option: .*nonsense",
    ),
    "PETSc number": (['solver.snes_max_it="many"'], r"PETSc refuses an option: .*many"),
    "variant": (
        ['compare=[{ name = "other", set = { "initial.rho" = "x - 2" } }]'],
        r"\[\[compare\]\] other: .*negative",
    ),
    "no key": (["time.step"], r"'time.step' needs the form key=value"),
}

BAD_FLOWS = {
    "column of series.csv": (['energy.0.label="time"'], r'label = "time" is another column'),
    "column of a species": (['energy.0.label="min_u"'], r'label = "min_u" is another column'),
    "no entropy": (["energy.0.coefficient=-1"], r"coefficient of boltzmann must be a positive"),
    "singular density": (
        ['energy=[{ term = "density", expression = "u/x" }]'],
        r"external potential of u is not finite on the mesh, for example at \(0\)",
    ),
    "singular potential": (
        ['energy=[{ term = "potential", V = "1/(x - 0.5)" }]'],
        r"\[\[energy\]\] #1 V = .* not finite",
    ),
    "mass of a field without one": (
        ['species=[{ name = "u", metric = "l2", initial = 0, mass = 1 }]', "energy.0.term=quadratic"],
        r"mass 1 of u cannot be reached",
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the current folder, with a run file and mesh files in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(RUN_FILE)
    (tmp_path / "flow.toml").write_text(FLOW)
    (tmp_path / "points.msh").write_text(
        "$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n1\n1 0 0 0\n$EndNodes\n$Elements\n0\n$EndElements\n"
    )
    (tmp_path / "square.geo").write_text(
        'SetFactory("OpenCASCADE");\nRectangle(1) = {0, 0, 0, 1, 1};\nMesh.MeshSizeMax = 0.5;\n'
    )
    return tmp_path


def _tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def _refused(folder, capfd, *arguments):
    """Run a command that must be refused; return its one sentence."""
    before = _tree(folder)
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert _tree(folder) == before
    return err


def _sets(overrides):
    return [part for text in overrides for part in ("--set", text)]


def _call(*arguments, **options):
    return subprocess.run(
        list(map(str, arguments)), capture_output=True, text=True, check=False, timeout=60, **options
    )


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_sentence_and_leaves_nothing(folder, capfd, case):
    overrides, sentence = BAD_INPUT[case]
    assert re.search(sentence, _refused(folder, capfd, "run", "run.toml", *_sets(overrides)))


@pytest.mark.parametrize("case", BAD_FLOWS)
def test_bad_gradient_flows_are_one_sentence_and_leave_nothing(folder, capfd, case):
    overrides, sentence = BAD_FLOWS[case]
    assert re.search(sentence, _refused(folder, capfd, "run", "flow.toml", *_sets(overrides)))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "missing.toml"], "missing.toml does not exist"),
        (["run", "."], "is a folder; give the path of a run file"),
        (["run", "square.geo"], "square.geo, line 1"),
        (
            ["run", "run.toml", "--out", "taken"],
            "taken exists already; choose another --out, or add --overwrite",
        ),
        (["run", "run.toml", "--out", "run.toml"], "run.toml is a file; choose another --out"),
        (["run", "run.toml", "--out", "run.toml/below"], "is not a directory"),
        (["run", "run.toml", "--out", "taken", "--overwrite"], "taken is not overwritten"),
        (["run", "run.toml", "-snes_monitor"], "-snes_monitor is an option of PETSc"),
        (["run", "run.toml", "more.toml"], '"more.toml" is one argument too many'),
        (["run", "run.toml", "--", "-snes_max_it", "3", "4"], '"4" is one argument too many'),
        (["run"], "Missing argument"),
        (["rum", "run.toml"], "No such command 'rum'"),
        (["show", "missing.toml"], "missing.toml does not exist"),
        (["plot", "taken"], "taken is not a run directory"),
    ],
)
def test_bad_usage_is_one_sentence_and_leaves_nothing(folder, capfd, arguments, sentence):
    (folder / "taken").mkdir()
    (folder / "taken" / "thesis.tex").write_text("words")
    assert sentence in _refused(folder, capfd, *arguments)


def test_more_ranks_than_cells_is_one_sentence_on_all_ranks(folder):
    before = _tree(folder)
    done = _call(MPIEXEC, "-n", 2, SCRIPT, "run", "run.toml", "--set", "mesh.cells=[1]")
    assert done.returncode == 2
    sentences = [line for line in done.stderr.splitlines() if "fewer than the 2 ranks" in line]
    assert len(sentences) == 1
    assert "Traceback" not in done.stderr
    assert _tree(folder) == before


def test_a_run_says_where_the_numbers_and_pictures_are(folder, capfd):
    (folder / "runs").mkdir()
    assert main(["run", "run.toml", "--set", 'output.figures=["energy"]']) == 0
    out, err = capfd.readouterr()
    directory = Path("runs/output/run")
    summary = json.loads((directory / "summary.json").read_text())
    assert (directory / "figures" / "energy.png").is_file()
    for text in (
        f"\n{directory}\n",
        f"{directory}/figures/energy.png",
        f"{summary['energy']['final']:.8g}",
        f"rho {summary['species']['rho']['mass_drift']:.1e}",
        "2 to t = 0.1 (end)",
    ):
        assert text in out
    assert err == ""
    assert out.splitlines()[0].startswith("step 0/2: t = 0, dt = 0, energy = ")
    last = next(
        line for line in out.splitlines() if line.startswith("step 2/2: t = 0.1, dt = 0.05, energy = ")
    )
    assert re.search(r"mass drift = \d\.\de[-+]\d\d, Newton = \d+$", last)
    log = (directory / "log.txt").read_text().splitlines()
    assert f"info: {last}" in [line.split(maxsplit=2)[2] for line in log]


def test_without_a_folder_runs_the_directory_is_in_output(folder, capfd):
    assert main(["run", "run.toml"]) == 0
    assert (folder / "output" / "run" / "summary.json").is_file()


def test_on_a_terminal_there_is_a_bar(folder):
    screen, terminal = pty.openpty()
    with subprocess.Popen([SCRIPT, "run", "run.toml"], stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        text = b""
        while chunk := _read(screen):
            text += chunk
    os.close(screen)
    assert process.returncode == 0
    assert "2/2" in text.decode()
    assert "━" in text.decode()
    assert "step 2/2" not in text.decode()
    assert "step 2/2" in (folder / "output" / "run" / "log.txt").read_text()


def _read(screen):
    try:
        return os.read(screen, 4096)
    except OSError:  # the other side is closed
        return b""


def test_a_failed_solve_exits_with_3_and_keeps_everything(folder, capfd):
    # A front that crosses the mesh in one step takes more than one iteration.
    changes = ["solver.max_iterations=1", "system.m=2", "initial.rho=where(x < 0.3, 1, 0)", "time.end=5"]
    assert main(["run", "run.toml", *_sets(changes), "--set", "time.step=5", "--out", "failed"]) == 3
    out, err = capfd.readouterr()
    assert "Traceback" not in err + out
    summary = json.loads(Path("failed/summary.json").read_text())
    assert (summary["stop_reason"], summary["steps"], summary["time"]) == ("failed", 0, 0.0)
    log = Path("failed/log.txt").read_text()
    for text in (err, log):
        for part in ("SNES reason: ", "KSP reason: ", "Residual norms: ", "rho: minimum ", "maximum "):
            assert part in text
    assert "`fem-models plot failed` draws it" in err
    assert len(Path("failed/series.csv").read_text().splitlines()) == 2
    assert Path("failed/fields.pvd").read_text().count("<DataSet") == 1
    assert Path("failed/run.toml").is_file()


def test_petsc_options_reach_petsc_win_and_are_recorded(folder):
    options = ["-snes_monitor", "-ksp_type", "gmres", "-ksp_view", "-log_view", ":log.view"]
    done = _call(SCRIPT, "run", "run.toml", "--set", 'solver.ksp_type="cg"', "--", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 SNES Function norm" in done.stdout
    assert "type: gmres" in done.stdout
    assert "type: cg" not in done.stdout
    assert "PETSc Performance Summary" in (folder / "log.view").read_text()
    solver = load("output/run/run.toml").solver.petsc
    assert (solver["ksp_type"], solver["snes_monitor"]) == ("gmres", "")
    again = _call(SCRIPT, "run", "output/run/run.toml", "--out", "again")
    assert "0 SNES Function norm" in again.stdout
    assert Path("again/series.csv").read_text() == Path("output/run/series.csv").read_text()


LONG = [*_sets(["time.end=1e5", "time.step=0.01", "output.fields_every=2"]), "--out", "long"]


@pytest.fixture
def long_run(folder):
    """A run that has taken some steps; it is gone after the test."""
    process = subprocess.Popen(
        [SCRIPT, "run", "run.toml", *LONG], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    series = folder / "long" / "series.csv"
    deadline = time.monotonic() + 120
    try:
        while not (series.is_file() and len(series.read_text().splitlines()) > 5):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_finishes_its_step_and_writes_everything(folder, long_run, number):
    long_run.send_signal(number)
    _, err = long_run.communicate(timeout=120)
    assert (long_run.returncode, err) == (128 + number, "")
    summary = json.loads((folder / "long" / "summary.json").read_text())
    rows = (folder / "long" / "series.csv").read_text().splitlines()
    assert summary["stop_reason"] == "interrupted"
    assert summary["steps"] == len(rows) - 2 >= 4
    assert float(rows[-1].split(",")[1]) == summary["time"]
    times = re.findall(r'timestep="([^"]+)"', (folder / "long" / "fields.pvd").read_text())
    assert float(times[-1]) == summary["time"]
    assert "(interrupted)" in (folder / "long" / "log.txt").read_text()


def test_a_killed_run_keeps_its_rows_and_fields(folder, long_run):
    long_run.kill()
    long_run.communicate(timeout=120)
    assert len((folder / "long" / "series.csv").read_text().splitlines()) > 5
    pieces = re.findall(r'file="([^"]+)"', (folder / "long" / "fields.pvd").read_text())
    assert len(pieces) >= 2
    assert all((folder / "long" / piece).is_file() for piece in pieces)


def test_two_ranks_give_the_energies_of_one(folder):
    change = _sets(['mesh={ domain = "disk", h = 0.2 }', "system.m=2", "solver.tolerance=1e-13"])
    assert main(["run", "run.toml", *change, "--out", "one"]) == 0
    done = _call(MPIEXEC, "-n", 2, SCRIPT, "run", "run.toml", *change, "--out", "two")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("step 0/2") == 1
    one, two = (
        [float(row.split(",")[3]) for row in Path(name, "series.csv").read_text().splitlines()[1:]]
        for name in ("one", "two")
    )
    assert two == pytest.approx(one, rel=1e-9)
    assert json.loads(Path("two/summary.json").read_text())["ranks"] == 2


def test_a_fault_on_one_rank_ends_all(folder):
    program = (
        "import fem_models, fem_models.run.runner as runner\n"
        "from mpi4py import MPI\n"
        "from fem_models.cli import main\n"
        "def run(*arguments):\n"
        "    assert MPI.COMM_WORLD.rank == 0, 'a fault'\n"
        "    MPI.COMM_WORLD.Barrier()\n"
        "runner.run = run\n"
        "raise SystemExit(main(['run', 'run.toml']))\n"
    )
    done = _call(MPIEXEC, "-n", 2, sys.executable, "-c", program)
    assert done.returncode not in (0, 2, 3)
    assert "AssertionError: a fault" in done.stderr


def test_plot_draws_the_figures_again(folder, capfd):
    main(["run", "run.toml", "--out", "done", "--set", 'output.figures=["energy"]'])
    (folder / "done" / "figures" / "energy.png").unlink()
    capfd.readouterr()
    assert main(["plot", "done"]) == 0
    assert capfd.readouterr().out == "done/figures/energy.png\n"
    assert (folder / "done" / "figures" / "energy.png").is_file()


@pytest.mark.parametrize("file", ["run.toml", None])
def test_show_lists_every_key(folder, capfd, file):
    assert main(["show", *([file] if file else [])]) == 0
    lines = capfd.readouterr().out.splitlines()
    entries = describe(load(file) if file else None)
    assert lines[0].split() == ["key", "value", "default", "meaning"]
    assert len(lines) == 1 + len(entries) > 20
    for line, entry in zip(lines[1:], entries, strict=True):
        assert line.startswith(entry.key)
        assert line.endswith(entry.meaning)
        assert entry.value in line
        assert entry.default in line


def test_show_fits_a_terminal(folder):
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        [SCRIPT, "show", "run.toml"], stdout=terminal, env=os.environ | {"COLUMNS": "80"}
    ) as p:
        os.close(terminal)
        text = b""
        while chunk := _read(screen):
            text += chunk
    os.close(screen)
    assert p.returncode == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text.decode())
    assert "mesh.domain" in plain
    assert "[2.0]" in plain or "[1.0]" in plain
    assert all(len(line.rstrip()) <= 80 for line in plain.splitlines())


def test_list_names_everything(capfd, monkeypatch):
    monkeypatch.chdir(Path(fem_models.__file__).parents[1])
    assert main(["list"]) == 0
    out = capfd.readouterr().out
    words = set(re.findall(r"[\w./-]+", out))
    assert set(FUNCTIONS) <= words
    for names in (
        "excluded-volume fast-diffusion fokker-planck gradient-flow",
        "boltzmann power-law logarithmic quadratic potential density",
        "backward-euler bdf2 upwind average wasserstein l2 interval rectangle box disk ball",
        "hard-sphere yukawa power-law profile energy terms overview pi",
        "meshes/disk.geo meshes/dumbbell.geo meshes/square_with_holes.geo meshes/ball.geo",
    ):
        assert set(names.split()) <= words


def test_the_program_alone_and_help_and_version(capfd):
    assert main([]) == 0
    assert main(["--help"]) == 0
    first, second = capfd.readouterr().out.split("Usage:")[1:]
    assert first.split() == second.split()
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"{fem_models.__version__}\n"


def test_help_does_not_wait_for_the_solvers():
    program = (
        "import sys, fem_models.cli\n"
        "slow = {'dolfinx', 'ufl', 'petsctools', 'pyvista', 'matplotlib', 'scipy', 'gmsh', 'numba'}\n"
        "fem_models.cli.main(['--help'])\n"
        "sys.exit(str(slow & set(sys.modules)) if slow & set(sys.modules) else 0)\n"
    )
    done = _call(sys.executable, "-c", program)
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_options_are_told_from_those_of_petsc(tmp_path, capfd):
    file = tmp_path / "flow.toml"
    file.write_text("")
    assert main(["run", str(file), "-snes_monitor"]) == 2
    text = capfd.readouterr().err
    assert (
        text
        == "-snes_monitor is an option of PETSc: those come last, after `--`, as in `-- -snes_monitor`.\n"
    )
    assert main(["run", str(file), "--ovrwrite"]) == 2
    text = capfd.readouterr().err
    assert "--ovrwrite" in text
    assert text.endswith("(`fem-models run --help` tells what is allowed).\n")


def test_a_reader_that_leaves_early_is_no_fault():
    code = "import sys; from fem_models.cli import main; print('x' * 100_000); sys.exit(main(['list']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.read(1)
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode != 0
    assert "MPI_Abort" not in errors
