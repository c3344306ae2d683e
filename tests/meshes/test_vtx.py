"""Fields as VTX: what ADIOS2's own reader finds, on any number of ranks, before and after a run goes on."""

import json
import subprocess
import sys

import numpy as np
import pytest
from dolfinx import fem
from mpi4py import MPI

from fem_models.cli import main
from fem_models.config.io import from_dict
from fem_models.core.errors import InputError
from fem_models.meshes import domains as meshes
from fem_models.meshes import vtx
from fem_models.meshes.vtx import VtxFile
from fem_models.run.resume import resume
from fem_models.run.runner import run

COMM = MPI.COMM_WORLD
# The reader brings an ADIOS2 of its own, which must not meet that of DOLFINx in one process.
READER = """
import json, sys
import adios2
found = []
with adios2.FileReader(sys.argv[1]) as file:
    def blocks(name, step):
        # The mesh is there once where it stays the same.
        step = min(step, file.inquire_variable(name).steps() - 1)
        count = len(file.engine.blocks_info(name, step))
        read = (file.read(name, block_id=b, step_selection=[step, 1]) for b in range(count))
        return [values.tolist() for values in read]
    for step in range(file.num_steps()):
        names = sys.argv[2:]
        found.append({name: blocks(name, step) for name in ("step", "geometry", "connectivity", *names)})
print(json.dumps(found))
"""


def read(path, *names):
    """The times of a VTX file, each with its points, cells by points, and fields, of all ranks together."""
    command = [sys.executable, "-c", READER, str(path), *names]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = []
    for step in json.loads(text):
        points = [np.array(block) for block in step["geometry"]]
        offsets = np.cumsum([0, *(len(block) for block in points)])
        cells = [np.array(c)[:, 1:] + o for c, o in zip(step["connectivity"], offsets, strict=False)]
        values = {name: np.concatenate([np.ravel(block) for block in step[name]]) for name in names}
        found.append((np.ravel(step["step"][0])[0], np.concatenate(points), np.concatenate(cells), values))
    return found


def linear(x):
    return 2 * x[0] + 3 * x[1] + 5 * x[2]


@pytest.mark.parallel
@pytest.mark.parametrize(("domain", "cells", "degree"), [("box", (3, 3, 2), 1), ("rectangle", (3, 4), 2)])
def test_every_cell_is_written_once_with_its_values(shared_tmp_path, domain, cells, degree):
    mesh = meshes.build(COMM, domain, cells=cells).mesh
    function = fem.Function(fem.functionspace(mesh, ("Lagrange", degree)), name="f")
    volume = 0.0
    file = VtxFile(COMM, shared_tmp_path / "f.bp")
    for time in (0.0, 0.5):
        function.interpolate(lambda x, time=time: linear(x) ** degree + time)
        file.write(time, [function])
    # Before it is closed: a run that is killed leaves what is there now.
    if COMM.rank == 0:
        for time, (found, points, cells, values) in zip(
            (0.0, 0.5), read(shared_tmp_path / "f.bp", "f"), strict=True
        ):
            assert found == time
            np.testing.assert_allclose(values["f"], linear(points.T) ** degree + time, atol=1e-12)
            dim = mesh.topology.dim
            corners = points[cells[:, : dim + 1]][..., :dim]
            volume = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])).sum() / (2 if dim == 2 else 6)
            # Cells that two ranks had written would count twice.
            assert volume == pytest.approx(1.0, rel=1e-12)
    COMM.Barrier()
    file.close()


TABLES = {
    "mesh": {"domain": "rectangle", "cells": [6, 6]},
    "system": {"name": "fokker-planck", "m": 2, "potential": "x"},
    "initial": {"rho": "1 + x", "mass": 1},
    "time": {"end": 0.2, "step": 0.02},
    "output": {"figures": False, "fields_every": 5, "vtx": True, "steady": False},
}


@pytest.mark.parallel
@pytest.mark.parametrize(("domain", "potential"), [("rectangle", "x"), ("torus", "cos(2*pi*x)")])
def test_a_run_writes_the_fields_of_the_pvd_file_and_goes_on_in_another_one(
    shared_tmp_path, domain, potential
):
    out = shared_tmp_path / "out"
    mesh, system = TABLES["mesh"] | {"domain": domain}, TABLES["system"] | {"potential": potential}
    run(from_dict(TABLES | {"mesh": mesh, "system": system}), out, comm=COMM)
    resume(out, 0.4, comm=COMM)
    COMM.Barrier()
    if COMM.rank == 0:
        from fem_models.results.fields import WrittenFields

        pvd = WrittenFields(out / "fields.pvd")
        found = [*read(out / "fields.bp", "rho"), *read(out / "fields-3.bp", "rho")]
        assert [time for time, *_ in found] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
        assert [time for time, *_ in found] == list(pvd.times)
        for time, points, _, values in found:
            known = pvd.at(time)
            nodes = {
                tuple(np.round(x, 9) + 0.0): value
                for x, value in zip(known.points, known["rho"], strict=True)
            }
            expected = [nodes[tuple(np.round(x, 9) + 0.0)] for x in points]
            np.testing.assert_allclose(values["rho"], expected, rtol=1e-14)
            # Of a torus, both sides of the seam.
            assert len(nodes) == 49
    COMM.Barrier()
    # Another run in the directory leaves nothing of it.
    run(from_dict(TABLES | {"output": TABLES["output"] | {"vtx": False}}), out, overwrite=True, comm=COMM)
    assert not list(out.glob("*.bp"))


def test_without_adios2_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(vtx, "has_adios2", False)
    file = tmp_path / "run.toml"
    file.write_text(
        'mesh = { domain = "interval", cells = 4 }\nsystem = { name = "fokker-planck" }\n'
        "initial = { rho = 1 }\ntime = { end = 1, step = 0.5 }\noutput = { vtx = true }\n"
    )
    assert main(["run", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "[output] vtx = true needs a DOLFINx with ADIOS2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="ADIOS2"):
        VtxFile(MPI.COMM_SELF, tmp_path / "f.bp")


FULL = """
import resource, signal, sys
from fem_models.cli import main
from fem_models.meshes.vtx import VtxFile
from fem_models.results import writer

class Limited(VtxFile):
    def __init__(self, comm, path):
        super().__init__(comm, path)
        # From here on: MPI and compilers are done. A file of a time fits, and that of all times outgrows it.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

writer.VtxFile = Limited
sys.exit(main(["run", sys.argv[1], "--out", sys.argv[2]]))
"""


def test_a_full_disk_is_told_and_what_was_written_can_be_read(tmp_path):
    file, out = tmp_path / "run.toml", tmp_path / "out"
    file.write_text(
        'mesh = { domain = "rectangle", cells = [12, 12] }\nsystem = { name = "fokker-planck" }\n'
        "initial = { rho = 1 }\ntime = { end = 1, step = 0.1 }\n"
        "output = { vtx = true, fields_every = 1, figures = false, steady = false }\n"
    )
    command = [sys.executable, "-c", FULL, str(file), str(out)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 3, result.stderr
    assert f"The fields could not be written to {out / 'fields.bp'}: there is no room" in result.stderr
    assert json.loads((out / "summary.json").read_text())["stop_reason"] == "failed"
    times = [time for time, *_ in read(out / "fields.bp", "rho")]
    assert 2 <= len(times) < 11 and times == pytest.approx(0.1 * np.arange(len(times)))
