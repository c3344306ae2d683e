"""What the quick tables of the benchmarks must say: numbers in them against closed forms, orders and bounds.

`CHECKS` has every command that the tests of the benchmarks run; times are not checked.
"""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from fem_models.exact.barenblatt import SourceSolution

BENCHMARKS = Path(__file__).parents[1] / "runs" / "benchmarks"
# Modules that the scripts share, and what another Python runs.
PARTS = {
    *("common.py", "plain.py", "peers_ngsolve.py"),
    *(f"faults_{part}.py" for part in ("runs", "kills", "power", "files", "ranks")),
}
ROUNDING = 1e-13


def run(script, *arguments):
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def table(text):
    """Rows of the tables in Markdown, one after the other, by column."""
    rows, head = [], []
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    for line, after in zip(lines, [*lines[1:], []], strict=True):
        if after and set("".join(after)) <= set("-|"):
            head = line
        elif not set("".join(line)) <= set("-|"):
            rows.append(dict(zip(head, line, strict=True)))
    assert rows
    return rows


def number(entry):
    """The first number of an entry such as "+0.91 %" or "3.5 (at most 4)"."""
    return float(entry.split()[0].rstrip("%"))


def check_convergence(rows, text):
    assert len(rows) == 8
    for row in rows:
        expected = {"backward-euler": 1.0, "bdf2": 2.0}[row["scheme"]]
        assert number(row["order in τ"]) == pytest.approx(expected, abs=0.3)
        assert number(row["order in h"]) > {"upwind": 0.7, "average": 1.2}[row["flux"]]
        assert number(row["finest error"]) < number(row["coarsest error"])


def check_coupled_convergence(rows, text):
    assert len(rows) == 25
    for row in rows:
        order, flux = number(row["order in h"]), row["flux"]
        if row["mesh"] == "1D":
            # Upwind fluxes are of first order, the others of second, and P_k of order k + 1.
            least, most = {"upwind": (0.6, 1.3), "log-density, k = 2": (2.8, 3.2)}.get(flux, (1.9, 2.1))
            assert least < order < most
        else:
            assert order > (0.7 if row["mesh"] == "3D" else 1.2)
        if row["mesh"] == "1D" and "log" not in flux:
            assert number(row["backward Euler, order in τ"]) == pytest.approx(1.0, abs=0.1)
            assert number(row["BDF2, order in τ"]) == pytest.approx(2.0, abs=0.5)


def check_fast_diffusion(rows, text):
    assert len(rows) == 9
    for row in rows:
        assert number(row["order in h"]) == pytest.approx(2.0, abs=0.15)
        assert number(row["finest error"]) < 5e-3
        assert number(row["mass drift"]) < ROUNDING
        # Far from the mean: every step lowers the energy.
        assert number(row["energy increase"]) < 0.0
    for row in rows[:5]:
        assert number(row["backward Euler, order in τ"]) == pytest.approx(1.0, abs=0.1)
        assert number(row["BDF2, order in τ"]) == pytest.approx(2.0, abs=0.2)


def check_coupled_guarantees(rows, text):
    assert len(rows) == 26
    for row in rows:
        assert number(row["mass drift"]) < ROUNDING
        assert number(row["minimum"]) >= 0.0
        # Far from the steady state: every step lowers the energy.
        assert number(row["energy increase"]) < 0.0
        assert 1.0 <= number(row["Newton per step"]) < 12.0


def check_long_runs(rows, text):
    cost, memory = rows
    # P1 on 60 by 60 squares, each with its diagonal; a state and the one before it are kept.
    assert number(cost["unknowns"]) == 61**2
    assert number(cost["megabytes of a checkpoint"]) == pytest.approx(2 * 8 * 61**2 / 1e6, abs=0.06)
    assert number(memory["steps"]) == 200
    assert number(memory["megabytes per 1000 steps"]) < 50.0


def check_step_control(rows, text):
    (row,) = rows
    # Both the error and the number of steps follow from the tolerance: N steps of BDF2 that add η at most.
    assert 0.0 < number(row["error"]) < number(row["tolerance"]) * number(row["steps"])
    assert number(row["times fewer"].removeprefix("≥ ")) >= 3.0


def check_guarantees(rows, text):
    usual, hard = ([row for row in rows if key in row] for key in ("flux", "scheme"))
    assert len(usual) == 16 and len(hard) == 32
    for row in rows:
        assert number(row["mass drift"]) < ROUNDING
        assert number(row["minimum"]) >= 0.0
    for row in usual:
        assert number(row["energy increase"]) < ROUNDING
        assert row["vacuum"] == ("–" if row["energy"].startswith("m = 1") else "100%")
        assert 1.0 <= number(row["Newton"]) < 20.0
    for row in hard:
        assert row["halved"] == "0"
        # BDF2 promises nothing; in the film the rounding of fluxes, with τ/h² = 2e17, moves fronts of ρ^40.
        lost = row["mesh"] == "film" and row["energy"].startswith("m = 40")
        assert number(row["energy increase"]) < (1e-4 if lost or row["scheme"] == "BDF2" else ROUNDING)


def check_jko_exact(rows, text):
    gaussian, dilation = rows
    # From N(0, 1) with λ = 4 and τ = ½: 3σ'² - σ' - ½ = 0.
    assert number(gaussian["exact"]) == pytest.approx(((1.0 + math.sqrt(7.0)) / 6.0) ** 2, abs=1e-5)
    # From (1 - |x|²)₊ in 2D with m = 2 and τ = .1, M₂ = π/6 and E₁ = π/3: s³(s - 1) = 2τ E₁/M₂ = .4.
    s = number(dilation["exact"])
    assert s**3 * (s - 1.0) == pytest.approx(0.4, abs=1e-4)
    for row, bound in ((gaussian, 0.005), (dilation, 0.02)):
        error = number(row["JKO"]) - number(row["exact"])
        assert number(row["error"]) == pytest.approx(error, abs=1e-4 + 0.05 * abs(error))
        assert abs(error) < bound
    # A step of the minimising movement is not one of backward Euler.
    assert abs(number(gaussian["backward Euler"]) - number(gaussian["exact"])) > 0.03


def check_jko(rows, text):
    masses = {
        "m = 2": SourceSolution(2.0, 2, 0.05).profile(0.02).mass,
        "m = 4": SourceSolution(4.0, 2, 0.01).profile(0.02).mass,
        "Fokker–Planck": math.pi * (math.exp(0.5) - math.exp(-0.5)),
    }
    # The errors that are known of LJKO.
    peers = {"m = 2": 9.4e-4, "m = 4": 1.12e-3, "Fokker–Planck": 1.5e-2}
    assert len(rows) == 12
    for row in rows:
        error, problem = number(row["L∞L¹ error"]), row["problem"]
        if "LJKO" in row["scheme"]:
            assert error == peers[problem]
            continue
        # In a few large steps a part of the mass is in the wrong place.
        assert error < 0.2 * masses[problem]
        assert number(row["error / LJKO's"]) == pytest.approx(error / peers[problem], rel=0.02)
        assert number(row["minimum"]) >= 0.0
        # What makes a step a minimising movement.
        assert number(row["largest E + W²/2τ - E_old"]) <= 0.0
        assert (number(row["minimum"]) == 0.0) == (number(row["empty volume"]) > 0.0)
        assert number(row["Newton per step"]) < 30.0


def check_jko_scaling(rows, text):
    for slabs, (one, two) in ((1, rows[:2]), (2, rows[2:])):
        # A density and a potential at each vertex of a cube of 8³ or 6³ cells, in each slab.
        expected = 2 * slabs * {1: 9, 2: 7}[slabs] ** 3
        assert (one["ranks"], two["ranks"], one["speed-up"]) == ("1", "2", "1.00")
        for row in (one, two):
            assert int(row["unknowns"]) == expected
            assert 1 <= int(row["Newton"]) <= 4
            assert 1.0 <= number(row["linear per Newton"]) <= 15.0
            assert number(row["peak memory [MB]"]) > 50.0
        assert one["Newton"] == two["Newton"]


def check_jko_estimates(rows, text):
    (row,) = rows
    assert "does not hold" not in text
    left, right = number(row["Σ d²/2h"]), number(row["E(0) - E(end)"])
    assert 0.0 < left < right
    assert number(row["ratio"]) == pytest.approx(left / right, abs=1e-3)
    hoelder = next(value for name, value in row.items() if name.startswith("largest d /"))
    assert 0.0 < number(hoelder) < 1.0
    assert number(row["mass drift"]) < 10 * ROUNDING
    assert number(row["minimum"]) > 0.0


def check_distance(rows, text):
    assert len(rows) == 18
    for row in rows:
        dim, cells = int(row["problem"][0]), int(row["cells along an axis"])
        # Densities a few cells wide in 2D.
        bound = {(1, 16): 1.5, (1, 32): 0.8, (2, 8): 17.0, (2, 12): 4.5}[dim, cells]
        assert abs(number(row["error of W₂"])) < bound
        assert int(row["Newton iterations"]) <= 15
        if row["order"] not in ("", "–"):
            assert number(row["order"]) > 2.0


def check_linearised(rows, text):
    assert text.startswith("Ranks: 1")
    assert {row["pair"] for row in rows} == {"P1-DG0", "DG0-RT1"}
    for row in rows:
        assert "!" not in row["follow"]  # it would have ended in a direct solver
        assert 1 <= int(row["follow"]) <= 30
        assert number(row["×"]) < 1.6


def check_phases(rows, text):
    # The script itself ends with 2 where the plain loop differs by more than 1e-8.
    assert len(rows) == 2
    for row in rows:
        parts = [number(row[name]) for name in ("assembly", "solve", "rest")]
        assert min(parts) > 0.0
        assert sum(parts) == pytest.approx(number(row["step [ms]"]), abs=0.03)
        assert number(row["this / plain"]) > 0.0
        assert 1.0 <= number(row["Newton per step"]) <= 6.0


def check_scaling(rows, text):
    small, large = rows
    (unknowns,) = (name for name in small if name.startswith("unknowns"))
    assert int(large[unknowns]) > int(small[unknowns])
    for row in rows:
        assert 1.0 <= number(row["Newton per step"]) <= 4.0
        assert 1.0 <= number(row["linear per Newton"]) <= 4.0
        assert number(row["time per step [s]"]) > 0.0
        assert number(row["peak memory [MB]"]) > 50.0
    assert "Slope of the time per step on log axes:" in text


def check_ranks(rows, text):
    one, two = rows
    assert (one["ranks"], two["ranks"], one["speed-up"]) == ("1", "2", "1.00")
    assert one["unknowns"] == two["unknowns"]
    gap = number(text.strip().splitlines()[-1].split()[-1].rstrip("."))
    assert gap < 1e-9


def check_fieldsplit(rows, text):
    small, large = rows
    assert int(large["unknowns"]) > int(small["unknowns"])
    for row in rows:
        assert 1.0 <= number(row["to 1e-3"]) <= number(row["to 1e-8"]) <= 15.0
        assert number(row["× (1e-8)"]) < 1.5
        assert min(number(row[f"{solver} [s]"]) for solver in ("splits", "MUMPS")) > 0.0
        assert min(number(row[f"{solver} [MB]"]) for solver in ("splits", "MUMPS")) > 50.0


def check_malformed(rows, text):
    *kinds, total = rows
    assert len(kinds) == 9
    for row in rows:
        parts = [int(row[name]) for name in ("refused", "good", "wrong")]
        assert sum(parts) == int(row["number"]) > 5
        assert parts[2] == 0
    assert int(total["number"]) == sum(int(row["number"]) for row in kinds)
    # Most of what is changed at random is bad, and some of it is still good.
    assert int(total["refused"]) > 2 * int(total["good"]) > 0


def check_faults(rows, text):
    kills, cuts, others = ([row for row in rows if key in row] for key in ("kills", "disk", "fault"))
    assert len(kills) == 2 and len(cuts) == 3 and len(others) == 7
    for row in kills:
        phases = [int(row[name]) for name in ("start", "step", "fields", "rows", "checkpoint", "end")]
        assert sum(phases) == int(row["kills"]) == 3
        assert int(row["ended"]) >= 1
        assert row["lost"] == row["different"] == "0"
    for row in cuts:
        assert int(row["power cuts"]) == 5 and row["lost"] == "0"
    assert all(row["as expected"] == "yes" for row in others)
    assert "0 of all this went wrong." in text


def check_bgk(rows, text):
    (rate,) = (row for row in rows if "eigenvalue" in row)
    assert number(rate["eigenvalue"]) == pytest.approx(-0.9651154, rel=1e-7)
    assert number(rate["relative difference"]) < 3e-4
    # ρ of even data is O(ε²) from the limit; all else is O(ε).
    slopes = [number(row["slope"]) for row in rows if "slope" in row]
    assert slopes == pytest.approx([2.0, 1.0, 1.0, 1.0], abs=0.05)
    for row in rows:
        if "order" in row:
            assert number(row["order"]) > {"backward Euler": 0.95, "BDF2": 1.9}[row["scheme"]]
        if "violation" in row:
            assert number(row["violation"]) < ROUNDING < number(row["without"])
        if "identity" in row:
            assert number(row["iterations"]) <= 20
            assert number(row["mass"]) < ROUNDING and number(row["identity"]) < ROUNDING
    errors = [(row["code"], number(row["L² error of ρ"])) for row in rows if "code" in row]
    assert [code for code, _ in errors] == ["upwind", "upwind", "P1–DG0, 10 steps"]
    assert errors[0][1] > errors[1][1] > 10 * errors[2][1]


def check_bgk_theorems(rows, text):
    (eigenvalue,) = (row for row in rows if "discrete" in row)
    assert number(eigenvalue["linear equation"]) == pytest.approx(-0.9651154, rel=1e-7)
    assert number(eigenvalue["relative difference"]) < 1e-5
    (decay,) = (row for row in rows if "(2.1)" in row)
    # BDF2 leaves (λτ)²/3 = 3e-4.
    assert number(decay["relative difference"]) < 1e-3
    assert number(decay["measured"]) > 1e3 * number(decay["γ of the paper"]) > 0.0
    assert number(decay["(2.1)"]) < 1.0
    norms = [row for row in rows if "violations" in row]
    assert len(norms) == 4
    for row in norms:
        assert row["violations"] == "0" and number(row["largest change + loss"]) < 0.0
    assert number([row for row in rows if "power" in row][-1]["power"]) == pytest.approx(1.0, abs=0.05)


CHECKS = {
    ("bgk.py",): check_bgk,
    ("bgk_theorems.py",): check_bgk_theorems,
    ("convergence.py",): check_convergence,
    ("coupled_convergence.py",): check_coupled_convergence,
    ("coupled_guarantees.py",): check_coupled_guarantees,
    ("guarantees.py",): check_guarantees,
    ("fast_diffusion.py",): check_fast_diffusion,
    ("malformed.py",): check_malformed,
    ("jko_exact.py",): check_jko_exact,
    ("jko.py",): check_jko,
    ("jko_scaling.py",): check_jko_scaling,
    ("jko_estimates.py",): check_jko_estimates,
    ("distance.py",): check_distance,
    ("linearised.py",): check_linearised,
    ("phases.py",): check_phases,
    ("step_control.py",): check_step_control,
    ("long_runs.py",): check_long_runs,
    ("faults.py",): check_faults,
    ("scaling.py", "--dimension", "2"): check_scaling,
    ("scaling.py", "--dimension", "3"): check_scaling,
    ("ranks.py",): check_ranks,
    ("fieldsplit.py", "--system", "pnp-electrodes"): check_fieldsplit,
}
"""Scripts with their options beside `--quick`, and what checks the rows of their tables and their text."""
