"""Steady states in parts between which no mass passes."""

import numpy as np
import pytest
from mesh_files import two_grids
from references import COMM, DIRECT, flow_of, mesh_of, total

from fem_models.energies import Boltzmann, Potential, PowerLaw, Quadratic
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.meshes import domains
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.steady.separate_parts import parts_of_support, steady_in_parts
from fem_models.steady.steady_state import steady_state


def two_hills(flow, heights=(3.0, 1.0), distance=0.5, width=0.1):
    def density(x):
        return sum(
            height * np.maximum(width**2 - (x[0] - sign * distance) ** 2, 0.0)
            for height, sign in zip(heights, (-1.0, 1.0), strict=True)
        )

    return flow.state(density, 1.0)


def wells(domain="interval", **keys):
    keys = keys or {"lower": -1.0, "upper": 1.0, "cells": 200}
    return flow_of(domain, 0.01 * PowerLaw(2) + Potential("10*(x**2-0.25)**2"), **keys)


@pytest.mark.parallel
def test_parts_of_a_support():
    flow = wells()
    labels, count = parts_of_support(flow, two_hills(flow))
    x = flow.points[:, 0]
    assert count == 2
    inside = np.abs(np.abs(x) - 0.5) < 0.099
    assert np.all((labels >= 0)[inside])
    assert np.all(labels[np.abs(np.abs(x) - 0.5) > 0.101] == -1)
    for side in (x < 0.0, x > 0.0):
        found = [labels[side & inside].min(initial=9), labels[side & inside].max(initial=-1)]
        ends = COMM.allgather(found)
        assert min(low for low, _ in ends) == max(high for _, high in ends)
    assert parts_of_support(flow, flow.state(1.0))[1] == 1


@pytest.mark.parallel
@pytest.mark.parametrize("domain", ["interval", "rectangle"])
def test_a_steady_state_in_two_wells_is_where_the_flow_ends(domain):
    keys = {"lower": (-1.0, 0.0), "upper": (1.0, 0.1), "cells": (100, 4)} if domain == "rectangle" else {}
    flow = wells(domain, **keys)
    state = two_hills(flow)
    found, masses = steady_in_parts(flow, state)
    assert sorted(masses) == pytest.approx([0.25, 0.75], rel=1e-9)
    scheme = BackwardEuler(flow, "average", DIRECT)
    for _ in range(40):
        state = scheme.step(state, 1.0).state
    weights = flow.geometry.volumes
    assert total(flow, weights * np.abs(state[:, 0] - found[:, 0])) < 1e-8
    # One multiplier for both has less energy, and the flow does not reach it.
    assert flow.energy(steady_state(flow, 1.0)) < flow.energy(found) - 1e-3


@pytest.mark.parallel
def test_parts_that_meet_are_one():
    # Without a barrier both hills spread until they meet.
    flow = flow_of("interval", PowerLaw(2), lower=-1.0, upper=1.0, cells=100)
    assert steady_in_parts(flow, two_hills(flow)) is None
    # And with a low one.
    flow = flow_of(
        "interval", PowerLaw(2) + Potential("0.1*(x**2-0.25)**2"), lower=-1.0, upper=1.0, cells=100
    )
    assert steady_in_parts(flow, two_hills(flow)) is None


@pytest.mark.parallel
def test_what_has_one_part_or_more_fields_is_left_alone():
    flow = wells()
    assert steady_in_parts(flow, flow.state(1.0)) is None
    both = GradientFlow(
        mesh_of("interval", cells=10),
        [Species("u"), Species("v")],
        Quadratic(1.0, "u") + Quadratic(1.0, "v", "w"),
    )
    assert steady_in_parts(both, both.state({"u": 1.0, "v": 1.0})) is None


@pytest.mark.parallel
def test_parts_of_a_mesh_have_their_own_masses(shared_tmp_path):
    if COMM.rank == 0:
        two_grids(shared_tmp_path / "two.msh")
    COMM.Barrier()
    flow = GradientFlow(domains.from_file(COMM, shared_tmp_path / "two.msh"), Species(), Boltzmann())
    values = np.where(np.arange(flow.nodes) >= 0, 1.0, 0.0)
    state = flow.state(values + 0.0 * flow.points[:, 0])
    labels, count = parts_of_support(flow, state)
    assert count == 2
    state[:, 0] = np.where(labels == 0, 3.0, 1.0)
    found, masses = steady_in_parts(flow, state)
    assert masses == pytest.approx((1.5, 0.5), rel=1e-12)
    assert found == pytest.approx(state, rel=1e-10)
    # What has no mass gets none.
    state[:, 0] = np.where(labels == 0, 3.0, 0.0)
    found, masses = steady_in_parts(flow, state)
    assert masses == pytest.approx((1.5,), rel=1e-12)
    assert found == pytest.approx(state, rel=1e-10)
