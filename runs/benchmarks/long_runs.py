"""What a long run costs beside its steps: checkpoints, fields and tables, memory over many steps, resuming.

    python runs/benchmarks/long_runs.py [--quick] [--output FILE]

The first table is of a run of ∂tρ = Δρ² by BDF2 on a rectangle, with a checkpoint every ten steps and fields
at its beginning and end: the share of its wall time, without the set-up, that checkpoints, fields and tables
take, the size of a checkpoint, and how long it takes to resume until the first step begins, beside the set-up
of the run itself. The second is of one run of many steps on a small mesh, with a checkpoint every 100 steps:
the memory of the process, which must not grow. All but seconds and megabytes (10⁶ bytes) is dimensionless.
"""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import Report, arguments, one_core

# isort: split
from fem_models.config.io import dump, from_dict

CELLS = (100, 350, 1000)
QUICK_CELLS = (60,)


def tables(cells: int, steps: int, step: float, every: int) -> dict[str, Any]:
    """The run file."""
    return {
        "mesh": {"domain": "rectangle", "lower": [-1, -1], "upper": [1, 1], "cells": [cells, cells]},
        "system": {"name": "fokker-planck", "m": 2},
        "initial": {"rho": "max(0.2 - r**2, 0)", "mass": 1},
        "time": {"scheme": "bdf2", "flux": "average", "step": step, "end": steps * step},
        "output": {"figures": False, "steady": False, "field_times": [0.0, steps * step]},
        "checkpoint": {"every_steps": every},
    }


def command(*words: str) -> None:
    """Call the command line."""
    subprocess.run([sys.executable, "-m", "fem_models", *words], check=True, stdout=subprocess.DEVNULL)


def summary(directory: Path) -> dict[str, Any]:
    """What a run says of itself."""
    found: dict[str, Any] = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    return found


def cost(report: Report, cells: int, folder: Path) -> None:
    """A row of the first table."""
    path, out = folder / f"{cells}.toml", folder / f"{cells}"
    path.write_text(dump(from_dict(tables(cells, 20, 1e-4, 10))), encoding="utf-8")
    command("run", str(path), "--out", str(out))
    first = summary(out)
    (checkpoint, *_) = sorted((out / "checkpoint").iterdir())
    megabytes = checkpoint.stat().st_size / 1e6
    command("resume", str(out), "--end", "2.1e-3")
    again = summary(out)
    wall, phases = first["wall_seconds"], first["phases"]
    of_steps = wall["total"] - wall["setup"]
    shares = [phases[name]["mean"] / of_steps for name in ("checkpoints", "fields", "tables")]
    report.row(
        f"{first['dofs']}",
        f"{of_steps:.1f}",
        *(f"{100 * share:.1f} %" for share in shares),
        f"{100 * sum(shares):.1f} %",
        f"{megabytes:.1f}",
        f"{wall['setup']:.2f}",
        f"{again['wall_seconds']['setup']:.2f}",
    )


def memory(report: Report, steps: int, folder: Path) -> None:
    """The second table, from the resident memory of the process after every tenth of the run."""
    script = """
import sys
from pathlib import Path
import fem_models.cli
from fem_models.run import loop

def resident():
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096 / 1e6

inner = loop.Interruption.signal
def signal(self):
    signal.steps += 1
    if signal.steps % int(sys.argv[1]) == 0:
        print(signal.steps, resident(), sep=",", file=sys.stderr, flush=True)
    return inner(self)
signal.steps = 0
loop.Interruption.signal = signal
sys.exit(fem_models.cli.main(sys.argv[2:]))
"""
    path, out = folder / "many.toml", folder / "many"
    path.write_text(dump(from_dict(tables(16, steps, 1e-4, 100))), encoding="utf-8")
    words = [sys.executable, "-c", script, f"{steps // 10}", "run", str(path), "--out", str(out)]
    done = subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    rows = [list(map(float, row)) for row in csv.reader(done.stderr.splitlines())]
    # The first tenth fills caches.
    (begin, before), (end, after) = rows[0], rows[-1]
    report.head("steps", "megabytes after the first tenth", "at the last tenth", "megabytes per 1000 steps")
    growth = (after - before) / (end - begin) * 1000.0
    report.row(f"{steps}", f"{before:.1f}", f"{after:.1f}", f"{growth:.3f}")


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__ or "")
    report = Report(options.output)
    one_core()
    with tempfile.TemporaryDirectory() as name:
        report.head(
            *("unknowns", "seconds of 20 steps", "checkpoints", "fields", "tables", "together"),
            *("megabytes of a checkpoint", "seconds to set up", "to resume"),
        )
        for cells in QUICK_CELLS if options.quick else CELLS:
            cost(report, cells, Path(name))
        memory(report, 200 if options.quick else 10_000, Path(name))
    report.close()


if __name__ == "__main__":
    main()
