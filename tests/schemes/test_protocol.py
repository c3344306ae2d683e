"""Every scheme of gradient flows is a `Scheme`: what it is called, promises, remembers and goes on from."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from references import COMM, DIRECT, bump, flow_of, quadratic_potential

from fem_models.core.errors import InputError, SolveError
from fem_models.core.protocols import Law, Memory, Scheme, Step
from fem_models.energies import Boltzmann, PowerLaw
from fem_models.flow.gradient_flow import State
from fem_models.flow.log_density import LogDensityFlow
from fem_models.jko.jko_bdf2 import JkoBdf2
from fem_models.jko.jko_step import Jko
from fem_models.jko.movement import MovingStep
from fem_models.jko.path_problem import PathOutcome
from fem_models.jko.path_solver import PathSolver
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.schemes.log_density_euler import LogDensity

Build = Callable[[Any], Scheme[State]]
"""The return type is what mypy checks in `make style`: these classes have all that a `Scheme` has."""


def log_density(flow: LogDensityFlow) -> Scheme[State]:
    return LogDensity(flow, DIRECT)


SCHEMES: dict[str, Build] = {
    "backward Euler": lambda flow: BackwardEuler(flow, settings=DIRECT),
    "BDF2": lambda flow: Bdf2(flow, settings=DIRECT),
    "JKO": lambda flow: Jko(flow, settings=DIRECT),
    "JKO of two slabs": lambda flow: Jko(flow, settings=DIRECT, slabs=2),
    "JKO-BDF2": lambda flow: JkoBdf2(flow, settings=DIRECT),
    "the log-density scheme": log_density,
}
FALLING = {"backward Euler", "JKO", "JKO of two slabs", "the log-density scheme"}
KEEPS = {"BDF2": 1, "JKO-BDF2": 1}
STEPS = (0.01, 0.02, 0.005)

each_scheme = pytest.mark.parametrize("title", SCHEMES)


def started(title: str) -> tuple[Any, State]:
    """A flow that the scheme takes steps of, and a first state with vacuum where it may have some."""
    if SCHEMES[title] is log_density:
        energy = Boltzmann() + quadratic_potential(4.0)
        flow = LogDensityFlow(flow_of("disk", energy, h=0.2), 1)
        return flow, flow.state(lambda x: 1.0 + 0.5 * x[0], 1.0)
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.2)
    return flow, flow.state(bump((0.3, 0.1)), 1.0)


def taken(scheme: Scheme[State], state: State, steps: tuple[float, ...] = STEPS) -> list[Step[State]]:
    found: list[Step[State]] = []
    for tau in steps:
        found.append(scheme.step(found[-1].state if found else state, tau))
    return found


def same(found: State, expected: State) -> None:
    """Bit by bit; on several ranks MUMPS adds up in any order."""
    if COMM.size == 1:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-11 * np.abs(expected).max())


@pytest.mark.skipif(COMM.size > 1, reason="checks of types need one process")
def test_mypy_finds_what_is_no_scheme(tmp_path):
    # With the settings and the cache of the project, whose types `make style` has checked: those above, too.
    root = Path(inspect.getfile(Step)).parents[2]
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from fem_models.core.protocols import Scheme\n"
        "from fem_models.flow.gradient_flow import GradientFlow, State\n"
        "from fem_models.schemes.backward_euler import BackwardEuler\n\n"
        "class Nameless(BackwardEuler):\n    title = None\n\n"
        "def build(flow: GradientFlow) -> Scheme[State]:\n    return Nameless(flow)\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "mypy", str(wrong)]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    errors = [line for line in found.stdout.splitlines() if ": error: " in line]
    # One is the overridden attribute, the other that what is returned is no `Scheme`.
    assert len(errors) == 2, found.stdout + found.stderr
    assert any("Scheme[" in line for line in errors)


@pytest.mark.parallel
@each_scheme
def test_titles_and_promises(title: str):
    flow, state = started(title)
    scheme = SCHEMES[title](flow)
    assert title.startswith(scheme.title)
    assert scheme.promises <= set(get_args(Law))
    assert {"conserved", "non-negative"} <= scheme.promises
    assert ("falling" in scheme.promises) == (title in FALLING)
    before = flow.energy(state)
    for step in taken(scheme, state):
        assert flow.masses(step.state)["rho"] == pytest.approx(1.0, rel=1e-12)
        assert flow.minima(step.state)["rho"] >= 0.0
        after = flow.energy(step.state)
        assert after <= before or "falling" not in scheme.promises
        before = after
    assert set(scheme.seconds) == {"assemble", "solve"}


@pytest.mark.parallel
@each_scheme
def test_what_is_restored_goes_on_bit_by_bit(title: str):
    flow, start = started(title)
    scheme, other = SCHEMES[title](flow), SCHEMES[title](flow)
    *_, last = taken(scheme, start)
    memory = scheme.memory()
    assert len(memory.states) == len(memory.steps) == KEEPS.get(title, 0)
    on = taken(scheme, last.state, (0.01, 0.03))
    other.restore(memory)
    # The same scheme goes back to where it was, too.
    scheme.restore(memory)
    for again in (other, scheme):
        for expected, found in zip(on, taken(again, last.state, (0.01, 0.03)), strict=True):
            same(found.state, expected.state)
            assert (found.newton, found.linear) == (expected.newton, expected.linear)
    # Nothing to remember: as at the beginning.
    scheme.restore(Memory())
    for expected, found in zip(taken(SCHEMES[title](flow), start), taken(scheme, start), strict=True):
        same(found.state, expected.state)


@pytest.mark.parallel
@pytest.mark.parametrize("title", KEEPS)
def test_a_memory_is_not_changed_by_what_the_caller_does_with_states(title: str):
    flow, start = started(title)
    scheme, other = SCHEMES[title](flow), SCHEMES[title](flow)
    expected = taken(other, start)[-1].state
    state = start.copy()
    for tau in STEPS:
        state[:] = scheme.step(state, tau).state
    same(state, expected)


@pytest.mark.parallel
@each_scheme
def test_a_failed_step_leaves_the_scheme_as_it_was(title: str):
    flow, start = started(title)
    scheme = SCHEMES[title](flow)
    first = scheme.step(start, 0.01).state
    memory = scheme.memory()
    with pytest.raises((SolveError, InputError)):
        scheme.step(first, np.inf)
    assert scheme.memory() == memory


@pytest.mark.parallel
def test_a_step_that_fails_in_all_its_parts_keeps_the_last_potentials(monkeypatch: pytest.MonkeyPatch):
    flow, start = started("JKO")
    scheme = Jko(flow, settings=DIRECT)
    state = scheme.step(start, 0.01).state
    memory = scheme.memory()
    assert memory.guesses is not None
    failed = PathOutcome(np.zeros(0), converged=False, newton=1, linear=1, report="It failed.")
    for method in ("newton", "interior_point"):
        monkeypatch.setattr(PathSolver, method, lambda *_: failed)
    with pytest.raises(SolveError, match="It failed"):
        scheme.step(state, 0.01)
    assert scheme.memory() is memory


@pytest.mark.parallel
@pytest.mark.parametrize("title", ["JKO", "JKO-BDF2"])
def test_minimising_movements_say_what_they_cost(title: str):
    flow, start = started(title)
    for step in taken(SCHEMES[title](flow), start):
        assert isinstance(step, MovingStep)
        assert step.movement.distances["rho"] > 0.0


@pytest.mark.parallel
def test_memories_of_something_else_are_refused():
    flow, start = started("BDF2")
    short = start[:-1]
    cases = {
        "at most 1 earlier states.*2 states": Memory((start, start), (0.1, 0.1)),
        "1 states and 0 steps": Memory((start,)),
        "must be positive and finite": Memory((start,), (0.0,)),
        "for each node of the mesh": Memory((short,), (0.1,)),
        "finite values": Memory((np.nan * start,), (0.1,)),
    }
    for title in KEEPS:
        for message, memory in cases.items():
            with pytest.raises(InputError, match=f"The (memory|steps in the memory) of {title} .*{message}"):
                SCHEMES[title](flow).restore(memory)
    with pytest.raises(InputError, match="JKO has at most 0 earlier states"):
        SCHEMES["JKO"](flow).restore(Memory((start,), (0.1,)))
    with pytest.raises(InputError, match="for each node of the mesh"):
        SCHEMES["JKO"](flow).restore(Memory(guesses={"potentials": short}))
