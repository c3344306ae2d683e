"""Computing needs no extra, and a missing one is named in the error."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fem_models.core.errors import InputError
from fem_models.core.extras import require

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

# Python refuses to import a module whose place among those that were imported holds None.
BLOCKED = """
import sys
for name in (
    *("gmsh", "pyvista", "vtkmodules", "matplotlib", "plotly", "jinja2", "imageio_ffmpeg"),
    *("typer", "click", "rich"),
):
    sys.modules[name] = None
"""

COMPUTE = """
from mpi4py import MPI
import fem_models
from fem_models.energies import PowerLaw
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes import domains
from fem_models.schemes.backward_euler import BackwardEuler

square = domains.build(MPI.COMM_WORLD, "rectangle", cells=[4, 4])
flow = GradientFlow(square, Species("rho"), PowerLaw(2.0))
rho = flow.state(lambda x: 1 + x[0])
step = BackwardEuler(flow).step(rho, 0.01)
assert abs(flow.masses(step.state)["rho"] - 1.5) < 1e-12
print("computed")
"""

IMPORTS = """
import importlib, pathlib
import fem_models
home = pathlib.Path(fem_models.__file__).parent
for file in home.rglob("*.py"):
    parts = file.relative_to(home.parent).with_suffix("").parts
    if parts[1] not in ("cli", "plotting", "report", "__main__"):
        importlib.import_module(".".join(parts).removesuffix(".__init__"))
print("imported")
"""

DISK = """
from mpi4py import MPI
import fem_models
from fem_models.meshes import domains
domains.build(MPI.COMM_WORLD, "disk", h=0.5)
"""


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, check=False)


def last_line(code: str) -> str:
    result = run(code)
    return result.stdout.strip() or result.stderr.strip().splitlines()[-1]


def test_computing_needs_no_extra():
    assert last_line(COMPUTE) == "computed"


def test_no_module_but_those_of_commands_figures_and_reports_needs_an_extra():
    assert last_line(IMPORTS) == "imported"


def test_missing_extras_are_named():
    name = "fem_models.core.errors.InputError: "
    sentence = "Meshes from gmsh need the extra mesh: pip install 'fem-models[mesh]'."
    assert last_line(DISK) == name + sentence
    sentence = "Figures need the extra plot: pip install 'fem-models[plot]'."
    assert last_line("import fem_models.plotting") == name + sentence
    assert last_line("import fem_models.report") == name + sentence.replace("Figures", "Reports")


def test_command_line_names_its_extra():
    result = run("from fem_models.cli import main; sys.exit(main(['list']))")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Commands of fem-models need the extra run: pip install 'fem-models[run]'.\n"


def test_without_dolfinx_there_is_a_sentence_on_how_to_get_it():
    sentence = "fem_models needs DOLFINx: install its wheel by pip install 'fem-models[wheel]', or take that"
    blocked = "import sys\nsys.modules['dolfinx'] = None\n"
    python = run(f"{blocked}import fem_models as fm\nfm.Flow")
    assert f"InputError: {sentence}" in python.stderr.splitlines()[-1]
    # Those that `run` blocks are there.
    code = f"{blocked}del sys.modules['typer'], sys.modules['click'], sys.modules['rich']\n"
    command = run(f"{code}from fem_models.cli import main; sys.exit(main(['list']))")
    assert command.returncode == 2
    assert command.stderr.startswith(sentence)


def test_library_that_does_not_load_is_told_from_one_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "no_graphics.py").write_text("raise OSError('libGLU.so.1: cannot open')")
    (tmp_path / "half_there.py").write_text("import that_is_not_there")
    for library, reason in [("no_graphics", "libGLU.so.1"), ("half_there", "No module named")]:
        with pytest.raises(InputError, match=f"^Meshes need {library}, which cannot be loaded .*{reason}"):
            require(library, extra="mesh", what="Meshes")


def test_extras_hold_what_is_asked_for_by_their_names():
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    names = {key: {entry.partition(">=")[0] for entry in entries} for key, entries in extras.items()}
    assert names["mesh"] == {"gmsh", "meshio", "pillow", "pyfive"}
    assert names["plot"] == {"imageio-ffmpeg", "jinja2", "matplotlib", "plotly", "pyvista"}
    assert names["run"] == {"jinja2", "rich", "typer"}
    assert names["all"] == {"fem-models[mesh,plot,run]"}
    always = {entry.partition(">=")[0] for entry in project["dependencies"]}
    assert not always & set().union(*(names[key] for key in ("mesh", "plot", "run")))
