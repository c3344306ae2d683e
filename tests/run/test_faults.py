"""Faults in the middle of a run: a sentence, a stop that counts as failed, and what was kept before stays."""

import re
import shutil

import pytest
from mpi4py import MPI

from fem_models.cli import main
from fem_models.config.io import dump, from_dict
from fem_models.run.checkpoints import Keeper


def _to_file(path):
    shutil.rmtree(path)
    path.write_text("")


def _to_directory(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parallel
@pytest.mark.parametrize(
    ("what", "spoil", "sentence"),
    [
        (".", shutil.rmtree, r"The run directory .* is gone: run its run file again\."),
        ("checkpoint", _to_file, r"\S*checkpoint cannot be written: File exists\."),
        (
            "checkpoint/step_000000001.ckpt",
            _to_directory,
            r"\S*checkpoint cannot be written: Is a directory\.",
        ),
    ],
)
def test_what_is_taken_from_a_run_ends_it_with_a_sentence(
    tables, run_tables, monkeypatch, what, spoil, sentence
):
    keep = Keeper.keep

    def kept(keeper, number, *rest):
        keep(keeper, number, *rest)
        if number == 2 and MPI.COMM_WORLD.rank == 0:
            spoil(keeper._directory.parent / what)
        MPI.COMM_WORLD.Barrier()

    monkeypatch.setattr(Keeper, "keep", kept)
    tables["checkpoint"] = {"every_steps": 1}
    found = run_tables(tables)
    [outcome] = found.outcomes.runs
    assert outcome.stop.reason == "failed" and found.outcomes.failure is outcome
    assert re.fullmatch(sentence, outcome.stop.report.splitlines()[0])
    assert found.path.exists() == (what != ".")
    assert what == "." or found.summary["stop_reason"] == "failed"
    MPI.COMM_WORLD.Barrier()


def test_a_run_whose_directory_is_gone_ends_with_code_3(tables, shared_tmp_path, monkeypatch, capsys):
    keep = Keeper.keep
    out = shared_tmp_path / "out"

    def kept(*arguments):
        keep(*arguments)
        shutil.rmtree(out)

    monkeypatch.setattr(Keeper, "keep", kept)
    tables["checkpoint"] = {"every_steps": 2}
    file = shared_tmp_path / "case.toml"
    file.write_text(dump(from_dict(tables)))
    assert main(["run", str(file), "--out", str(out)]) == 3
    assert capsys.readouterr().err == f"The run directory {out} is gone: run its run file again.\n"
    assert not out.exists()


def test_a_run_that_was_killed_at_once_is_begun_again(tables, run_tables, shared_tmp_path):
    directory = shared_tmp_path / "run"
    directory.mkdir()
    (directory / ".run.toml.draft").write_text("half")
    assert run_tables(tables, overwrite=True).summary["stop_reason"] == "end"
    assert not list(directory.glob(".*"))
