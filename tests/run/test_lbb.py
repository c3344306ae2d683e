"""`fem-models lbb`: its files, its sentences and its exit codes."""

import csv
import math
import re
import tomllib

import pytest

from fem_models.cli import main
from fem_models.results.inf_sup_table import InfSupRow, verdict

SMALL = ("lbb", "--cells", "2,4", "--weight", "1 + x")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(directory):
    with (directory / "lbb.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_table_picture_and_warning(folder, capfd):
    assert main([*SMALL, "--pair", "P1-DG0", "--pair", "P1-P1", "--out", "out"]) == 0
    out = capfd.readouterr().out
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["lbb.csv", "lbb.png", "lbb.toml"]
    rows = rows_of(folder / "out")
    assert [(row["pair"], row["cells"], row["unknowns"]) for row in rows] == [
        ("P1-DG0", "2", "9"),
        ("P1-DG0", "4", "25"),
        ("P1-P1", "2", "9"),
        ("P1-P1", "4", "25"),
    ]
    assert [float(row["h"]) for row in rows[:2]] == pytest.approx([math.sqrt(0.5), math.sqrt(0.125)])
    assert f"{float(rows[0]['beta']):.4f}" in out
    assert "warning: P1-P1 is not stable: its constant falls like h^" in out
    assert "P1-DG0 is not stable" not in out
    assert tomllib.loads((folder / "out" / "lbb.toml").read_text(encoding="utf-8"))["weight"] == "1 + x"


def test_singular_pairs_and_free_boundaries_in_one_dimension(folder, capfd):
    options = (
        "--domain",
        "interval",
        "--pair",
        "P2-DG0",
        "--pair",
        "DG0-RT1",
        "--cells",
        "4",
        "--cells",
        "8",
    )
    assert main(["lbb", *options]) == 0
    assert "warning: P2-DG0 is not stable: its constant is zero." in capfd.readouterr().out
    rows = rows_of(folder / "output" / "lbb")
    assert [(row["pair"], row["boundary"]) for row in rows[::2]] == [
        ("P2-DG0", "no-flux"),
        ("DG0-RT1", "no-flux"),
        ("DG0-RT1", "free"),
    ]
    assert rows[-1]["constraint"] == "nan"


def test_transport_lowers_the_constant_of_the_whole_constraint(folder, capfd):
    options = ("--pair", "P1-DG0", "--transport", "x", "--slabs", "2", "--out", "out")
    assert main([*SMALL, *options]) == 0
    assert "whole constraint, S = 2, duration 1, φ = x" in capfd.readouterr().out
    for row in rows_of(folder / "out"):
        assert 0.1 < float(row["constraint"]) < 0.95 * float(row["beta"])


def test_directories_are_kept_unless_told_otherwise(folder, capfd):
    arguments = ["lbb", "--domain", "interval", "--pair", "P1-DG0", "--cells", "3", "--out", "out"]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "out exists already; choose another --out, or add --overwrite" in capfd.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    (folder / "thesis").mkdir()
    (folder / "thesis" / "thesis.tex").write_text("words")
    assert main([*arguments[:-1], "thesis", "--overwrite"]) == 2
    assert "thesis is not overwritten: it has files and no lbb.csv" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--pair", "P1-DG1"], "must be one of P1-DG0, P2-DG1, .* not 'P1-DG1'"),
        (["--weight", "x - 0.5"], "weight q must be positive and finite"),
        (["--weight", "import os"], "--weight: "),
        (["--weight", "1 + z"], "--weight: 'z' cannot be used, the mesh has two dimensions"),
        (["--transport", "rho"], "--transport: "),
        (["--cells", "4,x"], "must be whole numbers, as in 4,8,12, not '2,4,4,x'"),
        (["--cells", "0"], "must be whole numbers above 0"),
        (["--slabs", "0"], "must be at least one slab, not 0"),
        (["--duration", "-1"], "duration must be positive, not -1"),
        (["--domain", "torus"], "domain must be one of interval, rectangle, box, disk, ball, not 'torus'"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(folder, capfd, options, sentence):
    assert main([*SMALL, *options, "--out", "out"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert re.search(sentence, err)
    assert not any(folder.iterdir())


def test_verdicts():
    def rows(name, *constants):
        return [InfSupRow(name, "no-flux", 2**k, 0.5**k, 9, beta, beta) for k, beta in enumerate(constants)]

    assert verdict(rows("P1-DG0", 0.8, 0.9, 0.95)) == "stable"
    assert verdict(rows("P1-DG0", 0.9, 0.8, 0.7)) == "stable"
    assert verdict(rows("P1-DG0", 0.8, 0.4, 0.2)) == "falls like h^1.00"
    assert verdict(rows("P1-P1", 0.3, 0.0)) == "is zero"
    assert verdict(rows("P1-P1", 0.3)) == "tends to zero with h"
    assert verdict(rows("P1-P1", 0.3, 0.28)) == "tends to zero with h"
    assert verdict(rows("P1-DG0", 0.3)) == "stable"
