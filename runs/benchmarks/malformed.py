"""Malformed run files, checkpoints, fields, arrays and images: code 2, one sentence, and nothing written.

    python runs/benchmarks/malformed.py [--quick] [--output FILE] [--seed N] [--keep FOLDER]

Good files are changed at random by Hypothesis: run files entry by entry and letter by letter, other files
byte by byte, cut off, filled with zeros or put together from two halves, and checkpoints also in the facts
behind their arrays. Each goes to `fem-models run` or `fem-models resume`, up to the first step: what is still
good may begin it. A row is a kind of input; "refused" ended with code 2, one line, and every file as it was
before; "good" would begin; all else is "wrong", and is told below the table. All quantities are
dimensionless.
"""

import contextlib
import copy
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import Report, arguments, stop

# isort: split
import meshio
import numpy as np
import tomli_w
from dolfinx.io import XDMFFile
from mpi4py import MPI
from PIL import Image

import fem_models as fm
from fem_models.cli import main as command
from fem_models.config.io import from_dict
from fem_models.run import runner
from fem_models.run.runner import run

try:
    from hypothesis import HealthCheck, given, seed, settings
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as nst
except ModuleNotFoundError:
    stop("The campaign needs Hypothesis: pip install hypothesis.")

RUNS = Path(__file__).parents[1]
MESHES = RUNS.parent / "meshes"
# Examples whose meshes take long to make, or more libraries.
SLOW = ("ball", "space", "pnp_electrodes")
SECONDS = 60

SMALL = {
    "mesh": {"domain": "rectangle", "cells": [4, 4]},
    "system": {"name": "fokker-planck", "m": 2.0, "potential": "x"},
    "initial": {"rho": "1 + x", "mass": 1.0},
    "time": {"end": 0.02, "step": 0.01},
    "output": {"figures": False, "steady": False},
}


class Begins(BaseException):
    """The input is good: a run would begin."""


def _begins(*_arguments: Any, **_options: Any) -> None:
    raise Begins


# Changes

numbers = st.sampled_from([0, -1, 1, 2, 7, 0.5, -0.0, 1e-300, 1e308, 1e-12, 2**31, 2**63 - 1, 2**64, 10**30])
numbers |= st.sampled_from([float("inf"), float("nan"), float("-inf"), True, False])
words = st.sampled_from(
    ["", "x", "rho", "((", "1/0", "x**x**x", "sqrt(-1)", "disk", "bdf2", "nowhere", "é", "\u202e"]
)
scalars = numbers | words | st.text(max_size=12) | st.floats() | st.integers()
kinds = nst.scalar_dtypes() | st.sampled_from([np.dtype(float)] * 3)
any_arrays = nst.arrays(kinds, nst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
any_arrays |= nst.arrays(
    float, nst.array_shapes(min_dims=2, max_dims=2, min_side=2), elements=st.floats(0, 1)
)
any_axes = nst.arrays(float, st.integers(0, 5), elements=st.floats(-2, 2) | st.sampled_from([np.nan, np.inf]))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all entries of tables and lists."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def changed_tables(draw: Any, data: Any) -> Any:
    """Tables in which some entries are replaced, removed or added."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 2))):
        spots = list(places(data))
        if not spots:
            break
        *parents, last = draw(st.sampled_from(spots))
        here = data
        for part in parents:
            here = here[part]
        action = draw(st.sampled_from(["replace", "replace", "remove", "add", "double"]))
        if action == "remove":
            del here[last]
        elif action == "replace":
            here[last] = draw(values)
        elif action == "double" and isinstance(here, list):
            here.append(here[last])
        elif isinstance(here, dict):
            here[draw(st.text(min_size=1, max_size=8))] = draw(values)
    return data


@st.composite
def changed_bytes(draw: Any, data: bytes, text: bool = False) -> bytes:
    """Bytes that are cut off, overwritten, doubled or taken out somewhere."""
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.sampled_from([1, 1, 2, 4, 8, 100, 1000]))
        piece = draw(
            st.sampled_from([b'"', b"nan", b"-1", b"=", b"[", b"9" * 12, b"<", b"\xff"])
            if text
            else st.binary(max_size=16)
        )
        data = draw(
            st.sampled_from(
                [
                    data[:begin],
                    data[:begin] + data[begin + length :],
                    data[:begin] + piece + data[begin + len(piece) :],
                    data[:begin] + piece + data[begin:],
                    data[:begin] + bytes(length) + data[begin + length :],
                    data[:begin] + data[begin : begin + length] + data[begin:],
                    data[begin:] + data[:begin],
                ]
            )
        )
    return data


# Inputs: each writes what it draws into a folder, and returns the words of the command


Case = Callable[[Any, Path], list[str]]
WORDS = ["run", "run.toml", "--out", "out"]


def run_files() -> dict[str, Case]:
    """Run files of this repository, changed."""
    paths = [path for path in sorted(RUNS.glob("*.toml")) if not any(word in path.stem for word in SLOW)]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}

    def entries(draw: Any, folder: Path) -> list[str]:
        data = draw(changed_tables(tomllib.loads(texts[draw(st.sampled_from(paths))])))
        (folder / "run.toml").write_bytes(_as_toml(data).encode("utf-8", "surrogatepass"))
        return WORDS

    def letters(draw: Any, folder: Path) -> list[str]:
        text = texts[draw(st.sampled_from(paths))].encode()
        (folder / "run.toml").write_bytes(draw(changed_bytes(text, text=True)))
        return WORDS

    return {"run files, entries": entries, "run files, letters": letters}


def _as_toml(data: Any) -> str:
    try:
        return tomli_w.dumps(data)
    except (TypeError, ValueError, AttributeError):
        return "what no TOML can hold"


def checkpoints(folder: Path) -> dict[str, Case]:
    """Checkpoints of a small run, changed."""
    tables = SMALL | {"time": {"end": 0.02, "step": 0.01, "scheme": "bdf2"}, "checkpoint": {"keep": 1}}
    run(from_dict(tables), folder / "good", comm=MPI.COMM_SELF)
    (path,) = (folder / "good" / "checkpoint").iterdir()
    whole = path.read_bytes()
    words = ["resume", "run", "--end", "0.04"]

    def written(place: Path, data: bytes) -> list[str]:
        shutil.copytree(folder / "good", place / "run")
        (place / "run" / "checkpoint" / path.name).write_bytes(data)
        return words

    def in_bytes(draw: Any, place: Path) -> list[str]:
        return written(place, draw(changed_bytes(whole)))

    def in_facts(draw: Any, place: Path) -> list[str]:
        mark = len(b"fem-models checkpoint\n")
        length, size = (int.from_bytes(whole[k : k + 8], "little") for k in (-mark - 24, -mark - 16))
        facts = draw(changed_tables(json.loads(whole[length : length + size])))
        text = json.dumps(facts).encode()
        tail = len(text).to_bytes(8, "little") + whole[-mark - 8 :]
        return written(place, whole[:length] + text + length.to_bytes(8, "little") + tail)

    return {"checkpoints, bytes": in_bytes, "checkpoints, facts": in_facts}


def sources(folder: Path) -> dict[str, Case]:
    """Files that a run starts from, changed."""
    made = _good_sources(folder)

    def case(names: tuple[str, ...], others: tuple[str, ...] = ()) -> Case:
        def write(draw: Any, place: Path) -> list[str]:
            for name in (*names, *others):
                (place / name).write_bytes(made[name])
            chosen = draw(st.sampled_from(names + others))
            text = not chosen.endswith((".png", ".npy", ".npz", ".h5"))
            (place / chosen).write_bytes(draw(changed_bytes(made[chosen], text)))
            begin = chosen if chosen in names else names[0]
            return _starting(place, begin)

        return write

    def drawn(draw: Any, place: Path) -> list[str]:
        suffix, array = draw(st.sampled_from([".npy", ".npz"])), draw(any_arrays)
        axes = {name: np.linspace(0, 1, n) for name, n in zip("xy", array.shape, strict=False)}
        axes = {name: draw(any_axes) if draw(st.booleans()) else axis for name, axis in axes.items()}
        with (place / f"drawn{suffix}").open("wb") as file:
            np.save(file, array) if suffix == ".npy" else np.savez(file, values=array, **axes)
        return _starting(place, f"drawn{suffix}")

    fields = tuple(name for name in made if name.endswith((".vtu", ".pvtu")) and name.startswith("rho"))
    return {
        "images": case(("grey8.png", "grey16.png", "colour.png")),
        "arrays": case(("values.npy", "values.npz")),
        "arrays of any shape": drawn,
        "fields of VTK": case(("rho.pvd", "binary.vtu"), fields),
        "fields of XDMF": case(("rho.xdmf",), ("rho.h5",)),
    }


def _starting(place: Path, name: str) -> list[str]:
    (place / "run.toml").write_text(tomli_w.dumps(SMALL | {"initial": {"rho": {"from": name}}}))
    return WORDS


def _good_sources(folder: Path) -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    image = rng.integers(1, 255, (12, 9), dtype=np.uint8)
    Image.fromarray(image).save(folder / "grey8.png")
    Image.fromarray(image.astype(np.uint16) * 257).save(folder / "grey16.png")
    Image.fromarray(rng.integers(0, 255, (5, 6, 3), dtype=np.uint8)).save(folder / "colour.png")
    grid = rng.uniform(0.1, 1.0, (6, 5))
    np.save(folder / "values.npy", grid)
    np.savez_compressed(folder / "values.npz", values=grid, x=np.linspace(0, 1, 6), y=np.linspace(0, 1, 5))
    flow = fm.fokker_planck(fm.mesh("rectangle", cells=[3, 3], comm=MPI.COMM_SELF), m=2)
    rho = flow.state("1 + x")
    rho.write(folder / "rho.pvd")
    with XDMFFile(MPI.COMM_SELF, folder / "rho.xdmf", "w") as file:
        file.write_mesh(flow.mesh)
        file.write_function(rho["rho"], 0.5)
    points, cells = flow.mesh.geometry.x, flow.mesh.geometry.dofmaps[0]
    mesh = meshio.Mesh(points, [("triangle", cells)], point_data={"rho": 1.0 + points[:, 0]})
    mesh.write(folder / "binary.vtu", compression="zlib")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# What comes of an input


def outcome(words: list[str], folder: Path) -> str:
    """What a command makes of a folder: "refused", "good", or what is wrong."""
    before, here = _contents(folder), os.getcwd()
    out, err = io.StringIO(), io.StringIO()
    os.chdir(folder)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = command(words)
    except Begins:
        return "good"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        os.chdir(here)
    lines = err.getvalue().strip().splitlines()
    if code == 0:
        return "good"
    if code != 2:
        return f"code {code}: {lines[-1] if lines else 'silence'}"
    if len(lines) != 1 or not lines[0].endswith((".", "?", ")")) or out.getvalue().strip():
        return f"{len(lines)} lines: {err.getvalue() + out.getvalue()!r}"
    if "Traceback" in lines[0] or len(lines[0]) > 2000:
        return f"no sentence: {lines[0][:200]}"
    return "refused" if _contents(folder) == before else "files have changed"


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def campaign(case: Case, count: int, number: int, keep: Path | None) -> tuple[Counter[str], list[str]]:
    """Try a kind of input.

    Args:
        case: Writes an input.
        count: How many of them.
        number: The seed.
        keep: Where wrong ones are kept.

    Returns:
        How many had which outcome, and what is told of the wrong ones.
    """
    found: Counter[str] = Counter()
    told: list[str] = []

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def attempt(data: Any) -> None:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "input"
            folder.mkdir()
            words = case(data.draw, folder)
            result = outcome(words, folder)
            if result in ("refused", "good"):
                found[result] += 1
                return
            found["wrong"] += 1
            told.append(result)
            if keep is not None:
                shutil.copytree(folder, keep / f"{len(list(keep.iterdir())):04d}")

    attempt()
    return found, told


def main() -> None:
    """Print the table."""

    def more(parser: Any) -> None:
        parser.add_argument("--seed", type=int, default=1, help="another seed gives other inputs")
        parser.add_argument(
            "--keep", type=Path, default=None, help="folder for inputs that are not refused well"
        )

    args = arguments(__doc__, more)
    if args.keep is not None:
        args.keep.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError(f"more than {SECONDS} s")))
    report, count = Report(args.output), 12 if args.quick else 60
    with tempfile.TemporaryDirectory() as place:
        # The runs and files that are changed; what is told of them is none of the table.
        with contextlib.redirect_stdout(io.StringIO()):
            folders = [Path(place) / name for name in ("run", "files")]
            for folder in folders:
                folder.mkdir()
            cases = {**run_files(), **checkpoints(folders[0]), **sources(folders[1])}
        runner.run_all = _begins
        report.head("input", "number", "refused", "good", "wrong")
        total: Counter[str] = Counter()
        wrong = []
        for name, case in cases.items():
            found, told = campaign(case, count, args.seed, args.keep)
            total += found
            wrong += [f"{name}: {text}" for text in told]
            report.row(
                name, *(f"{n}" for n in (found.total(), found["refused"], found["good"], found["wrong"]))
            )
        report.row("all", *(f"{n}" for n in (total.total(), total["refused"], total["good"], total["wrong"])))
    report.line()
    for text in dict.fromkeys(wrong):
        report.line(text)
    report.close()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
