"""Forms that are compiled before a run: the ranks find them all."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fem_models.cli import main
from fem_models.config.io import from_dict
from fem_models.run import compilation
from fem_models.run.compilation import compile_forms

MPIEXEC = Path(sys.executable).with_name("mpiexec")
# Two steps back in time, a field beside the density, a steady state, and another scheme as a variant.
RUN_FILE = """
mesh = { domain = "disk", h = 0.15 }
system = { name = "chemotaxis", m = 2, potential = "r**2" }
initial = { rho = "where(x > 0.3, 1, 0)", c = "1 + x", mass = { rho = 1 } }
time = { scheme = "bdf2", end = 0.1, step = 0.02 }
output = { figures = false }

[[compare]]
name = "movements"
set = { "time.scheme" = "jko" }
"""


def test_ranks_compile_nothing_after_it(tmp_path):
    (tmp_path / "run.toml").write_text(RUN_FILE)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    def call(*command):
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    program = [sys.executable, "-m", "fem_models"]
    told = call(*program, "compile", "run.toml")
    forms = set((tmp_path / "cache").rglob("*.c"))
    count = int(re.search(r"^(\d+) forms compiled in .* kept in \S+/cache/", told, re.MULTILINE)[1])
    assert count == len(forms) > 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "run.toml"]
    call(MPIEXEC, "-n", "2", *program, "run", "run.toml", "--out", "out")
    for place in ("out", "out/compare/movements"):
        summary = json.loads((tmp_path / place / "summary.json").read_text())
        assert (summary["stop_reason"], summary["ranks"]) == ("end", 2)
    assert set((tmp_path / "cache").rglob("*.c")) == forms


@pytest.mark.parametrize(
    ("mesh", "coarse"),
    [
        ({"domain": "interval", "cells": [400]}, {"cells": [6]}),
        ({"domain": "box", "cells": [3, 50, 50]}, {"cells": [3, 6, 6]}),
        ({"domain": "rectangle", "lower": [-1, 0], "upper": [5, 3], "h": 0.01}, {"h": 0.5}),
        ({"domain": "disk", "radius": 3, "h": 0.01}, {"h": 1.0}),
        ({"domain": "disk", "h": 0.9}, {"h": 0.9}),
        ({"domain": "rectangle"}, {"h": 1 / 6}),
    ],
)
def test_its_mesh_is_coarse(mesh, coarse, monkeypatch):
    taken = []
    monkeypatch.setattr(compilation, "run", lambda config, *_args, **_options: taken.append(config))
    tables = {"mesh": mesh, "system": {"name": "fokker-planck"}, "time": {"end": 9.0, "step": 0.5}}
    tables |= {"initial": {"rho": 1}, "output": {"field_times": [0, 5]}}
    compile_forms(from_dict(tables))
    [config] = taken
    for key, value in coarse.items():
        assert getattr(config.mesh, key) == (tuple(value) if key == "cells" else pytest.approx(value))
    assert (config.time.end, config.output.figures, config.output.field_times) == (1.5, (), None)


def test_what_a_coarse_mesh_does_not_see_is_seen_by_the_mesh_of_the_run(monkeypatch):
    tables = {
        "mesh": {"domain": "interval", "cells": [400]},
        "system": {"name": "fokker-planck"},
        "initial": {"rho": "where(abs(x - 0.45) < 0.01, 1, 0)", "mass": 1},
        "time": {"end": 1.0, "step": 0.01},
    }
    cells = []
    usual = compilation.run

    def noted(config, *arguments, **options):
        cells.append(config.mesh.cells)
        return usual(config, *arguments, **options)

    monkeypatch.setattr(compilation, "run", noted)
    compile_forms(from_dict(tables))
    assert cells == [(6,), (400,)]


def test_bad_input_is_one_sentence(tmp_path, capfd):
    (tmp_path / "run.toml").write_text(RUN_FILE.replace("c =", "d ="))
    assert main(["compile", str(tmp_path / "run.toml")]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
