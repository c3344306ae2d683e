"""Runs that are killed, starved of disk, cut off from their directory or from their power, and go on.

    python runs/benchmarks/faults.py [--kills 200] [--seed 1] [--quick] [--output FILE]

Five models on small meshes, with a checkpoint after every second step and fields after every third. The
first table kills runs (SIGKILL) at random instants, up to four times each, and goes on from what is there;
where there was no checkpoint yet, the run is begun again. In the end series.csv, the fields, the last
checkpoint and summary.json must be those of a run that nothing happened to, bit for bit, but for times and
memory. The phases are judged from the files that are there after a kill. "lost" counts checkpoints that had
been kept and are not there. The second table cuts the power, on the models of a disk in `faults_power.py`.
The third has other faults. The exit code is 1 where something is lost, different or not as expected.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from common import Report, arguments

# isort: split
from faults_files import FAULTS, Finding
from faults_kills import PHASES, Kills
from faults_power import power_cuts
from faults_ranks import WHAT, ranks_fault
from faults_runs import MODELS, Case


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark alone."""
    parser.add_argument("--kills", type=int, default=200, help="how often runs are killed (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the random instants (1)")


def kill(report: Report, cases: list[Case], place: Path, kills: int, rng: random.Random) -> list[str]:
    """Print the table of kills; returns sentences about what went wrong."""
    report.head("model", "kills", *PHASES, "begun again", "ended", "lost", "different")
    wrong: list[str] = []
    share = -(-kills // len(cases))
    for case in cases:
        of_model = Kills(case, place / "killed", rng)
        of_model.campaign(share)
        counts = [of_model.phases[phase] for phase in PHASES]
        results = [of_model.anew, of_model.ends, len(of_model.lost), len(of_model.different)]
        report.row(case.name, *map(str, [share, *counts, *results]))
        wrong += of_model.lost + of_model.different
    return wrong


def cut(report: Report, cases: list[Case], place: Path, most: int, rng: random.Random) -> list[str]:
    """Print the table of power cuts; returns sentences about what went wrong."""
    report.head("model", "disk", "power cuts", "lost")
    wrong: list[str] = []
    for number, case in enumerate(cases):
        for disk, cuts, lost in power_cuts(case, place / f"power-{number}", rng, most):
            report.row(case.name, disk, str(cuts), str(len(lost)))
            wrong += [f"{case.name}, power cut, {disk}: {sentence}" for sentence in lost]
    return wrong


def others(report: Report, cases: dict[str, Case], place: Path, ranks: int, whats: list[str]) -> list[str]:
    """Print the table of the other faults; returns sentences about what went wrong."""
    report.head("fault", "expected", "found", "as expected")
    wrong: list[str] = []

    def tell(finding: Finding) -> None:
        report.row(finding.fault, finding.expected, finding.found, "yes" if finding.good else "no")
        wrong.extend([] if finding.good else [f"{finding.fault}: {finding.found}"])

    for number, (fault, model) in enumerate(FAULTS):
        tell(fault(cases[model], place / f"fault-{number}"))
    for what in whats:
        tell(ranks_fault(what, cases["backward Euler"], place / f"rank-{what}", ranks))
    return wrong


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__, add_arguments)
    rng, report = random.Random(args.seed), Report(args.output)
    names = ["backward Euler", "BDF2, adaptive"] if args.quick else list(MODELS)
    kills, cuts, ranks = (6, 5, 2) if args.quick else (args.kills, 40, 3)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        cases = [Case(name, place / f"case-{k}", 20 if args.quick else 60) for k, name in enumerate(names)]
        wrong = kill(report, cases, place, kills, rng)
        wrong += cut(report, cases[:1] if args.quick else cases, place, cuts, rng)
        whats = ["killed"] if args.quick else list(WHAT)
        wrong += others(report, dict(zip(names, cases, strict=True)), place, ranks, whats)
    report.line()
    for sentence in wrong:
        report.line(sentence)
    report.line(f"{len(wrong)} of all this went wrong.")
    report.close()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
