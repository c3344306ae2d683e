"""Runs every run file of runs/, shortened, or compares two folders of such results.

python .ci/numbers.py run DIR            on one rank and on two
python .ci/numbers.py compare OLD NEW    exits with 1 where a number differs by more than 1e-12 (relative)
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np

STEPS = {"jko": 3, "jko-bdf2": 3}
ROOT = Path.cwd()
# Times, versions and names of folders may differ.
IGNORED = {"wall_seconds", "version", "directory"}


def shortened(file):
    table = tomllib.loads(file.read_text())
    time = table["time"]
    steps = STEPS.get(time.get("scheme"), 8)
    end = time.get("start", 0.0) + steps * time["step"]
    options = [
        f"time.end={end!r}",
        f"output.field_times=[{end!r}]",
        "output.figures=[]",
        "output.fields_every=0",
    ]
    if "fields_every" not in table.get("output", {}):
        options.pop()
    else:
        options[1] = f"output.fields_every={steps}"
        options.pop()
    if "sweep" in table:
        options.append(f"sweep.values={table['sweep']['values'][:3]}")
    if file.stem in {"barenblatt_ball", "pnp_space"}:
        options.append("mesh.h=0.3" if file.stem == "barenblatt_ball" else "mesh.h=0.9")
    return [f"--set={option}" for option in options]


def run_all(target, extra):
    for file in sorted(Path("runs").glob("*.toml")):
        for ranks in (1, 2):
            out = target / f"{file.stem}-{ranks}"
            command = [
                "fem-models",
                "run",
                str(file),
                "--out",
                str(out),
                "--overwrite",
                *shortened(file),
                *extra,
            ]
            if ranks > 1:
                command = ["mpiexec", "-n", str(ranks), *command]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            print(file.stem, ranks, done.returncode, flush=True)
            if done.returncode:
                print(done.stdout[-2000:], done.stderr[-2000:], flush=True)


def numbers(path):
    if path.suffix == ".csv":
        with path.open() as lines:
            head = lines.readline().strip()
        return head, np.atleast_2d(np.genfromtxt(path, delimiter=",", skip_header=1, dtype=float))
    return None


def leaves(table, prefix=""):
    for key, value in sorted(table.items()):
        if key in IGNORED:
            continue
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def compare(old, new):
    worst, bad, files = 0.0, [], 0
    names = {str(p.relative_to(old)) for p in old.rglob("*") if p.is_file() and p.suffix != ".vtu"}
    others = {str(p.relative_to(new)) for p in new.rglob("*") if p.is_file() and p.suffix != ".vtu"}
    bad += [f"only in one of the two: {name}" for name in sorted(names ^ others)]
    for name in sorted(names & others):
        first, second = old / name, new / name
        if first.suffix == ".csv":
            files += 1
            (head, a), (other, b) = numbers(first), numbers(second)
            if head != other or a.shape != b.shape:
                bad.append(f"{name}: other columns or rows")
                continue
            # Counts of iterations and small differences of large numbers are compared with their column.
            scale = np.nanmax(np.abs(a), axis=0, initial=0.0)
            gap = np.nanmax(np.abs(a - b), axis=0, initial=0.0) / np.where(scale > 0.0, scale, 1.0)
            if (np.isnan(a) != np.isnan(b)).any():
                bad.append(f"{name}: other missing values")
            worst = max(worst, float(gap.max(initial=0.0)))
            bad += [
                f"{name}: {c} {g:.1e} of {s:.1e}"
                for c, g, s in zip(head.split(","), gap, scale, strict=True)
                if g > 1e-12
            ]
        elif first.name == "summary.json":
            a, b = (dict(leaves(json.loads(p.read_text()))) for p in (first, second))
            bad += [f"{name}: {key} only in one" for key in sorted(set(a) ^ set(b))]
            for key in sorted(set(a) & set(b)):
                x, y = a[key], b[key]
                if isinstance(x, float) and isinstance(y, float | int):
                    if abs(x - y) > 1e-12 * max(abs(x), abs(y)) and abs(x - y) > 1e-14:
                        bad.append(f"{name}: {key} {x!r} {y!r}")
                elif x != y:
                    bad.append(f"{name}: {key} {x!r} {y!r}")
        elif first.name == "run.toml" and first.read_text() != second.read_text():
            bad.append(f"{name}: other text")
    print("\n".join(bad))
    print(f"{files} tables, largest relative difference {worst:.1e}, {len(bad)} differences")
    return 1 if bad else 0


if __name__ == "__main__":
    if sys.argv[1] == "run":
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        run_all(Path(sys.argv[2]).resolve(), sys.argv[3:])
    else:
        sys.exit(compare(Path(sys.argv[2]), Path(sys.argv[3])))
