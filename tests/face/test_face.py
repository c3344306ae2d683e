"""The names of the public face: lazy, complete, and typed where they are."""

import importlib
import subprocess
import sys

import pytest

import fem_models as fm


def test_every_name_is_there_and_belongs_to_its_home():
    for name in fm.__all__:
        assert getattr(fm, name) is not None
    assert set(fm._HOME) | {"__version__"} == set(fm.__all__)
    for name, home in fm._HOME.items():
        assert getattr(importlib.import_module(home), name) is getattr(fm, name)
    assert set(fm.__all__) <= set(dir(fm))


def test_names_are_not_hidden_by_packages():
    for package in ("linearised_jko", "meshes", "run.runner"):
        importlib.import_module(f"fem_models.{package}")
    assert callable(fm.mesh)
    assert callable(fm.linearised)


def test_an_unknown_name_is_an_attribute_error():
    name = "Folw"
    with pytest.raises(AttributeError, match="no attribute 'Folw'"):
        getattr(fm, name)


def test_importing_loads_neither_dolfinx_nor_what_draws():
    program = (
        "import sys, fem_models\n"
        "heavy = {'dolfinx', 'petsc4py', 'numpy', 'gmsh', 'pyvista', 'matplotlib', 'typer', 'rich', 'ufl'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_dolfinx_after_fem_models_finds_its_libraries():
    program = "import fem_models, dolfinx, petsc4py\nimport sys\nprint('dolfinx_solver' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(importlib.util.find_spec("dolfinx_solver") is not None)
