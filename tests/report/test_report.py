"""Reports: what the page says is what the run directory has, and the page needs nothing but itself."""

import base64
import csv
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from unittest.mock import patch

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_directories import density, run_file, write_run

import fem_models as fm
from fem_models.cli import main
from fem_models.core.errors import InputError
from fem_models.report import sections
from fem_models.results.run_data import RunData
from fem_models.results.verdicts import Verdict

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(HTMLParser):
    """What a test looks at in a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.headings, self.verdicts, self.specs = [], [], [], {}, {}
        self.styles, self.open = [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br", "input"):
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"<{self.open[-1:]}> is closed by </{tag}>"
        self.open.pop()

    def handle_data(self, data):
        tag, attrs = self.open[-1] if self.open else ("", {})
        if tag == "script":
            if attrs.get("type") == "application/json":
                self.specs[attrs["id"]] = json.loads(data)
            return
        if tag == "style":
            self.styles.append(data)
            return
        self.text.append(data)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), data))
        for _, above in self.open:
            if name := above.get("data-observable"):
                self.verdicts[name] = self.verdicts.get(name, "") + data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def rows(self):
        """The rows of tables as they are read, cells one after the other."""
        return re.sub(r"\s+", " ", " ".join(self.text))


def numbers(entry):
    """The numbers of a trace: Plotly has them as lists or as bytes."""
    if isinstance(entry, dict):
        found = np.frombuffer(base64.b64decode(entry["bdata"]), dtype=np.dtype(entry["dtype"]))
        return found.reshape([int(n) for n in entry["shape"].split(",")]) if "shape" in entry else found
    return np.array(entry, dtype=float)


TABLES = {
    "mesh": {"domain": "rectangle", "cells": [6, 5]},
    "system": {"name": "fokker-planck", "m": 2, "potential": "x"},
    "initial": {"rho": "1 + x", "mass": 2.0},
    "time": {"end": 0.1, "step": 0.02},
    "output": {"figures": ["energy"], "fields_every": 1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run of the plane with a name that would be markup, and its page."""
    run = fm.run_file(TABLES, tmp_path_factory.mktemp("runs") / "a & <b>b")
    return run, run.report(run.directory / "report.html")


def test_verdicts_are_those_of_the_series(run):
    run, path = run
    with (run.directory / "series.csv").open(newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    drift = max(abs(row["mass_rho"] / rows[0]["mass_rho"] - 1) for row in rows)
    rises = [b["energy"] - a["energy"] for a, b in itertools.pairwise(rows)]
    laws = {law["observable"]: law for law in run.summary["laws"]}
    assert set(laws) == {"energy", "mass_rho", "min_rho"}
    assert laws["mass_rho"]["measured"] == pytest.approx(drift, abs=1e-16) and drift < 1e-12
    assert laws["min_rho"]["measured"] == min(row["min_rho"] for row in rows) > 0.1
    assert laws["energy"]["measured"] == 0.0 and max(rises) < 0.0
    assert all(law["kept"] and law["promised"] for law in laws.values())
    page = Page(path)
    told = page.verdicts
    assert set(told) == set(laws) and all(text.startswith("✓ kept") for text in told.values())
    assert f"largest relative drift is {laws['mass_rho']['measured']:.1e}" in told["mass_rho"]
    assert f"least value is {laws['min_rho']['measured']:.3g}." in told["min_rho"]
    assert "The energy did not increase in any step. The scheme promises this for any step" in told["energy"]


def test_the_page_has_what_was_run_and_what_came_of_it(run):
    run, path = run
    page = Page(path)
    assert page.open == [] and page.all("html") == [{"lang": "en"}]
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    text, summary = page.rows(), run.summary
    assert "∂tρ = D Δρ^m + div(ρ∇V)" in text and "The run came to its end at t = 0.1." in text
    assert "fokker-planck" in text and "backward-euler, upwind flux, edge-averaged" in text
    assert f"cells and vertices {summary['mesh']['cells']} and {summary['mesh']['vertices']}" in text
    assert f"energy, last {summary['energy']['final']:.8g}" in text
    assert f"seconds {summary['wall_seconds']['total']:.4g}" in text
    assert f"{summary['newton_iterations']}, {summary['newton_iterations'] / 5:.2g} in a step" in text
    # A name that would be markup stands there as it is.
    assert "a & <b>b" in text and not page.all("b") and "Report on a & <b>b" in text
    # Everything that is seen is said in words, too.
    assert all(image["alt"] for image in page.all("img")) and len(page.all("img")) == 1
    plots = [div for div in page.all("div") if "data-spec" in div]
    assert len(plots) > 5 and all(div["role"] == "img" and len(div["aria-label"]) > 20 for div in plots)
    picture = base64.b64decode(page.all("img")[0]["src"].partition(",")[2])
    assert picture == (run.directory / "figures" / "energy.png").read_bytes()


def test_the_page_needs_no_network(run):
    page = Page(run[1])
    for _, attrs in page.tags:
        for key in ("src", "href", "action", "data", "poster", "srcset"):
            assert attrs.get(key, "#").startswith(("#", "data:")), attrs
    assert not re.search(r"url\(|@import", "".join(page.styles))
    (policy,) = (meta for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    allowed = dict(rule.split(maxsplit=1) for rule in policy["content"].split("; "))
    # What is not named is not allowed: no connections, frames, forms or fonts from elsewhere.
    assert allowed.pop("default-src") == "'none'" and set(allowed) == {
        "img-src",
        "media-src",
        "style-src",
        "script-src",
    }
    assert not re.search(r"https?:|\*", policy["content"])
    assert run[1].stat().st_size < 6_000_000


def test_curves_and_densities_are_those_of_the_run(run):
    run, path = run
    page = Page(path)
    for spec in page.specs.values():
        go.Figure(spec)  # Plotly's own check of names and types
    titles = dict(zip([t for level, t in page.headings if level == 4], list(page.specs)[1:], strict=True))
    total = page.specs[titles["Energy"]]["data"][0]
    np.testing.assert_array_equal(numbers(total["y"]), run.series["energy"])
    np.testing.assert_array_equal(numbers(total["x"]), run.series["time"])
    (surface,) = page.specs["run-1-view"]["data"]
    last = run.fields()
    np.testing.assert_allclose(numbers(surface["intensity"]), last["rho"], rtol=1e-6)
    np.testing.assert_allclose(numbers(surface["z"]), last["rho"], rtol=1e-6)
    np.testing.assert_allclose(numbers(surface["x"]), last.points[:, 0], atol=1e-6)
    assert surface["cmin"] <= last["rho"].min() and surface["cmax"] == pytest.approx(last["rho"].max())


@pytest.mark.parametrize("dimension", [1, 3])
def test_a_density_of_an_interval_and_of_a_body(tmp_path, dimension):
    times = (0.0, 0.1, 1.0)
    run = fm.open_run(write_run(tmp_path / "run", dimension, species=("u", "v"), times=times))
    data = Page(run.report(tmp_path / "page.html")).specs["run-1-view"]["data"]
    assert {trace["meta"] for trace in data} == {"u", "v"}
    assert [trace["meta"] for trace in data if trace["visible"]] == ["u"] * (len(data) // 2)
    for number, name in enumerate(("u", "v")):
        traces = [trace for trace in data if trace["meta"] == name]
        if dimension == 1:
            (surface,) = traces
            x, z = numbers(surface["x"]), numbers(surface["z"])
            points = np.array([x, 0 * x, 0 * x])
            expected = [density(points, time, number) for time in times]
            np.testing.assert_allclose(z, expected, atol=1e-6)
            np.testing.assert_array_equal(numbers(surface["y"]), times)
        else:
            *slices, shell = traces
            assert len(slices) == 3 and shell["opacity"] < 0.5
            for axis, cut in enumerate(slices):
                points = np.array([numbers(cut[key]) for key in "xyz"])
                np.testing.assert_allclose(points[axis], 0.0, atol=1e-6)
                # The slices of a ball are disks of its radius.
                assert np.linalg.norm(points, axis=0).max() == pytest.approx(1.0, abs=0.05)
                # Linear interpolation on cells of the size 0.3.
                np.testing.assert_allclose(
                    numbers(cut["intensity"]), density(points, 1.0, number), atol=0.1 / (1 + number)
                )


def test_a_large_field_of_the_plane_has_fewer_nodes(tmp_path, monkeypatch):
    from fem_models.report import views

    monkeypatch.setattr(views, "_MOST_NODES", 150)
    run = fm.open_run(write_run(tmp_path / "run", 2, times=(0.0, 1.0)))
    (surface,) = Page(run.report(tmp_path / "page.html")).specs["run-1-view"]["data"]
    points = np.array([numbers(surface[key]) for key in "xyz"])
    whole = len(run.fields().points)
    assert 100 < points.shape[1] < 0.6 * whole
    # Those that are left are nodes, with their values, and all of the domain is still covered.
    plane = np.array([points[0], points[1], 0 * points[0]])
    np.testing.assert_allclose(points[2], density(plane, 1.0), atol=1e-5)
    i, j, k = (points[:2, numbers(surface[key])] for key in "ijk")
    (ax, ay), (bx, by) = j - i, k - i
    area = 0.5 * np.abs(ax * by - ay * bx).sum()
    assert area == pytest.approx(np.pi, rel=0.01)


def broken(directory, rows):
    """A run that was stopped by force, with laws that were not kept."""
    write_run(directory, 1, times=(0.0, 1.0))
    (directory / "summary.json").unlink()
    (directory / "series.csv").write_text(rows)
    return directory


HEAD = "step,time,dt,energy,boltzmann,dissipation,mass_rho,min_rho,max_rho,newton,linear\n"
BROKEN = (
    HEAD
    + "0,0,0,2,2,1,1,0,1,0,0\n1,0.1,0.1,1.5,1.5,1,1.001,0.1,1,2,2\n2,0.2,0.1,1.75,1.75,1,0.998,-0.25,1,2,2\n"
)


def test_laws_that_were_not_kept_by_a_run_without_a_summary(tmp_path):
    # The last line is being written.
    run = broken(tmp_path / "run", BROKEN + "3,0.3,0.1,9")
    page = Page(fm.open_run(run).report(tmp_path / "page.html"))
    told = page.verdicts
    assert all(text.startswith("✗ not kept") for text in told.values()) and len(told) == 3
    assert "The mass of rho is not conserved: its largest relative drift is 2.0e-03" in told["mass_rho"]
    assert "The density rho became negative: its least value is -0.25." in told["min_rho"]
    assert "The energy increased in 1 steps, at most by 2.50e-01" in told["energy"]
    assert all("The run has not stopped yet" in text for text in told.values())
    assert "it has reached t = 0.2 of 1." in page.rows()


def test_a_run_that_failed_and_one_that_has_just_begun(tmp_path):
    run = write_run(tmp_path / "failed", 1, times=(0.0,))
    summary = {"stop_reason": "failed", "time": 0.3, "steps": 3, "warnings": ["<b>Mind & this</b>"]}
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "log.txt").write_text("Step 4 failed.\nSNES reason: DIVERGED_LINE_SEARCH\n")
    page = Page(fm.open_run(run).report(tmp_path / "page.html"))
    assert "The run failed at t = 0.3 of 1." in page.rows() and "DIVERGED_LINE_SEARCH" in page.rows()
    assert "<b>Mind & this</b>" in page.rows() and not page.all("b")
    begun = write_run(tmp_path / "begun", 1)
    for path in begun.iterdir():
        if path.name != "run.toml":
            path.unlink()
    page = Page(fm.open_run(begun).report(tmp_path / "page.html"))
    assert "The run has just begun" in page.rows() and "has written no fields" in page.rows()
    assert page.specs == {}


def test_several_runs_side_by_side(run, tmp_path, capsys):
    first, _ = run
    changes = {"time": {"end": 0.1, "step": 0.05}, "output": {"figures": False}}
    fm.run_file(TABLES | changes, tmp_path / "other")
    path = tmp_path / "page.html"
    assert main(["report", str(first.directory), str(tmp_path / "other"), "--out", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    page = Page(path)
    again = first.report(tmp_path / "again.html", fm.open_run(tmp_path / "other"))
    assert Page(again).specs == page.specs
    other = RunData(tmp_path / "other")
    text = page.rows()
    assert "Report on 2 runs" in text
    assert "time.step 0.02 0.05" in text and "steps 5 2" in text
    finals = [f"{run.summary['energy']['final']:.6g}" for run in (first, other)]
    assert f"last energy {finals[0]} {finals[1]}" in text
    # What is the same in both is not listed.
    assert "system.potential" not in text.partition("What came of them")[0]
    energy = page.specs["comparison-chart-1"]["data"]
    assert [trace["name"] for trace in energy] == ["a &amp; &lt;b&gt;b", "other"]
    np.testing.assert_array_equal(numbers(energy[1]["y"]), other.series["energy"])
    views = [page.specs[f"run-{k}-view"]["data"][0] for k in (1, 2)]
    assert views[0]["cmin"] == views[1]["cmin"] and views[0]["cmax"] == views[1]["cmax"]


def test_points_of_a_sweep_side_by_side(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.toml").write_text(run_file(1, tail='[sweep]\nkey = "system.m"\nvalues = [1, 2, 3]'))
    for m in (1, 2):
        text = (write_run(out / "compare" / f"m = {m}", 1, rate=4.0 * m) / "run.toml").read_text()
        changed = text.replace('name = "fokker-planck"', f'name = "fokker-planck"\nm = {m}')
        (out / "compare" / f"m = {m}" / "run.toml").write_text(changed)
    page = Page(fm.open_run(out).report(tmp_path / "page.html"))
    text = page.rows()
    assert "The sweep has 3 points; 2 of them have stopped." in text and "nan" not in text
    assert "system.m 1.0 2.0" in text and "What is not there" not in text
    assert [trace["name"] for trace in page.specs["comparison-chart-1"]["data"]] == ["m = 1", "m = 2"]


def test_bad_input_is_said_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run", 1)
    (write_run(tmp_path / "damaged", 1) / "summary.json").write_text("{")
    for arguments, sentence in [
        (["none"], "none is not a run directory"),
        (["run", "none"], "none is not a run directory"),
        (["run", "--out", "page.pdf"], "must end in .html, not 'page.pdf'"),
        (["run", "--out", "there/page.html"], "there is no directory there"),
        (["damaged"], "is not a summary of a run"),
        (["run", "run"], "is there twice"),
    ]:
        assert main(["report", *arguments]) == 2
        said = capsys.readouterr().err
        assert sentence in said and len(said.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*.html"))


ANY = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=4)
ANY = ANY | st.lists(st.floats(), max_size=2)
INNER = st.dictionaries(st.sampled_from(["min", "largest", "l1"]), ANY, max_size=2)
TABLE = st.sampled_from(["total", "h_min", "final", "rate", "rho", "l1", "negative_edges", "largest"])
LAW = st.fixed_dictionaries({name: ANY for name in Verdict.__dataclass_fields__})
KEYS = [
    "time",
    "stop_reason",
    "mesh",
    "wall_seconds",
    "phases",
    "energy",
    "species",
    "error",
    "laws",
    "warnings",
]
KEYS += ["steps", "rejected_steps", "versions", "memory_megabytes"]


@settings(max_examples=200)
@given(
    key=st.sampled_from(KEYS),
    value=ANY | st.dictionaries(TABLE, ANY | INNER, max_size=3) | st.lists(LAW, max_size=1),
)
def test_a_summary_of_anything_is_shown_or_refused(run, key, value):
    data = RunData(run[0].directory)
    data.__dict__["summary"] = dict(run[0].summary) | {key: value}
    with patch.multiple(sections, view=lambda *_: None, charts=lambda *_: []):
        try:
            found = sections.section(data, "run-1", {})
        except InputError as error:
            assert "is not a summary of a run" in str(error)
            return
    told = (*found.facts, *found.outcome, *found.species, found.warnings, [found.standing])
    assert all(isinstance(text, str) for row in told for text in row)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_chromium_draws_everything_and_complains_of_nothing(run, tmp_path):
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--dump-dom"]
    command += ["--enable-unsafe-swiftshader", "--enable-logging=stderr", f"--user-data-dir={tmp_path}"]
    command += ["--virtual-time-budget=8000", "--proxy-server=127.0.0.1:9"]
    result = subprocess.run(
        [*command, run[1].as_uri()], capture_output=True, text=True, timeout=100, check=True
    )
    drawn = result.stdout.count('class="plot-container plotly"')
    assert drawn == len(Page(run[1]).specs) and "<canvas" in result.stdout
    said = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    # A hint of the browser on the speed of Plotly's labels.
    assert [line for line in said if "willReadFrequently" not in line] == []
