"""Steps that follow from their errors: estimates that are right, times that are exact, laws that are kept."""

import csv
import itertools
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

import fem_models as fm
from fem_models.config.io import dump, from_dict, load
from fem_models.core.errors import InputError, SolveError
from fem_models.core.protocols import Expectation, Memory, Step
from fem_models.run.clock import AdaptiveClock
from fem_models.run.diagnostics import Diagnostics
from fem_models.run.local_error import History
from fem_models.run.resume import resume
from fem_models.run.runner import run
from fem_models.run.step_control import AdaptiveSteps, Limits
from fem_models.run.stepping import StepFailure
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.schemes.halves import UnsolvedError


class Decay:
    """u' = -u for three numbers: one is looked at for errors, one is an energy, and one has a sign."""

    comm = MPI.COMM_SELF
    expectations = {  # noqa: RUF012
        "energy": Expectation("falling", "The energy"),
        "least": Expectation("non-negative", "The density"),
    }

    def observables(self, state):
        return {"energy": float(state[1]), "least": float(state[2])}

    def change(self, old, new):
        return float(np.abs(new - old)[0] / np.abs(new)[0])

    def pack(self, state):
        return {"u": state.copy()}

    def unpack(self, packed):
        return packed["u"].copy()


class Euler:
    """Backward Euler for it; `spoil` says what is wrong with a step of a size."""

    title, promises, order = "Euler", frozenset(), 1

    def __init__(self, spoil=lambda tau: None):
        self.spoil, self.calls = spoil, 0

    def error_constant(self, steps):
        return 0.5

    def step(self, old, tau):
        self.calls += 1
        new = old / (1.0 + tau)
        match self.spoil(tau):
            case "failed":
                raise SolveError("No solution.")
            case "energy":
                new[1] = 1.001 * old[1]
            case "sign":
                new[2] = -0.1
        return Step(new, newton=1)

    def memory(self):
        return Memory()

    def restore(self, memory):
        assert not memory.states


def controlled(scheme, tolerance=1e-3, first=1e-2, end=1.0, least=1e-6, marks=()):
    model, start = Decay(), np.ones(3)
    diagnostics = Diagnostics(model, scheme, start, 0.0)
    clock = AdaptiveClock(0.0, end, least, marks)
    limits = Limits(tolerance, least, end, 2.0)
    stepping = AdaptiveSteps(model, scheme, clock, limits, first, diagnostics.broken)
    found = []
    for tick, step in stepping.steps(0, 0.0, start):
        diagnostics.step(tick, step)
        found.append((tick, step, stepping.look({}, step.state, step)))
    return stepping, found


def stepped(order, steps):
    """The states of u' = -u by backward Euler or BDF2, as their docstrings have them, and the last error."""
    states = [math.exp(steps[0]), 1.0]
    for last, tau in itertools.pairwise(steps):
        before, old = states[-2:]
        omega = tau / last
        if order == 1:
            new = old / (1.0 + tau)
        else:
            anchor = old + omega**2 / (1.0 + 2.0 * omega) * (old - before)
            new = anchor / (1.0 + tau * (1.0 + omega) / (1.0 + 2.0 * omega))
        states.append(new)
    # What the last step added: BDF2 from states that lie on a solution.
    old, tau, omega = states[-2], steps[-1], steps[-1] / steps[-2]
    if order == 1:
        exact_step = old / (1.0 + tau)
    else:
        before = old * math.exp(steps[-2])
        anchor = old + omega**2 / (1.0 + 2.0 * omega) * (old - before)
        exact_step = anchor / (1.0 + tau * (1.0 + omega) / (1.0 + 2.0 * omega))
    return states, abs(exact_step - old * math.exp(-tau)) / states[-1]


@pytest.mark.parametrize(
    ("scheme", "order", "ratio", "accuracy"),
    [
        *((BackwardEuler, 1, ratio, 0.02) for ratio in (0.5, 0.8, 1.0, 1.25, 2.0)),
        (Bdf2, 2, 1.0, 0.02),
        *((Bdf2, 2, ratio, 0.4) for ratio in (0.8, 0.9, 1.1, 1.25)),
    ],
)
def test_the_estimate_is_the_error_of_the_step(scheme, order, ratio, accuracy):
    steps = [2e-3 * ratio ** (k - 9) for k in range(10)]
    states, true = stepped(order, steps)

    class Known:
        def error_constant(self, steps):
            return scheme.error_constant(None, steps)

    Known.order = order
    history = History(Decay(), Known())
    assert not history.suffices
    for state, size in zip(states[:-1], [0.0, *steps[:-1]], strict=True):
        history.add(np.array([state]), size)
    assert history.suffices
    assert history.error(np.array([states[-1]]), steps[-1]) == pytest.approx(true, rel=accuracy)


@given(marks=st.lists(st.floats(0.0, 1.0), max_size=4), wanted=st.lists(st.floats(0.01, 2.0), min_size=1))
def test_times_are_reached_exactly_and_without_slivers(marks, wanted):
    clock, time, least = AdaptiveClock(0.0, 1.0, 0.01, marks), 0.0, 0.01
    sizes, times, last = itertools.cycle(wanted), [], False
    while not last:
        size = next(sizes)
        tick = clock.tick(len(times) + 1, time, size)
        assert tick.step <= size * (1.0 + 2e-6)
        assert tick.time == pytest.approx(time + tick.step, rel=1e-14)
        # A shorter one than half of what was wanted only because a time to reach is that close.
        assert tick.step >= 0.5 * size or tick.marked or tick.last
        time, last = tick.time, tick.last
        times.append(time)
    assert times[-1] == 1.0
    assert all(min(abs(mark - time) for time in [0.0, *times]) <= 1e-6 * least for mark in marks)


def test_errors_are_at_the_tolerance_and_steps_follow_the_solution():
    _, found = controlled(Euler(), tolerance=1e-5, end=3.0, marks=(0.5,))
    errors = np.array([row["error"] for _, _, row in found])
    assert errors.max() <= 1e-5
    # ½τ² = 0.8e-5 where the solution is e^{-t} and no time to be reached is near.
    assert np.median(errors[10:]) == pytest.approx(0.8e-5, rel=0.05)
    assert np.median([tick.step for tick, _, _ in found[10:]]) == pytest.approx(4e-3, rel=0.05)
    assert [tick.time for tick, _, _ in found if tick.marked or tick.last] == [0.5, 3.0]


def test_a_first_step_that_is_too_long_is_rejected():
    stepping, found = controlled(Euler(), tolerance=1e-4, first=1.0)
    tick, step, row = found[0]
    assert row["rejected_inaccurate"] == step.retried > 0
    # The halves of a step differ from the whole by ¼τ².
    assert 0.25 * tick.step**2 <= 1e-4
    retried = sum(step.retried for _, step, _ in found)
    assert stepping.summary()["step_control"]["rejected"]["inaccurate"] == retried


@pytest.mark.parametrize("reason", ["failed", "energy", "sign"])
def test_steps_that_fail_or_break_a_law_are_halved(reason):
    stepping, found = controlled(Euler(lambda tau: reason if tau > 4e-3 else None), tolerance=0.5, first=1e-2)
    entry = stepping.summary()["step_control"]
    assert entry["rejected"][reason] > 0
    assert sum(entry["rejected"].values()) == entry["rejected"][reason]
    # The first steps are doubled: it is their halves that break the energy and the sign.
    assert all(tick.step <= 8e-3 for tick, _, _ in found)
    assert all(step.state[2] > 0 for _, step, _ in found)
    assert found[-1][0].time == 1.0


def test_what_is_broken_by_steps_of_any_size_does_not_stop_a_run():
    stepping, found = controlled(Euler(lambda tau: "energy"), tolerance=0.9, end=0.1)
    assert found[-1][0].last
    assert stepping.summary()["step_control"]["rejected"]["energy"] == 5
    assert max(tick.step for tick, _, _ in found) > 5e-3
    (sentence,) = stepping.warnings()
    assert "no longer rejects steps that break the law of the energy" in sentence


def test_a_run_gives_up_below_the_smallest_step():
    scheme = Euler(lambda tau: "failed" if scheme.calls > 20 else None)
    with pytest.raises(StepFailure, match="No solution") as failure:
        controlled(scheme, least=1e-4)
    assert failure.value.tick.step == pytest.approx(1e-4, rel=1e-5)


def test_steps_of_the_smallest_size_are_taken_and_counted():
    stepping, found = controlled(Euler(), tolerance=1e-9, first=1e-3, least=1e-3, end=0.1)
    assert len(found) == 100
    (sentence,) = stepping.warnings()
    assert "above the tolerance 1e-09 in 100 steps of the smallest size 0.001" in sentence


FLOW = {
    "mesh": {"domain": "interval", "cells": [16]},
    "system": {"name": "fokker-planck", "m": 1, "potential": "4*x**2"},
    "initial": {"rho": "1 + x", "mass": 1},
    "time": {"step": 1e-3, "end": 0.1, "control": "adaptive", "flux": "average"},
    "output": {"figures": False, "steady": False, "field_times": [0.0, 0.03, 0.1]},
}
SCHEMES = {
    "backward-euler": (1, {}),
    "bdf2": (2, {"scheme": "bdf2"}),
    "jko": (1, {"scheme": "jko", "slabs": 1}),
    "jko-bdf2": (2, {"scheme": "jko-bdf2", "slabs": 1}),
    "log-density": (1, {"discretization": "log-density", "flux": "upwind"}),
}


def last_density(directory, times):
    run(from_dict(FLOW | {"time": FLOW["time"] | times}), directory, comm=MPI.COMM_SELF)
    return fm.open_run(directory).fields().values["rho"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_errors_follow_the_tolerance(scheme, tmp_path):
    # Errors in time alone: against short steps of the same scheme on the same mesh.
    order, table = SCHEMES[scheme]
    fixed = {"control": "fixed", "step": 5e-4}
    exact = last_density(tmp_path / "exact", table | fixed)
    if order == 1:
        # Extrapolated to the step 0.
        exact = 2.0 * exact - last_density(tmp_path / "twice", table | fixed | {"step": 1e-3})
    errors, steps = [], []
    for tolerance in (1e-2, 1e-3, 1e-4):
        found = last_density(tmp_path / f"{tolerance}", table | {"tolerance": tolerance})
        errors.append(np.abs(found - exact).sum() / np.abs(exact).sum())
        with (tmp_path / f"{tolerance}/steps.csv").open() as file:
            rows = list(csv.DictReader(file))
        steps.append(len(rows))
        assert max(float(row["error"]) for row in rows) <= tolerance
        assert {"0.03", "0.1"} <= {row["time"] for row in rows}
    # N steps of the error η each: N ~ η^{-1/(p+1)}, and the error is N η at most.
    assert errors[2] <= 1e-4 * steps[2]
    assert errors[0] > 2.0 * errors[1] > 4.0 * errors[2]
    assert steps[2] / steps[1] == pytest.approx(10.0 ** (1.0 / (order + 1)), rel=0.25)


def test_laws_hold_and_rejections_are_in_the_summary(tmp_path):
    table = {"time": FLOW["time"] | {"scheme": "bdf2", "step": 0.05, "tolerance": 1e-3}}
    run(from_dict(FLOW | table), tmp_path / "out", comm=MPI.COMM_SELF)
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    entry = summary["step_control"]
    assert summary["rejected_steps"] == sum(entry["rejected"].values()) > 0
    assert summary["species"]["rho"]["mass_drift"] < 1e-13
    assert summary["species"]["rho"]["min"] >= 0.0
    assert summary["energy"]["max_increase"] <= 0.0
    series = np.genfromtxt(tmp_path / "out/series.csv", delimiter=",", names=True)
    assert (entry["smallest_step"], entry["largest_step"]) == (series["dt"][1:].min(), series["dt"].max())
    assert summary["newton_iterations"] == series["newton"].sum()
    # The step grows by the growth limit at most.
    assert (series["dt"][2:] / series["dt"][1:-1]).max() <= 2.0 * (1.0 + 2e-6)


def test_a_run_that_gives_up_says_why_and_goes_on_later(tmp_path, monkeypatch):
    tables = FLOW | {"time": FLOW["time"] | {"min_step": 5e-4, "tolerance": 1e-3}}
    run(from_dict(tables), tmp_path / "whole", comm=MPI.COMM_SELF)
    attempt, calls = BackwardEuler.attempt, []

    def failing(scheme, old, tau):
        calls.append(tau)
        if len(calls) > 12:
            raise UnsolvedError("No solution.", 7, 8)
        return attempt(scheme, old, tau)

    with monkeypatch.context() as patch:
        patch.setattr(BackwardEuler, "attempt", failing)
        outcomes = run(from_dict(tables), tmp_path / "out", comm=MPI.COMM_SELF)
    stop = outcomes.failure.stop
    assert stop.reason == "failed"
    assert re.match(r"Step \d+ from t = [\d.]+ to t = [\d.]+ failed.\nNo solution.", stop.report)
    assert calls[-1] == 5e-4
    resume(tmp_path / "out", comm=MPI.COMM_SELF)
    assert (tmp_path / "out/series.csv").read_bytes() == (tmp_path / "whole/series.csv").read_bytes()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"control": "fixed", "tolerance": 0.1}, 'tolerance goes with control = "adaptive" only'),
        ({"min_step": 0.01}, "min_step = 0.01 must not be greater than step = 0.001"),
        ({"max_step": 1e-4}, "max_step = 0.0001 must not be smaller than step = 0.001"),
        ({"growth": 1.0}, "growth"),
        ({"scheme": "bdf2", "growth": 3.0}, "growth = 3 is unstable with BDF2"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"control": "automatic"}, "must be one of fixed, adaptive"),
    ],
)
def test_bad_keys_are_told(keys, sentence):
    with pytest.raises(InputError, match=sentence):
        from_dict(FLOW | {"time": FLOW["time"] | keys})


def test_a_run_file_is_resolved_and_repeats_itself(tmp_path):
    config = from_dict(FLOW)
    assert (config.time.tolerance, config.time.min_step, config.time.max_step) == (1e-3, 1e-9, 0.1)
    (tmp_path / "run.toml").write_text(dump(config))
    assert load(tmp_path / "run.toml") == config


def test_evolutions_in_python_have_it_too():
    line = fm.mesh("interval", cells=16)
    flow = fm.Flow(line, fm.Boltzmann())
    rho = flow.state("1 + 0.5*cos(3.141592653589793*x)", mass=1)
    moments = list(fm.evolve(flow, rho, fm.Bdf2(), step=1e-4, until=0.3, at=[0.1], tolerance=1e-4))
    assert [moment.time for moment in moments if moment.marked] == [0.1]
    assert moments[-1].time == 0.3
    steps = np.diff([0.0, *(moment.time for moment in moments)])
    assert steps.max() > 100 * steps[0]
    # Both the mesh and the flux err by O(h²).
    exact = 1.0 + 0.5 * math.exp(-(math.pi**2) * 0.3)
    assert moments[-1].maxima["rho"] == pytest.approx(exact, rel=1e-3)
    with pytest.raises(InputError, match="min_step = 1 must not be greater than step"):
        next(fm.evolve(flow, rho, fm.Bdf2(), step=1e-4, until=0.3, tolerance=1e-4, min_step=1.0))


def test_a_run_stops_where_the_dissipation_is_small_against_the_energy(tmp_path):
    table = {"end": 100.0, "stop_when_steady": True, "tolerance": 1e-3}
    outcomes = run(
        from_dict(FLOW | {"time": FLOW["time"] | table, "output": {"figures": False}}),
        tmp_path / "out",
        comm=MPI.COMM_SELF,
    )
    assert outcomes.runs[0].stop.reason == "steady"
    series = np.genfromtxt(tmp_path / "out/series.csv", delimiter=",", names=True)
    rate = series["dissipation"] / (np.abs(series["boltzmann"]) + np.abs(series["potential"]))
    assert rate[-1] <= 1e-14 < rate[-2]
