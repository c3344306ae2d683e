"""What every test needs: one order of imports, one place for compiled forms, and ranks that agree.

Under ``mpiexec`` the outcome of each phase of a test is shared: a test that fails on one rank fails on
all of them, and rank 0 alone reports, with the text of every rank that failed. A rank that fails while
others wait for it inside the test ends the run after a grace period, and a test that hangs ends it after a
time limit.
"""

import faulthandler
import gc
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import hypothesis
import pytest
from compiled_forms import CACHE, remembered
from ffcx.codegeneration import jit as ffcx_jit
from mpi4py import MPI

import fem_models
from fem_models.run.cache import remove_abandoned

# A communicator of its own: what the tests send cannot be mistaken for what is sent here.
COMM = MPI.COMM_WORLD.Dup()
PARALLEL = COMM.size > 1
SEVERITY = {"passed": 0, "skipped": 1, "failed": 2}
STDERR = pytest.StashKey[int]()

# Tests build the same forms again and again: what is loaded is not looked for once more.
ffcx_jit.get_cached_module = remembered(ffcx_jit.get_cached_module)

# All ranks must draw the same examples, and the first example pays for compiling the forms.
hypothesis.settings.register_profile(
    "fem_models",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("fem_models")


def pytest_addoption(parser):
    parser.addini("mpi_time_limit", "seconds that a test may take under mpiexec", default="120")
    parser.addoption(
        "--all-parameters", action="store_true", help="all sets of parameters on any number of ranks"
    )
    parser.addini("mpi_grace", "seconds that a failed rank waits for the others", default="20")


def pytest_collection_modifyitems(config, items):
    # Every test runs on every number of ranks. One rank has all sets of its parameters; of several, two ranks
    # have the first and every third after it, and more ranks the second.
    if not PARALLEL or config.getoption("--all-parameters"):
        return
    names = [item.nodeid.partition("[")[0] for item in items]
    sets, seen = Counter(names), Counter()
    kept, left = [], []
    for name, item in zip(names, items, strict=True):
        number = seen[name]
        wanted = sets[name] == 1 or (number % 3 == 0 if COMM.size == 2 else number == 1)
        (kept if wanted else left).append(item)
        seen[name] += 1
    items[:] = kept
    config.hook.pytest_deselected(items=left)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    # Output is not captured yet, so this is where the user sees it even while a test is captured.
    config.stash[STDERR] = os.dup(2)
    # What a shell has started in the background ignores Ctrl-C, and so would all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if COMM.rank == 0:
        if "PYTEST_XDIST_WORKER" not in os.environ:
            remove_abandoned()
    else:
        sys.stdout = io.StringIO()  # the terminal reporter, made after this, writes here


def pytest_report_header(config):
    return f"fem_models {fem_models.__version__}, ranks: {COMM.size}, cache: {CACHE}"


def pytest_collection_finish(session):
    # What is there now stays: solvers ask for a collection of garbage, which need not look through it.
    gc.freeze()
    if not PARALLEL:
        return
    found = COMM.allgather(([item.nodeid for item in session.items], session.testsfailed))
    if any(other != found[0] for other in found):
        counts = ", ".join(f"rank {r}: {len(ids)} ({errors} errors)" for r, (ids, errors) in enumerate(found))
        pytest.exit(f"The ranks collected different tests; {counts}.", returncode=3)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    _start_watch(item.config)
    try:
        return (yield)
    finally:
        _stop_watch()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item):
    report = yield
    if PARALLEL:
        _stop_watch()
        _wait_for_other_ranks(item.config, report)
        _take_worst_outcome(report)
        _start_watch(item.config)
    return report


def _start_watch(config):
    # Neither the trace nor the alarm needs Python's lock: they work inside a blocked MPI or PETSc call. The
    # alarm ends this process, and so the run; it comes later because mpiexec drops what was just written.
    if PARALLEL:
        limit = float(config.getini("mpi_time_limit"))
        faulthandler.dump_traceback_later(limit, file=config.stash[STDERR])
        signal.setitimer(signal.ITIMER_REAL, limit + 1.0)


def _stop_watch():
    faulthandler.cancel_dump_traceback_later()
    signal.setitimer(signal.ITIMER_REAL, 0.0)


def _wait_for_other_ranks(config, report):
    # A rank that passed leaves the ranks still inside the test the time to show where they hang.
    limit = float(config.getini("mpi_grace"))
    if not report.failed:
        limit += float(config.getini("mpi_time_limit"))
    deadline = time.monotonic() + limit
    request = COMM.Ibarrier()
    while not request.Test():
        if time.monotonic() > deadline:
            text = (
                f"rank {COMM.rank}: {report.nodeid} {report.outcome} here; other ranks are still inside it."
            )
            os.write(config.stash[STDERR], f"\n{text}\n{report.longreprtext}\n".encode())
            time.sleep(1.0)  # mpiexec drops what was written just before an abort
            MPI.COMM_WORLD.Abort(1)
        time.sleep(0.001)


def _take_worst_outcome(report):
    worst = COMM.allreduce(SEVERITY[report.outcome], op=MPI.MAX)
    if worst == SEVERITY["passed"]:
        return
    entries = COMM.allgather((report.outcome, _reason(report), getattr(report, "wasxfail", None)))
    worst_entries = {r: entry for r, entry in enumerate(entries) if SEVERITY[entry[0]] == worst}
    if worst == SEVERITY["failed"]:
        report.longrepr = "\n\n".join(f"rank {r}:\n{text}" for r, (_, text, _) in worst_entries.items())
    elif report.outcome == "passed":
        _, report.longrepr, wasxfail = next(iter(worst_entries.values()))
        if wasxfail is not None:
            report.wasxfail = wasxfail
    report.outcome = next(iter(worst_entries.values()))[0]


def _reason(report):
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr  # (file, line, reason), which the summary of skipped tests needs
    captured = report.sections if COMM.rank else []  # rank 0 shows its own
    return "\n".join([report.longreprtext, *(f"--- {title} ---\n{text}" for title, text in captured)])


@pytest.fixture(scope="module", autouse=True)
def _meshes_of_one_module():
    """Let the cached meshes of a module go: each has a dozen communicators, of which MPI has two thousand."""
    yield
    if PARALLEL:
        for module in list(sys.modules.values()):
            if Path(__file__).parent in Path(getattr(module, "__file__", None) or "/").parents:
                for value in vars(module).values():
                    getattr(value, "cache_clear", bool)()
        gc.collect()


@pytest.fixture
def shared_tmp_path():
    """Return one temporary directory for all ranks, removed after the test."""
    path = Path(COMM.bcast(tempfile.mkdtemp(prefix="fem_models-") if COMM.rank == 0 else None))
    yield path
    COMM.Barrier()
    if COMM.rank == 0:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def database():
    """The options database of PETSc; what a test puts into it is taken out again."""
    from petsc4py import PETSc

    options = PETSc.Options()
    before = options.getAll()
    yield options
    for name in set(options.getAll()) - set(before):
        options.delValue(name)
