"""Files are written whole or not at all."""

import json
import math
import os
from pathlib import Path

import pytest
from mpi4py import MPI

from fem_models.core import files
from fem_models.core.errors import InputError, OutputError
from fem_models.core.parallel import together


def test_json_has_null_for_what_is_not_finite(tmp_path):
    path = tmp_path / "summary.json"
    files.write_json(path, {"a": math.nan, "b": (1.0, math.inf, {"ρ": -math.inf}), "c": True, "d": None})
    assert json.loads(path.read_text()) == {"a": None, "b": [1.0, None, {"ρ": None}], "c": True, "d": None}
    assert "ρ" in path.read_text() and path.read_text().endswith("}\n")


def test_tables_have_a_head_and_a_line_for_each_row(tmp_path):
    path = tmp_path / "table.csv"
    files.write_table(
        path, ("name", "value"), [{"name": "a,b", "value": 0.1}, {"name": "c", "value": math.nan}]
    )
    assert path.read_bytes() == b'name,value\n"a,b",0.1\nc,nan\n'
    files.write_table(path, ("name", "value"), [])
    assert path.read_text() == "name,value\n"
    with pytest.raises(ValueError, match="other"):
        files.write_table(path, ("name",), [{"name": "a", "other": 1.0}])
    assert path.read_text() == "name,value\n"


def test_a_file_stays_as_it_is_where_writing_fails(tmp_path):
    path = tmp_path / "file.txt"
    files.write_text(path, "before\n")
    with (
        pytest.raises(OutputError, match="cannot be written: No space left"),
        files.draft(path) as part,
    ):
        part.write_text("half")
        raise OSError(28, "No space left on device")
    with pytest.raises(KeyboardInterrupt), files.draft(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "before\n"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_a_directory_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        files.write_text(tmp_path / "missing" / "file.txt", "text")


def test_a_file_takes_its_place_when_it_is_on_the_disk(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(handle):
        done.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    def watched_replace(part, path):
        done.append("replace")
        return replace(part, path)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    files.make_directory(tmp_path / "run")
    files.make_directory(tmp_path / "run")
    files.write_text(tmp_path / "run" / "a.txt", "text")
    assert done == [tmp_path.name, ".a.txt.draft", "replace", "run"]


@pytest.mark.parallel
def test_a_rank_that_fails_alone_is_told_so(monkeypatch):
    comm = MPI.COMM_WORLD.Dup()
    if comm.size > 1 and comm.rank == 1:
        monkeypatch.setattr("fem_models.core.parallel._PATIENCE", 0.2)
        assert not together(comm)
    MPI.COMM_WORLD.Barrier()
    # The others complete what that rank has begun.
    if comm.size == 1 or comm.rank != 1:
        assert together(comm)
    MPI.COMM_WORLD.Barrier()
    comm.Free()
