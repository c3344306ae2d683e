"""Orders of convergence for source solutions of ∂tρ = Δρ^m, on unstructured meshes."""

import functools

import numpy as np
import pytest
from references import flow_of, l1_distance, march, orders, total

from fem_models.energies import PowerLaw
from fem_models.exact.barenblatt import SourceSolution
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2

# m, dimension: C of the solution, domain (which its support does not leave before t = 2).
CASES = {
    (2, 1): (0.25, "interval", {"lower": -3.0, "upper": 3.0}),
    (2, 2): (0.1, "disk", {"radius": 2.0}),
    (3, 2): (0.1, "disk", {"radius": 2.0}),
    (2, 3): (0.05, "ball", {"radius": 1.6}),
}
COARSE = {1: 0.1, 2: 0.2, 3: 0.4}

each_case = pytest.mark.parametrize("case", CASES, ids=[f"m={m}-{d}D" for m, d in CASES])
each_flux = pytest.mark.parametrize("flux", ["upwind", "average"])


def problem(case, h):
    m, d = case
    C, domain, keys = CASES[case]
    flow = flow_of(domain, PowerLaw(m), h=h, **keys)
    exact = SourceSolution(m, d, C)
    return flow, exact, flow.state(lambda x: exact(x, 1.0))


def error_at_two(case, h, steps, flux, scheme):
    """The relative L¹ error at t = 2, from t = 1."""
    flow, exact, state = problem(case, h)
    state = march(flow, state, 1.0, steps, scheme, flux)
    values = exact(flow.points.T, 2.0)
    return l1_distance(flow, state, values) / total(flow, flow.geometry.volumes * values)


@each_flux
@each_case
def test_order_in_h(case, flux):
    m, d = case
    refinements = {1: (1, 2, 4), 2: (1, 2, 4), 3: (1, 2)}[d]
    errors = [error_at_two(case, COARSE[d] / k, 40, flux, Bdf2) for k in refinements]
    mean_order = float(np.mean(orders(errors)))
    if flux == "upwind":
        assert 0.65 < mean_order < 1.3
    else:
        # ρ has a kink at the front for m = 2 and a root for m = 3.
        assert mean_order > {2: 1.5, 3: 1.2}[m]
        assert errors[-1] < {1: 3e-4, 2: 6e-3, 3: 8e-2}[d]


@each_flux
def test_order_in_h_of_backward_euler_with_steps_like_its_square(flux):
    errors = [error_at_two((2, 2), h, steps, flux, BackwardEuler) for h, steps in ((0.2, 40), (0.1, 160))]
    assert orders(errors)[0] > {"upwind": 0.65, "average": 1.5}[flux]


@functools.cache
def reference(case, flux):
    flow, _, state = problem(case, COARSE[case[1]])
    return march(flow, state, 1.0, 320, Bdf2, flux)


@each_flux
@each_case
@pytest.mark.parametrize(("scheme", "order"), [(BackwardEuler, 1), (Bdf2, 2)], ids=["backward-euler", "bdf2"])
def test_order_in_tau(scheme, order, case, flux):
    flow, _, state = problem(case, COARSE[case[1]])
    exact = reference(case, flux)
    ends = [march(flow, state, 1.0, steps, scheme, flux) for steps in (20, 40, 80)]
    found = orders([l1_distance(flow, end, exact[:, 0]) for end in ends])
    # The reference has 1/16 of the last error of BDF2.
    assert np.all(np.abs(found - order) < 0.15)
    by_energy = orders([abs(flow.energy(end) - flow.energy(exact)) for end in ends])
    assert np.all(np.abs(by_energy - order) < 0.2)
